//! A graph as the bytes of an ONNX file.

use rten_onnx::onnx::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

use super::Graph;

/// Name of every graph: the ONNX checker refuses a graph without one.
pub const GRAPH_NAME: &str = "smgeo";
/// Standard operators: 20 is the first set with Gelu.
const OPSET: i64 = 20;
/// File format that goes with opset 20.
const IR_VERSION: i64 = 9;
/// Tag of `ModelProto.graph`: field 7, length-delimited.
const TAG_GRAPH: u8 = 0x3a;
/// Tag of `GraphProto.name`: field 2, length-delimited.
const TAG_NAME: u8 = 0x12;

/// Encodes a graph, with `metadata` as the file's properties.
pub fn file(graph: Graph, metadata: &[(&str, String)]) -> Result<Vec<u8>, std::io::Error> {
    let domain = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) };
    let mut opset_import = vec![domain("", OPSET)];
    if graph.has_custom_nodes() {
        opset_import.push(domain("smgeo", 1));
    }
    let properties = metadata
        .iter()
        .map(|(key, value)| StringStringEntryProto { key: Some((*key).to_owned()), value: Some(value.clone()) });
    let envelope = ModelProto {
        ir_version: Some(IR_VERSION),
        opset_import,
        metadata_props: properties.collect(),
        producer_name: Some("smgeo-train".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: None,
    };
    let graph = ModelProto { graph: Some(graph.into_proto()), ..ModelProto::default() };
    let encode = |model: &ModelProto| model.write_buf().map_err(std::io::Error::other);
    let mut bytes = encode(&envelope)?;
    bytes.extend(named(&encode(&graph)?)?);
    Ok(bytes)
}

/// Puts the name at the start of the one graph message in `encoded`; the encoder has no field for it.
fn named(encoded: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    let broken = || std::io::Error::other("the encoder wrote no graph message");
    let [TAG_GRAPH, rest @ ..] = encoded else {
        return Err(broken());
    };
    let length_bytes = rest.iter().position(|byte| byte & 0x80 == 0).ok_or_else(broken)? + 1;
    let body = &rest[length_bytes..];
    let mut name = vec![TAG_NAME, GRAPH_NAME.len() as u8];
    name.extend(GRAPH_NAME.as_bytes());
    let mut bytes = vec![TAG_GRAPH];
    bytes.extend(varint(name.len() + body.len()));
    bytes.extend(name);
    bytes.extend(body);
    Ok(bytes)
}

/// A protocol-buffer varint.
fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
