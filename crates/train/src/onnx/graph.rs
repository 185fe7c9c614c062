//! A builder for ONNX graphs: values are names, nodes are appended in order.

use std::cell::RefCell;
use std::collections::HashMap;

use burn::tensor::{Tensor, f16};
use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, Dimension as DimensionProto, GraphProto, NodeProto, TensorProto,
    TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};

/// A tensor of the graph, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value(pub(super) String);

/// Element type of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32-bit float.
    F32,
    /// 32-bit integer.
    I32,
    /// Byte.
    U8,
}

/// Extent of one axis of an input or output.
#[derive(Clone, Copy, Debug)]
pub enum Dimension {
    /// Known.
    Fixed(usize),
    /// Open, by name.
    Open(&'static str),
}

/// An attribute of a node.
#[derive(Clone, Debug)]
pub enum Attribute {
    /// An integer.
    Int(&'static str, i64),
    /// Integers.
    Ints(&'static str, Vec<i64>),
    /// A float.
    Float(&'static str, f32),
    /// A text.
    Text(&'static str, &'static str),
}

/// A graph under construction.
#[derive(Default)]
pub struct Graph {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    inputs: Vec<ValueInfoProto>,
    outputs: Vec<ValueInfoProto>,
    integers: HashMap<(Vec<usize>, Vec<i64>), Value>,
    numbers: HashMap<u32, Value>,
    custom: bool,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares an input.
    pub fn input(&mut self, name: &str, element: Element, dimensions: &[Dimension]) -> Value {
        self.inputs.push(declaration(name, element, dimensions));
        Value(name.to_owned())
    }

    /// Makes a value an output of the graph under a name of its own.
    pub fn output(&mut self, value: &Value, name: &str, element: Element, dimensions: &[Dimension]) {
        self.append("", "Identity", &[value], Vec::new(), vec![name.to_owned()]);
        self.outputs.push(declaration(name, element, dimensions));
    }

    /// A constant holding a tensor of weights.
    pub fn weights<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Value {
        let dims = tensor.dims();
        let values: Vec<f32> = tensor.into_data().iter::<f32>().collect();
        self.floats(name, &dims, &values)
    }

    /// Stores matrices of floats in 16 bits, each with a cast to 32 behind it: half the file, and the same computation.
    /// Vectors stay: they are small, and scales and offsets are where precision counts.
    pub fn halved(mut self) -> Self {
        let mut casts = Vec::new();
        for constant in &mut self.initializers {
            let (Some(DataType::FLOAT), Some(name), true) =
                (constant.data_type, constant.name.clone(), constant.dims.len() > 1)
            else {
                continue;
            };
            let Some(bytes) = constant.raw_data.take().map(RefCell::into_inner) else { continue };
            let floats = bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
            let halves: Vec<u8> = floats.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect();
            let half = format!("{name}.half");
            casts.push(NodeProto {
                name: Some(format!("{half}_to_float")),
                op_type: Some("Cast".to_owned()),
                input: vec![half.clone()],
                output: vec![name],
                attribute: vec![Attribute::Int("to", 1).into_proto()],
                ..NodeProto::default()
            });
            (constant.name, constant.data_type) = (Some(half), Some(DataType::FLOAT16));
            constant.raw_data = Some(RefCell::new(halves));
        }
        casts.append(&mut self.nodes);
        self.nodes = casts;
        self
    }

    /// A constant of floats.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> Value {
        let name = self.unused(name);
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializers.push(constant(&name, DataType::FLOAT, dims, bytes));
        Value(name)
    }

    /// A scalar constant.
    pub fn number(&mut self, value: f32) -> Value {
        if let Some(known) = self.numbers.get(&value.to_bits()) {
            return known.clone();
        }
        let constant = self.floats("number", &[], &[value]);
        self.numbers.insert(value.to_bits(), constant.clone());
        constant
    }

    /// A constant of 64-bit integers; equal ones are stored once.
    pub fn integers(&mut self, dims: &[usize], values: &[i64]) -> Value {
        let key = (dims.to_vec(), values.to_vec());
        if let Some(known) = self.integers.get(&key) {
            return known.clone();
        }
        let name = self.unused("integers");
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializers.push(constant(&name, DataType::INT64, dims, bytes));
        self.integers.insert(key, Value(name.clone()));
        Value(name)
    }

    /// A one-dimensional constant of integers.
    pub fn vector(&mut self, values: &[i64]) -> Value {
        self.integers(&[values.len()], values)
    }

    /// Appends a node with one output.
    pub fn node(&mut self, operator: &str, inputs: &[&Value], attributes: Vec<Attribute>) -> Value {
        let output = self.unused(operator);
        self.append("", operator, inputs, attributes, vec![output.clone()]);
        Value(output)
    }

    /// Appends a node with two outputs.
    pub fn node_pair(&mut self, operator: &str, inputs: &[&Value], attributes: Vec<Attribute>) -> (Value, Value) {
        let first = self.unused(operator);
        let second = format!("{first}_second");
        self.append("", operator, inputs, attributes, vec![first.clone(), second.clone()]);
        (Value(first), Value(second))
    }

    /// Appends a node of the domain `smgeo`. Before version 10.10 TensorRT finds its plugin by the two attributes, not by the domain.
    pub fn custom_node(&mut self, operator: &str, inputs: &[&Value], mut attributes: Vec<Attribute>) -> Value {
        let output = self.unused(operator);
        self.custom = true;
        attributes.extend([Attribute::Text("plugin_namespace", "smgeo"), Attribute::Text("plugin_version", "1")]);
        self.append("smgeo", operator, inputs, attributes, vec![output.clone()]);
        Value(output)
    }

    /// Whether a node of the domain `smgeo` stands in the graph.
    pub fn has_custom_nodes(&self) -> bool {
        self.custom
    }

    /// The finished message.
    pub fn into_proto(self) -> GraphProto {
        GraphProto {
            node: self.nodes,
            initializer: self.initializers,
            input: self.inputs,
            output: self.outputs,
            value_info: Vec::new(),
        }
    }

    fn unused(&self, stem: &str) -> String {
        format!("{stem}_{}", self.nodes.len() + self.initializers.len())
    }

    fn append(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&Value],
        attributes: Vec<Attribute>,
        outputs: Vec<String>,
    ) {
        self.nodes.push(NodeProto {
            domain: (!domain.is_empty()).then(|| domain.to_owned()),
            name: Some(format!("{operator}_node_{}", self.nodes.len())),
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: outputs,
            op_type: Some(operator.to_owned()),
            attribute: attributes.into_iter().map(Attribute::into_proto).collect(),
        });
    }
}

/// The operators that layers speak in.
impl Graph {
    /// Elementwise sum, broadcasting.
    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Add", &[a, b], Vec::new())
    }

