//! The ground under the ray: a digital elevation model, or a plane.
//!
//! A ray at 30 degrees below the horizon is 35 m off for 20 m of height that nobody told it of, so terrain is not optional
//! where it is not flat. Elevation comes as Terrarium tiles in an MBTiles file, the form web maps use (PNG, metres above
//! mean sea level = 256 R + G + B / 256 - 32768); it is resampled into a grid around the drone.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use nalgebra::Vector3;
use serde::{Deserialize, Serialize};
use smgeo_geo::{
    Altitude, EarthError, Geodetic, GridShape, GridTerrain, LatLon, LevelGround, LocalFrame, Msl, Terrain, TileId,
    mercator,
};

use crate::tiles::{EncodedTile, MbTiles, TileError, TilePicture, TileSource, decode_exact};

/// Edge of the grid that is kept around the drone: farther than any ray that is worth casting.
const GRID_EDGE_M: f64 = 8_000.0;

/// Distance of the grid's nodes: that of the best open elevation models.
const GRID_CELL_M: f64 = 10.0;

/// The grid is laid anew when the drone is this far from its middle.
const GRID_DRIFT_M_MAX: f64 = 2_000.0;

/// Edge of an elevation tile.
const TILE_PX: f64 = 256.0;

/// No ground is lower or higher above the sea. Where a model has none its pixels are often black or transparent, which reads as -32,768.
const HEIGHTS_M: std::ops::RangeInclusive<f64> = -500.0..=9_000.0;

/// Says what is known of the ground.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Config {
    /// Nothing but a height: right over water and on airfields.
    Flat {
        /// Height of the ground above mean sea level (EGM96), metres.
        height_m_msl: f64,
        /// One standard deviation of that, metres.
        #[serde(default = "flat_sigma_m")]
        sigma_m: f64,
    },
    /// An elevation model in Terrarium tiles.
    Terrarium {
        /// The MBTiles file.
        path: PathBuf,
        /// One standard deviation of its heights, metres.
        #[serde(default = "terrarium_sigma_m")]
        sigma_m: f64,
    },
}

fn flat_sigma_m() -> f64 {
    10.0
}

fn terrarium_sigma_m() -> f64 {
    2.0
}

impl Default for Config {
    fn default() -> Self {
        Self::Flat { height_m_msl: 0.0, sigma_m: flat_sigma_m() }
    }
}

impl Config {
    /// Checks the numbers with nothing opened.
    pub fn check(&self) -> Result<(), TerrainError> {
        if let Self::Flat { height_m_msl, .. } = *self
            && !(height_m_msl.is_finite() && height_m_msl.abs() < 12_000.0)
        {
            let more = ", and the height within 12 km of the sea";
            return Err(TerrainError::Number { key: "height_m_msl", value: height_m_msl, more });
        }
        let (Self::Flat { sigma_m, .. } | Self::Terrarium { sigma_m, .. }) = *self;
        if !(sigma_m.is_finite() && sigma_m >= 0.0) {
            return Err(TerrainError::Number { key: "sigma_m", value: sigma_m, more: ", 0 or more" });
        }
        Ok(())
    }
}

