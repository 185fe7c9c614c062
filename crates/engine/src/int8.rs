//! The encoder's large products in 8 bit. A product with a constant matrix becomes
//!
//! ```text
//! DynamicQuantizeLinear -> MatMulInteger -> Cast -> Mul
//! ```
//!
//! of which rten makes two operators on the processor's 8 bit dot products. Weights have a scale a column, and what they are
//! multiplied with has one for the whole image, found as it is computed: nothing has to be measured beforehand. All else stays f32.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, ModelProto, NodeProto, TensorProto};

/// Least rows and columns of a matrix that is taken. The smaller ones, of the first stages, save little time, and what they get wrong
/// goes through all the others.
const EDGE_MIN: usize = 128;

/// Largest weight, 7 bit: processors without dot products of their own add two products of 8 bit in 16, which 127 would overflow.
const WEIGHT_MAX: f32 = 63.0;

/// The zero of all weights.
const ZERO: &str = "int8.zero";

/// Rewrites an encoder. One without such products, or that cannot be taken apart, is given back as it is.
pub fn rewrite(encoder: Vec<u8>) -> Vec<u8> {
    let Some(mut model) = ModelProto::parse_buf(&encoder).ok() else { return encoder };
    let Some(graph) = model.graph.as_mut().filter(|graph| has_products(graph)) else { return encoder };
    // The weights are there twice by now.
    drop(encoder);
    take_products(graph);
    model.write_buf().expect("what was read can be written")
}

fn has_products(graph: &GraphProto) -> bool {
    // A subgraph reads values that its node does not list.
    let is_plain = |node: &NodeProto| node.attribute.iter().all(|attribute| attribute.g.is_none());
    let constants = constants_of(graph);
    graph.node.iter().all(is_plain) && graph.node.iter().any(|node| matrix_of(node, &constants).is_some())
}

fn take_products(graph: &mut GraphProto) {
    let nodes = std::mem::take(&mut graph.node);
    let constants = constants_of(graph);
    let mut added = vec![constant(ZERO.into(), DataType::INT8, Vec::new(), vec![0])];
    let mut rewritten = Vec::with_capacity(nodes.len());
    let mut done = HashSet::new();
    for node in nodes {
        let Some(matrix) = matrix_of(&node, &constants) else {
            rewritten.push(node);
            continue;
        };
        let [factor, weights] = [&node.input[0], &node.input[1]];
        // One factor has several products, such as those for queries, keys and values.
        if done.insert(factor.clone()) {
            let outputs = ["values", "scale", "zero"].map(|part| part_of(factor, part));
            rewritten.push(operator("DynamicQuantizeLinear", [factor.clone()], outputs));
        }
        if done.insert(weights.clone()) {
            added.extend(matrix.constants(weights));
        }
        rewritten.extend(product(factor, weights, &node.output[0]));
    }
    let used: HashSet<&str> = rewritten.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    graph.initializer.retain(|tensor| tensor.name.as_deref().is_some_and(|name| used.contains(name)));
    graph.initializer.extend(added);
    graph.node = rewritten;
}

fn constants_of(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_deref()?, tensor))).collect()
}

