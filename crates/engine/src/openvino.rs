//! The fast backend on x86: OpenVINO, 2 to 4 times faster than rten. The library is looked for when the backend is made, so
//! one program runs with it and without it.

mod library;

use std::num::NonZeroUsize;

use ::openvino::{Core, DeviceType, ElementType, InferRequest, RwPropertyKey, Shape, Tensor};

use crate::TILE_PX;
use crate::backend::BackendInfo;
use crate::batched::{Batched, LocatorInputs, LocatorOutputs, Networks};
use crate::config::{EngineConfig, Precision};
use crate::error::EngineError;
use crate::image::{CHANNELS, EncoderImage, IMAGE_BYTES, View};
use crate::package::{ENCODER, LOCATOR, Package};

const NAME: &str = "openvino";

/// Runs a package on OpenVINO.
pub type OpenVinoBackend = Batched<OpenVinoNetworks>;

impl OpenVinoBackend {
    /// Finds the library, compiles the networks of `package` and runs each once. Without the library the error is
    /// [`EngineError::LibraryMissing`].
    pub fn new(package: &Package, config: &EngineConfig) -> Result<OpenVinoBackend, EngineError> {
        library::load(config.openvino_folder.as_deref())?;
        let available = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = config.threads.map_or_else(available, NonZeroUsize::get);
        let networks = OpenVinoNetworks::load(package, threads, config.precision)?;
        let info = BackendInfo::of(NAME, config.precision.name(), threads, package);
        Batched::of(info, networks, config.batch_images_max.get())
    }
}

/// The networks as compiled OpenVINO models.
pub struct OpenVinoNetworks {
    encoder: Model,
    locator: Model,
    cells: i64,
    channels: i64,
    // Keeps the library's devices alive as long as its models.
    _core: Core,
}

impl OpenVinoNetworks {
    fn load(package: &Package, threads: usize, precision: Precision) -> Result<OpenVinoNetworks, EngineError> {
        let mut core = Core::new().map_err(|error| library::missing(error.to_string()))?;
        let settings = [
            (RwPropertyKey::InferenceNumThreads, threads.to_string()),
            (RwPropertyKey::HintInferencePrecision, precision.name().into()),
            (RwPropertyKey::HintPerformanceMode, "LATENCY".into()),
        ];
        for (key, value) in settings {
            let action = || format!("set {} to {value}", key.as_ref());
            core.set_property(&DeviceType::CPU, &key, &value).map_err(|error| failed(action(), error))?;
        }
        let encoder = Model::compile(&mut core, package, ENCODER)?;
        let locator = Model::compile(&mut core, package, LOCATOR)?;
        let (cells, channels) = (package.manifest().cells() as i64, package.manifest().channels as i64);
        Ok(OpenVinoNetworks { encoder, locator, cells, channels, _core: core })
    }
}

impl Networks for OpenVinoNetworks {
    fn encode(&mut self, images: &[(&EncoderImage, View)], features: &mut Vec<f32>) -> Result<(), EngineError> {
        let count = images.len() as i64;
        let edge = TILE_PX as i64;
        self.encoder.give("image", ElementType::U8, &[count, edge, edge, CHANNELS as i64], |pixels: &mut [u8]| {
            for (place, (image, _)) in pixels.chunks_exact_mut(IMAGE_BYTES).zip(images) {
                place.copy_from_slice(image.bytes());
            }
        })?;
        self.encoder.give("view", ElementType::I32, &[count], |views: &mut [i32]| {
            views.iter_mut().zip(images).for_each(|(place, (_, view))| *place = view.code());
        })?;
        self.encoder.run()?;
        self.encoder.read("features", &[count, self.cells, self.cells, self.channels], features)
    }

