//! Stores on real files and a real server, sound and broken.

mod http;
mod orthophoto;

use std::collections::HashMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, RgbaImage};
use proptest::prelude::*;
use smgeo_flow::{HandClock, SystemClock};
use smgeo_geo::{LatLon, TILE_PX, TileBounds, TileId};

use super::*;

const TILE: TileId = TileId { z: 17, x: 85_634, y: 55_922 };

/// A picture whose colour says which tile it is.
fn picture(tile: TileId, side_px: u32) -> RgbImage {
    RgbImage::from_pixel(side_px, side_px, Rgb([(tile.x % 251) as u8, (tile.y % 251) as u8, tile.z]))
}

fn encoded(picture: DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(tile: TileId) -> Vec<u8> {
    encoded(picture(tile, TILE_PX).into(), ImageFormat::Png)
}

fn shows(found: &TilePicture, tile: TileId) {
    assert_eq!(found.rgb.len(), 256 * 256 * 3);
    assert_eq!(&found.rgb[..3], &picture(tile, 1).into_raw()[..], "{tile}");
}

fn neighbours() -> Vec<TileId> {
    (0..3).flat_map(|dy| (0..3).map(move |dx| TileId { x: TILE.x + dx, y: TILE.y + dy, ..TILE })).collect()
}

fn bounds_of(tiles: &[TileId]) -> TileBounds {
    let (first, last) = (tiles[0].bounds(), tiles[tiles.len() - 1].bounds());
    TileBounds {
        west_deg: first.west_deg,
        north_deg: first.north_deg,
        east_deg: last.east_deg,
        south_deg: last.south_deg,
    }
}

fn mbtiles(folder: &Path) -> PathBuf {
    let file = folder.join("map.mbtiles");
    let mut writer = MbTilesWriter::open(&file).unwrap();
    for tile in neighbours() {
        let encoded = EncodedTile::new(png(tile).into(), tile, writer.name()).unwrap();
        writer.put([(tile, &encoded)]).unwrap();
    }
    writer.describe("test", "image/png", &TILE.bounds(), TILE.z).unwrap();
    writer.set("date", "2024-05-01").unwrap();
    file
}

fn pmtiles(folder: &Path) -> PathBuf {
    use ::pmtiles::{Compression, PmTilesWriter, TileCoord, TileType};
    let file = folder.join("map.pmtiles");
    let writer = PmTilesWriter::new(TileType::Png).tile_compression(Compression::None).min_zoom(17).max_zoom(17);
    let mut stream = writer.create(std::fs::File::create(&file).unwrap()).unwrap();
    let mut tiles = neighbours();
    tiles.sort_by_key(|tile| ::pmtiles::TileId::from(TileCoord::new(tile.z, tile.x, tile.y).unwrap()));
    for tile in tiles {
        stream.add_tile(TileCoord::new(tile.z, tile.x, tile.y).unwrap(), &png(tile)).unwrap();
    }
    stream.finalize().unwrap();
    file
}

fn folder_of_tiles(folder: &Path) -> PathBuf {
    let root = folder.join("tiles");
    for (at, tile) in neighbours().into_iter().enumerate() {
        let column = root.join(tile.z.to_string()).join(tile.x.to_string());
        std::fs::create_dir_all(&column).unwrap();
        let (format, extension) = [(ImageFormat::Png, "png"), (ImageFormat::WebP, "webp")][at % 2];
        let bytes = encoded(picture(tile, TILE_PX).into(), format);
        std::fs::write(column.join(format!("{}.{extension}", tile.y)), bytes).unwrap();
    }
    root
}

fn open_path(path: &Path) -> Result<Box<dyn TileSource>, TileError> {
    open_source(&TilesConfig::of(path.to_str().unwrap()), SystemClock::shared())
}

#[test]
fn every_store_gives_the_tile_asked_for_and_says_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    for file in [mbtiles(folder.path()), pmtiles(folder.path()), folder_of_tiles(folder.path())] {
        let store = open_path(&file).unwrap();
        for tile in neighbours() {
            shows(&store.tile(tile).unwrap(), tile);
        }
        assert_eq!((store.info().zoom_min, store.info().zoom_max), (17, 17), "{}", file.display());
        for missing in
            [TileId { x: TILE.x + 9, ..TILE }, TileId { z: 3, x: 0, y: 0 }, TileId { z: 30, x: u32::MAX, y: u32::MAX }]
        {
            let error = store.tile(missing).err().unwrap();
            assert!(error.is_missing(), "{error}");
            assert!(
                error.to_string().contains(&missing.to_string())
                    && error.to_string().contains("map") | error.to_string().contains("tiles")
            );
        }
    }
}

