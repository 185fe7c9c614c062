//! The interface of the two networks, checked on the ONNX files themselves before any backend sees them: a package of the
//! wrong shape fails on the ground, with a sentence, and the same on every backend.

use rten_onnx::onnx::{DataType, ModelProto, ValueInfoProto};

use crate::TILE_PX;
use crate::framing;
use crate::image::CHANNELS;
use crate::package::Manifest;

/// One dimension of an input or output.
#[derive(Clone, Copy, Debug)]
enum Extent {
    /// Left open: batch sizes and the extent of the reference.
    Open,
    /// Must be this, or open.
    Is(usize),
}

struct Port {
    name: &'static str,
    kind: DataType,
    shape: Vec<Extent>,
}

/// Checks `encoder.onnx`: `image` u8 [B, 256, 256, 4] and `view` i32 [B] in, `features` f32 [B, F, F, C] out.
pub fn check_encoder(onnx: &[u8], manifest: &Manifest) -> Result<(), String> {
    use Extent::{Is, Open};
    let cells = manifest.cells();
    let inputs = [
        port("image", DataType::UINT8, vec![Open, Is(TILE_PX), Is(TILE_PX), Is(CHANNELS)]),
        port("view", DataType::INT32, vec![Open]),
    ];
    let outputs = [port("features", DataType::FLOAT, vec![Open, Is(cells), Is(cells), Is(manifest.channels)])];
    check(onnx, &inputs, &outputs)
}

/// Checks `locator.onnx`: `query` f32 [K, F, F, C], `click` f32 [K, 2], `reference` f32 [R, H, W, C] and `window` i32 [K]
/// in; `heat` f32 [K, H, W], `box` f32 [K, H, W, 4] and `attention` f32 [K, H, W] out.
pub fn check_locator(onnx: &[u8], manifest: &Manifest) -> Result<(), String> {
    use Extent::{Is, Open};
    let (cells, channels) = (manifest.cells(), manifest.channels);
    let inputs = [
        port("query", DataType::FLOAT, vec![Open, Is(cells), Is(cells), Is(channels)]),
        port("click", DataType::FLOAT, vec![Open, Is(2)]),
        port("reference", DataType::FLOAT, vec![Open, Open, Open, Is(channels)]),
        port("window", DataType::INT32, vec![Open]),
    ];
    let outputs = [
        port("heat", DataType::FLOAT, vec![Open; 3]),
        port("box", DataType::FLOAT, vec![Open, Open, Open, Is(4)]),
        port("attention", DataType::FLOAT, vec![Open; 3]),
    ];
    check(onnx, &inputs, &outputs)
}

fn port(name: &'static str, kind: DataType, shape: Vec<Extent>) -> Port {
    Port { name, kind, shape }
}

fn check(onnx: &[u8], inputs: &[Port], outputs: &[Port]) -> Result<(), String> {
    if !framing::is_sound(onnx) {
        return Err("this is not an ONNX model (a length in it reaches beyond its end)".into());
    }
    let model = ModelProto::parse_buf(onnx).map_err(|error| format!("this is not an ONNX model ({error:?})"))?;
    let graph = model.graph.ok_or("this ONNX model has no graph")?;
    // Old exporters list weights among the inputs; an input with an initial value needs none from us.
    let weights: Vec<_> = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref()).collect();
    let fed = |info: &&ValueInfoProto| !info.name.as_deref().is_some_and(|name| weights.contains(&name));
    let given: Vec<&ValueInfoProto> = graph.input.iter().filter(fed).collect();
    if let Some(extra) = given.iter().find(|info| !inputs.iter().any(|port| info.name.as_deref() == Some(port.name))) {
        return Err(format!("it has an input `{}` that is not known", extra.name.as_deref().unwrap_or("without name")));
    }
    inputs.iter().try_for_each(|port| check_port("input", &given, port))?;
    let given: Vec<&ValueInfoProto> = graph.output.iter().collect();
    outputs.iter().try_for_each(|port| check_port("output", &given, port))
}

fn check_port(side: &str, given: &[&ValueInfoProto], port: &Port) -> Result<(), String> {
    let name = port.name;
    let Some(info) = given.iter().find(|info| info.name.as_deref() == Some(name)) else {
        return Err(format!("the {side} `{name}` is missing"));
    };
    let tensor = info.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let Some(tensor) = tensor else { return Err(format!("the {side} `{name}` is not a tensor")) };
    match tensor.elem_type {
        Some(kind) if kind == port.kind => {}
        Some(kind) => return Err(format!("the {side} `{name}` is {kind}, not {}", port.kind)),
        None => return Err(format!("the {side} `{name}` has no element type")),
    }
    // An output may leave its shape to inference; the backend compares what it really gives.
    let Some(shape) = &tensor.shape else { return Ok(()) };
    let sizes: Vec<Option<i64>> = shape.dim.iter().map(|dimension| dimension.dim_value).collect();
    let fits = |(size, extent): (&Option<i64>, &Extent)| match (size, extent) {
        (None, _) => true,
        (Some(size), Extent::Is(expected)) => *size == *expected as i64,
        (Some(_), Extent::Open) => false,
    };
    if sizes.len() == port.shape.len() && sizes.iter().zip(&port.shape).all(fits) {
        return Ok(());
    }
    Err(format!("the {side} `{name}` has the shape {}, not {}", shown(&sizes), shown(&expected(port))))
}

fn expected(port: &Port) -> Vec<Option<i64>> {
    let size = |extent: &Extent| match extent {
        Extent::Open => None,
        Extent::Is(size) => Some(*size as i64),
    };
    port.shape.iter().map(size).collect()
}

fn shown(sizes: &[Option<i64>]) -> String {
    let names: Vec<String> = sizes.iter().map(|size| size.map_or("any".into(), |size| size.to_string())).collect();
    format!("[{}]", names.join(", "))
}
