//! The part of pickle that is plain data and tensors, interpreted without executing anything.
//!
//! A pickle is a program for a small stack machine, and one that can call any function of the interpreter that loads it.
//! Here only the calls that rebuild tensors and ordered dictionaries exist; any other name ends the reading with
//! [`CheckpointError::Refused`]. A few bytes can also name a structure of astronomical size, each part of which is the one before
//! twice: values are shared, and a structure is measured before anybody walks through it.

use std::rc::Rc;

use super::CheckpointError;
use machine::Machine;

mod extent;
mod items;
mod machine;

pub use items::Items;

/// A value of a pickle.
#[derive(Clone, Debug)]
pub enum Object {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A text; shared, as all that can be long, because a pickle can name one thing a million times.
    Text(Rc<str>),
    /// Bytes.
    Bytes(Rc<[u8]>),
    /// A tuple.
    Tuple(Rc<Items>),
    /// A list.
    List(Rc<Items>),
    /// A dictionary in insertion order: key, value, key, value.
    Dict(Rc<Items>),
    /// A view of a storage.
    Tensor(Rc<TensorView>),
    /// A storage that the archive holds beside the pickle.
    Storage(Rc<Storage>),
    /// An allowed name that has not been called yet.
    Name(Name),
}

/// A storage of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Name of its file under `data/`.
    pub key: String,
    /// Type of its elements.
    pub element: Element,
    /// Number of its elements.
    pub length: usize,
}

/// A tensor as a view of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorView {
    /// The storage.
    pub storage: Rc<Storage>,
    /// First element.
    pub offset: usize,
    /// Extents.
    pub shape: Vec<usize>,
    /// Distance of neighbours along each axis, in elements.
    pub strides: Vec<usize>,
}

/// Type of a storage's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 16-bit brain float.
    Bf16,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 16-bit integer.
    I16,
    /// 8-bit integer.
    I8,
    /// Byte.
    U8,
    /// Truth value, one byte.
    Bool,
}

/// The names a pickle may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `torch._utils._rebuild_tensor_v2` or `_rebuild_tensor`.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`.
    RebuildParameter,
    /// `collections.OrderedDict`.
    OrderedDict,
    /// A storage class of torch.
    Storage(Element),
}

impl Name {
    fn find(module: &str, name: &str) -> Result<Self, CheckpointError> {
        let storage = |element| Ok(Self::Storage(element));
        match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Ok(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Ok(Self::RebuildParameter),
            ("collections", "OrderedDict") => Ok(Self::OrderedDict),
            ("torch", "DoubleStorage") => storage(Element::F64),
            ("torch", "FloatStorage") => storage(Element::F32),
            ("torch", "HalfStorage") => storage(Element::F16),
            ("torch", "BFloat16Storage") => storage(Element::Bf16),
            ("torch", "LongStorage") => storage(Element::I64),
            ("torch", "IntStorage") => storage(Element::I32),
            ("torch", "ShortStorage") => storage(Element::I16),
            ("torch", "CharStorage") => storage(Element::I8),
            ("torch", "ByteStorage") => storage(Element::U8),
            ("torch", "BoolStorage") => storage(Element::Bool),
            _ => Err(CheckpointError::Refused(format!("{module}.{name}"))),
        }
    }
}

impl Object {
    /// Reads a pickle.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Machine::new(bytes).run()
    }

    /// The value under a text key, where this is a dictionary that has it.
    pub fn get(&self, key: &str) -> Option<Object> {
        let entries = self.entries()?;
        let found = entries.into_iter().find(|(known, _)| matches!(known, Object::Text(text) if **text == *key));
        found.map(|(_, value)| value)
    }

    /// The items, where this is a list or a tuple.
    pub fn items(&self) -> Option<Vec<Object>> {
        match self {
            Object::List(items) | Object::Tuple(items) => Some(items.borrow().clone()),
            _ => None,
        }
    }

    /// Keys and values, where this is a dictionary.
    pub fn entries(&self) -> Option<Vec<(Object, Object)>> {
        let Object::Dict(items) = self else { return None };
        let items = items.borrow();
        let (pairs, _) = items.as_chunks::<2>();
        Some(pairs.iter().map(|[key, value]| (key.clone(), value.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_a_shell_command_is_refused_by_name() {
        let pickle = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.";
        let error = Object::parse(pickle).unwrap_err();
        assert!(matches!(error, CheckpointError::Refused(name) if name == "posix.system"));
    }

    #[test]
    fn plain_data_is_read() {
        let pickle = b"\x80\x02}X\x01\x00\x00\x00a](K\x01M\x00\x01J\xff\xff\xff\xffes.";
        let object = Object::parse(pickle).unwrap();
        let items = object.get("a").and_then(|list| list.items()).unwrap();
        assert!(matches!(items[..], [Object::Int(1), Object::Int(256), Object::Int(-1)]));
    }

    #[test]
    fn a_torn_pickle_is_an_error() {
        let pickle = b"\x80\x02}X\x01\x00\x00\x00a](K\x01M\x00\x01J\xff\xff\xff\xffes.";
        for length in 0..pickle.len() {
            assert!(Object::parse(&pickle[..length]).is_err());
        }
    }

    #[test]
    fn a_structure_that_doubles_with_every_byte_is_refused_and_takes_no_memory() {
        // An empty tuple, and again and again a tuple of what is on top, twice.
        let doubled = |times: usize| [b"\x80\x02)".as_slice(), &b"2\x86".repeat(times), b"."].concat();
        let items = Object::parse(&doubled(10)).unwrap().items().unwrap();
        assert_eq!(items.len(), 2);
        for times in [30, 60, 400] {
            let error = Object::parse(&doubled(times)).unwrap_err().to_string();
            assert!(error.contains("more than") || error.contains("deeper than"), "{error}");
        }
        // The same through the memo, with lists that hold the one before twice, and with a text of a megabyte.
        let list = [b"\x80\x02]q\x00".as_slice(), &b"0](h\x00h\x00eq\x00".repeat(60), b"."].concat();
        assert!(Object::parse(&list).is_err());
        let text = [b"\x80\x02](X\x00\x00\x10\x00".as_slice(), &vec![b'a'; 1 << 20], &b"2".repeat(100_000), b"e."];
        assert_eq!(Object::parse(&text.concat()).unwrap().items().unwrap().len(), 100_001);
    }

    #[test]
    fn a_structure_of_any_depth_is_refused_without_a_stack_as_deep() {
        let nested = |times: usize| [b"\x80\x02)".as_slice(), &b"\x85".repeat(times), b"."].concat();
        assert!(Object::parse(&nested(50)).is_ok());
        let error = Object::parse(&nested(2_000_000)).unwrap_err().to_string();
        assert!(error.contains("deeper than"), "{error}");
        // Each list takes the next one while that is still empty, so that nothing is deep when it is made.
        let late = [b"\x80\x02]q\x002".as_slice(), &b"]q\x01ah\x01".repeat(100_000), b"h\x00."].concat();
        assert!(Object::parse(&late).is_err());
        // Dropped half way: an unknown operation at the end.
        let broken = [b"\x80\x02)".as_slice(), &b"\x85".repeat(2_000_000), b"\xff"].concat();
        assert!(matches!(Object::parse(&broken), Err(CheckpointError::Refused(_))));
    }

    #[test]
    fn what_contains_itself_is_refused() {
        let error = Object::parse(b"\x80\x02]q\x00h\x00a.").unwrap_err().to_string();
        assert!(error.contains("contains itself"), "{error}");
    }
}
