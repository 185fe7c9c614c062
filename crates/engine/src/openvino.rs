//! The fast backend on x86: OpenVINO, 2 to 4 times faster than rten. The library is looked for when the backend is made, so
//! one program runs with it and without it.

use std::num::NonZeroUsize;

use ::openvino::{Core, DeviceType, ElementType, InferRequest, RwPropertyKey, Shape, Tensor};

use crate::TILE_PX;
use crate::backend::BackendInfo;
use crate::batched::{Batched, LocatorInputs, LocatorOutputs, Networks};
use crate::config::{EngineConfig, Precision};
use crate::error::EngineError;
use crate::image::CHANNELS;
use crate::package::{ENCODER, LOCATOR, Package};

const NAME: &str = "openvino";

/// Runs a package on OpenVINO.
pub type OpenVinoBackend = Batched<OpenVinoNetworks>;

impl OpenVinoBackend {
    /// Finds the library, compiles the networks of `package` and runs each once. Without the library the error is
    /// [`EngineError::LibraryMissing`].
    pub fn new(package: &Package, config: &EngineConfig) -> Result<OpenVinoBackend, EngineError> {
        let available = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = config.threads.map_or_else(available, NonZeroUsize::get);
        let networks = OpenVinoNetworks::load(package, threads, config.precision)?;
        let info = BackendInfo::of(NAME, config.precision.name(), threads, package);
        Batched::of(info, networks, config.batch_images_max.get())
    }
}

/// The networks as compiled OpenVINO models.
pub struct OpenVinoNetworks {
    encoder: InferRequest,
    locator: InferRequest,
    cells: i64,
    channels: i64,
    // Keeps the library's devices alive as long as its models.
    _core: Core,
}

impl OpenVinoNetworks {
    fn load(package: &Package, threads: usize, precision: Precision) -> Result<OpenVinoNetworks, EngineError> {
        let mut core = Core::new().map_err(|error| EngineError::LibraryMissing {
            library: "OpenVINO",
            remedy: "install it from its PyPI wheel and add its folder of libraries to LD_LIBRARY_PATH, or choose another backend",
            source: Box::new(error),
        })?;
        let settings = [
            (RwPropertyKey::InferenceNumThreads, threads.to_string()),
            (RwPropertyKey::HintInferencePrecision, precision.name().into()),
            (RwPropertyKey::HintPerformanceMode, "LATENCY".into()),
        ];
        for (key, value) in settings {
            let action = || format!("set {} to {value}", key.as_ref());
            core.set_property(&DeviceType::CPU, &key, &value).map_err(|error| failed(action(), error))?;
        }
        let encoder = compile(&mut core, package, ENCODER)?;
        let locator = compile(&mut core, package, LOCATOR)?;
        let (cells, channels) = (package.manifest().cells() as i64, package.manifest().channels as i64);
        Ok(OpenVinoNetworks { encoder, locator, cells, channels, _core: core })
    }
}

impl Networks for OpenVinoNetworks {
    fn encode(&mut self, pixels: &[u8], views: &[i32], features: &mut Vec<f32>) -> Result<(), EngineError> {
        let failed = |error| failed("run the encoder".into(), error);
        let count = views.len() as i64;
        let edge = TILE_PX as i64;
        let image = tensor(ElementType::U8, &[count, edge, edge, CHANNELS as i64], pixels).map_err(failed)?;
        let view = tensor(ElementType::I32, &[count], views).map_err(failed)?;
        self.encoder.set_tensor("image", &image).map_err(failed)?;
        self.encoder.set_tensor("view", &view).map_err(failed)?;
        self.encoder.infer().map_err(failed)?;
        read(&self.encoder, "encoder", "features", &[count, self.cells, self.cells, self.channels], features)
    }

    fn locate(&mut self, inputs: &LocatorInputs, outputs: &mut LocatorOutputs) -> Result<(), EngineError> {
        let failed = |error| failed("run the locator".into(), error);
        let LocatorInputs { queries, clicks, reference, windows, .. } = *inputs;
        let (count, cells, channels) = (windows.len() as i64, self.cells, self.channels);
        let (height, width) = (inputs.height as i64, inputs.width as i64);
        let f32 = ElementType::F32;
        let given = [
            ("query", tensor(f32, &[count, cells, cells, channels], queries).map_err(failed)?),
            ("click", tensor(f32, &[count, 2], clicks).map_err(failed)?),
            ("reference", tensor(f32, &[1, height, width, channels], reference).map_err(failed)?),
            ("window", tensor(ElementType::I32, &[count], windows).map_err(failed)?),
        ];
        for (name, tensor) in &given {
            self.locator.set_tensor(name, tensor).map_err(failed)?;
        }
        self.locator.infer().map_err(failed)?;
        let map = [count, height, width];
        read(&self.locator, "locator", "heat", &map, &mut outputs.heat)?;
        read(&self.locator, "locator", "box", &[count, height, width, 4], &mut outputs.boxes)?;
        read(&self.locator, "locator", "attention", &map, &mut outputs.attention)
    }
}

fn compile(core: &mut Core, package: &Package, name: &str) -> Result<InferRequest, EngineError> {
    let bytes = package.read(name)?;
    let failed = |error| failed(format!("load {}", package.folder().join(name).display()), error);
    let model = core.read_model_from_buffer(&bytes, None).map_err(failed)?;
    let mut compiled = core.compile_model(&model, DeviceType::CPU).map_err(failed)?;
    compiled.create_infer_request().map_err(failed)
}

fn tensor<T: Copy>(kind: ElementType, shape: &[i64], values: &[T]) -> Result<Tensor, ::openvino::InferenceError> {
    let mut tensor = Tensor::new(kind, &Shape::new(shape)?)?;
    tensor.get_data_mut::<T>()?.copy_from_slice(values);
    Ok(tensor)
}

fn read(
    request: &InferRequest,
    network: &'static str,
    output: &str,
    shape: &[i64],
    into: &mut Vec<f32>,
) -> Result<(), EngineError> {
    let failed = |error| failed(format!("read `{output}`"), error);
    let tensor = request.get_tensor(output).map_err(failed)?;
    let given = tensor.get_shape().map_err(failed)?;
    if given.get_dimensions() != shape {
        let problem = format!("`{output}` of shape {:?}, not {shape:?}", given.get_dimensions());
        return Err(EngineError::Output { network, problem });
    }
    into.clear();
    into.extend_from_slice(tensor.get_data::<f32>().map_err(failed)?);
    Ok(())
}

fn failed(action: String, source: ::openvino::InferenceError) -> EngineError {
    EngineError::Backend { backend: NAME, action, source: Box::new(source) }
}
