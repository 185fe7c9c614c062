//! The backend that is always there: rten, pure Rust, any CPU, in f32 or with the encoder in 8 bit.

use std::num::NonZeroUsize;
use std::sync::Arc;

use ::rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rayon::prelude::*;
use rten_tensor::prelude::*;
use rten_tensor::{NdTensorView, Tensor};

use crate::TILE_PX;
use crate::backend::BackendInfo;
use crate::batched::{Batched, LocatorOutputs, Networks, Queries};
use crate::config::Precision;
use crate::cut::Cut;
use crate::error::EngineError;
use crate::image::{CHANNELS, EncoderImage, View};
use crate::int8;
use crate::mosaic::Mosaic;
use crate::package::{ENCODER, LOCATOR, Package};

const NAME: &str = "rten";

/// Revision of the encoder's numbers. Raise it with every change of this program, of its rewritings or of the library below it that
/// changes what the encoder gives in any arithmetic: features that were kept before are then encoded again.
pub const ENCODER_REVISION: &str = "1";

/// Runs a package on rten.
pub type RtenBackend = Batched<RtenNetworks>;

/// How the rten backend runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtenConfig {
    /// Threads to compute on. `None`: as many as the system lets the process use.
    pub threads: Option<NonZeroUsize>,
    /// Most images under way at once; more wait. Bounds the memory of a large request.
    pub batch_images_max: NonZeroUsize,
    /// Arithmetic of the encoder, f32 or int8; the locator's is f32.
    pub precision: Precision,
}

impl Default for RtenConfig {
    fn default() -> RtenConfig {
        let batch_images_max = const { NonZeroUsize::new(4).unwrap() };
        RtenConfig { threads: None, batch_images_max, precision: Precision::F32 }
    }
}

/// Refuses an arithmetic that rten does not have.
pub fn check_precision(precision: Precision) -> Result<(), EngineError> {
    match precision {
        Precision::F32 | Precision::Int8 => Ok(()),
        Precision::Bf16 => {
            let problem = "precision = \"bf16\" needs backend = \"openvino\"; rten computes in f32 or int8";
            Err(EngineError::Setting(problem.into()))
        }
    }
}

impl RtenBackend {
    /// Loads the networks of `package` and runs each once.
    pub fn new(package: &Package, config: &RtenConfig) -> Result<RtenBackend, EngineError> {
        check_precision(config.precision)?;
        let available = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = config.threads.map_or_else(available, NonZeroUsize::get);
        let networks = RtenNetworks::load(package, threads, config.precision)?;
        let info =
            BackendInfo::of(NAME, config.precision.name(), threads, package).with_encoder_revision(ENCODER_REVISION);
        Batched::of(info, networks, config.batch_images_max.get())
    }
}

/// The networks as rten models.
pub struct RtenNetworks {
    encoder: Model,
    encoder_inputs: [NodeId; 2],
    encoder_output: [NodeId; 1],
    map: Option<WindowMap>,
    locator: Model,
    locator_outputs: [NodeId; 3],
    pool: Arc<ThreadPool>,
    options: RunOptions,
    cells: usize,
    channels: usize,
}

impl RtenNetworks {
    fn load(package: &Package, threads: usize, precision: Precision) -> Result<RtenNetworks, EngineError> {
        let encoder = package.read(ENCODER)?;
        // Packing weights ahead holds them twice. It gains 2.5 % of the time in f32, and a fifth in 8 bit, where they are small.
        let encoder = if precision == Precision::Int8 {
            loaded(int8::rewrite(encoder), ModelOptions::with_all_ops().prepack_weights(true), package, ENCODER)?
        } else {
            model(encoder, package, ENCODER)?
        };
        let bytes = package.read(LOCATOR)?;
        let (map, locator) = match Cut::of(&bytes).and_then(|cut| Some((cut.map()?, cut.matching(None)?, cut))) {
            Some((map, matching, cut)) => {
                let map = WindowMap::new(model(map, package, LOCATOR)?, &cut, package)?;
                (Some(map), model(matching, package, LOCATOR)?)
            }
            None => (None, model(bytes, package, LOCATOR)?),
        };
        let pool = Arc::new(ThreadPool::with_num_threads(threads));
        Ok(RtenNetworks {
            encoder_inputs: nodes(&encoder, package, ENCODER, ["image", "view"])?,
            encoder_output: nodes(&encoder, package, ENCODER, ["features"])?,
            encoder,
            map,
            locator_outputs: nodes(&locator, package, LOCATOR, ["heat", "box", "attention"])?,
            locator,
            options: RunOptions::default().with_thread_pool(Some(pool.clone())),
            pool,
            cells: package.manifest().cells(),
            channels: package.manifest().channels,
        })
    }

    fn encode_one(&self, (image, view): (&EncoderImage, View), features: &mut [f32]) -> Result<(), EngineError> {
        let view = [view.code()];
        let inputs: [ValueOrView; 2] = [
            NdTensorView::from_data([1, TILE_PX, TILE_PX, CHANNELS], image.bytes()).into(),
            NdTensorView::from_data([1], &view).into(),
        ];
        let inputs = self.encoder_inputs.into_iter().zip(inputs).collect();
        let run = self.encoder.run_n(inputs, self.encoder_output, Some(self.options.clone()));
        let [given] = run.map_err(|error| failed("run the encoder".into(), error))?;
        let shape = [1, self.cells, self.cells, self.channels];
        features.copy_from_slice(&numbers(given, "encoder", "features", &shape)?);
        Ok(())
    }

