//! Features that outlive the process, and files that are damaged or something else.

use std::path::Path;

use rusqlite::Connection;
use smgeo_engine::{
    DiskCache, EncoderHash, EngineConfig, EngineError, FeatureCache, FeatureKey, Features, ImageryHash,
};

const BUDGET: u64 = 1 << 20;

fn key(tile: u64) -> FeatureKey {
    FeatureKey { tile, imagery: ImageryHash::of(b"imagery"), encoder: EncoderHash([7; 32]) }
}

/// 1 KiB of numbers, not all of them ordinary.
fn features(tile: u64) -> Features {
    let value = |at: u64| match at {
        0 => f32::MIN_POSITIVE / 2.0,
        1 => -0.0,
        at => (at * 31 + tile) as f32 / 7.0,
    };
    Features::new((0..256).map(value).collect(), 16, 1).unwrap()
}

fn filled(path: &Path, tiles: u64) {
    let cache = DiskCache::open(path, BUDGET).unwrap();
    (0..tiles).for_each(|tile| cache.put(&key(tile), &features(tile)).unwrap());
}

fn damaged(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn features_survive_a_restart_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.sqlite");
    filled(&path, 3);
    let cache = DiskCache::open(&path, BUDGET).unwrap();
    for tile in 0..3 {
        let got = cache.get(&key(tile)).unwrap().unwrap();
        let bits = |features: &Features| features.values().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&got), bits(&features(tile)));
    }
    assert_eq!(cache.bytes(), 3 * 1024);
    assert_eq!(cache.get(&key(3)).unwrap(), None);
    assert_eq!(cache.get(&FeatureKey { encoder: EncoderHash([8; 32]), ..key(0) }).unwrap(), None);
    assert_eq!(cache.get(&FeatureKey { imagery: ImageryHash::of(b"later"), ..key(0) }).unwrap(), None);
}

#[test]
fn numbers_of_16_bits_take_half_the_file_and_are_never_taken_for_the_exact_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.sqlite");
    let open = || DiskCache::open(&path, BUDGET).unwrap();
    let (exact, rounded) = (open(), open().in_f16());
    rounded.put(&key(0), &features(0)).unwrap();
    assert_eq!(open().bytes(), 512);
    assert_eq!(exact.get(&key(0)).unwrap(), None);
    let got = open().in_f16().get(&key(0)).unwrap().unwrap();
    for (got, value) in got.values().iter().zip(features(0).values()) {
        assert!((got - value).abs() <= value.abs() / 2048.0 + 3e-8, "{got} {value}");
    }
    exact.put(&key(1), &features(1)).unwrap();
    assert!(!rounded.contains(&key(1)).unwrap());
    exact.put(&key(0), &features(0)).unwrap();
    assert_eq!(exact.get(&key(0)).unwrap().unwrap(), features(0));
    assert_eq!(rounded.get(&key(0)).unwrap().unwrap(), got);
}

#[test]
fn what_16_bits_cannot_hold_is_not_kept_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DiskCache::open(&folder.path().join("features.sqlite"), BUDGET).unwrap().in_f16();
    cache.put(&key(0), &Features::new(vec![70_000.0; 256].into(), 16, 1).unwrap()).unwrap();
    assert_eq!(cache.get(&key(0)).unwrap(), None);
}

#[test]
fn a_damaged_row_is_dropped_and_can_be_kept_again() {
    let damages = [
        "UPDATE features SET numbers = zeroblob(1024) WHERE tile = 1",
        "UPDATE features SET numbers = substr(numbers, 1, 1021) WHERE tile = 1",
        "UPDATE features SET cells = 8, channels = 4 WHERE tile = 1",
        "UPDATE features SET cells = -1 WHERE tile = 1",
        "UPDATE features SET digest = x'00' WHERE tile = 1",
        // A whole row under the key of another tile.
        "DELETE FROM features WHERE tile = 1; UPDATE features SET tile = 1 WHERE tile = 0",
    ];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.sqlite");
        filled(&path, 3);
        damaged(&path, damage);
        let cache = DiskCache::open(&path, BUDGET).unwrap();
        assert_eq!(cache.get(&key(1)).unwrap(), None, "{damage}");
        assert!(!cache.contains(&key(1)).unwrap(), "{damage}");
        assert_eq!(cache.get(&key(2)).unwrap().unwrap(), features(2), "{damage}");
        cache.put(&key(1), &features(1)).unwrap();
        assert_eq!(cache.get(&key(1)).unwrap().unwrap(), features(1), "{damage}");
    }
}

#[test]
fn a_file_that_is_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let tiles = folder.path().join("tiles.mbtiles");
    damaged(&tiles, "CREATE TABLE tiles (zoom_level INTEGER); INSERT INTO tiles VALUES (18)");
    let before = std::fs::read(&tiles).unwrap();
    for open in [DiskCache::open, DiskCache::open_or_renew] {
        assert!(matches!(open(&tiles, BUDGET), Err(EngineError::NotACache { .. })));
        assert_eq!(std::fs::read(&tiles).unwrap(), before);
    }
    let picture = folder.path().join("picture.png");
    std::fs::write(&picture, vec![0x89; 5000]).unwrap();
    assert!(matches!(DiskCache::open(&picture, BUDGET), Err(EngineError::CacheDamaged { .. })));
    assert_eq!(std::fs::read(&picture).unwrap(), vec![0x89; 5000]);
    let nowhere = folder.path().join("no/such/folder/features.sqlite");
    let message = DiskCache::open(&nowhere, BUDGET).unwrap_err().to_string();
    assert!(message.contains("features.sqlite cannot be used (open)"), "{message}");
}

