//! What GeoTIFFs say is understood, whichever of their ways they say it in.

use std::fs::File;
use std::path::Path;

use smgeo_geo::{LatLon, TileBounds};
use smgeo_ortho::{Georeference, Header, OrthoError, Picture, System};
use tiff::encoder::TiffEncoder;
use tiff::encoder::colortype::{ColorType, Gray8, RGB8, RGBA8};
use tiff::tags::Tag;

const SIDE_PX: u32 = 8;

enum Value {
    Shorts(Vec<u16>),
    Doubles(Vec<f64>),
    Text(&'static str),
}

/// Writes a picture of one colour but for its first pixel, with these tags.
fn write<C: ColorType<Inner = u8>>(path: &Path, first: &[u8], rest: &[u8], tags: &[(Tag, Value)]) {
    let mut encoder = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    let mut image = encoder.new_image::<C>(SIDE_PX, SIDE_PX).unwrap();
    for (tag, value) in tags {
        let tags = image.encoder();
        match value {
            Value::Shorts(shorts) => tags.write_tag(*tag, &shorts[..]),
            Value::Doubles(doubles) => tags.write_tag(*tag, &doubles[..]),
            Value::Text(text) => tags.write_tag(*tag, *text),
        }
        .unwrap();
    }
    let pixels = [first.to_vec(), rest.repeat((SIDE_PX * SIDE_PX - 1) as usize)].concat();
    image.write_data(&pixels).unwrap();
}

/// UTM zone 40 north, where a pixel is an area (1) or a point (2).
fn utm(raster_type: u16) -> (Tag, Value) {
    (Tag::GeoKeyDirectoryTag, Value::Shorts(vec![1, 1, 0, 2, 1025, 0, 1, raster_type, 3072, 0, 1, 32640]))
}

fn doubles(tag: Tag, doubles: &[f64]) -> (Tag, Value) {
    (tag, Value::Doubles(doubles.to_vec()))
}

#[test]
fn every_way_to_say_where_the_first_pixel_lies_gives_the_same_place() {
    let folder = tempfile::tempdir().unwrap();
    let scale = || doubles(Tag::ModelPixelScaleTag, &[2.0, 2.0, 0.0]);
    let ways = [
        vec![utm(1), scale(), doubles(Tag::ModelTiepointTag, &[0.0, 0.0, 0.0, 500.0, 900.0, 0.0])],
        // Tied at another pixel, and at the middle of the first.
        vec![utm(1), scale(), doubles(Tag::ModelTiepointTag, &[3.0, 5.0, 0.0, 506.0, 890.0, 0.0])],
        vec![utm(2), scale(), doubles(Tag::ModelTiepointTag, &[0.0, 0.0, 0.0, 501.0, 899.0, 0.0])],
        vec![
            utm(1),
            doubles(Tag::ModelTransformationTag, &{
                let mut matrix = [0.0; 16];
                (matrix[0], matrix[3], matrix[5], matrix[7], matrix[15]) = (2.0, 500.0, -2.0, 900.0, 1.0);
                matrix
            }),
        ],
    ];
    for (way, tags) in ways.iter().enumerate() {
        let path = folder.path().join(format!("{way}.tif"));
        write::<RGB8>(&path, &[1, 2, 3], &[1, 2, 3], tags);
        let header = Header::read(&path).unwrap();
        let found = header.georeference.unwrap();
        assert_eq!(found.system, System::Projected { epsg: 32640, unit_m: 1.0 }, "way {way}");
        assert_eq!(found.bounds(header.size_px), [500.0, 884.0, 516.0, 900.0], "way {way}");
        assert_eq!(found.pixel_of([502.0, 896.0]), [1.0, 2.0], "way {way}");
    }
}

#[test]
fn a_place_and_its_point_on_the_plane_lead_to_each_other() {
    let systems = [
        System::Degrees,
        System::Mercator,
        System::Projected { epsg: 32640, unit_m: 1.0 },
        System::Projected { epsg: 32739, unit_m: 1.0 },
    ];
    for system in systems {
        for (lat_deg, lon_deg) in [(25.2, 55.3), (-3.0, 54.0), (0.0, 57.0)] {
            let at = LatLon::new(lat_deg, lon_deg).unwrap();
            let back = system.place_of(system.point_of(at).unwrap()).unwrap();
            let off_deg = (back.lat_deg() - lat_deg).hypot(back.lon_deg() - lon_deg);
            assert!(system.is_on_earth() && off_deg < 1e-8, "{system}: {lat_deg}, {lon_deg} became {back:?}");
        }
    }
    let lambert = System::Projected { epsg: 2154, unit_m: 1.0 };
    assert!(!lambert.is_on_earth() && lambert.point_of(LatLon::new(46.0, 2.0).unwrap()).is_none());
}

#[test]
fn bounds_are_laid_from_corner_to_corner_or_refused() {
    let bounds = |west_deg, south_deg, east_deg, north_deg| TileBounds { west_deg, south_deg, east_deg, north_deg };
    let laid = Georeference::of_bounds(&bounds(10.0, 50.0, 10.5, 50.25), [200.0, 100.0]).unwrap();
    let [west_south, east_north] = [[0.0, 100.0], [200.0, 0.0]]
        .map(|pixel| System::Mercator.place_of(laid.point_of(pixel)).map(|at| [at.lon_deg(), at.lat_deg()]).unwrap());
    for (found, wanted) in west_south.iter().chain(&east_north).zip([10.0, 50.0, 10.5, 50.25]) {
        assert!((found - wanted).abs() < 1e-9, "{found} for {wanted}");
    }
    assert!(Georeference::of_bounds(&bounds(10.5, 50.0, 10.0, 50.25), [200.0, 100.0]).is_err());
    assert!(Georeference::of_bounds(&bounds(10.0, 50.0, 10.5, 95.0), [200.0, 100.0]).is_err());
}

#[test]
fn a_colour_is_given_only_where_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let nodata = [(Tag::GdalNodata, Value::Text("7"))];
    write::<Gray8>(&path("gray.tif"), &[7], &[50], &nodata);
    write::<RGB8>(&path("rgb.tif"), &[7, 7, 7], &[50, 60, 70], &nodata);
    write::<RGBA8>(&path("rgba.tif"), &[9, 9, 9, 0], &[50, 60, 70, 255], &[]);
    image::RgbaImage::from_fn(8, 8, |x, y| image::Rgba([50, 60, 70, if x + y == 0 { 0 } else { 255 }]))
        .save(path("whole.png"))
        .unwrap();
    for (name, colour) in
        [("gray.tif", [50; 3]), ("rgb.tif", [50, 60, 70]), ("rgba.tif", [50, 60, 70]), ("whole.png", [50, 60, 70])]
    {
        let mut picture = Picture::open(&path(name)).unwrap();
        let mut mean = |x, y| picture.mean([x, y], [[1.0, 0.0], [0.0, 1.0]]).unwrap();
        assert_eq!(mean(0.0, 0.0), None, "{name}: an empty pixel");
        assert_eq!(mean(3.0, 4.0), Some(colour), "{name}");
        assert_eq!(mean(8.5, 4.0), None, "{name}: outside");
        // What is empty takes no part in a mean.
        assert_eq!(picture.mean([0.0, 0.0], [[4.0, 0.0], [0.0, 4.0]]).unwrap(), Some(colour), "{name}");
    }
}

#[test]
fn a_file_cut_short_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.tif");
    write::<RGB8>(&whole, &[1, 2, 3], &[4, 5, 6], &[]);
    let bytes = std::fs::read(&whole).unwrap();
    let cut = folder.path().join("cut.tif");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let error = Header::read(&cut).err().or_else(|| Picture::open(&cut).err()).unwrap();
    assert!(matches!(error, OrthoError::Tiff { .. }) && error.to_string().contains("cut.tif"), "{error}");
}
