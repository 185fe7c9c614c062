//! Encodes an area before a flight, into the file that the daemon reads.

use anyhow::{Context, anyhow, bail};
use smgeo_engine::{Backend, BackendInfo, EncoderImage, EngineConfig, FeatureCache, FeatureKey, View};
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
    let package = config.engine.open_package()?;
    let source = tiles::open_source(&config.tiles, clock)?;
    let bounds = bounds.or(source.info().bounds.as_ref());
    let bounds =
        bounds.with_context(|| format!("{} does not say which area it covers; give --bounds", source.info().name))?;
    let zoom = wiring::zoom(config, &package, source.info())?;
    let area = tiles::tiles_in(bounds, zoom).map_err(|problem| anyhow!(problem))?;
    let features = config.engine.features()?;
    // The daemon's own choice: features are kept under what encoded them.
    let mut backend = crate::backend::build(&config.engine, &package)?;
    let mut keys = Vec::with_capacity(area.len());
    let report = encode(source.as_ref(), backend.as_mut(), &features, &area, &mut keys, step)?;
    match features.counts().disk_faults {
        0 => check_kept(&config.engine, &features, backend.info(), &keys).map(|()| report),
        faults => bail!("{faults} tiles could not be kept; the warning above says why"),
    }
}

/// Refuses to call an area encoded whose tiles the file did not keep: one that is full gives up the oldest for the newest.
fn check_kept(
    config: &EngineConfig,
    features: &FeatureCache,
    backend: &BackendInfo,
    keys: &[FeatureKey],
) -> anyhow::Result<()> {
    let (lost, total) = (keys.iter().filter(|key| !features.is_on_disk(key)).count(), keys.len());
    if lost == 0 {
        return Ok(());
    }
    let number_bytes = if config.features_file_f16 { 2 } else { 4 };
    let tile_bytes = backend.cells().pow(2) * backend.channels * number_bytes;
    let mib_needed = (features.disk_bytes() + (lost * tile_bytes) as u64).div_ceil(1 << 20);
    if mib_needed <= config.features_file_mib_max {
        bail!(
            "{lost} of {total} tiles were not kept, because they do not fit numbers of 16 bits; set engine.features_file_f16 = false and run this again"
        );
    }
    bail!(
        "the features file holds {} MiB and has no room for {lost} of {total} tiles; set engine.features_file_mib_max to {mib_needed} or more and run this again",
        config.features_file_mib_max
    );
}

