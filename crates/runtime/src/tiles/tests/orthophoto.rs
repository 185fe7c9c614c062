//! Maps made of an orthophoto.

use super::*;

/// Writes a GeoTIFF whose red and green tell the easting and northing of each pixel.
fn geotiff(file: &Path, epsg_key: u16, epsg: u16, origin: [f64; 2], scale: [f64; 2], side_px: u32) {
    use tiff::encoder::{TiffEncoder, colortype};
    use tiff::tags::Tag;
    let mut encoder = TiffEncoder::new(std::fs::File::create(file).unwrap()).unwrap();
    let mut image = encoder.new_image::<colortype::RGB8>(side_px, side_px).unwrap();
    image.encoder().write_tag(Tag::ModelPixelScaleTag, &[scale[0], scale[1], 0.0][..]).unwrap();
    image.encoder().write_tag(Tag::ModelTiepointTag, &[0.0, 0.0, 0.0, origin[0], origin[1], 0.0][..]).unwrap();
    let keys: [u16; 12] = [1, 1, 0, 2, 1025, 0, 1, 1, epsg_key, 0, 1, epsg];
    image.encoder().write_tag(Tag::GeoKeyDirectoryTag, &keys[..]).unwrap();
    let pixels: Vec<u8> = (0..side_px)
        .flat_map(|y| (0..side_px).flat_map(move |x| [(x * 256 / side_px) as u8, (y * 256 / side_px) as u8, 90]))
        .collect();
    image.write_data(&pixels).unwrap();
}

#[test]
fn an_orthophoto_in_any_known_system_lands_where_it_lies() {
    let centre = LatLon::new(25.1972, 55.2744).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let side_px = 700_u32;
    let half = f64::from(side_px) / 2.0;
    let utm = smgeo_geo::grid::Utm::in_zone(centre, 40).unwrap();
    let (x, y) = smgeo_geo::mercator::metres(centre);
    let degree = 1e-5;
    let systems = [
        (2048_u16, 4326_u16, [centre.lon_deg() - half * degree, centre.lat_deg() + half * degree], [degree, degree]),
        (3072, 3857, [x - half, y + half], [1.0, 1.0]),
        (3072, 32640, [utm.easting_m - half, utm.northing_m + half], [1.0, 1.0]),
    ];
    for (key, epsg, origin, scale) in systems {
        let file = folder.path().join(format!("{epsg}.tif"));
        let out = folder.path().join(format!("{epsg}.mbtiles"));
        geotiff(&file, key, epsg, origin, scale, side_px);
        let report = import(&file, None, 17, &out, Some("2025"), &mut |_| {}).unwrap();
        assert!(report.tiles >= 9 && report.partial >= 4, "{epsg} {report:?}");
        let store = open_path(&out).unwrap();
        let tile = TileId::containing(centre, 17);
        let (x_px, y_px) = smgeo_geo::mercator::world_px(centre, 17);
        let (column, row) = ((x_px as usize) % 256, (y_px as usize) % 256);
        let rgb = store.tile(tile).unwrap().rgb;
        let found = &rgb[(row * 256 + column) * 3..][..3];
        // The middle of the picture: half of its colour range in both directions; JPEG and averaging blur by a step.
        assert!(
            found[0].abs_diff(128) <= 2 && found[1].abs_diff(128) <= 2 && found[2].abs_diff(90) <= 3,
            "{epsg} {found:?}"
        );
        assert_eq!(store.info().date.as_deref(), Some("2025"));
    }
}

#[test]
fn a_plain_picture_needs_bounds_and_then_fills_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ortho.png");
    let bounds = bounds_of(&neighbours());
    let mut large = RgbImage::new(768, 768);
    large
        .enumerate_pixels_mut()
        .for_each(|(x, y, pixel)| *pixel = Rgb([(x / 256 * 100) as u8, (y / 256 * 100) as u8, 0]));
    large.save(&file).unwrap();
    let out = folder.path().join("out.mbtiles");
    assert!(matches!(import(&file, None, 17, &out, None, &mut |_| {}), Err(ImportError::Nowhere { .. })));
    let report = import(&file, Some(&bounds), 17, &out, None, &mut |_| {}).unwrap();
    assert_eq!(report, ImportReport { tiles: 9, partial: 0 });
    let store = open_path(&out).unwrap();
    for (at, tile) in neighbours().into_iter().enumerate() {
        let rgb = store.tile(tile).unwrap().rgb;
        let wanted = [(at % 3 * 100) as u8, (at / 3 * 100) as u8];
        assert!(rgb[0].abs_diff(wanted[0]) <= 3 && rgb[1].abs_diff(wanted[1]) <= 3, "{tile} {:?}", &rgb[..3]);
    }
}

#[test]
fn an_orthophoto_that_cannot_be_used_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = |file: &str| folder.path().join(file);
    geotiff(&at("world.tif"), 3072, 3395, [0.0, 0.0], [1.0, 1.0], 64);
    geotiff(&at("far.tif"), 3072, 32640, [9e9, 0.0], [1.0, 1.0], 64);
    std::fs::write(at("cut.tif"), &std::fs::read(at("far.tif")).unwrap()[..40]).unwrap();
    let cases = [
        ("world.tif", "gdalwarp"),
        ("far.tif", "lies nowhere on the Earth in EPSG:32640"),
        ("cut.tif", "cannot be read"),
        ("none.tif", "cannot be read"),
    ];
    for (file, says) in cases {
        let error = import(&at(file), None, 17, &at("out.mbtiles"), None, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(file), "{error}");
    }
}
