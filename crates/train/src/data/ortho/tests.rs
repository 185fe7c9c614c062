//! Orthophotos become data that the shipped plan trains on.

use std::path::{Path, PathBuf};

use tiff::encoder::{TiffEncoder, colortype};
use tiff::tags::Tag;

use super::*;
use crate::data::ground::Source;
use crate::data::library::Library;
use crate::data::sampler::Sampler;
use crate::data::{Raster, naip, pair_set};
use crate::training::Plan;
use crate::training::look::Look;

/// Six columns and five rows of tiles at 0.6 m a pixel.
const EXTENT_M: [f64; 2] = [921.6, 768.0];
const WEST_NORTH_M: [f64; 2] = [326_000.0, 2_788_000.0];

/// A place's colour: every tile differs, and no colour fills half of one.
fn painted([x, y]: [f64; 2]) -> [u8; 3] {
    let wave = |phase: f64, period_m: f64| (128.0 + 100.0 * (phase / period_m).sin()) as u8;
    [wave(x, 2.0), wave(y, 2.5), wave(x + y, 70.0)]
}

/// Writes a GeoTIFF of the ground right of and below a corner.
fn geotiff(file: &Path, epsg: u16, gsd_m: f64, paint: impl Fn([f64; 2]) -> [u8; 3]) {
    let [width, height] = EXTENT_M.map(|extent| (extent / gsd_m).round() as u32);
    let mut encoder = TiffEncoder::new(std::fs::File::create(file).unwrap()).unwrap();
    let mut image = encoder.new_image::<colortype::RGB8>(width, height).unwrap();
    let [west, north] = WEST_NORTH_M;
    image.encoder().write_tag(Tag::ModelPixelScaleTag, &[gsd_m, gsd_m, 0.0][..]).unwrap();
    image.encoder().write_tag(Tag::ModelTiepointTag, &[0.0, 0.0, 0.0, west, north, 0.0][..]).unwrap();
    let keys: [u16; 12] = [1, 1, 0, 2, 1025, 0, 1, 1, 3072, 0, 1, epsg];
    image.encoder().write_tag(Tag::GeoKeyDirectoryTag, &keys[..]).unwrap();
    let place = |x: u32, y: u32| [(f64::from(x) + 0.5) * gsd_m, (f64::from(y) + 0.5) * gsd_m];
    let pixels: Vec<u8> =
        (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| paint(place(x, y))).collect();
    image.write_data(&pixels).unwrap();
}

fn plain(file: &Path, [width, height]: [usize; 2], gsd_m: f64) {
    let mut picture = Raster::filled(width, height, [0; 3]);
    let pixels = picture.rgb_mut().chunks_exact_mut(3).enumerate();
    pixels
        .for_each(|(at, pixel)| pixel.copy_from_slice(&painted([at % width, at / width].map(|px| px as f64 * gsd_m))));
    picture.save(file).unwrap();
}

/// A building of 20 m x 15 m in the middle of each tile, in the picture's system.
fn footprints(file: &Path) {
    let square = |row: i32, column: i32| {
        let (x, y) =
            (WEST_NORTH_M[0] + 153.6 * f64::from(column) + 66.0, WEST_NORTH_M[1] - 153.6 * f64::from(row) - 66.0);
        let ring = [[x, y], [x + 20.0, y], [x + 20.0, y - 15.0], [x, y - 15.0], [x, y]];
        serde_json::json!({"geometry": {"type": "Polygon", "coordinates": [ring]}})
    };
    let all: Vec<_> = (0..5).flat_map(|row| (0..6).map(move |column| square(row, column))).collect();
    let crs = serde_json::json!({"properties": {"name": "urn:ogc:def:crs:EPSG::32640"}});
    std::fs::write(file, serde_json::json!({"crs": crs, "features": all}).to_string()).unwrap();
}

fn request(folder: &Path, files: &[&str]) -> Request {
    Request {
        files: files.iter().map(|file| folder.join(file)).collect(),
        out: folder.join("own"),
        gsd_m: 0.6,
        source_gsd_m: None,
        city: None,
        boxes: None,
    }
}

/// The shipped plan, on the data in a folder.
fn shipped(folder: PathBuf) -> Plan {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/train/own.toml"));
    let mut plan = Plan::read(path).unwrap();
    plan.data.naip = Some(folder);
    plan
}

