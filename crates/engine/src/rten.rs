//! The backend that is always there: rten, pure Rust, any CPU, f32.

use std::num::NonZeroUsize;
use std::sync::Arc;

use ::rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensorView, Tensor};

use crate::TILE_PX;
use crate::backend::BackendInfo;
use crate::batched::{Batched, LocatorInputs, LocatorOutputs, Networks};
use crate::error::EngineError;
use crate::image::{CHANNELS, EncoderImage, View};
use crate::package::{ENCODER, LOCATOR, Package};

const NAME: &str = "rten";

/// Runs a package on rten.
pub type RtenBackend = Batched<RtenNetworks>;

/// How the rten backend runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtenConfig {
    /// Threads to compute on. `None`: as many as the system lets the process use.
    pub threads: Option<NonZeroUsize>,
    /// Most images encoded in one run; more are split. Bounds the memory of a large request.
    pub batch_images_max: NonZeroUsize,
}

impl Default for RtenConfig {
    fn default() -> RtenConfig {
        RtenConfig { threads: None, batch_images_max: const { NonZeroUsize::new(16).unwrap() } }
    }
}

impl RtenBackend {
    /// Loads the networks of `package` and runs each once.
    pub fn new(package: &Package, config: &RtenConfig) -> Result<RtenBackend, EngineError> {
        let available = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = config.threads.map_or_else(available, NonZeroUsize::get);
        let networks = RtenNetworks::load(package, threads)?;
        Batched::of(BackendInfo::of(NAME, "f32", threads, package), networks, config.batch_images_max.get())
    }
}

/// The networks as rten models.
pub struct RtenNetworks {
    encoder: Model,
    encoder_inputs: [NodeId; 2],
    encoder_output: [NodeId; 1],
    locator: Model,
    locator_inputs: [NodeId; 4],
    locator_outputs: [NodeId; 3],
    options: RunOptions,
    cells: usize,
    channels: usize,
    // The batch, kept from run to run.
    pixels: Vec<u8>,
    views: Vec<i32>,
}

impl RtenNetworks {
    fn load(package: &Package, threads: usize) -> Result<RtenNetworks, EngineError> {
        let (encoder, locator) = (load(package, ENCODER)?, load(package, LOCATOR)?);
        let pool = Arc::new(ThreadPool::with_num_threads(threads));
        Ok(RtenNetworks {
            encoder_inputs: nodes(&encoder, package, ENCODER, ["image", "view"])?,
            encoder_output: nodes(&encoder, package, ENCODER, ["features"])?,
            encoder,
            locator_inputs: nodes(&locator, package, LOCATOR, ["query", "click", "reference", "window"])?,
            locator_outputs: nodes(&locator, package, LOCATOR, ["heat", "box", "attention"])?,
            locator,
            options: RunOptions::default().with_thread_pool(Some(pool)),
            cells: package.manifest().cells(),
            channels: package.manifest().channels,
            pixels: Vec::new(),
            views: Vec::new(),
        })
    }
}

impl Networks for RtenNetworks {
    fn encode(&mut self, images: &[(&EncoderImage, View)], features: &mut Vec<f32>) -> Result<(), EngineError> {
        let count = images.len();
        self.views.clear();
        self.views.extend(images.iter().map(|(_, view)| view.code()));
        // One image is given as it is, without a copy.
        let pixels: &[u8] = match images {
            [(image, _)] => image.bytes(),
            _ => {
                self.pixels.clear();
                images.iter().for_each(|(image, _)| self.pixels.extend_from_slice(image.bytes()));
                &self.pixels
            }
        };
        let inputs: [ValueOrView; 2] = [
            NdTensorView::from_data([count, TILE_PX, TILE_PX, CHANNELS], pixels).into(),
            NdTensorView::from_data([count], &*self.views).into(),
        ];
        let inputs = self.encoder_inputs.into_iter().zip(inputs).collect();
        let run = self.encoder.run_n(inputs, self.encoder_output, Some(self.options.clone()));
        let [given] = run.map_err(|error| failed("run the encoder".into(), error))?;
        *features = numbers(given, "encoder", "features", &[count, self.cells, self.cells, self.channels])?;
        Ok(())
    }

    fn locate(&mut self, inputs: &LocatorInputs, outputs: &mut LocatorOutputs) -> Result<(), EngineError> {
        let LocatorInputs { queries, clicks, reference, windows, height, width } = *inputs;
        let (count, cells, channels) = (windows.len(), self.cells, self.channels);
        let inputs: [ValueOrView; 4] = [
            NdTensorView::from_data([count, cells, cells, channels], queries).into(),
            NdTensorView::from_data([count, 2], clicks).into(),
            NdTensorView::from_data([1, height, width, channels], reference).into(),
            NdTensorView::from_data([count], windows).into(),
        ];
        let inputs = self.locator_inputs.into_iter().zip(inputs).collect();
        let run = self.locator.run_n(inputs, self.locator_outputs, Some(self.options.clone()));
        let [heat, boxes, attention] = run.map_err(|error| failed("run the locator".into(), error))?;
        outputs.heat = numbers(heat, "locator", "heat", &[count, height, width])?;
        outputs.boxes = numbers(boxes, "locator", "box", &[count, height, width, 4])?;
        outputs.attention = numbers(attention, "locator", "attention", &[count, height, width])?;
        Ok(())
    }
}

fn load(package: &Package, name: &str) -> Result<Model, EngineError> {
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    let path = package.folder().join(name);
    options.load(package.read(name)?).map_err(|error| failed(format!("load {}", path.display()), error))
}

fn nodes<const N: usize>(
    model: &Model,
    package: &Package,
    file: &str,
    names: [&str; N],
) -> Result<[NodeId; N], EngineError> {
    let ids: Vec<NodeId> = names.iter().filter_map(|name| model.find_node(name)).collect();
    ids.try_into().map_err(|_| {
        let problem = format!("one of {} is missing", names.join(", "));
        EngineError::Graph { path: package.folder().join(file), problem }
    })
}

fn numbers(value: Value, network: &'static str, output: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError> {
    let wrong = |found: String| EngineError::Output { network, problem: format!("`{output}` {found}, not {shape:?}") };
    let tensor: Tensor<f32> = value.into_tensor().ok_or_else(|| wrong("that is not f32".into()))?;
    if tensor.shape() != shape {
        return Err(wrong(format!("of shape {:?}", tensor.shape())));
    }
    Ok(tensor.into_data())
}

fn failed(action: String, source: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError::Backend { backend: NAME, action, source: Box::new(source) }
}
