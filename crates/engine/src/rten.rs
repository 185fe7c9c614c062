//! The backend that is always there: rten, pure Rust, any CPU, f32.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use ::rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensorView, Tensor};

use crate::TILE_PX;
use crate::backend::{Backend, BackendInfo, LocateRequest, Maps, by_window, check_requests};
use crate::error::EngineError;
use crate::features::Features;
use crate::image::{CHANNELS, EncoderImage, IMAGE_BYTES, View};
use crate::mosaic::Mosaic;
use crate::package::{ENCODER, LOCATOR, Package};

const NAME: &str = "rten";

/// How the rten backend runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtenConfig {
    /// Threads to compute on. `None`: as many as the machine has physical cores.
    pub threads: Option<NonZeroUsize>,
    /// Most images encoded in one run; more are split. Bounds the memory of a large request.
    pub batch_images_max: NonZeroUsize,
}

impl Default for RtenConfig {
    fn default() -> RtenConfig {
        RtenConfig { threads: None, batch_images_max: const { NonZeroUsize::new(16).unwrap() } }
    }
}

/// Runs a package on rten.
pub struct RtenBackend {
    info: BackendInfo,
    encoder: Encoder,
    locator: Locator,
    options: RunOptions,
    batch_images_max: usize,
    /// Inputs of a batch lie side by side here; kept so that the warm path makes no new buffers of its own.
    pixels: Vec<u8>,
    queries: Vec<f32>,
}

struct Encoder {
    model: Model,
    image: NodeId,
    view: NodeId,
    features: NodeId,
}

struct Locator {
    model: Model,
    inputs: [NodeId; 4],
    outputs: [NodeId; 3],
}

impl RtenBackend {
    /// Loads the networks of `package` and runs each once, so that a package that cannot run fails here.
    pub fn new(package: &Package, config: &RtenConfig) -> Result<RtenBackend, EngineError> {
        let threads = config.threads.map_or_else(physical_cores, NonZeroUsize::get);
        let pool = Arc::new(ThreadPool::with_num_threads(threads));
        let mut backend = RtenBackend {
            info: BackendInfo::of(NAME, "f32", threads, package),
            encoder: Encoder::load(package)?,
            locator: Locator::load(package)?,
            options: RunOptions::default().with_thread_pool(Some(pool)),
            batch_images_max: config.batch_images_max.get(),
            pixels: Vec::new(),
            queries: Vec::new(),
        };
        backend.warm_up()?;
        tracing::info!(backend = NAME, threads, package = %package.hash().short(), "engine ready");
        Ok(backend)
    }

    fn warm_up(&mut self) -> Result<(), EngineError> {
        let centre = TILE_PX as f32 / 2.0;
        let grey = EncoderImage::query_from((centre, centre), |_, _| [128; 3])?;
        let features = self.encode(&[(&grey, View::Query), (&grey, View::Tile)])?;
        let reference = Mosaic::of_tiles(1, 1, &features[1..])?;
        let request = LocateRequest { query: &features[0], click: [centre, centre], reference: &reference };
        self.locate(&[request]).map(|_| ())
    }

    fn encode_batch(&mut self, images: &[(&EncoderImage, View)]) -> Result<Vec<Features>, EngineError> {
        let count = images.len();
        let views: Vec<i32> = images.iter().map(|(_, view)| view.code()).collect();
        let bytes: &[u8] = match images {
            [(image, _)] => image.bytes(),
            _ => {
                self.pixels.clear();
                self.pixels.reserve(count * IMAGE_BYTES);
                images.iter().for_each(|(image, _)| self.pixels.extend_from_slice(image.bytes()));
                &self.pixels
            }
        };
        let image = NdTensorView::from_data([count, TILE_PX, TILE_PX, CHANNELS], bytes);
        let view = NdTensorView::from_data([count], views.as_slice());
        let network = &self.encoder;
        let inputs: Vec<(NodeId, ValueOrView)> = vec![(network.image, image.into()), (network.view, view.into())];
        let run = network.model.run_n(inputs, [network.features], Some(self.options.clone()));
        let [features] = run.map_err(|error| failed("run the encoder", error))?;
        let (cells, channels) = (self.info.cells(), self.info.channels);
        let values = numbers(features, "encoder", "features", &[count, cells, cells, channels])?;
        if values.iter().any(|value| !value.is_finite()) {
            let problem = "features that are not finite".into();
            return Err(EngineError::Output { network: "encoder", problem });
        }
        values.chunks_exact(cells * cells * channels).map(|one| Features::new(one.into(), cells, channels)).collect()
    }

