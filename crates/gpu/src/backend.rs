//! Runs a package on a GPU through TensorRT: the engine's [`Networks`] on plans, behind the same trait and suite as every
//! backend.
//!
//! One stream. The encoder has one execution context and one CUDA graph for each batch size of a power of two, since a graph
//! holds the shapes it was recorded with; other sizes are padded. All are made at start, so that nothing is compiled in flight; where
//! TensorRT's launches cannot be recorded they are made one by one. Encoded tiles are kept in device memory under a budget, and a new
//! window is laid of them there; it stays as long as the engine keeps it prepared, so a frame uploads its queries only.

mod opened;
mod tiles;

use std::collections::BTreeMap;
use std::path::PathBuf;

use smgeo_engine::backend::BackendInfo;
use smgeo_engine::batched::{Batched, LocatorOutputs, Networks, Queries};
use smgeo_engine::image::IMAGE_BYTES;
use smgeo_engine::{EncoderImage, EngineConfig, EngineError, Mosaic, Package, View, gate};

use self::opened::{Opened, matching};
use self::tiles::Tiles;
use crate::cuda::graph::Graph;
use crate::cuda::{CudaMemory, Stream};
use crate::device::Memory;
use crate::element::{Plain, bytes_of, bytes_of_mut};
use crate::engines::{BATCH_MAX, Plan, WINDOW_TILES_MAX};
use crate::error::GpuError;
use crate::kernel_cache;
use crate::tensorrt::{Context, Engine, Kernels};

const NAME: &str = "tensorrt";

/// Revision of the encoder's numbers, beside the engine's fingerprint. Raise it with every change of this program that changes what
/// the same plan gives: features that were kept before are then encoded again.
const ENCODER_REVISION: &str = "1";

/// Runs a package on TensorRT.
pub type TensorRtBackend = Batched<TensorRtNetworks>;

/// How much is done at once, and kept on the GPU.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Most images in a run of the encoder.
    pub images_max: usize,
    /// Device memory for encoded tiles; with none of it windows are uploaded whole.
    pub tiles_bytes: usize,
}

impl Room {
    /// What a configuration says.
    pub fn of(config: &EngineConfig) -> Self {
        let tiles_bytes = (config.device_features_mib_max as usize) << 20;
        Self { images_max: config.batch_images_max.get(), tiles_bytes }
    }
}

/// The package's engines for the GPU of this machine. In 16 bits they have to have passed the check on held-out pairs that
/// [`gate`] keeps, these very engines on this model of GPU: what is fast must not answer otherwise than what was measured.
pub fn admitted(package: &Package, folders: &[PathBuf], room: Room) -> Result<TensorRtBackend, EngineError> {
    let admit = |engine: &Opened| {
        let said = |error: EngineError| GpuError::Engines(error.to_string());
        let checked = engine.checked_as();
        if engine.arithmetic() == "f32" || gate::is_admitted(package, NAME, &checked).map_err(said)? {
            return Ok(());
        }
        let folder = package.folder().display();
        Err(GpuError::Engines(format!(
            "there is no passing check {NAME}-{checked} for the package {folder}; run `smgeo-gpu admit {folder} PAIRS` on held-out pairs"
        )))
    };
    open(package, folders, room, None, admit).map(|(backend, _)| backend)
}

/// The package's engines without asking for that check: for the check itself, with the name that it is kept under. `name` is that of one
/// engine, as `engines.toml` has it; without, the first that fits is taken.
pub fn unchecked(
    package: &Package,
    folders: &[PathBuf],
    room: Room,
    name: Option<&str>,
) -> Result<(TensorRtBackend, String), EngineError> {
    open(package, folders, room, name, |_| Ok(()))
}

