//! Footprints of buildings from a GeoJSON file, and the boxes around them in the pixels of tiles.

use std::path::{Path, PathBuf};

use serde_json::Value;
use smgeo_engine::TILE_PX;
use smgeo_geo::LatLon;
use smgeo_ortho::System;

use super::grid::Grid;
use crate::data::DataError;

/// Boxes with a shorter side are huts, or slips of the pen.
const SIDE_PX_MIN: f64 = 6.0;
/// WGS 84, which GeoJSON is in unless it says otherwise (RFC 7946).
const WGS84: u16 = 4326;

/// Polygons of a GeoJSON file, each with its outer ring first and then its holes.
#[derive(Debug)]
pub struct Footprints {
    path: PathBuf,
    epsg: u16,
    polygons: Vec<Vec<Vec<[f64; 2]>>>,
}

/// The box around a footprint in a tile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Footprint {
    /// Row of the tile.
    pub row: usize,
    /// Column of the tile.
    pub column: usize,
    /// Left, top, right, bottom in pixels of the tile, and the share of the box that the building fills.
    pub entry: [f64; 5],
}

impl Footprints {
    /// Reads all polygons of a file; points and lines among them are left out.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let malformed = |reason: String| DataError::Malformed { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
        let file: Value = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let epsg = epsg_of(&file).map_err(malformed)?;
        let features = file["features"].as_array().cloned().unwrap_or_else(|| vec![file.clone()]);
        let polygons: Vec<_> = features.iter().flat_map(|feature| polygons_of(&feature["geometry"])).collect();
        if polygons.is_empty() {
            return Err(malformed("it has no features that are polygons".to_owned()));
        }
        Ok(Self { path: path.to_owned(), epsg, polygons })
    }

    /// The boxes of footprints that lie whole in one tile of an area.
    pub fn boxes(&self, grid: &Grid, system: System) -> Result<Vec<Footprint>, DataError> {
        let refused = |reason: String| DataError::Refused { path: self.path.clone(), reason };
        if system == System::Picture {
            return Err(refused("it cannot be laid over pictures that do not say where they lie".to_owned()));
        }
        let is_same = self.epsg != WGS84 && system.is_epsg(self.epsg);
        if !is_same && self.epsg != WGS84 {
            let reason =
                format!("it is in EPSG:{} and a picture in {system}; ogr2ogr -t_srs EPSG:4326 changes that", self.epsg);
            return Err(refused(reason));
        }
        let point = |[x, y]: [f64; 2]| {
            let point = if is_same { Some([x, y]) } else { LatLon::new(y, x).ok().and_then(|at| system.point_of(at)) };
            point.map(|point| grid.pixel_of(point))
        };
        let mut boxes = Vec::new();
        for polygon in &self.polygons {
            let rings = polygon.iter().map(|ring| ring.iter().map(|&corner| point(corner)).collect::<Option<Vec<_>>>());
            let rings: Vec<_> = rings.collect::<Option<_>>().ok_or_else(|| {
                refused(format!(
                    "it cannot be laid over a picture in {system}; ogr2ogr -t_srs writes it in that system"
                ))
            })?;
            boxes.extend(boxed(&rings, grid));
        }
        Ok(boxes)
    }
}

/// The code of the file's coordinate system, from the `crs` that older files have.
fn epsg_of(file: &Value) -> Result<u16, String> {
    let Some(name) = file["crs"]["properties"]["name"].as_str() else { return Ok(WGS84) };
    if name.ends_with("CRS84") {
        return Ok(WGS84);
    }
    let code = name.rsplit(':').next().and_then(|code| code.parse().ok()).filter(|_| name.contains("EPSG"));
    code.ok_or_else(|| format!("its crs is {name}; ogr2ogr -t_srs EPSG:4326 changes that"))
}

fn polygons_of(geometry: &Value) -> Vec<Vec<Vec<[f64; 2]>>> {
    let corner = |place: &Value| Some([place[0].as_f64()?, place[1].as_f64()?]);
    let ring = |ring: &Value| ring.as_array()?.iter().map(corner).collect::<Option<Vec<_>>>();
    let polygon = |rings: &Value| rings.as_array()?.iter().map(ring).collect::<Option<Vec<_>>>();
    let coordinates = &geometry["coordinates"];
    match geometry["type"].as_str() {
        Some("Polygon") => polygon(coordinates).into_iter().collect(),
        Some("MultiPolygon") => coordinates.as_array().into_iter().flatten().filter_map(polygon).collect(),
        _ => Vec::new(),
    }
}

/// The box around a polygon of the grid's pixels; nothing where it is cut by a border of tiles, lies outside or is tiny.
fn boxed(rings: &[Vec<[f64; 2]>], grid: &Grid) -> Option<Footprint> {
    let outer = rings.first()?;
    let least = |axis: usize| outer.iter().map(|corner| corner[axis]).fold(f64::INFINITY, f64::min);
    let most = |axis: usize| outer.iter().map(|corner| corner[axis]).fold(f64::NEG_INFINITY, f64::max);
    let [x0, y0, x1, y1] = [least(0), least(1), most(0), most(1)];
    let edge = TILE_PX as f64;
    let [column, row] = [x0, y0].map(|place| (place / edge).floor());
    let is_inside = row >= 0.0 && column >= 0.0 && row < grid.rows as f64 && column < grid.columns as f64;
    let is_whole = x1 <= (column + 1.0) * edge && y1 <= (row + 1.0) * edge;
    if !(is_inside && is_whole && x1 - x0 >= SIDE_PX_MIN && y1 - y0 >= SIDE_PX_MIN) {
        return None;
    }
    let holes: f64 = rings[1..].iter().map(|hole| area(hole)).sum();
    let filled = ((area(outer) - holes) / ((x1 - x0) * (y1 - y0))).clamp(0.0, 1.0);
    let (left, top) = (column * edge, row * edge);
    let entry = [x0 - left, y0 - top, x1 - left, y1 - top, filled].map(|value| (value * 100.0).round() / 100.0);
    Some(Footprint { row: row as usize, column: column as usize, entry })
}