    fn locate(&mut self, inputs: &LocatorInputs, outputs: &mut LocatorOutputs) -> Result<(), EngineError> {
        let LocatorInputs { queries, clicks, reference, windows, .. } = *inputs;
        let (count, cells, channels) = (windows.len() as i64, self.cells, self.channels);
        let (height, width) = (inputs.height as i64, inputs.width as i64);
        let f32 = ElementType::F32;
        self.locator.copy("query", f32, &[count, cells, cells, channels], queries)?;
        self.locator.copy("click", f32, &[count, 2], clicks)?;
        self.locator.copy("reference", f32, &[1, height, width, channels], reference)?;
        self.locator.copy("window", ElementType::I32, &[count], windows)?;
        self.locator.run()?;
        let map = [count, height, width];
        self.locator.read("heat", &map, &mut outputs.heat)?;
        self.locator.read("box", &[count, height, width, 4], &mut outputs.boxes)?;
        self.locator.read("attention", &map, &mut outputs.attention)
    }
}

/// One compiled network and its inputs, which are kept as long as their shapes stay.
struct Model {
    request: InferRequest,
    network: &'static str,
    inputs: Vec<Input>,
}

struct Input {
    name: &'static str,
    shape: Vec<i64>,
    tensor: Tensor,
}

impl Model {
    fn compile(core: &mut Core, package: &Package, file: &'static str) -> Result<Model, EngineError> {
        let bytes = package.read(file)?;
        let failed = |error| failed(format!("load {}", package.folder().join(file).display()), error);
        let model = core.read_model_from_buffer(&bytes, None).map_err(failed)?;
        let mut compiled = core.compile_model(&model, DeviceType::CPU).map_err(failed)?;
        let request = compiled.create_infer_request().map_err(failed)?;
        Ok(Model { request, network: file.trim_end_matches(".onnx"), inputs: Vec::new() })
    }

    fn copy<T: Copy>(
        &mut self,
        name: &'static str,
        kind: ElementType,
        shape: &[i64],
        values: &[T],
    ) -> Result<(), EngineError> {
        self.give(name, kind, shape, |place: &mut [T]| place.copy_from_slice(values))
    }

    /// Lets `write` fill the input `name`.
    fn give<T>(
        &mut self,
        name: &'static str,
        kind: ElementType,
        shape: &[i64],
        write: impl FnOnce(&mut [T]),
    ) -> Result<(), EngineError> {
        let failed = |error| failed(format!("take `{name}`"), error);
        let known = self.inputs.iter().position(|input| input.name == name && input.shape == shape);
        let at = match known {
            Some(at) => at,
            None => {
                let tensor = Tensor::new(kind, &Shape::new(shape).map_err(failed)?).map_err(failed)?;
                self.request.set_tensor(name, &tensor).map_err(failed)?;
                self.inputs.retain(|input| input.name != name);
                self.inputs.push(Input { name, shape: shape.into(), tensor });
                self.inputs.len() - 1
            }
        };
        write(self.inputs[at].tensor.get_data_mut::<T>().map_err(failed)?);
        Ok(())
    }

    fn run(&mut self) -> Result<(), EngineError> {
        self.request.infer().map_err(|error| failed(format!("run the {}", self.network), error))
    }

    fn read(&self, output: &str, shape: &[i64], into: &mut Vec<f32>) -> Result<(), EngineError> {
        let failed = |error| failed(format!("read `{output}`"), error);
        let tensor = self.request.get_tensor(output).map_err(failed)?;
        let given = tensor.get_shape().map_err(failed)?;
        if given.get_dimensions() != shape {
            let problem = format!("`{output}` of shape {:?}, not {shape:?}", given.get_dimensions());
            return Err(EngineError::Output { network: self.network, problem });
        }
        into.clear();
        into.extend_from_slice(tensor.get_data::<f32>().map_err(failed)?);
        Ok(())
    }
}

fn failed(action: String, source: ::openvino::InferenceError) -> EngineError {
    EngineError::Backend { backend: NAME, action, source: Box::new(source) }
}
