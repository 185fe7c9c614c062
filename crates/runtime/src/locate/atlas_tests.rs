//! The atlas over real stores that lack a tile, hold a damaged one, or do not answer.

use std::time::Duration;

use smgeo_flow::SystemClock;
use smgeo_geo::LatLon;

use super::*;
use crate::tiles::{TilesConfig, open};

/// How often a test looks before it gives up; each look lets the loader run for a millisecond.
const LOOKS_MAX: u32 = 20_000;

#[test]
fn a_map_that_cannot_be_read_is_told_from_one_that_has_no_tiles_there() {
    let folder = tempfile::tempdir().unwrap();
    let window = TileWindow::around(LatLon::new(52.5, 13.4).unwrap(), 18, 1, 1).unwrap();
    let tile = window.tiles().next().unwrap();
    let (empty, damaged) = (folder.path().join("empty"), folder.path().join("damaged"));
    std::fs::create_dir_all(empty.join("18")).unwrap();
    let file = damaged.join(format!("{}/{}/{}.png", tile.z, tile.x, tile.y));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "no picture").unwrap();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let down = format!("http://127.0.0.1:{port}/{{z}}/{{x}}/{{y}}.png");
    for (source, expected) in [(empty.display().to_string(), 0), (damaged.display().to_string(), 1), (down, 1)] {
        let clock = SystemClock::shared();
        let tiles = open(&TilesConfig::of(&source), clock.clone()).unwrap();
        let keeper = Arc::new(TileKeeper::start(tiles, 1, clock).unwrap());
        let mut atlas = Atlas::new(keeper, Arc::new(FeatureCache::new(1 << 20)), EncoderHash([0; 32]));
        atlas.want(&[tile], &[]);
        let mut looks = 0;
        let unread = loop {
            match atlas.gather([window].into_iter()).unwrap().pop() {
                Some(Gathered::Empty { unread }) => break unread,
                Some(Gathered::Pending) if looks < LOOKS_MAX => looks += 1,
                _ => panic!("{source} has a tile, or its tile is still pending"),
            }
            std::thread::park_timeout(Duration::from_millis(1));
        };
        assert_eq!(unread, expected, "{source}");
    }
}
