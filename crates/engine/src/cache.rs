//! Tile features in memory, under a budget of bytes, and behind that on disk where one is given. A tile's features depend
//! on its pixels and on what encodes them alone, so the key names both: with another imagery date, package or arithmetic
//! nothing old is ever found. A disk that fails costs time, not answers: what it cannot give is encoded again.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use crate::disk_cache::DiskCache;
use crate::error::EngineError;
use crate::features::Features;
use crate::package::PackageHash;

/// Identity of a picture: SHA-256 of its encoded bytes, or of its source and date where those decide the pixels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageryHash(pub [u8; 32]);

impl ImageryHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> ImageryHash {
        ImageryHash(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for ImageryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ImageryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageryHash({})", hex::encode(&self.0[..6]))
    }
}

/// Identity of what encodes: SHA-256 over package, backend, arithmetic and the backend's revision of it. Backends differ in the last
/// bits and arithmetics in more, and what was cached has to be what would be computed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EncoderHash(pub [u8; 32]);

impl EncoderHash {
    /// The hash of this package run by this revision of this backend in this arithmetic.
    pub fn of(package: PackageHash, backend: &str, precision: &str, revision: &str) -> EncoderHash {
        EncoderHash(Sha256::digest(format!("{package} {backend} {precision} {revision}")).into())
    }

    /// The hash of the same with its features rounded to another kind of number.
    pub(crate) fn rounded(self, numbers: &str) -> EncoderHash {
        EncoderHash(Sha256::digest([&self.0, numbers.as_bytes()].concat()).into())
    }
}

impl fmt::Debug for EncoderHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncoderHash({})", hex::encode(&self.0[..6]))
    }
}

/// What features are kept under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeatureKey {
    /// The tile, in a numbering of the caller's that never gives two tiles one number.
    pub tile: u64,
    /// The imagery it was cut from.
    pub imagery: ImageryHash,
    /// What encoded it.
    pub encoder: EncoderHash,
}

/// How a cache has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Questions answered, from memory or from disk.
    pub hits: u64,
    /// Questions not answered.
    pub misses: u64,
    /// Of the hits, those that were read from disk.
    pub disk_hits: u64,
    /// Times that the disk could not be read or written.
    pub disk_faults: u64,
}

/// Features by key, the least recently used given up first. Shared by all threads; no lock is held between calls.
pub struct FeatureCache {
    features: Cache<FeatureKey, Features>,
    disk: Option<DiskCache>,
    hits: AtomicU64,
    misses: AtomicU64,
    disk_hits: AtomicU64,
    disk_faults: AtomicU64,
}

// Key, shared header and the cache's own node of an entry, beside the numbers themselves.
const ENTRY_OVERHEAD_BYTES: usize = 256;

