//! The fast backend on x86: OpenVINO, 1.1 to 1.7 times as fast as rten (docs/benchmarks.md). The library is looked for when the
//! backend is made, so one program runs with it and without it.

mod library;
mod map;
mod model;

use std::num::NonZeroUsize;

use ::openvino::{Core, DeviceType, ElementType, PropertyKey, RwPropertyKey, Shape, Tensor};

use crate::TILE_PX;
use crate::backend::BackendInfo;
use crate::batched::{Batched, LocatorOutputs, Networks, Queries};
use crate::config::{EngineConfig, Precision};
use crate::error::EngineError;
use crate::features::Features;
use crate::image::{CHANNELS, EncoderImage, IMAGE_BYTES, View};
use crate::mosaic::Mosaic;
use crate::package::{ENCODER, LOCATOR, Package};

use map::Map;
use model::Model;

const NAME: &str = "openvino";

/// Revision of the encoder's numbers, beside the library's version. Raise it with every change of this program or of its rewritings
/// that changes what the encoder gives in any arithmetic: features that were kept before are then encoded again.
const ENCODER_REVISION: &str = "1";

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
        let revision = format!("{ENCODER_REVISION} {}", ::openvino::version().build_number);
        let info = BackendInfo::of(NAME, config.precision.name(), threads, package).with_encoder_revision(revision);
        Batched::of(info, networks, config.batch_images_max.get())
    }
}

/// The networks as compiled OpenVINO models.
pub struct OpenVinoNetworks {
    encoder: Model,
    map: Option<Map>,
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
        check_arithmetic(&core, precision)?;
        let encoder = Model::compile(&mut core, package, ENCODER, &package.read(ENCODER)?)?;
        let bytes = package.read(LOCATOR)?;
        let (cells, channels) = (package.manifest().cells() as i64, package.manifest().channels as i64);
        let window = Mosaic::of_tiles(1, 1, &[Features::zero(cells as usize, channels as usize)?])?;
        let (map, matching) = Map::compile(&mut core, package, bytes, &reference_tensor(&window)?)?;
        let locator = Model::compile(&mut core, package, LOCATOR, &matching)?;
        Ok(OpenVinoNetworks { encoder, map, locator, cells, channels, _core: core })
    }
}

/// Refuses an arithmetic that this processor has not: OpenVINO would stay with f32 and say nothing, and a check of what never ran would
/// admit it on other machines.
fn check_arithmetic(core: &Core, precision: Precision) -> Result<(), EngineError> {
    let key = PropertyKey::Rw(RwPropertyKey::HintInferencePrecision);
    let action = || format!("say how it computes ({})", key.as_ref());
    let taken = core.get_property(&DeviceType::CPU, &key).map_err(|error| failed(action(), error))?;
    if taken == precision.name() {
        return Ok(());
    }
    let wanted = precision.name();
    let problem =
        format!("this processor has no {wanted} for OpenVINO, which computes in {taken}; choose precision = \"f32\"");
    Err(EngineError::Setting(problem))
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

    type Window = Vec<(String, Tensor)>;

    fn prepare(&mut self, window: &Mosaic) -> Result<Vec<(String, Tensor)>, EngineError> {
        let reference = reference_tensor(window)?;
        let mut given = match &mut self.map {
            Some(map) => map.run(&reference)?,
            None => Vec::new(),
        };
        given.push(("reference".into(), reference));
        Ok(given)
    }

    fn locate(
        &mut self,
        queries: &Queries,
        window: &Mosaic,
        prepared: &Vec<(String, Tensor)>,
        outputs: &mut LocatorOutputs,
    ) -> Result<(), EngineError> {
        let (count, cells, channels) = (queries.windows.len() as i64, self.cells, self.channels);
        self.locator.copy("query", ElementType::F32, &[count, cells, cells, channels], queries.features)?;
        self.locator.copy("click", ElementType::F32, &[count, 2], queries.clicks)?;
        self.locator.copy("window", ElementType::I32, &[count], queries.windows)?;
        for (name, tensor) in prepared {
            self.locator.share(name, tensor)?;
        }
        self.locator.run()?;
        let map = [count, window.height() as i64, window.width() as i64];
        self.locator.read("heat", &map, &mut outputs.heat)?;
        self.locator.read("box", &[map[0], map[1], map[2], 4], &mut outputs.boxes)?;
        self.locator.read("attention", &map, &mut outputs.attention)
    }
}

fn reference_tensor(window: &Mosaic) -> Result<Tensor, EngineError> {
    let failed = |error| failed("take `reference`".into(), error);
    let shape = [1, window.height() as i64, window.width() as i64, window.channels() as i64];
    let mut tensor = Tensor::new(ElementType::F32, &Shape::new(&shape).map_err(failed)?).map_err(failed)?;
    tensor.get_data_mut().map_err(failed)?.copy_from_slice(window.values());
    Ok(tensor)
}

fn failed(action: String, source: ::openvino::InferenceError) -> EngineError {
    EngineError::Backend { backend: NAME, action, source: Box::new(source) }
}
