//! The inputs of all measurements, and the steps of a frame on them.

use std::path::Path;

use smgeo_engine::{
    Backend, BackendName, EncoderImage, EngineConfig, EngineError, Features, LocateRequest, Located, Maps, Mosaic,
    Package, Precision, View, decode,
    witness::{self, Witnesses},
};

use crate::arguments::Arguments;

/// The ways to compute that are measured.
pub const WAYS: [(BackendName, Precision); 4] = [
    (BackendName::Rten, Precision::F32),
    (BackendName::Rten, Precision::Int8),
    (BackendName::OpenVino, Precision::F32),
    (BackendName::OpenVino, Precision::Bf16),
];

/// A click in the middle of the query.
pub const CLICK: [f32; 2] = [128.0, 128.0];

/// Pictures that are the same in every run: eight queries and sixteen tiles.
pub struct Pictures {
    /// Queries, one a target.
    pub queries: Vec<EncoderImage>,
    /// Tiles of a window.
    pub tiles: Vec<EncoderImage>,
}

/// A backend with its inputs.
pub struct Scene {
    /// What computes.
    pub backend: Box<dyn Backend>,
    /// The package it runs.
    pub package: Package,
    /// Features of the sixteen tiles.
    pub tiles: Vec<Features>,
    features: Vec<Features>,
    maps: Vec<Maps>,
}

impl Pictures {
    /// Draws them: blocks and waves, so that routing and attention have something to choose.
    pub fn draw() -> Pictures {
        let colour = |seed: usize| {
            move |x: usize, y: usize| {
                let wave = |scale: f32| ((x as f32 * scale + y as f32 * 0.03 + seed as f32).sin() * 60.0 + 120.0) as u8;
                let block = ((x / 24 * 7 + y / 40 * 13 + seed * 29) % 5 * 12) as u8;
                [wave(0.05) + block, wave(0.11) + block, wave(0.02) + block]
            }
        };
        let query = |seed| EncoderImage::query_from((CLICK[0], CLICK[1]), colour(seed)).expect("the click is inside");
        Pictures {
            queries: (0..16).map(query).collect(),
            tiles: (16..32).map(|seed| EncoderImage::tile_from(colour(seed))).collect(),
        }
    }
}

impl Scene {
    /// Starts a backend; `None` where its library is missing.
    pub fn start(
        folder: &Path,
        (backend, precision): (BackendName, Precision),
        arguments: &Arguments,
        pictures: &Pictures,
    ) -> Result<Option<Scene>, EngineError> {
        let package = Package::open(folder)?;
        let threads = Some(arguments.threads);
        let config = EngineConfig { backend, precision, threads, ..EngineConfig::of(folder) };
        // Speed is measured whether or not the arithmetic may fly with this package.
        let backend = match config.build_unchecked(&package) {
            Err(error @ EngineError::LibraryMissing { .. }) => {
                eprintln!("left out: {error}");
                return Ok(None);
            }
            built => built?,
        };
        let (tiles, features, maps) = (Vec::new(), Vec::new(), Vec::new());
        let mut scene = Scene { backend, package, tiles, features, maps };
        scene.tiles = scene.backend.encode(&tile_batch(&pictures.tiles))?;
        Ok(Some(scene))
    }

    /// What is written in the tables.
    pub fn name(&self) -> String {
        format!("{} {}", self.backend.info().name, self.backend.info().precision)
    }

    /// A window of so many tiles on an edge.
    pub fn window(&self, edge: usize) -> Mosaic {
        let tiles: Vec<Features> = self.tiles.iter().cycle().take(edge * edge).cloned().collect();
        Mosaic::of_tiles(edge, edge, &tiles).expect("the tiles fill the window")
    }

    /// What nobody has seen before: a query and sixteen tiles in one batch, the window laid of them, the search.
    pub fn cold_pair(&mut self, pictures: &Pictures) -> Result<(), EngineError> {
        let mut images = vec![(&pictures.queries[0], View::Query)];
        images.extend(tile_batch(&pictures.tiles));
        let features = self.backend.encode(&images)?;
        let window = Mosaic::of_tiles(4, 4, &features[1..])?;
        let request = LocateRequest { query: &features[0], click: CLICK, reference: &window };
        let maps = self.backend.locate(&[request])?;
        self.read(&maps[0]).map(|_| ())
    }

    /// One frame: a query for each target, each with its window, over tiles that are encoded. The object alone is asked about.
    pub fn prompt(&mut self, pictures: &Pictures, windows: &[&Mosaic]) -> Result<(), EngineError> {
        self.asked(pictures, windows, Witnesses::NotHeard)
    }

    /// The same with the witnesses of each object, as the daemon asks unless told otherwise.
    pub fn prompt_with_witnesses(&mut self, pictures: &Pictures, windows: &[&Mosaic]) -> Result<(), EngineError> {
        self.asked(pictures, windows, Witnesses::of(self.package.manifest().fusion))
    }

    fn asked(&mut self, pictures: &Pictures, windows: &[&Mosaic], witnesses: Witnesses) -> Result<(), EngineError> {
        let images: Vec<(&EncoderImage, View)> =
            pictures.queries[..windows.len()].iter().map(|query| (query, View::Query)).collect();
        let mut features = std::mem::take(&mut self.features);
        let mut maps = std::mem::take(&mut self.maps);
        self.backend.encode_into(&images, &mut features)?;
        let clicks: Vec<_> = images.iter().map(|(query, _)| witness::clicks(witnesses, query, CLICK)).collect();
        let mut requests = Vec::new();
        for ((query, reference), clicks) in features.iter().zip(windows.iter().copied()).zip(&clicks) {
            requests.extend(clicks.iter().map(|click| LocateRequest { query, click: *click, reference }));
        }
        self.backend.locate_into(&requests, &mut maps)?;
        let mut answers = &mut maps[..];
        for clicks in &clicks {
            let own = answers.split_off_mut(..clicks.len()).expect("an answer for each click");
            witness::hear(own, clicks, self.package.manifest().stride_px);
            self.read(&own[0])?;
        }
        (self.features, self.maps) = (features, maps);
        Ok(())
    }

    fn read(&self, maps: &Maps) -> Result<Located, EngineError> {
        let manifest = self.package.manifest();
        decode(maps, manifest.stride_px, manifest.temperature)
    }
}

/// Tiles as a batch.
pub fn tile_batch(tiles: &[EncoderImage]) -> Vec<(&EncoderImage, View)> {
    tiles.iter().map(|tile| (tile, View::Tile)).collect()
}
