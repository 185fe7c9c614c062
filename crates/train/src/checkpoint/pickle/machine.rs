//! The stack machine that a pickle is a program for; operations that could call anything do not exist.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::CheckpointError;
use super::{Items, Name, Object, Storage, TensorView, extent};

/// Stack entries and memo entries a pickle may have; a larger one is broken or hostile.
const OBJECTS_MAX: usize = 10_000_000;
/// Arguments of a call, and axes of a tensor, that are more than PyTorch has.
const FEW_MAX: usize = 64;

/// The stack machine.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Object>,
    marks: Vec<usize>,
    memo: HashMap<u64, Object>,
}

impl<'a> Machine<'a> {
    /// A machine at the start of a pickle.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    /// Runs to the end and gives what lies on top.
    pub(super) fn run(mut self) -> Result<Object, CheckpointError> {
        loop {
            let operation = self.byte()?;
            if operation == b'.' {
                let object = self.pop()?;
                extent::check(&object)?;
                return Ok(object);
            }
            self.step(operation)?;
            if self.stack.len() > OBJECTS_MAX || self.memo.len() > OBJECTS_MAX {
                return Err(broken("too many objects"));
            }
        }
    }

    /// Carries out one operation; the letters are those of the format (Python's `pickletools`).
    fn step(&mut self, operation: u8) -> Result<(), CheckpointError> {
        match operation {
            0x80 => drop(self.byte()?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.stack.push(Object::None),
            0x88 => self.stack.push(Object::Bool(true)),
            0x89 => self.stack.push(Object::Bool(false)),
            b'K' | b'M' | b'J' | 0x8a => self.integer(operation)?,
            b'G' => {
                let bits = self.array::<8>()?;
                self.stack.push(Object::Float(f64::from_be_bytes(bits)));
            }
            b'X' | 0x8c | 0x8d | b'U' | b'T' => self.text(operation)?,
            b'C' | b'B' => {
                let length = if operation == b'C' { usize::from(self.byte()?) } else { self.length4()? };
                let bytes = self.take(length)?.into();
                self.stack.push(Object::Bytes(bytes));
            }
            b']' => self.stack.push(Object::List(Rc::default())),
            b'}' => self.stack.push(Object::Dict(Rc::default())),
            b')' => self.stack.push(Object::Tuple(Rc::default())),
            0x85..=0x87 => {
                let items = self.stack.split_off(self.below(usize::from(operation - 0x84))?);
                self.stack.push(Object::Tuple(Items::of(items)));
            }
            b't' => {
                let items = self.marked()?;
                self.stack.push(Object::Tuple(Items::of(items)));
            }
            b'l' => {
                let items = self.marked()?;
                self.stack.push(Object::List(Items::of(items)));
            }
            b'a' | b'e' => self.append(operation)?,
            b's' | b'u' => self.insert(operation)?,
            b'q' | b'r' | 0x94 => self.remember(operation)?,
            b'h' | b'j' => self.recall(operation)?,
            b'c' | 0x93 => self.name(operation)?,
            b'Q' => self.persistent()?,
            b'R' => self.call()?,
            b'b' => self.build()?,
            b'0' => drop(self.pop()?),
            b'2' => {
                let top = self.stack.last().cloned().ok_or_else(|| broken("the stack is empty"))?;
                self.stack.push(top);
            }
            other => return Err(CheckpointError::Refused(format!("the operation {:?}", char::from(other)))),
        }
        Ok(())
    }

    fn integer(&mut self, operation: u8) -> Result<(), CheckpointError> {
        let value = match operation {
            b'K' => i64::from(self.byte()?),
            b'M' => i64::from(u16::from_le_bytes(self.array()?)),
            b'J' => i64::from(i32::from_le_bytes(self.array()?)),
            _ => {
                let length = usize::from(self.byte()?);
                let bytes = self.take(length)?;
                if bytes.len() > 8 {
                    return Err(broken("an integer of more than 64 bits"));
                }
                let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
                let mut all = [if negative { 0xff } else { 0 }; 8];
                all[..bytes.len()].copy_from_slice(bytes);
                i64::from_le_bytes(all)
            }
        };
        self.stack.push(Object::Int(value));
        Ok(())
    }

    fn text(&mut self, operation: u8) -> Result<(), CheckpointError> {
        let length = match operation {
            0x8c | b'U' => usize::from(self.byte()?),
            0x8d => usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| broken("a text too long"))?,
            _ => self.length4()?,
        };
        let bytes = self.take(length)?.to_vec();
        let text = String::from_utf8(bytes).map_err(|_| broken("a text that is not UTF-8"))?;
        self.stack.push(Object::Text(text.into()));
        Ok(())
    }

    fn append(&mut self, operation: u8) -> Result<(), CheckpointError> {
        let items = if operation == b'a' { vec![self.pop()?] } else { self.marked()? };
        match self.stack.last() {
            Some(Object::List(list)) => {
                list.extend(items);
                Ok(())
            }
            _ => Err(broken("items without a list")),
        }
    }

    fn insert(&mut self, operation: u8) -> Result<(), CheckpointError> {
        let items = if operation == b's' { self.stack.split_off(self.below(2)?) } else { self.marked()? };
        let Some(Object::Dict(entries)) = self.stack.last() else {
            return Err(broken("entries without a dictionary"));
        };
        if !items.len().is_multiple_of(2) {
            return Err(broken("a key without a value"));
        }
        entries.extend(items);
        Ok(())
    }