fn open(
    package: &Package,
    folders: &[PathBuf],
    room: Room,
    name: Option<&str>,
    admit: impl Fn(&Opened) -> Result<(), GpuError>,
) -> Result<(TensorRtBackend, String), EngineError> {
    let room = Room { images_max: room.images_max.clamp(1, BATCH_MAX as usize), ..room };
    let found = Stream::open().and_then(|stream| {
        let opened = matching(package, folders, name, stream.gpu(), admit)?;
        Ok((stream, opened))
    });
    let (stream, opened) = found.map_err(|error| refused("start", error))?;
    // From here on a fault of the device is as one in flight: what follows it in this process fails too.
    let started = TensorRtNetworks::load(package, stream, &opened, room.tiles_bytes).and_then(|mut networks| {
        networks.warm_up(room.images_max)?;
        kernel_cache::write(&opened.fingerprint, &networks.encoder.kernels()?);
        Ok(networks)
    });
    let networks = started.map_err(|error| failed("start", error))?;
    // TensorRT chooses kernels anew for each plan, and TensorRT-RTX for each GPU, and with them the order of sums.
    let revision = format!("{ENCODER_REVISION} {}", opened.fingerprint);
    let info = BackendInfo::of(NAME, opened.arithmetic(), 0, package).with_encoder_revision(revision);
    let checked = format!("{NAME}-{}", opened.checked_as());
    Ok((Batched::of(info, networks, room.images_max)?, checked))
}

/// The two networks as engines.
pub struct TensorRtNetworks {
    // Dropped in this order: graphs, contexts and memory before the engines, which keep the library open, all before the stream.
    batches: BTreeMap<usize, Batch>,
    locate: Context,
    located: Located,
    image: CudaMemory,
    view: CudaMemory,
    features: CudaMemory,
    tiles: Tiles,
    /// What TensorRT works in. Shared by all contexts: on one stream they run one after the other.
    work: CudaMemory,
    work_bytes: usize,
    encoder: Engine,
    _locator: Engine,
    stream: Stream,
    cells: usize,
    channels: usize,
    /// Whether the encoder's launches can be recorded, as far as was tried.
    records: bool,
}

/// The encoder for one number of images.
struct Batch {
    // Nothing where the launches cannot be recorded.
    graph: Option<Graph>,
    context: Context,
}

/// Memory of the locator's operands, for the largest window and batch.
struct Located {
    query: CudaMemory,
    click: CudaMemory,
    window: CudaMemory,
    heat: CudaMemory,
    boxes: CudaMemory,
    attention: CudaMemory,
}

/// A search window in device memory.
pub struct DeviceWindow(CudaMemory);

impl TensorRtNetworks {
    fn load(package: &Package, stream: Stream, opened: &Opened, tiles_bytes: usize) -> Result<Self, GpuError> {
        stream.bind()?;
        let Opened { library, entry, fingerprint } = opened;
        let load = |plan: &Plan, kernels: &[u8]| {
            let bytes = plan.read(package)?;
            // SAFETY: the entry was checked: this user built the plan or the package's signer vouches for it, its hash is right, the
            // kernels are of this user's folder, and the GPU's context is current.
            unsafe { Engine::load(library, &bytes, kernels) }
        };
        let (encoder, locator) = (load(&entry.encoder, &kernel_cache::read(fingerprint))?, load(&entry.locator, &[])?);
        let (cells, channels) = (package.manifest().cells(), package.manifest().channels);
        let batch = BATCH_MAX as usize;
        let map = batch * (WINDOW_TILES_MAX as usize * cells).pow(2) * size_of::<f32>();
        let features = batch * cells * cells * channels * size_of::<f32>();
        let work_bytes = encoder.memory_bytes().max(locator.memory_bytes());
        let work = stream.allocate(work_bytes)?;
        // Windows come in many shapes; the encoder does nearly all of the work.
        let mut locate = locator.context(Kernels::General)?;
        // SAFETY: the memory is as long as both engines need, and lives as long as the context.
        unsafe { locate.set_memory(work.address(), work_bytes) }?;
        Ok(Self {
            batches: BTreeMap::new(),
            locate,
            located: Located {
                query: stream.allocate(features)?,
                click: stream.allocate(batch * 2 * size_of::<f32>())?,
                window: stream.allocate(batch * size_of::<i32>())?,
                heat: stream.allocate(map)?,
                boxes: stream.allocate(4 * map)?,
                attention: stream.allocate(map)?,
            },
            image: stream.allocate(batch * IMAGE_BYTES)?,
            view: stream.allocate(batch * size_of::<i32>())?,
            features: stream.allocate(features)?,
            tiles: Tiles::within(tiles_bytes, &stream, cells, channels)?,
            work,
            work_bytes,
            encoder,
            _locator: locator,
            stream,
            cells,
            channels,
            records: true,
        })
    }