#[test]
fn a_damaged_file_is_put_aside_and_a_new_one_begun() {
    type Damage = fn(Vec<u8>) -> Vec<u8>;
    let damages: [(&str, Damage); 3] = [
        ("truncated", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("overwritten", |bytes| vec![0x5A; bytes.len()]),
        ("a page overwritten", |mut bytes| {
            bytes[4096..].fill(0xFF);
            bytes
        }),
    ];
    for (name, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.sqlite");
        filled(&path, 20);
        let bytes = damage(std::fs::read(&path).unwrap());
        std::fs::write(&path, &bytes).unwrap();
        let refused = DiskCache::open(&path, BUDGET).unwrap_err();
        assert!(matches!(refused, EngineError::CacheDamaged { .. }), "{name}: {refused}");
        let cache = DiskCache::open_or_renew(&path, BUDGET).unwrap();
        assert_eq!((cache.bytes(), cache.get(&key(1)).unwrap()), (0, None), "{name}");
        cache.put(&key(1), &features(1)).unwrap();
        assert_eq!(cache.get(&key(1)).unwrap(), Some(features(1)), "{name}");
        assert_eq!(std::fs::read(folder.path().join("features.sqlite.damaged")).unwrap(), bytes, "{name}");
    }
}

#[test]
fn a_flight_goes_on_in_memory_where_the_file_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let of = |file: &Path| EngineConfig { features_file: Some(file.into()), ..EngineConfig::of("package") };
    let nowhere = of(&folder.path().join("no/such/folder/features.sqlite"));
    assert!(nowhere.features().is_err());
    let cache = nowhere.features_in_flight().unwrap();
    cache.put(key(1), features(1));
    assert_eq!((cache.get(&key(1)), cache.counts().disk_faults), (Some(features(1)), 0));
    let tiles = folder.path().join("tiles.mbtiles");
    damaged(&tiles, "CREATE TABLE tiles (zoom_level INTEGER)");
    assert!(matches!(of(&tiles).features_in_flight(), Err(EngineError::NotACache { .. })));
}

#[test]
fn the_cache_of_another_version_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.sqlite");
    filled(&path, 3);
    damaged(&path, "PRAGMA user_version = 99; ALTER TABLE features RENAME COLUMN numbers TO other");
    let cache = DiskCache::open(&path, BUDGET).unwrap();
    assert_eq!((cache.bytes(), cache.get(&key(1)).unwrap()), (0, None));
}

#[test]
fn a_file_that_only_another_encoder_filled_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.sqlite");
    let cache = FeatureCache::new(BUDGET).with_disk(DiskCache::open(&path, BUDGET).unwrap());
    let other = EncoderHash([8; 32]);
    assert!(!cache.is_of_others(other), "an empty file is of nobody");
    cache.put(key(1), features(1));
    assert_eq!([key(1).encoder, other].map(|encoder| cache.is_of_others(encoder)), [false, true]);
    let rounded = FeatureCache::new(BUDGET).with_disk(DiskCache::open(&path, BUDGET).unwrap().in_f16());
    assert!(rounded.is_of_others(key(1).encoder), "what was kept in 32 bits is not found in 16");
}

#[test]
fn the_budget_holds_and_the_oldest_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DiskCache::open(&folder.path().join("features.sqlite"), 4 * 1024).unwrap();
    (0..10).for_each(|tile| cache.put(&key(tile), &features(tile)).unwrap());
    assert_eq!(cache.bytes(), 4 * 1024);
    assert!(!cache.contains(&key(5)).unwrap() && cache.contains(&key(6)).unwrap());
    cache.put(&key(9), &features(9)).unwrap();
    assert_eq!(cache.bytes(), 4 * 1024, "the same tile again takes no more room");
}

#[test]
fn memory_is_filled_from_disk_and_a_failing_disk_costs_only_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.sqlite");
    filled(&path, 3);
    let cache = FeatureCache::new(BUDGET).with_disk(DiskCache::open(&path, BUDGET).unwrap());
    assert!(cache.contains(&key(2)));
    assert_eq!(cache.get(&key(2)), Some(features(2)));
    assert_eq!(cache.get(&key(2)), Some(features(2)));
    assert_eq!(cache.get(&key(5)), None);
    let counts = cache.counts();
    assert_eq!((counts.hits, counts.misses, counts.disk_hits, counts.disk_faults), (2, 1, 1, 0));

    damaged(&path, "DROP TABLE features");
    cache.put(key(6), features(6));
    assert_eq!(cache.get(&key(6)), Some(features(6)));
    assert_eq!(cache.get(&key(7)), None);
    assert_eq!(cache.counts().disk_faults, 2);
}

#[test]
fn two_processes_keep_the_same_tiles_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.sqlite");
    let (one, other) = (DiskCache::open(&path, BUDGET).unwrap(), DiskCache::open(&path, BUDGET).unwrap());
    std::thread::scope(|scope| {
        for cache in [&one, &other] {
            scope.spawn(move || (0..40).for_each(|tile| cache.put(&key(tile % 8), &features(tile % 8)).unwrap()));
        }
    });
    assert_eq!(DiskCache::open(&path, BUDGET).unwrap().bytes(), 8 * 1024);
    (0..8).for_each(|tile| assert_eq!(one.get(&key(tile)).unwrap().unwrap(), features(tile)));
}
