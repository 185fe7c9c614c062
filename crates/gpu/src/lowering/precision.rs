//! Gives the encoder 16-bit types where they cost nothing that can be measured, and f32 where they would.
//!
//! f32 stay: everything up to the first LayerNorm, where bytes times weights cancel against an offset; the routers, whose
//! ties and choices a rounding would change; and what leaves the network.

use std::collections::{HashMap, HashSet};

use half::{bf16, f16};
use rten_onnx::onnx::{DataType, NodeProto};

use super::graph::{BFLOAT16, Model, dims_of, floats_of, integer, node};
use super::{Precision, refused};
use crate::error::GpuError;

/// Which type of number a value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// f32.
    Wide,
    /// 16 bits.
    Narrow,
    /// Integers, bytes, shapes.
    Other,
}

/// Narrows a model.
pub fn narrow(model: &mut Model, precision: Precision) -> Result<(), GpuError> {
    let wide = wide_nodes(model)?;
    let outputs: HashSet<String> = model.graph().output.iter().filter_map(|output| output.name.clone()).collect();
    let nodes = std::mem::take(&mut model.graph_mut().node);
    let mut pass = Pass { kinds: kinds(model), precision, casts: HashMap::new(), nodes: Vec::new() };
    for (index, node) in nodes.into_iter().enumerate() {
        let leaves = node.output.iter().any(|value| outputs.contains(value));
        pass.node(model, node, if wide.contains(&index) || leaves { Kind::Wide } else { Kind::Narrow });
    }
    model.graph_mut().node = pass.nodes;
    Ok(())
}

/// Indices of the nodes that stay f32.
fn wide_nodes(model: &Model) -> Result<HashSet<usize>, GpuError> {
    let nodes = &model.graph().node;
    let makers: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .flat_map(|(at, node)| node.output.iter().map(move |value| (value.as_str(), at)))
        .collect();
    let is = |at: usize, operator: &str| nodes[at].op_type.as_deref() == Some(operator);
    let first_norm = (0..nodes.len()).find(|&at| is(at, "LayerNormalization"));
    let first_norm = first_norm.ok_or_else(|| refused("the encoder has no LayerNormalization".into()))?;
    let mut wide = HashSet::new();
    // From a norm back to the inputs; from a router's choice back to the mean it reads.
    let mut open = vec![(first_norm, "")];
    for (at, node) in nodes.iter().enumerate() {
        let router = if is(at, "GMoE") {
            node.input.get(1)
        } else if is(at, "TopK") {
            node.input.first()
        } else {
            None
        };
        open.extend(router.and_then(|logits| makers.get(logits.as_str())).map(|&maker| (maker, "ReduceMean")));
    }
    while let Some((at, until)) = open.pop() {
        if wide.insert(at) && !is(at, until) {
            open.extend(
                nodes[at].input.iter().filter_map(|value| makers.get(value.as_str())).map(|&maker| (maker, until)),
            );
        }
    }
    Ok(wide)
}

/// Kinds of what is there before the first node.
fn kinds(model: &Model) -> HashMap<String, Kind> {
    let kind = |kind: Option<DataType>| if kind == Some(DataType::FLOAT) { Kind::Wide } else { Kind::Other };
    let graph = model.graph();
    let constants = graph.initializer.iter().filter_map(|tensor| Some((tensor.name.clone()?, kind(tensor.data_type))));
    let inputs = graph.input.iter().filter_map(|input| {
        let tensor = input.r#type.as_ref()?.tensor_type.as_ref()?;
        Some((input.name.clone()?, kind(tensor.elem_type)))
    });
    constants.chain(inputs).collect()
}

struct Pass {
    kinds: HashMap<String, Kind>,
    precision: Precision,
    /// What a value is called in another type.
    casts: HashMap<(String, Kind), String>,
    nodes: Vec<NodeProto>,
}

impl Pass {
    fn node(&mut self, model: &mut Model, mut node: NodeProto, kind: Kind) {
        let operator = node.op_type.clone().unwrap_or_default();
        for at in 0..node.input.len() {
            // A choice is made from f32 logits, by the plugin or by TopK.
            let is_logits = (operator == "GMoE" && at == 1) || (operator == "TopK" && at == 0);
            let wanted = if is_logits { Kind::Wide } else { kind };
            node.input[at] = self.cast(model, &node.input[at], wanted);
        }
        let of_input = node.input.first().and_then(|input| self.kinds.get(input)).copied().unwrap_or(Kind::Other);
        let made = match operator.as_str() {
            "Shape" => Kind::Other,
            // The one cast that is there makes floats of bytes.
            "Cast" => kind,
            _ => of_input,
        };
        for (at, output) in node.output.iter().enumerate() {
            let is_indices = operator == "TopK" && at == 1;
            self.kinds.insert(output.clone(), if is_indices { Kind::Other } else { made });
        }
        self.nodes.push(node);
    }

    /// The name under which `value` has the type wanted; made by a cast, or for a constant by rounding it.
    fn cast(&mut self, model: &mut Model, value: &str, wanted: Kind) -> String {
        let has = self.kinds.get(value).copied().unwrap_or(Kind::Other);
        if has == Kind::Other || has == wanted {
            return value.to_owned();
        }
        if let Some(known) = self.casts.get(&(value.to_owned(), wanted)) {
            return known.clone();
        }
        let (kind, bytes) = (self.data_type(wanted), self.rounded(model, value, wanted));
        let name = match bytes {
            Some((dims, bytes)) => model.constant("narrow", kind, &dims, bytes),
            None => {
                let name = model.unused("cast");
                self.nodes.push(node("Cast", &[value], &name, vec![integer("to", i64::from(kind.0))]));
                name
            }
        };
        self.kinds.insert(name.clone(), wanted);
        self.casts.insert((value.to_owned(), wanted), name.clone());
        name
    }

    fn data_type(&self, kind: Kind) -> DataType {
        match (kind, self.precision) {
            (Kind::Narrow, Precision::F16) => DataType::FLOAT16,
            (Kind::Narrow, _) => BFLOAT16,
            _ => DataType::FLOAT,
        }
    }

    /// A constant's extents and bytes in 16 bits.
    fn rounded(&self, model: &Model, value: &str, wanted: Kind) -> Option<(Vec<usize>, Vec<u8>)> {
        if wanted != Kind::Narrow {
            return None;
        }
        let graph = model.graph();
        let tensor = graph.initializer.iter().find(|tensor| tensor.name.as_deref() == Some(value))?;
        let narrow = |value: f32| match self.precision {
            Precision::F16 => f16::from_f32(value).to_le_bytes(),
            _ => bf16::from_f32(value).to_le_bytes(),
        };
        Some((dims_of(tensor), floats_of(tensor)?.into_iter().flat_map(narrow).collect()))
    }
}
