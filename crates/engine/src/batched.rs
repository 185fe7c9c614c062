//! What all backends do alike: pack images and questions into batches, group questions by window, compare what comes out
//! with what was promised, and unpack it. What differs is [`Networks`], two functions on packed numbers.

use crate::TILE_PX;
use crate::backend::{Backend, BackendInfo, LocateRequest, Maps, by_window, check_requests};
use crate::error::EngineError;
use crate::features::Features;
use crate::image::{EncoderImage, IMAGE_BYTES, View};
use crate::mosaic::Mosaic;

/// The two networks on packed inputs. Implementations fill the given buffers, which are kept from run to run.
pub trait Networks: Send {
    /// Encodes `views.len()` images, `pixels` u8 [B, 256, 256, 4], into `features` f32 [B, F, F, C].
    fn encode(&mut self, pixels: &[u8], views: &[i32], features: &mut Vec<f32>) -> Result<(), EngineError>;

    /// Matches queries with one window.
    fn locate(&mut self, inputs: &LocatorInputs, outputs: &mut LocatorOutputs) -> Result<(), EngineError>;
}

/// What the locator is given: K queries and one window.
#[derive(Clone, Copy, Debug)]
pub struct LocatorInputs<'a> {
    /// `[K, F, F, C]`.
    pub queries: &'a [f32],
    /// `[K, 2]`, px of the query.
    pub clicks: &'a [f32],
    /// `[1, H, W, C]`.
    pub reference: &'a [f32],
    /// `[K]`, all 0.
    pub windows: &'a [i32],
    /// H, cells.
    pub height: usize,
    /// W, cells.
    pub width: usize,
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

/// A backend made of networks.
pub struct Batched<N> {
    info: BackendInfo,
    networks: N,
    batch_images_max: usize,
    // The batches, kept so that the warm path makes no new ones.
    pixels: Vec<u8>,
    views: Vec<i32>,
    features: Vec<f32>,
    queries: Vec<f32>,
    clicks: Vec<f32>,
    windows: Vec<i32>,
    outputs: LocatorOutputs,
}

impl<N: Networks> Batched<N> {
    /// A backend that encodes at most `batch_images_max` images in a run. Runs each network once, so that a package that
    /// cannot run fails here.
    pub fn of(info: BackendInfo, networks: N, batch_images_max: usize) -> Result<Batched<N>, EngineError> {
        let mut backend = Batched {
            info,
            networks,
            batch_images_max: batch_images_max.max(1),
            pixels: Vec::new(),
            views: Vec::new(),
            features: Vec::new(),
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
        self.locate(&[request]).map(|_| ())
    }

    fn encode_batch(&mut self, images: &[(&EncoderImage, View)]) -> Result<Vec<Features>, EngineError> {
        self.views.clear();
        self.views.extend(images.iter().map(|(_, view)| view.code()));
        // One image is given as it is, without a copy.
        let pixels: &[u8] = match images {
            [(image, _)] => image.bytes(),
            _ => {
                self.pixels.clear();
                self.pixels.reserve(images.len() * IMAGE_BYTES);
                images.iter().for_each(|(image, _)| self.pixels.extend_from_slice(image.bytes()));
                &self.pixels
            }
        };
        self.networks.encode(pixels, &self.views, &mut self.features)?;
        let (cells, channels) = (self.info.cells(), self.info.channels);
        let length = cells * cells * channels;
        check_length("encoder", "features", self.features.len(), images.len() * length)?;
        if self.features.iter().any(|value| !value.is_finite()) {
            let problem = "features that are not finite".into();
            return Err(EngineError::Output { network: "encoder", problem });
        }
        self.features.chunks_exact(length).map(|one| Features::new(one.into(), cells, channels)).collect()
    }

    /// Answers the requests with the indices in `group`, which share a window.
    fn locate_group(
        &mut self,
        requests: &[LocateRequest],
        group: &[usize],
        answers: &mut [Maps],
    ) -> Result<(), EngineError> {
        let reference = requests[group[0]].reference;
        let (height, width) = (reference.height(), reference.width());
        let queries: &[f32] = match group {
            [only] => requests[*only].query.values(),
            _ => {
                self.queries.clear();
                group.iter().for_each(|index| self.queries.extend_from_slice(requests[*index].query.values()));
                &self.queries
            }
        };
        self.clicks.clear();
        self.clicks.extend(group.iter().flat_map(|index| requests[*index].click));
        self.windows.clear();
        self.windows.resize(group.len(), 0);
        let (clicks, windows) = (&self.clicks, &self.windows);
        let inputs = LocatorInputs { queries, clicks, reference: reference.values(), windows, height, width };
        self.networks.locate(&inputs, &mut self.outputs)?;
        let area = height * width;
        let LocatorOutputs { heat, boxes, attention } = &self.outputs;
        check_length("locator", "heat", heat.len(), group.len() * area)?;
        check_length("locator", "box", boxes.len(), 4 * group.len() * area)?;
        check_length("locator", "attention", attention.len(), group.len() * area)?;
        for (at, index) in group.iter().enumerate() {
            let mut heat = heat[at * area..(at + 1) * area].to_vec();
            reference.mask(&mut heat);
            let boxes = boxes[4 * at * area..4 * (at + 1) * area].to_vec();
            let attention = attention[at * area..(at + 1) * area].to_vec();
            answers[*index] = Maps { width, height, heat, boxes, attention };
        }
        Ok(())
    }
}

impl<N: Networks> Backend for Batched<N> {
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
            self.locate_group(requests, &group, &mut answers)?;
        }
        Ok(answers)
    }
}

fn check_length(network: &'static str, output: &str, found: usize, expected: usize) -> Result<(), EngineError> {
    if found == expected {
        return Ok(());
    }
    Err(EngineError::Output { network, problem: format!("{found} numbers of `{output}`, not {expected}") })
}
