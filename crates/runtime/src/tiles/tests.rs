//! Stores on real files and a real server, sound and broken.

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
    let settled = |tile| {
        (0..200).find_map(|_| match keeper.state(tile) {
            TileState::Loading => {
                std::thread::park_timeout(Duration::from_millis(10));
                None
            }
            state => Some(state),
        })
    };
    assert!(matches!(settled(TILE), Some(TileState::Ready(_))));
    assert!(matches!(settled(beyond), Some(TileState::Failed(TileError::Missing { .. }))));
}

/// A tile server on loopback whose answers a test chooses by column.
struct Server {
    url: String,
    asked: Arc<AtomicUsize>,
    behaviour: Arc<Mutex<HashMap<u32, Behaviour>>>,
    stop: actix_web::dev::ServerHandle,
}

#[derive(Clone, Copy)]
enum Behaviour {
    Status(u16),
    FailTwice,
    Html,
    Redirect,
    Huge,
    Cut,
    Drip,
}

impl Server {
    fn start() -> Self {
        let behaviour: Arc<Mutex<HashMap<u32, Behaviour>>> = Arc::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let state = web::Data::new((behaviour.clone(), asked.clone()));
        let (ready, port) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let app = move || App::new().app_data(state.clone()).default_service(web::to(serve));
                let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
                let port = server.addrs()[0].port();
                let running = server.run();
                ready.send((port, running.handle())).unwrap();
                running.await.unwrap();
            });
        });
        let (port, stop) = port.recv().unwrap();
        Self { url: format!("http://127.0.0.1:{port}/{{z}}/{{x}}/{{y}}.png"), asked, behaviour, stop }
    }

    fn behaves(&self, column: u32, behaviour: Behaviour) {
        self.behaviour.lock().unwrap().insert(column, behaviour);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn tiles(&self, cache: Option<PathBuf>) -> HttpTiles {
        let config = HttpConfig { cache, timeout_s: 0.5, ..HttpConfig::of(&self.url) };
        HttpTiles::new(config, SystemClock::shared()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.stop(false));
    }
}

type State = (Arc<Mutex<HashMap<u32, Behaviour>>>, Arc<AtomicUsize>);

async fn serve(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let count = state.1.fetch_add(1, Ordering::SeqCst);
    let parts: Vec<u32> =
        request.path().trim_end_matches(".png").split('/').filter_map(|part| part.parse().ok()).collect();
    let [z, x, y] = parts[..] else { return HttpResponse::BadRequest().finish() };
    let tile = TileId { z: z as u8, x, y };
    let picture = || HttpResponse::Ok().content_type("image/png").body(png(tile));
    let chosen = state.0.lock().unwrap().get(&x).copied();
    match chosen {
        None => picture(),
        Some(Behaviour::FailTwice) if count >= 2 => picture(),
        Some(Behaviour::FailTwice) => HttpResponse::InternalServerError().finish(),
        Some(Behaviour::Status(status)) => HttpResponse::build(status.try_into().unwrap()).finish(),
        Some(Behaviour::Html) => HttpResponse::Ok().content_type("text/html").body("<html>log in</html>"),
        Some(Behaviour::Redirect) => {
            HttpResponse::Found().insert_header(("location", "http://169.254.169.254/")).finish()
        }
        Some(Behaviour::Huge) => HttpResponse::Ok().content_type("image/png").body(vec![0; 3 << 20]),
        Some(Behaviour::Cut) => {
            let whole = png(tile);
            HttpResponse::Ok().content_type("image/png").body(whole[..whole.len() / 2].to_vec())
        }
        Some(Behaviour::Drip) => {
            let slow = futures_util::stream::unfold((), |()| async {
                actix_rt::time::sleep(Duration::from_millis(200)).await;
                Some((Ok::<_, actix_web::Error>(Bytes::from_static(&[0])), ()))
            });
            HttpResponse::Ok().content_type("image/png").streaming(Box::pin(slow))
        }
    }
}

