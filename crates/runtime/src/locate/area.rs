//! Encodes an area before a flight, into the file that the daemon reads.

use anyhow::{Context, anyhow, bail};
use smgeo_engine::{Backend, EncoderImage, FeatureCache, Package, View};
use smgeo_flow::SharedClock;
use smgeo_geo::{TileBounds, TileId};

use super::feature_key;
use crate::config::Config;
use crate::tiles::{self, PackStep, TileError, TilePicture, TileSource};
use crate::wiring;

/// Tiles encoded in one run of the network.
const BATCH: usize = 8;

/// Reports what was encoded.
#[derive(Debug)]
pub struct AreaReport {
    /// All tiles of the area.
    pub total: usize,
    /// Tiles that were encoded before.
    pub known: usize,
    /// Tiles encoded by this run.
    pub encoded: usize,
    /// Tiles that the map does not have or cannot read.
    pub missing: Vec<(TileId, TileError)>,
    /// What encoded them.
    pub engine: String,
}

/// Encodes the tiles in `bounds`, or of the whole map, as the daemon with this configuration will look for them.
pub fn encode_area(
    config: &Config,
    bounds: Option<&TileBounds>,
    clock: SharedClock,
    step: &mut dyn FnMut(PackStep),
) -> anyhow::Result<AreaReport> {
    if config.engine.features_file.is_none() {
        bail!("engine.features_file is not set, so there is no file to keep encoded tiles in; name one");
    }
    let package = Package::open(&config.engine.package)?;
    let source = tiles::open_source(&config.tiles, clock)?;
    let bounds = bounds.or(source.info().bounds.as_ref());
    let bounds =
        bounds.with_context(|| format!("{} does not say which area it covers; give --bounds", source.info().name))?;
    let zoom = wiring::zoom(config, &package, source.info())?;
    let area = tiles::tiles_in(bounds, zoom).map_err(|problem| anyhow!(problem))?;
    let features = config.engine.features()?;
    let mut backend = config.engine.build(&package)?;
    let report = encode(source.as_ref(), backend.as_mut(), &features, &area, step)?;
    match features.counts().disk_faults {
        0 => Ok(report),
        faults => bail!("{faults} tiles could not be kept; the warning above says why"),
    }
}

fn encode(
    source: &dyn TileSource,
    backend: &mut dyn Backend,
    features: &FeatureCache,
    area: &[TileId],
    step: &mut dyn FnMut(PackStep),
) -> anyhow::Result<AreaReport> {
    let encoder = backend.info().encoder();
    let engine = backend.info().to_string();
    let mut report = AreaReport { total: area.len(), known: 0, encoded: 0, missing: Vec::new(), engine };
    for batch in area.chunks(BATCH) {
        let mut fresh: Vec<TilePicture> = Vec::with_capacity(BATCH);
        for tile in batch {
            match source.tile(*tile) {
                Ok(picture) if features.contains(&feature_key(&picture, encoder)) => report.known += 1,
                Ok(picture) => fresh.push(picture),
                Err(error) => report.missing.push((*tile, error)),
            }
        }
        let images: Vec<EncoderImage> =
            fresh.iter().map(|picture| EncoderImage::tile(&picture.rgb)).collect::<Result<_, _>>()?;
        let images: Vec<(&EncoderImage, View)> = images.iter().map(|image| (image, View::Tile)).collect();
        for (picture, encoded) in fresh.iter().zip(backend.encode(&images)?) {
            features.put(feature_key(picture, encoder), encoded);
        }
        report.encoded += fresh.len();
        step(PackStep { done: report.known + report.encoded, missing: report.missing.len(), total: report.total });
    }
    Ok(report)
}
