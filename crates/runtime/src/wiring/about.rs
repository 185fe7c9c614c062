//! What the machine is made of, said once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::bail;
use smgeo_engine::{BackendInfo, Package};
use smgeo_flow::Clock;
use smgeo_geo::{LatLon, TileId, mercator};
use smgeo_messages::wire::Publisher;
use tokio::sync::watch;

use crate::config::{Config, Unfit};
use crate::control::PartReporter;
use crate::ingest::SourceState;
use crate::tiles::{RamTiles, TileKeeper, TileSource, TilesInfo};
use crate::web::{About, ImageryAbout, ModelAbout, ServedTile, TileServer};

/// Ground resolutions further than this factor from what the package was trained for are refused.
const RESOLUTION_FACTOR_MAX: f64 = 2.0;

/// How often it is looked whether the map can be read.
const MAP_EVERY: Duration = Duration::from_millis(250);

/// Describes drone, network and map for the page.
pub fn about(publisher: &Publisher, package: &Package, backend: &BackendInfo, tiles: &TilesInfo) -> About {
    About {
        drone: publisher.drone.clone(),
        boot_id: publisher.boot_id.clone(),
        model: Some(ModelAbout {
            name: package.manifest().name.clone(),
            hash: package.hash().to_string(),
            backend: format!("{} {}", backend.name, backend.precision),
        }),
        imagery: Some(ImageryAbout {
            name: tiles.name.to_string(),
            date: tiles.date.as_deref().map(str::to_owned),
            attribution: tiles.attribution.as_deref().map(str::to_owned),
            bounds_deg: tiles
                .bounds
                .map(|bounds| [bounds.west_deg, bounds.south_deg, bounds.east_deg, bounds.north_deg]),
            zoom_min: tiles.zoom_min,
            zoom_max: tiles.zoom_max,
        }),
    }
}

/// Names this run: the wall clock's microseconds at its start, so that names sort by time.
pub fn boot_id(clock: &dyn Clock) -> String {
    format!("{:016x}", clock.wall_us_now())
}

/// Writes whether video comes to the board's line, for as long as the source lives.
pub async fn report_video(mut state: watch::Receiver<SourceState>, health: PartReporter) {
    loop {
        match &*state.borrow_and_update() {
            SourceState::Live { .. } | SourceState::Ended => health.ok(),
            SourceState::Connecting => health.degraded("no picture has come yet"),
            SourceState::Lost { detail, .. } => health.degraded(detail),
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Writes whether the map can be read to the board's line, for as long as somebody reads it.
pub async fn report_map(keeper: Weak<TileKeeper>, health: PartReporter) {
    let mut look = tokio::time::interval(MAP_EVERY);
    while let Some(trouble) = keeper.upgrade().map(|keeper| keeper.trouble()) {
        match trouble {
            None => health.ok(),
            Some(cause) => health.degraded(&cause),
        }
        look.tick().await;
    }
}

/// Chooses the zoom whose ground resolution is nearest to what the package was trained for.
pub fn zoom(config: &Config, package: &Package, tiles: &TilesInfo) -> anyhow::Result<u8> {
    if let Some(zoom) = config.assemble.zoom {
        if !(tiles.zoom_min..=tiles.zoom_max).contains(&zoom) {
            let (name, least, most) = (&tiles.name, tiles.zoom_min, tiles.zoom_max);
            bail!(Unfit(format!("assemble.zoom is {zoom}, but {name} holds {least} to {most}")));
        }
        return Ok(zoom);
    }
    // A pixel's size on the ground hangs on the latitude: at 60 degrees it is half of the equator's.
    let area_deg = config.assemble.area_deg.map(|[_, south_deg, _, north_deg]| [south_deg, north_deg]);
    let span_deg = tiles.bounds.map(|bounds| [bounds.south_deg, bounds.north_deg]).or(area_deg);
    let Some([south_deg, north_deg]) = span_deg else {
        let name = &tiles.name;
        bail!(Unfit(format!("{name} does not say where it lies, so its resolution is not known: set assemble.zoom")));
    };
    let place = LatLon::new(0.5 * (south_deg + north_deg), 0.0)?;
    let trained_m = package.manifest().gsd_m;
    let factor = |zoom: u8| {
        let ratio = mercator::metres_per_px(place, zoom).east / trained_m;
        ratio.max(1.0 / ratio)
    };
    let zooms = tiles.zoom_min..=tiles.zoom_max;
    let Some(best) = zooms.min_by(|one, other| factor(*one).total_cmp(&factor(*other))) else {
        bail!("{} holds no zoom", tiles.name);
    };
    if factor(best) > RESOLUTION_FACTOR_MAX {
        bail!(Unfit(format!(
            "{} holds zoom {} to {}, but the package {} needs about {trained_m} m/px; pack tiles of a zoom that has it",
            tiles.name,
            tiles.zoom_min,
            tiles.zoom_max,
            package.manifest().name
        )));
    }
    let metres_per_px = mercator::metres_per_px(place, best).east;
    let [finest, coarsest] = package.manifest().gsd_m_range;
    if !(finest..=coarsest).contains(&metres_per_px) {
        let zoom = best;
        tracing::warn!(
            zoom,
            metres_per_px,
            finest,
            coarsest,
            "the map has another resolution than the network was trained on"
        );
    }
    Ok(best)
}

/// Serves the machine's own tiles to the page.
pub struct Served(pub Arc<RamTiles>);

impl TileServer for Served {
    fn tile_bytes(&self, tile: TileId) -> Result<Option<ServedTile>, String> {
        match self.0.encoded(tile) {
            Ok(tile) => Ok(Some(ServedTile { media_type: tile.media_type, bytes: tile.bytes })),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use smgeo_flow::SystemClock;

    use super::*;
    use crate::control::{HealthBoard, Level};
    use crate::tiles::{TilesConfig, open};

    #[actix_rt::test]
    async fn a_map_that_cannot_be_read_is_degraded_and_named_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let tile = TileId { z: 3, x: 1, y: 2 };
        let file = folder.path().join("3/1/2.png");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "no picture").unwrap();
        let clock = SystemClock::shared();
        let tiles = open(&TilesConfig::of(&folder.path().display().to_string()), clock.clone()).unwrap();
        let keeper = Arc::new(TileKeeper::start(tiles, 1, clock.clone()).unwrap());
        let board = HealthBoard::new(clock);
        let mut seen = board.watch();
        actix::spawn(report_map(Arc::downgrade(&keeper), board.part("map")));
        for (wanted, level, says) in
            [(vec![], Level::Ok, ""), (vec![tile], Level::Degraded, "tile 3/1/2"), (vec![], Level::Ok, "")]
        {
            keeper.want(&wanted);
            let health = seen.wait_for(|health| health.level() == level).await.unwrap();
            assert!(health.parts[0].cause.contains(says), "{health:?}");
        }
    }
}
