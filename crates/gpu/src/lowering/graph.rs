//! An ONNX graph by value names: who makes a value, who uses it, what a constant holds.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
};

use super::refused;
use crate::error::GpuError;

/// bfloat16 in `onnx.proto`.
pub const BFLOAT16: DataType = DataType(16);

/// A model under change.
pub struct Model {
    proto: ModelProto,
    names: usize,
}

impl Model {
    /// Reads a file.
    pub fn parse(onnx: &[u8]) -> Result<Self, GpuError> {
        let proto = ModelProto::parse_buf(onnx).map_err(|error| refused(format!("this is no ONNX file: {error}")))?;
        if proto.graph.is_none() {
            return Err(refused("the ONNX file holds no graph".into()));
        }
        Ok(Self { proto, names: 0 })
    }

    /// The file's bytes, without what no output needs.
    pub fn write(mut self) -> Result<Vec<u8>, GpuError> {
        self.prune();
        if self.graph().node.iter().any(|node| node.domain.as_deref() == Some("smgeo")) {
            self.proto.opset_import.push(OperatorSetIdProto { domain: Some("smgeo".into()), version: Some(1) });
        }
        self.proto.write_buf().map_err(|error| refused(format!("the graph cannot be encoded: {error}")))
    }

    /// The graph.
    pub fn graph(&self) -> &GraphProto {
        self.proto.graph.as_ref().expect("a model has a graph")
    }

    /// The graph, to be changed.
    pub fn graph_mut(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().expect("a model has a graph")
    }

    /// The node that makes each value.
    pub fn producers(&self) -> HashMap<&str, &NodeProto> {
        self.graph().node.iter().flat_map(|node| node.output.iter().map(move |value| (value.as_str(), node))).collect()
    }

    /// The constants, by name.
    pub fn constants(&self) -> HashMap<&str, &TensorProto> {
        self.graph().initializer.iter().filter_map(|tensor| Some((tensor.name.as_deref()?, tensor))).collect()
    }

    /// A name that no value has.
    pub fn unused(&mut self, stem: &str) -> String {
        self.names += 1;
        format!("tensorrt.{stem}.{}", self.names)
    }

    /// Adds a constant and gives its name.
    pub fn constant(&mut self, stem: &str, kind: DataType, dims: &[usize], bytes: Vec<u8>) -> String {
        let name = self.unused(stem);
        self.graph_mut().initializer.push(TensorProto {
            name: Some(name.clone()),
            data_type: Some(kind),
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            raw_data: Some(RefCell::new(bytes)),
            ..TensorProto::default()
        });
        name
    }

    /// Adds a constant of integers and gives its name.
    pub fn integers(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant("integers", DataType::INT64, &[values.len()], bytes)
    }

    /// Takes out nodes and constants that no output needs.
    fn prune(&mut self) {
        let graph = self.graph_mut();
        let mut needed: HashSet<String> = graph.output.iter().filter_map(|output| output.name.clone()).collect();
        let mut kept = vec![false; graph.node.len()];
        // Nodes stand in order, so their users come after them.
        for (node, kept) in graph.node.iter().zip(&mut kept).rev() {
            *kept = node.output.iter().any(|value| needed.contains(value));
            if *kept {
                needed.extend(node.input.iter().cloned());
            }
        }
        let mut kept = kept.into_iter();
        graph.node.retain(|_| kept.next() == Some(true));
        graph.initializer.retain(|tensor| tensor.name.as_ref().is_some_and(|name| needed.contains(name)));
    }
}

/// A node of one output.
pub fn node(operator: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        domain: None,
        name: Some(format!("{output}.node")),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        op_type: Some(operator.to_owned()),
        attribute: attributes,
    }
}

/// An attribute that is an integer.
pub fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        r#type: Some(AttributeType::INT),
        ..AttributeProto::default()
    }
}

/// An attribute that is a text.
pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        s: Some(value.to_owned()),
        r#type: Some(AttributeType::STRING),
        ..AttributeProto::default()
    }
}

/// Extents of a constant.
pub fn dims_of(tensor: &TensorProto) -> Vec<usize> {
    tensor.dims.iter().map(|&dim| dim.max(0) as usize).collect()
}

/// Numbers of an f32 constant.
pub fn floats_of(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != Some(DataType::FLOAT) {
        return None;
    }
    match &tensor.raw_data {
        Some(raw) => Some(raw.borrow().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        None => Some(tensor.float_data.clone()),
    }
}

/// Numbers of an i64 constant.
pub fn integers_of(tensor: &TensorProto) -> Option<Vec<i64>> {
    if tensor.data_type != Some(DataType::INT64) {
        return None;
    }
    match &tensor.raw_data {
        Some(raw) => Some(raw.borrow().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()),
        None => Some(tensor.int64_data.clone()),
    }
}