fn encode(
    source: &dyn TileSource,
    backend: &mut dyn Backend,
    features: &FeatureCache,
    area: &[TileId],
    keys: &mut Vec<FeatureKey>,
    step: &mut dyn FnMut(PackStep),
) -> anyhow::Result<AreaReport> {
    let encoder = backend.info().encoder();
    let engine = backend.info().to_string();
    let mut report = AreaReport { total: area.len(), known: 0, encoded: 0, missing: Vec::new(), engine };
    for batch in area.chunks(BATCH) {
        let mut fresh: Vec<TilePicture> = Vec::with_capacity(BATCH);
        for tile in batch {
            let picture = match source.tile(*tile) {
                Ok(picture) => picture,
                Err(error) => {
                    report.missing.push((*tile, error));
                    continue;
                }
            };
            let key = feature_key(&picture, encoder);
            keys.push(key);
            // Read, not only looked up: what is damaged shall show here and not in flight.
            if features.get(&key).is_some() {
                report.known += 1;
            } else {
                fresh.push(picture);
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use image::{ImageFormat, Rgb, RgbImage};
    use smgeo_engine::{EncoderHash, rten};
    use smgeo_flow::SystemClock;

    use super::*;
    use crate::tiles::{EncodedTile, MbTilesWriter};

    const NORTH_WEST: TileId = TileId { z: 18, x: 137_283, y: 91_798 };

    /// Writes a map of 2 x 2 tiles and a configuration that keeps features beside it.
    fn config(folder: &Path) -> Config {
        let tiles = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(x, y)| TileId {
            x: NORTH_WEST.x + x,
            y: NORTH_WEST.y + y,
            ..NORTH_WEST
        });
        let mut writer = MbTilesWriter::open(&folder.join("map.mbtiles")).unwrap();
        let pictures = tiles.map(|tile| {
            let picture = RgbImage::from_fn(256, 256, |x, y| Rgb([x as u8, y as u8, tile.x as u8 ^ tile.y as u8]));
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
            EncodedTile { bytes: bytes.into_inner().into(), media_type: "image/png" }
        });
        writer.put(tiles.into_iter().zip(&pictures)).unwrap();
        let (first, last) = (tiles[0].bounds(), tiles[3].bounds());
        let bounds = TileBounds { east_deg: last.east_deg, south_deg: last.south_deg, ..first };
        writer.describe("made", "image/png", &bounds, NORTH_WEST.z).unwrap();
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/packages/matched");
        let text = format!(
            "ingest = {{ source = {{ test = {{ width_px = 640, height_px = 480, fps = 5 }} }} }}\n\
             tiles = {{ source = \"map.mbtiles\" }}\n\
             engine = {{ package = {package:?}, backend = \"rten\", threads = 1, features_file = \"features.sqlite\" }}\n"
        );
        let file = folder.join("smgeo.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(&file).unwrap()
    }

    fn encoded(config: &Config) -> (AreaReport, Vec<(usize, usize)>) {
        let mut steps = Vec::new();
        let mut note = |step: PackStep| steps.push((step.done, step.total));
        let report = encode_area(config, None, SystemClock::shared(), &mut note).unwrap();
        (report, steps)
    }

    #[test]
    fn an_area_is_encoded_once_and_found_by_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let (report, steps) = encoded(&config);
        assert_eq!((report.total, report.encoded, report.known, report.missing.len()), (4, 4, 0, 0));
        assert_eq!(steps, [(4, 4)]);
        let (report, _) = encoded(&config);
        assert_eq!((report.encoded, report.known), (0, 4));
    }

    #[test]
    fn a_tile_whose_numbers_were_damaged_is_encoded_again() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        encoded(&config);
        let connection = rusqlite::Connection::open(folder.path().join("features.sqlite")).unwrap();
        connection.execute("UPDATE features SET numbers = zeroblob(length(numbers)) WHERE id = 2", []).unwrap();
        drop(connection);
        let (report, _) = encoded(&config);
        assert_eq!((report.encoded, report.known), (1, 3));
        assert_eq!(encoded(&config).0.known, 4);
    }

    #[test]
    fn features_of_another_arithmetic_are_not_taken_and_a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        encoded(&config);
        let features = config.engine.features().unwrap();
        let other =
            EncoderHash::of(config.engine.open_package().unwrap().hash(), "rten", "bf16", rten::ENCODER_REVISION);
        let tiles = tiles::open_source(&config.tiles, SystemClock::shared()).unwrap();
        assert!(!features.contains(&feature_key(&tiles.tile(NORTH_WEST).unwrap(), other)));

        config.engine.features_file = Some(folder.path().join("map.mbtiles"));
        let error = encode_area(&config, None, SystemClock::shared(), &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("map.mbtiles is not a feature cache"), "{error}");
        config.engine.features_file = None;
        let error = encode_area(&config, None, SystemClock::shared(), &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("engine.features_file is not set"), "{error}");
    }

    #[test]
    fn an_area_larger_than_the_file_may_hold_is_an_error_that_says_how_much_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        config.engine.features_file_mib_max = 0;
        let error = encode_area(&config, None, SystemClock::shared(), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("4 of 4 tiles; set engine.features_file_mib_max to 1 or more"), "{error}");
        config.engine.features_file_mib_max = 1;
        assert_eq!(encoded(&config).0.encoded, 4);
    }
}
