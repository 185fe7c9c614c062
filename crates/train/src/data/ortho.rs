//! Makes training data of one's own orthophotos: tiles of about 0.6 m a pixel, the dates of an area on one grid, in the layout that
//! [`naip`](super::naip) reads.
//!
//! A picture is cut in the plane of its own coordinate system, so nothing is projected; pictures of one area must share it. A part of
//! each area becomes the city [`HELD_OUT`], so that there is ground to measure on from the start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use footprints::Footprints;
use grid::Grid;
use label::Label;
use set::Area;
use smgeo_ortho::{Georeference, Header, Picture, System};

use super::DataError;

mod footprints;
mod grid;
mod label;
mod set;

pub use set::{HELD_OUT, Report};

/// How much coarser than its tiles a picture may be: beyond that, tiles are blurs.
const COARSER_MAX: f64 = 2.0;

/// What is cut, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The pictures.
    pub files: Vec<PathBuf>,
    /// Folder for the set.
    pub out: PathBuf,
    /// Metres a pixel of the tiles.
    pub gsd_m: f64,
    /// Metres a pixel of pictures that do not say where they lie.
    pub source_gsd_m: Option<f64>,
    /// The area of all pictures; without, their names say it.
    pub city: Option<String>,
    /// Footprints of buildings, GeoJSON.
    pub boxes: Option<PathBuf>,
}

/// A picture of an area.
struct Sheet {
    path: PathBuf,
    date: String,
    size_px: [f64; 2],
    georeference: Georeference,
}

/// Cuts pictures into tiles and writes them, with index and boxes. A folder that holds a set is refused, and one that was not finished
/// is begun anew.
pub fn cut(request: &Request) -> Result<Report, DataError> {
    let footprints = request.boxes.as_deref().map(Footprints::read).transpose()?;
    let mut sheets = BTreeMap::<String, Vec<Sheet>>::new();
    for path in &request.files {
        let label = Label::of(path, request.city.as_deref());
        let of_area = sheets.entry(label.area).or_default();
        let sheet = Sheet::open(path, label.date, request, of_area)?;
        of_area.push(sheet);
    }
    set::begin(&request.out)?;
    let mut areas = Vec::new();
    for (name, sheets) in &sheets {
        let mut area = Area { name: name.clone(), ..Area::default() };
        let (grid, system) = grid_of(sheets, request.gsd_m)?;
        area.size = [grid.rows, grid.columns];
        for sheet in sheets {
            let tiles = sheet.cut(&grid, &mut area, &request.out)?;
            tracing::info!(file = %sheet.path.display(), area = name, date = sheet.date, tiles, "orthophoto cut");
        }
        if let Some(footprints) = &footprints {
            area.boxes = footprints.boxes(&grid, system)?;
        }
        areas.push(area);
    }
    set::finish(&request.out, &areas, request.gsd_m)
}

/// The grid of an area over all of its pictures, and their system.
fn grid_of(sheets: &[Sheet], gsd_m: f64) -> Result<(Grid, System), DataError> {
    let system = sheets[0].georeference.system;
    let bounds = sheets.iter().map(|sheet| sheet.georeference.bounds(sheet.size_px));
    let all = bounds.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
    let grid = all.and_then(|all| Grid::over(all, system, gsd_m));
    let refused = || DataError::Refused {
        path: sheets[0].path.clone(),
        reason: "the pictures of its area cover no place on the Earth, or too much of it".to_owned(),
    };
    Ok((grid.ok_or_else(refused)?, system))
}

impl Sheet {
    /// Reads where a picture lies, and checks that it goes with those of its area.
    fn open(path: &Path, date: String, request: &Request, others: &[Sheet]) -> Result<Self, DataError> {
        let refused = |reason: String| DataError::Refused { path: path.to_owned(), reason };
        let header = Header::read(path)?;
        let plain = || request.source_gsd_m.map(Georeference::of_pixel_size);
        let georeference = header.georeference.or_else(plain).ok_or_else(|| {
            refused(
                "it has no GeoKeyDirectoryTag (34735); --source-gsd-m says how many metres its pixels are".to_owned(),
            )
        })?;
        let size_px = header.size_px;
        let gsd_m = georeference.gsd_m(size_px).ok_or_else(|| refused("it lies nowhere on the Earth".to_owned()))?;
        if gsd_m > COARSER_MAX * request.gsd_m {
            let wanted = request.gsd_m;
            return Err(refused(format!("it has {gsd_m:.2} m a pixel, too coarse for tiles of {wanted} m a pixel")));
        }
        if let Some(other) = others.first() {
            let (here, there) = (georeference.system, other.georeference.system);
            let name = other.path.display();
            if here != there {
                let way_out = "gdalwarp -t_srs makes them one, or give their areas different names";
                return Err(refused(format!("it is in {here}, and {name} of the same area in {there}; {way_out}")));
            }
            if here == System::Picture && size_px != other.size_px {
                return Err(refused(format!("it has another size than {name} of the same area, so they do not align")));
            }
        }
        let dates: BTreeSet<&str> = others.iter().map(|other| other.date.as_str()).collect();
        let date = free(date, &dates);
        Ok(Self { path: path.to_owned(), date, size_px, georeference })
    }

    /// Writes the tiles that show ground and notes them. Answers with their number.
    fn cut(&self, grid: &Grid, area: &mut Area, out: &Path) -> Result<usize, DataError> {
        let mut picture = Picture::open(&self.path)?;
        let mut count = 0;
        for row in 0..grid.rows {
            let tiles = grid.draw(&mut picture, &self.georeference, row, self.size_px)?;
            for tile in tiles.into_iter().filter(|tile| tile.shows_ground()) {
                let place = [row, tile.column];
                let file = set::file_name(&area.name, place, &self.date);
                tile.picture.save(&set::image_path(out, &file))?;
                area.places.entry(place).or_default().push(file);
                count += 1;
            }
        }
        Ok(count)
    }
}

/// The date, with a number where a picture of the area has it already.
fn free(date: String, taken: &BTreeSet<&str>) -> String {
    let numbered = (2..).map(|number| format!("{date}-{number}"));
    let mut names = std::iter::once(date.clone()).chain(numbered);
    names.find(|name| !taken.contains(name.as_str())).expect("numbers do not end")
}

#[cfg(test)]
mod tests;