#[test]
fn a_server_is_asked_once_and_the_disk_answers_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache.mbtiles");
    let server = Server::start();
    let tiles = server.tiles(Some(cache.clone()));
    shows(&tiles.tile(TILE).unwrap(), TILE);
    shows(&tiles.tile(TILE).unwrap(), TILE);
    assert_eq!(server.asked(), 1);
    drop(tiles);
    // What was cached can be flown as it is, and one damaged tile is fetched again.
    shows(&open_path(&cache).unwrap().tile(TILE).unwrap(), TILE);
    rusqlite::Connection::open(&cache).unwrap().execute("UPDATE tiles SET tile_data = x'00'", ()).unwrap();
    shows(&server.tiles(Some(cache.clone())).tile(TILE).unwrap(), TILE);
    assert_eq!(server.asked(), 2);
    // A cache belongs to one server.
    let other = HttpConfig { cache: Some(cache), ..HttpConfig::of("http://127.0.0.1:9/{z}/{x}/{y}") };
    assert!(HttpTiles::new(other, SystemClock::shared()).is_err());
}

#[test]
fn what_a_bad_server_sends_is_refused_and_never_cached() {
    let cases = [
        (Behaviour::Status(404), "missing", 1),
        (Behaviour::Status(403), "refused", 1),
        (Behaviour::Html, "refused", 1),
        (Behaviour::Redirect, "refused", 1),
        (Behaviour::Huge, "too_large", 1),
        (Behaviour::Cut, "corrupt", 1),
        (Behaviour::Status(500), "refused", 3),
        (Behaviour::Drip, "unreachable", 3),
    ];
    for (behaviour, cause, asked) in cases {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache.mbtiles");
        let server = Server::start();
        server.behaves(TILE.x, behaviour);
        let tiles = server.tiles(Some(cache.clone()));
        let error = tiles.tile(TILE).err().unwrap();
        assert_eq!((error.cause(), server.asked()), (cause, asked), "{error}");
        let kept: i64 = rusqlite::Connection::open(&cache)
            .unwrap()
            .query_row("SELECT count(*) FROM tiles", (), |row| row.get(0))
            .unwrap();
        assert_eq!(kept, 0, "{cause}");
    }
}

#[test]
fn a_moments_failure_is_tried_again() {
    let server = Server::start();
    server.behaves(TILE.x, Behaviour::FailTwice);
    shows(&server.tiles(None).tile(TILE).unwrap(), TILE);
}

#[test]
fn a_dead_server_is_left_alone_while_the_cache_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache.mbtiles");
    let server = Server::start();
    let clock = HandClock::shared();
    let config = HttpConfig { cache: Some(cache), ..HttpConfig::of(&server.url) };
    let tiles = HttpTiles::new(config, clock.clone()).unwrap();
    tiles.tile(TILE).unwrap();
    let broken = TileId { x: 5, ..TILE };
    server.behaves(5, Behaviour::Status(403));
    (0..5).for_each(|_| drop(tiles.tile(broken)));
    let asked = server.asked();
    assert_eq!(tiles.tile(broken).err().unwrap().cause(), "left_alone");
    shows(&tiles.tile(TILE).unwrap(), TILE);
    assert_eq!(server.asked(), asked);
    server.behaviour.lock().unwrap().clear();
    clock.advance(Duration::from_secs(11));
    shows(&tiles.tile(broken).unwrap(), broken);
}

#[test]
fn a_key_is_sent_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "s3cret\n").unwrap();
    let url = "http://127.0.0.1:9/{z}/{x}/{y}?key={key}";
    let config = HttpConfig { key_file: Some(key_file), timeout_s: 0.2, ..HttpConfig::of(url) };
    let tiles = HttpTiles::new(config, SystemClock::shared()).unwrap();
    let error = tiles.tile(TILE).err().unwrap().to_string();
    assert!(error.contains("{key}") && !error.contains("s3cret"), "{error}");
    for bad in ["ftp://h/{z}/{x}/{y}", "http://h/{z}/{x}", "http://h/{z}/{x}/{y}?k={key}"] {
        assert!(HttpTiles::new(HttpConfig::of(bad), SystemClock::shared()).is_err(), "{bad}");
    }
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

