//! A tile server on loopback that behaves as badly as it is told, and what is fetched of it.

use super::*;

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
    // A cache belongs to one server, and to imagery of one date.
    let other = HttpConfig { cache: Some(cache.clone()), ..HttpConfig::of("http://127.0.0.1:9/{z}/{x}/{y}") };
    let refused = HttpTiles::new(other, SystemClock::shared()).err().unwrap();
    assert!(matches!(refused, TileError::OtherImagery { .. }), "{refused}");
    let newer = HttpConfig { cache: Some(cache), date: Some("2026-05".to_owned()), ..HttpConfig::of(&server.url) };
    let refused = HttpTiles::new(newer, SystemClock::shared()).err().unwrap().to_string();
    assert!(refused.contains("imagery of no date, not the date 2026-05"), "{refused}");
}

#[test]
fn a_cache_that_cannot_be_used_is_counted_and_costs_no_tile() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache.mbtiles");
    let server = Server::start();
    let tiles = RamTiles::new(Box::new(server.tiles(Some(cache.clone()))), 1 << 24);
    rusqlite::Connection::open(&cache).unwrap().execute("DROP TABLE tiles", ()).unwrap();
    shows(&tiles.tile(TILE).unwrap(), TILE);
    assert_eq!(tiles.cache_errors(), 2, "neither read nor written");
}

#[test]
fn a_cache_that_cannot_be_opened_is_told_and_costs_no_tile() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let nowhere = folder.path().join("no/such/folder/cache.mbtiles");
    let tiles = Arc::new(RamTiles::new(Box::new(server.tiles(Some(nowhere.clone()))), 1 << 24));
    shows(&tiles.tile(TILE).unwrap(), TILE);
    let keeper = TileKeeper::start(tiles, 1, SystemClock::shared()).unwrap();
    let trouble = keeper.trouble().unwrap();
    assert!(trouble.contains("tiles.cache") && trouble.contains(nowhere.to_str().unwrap()), "{trouble}");
    let without = Arc::new(RamTiles::new(Box::new(server.tiles(None)), 1 << 24));
    assert_eq!(TileKeeper::start(without, 1, SystemClock::shared()).unwrap().trouble(), None);
}

#[test]
fn a_server_is_credited_as_the_configuration_says() {
    let url = "http://127.0.0.1:9/{z}/{x}/{y}";
    let credited = TilesConfig { attribution: Some("(c) Somebody".to_owned()), ..TilesConfig::of(url) };
    let attribution = |config| open(&config, SystemClock::shared()).unwrap().info().attribution.clone();
    assert_eq!(attribution(credited).as_deref(), Some("(c) Somebody"));
    assert_eq!(attribution(TilesConfig::of(url)), None);
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
