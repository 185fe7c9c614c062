//! Makes tiles of an orthophoto.
//!
//! Each pixel of a tile averages the ground it covers, so that a finer picture does not flicker into a coarser tile.
//! Tiles that the picture does not touch are not written; those it covers in part are black beyond it, and counted.

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use smgeo_geo::{LatLon, TILE_PX, TileBounds, TileId, mercator};
use smgeo_ortho::{Georeference, Header, OrthoError, Picture, System};

use super::{EncodedTile, MbTilesWriter, PackStep, TileError, tiles_in};

/// Quality of the JPEG tiles: above it files grow and networks see no difference.
const JPEG_QUALITY: u8 = 92;
/// Edge points by which the bounds of a turned picture are found.
const EDGE_POINTS: u32 = 16;

/// Says why an orthophoto cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The picture cannot be used.
    #[error(transparent)]
    Picture(#[from] OrthoError),
    /// Places are not found in the picture's coordinate system.
    #[error(
        "{file} is in {system}; degrees, web Mercator and UTM are imported: reproject it, for example with gdalwarp -t_srs EPSG:3857"
    )]
    System {
        /// The file.
        file: String,
        /// Its coordinate system.
        system: System,
    },
    /// The picture's edges are off the Earth.
    #[error("{file} lies nowhere on the Earth in {system}: its corner or its scale is wrong")]
    OffTheEarth {
        /// The file.
        file: String,
        /// Its coordinate system.
        system: System,
    },
    /// The picture does not say where it lies.
    #[error("{file} has no georeference: give its bounds as west,south,east,north in degrees")]
    Nowhere {
        /// The file.
        file: String,
    },
    /// The bounds are none.
    #[error("the bounds do not do: {0}")]
    Bounds(String),
    /// The tiles cannot be written.
    #[error(transparent)]
    Tiles(#[from] TileError),
}

/// Reports what an import made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportReport {
    /// Tiles written.
    pub tiles: usize,
    /// Of these, tiles that the picture covers only in part.
    pub partial: usize,
}

/// Makes the tiles of `zoom` of the picture `file` and writes them into the MBTiles file `out`. `bounds` says where a picture
/// without a georeference lies. `date` is the imagery's date, if known.
pub fn import(
    file: &Path,
    bounds: Option<&TileBounds>,
    zoom: u8,
    out: &Path,
    date: Option<&str>,
    on_step: &mut dyn FnMut(PackStep),
) -> Result<ImportReport, ImportError> {
    let name = file.display().to_string();
    let header = Header::read(file)?;
    let georeference = match (header.georeference, bounds) {
        (Some(georeference), _) => georeference,
        (None, Some(bounds)) => Georeference::of_bounds(bounds, header.size_px).map_err(ImportError::Bounds)?,
        (None, None) => return Err(ImportError::Nowhere { file: name }),
    };
    let system = georeference.system;
    if !system.is_on_earth() {
        return Err(ImportError::System { file: name, system });
    }
    let covered = covered(&georeference, header.size_px)
        .ok_or_else(|| ImportError::OffTheEarth { file: name.clone(), system })?;
    let tiles = tiles_in(&covered, zoom).map_err(ImportError::Bounds)?;
    let mut picture = Picture::open(file)?;
    let mut writer = MbTilesWriter::open(out)?;
    writer.describe(&name, "image/jpeg", &covered, zoom)?;
    if let Some(date) = date {
        writer.set("date", date)?;
    }
    let mut report = ImportReport { tiles: 0, partial: 0 };
    for (done, tile) in tiles.iter().enumerate() {
        let drawn = draw(&mut picture, &georeference, *tile)?;
        if drawn.covered_px > 0 {
            let encoded = jpeg(&drawn.rgb, *tile, writer.name())?;
            writer.put([(*tile, &encoded)])?;
            report.tiles += 1;
            report.partial += usize::from(drawn.covered_px < (TILE_PX * TILE_PX) as usize);
        }
        on_step(PackStep { done: done + 1, missing: 0, total: tiles.len() });
    }
    Ok(report)
}

struct Drawn {
    rgb: Vec<u8>,
    covered_px: usize,
}

