//! The part of pickle that is plain data and tensors, interpreted without executing anything.
//!
//! A pickle is a program for a small stack machine, and one that can call any function of the interpreter that loads it.
//! Here only the calls that rebuild tensors and ordered dictionaries exist; any other name ends the reading with
//! [`CheckpointError::Refused`].

use std::cell::RefCell;
use std::rc::Rc;

use super::CheckpointError;
use machine::Machine;

mod machine;

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
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A tuple.
    Tuple(Vec<Object>),
    /// A list; shared, as in the pickle.
    List(Rc<RefCell<Vec<Object>>>),
    /// A dictionary in insertion order; shared, as in the pickle.
    Dict(Rc<RefCell<Vec<(Object, Object)>>>),
    /// A view of a storage.
    Tensor(TensorView),
    /// A storage that the archive holds beside the pickle.
    Storage(Storage),
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
    pub storage: Storage,
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
        let Object::Dict(entries) = self else { return None };
        let entries = entries.borrow();
        entries
            .iter()
            .find(|(known, _)| matches!(known, Object::Text(text) if text == key))
            .map(|(_, value)| value.clone())
    }

    /// The items, where this is a list or a tuple.
    pub fn items(&self) -> Option<Vec<Object>> {
        match self {
            Object::List(items) => Some(items.borrow().clone()),
            Object::Tuple(items) => Some(items.clone()),
            _ => None,
        }
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
}