    fn remember(&mut self, operation: u8) -> Result<(), CheckpointError> {
        let place = match operation {
            b'q' => u64::from(self.byte()?),
            b'r' => u64::from(u32::from_le_bytes(self.array()?)),
            _ => self.memo.len() as u64,
        };
        let top = self.stack.last().cloned().ok_or_else(|| broken("the stack is empty"))?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, operation: u8) -> Result<(), CheckpointError> {
        let place = match operation {
            b'h' => u64::from(self.byte()?),
            _ => u64::from(u32::from_le_bytes(self.array()?)),
        };
        let object = self.memo.get(&place).cloned().ok_or_else(|| broken("an unknown memo"))?;
        self.stack.push(object);
        Ok(())
    }

    fn name(&mut self, operation: u8) -> Result<(), CheckpointError> {
        let (module, name) = match operation {
            b'c' => (self.line()?, self.line()?),
            _ => match (self.pop()?, self.pop()?) {
                (Object::Text(name), Object::Text(module)) => (module.to_string(), name.to_string()),
                _ => return Err(broken("a name that is no text")),
            },
        };
        self.stack.push(Object::Name(Name::find(&module, &name)?));
        Ok(())
    }

    /// `("storage", class, key, location, length)`: a storage beside the pickle.
    fn persistent(&mut self) -> Result<(), CheckpointError> {
        let items = few(&self.pop()?)?;
        let [_, Object::Name(Name::Storage(element)), Object::Text(key), _, Object::Int(length)] = &items[..] else {
            return Err(broken("a persistent object that is no storage"));
        };
        let storage = Storage { key: key.to_string(), element: *element, length: size(*length)? };
        self.stack.push(Object::Storage(Rc::new(storage)));
        Ok(())
    }

    fn call(&mut self) -> Result<(), CheckpointError> {
        let arguments = few(&self.pop()?)?;
        let Object::Name(name) = self.pop()? else {
            return Err(CheckpointError::Refused("a call of something that is no function".into()));
        };
        let made = match (name, &arguments[..]) {
            (Name::OrderedDict, _) => Object::Dict(Rc::default()),
            (Name::RebuildParameter, [tensor @ Object::Tensor(_), ..]) => tensor.clone(),
            (Name::RebuildTensor, [Object::Storage(storage), Object::Int(offset), shape, strides, ..]) => {
                Object::Tensor(Rc::new(TensorView {
                    storage: Rc::clone(storage),
                    offset: size(*offset)?,
                    shape: sizes(shape)?,
                    strides: sizes(strides)?,
                }))
            }
            _ => return Err(broken("a call with unknown arguments")),
        };
        self.stack.push(made);
        Ok(())
    }

    /// State of an object: dictionaries made by name carry none that matters, nothing else may have any.
    fn build(&mut self) -> Result<(), CheckpointError> {
        self.pop()?;
        match self.stack.last() {
            Some(Object::Dict(_)) => Ok(()),
            _ => Err(CheckpointError::Refused("a state for an object that is no dictionary".into())),
        }
    }

    fn pop(&mut self) -> Result<Object, CheckpointError> {
        self.stack.pop().ok_or_else(|| broken("the stack is empty"))
    }

    fn marked(&mut self) -> Result<Vec<Object>, CheckpointError> {
        let mark = self.marks.pop().ok_or_else(|| broken("no mark"))?;
        if mark > self.stack.len() {
            return Err(broken("a mark above the stack"));
        }
        Ok(self.stack.split_off(mark))
    }

    fn below(&self, count: usize) -> Result<usize, CheckpointError> {
        self.stack.len().checked_sub(count).ok_or_else(|| broken("the stack is too short"))
    }

    fn byte(&mut self) -> Result<u8, CheckpointError> {
        Ok(self.array::<1>()?[0])
    }

    fn length4(&mut self) -> Result<usize, CheckpointError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CheckpointError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| broken("it ends early"))
    }

    fn take(&mut self, length: usize) -> Result<&[u8], CheckpointError> {
        let end = self
            .at
            .checked_add(length)
            .filter(|&end| end <= self.bytes.len())
            .ok_or_else(|| broken("it ends early"))?;
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<String, CheckpointError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| broken("it ends early"))?;
        self.at += length + 1;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }
}

fn broken(problem: &str) -> CheckpointError {
    CheckpointError::Pickle(problem.to_owned())
}

fn size(value: i64) -> Result<usize, CheckpointError> {
    usize::try_from(value).map_err(|_| broken("a negative size"))
}

/// The items of a tuple or list that is short, whatever the pickle says.
fn few(object: &Object) -> Result<Vec<Object>, CheckpointError> {
    match object {
        Object::Tuple(items) | Object::List(items) if items.borrow().len() <= FEW_MAX => Ok(items.borrow().clone()),
        _ => Err(broken("arguments or a shape that are no short tuple")),
    }
}

fn sizes(object: &Object) -> Result<Vec<usize>, CheckpointError> {
    let items = few(object)?;
    let sizes = items.iter().map(|item| match item {
        Object::Int(value) => size(*value),
        _ => Err(broken("a size that is no integer")),
    });
    sizes.collect()
}
