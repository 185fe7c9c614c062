//! Whether a protocol buffer's lengths stay inside of it. The ONNX reader takes memory by the lengths that a file declares, so a
//! file made to harm is refused before it is read.

/// A kind of message, by the fields of it that are messages themselves.
struct Kind(&'static [(u64, &'static Kind)]);

// Field numbers of onnx.proto.
static LEAF: Kind = Kind(&[]);
static DIMENSIONS: Kind = Kind(&[(1, &LEAF)]);
static TENSOR_TYPE: Kind = Kind(&[(2, &DIMENSIONS)]);
static TYPE: Kind = Kind(&[(1, &TENSOR_TYPE)]);
static VALUE: Kind = Kind(&[(2, &TYPE)]);
static TENSOR: Kind = Kind(&[(13, &LEAF)]);
static ATTRIBUTE: Kind = Kind(&[(5, &TENSOR), (6, &GRAPH)]);
static NODE: Kind = Kind(&[(5, &ATTRIBUTE)]);
static GRAPH: Kind = Kind(&[(1, &NODE), (5, &TENSOR), (11, &VALUE), (12, &VALUE), (13, &VALUE)]);
static MODEL: Kind = Kind(&[(7, &GRAPH), (8, &LEAF), (14, &LEAF)]);

/// Graphs in graphs: more is no network.
const DEPTH_MAX: usize = 32;

/// Whether every length in this ONNX model lies inside of what it is a part of.
pub fn is_sound(model: &[u8]) -> bool {
    holds(&MODEL, model, 0).is_some()
}

fn holds(kind: &Kind, mut rest: &[u8], depth: usize) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => drop(varint(&mut rest)?),
            1 => drop(taken(&mut rest, 8)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let part = taken(&mut rest, length)?;
                if let Some((_, kind)) = kind.0.iter().find(|(field, _)| *field == tag >> 3) {
                    holds(kind, part, depth + 1)?;
                }
            }
            5 => drop(taken(&mut rest, 4)?),
            _ => return None,
        }
    }
    Some(())
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = taken(rest, 1)?[0];
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn taken<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (part, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_end_is_refused_at_any_depth() {
        // A model with a graph with a node with a name.
        let name = [&[0x1A, 3][..], b"one"].concat();
        let node = [&[0x0A, name.len() as u8][..], &name].concat();
        let model = [&[0x3A, node.len() as u8][..], &node].concat();
        assert!(is_sound(&model));
        for at in [1, 3, 5] {
            let mut damaged = model.clone();
            damaged[at] = 100;
            assert!(!is_sound(&damaged), "length at {at}");
        }
        assert!(!is_sound(&[0x3A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]));
    }
}