/// Says why there is no ground.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TerrainError {
    /// The elevation model cannot be read.
    #[error("the elevation model cannot be read")]
    Model(#[from] TileError),
    /// A configured number is no height or accuracy.
    #[error("terrain.{key} is {value}; it must be a number of metres{more}")]
    Number {
        /// The key.
        key: &'static str,
        /// Its value.
        value: f64,
        /// What else it must be.
        more: &'static str,
    },
    /// A place is outside of what can be computed.
    #[error("the ground at this place cannot be laid out")]
    Earth(#[from] EarthError),
}

/// Is the ground around the drone, in the axes of one local frame.
pub struct Ground {
    /// The frame that heights and rays are told in.
    pub frame: LocalFrame,
    /// Heights in that frame.
    pub terrain: Box<dyn Terrain>,
    /// One standard deviation of the heights, metres.
    pub sigma_m: f64,
}

/// Lays the ground out where the drone is.
pub struct GroundSource {
    kind: Kind,
    sigma_m: f64,
    laid: Option<Arc<Ground>>,
    bad_tiles: u64,
}

enum Kind {
    Flat(Altitude<Msl>),
    Model { store: Box<MbTiles>, zoom: u8 },
}

impl GroundSource {
    /// Opens what the configuration names.
    pub fn open(config: &Config) -> Result<Self, TerrainError> {
        config.check()?;
        let (kind, sigma_m) = match config {
            Config::Flat { height_m_msl, sigma_m } => (Kind::Flat(Altitude::from_m(*height_m_msl)), *sigma_m),
            Config::Terrarium { path, sigma_m } => {
                let store = Box::new(MbTiles::open(path, None)?);
                let zoom = store.info().zoom_max;
                (Kind::Model { store, zoom }, *sigma_m)
            }
        };
        Ok(Self { kind, sigma_m, laid: None, bad_tiles: 0 })
    }

    /// Returns the ground around `place`; the same as before while the drone stays near.
    pub fn around(&mut self, place: LatLon) -> Result<Arc<Ground>, TerrainError> {
        if let Some(laid) = &self.laid {
            let origin = laid.frame.origin();
            let offset = laid.frame.enu_from(Geodetic { at: place, height: origin.height });
            if offset.x.hypot(offset.y) <= GRID_DRIFT_M_MAX {
                return Ok(laid.clone());
            }
        }
        let sea_level = Altitude::<Msl>::from_m(0.0).to_ellipsoid(place);
        let frame = LocalFrame::new(Geodetic { at: place, height: sea_level });
        let terrain: Box<dyn Terrain> = match &self.kind {
            Kind::Flat(height) => Box::new(LevelGround::new(&frame, height.to_ellipsoid(place))),
            Kind::Model { store, zoom } => {
                let mut model = Model { store, zoom: *zoom, tiles: HashMap::new(), bad_tiles: 0 };
                let grid = lay(&mut model, &frame)?;
                self.bad_tiles += model.bad_tiles;
                Box::new(grid)
            }
        };
        let ground = Arc::new(Ground { frame, terrain, sigma_m: self.sigma_m });
        self.laid = Some(ground.clone());
        Ok(ground)
    }

    /// Counts the tiles of the model that could not be read since this was asked last: there the ground has a hole.
    pub fn take_bad_tiles(&mut self) -> u64 {
        std::mem::take(&mut self.bad_tiles)
    }
}

/// Resamples the model into a grid whose up axis is that of `frame`; the Earth's curve is in the heights.
fn lay(model: &mut Model, frame: &LocalFrame) -> Result<GridTerrain, TerrainError> {
    let nodes = (GRID_EDGE_M / GRID_CELL_M) as usize + 1;
    let corner_m = -GRID_EDGE_M / 2.0;
    let shape = GridShape { west_m: corner_m, south_m: corner_m, cell_m: GRID_CELL_M, columns: nodes, rows: nodes };
    let mut heights_m = Vec::with_capacity(nodes * nodes);
    let sea_level = frame.origin().height;
    for row in 0..nodes {
        for column in 0..nodes {
            let east_m = corner_m + column as f64 * GRID_CELL_M;
            let north_m = corner_m + row as f64 * GRID_CELL_M;
            let at = frame.geodetic_from(Vector3::new(east_m, north_m, 0.0))?.at;
            // Over 8 km the geoid leans by centimetres: the undulation of the middle serves all nodes.
            let up_m = model
                .height_m_msl(at)
                .map(|msl| frame.enu_from(Geodetic { at, height: Altitude::from_m(sea_level.m() + msl) }).z);
            heights_m.push(up_m.unwrap_or(f64::NAN));
        }
    }
    Ok(GridTerrain::new(shape, heights_m)?)
}

/// Reads heights between the pixels of elevation tiles.
struct Model<'a> {
    store: &'a MbTiles,
    zoom: u8,
    tiles: HashMap<TileId, Option<TilePicture>>,
    bad_tiles: u64,
}