    /// Makes everything that batches of up to `count` images run on, before the flight.
    fn warm_up(&mut self, count: usize) -> Result<(), GpuError> {
        // Any pixels will do, but the view has to be one that exists.
        self.stream.write_at(&mut self.view, 0, bytes_of(&[0_i32; BATCH_MAX as usize]))?;
        let powers = 0..=count.next_power_of_two().ilog2();
        powers.into_iter().try_for_each(|power| self.add_batch(1 << power))
    }

    /// Runs the encoder on what lies in its inputs.
    fn run_encoder(&mut self, count: usize) -> Result<(), GpuError> {
        let size = count.next_power_of_two();
        if !self.batches.contains_key(&size) {
            self.add_batch(size)?;
        }
        let batch = self.batches.get_mut(&size).expect("it was just put there");
        match &batch.graph {
            // SAFETY: the graph's operands are fields of `self`.
            Some(graph) => unsafe { graph.launch() },
            // SAFETY: the stream is that of the engine's context.
            None => unsafe { batch.context.enqueue(self.stream.handle()) },
        }
    }

    /// Runs the encoder once on a batch of this size, which TensorRT needs outside of a graph, and records it.
    fn add_batch(&mut self, size: usize) -> Result<(), GpuError> {
        let mut context = self.encoder_context(size)?;
        // SAFETY: the stream is that of the engine's context, and the operands are fields of `self`.
        unsafe { context.enqueue(self.stream.handle()) }?;
        self.stream.wait()?;
        let graph = if self.records { self.record(&mut context) } else { None };
        self.records = graph.is_some();
        self.batches.insert(size, Batch { graph, context });
        Ok(())
    }

    /// The encoder's launches as a graph. Without one they are made one by one, which takes longer and computes the same.
    fn record(&self, context: &mut Context) -> Option<Graph> {
        let stream = self.stream.handle();
        // SAFETY: as in `add_batch`.
        let recorded = match unsafe { context.is_capturable(stream) } {
            // SAFETY: as in `add_batch`.
            true => self.stream.capture(|| unsafe { context.enqueue(stream) }),
            false => Err(GpuError::TensorRt { action: "be recorded", problem: "it says so of this engine".into() }),
        };
        recorded.inspect_err(|error| tracing::warn!(reason = %error, "the encoder runs without a CUDA graph")).ok()
    }

    fn encoder_context(&self, size: usize) -> Result<Context, GpuError> {
        let mut context = self.encoder.context(Kernels::Specialised)?;
        // SAFETY: the memory is as long as both engines need, and lives as long as the contexts.
        unsafe { context.set_memory(self.work.address(), self.work_bytes) }?;
        let (size, edge) = (size as i64, smgeo_engine::TILE_PX as i64);
        context.set_extents("image", &[size, edge, edge, 4])?;
        context.set_extents("view", &[size])?;
        // SAFETY: the buffers are as long as the largest batch needs, and live as long as the contexts.
        unsafe {
            context.set_address("image", self.image.address())?;
            context.set_address("view", self.view.address())?;
            context.set_address("features", self.features.address())?;
        }
        Ok(context)
    }

    fn encode_images(&mut self, images: &[(&EncoderImage, View)], features: &mut Vec<f32>) -> Result<(), GpuError> {
        check_count("images", images.len())?;
        for (index, (image, _)) in images.iter().enumerate() {
            self.stream.write_at(&mut self.image, index * IMAGE_BYTES, image.bytes())?;
        }
        // Padding keeps the pixels that lie there, and needs a view that exists.
        let mut views = [0; BATCH_MAX as usize];
        views.iter_mut().zip(images).for_each(|(code, (_, view))| *code = view.code());
        self.stream.write_at(&mut self.view, 0, bytes_of(&views))?;
        self.run_encoder(images.len())?;
        read(&self.stream, &self.features, images.len() * self.cells * self.cells * self.channels, features)
    }

