//! A package with no learnt weights that really localises: the encoder describes each 16 px cell by the colours of its 4 px
//! parts, normalised, and the locator correlates the clicked cell with all cells of the window. It finds what was cut out
//! of the reference on the grid of cells, so tests can ask for the right answer and not only for an answer.

use std::cell::RefCell;
use std::path::Path;

use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};
use smgeo_engine::package::{ENCODER, FORMAT, LOCATOR};
use smgeo_engine::{Fusion, Manifest, Package};

/// Numbers a cell: 4 x 4 parts of 3 colours.
pub const CHANNELS: usize = 48;
/// Pixels a cell.
pub const STRIDE_PX: usize = 16;

/// Heat of a perfect match.
pub const HEAT_MATCH: f32 = 8.0;
// A correlation of one half is 10 logits less than a perfect match.
const HEAT_SLOPE: f32 = 20.0;

/// Writes the package into `folder` and opens it.
pub fn write(folder: &Path) -> Package {
    std::fs::write(folder.join(ENCODER), encoder()).unwrap();
    std::fs::write(folder.join(LOCATOR), locator()).unwrap();
    manifest().seal(folder).unwrap()
}

/// The manifest, before it is sealed.
pub fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        name: "matched filter".into(),
        architecture: "matched-filter".into(),
        fusion: Fusion::Template,
        channels: CHANNELS,
        stride_px: STRIDE_PX,
        tile_px: 256,
        gsd_m: 0.5,
        gsd_m_range: [0.25, 1.0],
        temperature: 1.0,
        files: Default::default(),
        training: Default::default(),
        metrics: Default::default(),
    }
}

/// `encoder.onnx`.
pub fn encoder() -> Vec<u8> {
    let mut graph = Graph::default();
    graph.input("image", DataType::UINT8, &[-1, 256, 256, 4]);
    graph.input("view", DataType::INT32, &[-1]);
    graph.output("features", DataType::FLOAT, &[-1, 16, 16, CHANNELS as i64]);
    graph.node("Cast", &["image"], "numbers", vec![int("to", 1)]);
    for (name, value) in [("zero", 0), ("three", 3)] {
        graph.ints(name, &[1], &[value]);
    }
    graph.node("Slice", &["numbers", "zero", "three", "three"], "colours", vec![]);
    // Cell, part and pixel of the rows, then of the columns, then the colour.
    graph.ints("parts_shape", &[8], &[-1, 16, 4, 4, 16, 4, 4, 3]);
    graph.node("Reshape", &["colours", "parts_shape"], "split", vec![]);
    graph.node("ReduceMean", &["split"], "parts", vec![ints("axes", &[3, 6]), int("keepdims", 0)]);
    graph.node("Transpose", &["parts"], "by_cell", vec![ints("perm", &[0, 1, 3, 2, 4, 5])]);
    graph.ints("rows_shape", &[3], &[-1, 256, CHANNELS as i64]);
    graph.node("Reshape", &["by_cell", "rows_shape"], "rows", vec![]);
    let last = || vec![ints("axes", &[2]), int("keepdims", 1)];
    graph.node("ReduceMean", &["rows"], "mean", last());
    graph.node("Sub", &["rows", "mean"], "centred", vec![]);
    graph.node("Mul", &["centred", "centred"], "squared", vec![]);
    graph.node("ReduceMean", &["squared"], "variance", last());
    graph.floats("epsilon", &[1], &[1e-3]);
    graph.node("Add", &["variance", "epsilon"], "padded", vec![]);
    graph.node("Sqrt", &["padded"], "deviation", vec![]);
    graph.node("Div", &["centred", "deviation"], "normal", vec![]);
    // Per-view weights, gathered in the graph: here the identity for both views.
    let one = |at: usize| if (at % (CHANNELS * CHANNELS)).is_multiple_of(CHANNELS + 1) { 1.0 } else { 0.0 };
    let weights: Vec<f32> = (0..2 * CHANNELS * CHANNELS).map(one).collect();
    graph.floats("weights", &[2, CHANNELS as i64, CHANNELS as i64], &weights);
    graph.node("Gather", &["weights", "view"], "view_weights", vec![int("axis", 0)]);
    graph.node("MatMul", &["normal", "view_weights"], "mapped", vec![]);
    graph.ints("map_shape", &[4], &[-1, 16, 16, CHANNELS as i64]);
    graph.node("Reshape", &["mapped", "map_shape"], "features", vec![]);
    graph.bytes()
}

