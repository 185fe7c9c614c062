//! Loads tiles beside the frame path.
//!
//! The frame path says which tiles it wants, nearest first, and never waits: it finds them in RAM, or not yet. The wish
//! is a state and not a queue: a new one replaces the old, so that nothing is loaded for a place the drone has left.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use smgeo_flow::{SharedClock, Stamp};
use smgeo_geo::TileId;

use super::{RamTiles, TileError, TilePicture, TileSource};

/// A tile that failed is tried again after this time.
const RETRY: Duration = Duration::from_secs(5);
/// A tile that the store does not have is asked for again after this time: a pack may be exchanged, rarely.
const RETRY_MISSING: Duration = Duration::from_secs(60);
/// How long an idle loader waits before it looks whether it shall end.
const IDLE: Duration = Duration::from_millis(200);
/// The log names so many tiles that cannot be read, each once; the metrics count all.
const TOLD_MAX: usize = 256;

/// Says how far a tile is.
#[derive(Clone)]
pub enum TileState {
    /// Here it is.
    Ready(TilePicture),
    /// It is wanted and not here yet.
    Loading,
    /// It could not be had, and why; it is tried again later while it is wanted.
    Failed(TileError),
    /// Nobody wants it.
    Unwanted,
}

/// Keeps loaders at work on the newest wish.
pub struct TileKeeper {
    shared: Arc<Shared>,
    loaders: Vec<JoinHandle<()>>,
}

struct Shared {
    tiles: Arc<RamTiles>,
    clock: SharedClock,
    wish: Mutex<Wish>,
    changed: Condvar,
}

#[derive(Default)]
struct Wish {
    waiting: VecDeque<TileId>,
    wanted: HashSet<TileId>,
    failed: HashMap<TileId, (TileError, Stamp)>,
    // Those wanted tiles among them that the map should have, until they are read: trying again does not mend them.
    faults: BTreeMap<TileId, String>,
    told: HashSet<TileId>,
    stopped: bool,
}

impl TileKeeper {
    /// Starts `loaders` threads: more than one only helps where tiles come over a network.
    pub fn start(tiles: Arc<RamTiles>, loaders: usize, clock: SharedClock) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { tiles, clock, wish: Mutex::default(), changed: Condvar::new() });
        let mut keeper = Self { shared: shared.clone(), loaders: Vec::new() };
        for _ in 0..loaders.max(1) {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name("tiles".to_owned());
            keeper.loaders.push(thread.spawn(move || shared.load())?);
        }
        Ok(keeper)
    }

    /// Replaces the wish by `nearest_first`. What is in RAM already is not loaded again.
    pub fn want(&self, nearest_first: &[TileId]) {
        let now = self.shared.clock.now();
        let mut wish = self.shared.wish();
        wish.wanted = nearest_first.iter().copied().collect();
        let wanted = std::mem::take(&mut wish.wanted);
        wish.failed.retain(|tile, (error, at)| wanted.contains(tile) && now.since(*at) < retry_after(error));
        wish.faults.retain(|tile, _| wanted.contains(tile));
        wish.waiting = nearest_first
            .iter()
            .copied()
            .filter(|tile| !wish.failed.contains_key(tile) && self.shared.tiles.peek(*tile).is_none())
            .collect();
        wish.wanted = wanted;
        let has_work = !wish.waiting.is_empty();
        drop(wish);
        if has_work {
            self.shared.changed.notify_all();
        }
    }

    /// Says how far a tile is, without waiting for it.
    pub fn state(&self, tile: TileId) -> TileState {
        if let Some(picture) = self.shared.tiles.peek(tile) {
            return TileState::Ready(picture);
        }
        let wish = self.shared.wish();
        match wish.failed.get(&tile) {
            Some((error, _)) => TileState::Failed(error.clone()),
            None if wish.wanted.contains(&tile) => TileState::Loading,
            None => TileState::Unwanted,
        }
    }

    /// Says what is wrong with the map where it is wanted, or else with its cache; nothing when all is well. A tile that it
    /// does not have is no fault.
    pub fn trouble(&self) -> Option<String> {
        let wish = self.shared.wish();
        let Some((_, cause)) = wish.faults.first_key_value() else { return self.shared.tiles.cache_trouble() };
        match wish.faults.len() {
            1 => Some(cause.clone()),
            count => Some(format!("{count} tiles cannot be read, the first: {cause}")),
        }
    }

    /// The pictures in RAM and the store behind them.
    pub fn tiles(&self) -> &Arc<RamTiles> {
        &self.shared.tiles
    }
}

impl Drop for TileKeeper {
    fn drop(&mut self) {
        self.shared.wish().stopped = true;
        self.shared.changed.notify_all();
        // A loader may sit in a request that lasts seconds; it ends by itself after it.
        self.loaders.drain(..).filter(JoinHandle::is_finished).for_each(|loader| drop(loader.join()));
    }
}

impl Shared {
    fn wish(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self) {
        while let Some(next) = self.next() {
            let Some(tile) = next else { continue };
            let error = self.tiles.tile(tile).err();
            let is_told = self.wish().note(tile, error.as_ref(), self.clock.now());
            if let Some(error) = error.filter(|_| is_told) {
                tracing::warn!(%tile, %error, "tile not read");
            }
        }
    }

    /// Takes the nearest wanted tile; `Some(None)` when there is none for now, `None` when all shall end.
    fn next(&self) -> Option<Option<TileId>> {
        let mut wish = self.wish();
        if wish.waiting.is_empty() && !wish.stopped {
            wish = self.changed.wait_timeout(wish, IDLE).unwrap_or_else(PoisonError::into_inner).0;
        }
        (!wish.stopped).then(|| wish.waiting.pop_front())
    }
}

impl Wish {
    /// Notes what became of a tile, and says whether the log shall tell it.
    fn note(&mut self, tile: TileId, error: Option<&TileError>, now: Stamp) -> bool {
        let Some(error) = error else {
            self.failed.remove(&tile);
            self.faults.remove(&tile);
            return false;
        };
        self.failed.insert(tile, (error.clone(), now));
        if error.is_missing() {
            self.faults.remove(&tile);
            return false;
        }
        if self.wanted.contains(&tile) {
            self.faults.entry(tile).or_insert_with(|| error.to_string());
        }
        // Of a server that is left alone, the tiles before have told why.
        let is_cause = !matches!(error, TileError::LeftAlone { .. });
        is_cause && self.told.len() < TOLD_MAX && self.told.insert(tile)
    }
}

fn retry_after(error: &TileError) -> Duration {
    if error.is_missing() { RETRY_MISSING } else { RETRY }
}
