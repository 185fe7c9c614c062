//! The folder that is written, as [`naip`] reads it: pictures first, then boxes, and last the index, without which it is no set.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::footprints::Footprint;
use crate::data::{DataError, naip};

const INDEX: &str = "index.csv";
const BOXES: &str = "pseudo_boxes.json";
const IMAGES: &str = "images";
/// The city of the places that are held out.
pub const HELD_OUT: &str = "held-out";
/// As many places as `pairs` needs for a window of 4 x 4 tiles and one that is elsewhere.
const HELD_OUT_MIN: usize = 17;
/// As many places as training needs for a window of 2 x 4 tiles and one that is elsewhere.
const TRAINED_MIN: usize = 9;
/// Share of the places that are held out where there are many.
const HELD_OUT_SHARE: f64 = 0.2;

/// The tiles of an area that show ground on some date.
#[derive(Clone, Debug, Default)]
pub struct Area {
    /// Its name.
    pub name: String,
    /// Rows and columns of its grid.
    pub size: [usize; 2],
    /// Files of each place, by row and column.
    pub places: BTreeMap<[usize; 2], Vec<String>>,
    /// Boxes of buildings.
    pub boxes: Vec<Footprint>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Places in all.
    pub places: usize,
    /// Of these, places of the city `held-out`.
    pub held_out: usize,
    /// Pictures of all places.
    pub pictures: usize,
    /// Boxes that count as roofs.
    pub boxes: usize,
    /// Of these, boxes in held-out places.
    pub boxes_held_out: usize,
}

/// Makes the folder. One that holds a set is refused.
pub fn begin(folder: &Path) -> Result<(), DataError> {
    let index = folder.join(INDEX);
    if index.exists() {
        return Err(DataError::Exists { path: index });
    }
    let images = folder.join(IMAGES);
    fs::create_dir_all(&images).map_err(|source| DataError::Write { path: images, source })
}

/// Where a picture goes: the files of a place are sorted by name, which is by date.
pub fn file_name(area: &str, place: [usize; 2], date: &str) -> String {
    format!("{}_{date}.jpg", place_name(area, place))
}

/// The path of a picture.
pub fn image_path(folder: &Path, file: &str) -> std::path::PathBuf {
    folder.join(IMAGES).join(file)
}

fn place_name(area: &str, [row, column]: [usize; 2]) -> String {
    format!("{area}_{row:03}_{column:03}")
}

/// Writes boxes and index of all areas, whose pictures are in place. Too few places are an error.
pub fn finish(folder: &Path, areas: &[Area], gsd_m: f64) -> Result<Report, DataError> {
    let places: usize = areas.iter().map(|area| area.places.len()).sum();
    if places < TRAINED_MIN + HELD_OUT_MIN {
        return Err(DataError::NoGround(format!(
            "the pictures give {places} tiles, and {} are needed: {TRAINED_MIN} to train on and {HELD_OUT_MIN} to hold out",
            TRAINED_MIN + HELD_OUT_MIN
        )));
    }
    let mut report = Report { places, ..Report::default() };
    let mut index = "file,city,place,gsd_m\n".to_owned();
    let mut boxes = BTreeMap::<String, Vec<[f64; 5]>>::new();
    let held_out = held_out(areas, places);
    for (area, held_out) in areas.iter().zip(&held_out) {
        report.held_out += held_out.len();
        for (place, files) in &area.places {
            let city = if held_out.contains(place) { HELD_OUT } else { &area.name };
            let name = place_name(&area.name, *place);
            files.iter().for_each(|file| index.push_str(&format!("{file},{city},{name},{gsd_m}\n")));
            report.pictures += files.len();
        }
        for found in area.boxes.iter().filter(|found| area.places.contains_key(&[found.row, found.column])) {
            let place = [found.row, found.column];
            boxes.entry(place_name(&area.name, place)).or_default().push(found.entry);
            let counts = usize::from(found.entry[4] >= naip::RECTANGULARITY_MIN);
            report.boxes += counts;
            report.boxes_held_out += if held_out.contains(&place) { counts } else { 0 };
        }
    }
    let text = serde_json::to_string(&boxes)
        .map_err(|error| DataError::Malformed { path: folder.join(BOXES), reason: error.to_string() })?;
    write(folder, BOXES, &text)?;
    write(folder, INDEX, &index)?;
    Ok(report)
}

/// The places held out of each area: its eastern end, or its southern one where it is taller than wide, so that few of them adjoin
/// what is trained on.
fn held_out(areas: &[Area], places: usize) -> Vec<Vec<[usize; 2]>> {
    let share = HELD_OUT_SHARE.max(HELD_OUT_MIN as f64 / places as f64);
    let mut before = 0;
    let of = |area: &Area| {
        let [rows, columns] = area.size;
        let mut order: Vec<[usize; 2]> = area.places.keys().copied().collect();
        order.sort_by_key(|&[row, column]| if columns >= rows { [column, row] } else { [row, column] });
        // Counted through all areas, so that rounding adds up to the share of all.
        let until = |counted: usize| (counted as f64 * share - 1e-9).ceil() as usize;
        let count = until(before + order.len()) - until(before);
        before += order.len();
        order.split_off(order.len() - count.min(order.len()))
    };
    areas.iter().map(of).collect()
}

/// Writes a file under another name until it is whole.
fn write(folder: &Path, name: &str, text: &str) -> Result<(), DataError> {
    let (path, partial) = (folder.join(name), folder.join(format!("{name}.partial")));
    let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, &path));
    written.map_err(|source| DataError::Write { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(name: &str, rows: usize, columns: usize) -> Area {
        let all = (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column]));
        let places = all.map(|place| (place, vec![file_name(name, place, "2020")])).collect();
        Area { name: name.to_owned(), size: [rows, columns], places, boxes: Vec::new() }
    }

    #[test]
    fn held_out_places_are_the_end_of_each_area_and_enough_in_all() {
        let check = |areas: &[Area], counts: &[usize]| {
            let places = areas.iter().map(|area| area.places.len()).sum();
            let found = held_out(areas, places);
            assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), counts);
            found
        };
        let wide = check(&[area("a", 10, 20)], &[40]);
        assert!(wide[0].iter().all(|[_, column]| *column >= 16));
        let tall = check(&[area("a", 20, 10)], &[40]);
        assert!(tall[0].iter().all(|[row, _]| *row >= 16));
        check(&[area("a", 5, 6)], &[17]);
        check(&[area("a", 4, 4), area("b", 2, 5)], &[11, 6]);
        let many: Vec<Area> = (0..30).map(|index| area(&index.to_string(), 1, 1)).collect();
        assert_eq!(held_out(&many, 30).iter().map(Vec::len).sum::<usize>(), 17);
    }

    #[test]
    fn too_little_ground_leaves_no_set() {
        let folder = tempfile::tempdir().unwrap();
        begin(folder.path()).unwrap();
        let error = finish(folder.path(), &[area("a", 5, 5)], 0.6).unwrap_err().to_string();
        assert!(error.contains("give 25 tiles, and 26 are needed"), "{error}");
        assert!(!folder.path().join(INDEX).exists());
        finish(folder.path(), &[area("a", 2, 13)], 0.6).unwrap();
        assert!(matches!(begin(folder.path()), Err(DataError::Exists { .. })));
    }
}
