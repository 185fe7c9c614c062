//! Finds the mixtures of experts that the exporter wrote in standard operators and writes them anew.
//!
//! What is found (`crates/train/src/model/gmoe.rs`, the sparse lowering): for each expert, rows of the grid are gathered,
//! multiplied, and added onto a total:
//!
//! ```text
//! logits -> TopK -> Softmax -> ScatterElements = gates
//! total' = ScatterND(total, rows, Reshape(fc2(gelu(fc1(Reshape(Gather(grid, rows)))))) * gate), once for each expert
//! ```

use std::collections::{HashMap, HashSet};

use rten_onnx::onnx::{DataType, NodeProto, TensorProto};
use sha2::{Digest, Sha256};

use super::graph::{Model, dims_of, floats_of, integer, integers_of, node, text};
use super::{Mixtures, refused};
use crate::error::GpuError;
use crate::gmoe::EXPERTS_MAX;

/// A mixture, as found.
struct Mixture {
    /// The value that holds its result, `[cells, size * channels]`.
    result: String,
    /// `[cells, size * channels]`.
    grid: String,
    /// `[cells, experts]`.
    logits: String,
    top_k: i64,
    /// Tokens of a cell.
    size: i64,
    experts: Vec<Expert>,
}

/// Constants of an expert: fc1 weight and bias, fc2 weight and bias.
struct Expert([String; 4]);

/// Rewrites every mixture; gives how many there were.
pub fn rewrite(model: &mut Model, mixtures: Mixtures) -> Result<usize, GpuError> {
    let found = find(model)?;
    let mut stacks = HashMap::new();
    for mixture in &found {
        let weights = stack(model, &mixture.experts, &mut stacks)?;
        let nodes = match mixtures {
            Mixtures::Plugin => plugin(model, mixture, &weights),
            Mixtures::Gathered => gathered(model, mixture, &weights),
        };
        // In the place of the node that made the result; what fed it is pruned when the model is written.
        let graph = model.graph_mut();
        let at = graph.node.iter().position(|node| node.output.contains(&mixture.result));
        let at = at.expect("the result was found by its node");
        graph.node.splice(at..=at, nodes);
    }
    Ok(found.len())
}

fn find(model: &Model) -> Result<Vec<Mixture>, GpuError> {
    let reader = Reader { producers: model.producers(), constants: model.constants() };
    let adds: Vec<&NodeProto> = model.graph().node.iter().filter(|node| is(node, "ScatterND")).collect();
    let continued: HashSet<&str> = adds.iter().filter_map(|node| node.input.first()).map(String::as_str).collect();
    let ends = |node: &&&NodeProto| node.output.first().is_some_and(|total| !continued.contains(total.as_str()));
    let mixtures: Vec<Mixture> = adds.iter().filter(ends).map(|node| reader.mixture(node)).collect::<Result<_, _>>()?;
    // What is left of them would have no end: totals that go in a circle, or to nothing.
    let read: usize = mixtures.iter().map(|mixture| mixture.experts.len()).sum();
    if read == adds.len() { Ok(mixtures) } else { Err(refused("the experts of a mixture are no chain".into())) }
}

fn is(node: &NodeProto, operator: &str) -> bool {
    node.op_type.as_deref() == Some(operator)
}

