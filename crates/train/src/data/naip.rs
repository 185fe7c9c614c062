//! Reads aerial imagery of one place on several dates: `index.csv`, `pseudo_boxes.json` and a folder of 256 px tiles.
//!
//! The surveys of some years are much darker than others; all are brought to one mean level first, so that the network does
//! not learn the year.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use super::ground::{Ground, GroundBox, Source};
use super::{DataError, Raster};

/// The mean level all tiles are brought to.
const MEAN_LEVEL: f32 = 110.0;
/// Least share of its box that an automatic box must fill to count as a roof.
pub(super) const RECTANGULARITY_MIN: f64 = 0.7;

/// Reads all places under `folder`, each with its dates in order; one `Ground` a place.
pub fn read(folder: &Path) -> Result<Vec<Ground>, DataError> {
    let boxes = read_boxes(&folder.join("pseudo_boxes.json"))?;
    let places = read_index(&folder.join("index.csv"))?;
    let read_place = |(place, files): (&String, &Place)| {
        let layers = files.files.iter().map(|file| read_tile(&folder.join("images").join(file)));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        Ok(Ground {
            name: place.clone(),
            group: files.city.clone(),
            source: Source::Naip,
            gsd_m: files.gsd_m,
            layers,
            boxes: boxes.get(place).cloned().unwrap_or_default(),
            frames: Vec::new(),
        })
    };
    places.par_iter().map(read_place).collect()
}

struct Place {
    city: String,
    gsd_m: f64,
    files: Vec<String>,
}

fn read_index(path: &Path) -> Result<BTreeMap<String, Place>, DataError> {
    let text = std::fs::read_to_string(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let malformed = |reason: String| DataError::Malformed { path: path.to_owned(), reason };
    let column = |name: &str| {
        header.iter().position(|title| *title == name).ok_or_else(|| malformed(format!("no column {name}")))
    };
    let (file, city, place, gsd) = (column("file")?, column("city")?, column("place")?, column("gsd_m")?);
    let mut places = BTreeMap::<String, Place>::new();
    for (number, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        if cells.len() != header.len() {
            return Err(malformed(format!("line {} has {} cells", number + 2, cells.len())));
        }
        let gsd_m = cells[gsd].parse().map_err(|_| malformed(format!("line {}: gsd_m {}", number + 2, cells[gsd])))?;
        let entry = places.entry(cells[place].to_owned());
        let entry = entry.or_insert_with(|| Place { city: cells[city].to_owned(), gsd_m, files: Vec::new() });
        entry.files.push(cells[file].to_owned());
    }
    // File names hold the year, so their order is the order of dates.
    places.values_mut().for_each(|place| place.files.sort());
    Ok(places)
}

fn read_boxes(path: &Path) -> Result<BTreeMap<String, Vec<GroundBox>>, DataError> {
    let text = std::fs::read_to_string(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let raw: BTreeMap<String, Vec<[f64; 5]>> = serde_json::from_str(&text)
        .map_err(|error| DataError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
    let keep = |boxes: Vec<[f64; 5]>| {
        let good = boxes.into_iter().filter(|entry| entry[4] >= RECTANGULARITY_MIN);
        good.map(|[x0, y0, x1, y1, _]| GroundBox { xyxy: [x0, y0, x1, y1], class: "building".into() }).collect()
    };
    Ok(raw.into_iter().map(|(place, boxes)| (place, keep(boxes))).collect())
}

fn read_tile(path: &Path) -> Result<Raster, DataError> {
    let mut tile = Raster::open(path)?;
    let gain = (MEAN_LEVEL / tile.mean_level().max(1.0)).clamp(0.6, 3.0);
    // A plain gain would clip the bright roofs of dark surveys, so levels are compressed towards white.
    let tone = |level: u8| {
        let lifted = f32::from(level) * gain;
        if lifted <= 180.0 { lifted } else { 180.0 + 75.0 * (1.0 - (-(lifted - 180.0) / 75.0).exp()) }
    };
    let table: Vec<u8> = (0..=255).map(|level| (tone(level) + 0.5) as u8).collect();
    tile.rgb_mut().iter_mut().for_each(|level| *level = table[usize::from(*level)]);
    Ok(tile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_dates_of_one_size_and_even_brightness() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/naip_ca"));
        if !folder.exists() {
            println!("skipped: naip needs ../shared/data/naip_ca");
            return;
        }
        let grounds = read(folder).unwrap();
        assert_eq!(grounds.len(), 512);
        assert!(grounds.iter().filter(|ground| ground.layers.len() == 3).count() > 300);
        for layer in grounds.iter().flat_map(|ground| &ground.layers).step_by(37) {
            assert_eq!((layer.width(), layer.height()), (256, 256));
            assert!((70.0..140.0).contains(&layer.mean_level()), "mean level {}", layer.mean_level());
        }
    }
}