/// `locator.onnx`.
pub fn locator() -> Vec<u8> {
    let mut graph = Graph::default();
    let channels = CHANNELS as i64;
    graph.input("query", DataType::FLOAT, &[-1, 16, 16, channels]);
    graph.input("click", DataType::FLOAT, &[-1, 2]);
    graph.input("reference", DataType::FLOAT, &[-1, -1, -1, channels]);
    graph.input("window", DataType::INT32, &[-1]);
    graph.output("heat", DataType::FLOAT, &[-1, -1, -1]);
    graph.output("box", DataType::FLOAT, &[-1, -1, -1, 4]);
    graph.output("attention", DataType::FLOAT, &[-1, -1, -1]);
    clicked_cell(&mut graph);
    graph.node("Gather", &["reference", "window"], "searched", vec![int("axis", 0)]);
    graph.ints("cells_shape", &[3], &[0, -1, channels]);
    graph.node("Reshape", &["searched", "cells_shape"], "cells", vec![]);
    graph.node("MatMul", &["cells", "template"], "products", vec![]);
    graph.node("Shape", &["searched"], "full_shape", vec![]);
    for (name, value) in [("zero", 0), ("three", 3)] {
        graph.ints(name, &[1], &[value]);
    }
    graph.node("Slice", &["full_shape", "zero", "three"], "heat_shape", vec![]);
    graph.node("Reshape", &["products", "heat_shape"], "correlation", vec![]);
    graph.floats("slope", &[1], &[HEAT_SLOPE / CHANNELS as f32]);
    graph.floats("threshold", &[1], &[HEAT_MATCH - HEAT_SLOPE]);
    graph.node("Mul", &["correlation", "slope"], "scaled", vec![]);
    graph.node("Add", &["scaled", "threshold"], "heat", vec![]);
    graph.node("Sigmoid", &["heat"], "attention", vec![]);
    graph.ints("last", &[1], &[-1]);
    graph.node("Unsqueeze", &["heat", "last"], "column", vec![]);
    graph.floats("nothing", &[1], &[0.0]);
    graph.floats("size", &[4], &[0.5, 0.5, 1.5, 1.5]);
    graph.node("Mul", &["column", "nothing"], "blank", vec![]);
    graph.node("Add", &["blank", "size"], "box", vec![]);
    graph.bytes()
}

/// The query's features at the click, `template` [K, C, 1]: a product with a row that is 1 at the clicked cell.
fn clicked_cell(graph: &mut Graph) {
    graph.floats("per_px", &[1], &[1.0 / STRIDE_PX as f32]);
    graph.floats("first_cell", &[], &[0.0]);
    graph.floats("last_cell", &[], &[15.0]);
    graph.node("Mul", &["click", "per_px"], "click_cells", vec![]);
    graph.node("Clip", &["click_cells", "first_cell", "last_cell"], "inside", vec![]);
    graph.node("Cast", &["inside"], "cell", vec![int("to", 6)]);
    graph.int32s("row_stride", &[2], &[1, 16]);
    graph.node("Mul", &["cell", "row_stride"], "steps", vec![]);
    graph.ints("axis_one", &[1], &[1]);
    graph.node("ReduceSum", &["steps", "axis_one"], "index", vec![int("keepdims", 1)]);
    graph.int32s("all", &[1, 256], &(0..256).collect::<Vec<i32>>());
    graph.node("Equal", &["index", "all"], "is_clicked", vec![]);
    graph.node("Cast", &["is_clicked"], "chosen", vec![int("to", 1)]);
    graph.ints("chosen_shape", &[3], &[-1, 1, 256]);
    graph.node("Reshape", &["chosen", "chosen_shape"], "row", vec![]);
    graph.ints("query_shape", &[3], &[-1, 256, CHANNELS as i64]);
    graph.node("Reshape", &["query", "query_shape"], "query_cells", vec![]);
    graph.node("MatMul", &["row", "query_cells"], "template_row", vec![]);
    graph.node("Transpose", &["template_row"], "template", vec![ints("perm", &[0, 2, 1])]);
}

#[derive(Default)]
struct Graph(GraphProto);

impl Graph {
    fn input(&mut self, name: &str, kind: DataType, shape: &[i64]) {
        self.0.input.push(value(name, kind, shape));
    }

    fn output(&mut self, name: &str, kind: DataType, shape: &[i64]) {
        self.0.output.push(value(name, kind, shape));
    }

    fn node(&mut self, operator: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.0.node.push(NodeProto {
            name: Some(output.into()),
            op_type: Some(operator.into()),
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: vec![output.into()],
            attribute,
            ..Default::default()
        });
    }

    fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) {
        self.weight(name, DataType::FLOAT, dims, values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }

    fn ints(&mut self, name: &str, dims: &[i64], values: &[i64]) {
        self.weight(name, DataType::INT64, dims, values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }

    fn int32s(&mut self, name: &str, dims: &[i64], values: &[i32]) {
        self.weight(name, DataType::INT32, dims, values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }

    fn weight(&mut self, name: &str, kind: DataType, dims: &[i64], raw: Vec<u8>) {
        self.0.initializer.push(TensorProto {
            name: Some(name.into()),
            dims: dims.to_vec(),
            data_type: Some(kind),
            raw_data: Some(RefCell::new(raw)),
            ..Default::default()
        });
    }

    fn bytes(self) -> Vec<u8> {
        let model = ModelProto {
            ir_version: Some(8),
            graph: Some(self.0),
            opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(17) }],
            producer_name: Some("smgeo".into()),
            ..Default::default()
        };
        model.write_buf().unwrap()
    }
}

/// -1: left open.
fn value(name: &str, kind: DataType, shape: &[i64]) -> ValueInfoProto {
    let dimension = |(at, size): (usize, &i64)| match size {
        -1 => Dimension { dim_value: None, dim_param: Some(format!("{name}_{at}")) },
        size => Dimension { dim_value: Some(*size), dim_param: None },
    };
    let dim = shape.iter().enumerate().map(dimension).collect();
    let tensor_type = Some(TypeProtoTensor { elem_type: Some(kind), shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type, ..Default::default() }) }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.into()), i: Some(value), r#type: Some(AttributeType::INT), ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = Some(AttributeType::INTS);
    AttributeProto { name: Some(name.into()), ints: values.to_vec(), r#type, ..Default::default() }
}
