//! What runs the networks. Two calls: `encode` makes features of images, `locate` matches queries with windows. Every
//! backend gives the same numbers within the tolerance of [`crate::conformance`], so which one runs is a matter of speed.

use std::fmt;

use crate::TILE_PX;
use crate::cache::EncoderHash;
use crate::error::EngineError;
use crate::features::Features;
use crate::image::{EncoderImage, View};
use crate::mosaic::Mosaic;
use crate::package::{Fusion, Package, PackageHash};

/// What a backend is and runs; for logs, caches and provenance.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendInfo {
    /// Name of the backend, such as `rten`.
    pub name: &'static str,
    /// Arithmetic of the networks, such as `f32` or `bf16`.
    pub precision: &'static str,
    /// Threads it computes on; 0 where that does not apply.
    pub threads: usize,
    /// The package it runs.
    pub package: PackageHash,
    /// Pixels a cell of the features.
    pub stride_px: usize,
    /// Numbers a cell of the features.
    pub channels: usize,
    /// How its locator brings query and window together.
    pub fusion: Fusion,
    /// Which revision of the backend's encoder computes: another one gives other numbers, so nothing that an earlier one
    /// encoded is taken from a cache.
    pub encoder_revision: String,
}

impl BackendInfo {
    /// What a backend of this name says about itself when it runs `package`; its encoder has no revision yet.
    pub fn of(name: &'static str, precision: &'static str, threads: usize, package: &Package) -> BackendInfo {
        let manifest = package.manifest();
        let (stride_px, channels, fusion) = (manifest.stride_px, manifest.channels, manifest.fusion);
        let encoder_revision = String::new();
        BackendInfo { name, precision, threads, package: package.hash(), stride_px, channels, fusion, encoder_revision }
    }

    /// The same with this revision of its encoder.
    pub fn with_encoder_revision(self, revision: impl Into<String>) -> BackendInfo {
        BackendInfo { encoder_revision: revision.into(), ..self }
    }

    /// What its features are kept under.
    pub fn encoder(&self) -> EncoderHash {
        EncoderHash::of(self.package, self.name, self.precision, &self.encoder_revision)
    }

    /// Edge of the feature map of one image, cells.
    pub fn cells(&self) -> usize {
        TILE_PX / self.stride_px
    }
}

impl fmt::Display for BackendInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} on {} threads, package {}", self.name, self.precision, self.threads, self.package.short())
    }
}

/// One question: where in `reference` is what was clicked in `query`?
#[derive(Clone, Copy, Debug)]
pub struct LocateRequest<'a> {
    /// Features of the query image.
    pub query: &'a Features,
    /// The clicked point, px of the query image from the outer corner of its upper left pixel: (x, y).
    pub click: [f32; 2],
    /// The window to search.
    pub reference: &'a Mosaic,
}

/// One answer: maps over the cells of the window, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Maps {
    /// Width of the window, cells.
    pub width: usize,
    /// Height of the window, cells.
    pub height: usize,
    /// `[height, width]` logits relative to "not in this window", which has the logit 0. Minus infinity: masked.
    pub heat: Vec<f32>,
    /// `[height, width, 4]` = (dx, dy, w, h) in cells; the box's centre is (cell index + (dx, dy)) * stride.
    pub boxes: Vec<f32>,
    /// `[height, width]`: how much the query attends to each cell; for display.
    pub attention: Vec<f32>,
}

/// Runs the networks of one package. One thread at a time; make one backend a thread that needs one.
pub trait Backend: Send {
    /// What it is and runs.
    fn info(&self) -> &BackendInfo;

    /// Encodes images, each in its view, into `features`, in the same order. What `features` held is replaced; memory that
    /// nobody else shares is used again, so that a steady load allocates nothing here.
    fn encode_into(
        &mut self,
        images: &[(&EncoderImage, View)],
        features: &mut Vec<Features>,
    ) -> Result<(), EngineError>;

    /// Answers requests into `answers`, in the same order. Requests whose mosaics are clones of one are computed together.
    /// What `answers` held is replaced, and its memory used again.
    fn locate_into(&mut self, requests: &[LocateRequest], answers: &mut Vec<Maps>) -> Result<(), EngineError>;

    /// The edge of the largest window it can search, tiles; `None` where any can be searched.
    fn window_tiles_max(&self) -> Option<u32> {
        None
    }

    /// Encodes images into new features.
    fn encode(&mut self, images: &[(&EncoderImage, View)]) -> Result<Vec<Features>, EngineError> {
        let mut features = Vec::with_capacity(images.len());
        self.encode_into(images, &mut features)?;
        Ok(features)
    }

    /// Answers requests into new maps.
    fn locate(&mut self, requests: &[LocateRequest]) -> Result<Vec<Maps>, EngineError> {
        let mut answers = Vec::with_capacity(requests.len());
        self.locate_into(requests, &mut answers)?;
        Ok(answers)
    }
}

/// Checks what every backend must refuse: features of another package's shape and clicks outside of the query.
pub fn check_requests(info: &BackendInfo, requests: &[LocateRequest]) -> Result<(), EngineError> {
    for request in requests {
        let [x, y] = request.click;
        let edge_px = TILE_PX as u32;
        if !((0.0..TILE_PX as f32).contains(&x) && (0.0..TILE_PX as f32).contains(&y)) {
            return Err(EngineError::Click { x, y, width_px: edge_px, height_px: edge_px });
        }
        let query_fits = (request.query.cells(), request.query.channels()) == (info.cells(), info.channels);
        let reference_fits =
            (request.reference.stride_px(), request.reference.channels()) == (info.stride_px, info.channels);
        if !query_fits || !reference_fits {
            let (query, reference) = (request.query, request.reference);
            let problem =
                format!("{query:?} and {reference:?} are not of package {}; encode them again", info.package.short());
            return Err(EngineError::Shape(problem));
        }
    }
    Ok(())
}