#[test]
fn a_pack_names_what_is_missing_and_a_second_run_completes_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pack.mbtiles");
    let server = Server::start();
    server.behaves(TILE.x + 1, Behaviour::Status(404));
    let bounds = bounds_of(&neighbours());
    let mut steps = Vec::new();
    let tiles = server.tiles(None);
    let report = pack(&tiles, &bounds, TILE.z, &out, 4, &mut |step| steps.push(step)).unwrap();
    assert_eq!((report.total, report.fetched, report.resumed), (9, 6, 0));
    let missing: Vec<TileId> = report.missing.iter().map(|(tile, _)| *tile).collect();
    assert_eq!(missing, neighbours().into_iter().filter(|tile| tile.x == TILE.x + 1).collect::<Vec<_>>());
    assert_eq!(steps.last().map(|step| (step.done, step.missing)), Some((6, 3)));
    server.behaviour.lock().unwrap().clear();
    let before = server.asked();
    let report = pack(&tiles, &bounds, TILE.z, &out, 4, &mut |_| {}).unwrap();
    assert_eq!((report.fetched, report.resumed, report.missing.len()), (3, 6, 0));
    assert_eq!(server.asked() - before, 3);
    let store = open_path(&out).unwrap();
    neighbours().into_iter().for_each(|tile| shows(&store.tile(tile).unwrap(), tile));
    // Imagery of another source does not go into the same file.
    let other = open_path(&mbtiles(folder.path())).unwrap();
    assert!(pack(other.as_ref(), &bounds, TILE.z, &out, 1, &mut |_| {}).is_err());
}

#[test]
fn the_tiles_of_an_area_are_those_that_touch_it() {
    let inside = |tile: TileId, part: f64| {
        let bounds = tile.bounds();
        let between = |from: f64, to: f64| from + (to - from) * part;
        (between(bounds.west_deg, bounds.east_deg), between(bounds.south_deg, bounds.north_deg))
    };
    let last = TileId { x: TILE.x + 2, y: TILE.y + 2, ..TILE };
    let ((west_deg, north_deg), (east_deg, south_deg)) = (inside(TILE, 0.5), inside(last, 0.5));
    assert_eq!(tiles_in(&TileBounds { west_deg, south_deg, east_deg, north_deg }, TILE.z).unwrap(), neighbours());
    assert_eq!(tiles_in(&TILE.bounds(), TILE.z).unwrap(), [TILE]);
    let world = TileBounds { west_deg: -180.0, south_deg: -85.0, east_deg: 180.0, north_deg: 85.0 };
    assert_eq!(tiles_in(&world, 2).unwrap().len(), 16);
    assert!(tiles_in(&world, 18).unwrap_err().contains("at most"));
    assert!(tiles_in(&TileBounds { west_deg: 1.0, east_deg: 0.0, ..world }, 2).is_err());
    assert!(tiles_in(&TileBounds { west_deg: f64::NAN, ..world }, 2).is_err());
}

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
    assert!(matches!(import(&file, None, 17, &out, None, &mut |_| {}), Err(OrthoError::Nowhere { .. })));
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
    let other = folder.path().join("other.tif");
    geotiff(&other, 3072, 26911, [0.0, 0.0], [1.0, 1.0], 64);
    let cut = folder.path().join("cut.tif");
    std::fs::write(&cut, &std::fs::read(&other).unwrap()[..40]).unwrap();
    let out = folder.path().join("out.mbtiles");
    for (file, says) in
        [(other, "gdalwarp"), (cut, "cannot be read"), (folder.path().join("none.tif"), "cannot be read")]
    {
        let error = import(&file, None, 17, &out, None, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(&file.display().to_string()), "{error}");
    }
}