impl Model<'_> {
    /// Returns the height above mean sea level; none where the model has no tile that can be read.
    fn height_m_msl(&mut self, at: LatLon) -> Option<f64> {
        let (x, y) = mercator::world_px(at, self.zoom);
        let (x, y) = (x - 0.5, y - 0.5);
        let (west, north) = (x.floor(), y.floor());
        let (across, down) = (x - west, y - north);
        let mut height_m = 0.0;
        for (dx, dy, weight) in [
            (0.0, 0.0, (1.0 - across) * (1.0 - down)),
            (1.0, 0.0, across * (1.0 - down)),
            (0.0, 1.0, (1.0 - across) * down),
            (1.0, 1.0, across * down),
        ] {
            height_m += weight * self.pixel(west + dx, north + dy)?;
        }
        Some(height_m)
    }

    fn pixel(&mut self, x: f64, y: f64) -> Option<f64> {
        let id = TileId::at_world_px(x, y, self.zoom)?;
        if !self.tiles.contains_key(&id) {
            let picture = self.picture(id);
            self.tiles.insert(id, picture);
        }
        let picture = self.tiles.get(&id)?.as_ref()?;
        let (column, row) = (x.rem_euclid(TILE_PX) as usize, y.rem_euclid(TILE_PX) as usize);
        let at = (row * TILE_PX as usize + column) * 3;
        let [red, green, blue] = [0, 1, 2].map(|i| f64::from(picture.rgb[at + i]));
        let height_m = 256.0 * red + green + blue / 256.0 - 32_768.0;
        HEIGHTS_M.contains(&height_m).then_some(height_m)
    }

    /// Reads a tile. One that cannot be read is a hole like one that is not there, but it is told and counted.
    fn picture(&mut self, id: TileId) -> Option<TilePicture> {
        let exact = |encoded: EncodedTile| decode_exact(&encoded, id, self.store.info());
        match self.store.encoded(id).and_then(exact) {
            Ok(picture) => Some(picture),
            Err(error) if error.is_missing() => None,
            Err(error) => {
                tracing::warn!(%error, "elevation tile refused: no position where it would be");
                self.bad_tiles += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use image::{ImageFormat, Rgb, RgbImage};
    use smgeo_geo::TileWindow;

    use super::*;
    use crate::tiles::MbTilesWriter;

    const ZOOM: u8 = 12;

    fn place() -> LatLon {
        LatLon::new(47.0, 8.0).unwrap()
    }

    #[test]
    fn pixels_without_a_height_are_holes() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = GroundSource::open(&model_of(folder.path(), 0)).unwrap();
        let ground = source.around(place()).unwrap();
        assert!((-3..=3).all(|step| ground.terrain.height_m(f64::from(step) * 1_200.0, 0.0).is_none()));
    }

    /// A model that is 500 m high everywhere; the tile under `place` is damaged if `damaged`.
    fn model(folder: &Path, damaged: bool) -> Config {
        let config = model_of(folder, 500 + 32_768);
        if damaged {
            damage_under_place(&folder.join("terrain.mbtiles"));
        }
        config
    }

    /// A model whose pixels all hold this number.
    fn model_of(folder: &Path, coded: u32) -> Config {
        let path = folder.join("terrain.mbtiles");
        let mut png = std::io::Cursor::new(Vec::new());
        let level = Rgb([(coded / 256) as u8, (coded % 256) as u8, 0]);
        RgbImage::from_pixel(256, 256, level).write_to(&mut png, ImageFormat::Png).unwrap();
        let png = bytes::Bytes::from(png.into_inner());
        let mut writer = MbTilesWriter::open(&path).unwrap();
        for tile in TileWindow::around(place(), ZOOM, 4, 4).unwrap().tiles() {
            let encoded = EncodedTile::new(png.clone(), tile, writer.name()).unwrap();
            writer.put([(tile, &encoded)]).unwrap();
        }
        Config::Terrarium { path, sigma_m: 2.0 }
    }

    fn damage_under_place(path: &Path) {
        let under = TileId::containing(place(), ZOOM);
        let damage = "UPDATE tiles SET tile_data = substr(tile_data, 1, length(tile_data) / 2) WHERE tile_column = ?1 AND tile_row = ?2";
        let row = (1_u32 << ZOOM) - 1 - under.y;
        let changed = rusqlite::Connection::open(path).unwrap().execute(damage, (under.x, row)).unwrap();
        assert_eq!(changed, 1);
    }

    #[test]
    fn a_damaged_elevation_tile_is_a_hole_that_is_counted_and_the_ground_around_it_stays() {
        for damaged in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut source = GroundSource::open(&model(folder.path(), damaged)).unwrap();
            let ground = source.around(place()).unwrap();
            let heights: Vec<Option<f64>> =
                (-3..=3).map(|step| ground.terrain.height_m(f64::from(step) * 1_200.0, 0.0)).collect();
            let holes = heights.iter().filter(|height| height.is_none()).count();
            assert_eq!((holes > 0, source.take_bad_tiles()), (damaged, u64::from(damaged)), "{heights:?}");
            assert!(heights.iter().flatten().all(|height_m| (height_m - 500.0).abs() < 2.0), "{heights:?}");
            assert!(heights.iter().any(Option::is_some));
            assert_eq!(source.take_bad_tiles(), 0);
        }
    }
}