    /// Answers the requests with the indices in `group`, which share a window.
    fn locate_group(&mut self, requests: &[LocateRequest], group: &[usize]) -> Result<Vec<Maps>, EngineError> {
        let count = group.len();
        let reference = requests[group[0]].reference;
        let (height, width, cells, channels) =
            (reference.height(), reference.width(), self.info.cells(), self.info.channels);
        let queries: &[f32] = match group {
            [only] => requests[*only].query.values(),
            _ => {
                self.queries.clear();
                group.iter().for_each(|index| self.queries.extend_from_slice(requests[*index].query.values()));
                &self.queries
            }
        };
        let clicks: Vec<f32> = group.iter().flat_map(|index| requests[*index].click).collect();
        let windows = vec![0i32; count];
        let views: [ValueOrView; 4] = [
            NdTensorView::from_data([count, cells, cells, channels], queries).into(),
            NdTensorView::from_data([count, 2], clicks.as_slice()).into(),
            NdTensorView::from_data([1, height, width, channels], reference.values()).into(),
            NdTensorView::from_data([count], windows.as_slice()).into(),
        ];
        let network = &self.locator;
        let inputs = network.inputs.into_iter().zip(views).collect();
        let run = network.model.run_n(inputs, network.outputs, Some(self.options.clone()));
        let [heat, boxes, attention] = run.map_err(|error| failed("run the locator", error))?;
        let heat = numbers(heat, "locator", "heat", &[count, height, width])?;
        let boxes = numbers(boxes, "locator", "box", &[count, height, width, 4])?;
        let attention = numbers(attention, "locator", "attention", &[count, height, width])?;
        let area = height * width;
        let maps = (0..count).map(|index| {
            let mut heat = heat[index * area..(index + 1) * area].to_vec();
            reference.mask(&mut heat);
            let boxes = boxes[4 * index * area..4 * (index + 1) * area].to_vec();
            let attention = attention[index * area..(index + 1) * area].to_vec();
            Maps { width, height, heat, boxes, attention }
        });
        Ok(maps.collect())
    }
}

impl Backend for RtenBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn encode(&mut self, images: &[(&EncoderImage, View)]) -> Result<Vec<Features>, EngineError> {
        let mut features = Vec::with_capacity(images.len());
        for batch in images.chunks(self.batch_images_max) {
            features.extend(self.encode_batch(batch)?);
        }
        Ok(features)
    }

    fn locate(&mut self, requests: &[LocateRequest]) -> Result<Vec<Maps>, EngineError> {
        check_requests(&self.info, requests)?;
        let mut answers: Vec<Maps> = vec![Maps::default(); requests.len()];
        for group in by_window(requests) {
            let maps = self.locate_group(requests, &group)?;
            group.into_iter().zip(maps).for_each(|(index, maps)| answers[index] = maps);
        }
        Ok(answers)
    }
}

impl Encoder {
    fn load(package: &Package) -> Result<Encoder, EngineError> {
        let model = load(package, ENCODER)?;
        let [image, view, features] = nodes(&model, package, ENCODER, ["image", "view", "features"])?;
        Ok(Encoder { model, image, view, features })
    }
}

impl Locator {
    fn load(package: &Package) -> Result<Locator, EngineError> {
        let model = load(package, LOCATOR)?;
        let inputs = nodes(&model, package, LOCATOR, ["query", "click", "reference", "window"])?;
        let outputs = nodes(&model, package, LOCATOR, ["heat", "box", "attention"])?;
        Ok(Locator { model, inputs, outputs })
    }
}

fn load(package: &Package, name: &str) -> Result<Model, EngineError> {
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    options.load(package.read(name)?).map_err(|error| failed(&format!("load {}", path(package, name).display()), error))
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
        EngineError::Graph { path: path(package, file), problem }
    })
}

fn path(package: &Package, name: &str) -> PathBuf {
    package.folder().join(name)
}

fn numbers(value: Value, network: &'static str, output: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError> {
    let wrong = |found: String| EngineError::Output { network, problem: format!("`{output}` {found}, not {shape:?}") };
    let tensor: Tensor<f32> = value.into_tensor().ok_or_else(|| wrong("that is not f32".into()))?;
    if tensor.shape() != shape {
        return Err(wrong(format!("of shape {:?}", tensor.shape())));
    }
    Ok(tensor.into_data())
}

fn failed(action: &str, source: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError::Backend { backend: NAME, action: action.into(), source: Box::new(source) }
}

// rten's own default pool counts physical cores; asking it keeps one opinion on that in the process.
fn physical_cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