    /// Elementwise difference, broadcasting.
    pub fn subtract(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Sub", &[a, b], Vec::new())
    }

    /// Elementwise product, broadcasting.
    pub fn multiply(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Mul", &[a, b], Vec::new())
    }

    /// Elementwise quotient, broadcasting.
    pub fn divide(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Div", &[a, b], Vec::new())
    }

    /// Batched matrix product.
    pub fn matmul(&mut self, a: &Value, b: &Value) -> Value {
        self.node("MatMul", &[a, b], Vec::new())
    }

    /// A node of one input and no attributes.
    pub fn unary(&mut self, operator: &str, x: &Value) -> Value {
        self.node(operator, &[x], Vec::new())
    }

    /// Exact (erf) GELU.
    pub fn gelu(&mut self, x: &Value) -> Value {
        self.unary("Gelu", x)
    }

    /// Softmax along an axis.
    pub fn softmax(&mut self, x: &Value, axis: i64) -> Value {
        self.node("Softmax", &[x], vec![Attribute::Int("axis", axis)])
    }

    /// Reshape; 0 keeps an axis, -1 takes the rest.
    pub fn reshape(&mut self, x: &Value, dims: &[i64]) -> Value {
        let shape = self.vector(dims);
        self.node("Reshape", &[x, &shape], Vec::new())
    }

    /// Reshape to a computed shape.
    pub fn reshape_to(&mut self, x: &Value, shape: &Value) -> Value {
        self.node("Reshape", &[x, shape], Vec::new())
    }

    /// Permutes axes.
    pub fn transpose(&mut self, x: &Value, axes: &[i64]) -> Value {
        self.node("Transpose", &[x], vec![Attribute::Ints("perm", axes.to_vec())])
    }

    /// Takes entries along an axis.
    pub fn gather(&mut self, x: &Value, indices: &Value, axis: i64) -> Value {
        self.node("Gather", &[x, indices], vec![Attribute::Int("axis", axis)])
    }

    /// Takes `start..end` along each of the axes; a negative end counts from the back.
    pub fn slice(&mut self, x: &Value, axes: &[i64], starts: &[i64], ends: &[i64]) -> Value {
        let (starts, ends, axes) = (self.vector(starts), self.vector(ends), self.vector(axes));
        self.node("Slice", &[x, &starts, &ends, &axes], Vec::new())
    }

    /// Joins along an axis.
    pub fn concat(&mut self, parts: &[&Value], axis: i64) -> Value {
        self.node("Concat", parts, vec![Attribute::Int("axis", axis)])
    }

