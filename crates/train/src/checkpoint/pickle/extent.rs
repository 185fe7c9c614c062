//! How deep and how large an object is when everything shared is counted as often as it is met. Whoever walks through an object
//! that passed may do so by recursion.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::CheckpointError;
use super::{Items, Object};

/// A checkpoint nests some ten deep.
const DEPTH_MAX: usize = 100;
/// The largest has some hundred thousand.
const OBJECTS_MAX: usize = 10_000_000;

/// Depth and number of objects below something that holds others.
#[derive(Clone, Copy)]
struct Extent {
    depth: usize,
    objects: usize,
}

/// Something that holds others, while they are measured.
struct Open {
    items: Rc<Items>,
    next: usize,
    extent: Extent,
}

/// Refuses an object that is too deep, too large, or contains itself.
pub(super) fn check(object: &Object) -> Result<(), CheckpointError> {
    let Some(items) = held(object) else { return Ok(()) };
    // What is being measured has no extent yet.
    let mut known: HashMap<*const Items, Option<Extent>> = HashMap::new();
    let mut open = Vec::new();
    enter(&items, &mut known, &mut open)?;
    while let Some(top) = open.last_mut() {
        let child = top.items.borrow().get(top.next).cloned();
        let Some(child) = child else {
            let extent = top.extent;
            known.insert(Rc::as_ptr(&top.items), Some(extent));
            open.pop();
            continue;
        };
        let extent = match held(&child) {
            None => Extent { depth: 0, objects: 1 },
            Some(items) => match known.get(&Rc::as_ptr(&items)) {
                Some(Some(extent)) => *extent,
                Some(None) => return Err(refused("an object that contains itself".into())),
                // Measured first, and met again then.
                None => {
                    enter(&items, &mut known, &mut open)?;
                    continue;
                }
            },
        };
        top.next += 1;
        top.extent.depth = top.extent.depth.max(1 + extent.depth);
        top.extent.objects = top.extent.objects.saturating_add(extent.objects);
        if top.extent.depth > DEPTH_MAX {
            return Err(too_deep());
        }
        if top.extent.objects > OBJECTS_MAX {
            return Err(refused(format!(
                "more than {OBJECTS_MAX} objects, counting shared ones as often as they are named"
            )));
        }
    }
    Ok(())
}

fn enter(
    items: &Rc<Items>,
    known: &mut HashMap<*const Items, Option<Extent>>,
    open: &mut Vec<Open>,
) -> Result<(), CheckpointError> {
    if open.len() > DEPTH_MAX {
        return Err(too_deep());
    }
    known.insert(Rc::as_ptr(items), None);
    open.push(Open { items: Rc::clone(items), next: 0, extent: Extent { depth: 1, objects: 1 } });
    Ok(())
}

fn held(object: &Object) -> Option<Rc<Items>> {
    match object {
        Object::Tuple(items) | Object::List(items) | Object::Dict(items) => Some(Rc::clone(items)),
        _ => None,
    }
}

fn too_deep() -> CheckpointError {
    refused(format!("objects nested deeper than {DEPTH_MAX}"))
}

fn refused(problem: String) -> CheckpointError {
    CheckpointError::Pickle(format!("{problem}; this is no checkpoint"))
}