/// Draws one tile.
fn draw(picture: &mut Picture, georeference: &Georeference, tile: TileId) -> Result<Drawn, OrthoError> {
    let mut drawn = Drawn { rgb: Vec::with_capacity((TILE_PX * TILE_PX * 3) as usize), covered_px: 0 };
    let lattice = Lattice::new(georeference, tile);
    for y in 0..TILE_PX {
        for x in 0..TILE_PX {
            let colour = match lattice.footprint(x, y) {
                Some([corner, along, down]) => picture.mean(corner, [along, down])?,
                None => None,
            };
            drawn.covered_px += usize::from(colour.is_some());
            drawn.rgb.extend(colour.unwrap_or_default());
        }
    }
    Ok(drawn)
}

/// Tile pixels between two points that are projected exactly. Between them the map is straight to a few micrometres at the zooms
/// that are flown, and a projection costs as much as a hundred pixels.
const STEP_PX: u32 = 16;
const POINTS: usize = (TILE_PX / STEP_PX) as usize + 1;

/// Is the source pixel under every 16th pixel of a tile.
struct Lattice {
    points: Vec<Option<[f64; 2]>>,
}

impl Lattice {
    fn new(georeference: &Georeference, tile: TileId) -> Self {
        let (west_px, north_px) = tile.origin_px();
        let offset = |index: usize| index as f64 * f64::from(STEP_PX);
        let point = |row: usize, column: usize| {
            let at = mercator::lat_lon(west_px + offset(column), north_px + offset(row), tile.z)?;
            Some(georeference.pixel_of(georeference.system.point_of(at)?))
        };
        Self { points: (0..POINTS).flat_map(|row| (0..POINTS).map(move |column| point(row, column))).collect() }
    }

    /// Returns what a tile pixel covers in the source: a corner and the two sides from it.
    fn footprint(&self, x: u32, y: u32) -> Option<[[f64; 2]; 3]> {
        let (row, column) = ((y / STEP_PX) as usize, (x / STEP_PX) as usize);
        let point = |down: usize, along: usize| self.points[(row + down) * POINTS + column + along];
        let (corner, right, below, opposite) = (point(0, 0)?, point(0, 1)?, point(1, 0)?, point(1, 1)?);
        let step = f64::from(STEP_PX);
        let (s, t) = (f64::from(x % STEP_PX) / step, f64::from(y % STEP_PX) / step);
        let each = |of: fn(f64, f64, f64, f64, f64, f64) -> f64| {
            [0, 1].map(|axis| of(corner[axis], right[axis], below[axis], opposite[axis], s, t))
        };
        Some([
            each(|c, r, b, o, s, t| (c * (1.0 - s) + r * s) * (1.0 - t) + (b * (1.0 - s) + o * s) * t),
            each(|c, r, b, o, _, t| (r - c) * (1.0 - t) + (o - b) * t).map(|side| side / step),
            each(|c, r, b, o, s, _| (b - c) * (1.0 - s) + (o - r) * s).map(|side| side / step),
        ])
    }
}

/// Returns the bounds of the picture, by points along its edges.
fn covered(georeference: &Georeference, [width, height]: [f64; 2]) -> Option<TileBounds> {
    let parts = (0..=EDGE_POINTS).map(|point| f64::from(point) / f64::from(EDGE_POINTS));
    let edges = parts
        .flat_map(|part| [[width * part, 0.0], [width * part, height], [0.0, height * part], [width, height * part]]);
    let place = |pixel| georeference.system.place_of(georeference.point_of(pixel));
    let places: Vec<LatLon> = edges.map(place).collect::<Option<_>>()?;
    let least = |of: fn(&LatLon) -> f64| places.iter().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&LatLon) -> f64| places.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
    Some(TileBounds {
        west_deg: least(|at| at.lon_deg()),
        south_deg: least(|at| at.lat_deg()),
        east_deg: most(|at| at.lon_deg()),
        north_deg: most(|at| at.lat_deg()),
    })
}

fn jpeg(rgb: &[u8], tile: TileId, store: &std::sync::Arc<str>) -> Result<EncodedTile, TileError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode(rgb, TILE_PX, TILE_PX, image::ExtendedColorType::Rgb8)
        .map_err(|error| TileError::Corrupt { tile, store: store.clone(), reason: error.to_string() })?;
    EncodedTile::new(bytes.into(), tile, store)
}