    /// Heat, boxes and attention of one query.
    fn locate_one(
        &self,
        query: &[f32],
        click: &[f32],
        window: &Mosaic,
        prepared: &[Tensor<f32>],
    ) -> Result<[Vec<f32>; 3], EngineError> {
        let own: [(&str, ValueOrView); 4] = [
            ("query", NdTensorView::from_data([1, self.cells, self.cells, self.channels], query).into()),
            ("click", NdTensorView::from_data([1, 2], click).into()),
            ("reference", reference(window).into()),
            ("window", NdTensorView::from_data([1], &[0]).into()),
        ];
        // An input that only the map reads is not one of the rest.
        let own = own.into_iter().filter_map(|(name, value)| Some((self.locator.find_node(name)?, value)));
        let carried = self.map.iter().flat_map(|map| &map.carried).zip(prepared);
        let carried = carried.filter_map(|(name, value)| Some((self.locator.find_node(name)?, value.view().into())));
        let run = self.locator.run_n(own.chain(carried).collect(), self.locator_outputs, Some(self.options.clone()));
        let [heat, boxes, attention] = run.map_err(|error| failed("run the locator".into(), error))?;
        let (height, width) = (window.height(), window.width());
        Ok([
            numbers(heat, "locator", "heat", &[1, height, width])?,
            numbers(boxes, "locator", "box", &[1, height, width, 4])?,
            numbers(attention, "locator", "attention", &[1, height, width])?,
        ])
    }
}

impl Networks for RtenNetworks {
    // Each image is a run of its own, and a thread that is idle helps with another's: quicker than a batch, and an image's
    // features are the same to the bit whatever is encoded beside it.
    fn encode(&mut self, images: &[(&EncoderImage, View)], features: &mut Vec<f32>) -> Result<(), EngineError> {
        let length = self.cells * self.cells * self.channels;
        features.resize(images.len() * length, 0.0);
        let places = features.par_chunks_exact_mut(length).with_max_len(1);
        self.pool.run(|| places.zip(images).try_for_each(|(place, image)| self.encode_one(*image, place)))
    }

    type Window = Vec<Tensor<f32>>;

    fn prepare(&mut self, window: &Mosaic) -> Result<Vec<Tensor<f32>>, EngineError> {
        let Some(map) = &self.map else { return Ok(Vec::new()) };
        let inputs = vec![(map.input, reference(window).into())];
        let run = map.model.run(inputs, &map.outputs, Some(self.options.clone()));
        let given = run.map_err(|error| failed("run the locator's map".into(), error))?;
        let f32 = |value: Value| value.into_tensor().ok_or_else(|| not_f32("locator", "a value of its map"));
        given.into_iter().map(f32).collect()
    }

    // Each query is a run of its own here too: most of the locator's operators run on one thread, and the second has another query's.
    fn locate(
        &mut self,
        queries: &Queries,
        window: &Mosaic,
        prepared: &Vec<Tensor<f32>>,
        outputs: &mut LocatorOutputs,
    ) -> Result<(), EngineError> {
        let (count, area) = (queries.windows.len(), window.height() * window.width());
        outputs.heat.resize(count * area, 0.0);
        outputs.boxes.resize(4 * count * area, 0.0);
        outputs.attention.resize(count * area, 0.0);
        let LocatorOutputs { heat, boxes, attention } = outputs;
        let places = heat.par_chunks_exact_mut(area).with_max_len(1);
        let places = places.zip(boxes.par_chunks_exact_mut(4 * area)).zip(attention.par_chunks_exact_mut(area));
        let features = queries.features.par_chunks_exact(self.cells * self.cells * self.channels);
        let asked = features.zip(queries.clicks.par_chunks_exact(2));
        self.pool.run(|| {
            places.zip(asked).try_for_each(|(((heat, boxes), attention), (query, click))| {
                let answer = self.locate_one(query, click, window, prepared)?;
                for (place, values) in [heat, boxes, attention].into_iter().zip(answer) {
                    place.copy_from_slice(&values);
                }
                Ok(())
            })
        })
    }
}

/// The part of the locator that reads the window alone.
struct WindowMap {
    model: Model,
    input: NodeId,
    outputs: Vec<NodeId>,
    carried: Vec<String>,
}

impl WindowMap {
    fn new(model: Model, cut: &Cut, package: &Package) -> Result<WindowMap, EngineError> {
        let [input] = nodes(&model, package, LOCATOR, ["reference"])?;
        let carried = cut.carried().to_vec();
        let outputs = carried.iter().filter_map(|name| model.find_node(name)).collect();
        Ok(WindowMap { model, input, outputs, carried })
    }
}

fn reference(window: &Mosaic) -> NdTensorView<'_, f32, 4> {
    NdTensorView::from_data([1, window.height(), window.width(), window.channels()], window.values())
}

fn model(bytes: Vec<u8>, package: &Package, file: &str) -> Result<Model, EngineError> {
    loaded(bytes, &ModelOptions::with_all_ops(), package, file)
}

fn loaded(bytes: Vec<u8>, options: &ModelOptions, package: &Package, file: &str) -> Result<Model, EngineError> {
    let path = package.folder().join(file);
    options.load(bytes).map_err(|error| failed(format!("load {}", path.display()), error))
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
    let tensor: Tensor<f32> = value.into_tensor().ok_or_else(|| not_f32(network, output))?;
    if tensor.shape() != shape {
        let problem = format!("`{output}` of shape {:?}, not {shape:?}", tensor.shape());
        return Err(EngineError::Output { network, problem });
    }
    Ok(tensor.into_data())
}

fn not_f32(network: &'static str, output: &str) -> EngineError {
    EngineError::Output { network, problem: format!("`{output}` that is not f32") }
}

fn failed(action: String, source: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError::Backend { backend: NAME, action, source: Box::new(source) }
}
