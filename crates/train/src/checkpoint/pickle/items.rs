//! What a tuple, a list or a dictionary of a pickle holds. It is let go of without recursion: a pickle can nest deeper than any
//! stack.

use std::cell::{Ref, RefCell};
use std::rc::Rc;

use super::Object;

/// Objects in order. One thing can be in many places, so these are shared; lists and dictionaries grow while they are read.
#[derive(Debug, Default)]
pub struct Items(RefCell<Vec<Object>>);

impl Items {
    /// Takes these objects.
    pub(super) fn of(objects: Vec<Object>) -> Rc<Self> {
        Rc::new(Self(RefCell::new(objects)))
    }

    /// The objects.
    pub fn borrow(&self) -> Ref<'_, Vec<Object>> {
        self.0.borrow()
    }

    /// Adds objects.
    pub(super) fn extend(&self, objects: Vec<Object>) {
        self.0.borrow_mut().extend(objects);
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        let mut pending = std::mem::take(self.0.get_mut());
        while let Some(object) = pending.pop() {
            let (Object::Tuple(items) | Object::List(items) | Object::Dict(items)) = object else { continue };
            // Where these were the last hands on it, what it holds is let go of here.
            if let Some(items) = Rc::into_inner(items) {
                pending.append(&mut items.0.borrow_mut());
            }
        }
    }
}
