//! What all backends do alike: pack images and questions into batches, group questions by window, keep what the last windows
//! were prepared to, compare what comes out with what was promised, and unpack it. What differs is [`Networks`].

use crate::TILE_PX;
use crate::backend::{Backend, BackendInfo, LocateRequest, Maps, check_requests};
use crate::error::EngineError;
use crate::features::Features;
use crate::image::{EncoderImage, View};
use crate::mosaic::Mosaic;

/// The two networks. Implementations fill the given buffers, which are kept from run to run.
pub trait Networks: Send {
    /// Encodes images, each in its view, into `features` f32 [B, F, F, C].
    fn encode(&mut self, images: &[(&EncoderImage, View)], features: &mut Vec<f32>) -> Result<(), EngineError>;

    /// What the locator makes of a window before any query is known.
    type Window: Send;

    /// Prepares a window for [`Networks::locate`].
    fn prepare(&mut self, window: &Mosaic) -> Result<Self::Window, EngineError>;

    /// The most queries that [`Networks::locate`] takes at once.
    fn queries_max(&self) -> usize {
        usize::MAX
    }

    /// The edge of the largest window, tiles; `None` where any can be searched.
    fn window_tiles_max(&self) -> Option<u32> {
        None
    }

    /// Matches queries with the window that `prepared` was made of.
    fn locate(
        &mut self,
        queries: &Queries,
        window: &Mosaic,
        prepared: &Self::Window,
        outputs: &mut LocatorOutputs,
    ) -> Result<(), EngineError>;
}

/// K queries for one window.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    /// `[K, F, F, C]`.
    pub features: &'a [f32],
    /// `[K, 2]`, px of the query.
    pub clicks: &'a [f32],
    /// `[K]`, all 0: which of one window.
    pub windows: &'a [i32],
}

/// What the locator gives.
#[derive(Clone, Debug, Default)]
pub struct LocatorOutputs {
    /// `[K, H, W]`.
    pub heat: Vec<f32>,
    /// `[K, H, W, 4]`.
    pub boxes: Vec<f32>,
    /// `[K, H, W]`.
    pub attention: Vec<f32>,
}

/// Most numbers of the windows that are kept prepared: 32 MiB, twelve windows of 4 x 4 tiles of 160 channels or three of 8 x 8. What
/// the networks made of them comes on top, half as much again with smgeo-nano.
const KEPT_NUMBERS_MAX: usize = 1 << 23;

/// Calls after which a window that nobody asked about is forgotten: a second of flight. A ray at the edge of two windows asks about
/// one, then the other.
const UNUSED_CALLS_MAX: u32 = 25;

/// A backend made of networks.
pub struct Batched<N: Networks> {
    info: BackendInfo,
    networks: N,
    kept: Vec<Kept<N::Window>>,
    batch_images_max: usize,
    // The batches, kept so that the warm path makes no new ones.
    features: Vec<f32>,
    // Indices of the requests that share the window at hand.
    group: Vec<usize>,
    queries: Vec<f32>,
    clicks: Vec<f32>,
    windows: Vec<i32>,
    outputs: LocatorOutputs,
}

/// A window as the networks prepared it. It holds the mosaic, so that no other can take its place in memory.
struct Kept<W> {
    mosaic: Mosaic,
    prepared: W,
    unused_calls: u32,
}

impl<N: Networks> Batched<N> {
    /// A backend that encodes at most `batch_images_max` images in a run. Runs each network once, so that a package that
    /// cannot run, or has weights that are no numbers, fails here.
    pub fn of(info: BackendInfo, networks: N, batch_images_max: usize) -> Result<Batched<N>, EngineError> {
        let mut backend = Batched {
            info,
            networks,
            kept: Vec::new(),
            batch_images_max: batch_images_max.max(1),
            features: Vec::new(),
            group: Vec::new(),
            queries: Vec::new(),
            clicks: Vec::new(),
            windows: Vec::new(),
            outputs: LocatorOutputs::default(),
        };
        backend.warm_up()?;
        let BackendInfo { name, precision, threads, package, .. } = &backend.info;
        tracing::info!(backend = name, precision, threads, package = %package.short(), "engine ready");
        Ok(backend)
    }