#[test]
fn two_dates_become_data_that_the_shipped_plan_trains_and_measures_on() {
    let folder = tempfile::tempdir().unwrap();
    geotiff(&folder.path().join("smallville_2020.tif"), 32640, 0.6, painted);
    // Finer, and nothing was flown over the first column of tiles.
    let later = |[x, y]: [f64; 2]| if x < 153.6 { [0; 3] } else { painted([x, y]) };
    geotiff(&folder.path().join("smallville_2023.tif"), 32640, 0.45, later);
    footprints(&folder.path().join("buildings.geojson"));
    let boxes = Some(folder.path().join("buildings.geojson"));
    let request = Request { boxes, ..request(folder.path(), &["smallville_2023.tif", "smallville_2020.tif"]) };
    let report = cut(&request).unwrap();
    assert_eq!(report, Report { places: 30, held_out: 17, pictures: 55, boxes: 30, boxes_held_out: 17 });
    assert!(matches!(cut(&request), Err(DataError::Exists { .. })));

    let plan = shipped(request.out);
    let library = Library::read(&plan.data).unwrap();
    assert_eq!((library.trained.len(), library.held_out.len()), (13, 17));
    for ground in library.trained.iter().chain(library.held_out.iter()) {
        assert_eq!(ground.layers.len(), if ground.name.ends_with("_000") { 1 } else { 2 }, "{}", ground.name);
        assert_eq!(ground.boxes[0].xyxy.map(f64::round), [110.0, 110.0, 143.0, 135.0], "{}", ground.name);
        let difference = |layer: &Raster| {
            let pairs = layer.rgb().iter().zip(ground.layers[0].rgb());
            pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / layer.rgb().len() as f64
        };
        // A shift by half a pixel would make it 2.
        let worst = ground.layers.iter().map(difference).fold(0.0, f64::max);
        assert!(worst < 1.5, "{}: its dates differ by {worst}", ground.name);
    }
    let batch = Sampler::new(library.trained, plan.recipe.clone(), 1).unwrap().batch(0);
    assert!(batch.tiles.len() == 8 && batch.clicks.iter().any(|click| click.box_xyxy.is_some()));
    Look::new(&library.held_out, &plan.recipe, 1, 16).unwrap();
    let drawn = Sampler::new(library.held_out, pair_set::recipe(Source::Naip, false), 1).unwrap();
    assert_eq!(pair_set::write_drawn(&drawn, 3, &folder.path().join("pairs")).unwrap(), 3);
}

#[test]
fn plain_pictures_of_a_stated_size_are_cut_too() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["smallville_2020.png", "smallville_2023.jpg", "smallville_2023.png"] {
        plain(&folder.path().join(file), [922, 768], 1.0);
    }
    let files = ["smallville_2020.png", "smallville_2023.jpg", "smallville_2023.png"];
    let request = Request { source_gsd_m: Some(1.0), ..request(folder.path(), &files) };
    let report = cut(&request).unwrap();
    assert_eq!(report, Report { places: 30, held_out: 17, pictures: 90, boxes: 0, boxes_held_out: 0 });
    let library = Library::read(&shipped(request.out).data).unwrap();
    assert!(library.trained.iter().all(|ground| ground.layers.len() == 3 && ground.boxes.is_empty()));
}

#[test]
fn one_name_makes_all_pictures_one_area() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["before.tif", "after.tif"] {
        geotiff(&folder.path().join(file), 32640, 1.0, painted);
    }
    let request =
        Request { city: Some("smallville".to_owned()), ..request(folder.path(), &["before.tif", "after.tif"]) };
    assert_eq!(cut(&request).unwrap().places, 30);
    let grounds = naip::read(&request.out).unwrap();
    assert!(grounds.iter().all(|ground| ground.layers.len() == 2));
    assert!(grounds.iter().all(|ground| ["smallville", HELD_OUT].contains(&ground.group.as_str())));
}

#[test]
fn pictures_that_cannot_be_cut_say_what_to_do_and_leave_no_set() {
    let folder = tempfile::tempdir().unwrap();
    let at = |file: &str| folder.path().join(file);
    geotiff(&at("utm_2020.tif"), 32640, 2.4, painted);
    geotiff(&at("utm_2021.tif"), 32639, 1.0, painted);
    geotiff(&at("utm_2022.tif"), 32640, 1.0, painted);
    geotiff(&at("lambert_2020.tif"), 2154, 1.0, painted);
    plain(&at("plain_2020.png"), [300, 300], 1.0);
    plain(&at("plain_2021.png"), [301, 300], 1.0);
    std::fs::write(at("text_2020.tif"), "no picture").unwrap();
    image::ImageBuffer::<image::Luma<u16>, _>::new(300, 300).save(at("deep_2020.tif")).unwrap();
    footprints(&at("buildings.geojson"));
    let cases: [(&[&str], Option<f64>, &str); 9] = [
        (&["utm_2020.tif"], None, "too coarse"),
        (&["utm_2022.tif", "utm_2021.tif"], None, "EPSG:32639"),
        (&["lambert_2020.tif"], None, "ProjLinearUnitsGeoKey (3076)"),
        (&["plain_2020.png"], None, "--source-gsd-m"),
        (&["plain_2020.png", "plain_2021.png"], Some(1.0), "another size"),
        (&["plain_2020.png"], Some(1.0), "buildings.geojson cannot be used"),
        (&["text_2020.tif"], None, "text_2020.tif cannot be read"),
        (&["deep_2020.tif"], Some(1.0), "gdal_translate -ot Byte"),
        (&["none_2020.tif"], None, "cannot be read"),
    ];
    for (files, source_gsd_m, says) in cases {
        let boxes = says.contains("geojson").then(|| at("buildings.geojson"));
        let request = Request { source_gsd_m, boxes, ..request(folder.path(), files) };
        let error = cut(&request).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(naip::read(&request.out).is_err());
    }
}