    /// Sums along an axis, which stays with extent 1 where `keep`.
    pub fn sum(&mut self, x: &Value, axis: i64, keep: bool) -> Value {
        let axes = self.vector(&[axis]);
        self.node("ReduceSum", &[x, &axes], vec![Attribute::Int("keepdims", keep.into())])
    }

    /// Mean along an axis, which stays with extent 1 where `keep`.
    pub fn mean(&mut self, x: &Value, axis: i64, keep: bool) -> Value {
        let axes = self.vector(&[axis]);
        self.node("ReduceMean", &[x, &axes], vec![Attribute::Int("keepdims", keep.into())])
    }

    /// `x` `[B, M, I]` times the matrix of each image's view, `weights` `[2 views, I, O]`.
    pub fn matmul_by_view(&mut self, name: &str, weights: Tensor<3>, view: &Value, x: &Value) -> Value {
        let weights = self.weights(name, weights);
        let own = self.gather(&weights, view, 0);
        self.matmul(x, &own)
    }

    /// `x` `[B, M, O]` plus the row of each image's view, `rows` `[2 views, 1, O]`.
    pub fn add_by_view(&mut self, name: &str, rows: Tensor<3>, view: &Value, x: &Value) -> Value {
        let rows = self.weights(name, rows);
        let own = self.gather(&rows, view, 0);
        self.add(x, &own)
    }

    /// Scales vectors along `axis` to length 1: `x / sqrt(sum(x^2) + squared_min)`.
    pub fn unit(&mut self, x: &Value, axis: i64, squared_min: f32) -> Value {
        let squares = self.multiply(x, x);
        let sum = self.sum(&squares, axis, true);
        self.divide_by_length(x, &sum, squared_min)
    }

    /// The same along the second axis from the end, of `size` numbers. Some runtimes add along any but the last axis number by
    /// number; a product with ones is many times faster.
    pub fn unit_planes(&mut self, x: &Value, size: usize, rank: usize, squared_min: f32) -> Value {
        let squares = self.multiply(x, x);
        let sum = self.weigh_planes(&squares, &vec![1.0; size], rank);
        self.divide_by_length(x, &sum, squared_min)
    }

    fn divide_by_length(&mut self, x: &Value, squared: &Value, squared_min: f32) -> Value {
        let floor = self.number(squared_min);
        let sum = self.add(squared, &floor);
        let length = self.unary("Sqrt", &sum);
        self.divide(x, &length)
    }

    /// Adds up with these weights along the second axis from the end, which becomes one.
    pub fn weigh_planes(&mut self, x: &Value, weights: &[f32], rank: usize) -> Value {
        let mut dims = vec![1; rank];
        dims[rank - 1] = weights.len();
        let weights = self.floats("weights", &dims, weights);
        self.matmul(&weights, x)
    }
}

impl Attribute {
    fn into_proto(self) -> AttributeProto {
        let named = |name: &str, kind| AttributeProto {
            name: Some(name.to_owned()),
            r#type: Some(kind),
            ..AttributeProto::default()
        };
        match self {
            Attribute::Int(name, value) => AttributeProto { i: Some(value), ..named(name, AttributeType::INT) },
            Attribute::Ints(name, values) => AttributeProto { ints: values, ..named(name, AttributeType::INTS) },
            Attribute::Float(name, value) => AttributeProto { f: Some(value), ..named(name, AttributeType::FLOAT) },
            Attribute::Text(name, value) => {
                AttributeProto { s: Some(value.to_owned()), ..named(name, AttributeType::STRING) }
            }
        }
    }
}

fn constant(name: &str, kind: DataType, dims: &[usize], bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(kind),
        dims: dims.iter().map(|&dim| dim as i64).collect(),
        raw_data: Some(RefCell::new(bytes)),
        ..TensorProto::default()
    }
}

fn declaration(name: &str, element: Element, dimensions: &[Dimension]) -> ValueInfoProto {
    let dim = dimensions.iter().map(|dimension| match dimension {
        Dimension::Fixed(extent) => DimensionProto { dim_value: Some(*extent as i64), dim_param: None },
        Dimension::Open(name) => DimensionProto { dim_value: None, dim_param: Some((*name).to_owned()) },
    });
    let kind = match element {
        Element::F32 => DataType::FLOAT,
        Element::I32 => DataType::INT32,
        Element::U8 => DataType::UINT8,
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            tensor_type: Some(TypeProtoTensor {
                elem_type: Some(kind),
                shape: Some(TensorShapeProto { dim: dim.collect() }),
            }),
            sequence: None,
        }),
    }
}