/// The weights of a product that is taken.
fn matrix_of(node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> Option<Matrix> {
    match (node.op_type.as_deref(), &*node.input, &*node.output) {
        (Some("MatMul"), [_, weights], [_]) => Matrix::of(constants.get(&**weights)?),
        _ => None,
    }
}

/// The nodes that make `result` of a factor and weights that are in 8 bit already.
fn product(factor: &str, weights: &str, result: &str) -> [NodeProto; 4] {
    let [whole, floating, scale] = ["whole", "floating", "scale"].map(|part| part_of(result, part));
    let factors = [part_of(factor, "values"), part_of(weights, "values"), part_of(factor, "zero"), ZERO.into()];
    let scales = [part_of(factor, "scale"), part_of(weights, "scale")];
    let to_f32 = AttributeProto {
        name: Some("to".into()),
        i: Some(i64::from(DataType::FLOAT.0)),
        r#type: Some(AttributeType::INT),
        ..AttributeProto::default()
    };
    [
        operator("MatMulInteger", factors, [whole.clone()]),
        NodeProto { attribute: vec![to_f32], ..operator("Cast", [whole], [floating.clone()]) },
        operator("Mul", scales, [scale.clone()]),
        operator("Mul", [floating, scale], [result.to_owned()]),
    ]
}

/// Weights in 8 bit, `[rows, columns]`, with the scale of each column.
struct Matrix {
    dims: Vec<i64>,
    values: Vec<u8>,
    scales: Vec<f32>,
}

impl Matrix {
    /// `None`: no matrix of f32, too small, or with numbers that are none.
    fn of(tensor: &TensorProto) -> Option<Matrix> {
        let [rows, columns] = *tensor.dims else { return None };
        let (rows, columns) = (usize::try_from(rows).ok()?, usize::try_from(columns).ok()?);
        let is_large = rows.min(columns) >= EDGE_MIN;
        let raw = tensor.raw_data.as_ref().filter(|_| is_large && tensor.data_type == Some(DataType::FLOAT))?.borrow();
        let weights: Vec<f32> = raw.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if rows.checked_mul(columns) != Some(weights.len()) || weights.iter().any(|weight| !weight.is_finite()) {
            return None;
        }
        let mut largest = vec![f32::MIN_POSITIVE; columns];
        for row in weights.chunks_exact(columns) {
            largest.iter_mut().zip(row).for_each(|(largest, weight)| *largest = largest.max(weight.abs()));
        }
        let to_int8 = |(weight, largest): (&f32, &f32)| (weight / largest * WEIGHT_MAX).round() as i8 as u8;
        let values = weights.chunks_exact(columns).flat_map(|row| row.iter().zip(&largest).map(to_int8)).collect();
        let scales = largest.iter().map(|largest| largest / WEIGHT_MAX).collect();
        Some(Matrix { dims: tensor.dims.clone(), values, scales })
    }

    fn constants(self, weights: &str) -> [TensorProto; 2] {
        let columns = vec![self.scales.len() as i64];
        let scales = self.scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        [
            constant(part_of(weights, "values"), DataType::INT8, self.dims, self.values),
            constant(part_of(weights, "scale"), DataType::FLOAT, columns, scales),
        ]
    }
}

fn part_of(value: &str, part: &str) -> String {
    format!("int8.{part}.{value}")
}

fn operator<const I: usize, const O: usize>(kind: &str, input: [String; I], output: [String; O]) -> NodeProto {
    let name = output.first().cloned();
    NodeProto { name, op_type: Some(kind.into()), input: input.into(), output: output.into(), ..NodeProto::default() }
}

fn constant(name: String, kind: DataType, dims: Vec<i64>, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name),
        data_type: Some(kind),
        dims,
        raw_data: Some(RefCell::new(bytes)),
        ..TensorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        constant(name.into(), DataType::FLOAT, dims.to_vec(), bytes)
    }

    fn onnx(initializer: Vec<TensorProto>, node: Vec<NodeProto>) -> Vec<u8> {
        let graph = Some(GraphProto { initializer, node, ..GraphProto::default() });
        ModelProto { graph, ..ModelProto::default() }.write_buf().unwrap()
    }

    fn multiply(weights: &str, result: &str) -> NodeProto {
        operator("MatMul", ["factor".into(), weights.into()], [result.to_owned()])
    }

    #[test]
    fn each_weight_is_kept_to_half_a_step_of_its_column() {
        let weights: Vec<f32> =
            (0..128 * 160).map(|at| (at as f32 * 0.7).sin() * 1.05f32.powi(at % 160 - 80)).collect();
        let matrix = Matrix::of(&floats("weights", &[128, 160], &weights)).unwrap();
        for (at, (value, weight)) in matrix.values.iter().zip(&weights).enumerate() {
            let (value, step) = (f32::from(*value as i8), matrix.scales[at % 160]);
            assert!(
                value.abs() <= WEIGHT_MAX && (value * step - weight).abs() <= 0.501 * step,
                "{at}: {value} {weight}"
            );
        }
    }

    #[test]
    fn a_factor_of_several_products_is_quantised_once() {
        let matrices = ["one", "other"].map(|name| floats(name, &[128, 128], &[0.5; 128 * 128]));
        let rewritten = rewrite(onnx(matrices.into(), vec![multiply("one", "y"), multiply("other", "z")]));
        let graph = ModelProto::parse_buf(&rewritten).unwrap().graph.unwrap();
        let count = |kind: &str| graph.node.iter().filter(|node| node.op_type.as_deref() == Some(kind)).count();
        assert_eq!(["DynamicQuantizeLinear", "MatMulInteger", "MatMul"].map(count), [1, 2, 0]);
        assert!(
            graph.initializer.iter().all(|tensor| tensor.data_type != Some(DataType::FLOAT) || tensor.dims.len() == 1)
        );
    }

    #[test]
    fn what_has_no_large_products_is_left_as_it_is() {
        let small = onnx(vec![floats("small", &[127, 128], &[0.5; 127 * 128])], vec![multiply("small", "y")]);
        let damaged =
            onnx(vec![floats("damaged", &[128, 128], &[f32::NAN; 128 * 128])], vec![multiply("damaged", "y")]);
        for encoder in [small, damaged, onnx(Vec::new(), vec![multiply("computed", "y")]), b"no network".to_vec()] {
            assert_eq!(rewrite(encoder.clone()), encoder);
        }
    }
}