#[test]
fn a_store_that_does_not_say_what_it_covers_covers_its_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let file = mbtiles(folder.path());
    rusqlite::Connection::open(&file).unwrap().execute("DELETE FROM metadata WHERE name = 'bounds'", ()).unwrap();
    let held = bounds_of(&neighbours());
    for store in [file, folder_of_tiles(folder.path())] {
        assert_eq!(open_path(&store).unwrap().info().bounds, Some(held), "{}", store.display());
    }
}

#[test]
fn a_file_packed_in_two_runs_says_that_it_covers_both_areas() {
    let folder = tempfile::tempdir().unwrap();
    let source = open_path(&mbtiles(folder.path())).unwrap();
    let out = folder.path().join("pack.mbtiles");
    let all = neighbours();
    // The north-western tile comes last and must not stand for the whole.
    for part in [&all[4..], &all[..1]] {
        pack(source.as_ref(), &bounds_of(part), TILE.z, &out, 1, &mut |_| {}).unwrap();
    }
    let (found, whole) = (open_path(&out).unwrap().info().bounds.unwrap(), bounds_of(&all));
    let edges = |of: TileBounds| [of.west_deg, of.south_deg, of.east_deg, of.north_deg];
    for (found, whole) in edges(found).into_iter().zip(edges(whole)) {
        assert!((found - whole).abs() < 1e-6, "{found} {whole}");
    }
}

#[test]
fn the_date_of_the_imagery_goes_with_every_picture() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_path(&mbtiles(folder.path())).unwrap();
    assert_eq!(store.tile(TILE).unwrap().date.as_deref(), Some("2024-05-01"));
    assert_eq!(store.info().imagery.len(), 64);
}

#[test]
fn a_file_that_is_no_store_of_pictures_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.mbtiles");
    std::fs::write(&text, "this is no database, however long it is. ".repeat(200)).unwrap();
    let other = folder.path().join("other.mbtiles");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE notes (text TEXT);").unwrap();
    let vector = folder.path().join("vector.mbtiles");
    std::fs::copy(mbtiles(folder.path()), &vector).unwrap();
    rusqlite::Connection::open(&vector)
        .unwrap()
        .execute("UPDATE metadata SET value = 'pbf' WHERE name = 'format'", ())
        .unwrap();
    let cut = folder.path().join("cut.pmtiles");
    std::fs::write(&cut, &std::fs::read(pmtiles(folder.path())).unwrap()[..100]).unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    for (file, says) in [
        (text, "SQLite"),
        (other, "tiles"),
        (vector, "pbf"),
        (cut, "PMTiles"),
        (empty, "z/x/y"),
        (folder.path().join("none.mbtiles"), "No such file"),
    ] {
        let error = open_path(&file).err().unwrap().to_string();
        assert!(error.contains(says) && error.contains(&file.display().to_string()), "{error}");
    }
}

fn store_with(folder: &Path, bytes: &[u8]) -> Box<dyn TileSource> {
    let root = folder.join("z");
    let column = root.join("17").join(TILE.x.to_string());
    std::fs::create_dir_all(&column).unwrap();
    std::fs::write(column.join(format!("{}.png", TILE.y)), bytes).unwrap();
    open_path(&root).unwrap()
}