    fn locate_queries(
        &mut self,
        queries: &Queries,
        window: &Mosaic,
        prepared: &DeviceWindow,
        outputs: &mut LocatorOutputs,
    ) -> Result<(), GpuError> {
        let count = queries.windows.len();
        check_count("queries", count)?;
        let edge_max = WINDOW_TILES_MAX as usize * self.cells;
        let (height, width) = (window.height(), window.width());
        if height.max(width) > edge_max {
            let problem = format!("a window of {height} x {width} cells; the engine was built for {edge_max} at most");
            return Err(GpuError::Shape { kernel: NAME, problem });
        }
        let (stream, located, locate) = (&self.stream, &mut self.located, &mut self.locate);
        stream.write_at(&mut located.query, 0, bytes_of(queries.features))?;
        stream.write_at(&mut located.click, 0, bytes_of(queries.clicks))?;
        stream.write_at(&mut located.window, 0, bytes_of(queries.windows))?;
        let [count, cells, channels] = [count, self.cells, self.channels].map(|extent| extent as i64);
        locate.set_extents("query", &[count, cells, cells, channels])?;
        locate.set_extents("click", &[count, 2])?;
        locate.set_extents("reference", &[1, height as i64, width as i64, channels])?;
        locate.set_extents("window", &[count])?;
        // SAFETY: the buffers are as long as the largest batch and window need; the window's is the mosaic's own, and the run is
        // waited for below.
        unsafe {
            locate.set_address("query", located.query.address())?;
            locate.set_address("click", located.click.address())?;
            locate.set_address("reference", prepared.0.address())?;
            locate.set_address("window", located.window.address())?;
            locate.set_address("heat", located.heat.address())?;
            locate.set_address("box", located.boxes.address())?;
            locate.set_address("attention", located.attention.address())?;
            locate.enqueue(stream.handle())?;
        }
        let area = queries.windows.len() * height * width;
        read(stream, &located.heat, area, &mut outputs.heat)?;
        read(stream, &located.boxes, 4 * area, &mut outputs.boxes)?;
        read(stream, &located.attention, area, &mut outputs.attention)
    }
}

fn log(severity: i32, text: &str) {
    match severity {
        0 | 1 => tracing::error!(text, "TensorRT"),
        2 => tracing::warn!(text, "TensorRT"),
        _ => tracing::debug!(text, "TensorRT"),
    }
}

fn check_count(what: &str, count: usize) -> Result<(), GpuError> {
    if (1..=BATCH_MAX as usize).contains(&count) {
        return Ok(());
    }
    Err(GpuError::Shape { kernel: NAME, problem: format!("{count} {what}; the engine was built for 1 to {BATCH_MAX}") })
}

fn read<T: Plain + Default>(
    stream: &Stream,
    memory: &CudaMemory,
    count: usize,
    values: &mut Vec<T>,
) -> Result<(), GpuError> {
    values.resize(count, T::default());
    stream.read(memory, bytes_of_mut(values))
}

/// Why the backend does not start: nothing is lost.
fn refused(action: &str, source: GpuError) -> EngineError {
    match source {
        GpuError::LibraryMissing { library, remedy, source } => EngineError::LibraryMissing { library, remedy, source },
        source => EngineError::Backend { backend: NAME, action: action.into(), source: Box::new(source) },
    }
}

/// Why a run failed. After a fault of CUDA's or TensorRT's every later call of this process fails too.
fn failed(action: &str, source: GpuError) -> EngineError {
    match source {
        GpuError::Driver { .. } | GpuError::TensorRt { .. } => {
            EngineError::Device { backend: NAME, action: action.into(), source: Box::new(source) }
        }
        source => refused(action, source),
    }
}

impl Networks for TensorRtNetworks {
    fn queries_max(&self) -> usize {
        BATCH_MAX as usize
    }

    fn window_tiles_max(&self) -> Option<u32> {
        Some(WINDOW_TILES_MAX as u32)
    }

    fn encode(&mut self, images: &[(&EncoderImage, View)], features: &mut Vec<f32>) -> Result<(), EngineError> {
        self.encode_images(images, features).map_err(|error| failed("run the encoder", error))
    }

    type Window = DeviceWindow;

    fn prepare(&mut self, window: &Mosaic) -> Result<DeviceWindow, EngineError> {
        self.tiles.window(&self.stream, window).map(DeviceWindow).map_err(|error| failed("take a window", error))
    }

    fn locate(
        &mut self,
        queries: &Queries,
        window: &Mosaic,
        prepared: &DeviceWindow,
        outputs: &mut LocatorOutputs,
    ) -> Result<(), EngineError> {
        self.locate_queries(queries, window, prepared, outputs).map_err(|error| failed("run the locator", error))
    }
}