struct Reader<'a> {
    producers: HashMap<&'a str, &'a NodeProto>,
    constants: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> Reader<'a> {
    /// The node of this kind that makes `value`.
    fn made(&self, value: &str, operator: &str) -> Result<&'a NodeProto, GpuError> {
        let found = self.producers.get(value).copied().filter(|node| is(node, operator));
        found.ok_or_else(|| {
            refused(format!("{value} is not made by {operator}: this mixture was not written by smgeo-train"))
        })
    }

    fn input(&self, node: &'a NodeProto, at: usize) -> Result<&'a str, GpuError> {
        node.input.get(at).map(String::as_str).ok_or_else(|| refused(format!("a node lacks its input {at}")))
    }

    /// Follows the first input through nodes of these kinds.
    fn back(&self, value: &'a str, operators: &[&str]) -> Result<&'a str, GpuError> {
        operators.iter().try_fold(value, |value, operator| self.input(self.made(value, operator)?, 0))
    }

    /// A linear layer: its input, weight and bias.
    fn linear(&self, value: &'a str) -> Result<(&'a str, String, String), GpuError> {
        let add = self.made(value, "Add")?;
        let product = self.made(self.input(add, 0)?, "MatMul")?;
        Ok((self.input(product, 0)?, self.input(product, 1)?.to_owned(), self.input(add, 1)?.to_owned()))
    }

    fn mixture(&self, last: &'a NodeProto) -> Result<Mixture, GpuError> {
        let mut experts = Vec::new();
        let (mut add, mut grid, mut gates) = (Some(last), "", "");
        while let Some(node) = add {
            if experts.len() == EXPERTS_MAX {
                return Err(refused(format!(
                    "a mixture has more than the {EXPERTS_MAX} experts that the kernels know"
                )));
            }
            let weighted = self.made(self.input(node, 2)?, "Mul")?;
            let (active, w2, b2) = self.linear(self.back(self.input(weighted, 0)?, &["Reshape"])?)?;
            let (tokens, w1, b1) = self.linear(self.back(active, &["Gelu"])?)?;
            grid = self.back(tokens, &["Reshape", "Gather"])?;
            gates = self.back(self.input(weighted, 1)?, &["Reshape", "Gather", "Gather"])?;
            experts.push(Expert([w1, b1, w2, b2]));
            let total = self.input(node, 0)?;
            add = self.producers.get(total).copied().filter(|node| is(node, "ScatterND"));
        }
        // The chain was walked from its end.
        experts.reverse();
        let scattered = self.made(gates, "ScatterElements")?;
        let softmax = self.made(self.input(scattered, 2)?, "Softmax")?;
        let best = self.made(self.input(softmax, 0)?, "TopK")?;
        let top_k = self.integers(self.input(best, 1)?)?;
        let shape = self.integers(self.input(self.made(grid, "Reshape")?, 1)?)?;
        let weight = self.constants.get(experts[0].0[0].as_str());
        let channels = weight.and_then(|weight| Some(*dims_of(weight).first()? as i64));
        let size = shape.last().zip(channels).map(|(row, channels)| row / channels.max(1)).filter(|size| *size > 0);
        Ok(Mixture {
            result: last.output.first().cloned().unwrap_or_default(),
            grid: grid.to_owned(),
            logits: self.input(best, 0)?.to_owned(),
            top_k: top_k.first().copied().unwrap_or(0),
            size: size.ok_or_else(|| refused("a mixture's cells have no known size".into()))?,
            experts,
        })
    }

    fn integers(&self, value: &str) -> Result<Vec<i64>, GpuError> {
        let tensor = self.constants.get(value);
        tensor
            .and_then(|tensor| integers_of(tensor))
            .ok_or_else(|| refused(format!("{value} is no constant of integers")))
    }
}

/// Names of W1 `[E, C, H]`, b1 `[E, H]`, W2 `[E, H, C]`, b2 `[E, C]`, stacked from the experts' own. The blocks of a stage
/// share a pool, of which the exporter wrote a copy for each: `stacks` knows what is there already.
fn stack(
    model: &mut Model,
    experts: &[Expert],
    stacks: &mut HashMap<Vec<u8>, String>,
) -> Result<[String; 4], GpuError> {
    let mut names = [const { String::new() }; 4];
    for (part, name) in names.iter_mut().enumerate() {
        let constants = model.constants();
        let (mut dims, mut bytes) = (None, Vec::new());
        // Weights are matrices, biases rows.
        let rank = if part % 2 == 0 { 2 } else { 1 };
        for expert in experts {
            let value = &expert.0[part];
            let tensor = constants.get(value.as_str());
            let floats = tensor.and_then(|tensor| floats_of(tensor));
            let (Some(tensor), Some(floats)) = (tensor, floats) else {
                return Err(refused(format!("{value} is no constant of f32")));
            };
            let extents = dims_of(tensor);
            let count = extents.iter().try_fold(1_usize, |count, &extent| count.checked_mul(extent));
            if extents.len() != rank || count != Some(floats.len()) {
                return Err(refused(format!("{value} has the extents {extents:?} and {} numbers", floats.len())));
            }
            if dims.get_or_insert_with(|| extents.clone()) != &extents {
                return Err(refused("the experts of a mixture differ in their shapes".into()));
            }
            bytes.extend(floats.iter().flat_map(|value| value.to_le_bytes()));
        }
        let dims = [vec![experts.len()], dims.unwrap_or_default()].concat();
        let digest = [Sha256::digest(format!("{dims:?}")), Sha256::digest(&bytes)].concat();
        if !stacks.contains_key(&digest) {
            let stem = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"][part];
            stacks.insert(digest.clone(), model.constant(stem, DataType::FLOAT, &dims, bytes));
        }
        name.clone_from(&stacks[&digest]);
    }
    Ok(names)
}

/// The node `smgeo::GMoE`, between the reshapes it needs.
fn plugin(model: &mut Model, mixture: &Mixture, [w1, b1, w2, b2]: &[String; 4]) -> Vec<NodeProto> {
    let channels = channels(model, w1);
    let (cells, mixed) = (model.unused("cells"), model.unused("mixed"));
    let split = model.integers(&[-1, mixture.size, channels]);
    let joined = model.integers(&[-1, mixture.size * channels]);
    // TensorRT's parser finds the plugin by the node's domain from 10.10 on; before, as in JetPack 6, by these two attributes.
    let [namespace, version] =
        [("plugin_namespace", "smgeo"), ("plugin_version", "1")].map(|(name, value)| text(name, value));
    let attributes = vec![integer("top_k", mixture.top_k), namespace, version];
    let mut gmoe = node("GMoE", &[&cells, &mixture.logits, w1, b1, w2, b2], &mixed, attributes);
    gmoe.domain = Some("smgeo".into());
    vec![
        node("Reshape", &[&mixture.grid, &split], &cells, Vec::new()),
        gmoe,
        node("Reshape", &[&mixed, &joined], &mixture.result, Vec::new()),
    ]
}

/// Standard operators of static shape: weights are gathered by cell.
fn gathered(model: &mut Model, mixture: &Mixture, [w1, b1, w2, b2]: &[String; 4]) -> Vec<NodeProto> {
    let channels = channels(model, w1);
    let count = model.integers(&[mixture.top_k]);
    let mut nodes = Vec::new();
    let (values, indices) = (model.unused("best"), model.unused("best_indices"));
    let mut best = node("TopK", &[&mixture.logits, &count], &values, vec![integer("axis", -1)]);
    best.output.push(indices.clone());
    nodes.push(best);
    let mut push = |model: &mut Model, operator: &str, inputs: &[&str], attributes| {
        let output = model.unused(operator);
        nodes.push(node(operator, inputs, &output, attributes));
        output
    };
    let gates = push(model, "Softmax", &[&values], vec![integer("axis", -1)]);
    let cells = model.integers(&[-1, 1, mixture.size, channels]);
    let mut x = push(model, "Reshape", &[&mixture.grid, &cells], Vec::new());
    let axis = model.integers(&[2]);
    for (layer, (weight, bias)) in [(w1, b1), (w2, b2)].into_iter().enumerate() {
        let weight = push(model, "Gather", &[weight, &indices], vec![integer("axis", 0)]);
        let product = push(model, "MatMul", &[&x, &weight], Vec::new());
        let bias = push(model, "Gather", &[bias, &indices], vec![integer("axis", 0)]);
        let bias = push(model, "Unsqueeze", &[&bias, &axis], Vec::new());
        x = push(model, "Add", &[&product, &bias], Vec::new());
        if layer == 0 {
            x = push(model, "Gelu", &[&x], Vec::new());
        }
    }
    let each = model.integers(&[-1, mixture.top_k, 1, 1]);
    let gates = push(model, "Reshape", &[&gates, &each], Vec::new());
    let weighted = push(model, "Mul", &[&x, &gates], Vec::new());
    let ranks = model.integers(&[1]);
    let sum = push(model, "ReduceSum", &[&weighted, &ranks], vec![integer("keepdims", 0)]);
    let joined = model.integers(&[-1, mixture.size * channels]);
    nodes.push(node("Reshape", &[&sum, &joined], &mixture.result, Vec::new()));
    nodes
}

fn channels(model: &Model, w1: &str) -> i64 {
    dims_of(model.constants()[w1])[1] as i64
}