#[test]
fn a_broken_tile_is_an_error_that_names_it() {
    let whole = png(TILE);
    let bomb = encoded(DynamicImage::new_luma8(8_000, 8_000), ImageFormat::Png);
    let odd = encoded(picture(TILE, 300).into(), ImageFormat::Png);
    let clear = encoded(RgbaImage::new(256, 256).into(), ImageFormat::Png);
    let cases: [(&[u8], &str); 8] = [
        (&whole[..whole.len() / 2], "corrupt"),
        (b"", "format"),
        (b"<html>no tile</html>", "format"),
        (&[0x1f, 0x8b, 8, 0], "format"),
        (&bomb, "corrupt"),
        (&odd, "size"),
        (&clear, "missing"),
        (&vec![0; TILE_BYTES_MAX + 1], "too_large"),
    ];
    for (bytes, cause) in cases {
        let folder = tempfile::tempdir().unwrap();
        let error = store_with(folder.path(), bytes).tile(TILE).err().unwrap();
        assert_eq!(error.cause(), cause, "{error}");
        assert!(error.to_string().contains(&TILE.to_string()), "{error}");
    }
}

#[test]
fn tiles_for_dense_screens_are_averaged_down() {
    for side_px in [256, 512, 1024] {
        let mut large = RgbImage::new(side_px, side_px);
        large
            .enumerate_pixels_mut()
            .for_each(|(x, y, pixel)| *pixel = Rgb([(x * 256 / side_px) as u8, (y * 256 / side_px) as u8, 7]));
        let folder = tempfile::tempdir().unwrap();
        let store = store_with(folder.path(), &encoded(large.into(), ImageFormat::Png));
        let rgb = store.tile(TILE).unwrap().rgb;
        assert_eq!(&rgb[(100 * 256 + 40) * 3..][..3], &[40, 100, 7], "{side_px}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn no_bytes_bring_the_decoder_down(cut in 0_usize..900, flips in proptest::collection::vec((0_usize..900, any::<u8>()), 0..8)) {
        let mut bytes = png(TILE);
        flips.iter().for_each(|(at, value)| { let at = at % bytes.len(); bytes[at] ^= value; });
        bytes.truncate(cut.max(1));
        let store: Arc<str> = "test".into();
        if let Ok(encoded) = EncodedTile::new(bytes.into(), TILE, &store) {
            let info = TilesInfo { name: store, imagery: "".into(), date: None, attribution: None, bounds: None, zoom_min: 0, zoom_max: 22 };
            let _ = decode(&encoded, TILE, &info);
        }
    }
}

#[test]
fn a_flipped_bit_in_a_file_with_hashes_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = mbtiles(folder.path());
    let damage = rusqlite::Connection::open(&file).unwrap();
    let other = png(TileId { x: 1, ..TILE });
    damage.execute("UPDATE tiles SET tile_data = ?1 WHERE tile_column = ?2", (other, TILE.x)).unwrap();
    let error = open_path(&file).unwrap().tile(TILE).err().unwrap();
    assert_eq!(error.cause(), "altered", "{error}");
}

#[test]
fn pictures_in_ram_keep_to_their_budget() {
    let folder = tempfile::tempdir().unwrap();
    let tiles = RamTiles::new(open_path(&mbtiles(folder.path())).unwrap(), 3 * 256 * 256 * 3);
    for tile in neighbours() {
        tiles.tile(tile).unwrap();
    }
    // Eviction runs beside the calls; asking again lets it finish.
    (0..200).for_each(|_| drop(tiles.peek(TILE)));
    let held = neighbours().into_iter().filter(|tile| tiles.peek(*tile).is_some()).count();
    assert!(held <= 4, "{held} pictures in RAM");
    assert_eq!(tiles.counts().from_store, 9);
    tiles.tile(TileId { x: 0, ..TILE }).err().unwrap();
    assert_eq!(tiles.counts().failed["missing"], 1);
}