    fn warm_up(&mut self) -> Result<(), EngineError> {
        let centre = TILE_PX as f32 / 2.0;
        let grey = EncoderImage::query_from((centre, centre), |_, _| [128; 3])?;
        let features = self.encode(&[(&grey, View::Query), (&grey, View::Tile)])?;
        let reference = Mosaic::of_tiles(1, 1, &features[1..])?;
        let request = LocateRequest { query: &features[0], click: [centre, centre], reference: &reference };
        let maps = self.locate(&[request])?.remove(0);
        match maps.heat.iter().chain(&maps.boxes).all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(EngineError::Output { network: "locator", problem: "maps that are not finite".into() }),
        }
    }

    /// Encodes one batch into `features` from place `start` on.
    fn encode_batch(
        &mut self,
        images: &[(&EncoderImage, View)],
        start: usize,
        features: &mut Vec<Features>,
    ) -> Result<(), EngineError> {
        self.networks.encode(images, &mut self.features)?;
        let (cells, channels) = (self.info.cells(), self.info.channels);
        let length = cells * cells * channels;
        check_length("encoder", "features", self.features.len(), images.len() * length)?;
        if self.features.iter().any(|value| !value.is_finite()) {
            let problem = "features that are not finite".into();
            return Err(EngineError::Output { network: "encoder", problem });
        }
        for (index, values) in self.features.chunks_exact(length).enumerate() {
            match features.get_mut(start + index) {
                Some(old) if (old.cells(), old.channels()) == (cells, channels) => old.replace(values),
                Some(old) => *old = Features::new(values.into(), cells, channels)?,
                None => features.push(Features::new(values.into(), cells, channels)?),
            }
        }
        Ok(())
    }

    /// Answers the requests with the indices in `self.group`, which share a window.
    fn locate_group(&mut self, requests: &[LocateRequest], answers: &mut [Maps]) -> Result<(), EngineError> {
        let group = std::mem::take(&mut self.group);
        let reference = requests[group[0]].reference;
        let located = match self.kept.iter().position(|kept| kept.mosaic.shares_with(reference)) {
            Some(at) => {
                let kept = self.kept.swap_remove(at);
                let located = self.locate_batches(&group, requests, &kept.prepared, answers);
                self.kept.push(kept);
                located
            }
            None => self.networks.prepare(reference).and_then(|prepared| {
                let located = self.locate_batches(&group, requests, &prepared, answers);
                self.keep(reference, prepared);
                located
            }),
        };
        self.group = group;
        located
    }

    /// Keeps a window, in place of those that nobody asked about lately where there is no room. Those that are asked about now stay:
    /// giving one of them up for another would help neither.
    fn keep(&mut self, mosaic: &Mosaic, prepared: N::Window) {
        let Some(room) = KEPT_NUMBERS_MAX.checked_sub(mosaic.values().len()) else { return };
        while self.kept.iter().map(|kept| kept.mosaic.values().len()).sum::<usize>() > room {
            let longest = self.kept.iter().enumerate().max_by_key(|(_, kept)| kept.unused_calls);
            match longest {
                Some((at, kept)) if kept.unused_calls > 0 => drop(self.kept.swap_remove(at)),
                _ => return,
            }
        }
        self.kept.push(Kept { mosaic: mosaic.clone(), prepared, unused_calls: 0 });
    }

    /// Answers the requests with these indices, as many at once as the networks take.
    fn locate_batches(
        &mut self,
        group: &[usize],
        requests: &[LocateRequest],
        prepared: &N::Window,
        answers: &mut [Maps],
    ) -> Result<(), EngineError> {
        group
            .chunks(self.networks.queries_max().max(1))
            .try_for_each(|batch| self.locate_batch(batch, requests, prepared, answers))
    }

    fn locate_batch(
        &mut self,
        batch: &[usize],
        requests: &[LocateRequest],
        prepared: &N::Window,
        answers: &mut [Maps],
    ) -> Result<(), EngineError> {
        let reference = requests[batch[0]].reference;
        let features: &[f32] = match batch {
            [only] => requests[*only].query.values(),
            _ => {
                self.queries.clear();
                batch.iter().for_each(|index| self.queries.extend_from_slice(requests[*index].query.values()));
                &self.queries
            }
        };
        self.clicks.clear();
        self.clicks.extend(batch.iter().flat_map(|index| requests[*index].click));
        self.windows.clear();
        self.windows.resize(batch.len(), 0);
        let queries = Queries { features, clicks: &self.clicks, windows: &self.windows };
        self.networks.locate(&queries, reference, prepared, &mut self.outputs)?;
        let (height, width) = (reference.height(), reference.width());
        let area = height * width;
        let LocatorOutputs { heat, boxes, attention } = &self.outputs;
        check_length("locator", "heat", heat.len(), batch.len() * area)?;
        check_length("locator", "box", boxes.len(), 4 * batch.len() * area)?;
        check_length("locator", "attention", attention.len(), batch.len() * area)?;
        for (at, index) in batch.iter().enumerate() {
            let answer = &mut answers[*index];
            (answer.width, answer.height) = (width, height);
            refill(&mut answer.heat, &heat[at * area..(at + 1) * area]);
            reference.mask(&mut answer.heat);
            refill(&mut answer.boxes, &boxes[4 * at * area..4 * (at + 1) * area]);
            refill(&mut answer.attention, &attention[at * area..(at + 1) * area]);
        }
        Ok(())
    }
}

impl<N: Networks> Backend for Batched<N> {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn encode_into(
        &mut self,
        images: &[(&EncoderImage, View)],
        features: &mut Vec<Features>,
    ) -> Result<(), EngineError> {
        features.truncate(images.len());
        for (index, batch) in images.chunks(self.batch_images_max).enumerate() {
            self.encode_batch(batch, index * self.batch_images_max, features)?;
        }
        Ok(())
    }

    fn window_tiles_max(&self) -> Option<u32> {
        self.networks.window_tiles_max()
    }

    fn locate_into(&mut self, requests: &[LocateRequest], answers: &mut Vec<Maps>) -> Result<(), EngineError> {
        check_requests(&self.info, requests)?;
        answers.resize_with(requests.len(), Maps::default);
        for kept in &mut self.kept {
            let is_asked = requests.iter().any(|request| request.reference.shares_with(&kept.mosaic));
            kept.unused_calls = if is_asked { 0 } else { kept.unused_calls + 1 };
        }
        self.kept.retain(|kept| kept.unused_calls <= UNUSED_CALLS_MAX);
        for first in 0..requests.len() {
            let shares = |index: &usize| requests[*index].reference.shares_with(requests[first].reference);
            if (0..first).any(|earlier| shares(&earlier)) {
                continue;
            }
            self.group.clear();
            self.group.extend((first..requests.len()).filter(shares));
            self.locate_group(requests, answers)?;
        }
        Ok(())
    }
}

fn refill(buffer: &mut Vec<f32>, values: &[f32]) {
    buffer.clear();
    buffer.extend_from_slice(values);
}

fn check_length(network: &'static str, output: &str, found: usize, expected: usize) -> Result<(), EngineError> {
    if found == expected {
        return Ok(());
    }
    Err(EngineError::Output { network, problem: format!("{found} numbers of `{output}`, not {expected}") })
}