/// The area of a ring by the shoelace formula.
fn area(ring: &[[f64; 2]]) -> f64 {
    let next = ring.iter().cycle().skip(1);
    (ring.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum::<f64>() / 2.0).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTM: System = System::Projected { epsg: 32640, unit_m: 1.0 };

    fn read(text: &str) -> Result<Footprints, DataError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Footprints::read(file.path())
    }

    fn feature(kind: &str, coordinates: &str) -> String {
        format!("{{\"geometry\": {{\"type\": \"{kind}\", \"coordinates\": {coordinates}}}}}")
    }

    #[test]
    fn footprints_that_lie_whole_in_a_tile_become_boxes() {
        let grid = Grid::over([1000.0, 0.0, 1512.0, 512.0], UTM, 1.0).unwrap();
        let cases = [
            // A square, one with a corner cut off and one with a hole.
            ("Polygon", "[[[1010, 502], [1030, 502], [1030, 482], [1010, 482]]]", vec![[10.0, 10.0, 30.0, 30.0, 1.0]]),
            ("Polygon", "[[[1300, 200], [1320, 200], [1300, 180], [1300, 200]]]", vec![[44.0, 56.0, 64.0, 76.0, 0.5]]),
            (
                "MultiPolygon",
                "[[[[1010, 502], [1030, 502], [1030, 482], [1010, 482]], [[1010, 502], [1020, 502], [1020, 492], [1010, 492]]]]",
                vec![[10.0, 10.0, 30.0, 30.0, 0.75]],
            ),
            // Cut by a border of tiles, outside, tiny, and no polygon of numbers.
            ("Polygon", "[[[1250, 502], [1270, 502], [1270, 482], [1250, 482]]]", vec![]),
            ("Polygon", "[[[910, 502], [930, 502], [930, 482], [910, 482]]]", vec![]),
            ("Polygon", "[[[1010, 502], [1012, 502], [1012, 500], [1010, 500]]]", vec![]),
        ];
        for (kind, coordinates, wanted) in cases {
            let crs = "{\"properties\": {\"name\": \"urn:ogc:def:crs:EPSG::32640\"}}";
            let text = format!("{{\"crs\": {crs}, \"features\": [{}]}}", feature(kind, coordinates));
            let found = read(&text).unwrap().boxes(&grid, UTM).unwrap();
            assert_eq!(found.iter().map(|footprint| footprint.entry).collect::<Vec<_>>(), wanted, "{coordinates}");
        }
    }

    #[test]
    fn degrees_are_laid_over_a_picture_in_metres() {
        let [x, y] = UTM.point_of(LatLon::new(25.1972, 55.2744).unwrap()).unwrap();
        let grid = Grid::over([x - 50.0, y - 462.0, x + 462.0, y + 50.0], UTM, 1.0).unwrap();
        let square = "[[[55.2744, 25.1972], [55.2746, 25.1972], [55.2746, 25.1970], [55.2744, 25.1970]]]";
        let found = read(&feature("Polygon", square)).unwrap().boxes(&grid, UTM).unwrap();
        let [footprint] = found[..] else { panic!("{found:?}") };
        let [x0, y0, x1, y1, filled] = footprint.entry;
        assert!((x1 - x0 - 20.2).abs() < 0.5 && (y1 - y0 - 22.2).abs() < 0.5 && filled > 0.95, "{footprint:?}");
        assert!((x0 - 50.0).abs() < 0.5 && (y0 - 50.0).abs() < 0.5, "{footprint:?}");
    }

    #[test]
    fn a_file_that_cannot_be_laid_over_the_picture_says_what_to_do() {
        let polygon = feature("Polygon", "[[[500000, 4000000], [500020, 4000000], [500020, 4000020]]]");
        let grid = Grid::over([0.0, 0.0, 512.0, 512.0], UTM, 1.0).unwrap();
        let crs = |name: &str| {
            format!("{{\"crs\": {{\"properties\": {{\"name\": \"{name}\"}}}}, \"features\": [{polygon}]}}")
        };
        let boxes =
            |text: &str| read(text).and_then(|footprints| footprints.boxes(&grid, UTM)).unwrap_err().to_string();
        let point = feature("Point", "[1, 2]");
        for (text, says) in [
            (polygon.clone(), "ogr2ogr"),
            (crs("urn:ogc:def:crs:EPSG::2154"), "EPSG:2154"),
            (crs("somewhere"), "its crs is somewhere"),
            (point, "no features that are polygons"),
            ("{".to_owned(), "malformed"),
        ] {
            assert!(boxes(&text).contains(says), "{says}: {}", boxes(&text));
        }
    }
}