#[test]
fn the_keeper_loads_what_is_wanted_and_never_makes_one_wait() {
    let folder = tempfile::tempdir().unwrap();
    let tiles = Arc::new(RamTiles::new(open_path(&mbtiles(folder.path())).unwrap(), 1 << 24));
    let keeper = TileKeeper::start(tiles, 2, SystemClock::shared()).unwrap();
    let beyond = TileId { x: 3, ..TILE };
    assert!(matches!(keeper.state(TILE), TileState::Unwanted));
    keeper.want(&[TILE, beyond]);
    assert!(matches!(settled(&keeper, TILE), Some(TileState::Ready(_))));
    assert!(matches!(settled(&keeper, beyond), Some(TileState::Failed(TileError::Missing { .. }))));
    assert_eq!(keeper.trouble(), None, "a map has an end");
}

/// Waits until a tile is loaded, or is known not to be.
fn settled(keeper: &TileKeeper, tile: TileId) -> Option<TileState> {
    (0..200).find_map(|_| match keeper.state(tile) {
        TileState::Loading => {
            std::thread::park_timeout(Duration::from_millis(10));
            None
        }
        state => Some(state),
    })
}

#[test]
fn a_tile_that_cannot_be_read_is_trouble_as_long_as_it_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let file = mbtiles(folder.path());
    let damage = rusqlite::Connection::open(&file).unwrap();
    damage.execute("UPDATE tile_sha256 SET sha256 = x'00' WHERE tile_column = ?1", [TILE.x]).unwrap();
    let (altered, sound) = (&neighbours()[0..7], TileId { x: TILE.x + 1, ..TILE });
    let tiles = Arc::new(RamTiles::new(open_path(&file).unwrap(), 1 << 24));
    let keeper = TileKeeper::start(tiles, 1, SystemClock::shared()).unwrap();
    for (wanted, says) in [
        (&altered[0..1], "17/85634/55922 of"),
        (altered, "3 tiles cannot be read, the first: tile 17/85634/55922 of"),
        (&[sound][..], ""),
    ] {
        keeper.want(wanted);
        wanted.iter().for_each(|tile| drop(settled(&keeper, *tile)));
        let trouble = keeper.trouble().unwrap_or_default();
        assert!(trouble.contains(says) && trouble.is_empty() == says.is_empty(), "{trouble:?}");
    }
    let failed = keeper.tiles().counts().failed;
    assert!(failed["altered"] >= 3 && failed.keys().all(|cause| TileError::CAUSES.contains(cause)), "{failed:?}");
}

#[test]
fn heights_are_read_from_lossless_tiles_of_256_px_only() {
    let tile = TileId { z: 14, x: 1, y: 1 };
    let folder = tempfile::tempdir().unwrap();
    let store = MbTiles::open(&mbtiles(folder.path()), None).unwrap();
    let info = store.info();
    let sea = |size_px: u32| DynamicImage::ImageRgb8(RgbImage::from_pixel(size_px, size_px, Rgb([128, 0, 0])));
    let read = |size_px: u32, format: ImageFormat| {
        let bytes = EncodedTile::new(encoded(sea(size_px), format).into(), tile, &info.name).unwrap();
        decode_exact(&bytes, tile, info)
    };
    assert_eq!(read(256, ImageFormat::Png).unwrap().rgb[..3], [128, 0, 0]);
    for (size_px, format, named) in [(512, ImageFormat::Png, "512 x 512 px"), (256, ImageFormat::Jpeg, "image/jpeg")] {
        let error = read(size_px, format).err().unwrap().to_string();
        assert!(error.contains(named) && error.contains("PNG tiles of 256 px"), "{error}");
    }
}
