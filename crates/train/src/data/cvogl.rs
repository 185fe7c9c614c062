//! Reads CVOGL as it lies on disk and converts it to a pair set.
//!
//! Each split is a torch-saved list of 8-tuples: sample id, query file, satellite file, unused, click (one point or several, in
//! query pixels), box (in satellite pixels), unused, class. Satellite names carry the georeference: `E_N_extent_EPSG.jpg`, the
//! centre in UTM metres and the extent in metres over the picture's width.

use std::path::Path;

use super::pair_set::{Pair, PairWriter};
use super::{DataError, Raster};
use crate::checkpoint::{Archive, Object};

/// A satellite picture's place, from its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Georeference {
    /// Easting of the centre in the zone, metres.
    pub east_m: f64,
    /// Northing of the centre in the zone, metres.
    pub north_m: f64,
    /// Edge of the picture, metres.
    pub extent_m: f64,
    /// EPSG code of the zone, 326xx north and 327xx south of the equator.
    pub epsg: u32,
}

impl Georeference {
    /// Reads `E_N_extent_EPSG.jpg`.
    pub fn parse(name: &str) -> Option<Self> {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let mut parts = stem.split('_').map(str::parse::<f64>);
        let mut next = || parts.next()?.ok().filter(|number| number.is_finite());
        let (east_m, north_m, extent_m, epsg) = (next()?, next()?, next()?, next()?);
        (extent_m > 0.0 && epsg > 0.0).then_some(Self { east_m, north_m, extent_m, epsg: epsg as u32 })
    }
}

/// Converts one split (`train`, `val` or `test`) of the set in `folder`, such as `CVOGL_DroneAerial`, to a pair set in `out`;
/// returns the number of pairs. The group of a pair is its satellite picture; its query is as the camera took it.
pub fn convert(folder: &Path, split: &str, out: &Path) -> Result<usize, DataError> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let path = folder.join(format!("{name}_{split}.pth"));
    let malformed = |reason: String| DataError::Malformed { path: path.clone(), reason };
    let archive = Archive::open(&path).map_err(|error| malformed(error.to_string()))?;
    let records = archive.object.items().ok_or_else(|| malformed("not a list".into()))?;
    let mut writer = PairWriter::create(out)?;
    for (number, record) in records.iter().enumerate() {
        let sample = Sample::of(record).ok_or_else(|| malformed(format!("record {number} is no sample")))?;
        let satellite = Raster::open(&folder.join("satellite").join(&sample.satellite))?;
        let georeference = Georeference::parse(&sample.satellite)
            .ok_or_else(|| malformed(format!("record {number}: no georeference in {}", sample.satellite)))?;
        let pair = Pair {
            query: copied(&folder.join("query").join(&sample.query), out, &format!("q/{}", sample.query))?,
            reference: copied(
                &folder.join("satellite").join(&sample.satellite),
                out,
                &format!("r/{}", sample.satellite),
            )?,
            click: sample.click,
            box_xyxy: sample.bounds,
            gsd_m: georeference.extent_m / satellite.width() as f64,
            class: sample.class,
            group: sample.satellite,
            rectified: false,
        };
        writer.line(&pair)?;
    }
    writer.finish()
}

struct Sample {
    query: String,
    satellite: String,
    click: [f64; 2],
    bounds: [f64; 4],
    class: String,
}

impl Sample {
    fn of(record: &Object) -> Option<Self> {
        let fields = record.items()?;
        let [_, query, satellite, _, click, bounds, _, class] = fields.as_slice() else { return None };
        let bounds: Vec<f64> = bounds.items()?.iter().filter_map(number).collect();
        Some(Self {
            query: text(query)?,
            satellite: text(satellite)?,
            click: mean_point(click)?,
            bounds: bounds.try_into().ok()?,
            class: text(class)?,
        })
    }
}

/// A file name from the pickle must stay inside its folder.
fn text(object: &Object) -> Option<String> {
    let Object::Text(text) = object else { return None };
    (!text.contains(['/', '\\']) && !text.starts_with('.')).then(|| text.to_string())
}

fn number(object: &Object) -> Option<f64> {
    match object {
        Object::Int(number) => Some(*number as f64),
        Object::Float(number) => Some(*number),
        _ => None,
    }
}

/// One point, or the mean of several, as the published loaders take it.
fn mean_point(object: &Object) -> Option<[f64; 2]> {
    let parts = object.items()?;
    if let [x, y] = parts.as_slice()
        && let (Some(x), Some(y)) = (number(x), number(y))
    {
        return Some([x, y]);
    }
    let points = parts.iter().map(mean_point).collect::<Option<Vec<_>>>()?;
    let count = points.len() as f64;
    (count > 0.0).then(|| [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / count))
}

/// Copies a picture, under another name until it is whole.
fn copied(from: &Path, out: &Path, name: &str) -> Result<String, DataError> {
    let to = out.join(name);
    if !to.exists() {
        let partial = out.join(format!("{name}.partial"));
        std::fs::copy(from, &partial).map_err(|source| DataError::Read { path: from.to_owned(), source })?;
        std::fs::rename(&partial, &to).map_err(|source| DataError::Write { path: to, source })?;
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pair_set::PairSet;

    #[test]
    fn a_satellite_name_says_where_it_is() {
        let georeference = Georeference::parse("547433_5280574_512_32610.jpg").unwrap();
        assert_eq!((georeference.east_m, georeference.north_m), (547_433.0, 5_280_574.0));
        assert_eq!((georeference.extent_m, georeference.epsg), (512.0, 32_610));
        for wrong in ["547433_5280574_512.jpg", "a_b_c_d.jpg", "1_2_0_32610.jpg", ""] {
            assert_eq!(Georeference::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn cvogl_becomes_a_pair_set() {
        let folder =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden/cvogl_mini/CVOGL_DroneAerial"));
        if !folder.exists() {
            println!("skipped: cvogl needs ../shared/golden/cvogl_mini");
            return;
        }
        for (split, count) in [("train", 6), ("val", 2), ("test", 2)] {
            let out = tempfile::tempdir().unwrap();
            assert_eq!(convert(folder, split, out.path()).unwrap(), count, "{split}");
            let set = PairSet::open(out.path()).unwrap();
            for pair in &set.pairs {
                assert!(!pair.rectified, "drone views are as the camera took them");
                assert!((pair.gsd_m - 0.6).abs() < 0.01, "{}", pair.gsd_m);
                let (_, click) = set.query(pair).unwrap();
                assert!(click.iter().all(|place| (0.0..256.0).contains(place)));
                assert_eq!(set.reference(pair).unwrap().width(), 1024);
                assert!(pair.box_xyxy[2] > pair.box_xyxy[0] && pair.box_xyxy[3] > pair.box_xyxy[1]);
            }
        }
    }
}