impl FeatureCache {
    /// A cache that holds at most about `bytes_max` bytes in memory.
    pub fn new(bytes_max: u64) -> FeatureCache {
        let weight = |_: &FeatureKey, features: &Features| {
            u32::try_from(features.bytes() + ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        // Least recently used, not moka's default: a frequency sketch would turn away the tiles of new ground under the
        // drone in favour of ground it has left.
        let features =
            Cache::builder().max_capacity(bytes_max).weigher(weight).eviction_policy(EvictionPolicy::lru()).build();
        let [hits, misses, disk_hits, disk_faults] = [const { AtomicU64::new(0) }; 4];
        FeatureCache { features, disk: None, hits, misses, disk_hits, disk_faults }
    }

    /// The same cache with `disk` behind it: what is put is written there too, and what memory lacks is looked up there.
    pub fn with_disk(self, disk: DiskCache) -> FeatureCache {
        FeatureCache { disk: Some(disk), ..self }
    }

    /// The features under `key`, if they are held. Counts a hit or a miss.
    pub fn get(&self, key: &FeatureKey) -> Option<Features> {
        let found = self.features.get(key).or_else(|| self.read_disk(key));
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Whether the features are held in memory, without counting and without calling them used.
    pub fn is_in_memory(&self, key: &FeatureKey) -> bool {
        self.features.contains_key(key)
    }

    /// Whether the features are held, without counting and without calling them used.
    pub fn contains(&self, key: &FeatureKey) -> bool {
        self.features.contains_key(key) || self.is_on_disk(key)
    }

    /// Keeps features: in memory as they come back from disk, so that no answer depends on which of both had them.
    pub fn put(&self, key: FeatureKey, features: Features) {
        let kept = match &self.disk {
            Some(disk) => {
                self.counted(disk.put(&key, &features));
                disk.as_kept(features)
            }
            None => features,
        };
        self.features.insert(key, kept);
    }

    /// Hits, misses and faults so far.
    pub fn counts(&self) -> CacheCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheCounts {
            hits: count(&self.hits),
            misses: count(&self.misses),
            disk_hits: count(&self.disk_hits),
            disk_faults: count(&self.disk_faults),
        }
    }

    /// Bytes held in memory now.
    pub fn bytes(&self) -> u64 {
        self.features.run_pending_tasks();
        self.features.weighted_size()
    }

    /// Entries held in memory now.
    pub fn entries(&self) -> u64 {
        self.features.run_pending_tasks();
        self.features.entry_count()
    }

    /// Whether the features are held on disk.
    pub fn is_on_disk(&self, key: &FeatureKey) -> bool {
        self.disk.as_ref().is_some_and(|disk| self.counted(disk.contains(key)).unwrap_or(false))
    }

    /// Bytes of features held on disk now.
    pub fn disk_bytes(&self) -> u64 {
        self.disk.as_ref().map_or(0, DiskCache::bytes)
    }

    /// Whether the disk holds features and none of this encoder, so that all of them are of no use to it.
    pub fn is_of_others(&self, encoder: EncoderHash) -> bool {
        self.disk.as_ref().is_some_and(|disk| self.counted(disk.is_of_others(encoder)).unwrap_or(false))
    }

    fn read_disk(&self, key: &FeatureKey) -> Option<Features> {
        let features = self.counted(self.disk.as_ref()?.get(key))??;
        self.disk_hits.fetch_add(1, Ordering::Relaxed);
        self.features.insert(*key, features.clone());
        Some(features)
    }

    // The first fault is told; a disk that stays full would otherwise fill the log as well.
    fn counted<T>(&self, answer: Result<T, EngineError>) -> Option<T> {
        let error = match answer {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if self.disk_faults.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "feature cache on disk fails, going on without it"
            );
        }
        None
    }
}

impl fmt::Debug for FeatureCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeatureCache").field("entries", &self.entries()).field("counts", &self.counts()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tile: u64) -> FeatureKey {
        FeatureKey { tile, imagery: ImageryHash::of(b"imagery"), encoder: EncoderHash([7; 32]) }
    }

    fn features(value: f32) -> Features {
        Features::new(vec![value; 256].into(), 16, 1).unwrap()
    }

    #[test]
    fn what_was_put_is_got_and_counted() {
        let cache = FeatureCache::new(1 << 20);
        cache.put(key(1), features(1.0));
        assert_eq!(cache.get(&key(1)).unwrap().values(), features(1.0).values());
        assert_eq!(cache.get(&key(2)), None);
        assert_eq!(cache.counts(), CacheCounts { hits: 1, misses: 1, ..Default::default() });
    }

    #[test]
    fn another_encoder_or_imagery_finds_nothing() {
        let cache = FeatureCache::new(1 << 20);
        cache.put(key(1), features(1.0));
        assert_eq!(cache.get(&FeatureKey { encoder: EncoderHash([8; 32]), ..key(1) }), None);
        assert_eq!(cache.get(&FeatureKey { imagery: ImageryHash::of(b"later"), ..key(1) }), None);
    }

    #[test]
    fn each_of_package_backend_arithmetic_and_revision_makes_another_encoder() {
        let package = |byte| PackageHash([byte; 32]);
        let hashes = [
            EncoderHash::of(package(1), "rten", "f32", "1"),
            EncoderHash::of(package(2), "rten", "f32", "1"),
            EncoderHash::of(package(1), "openvino", "f32", "1"),
            EncoderHash::of(package(1), "rten", "int8", "1"),
            EncoderHash::of(package(1), "rten", "f32", "2"),
        ];
        assert_eq!(std::collections::BTreeSet::from(hashes).len(), hashes.len());
    }

    #[test]
    fn the_budget_holds_and_the_newest_stay() {
        let budget = 20 * (1024 + ENTRY_OVERHEAD_BYTES as u64);
        let cache = FeatureCache::new(budget);
        for tile in 0..200 {
            cache.put(key(tile), features(tile as f32));
            assert!(cache.bytes() <= budget);
        }
        assert!(cache.contains(&key(199)) && cache.contains(&key(185)) && !cache.contains(&key(0)));
    }
}
