//! Encoded tiles in device memory: which slot of a slab holds which, so that a search window is laid of what is there already.
//!
//! All slots are of one size and made at start, so nothing is allocated in flight. The order of one stream makes it right to overwrite a
//! slot as soon as the copy out of it is launched, however few slots there are.

use smgeo_engine::{Features, Mosaic};

use crate::error::GpuError;

/// The memory of all slots, and of the window that is being laid.
pub trait Slab {
    /// Writes a tile's numbers into a slot.
    fn write(&mut self, slot: usize, tile: &[f32]) -> Result<(), GpuError>;

    /// Copies a slot to the tile at this row and column of the window; zeros without one.
    fn lay(&mut self, slot: Option<usize>, row: usize, column: usize) -> Result<(), GpuError>;
}

/// Who holds which slot.
#[derive(Debug)]
pub struct TileSlots {
    slots: Vec<Option<Held>>,
    now: u64,
}

#[derive(Debug)]
struct Held {
    // Held, so that no other features come to lie where these are known to.
    tile: Features,
    used: u64,
}

impl TileSlots {
    /// As many slots of `tile_bytes` as a budget has room for.
    pub fn within(budget_bytes: usize, tile_bytes: usize) -> Self {
        Self { slots: (0..budget_bytes / tile_bytes.max(1)).map(|_| None).collect(), now: 0 }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// Lays a window: tiles that are in no slot are written to the one that was used least recently. There has to be one.
    pub fn lay(&mut self, window: &Mosaic, slab: &mut impl Slab) -> Result<(), GpuError> {
        let columns = window.width() * window.stride_px() / smgeo_engine::TILE_PX;
        for (at, tile) in window.tiles().iter().enumerate() {
            let slot = tile.as_ref().map(|tile| self.slot_of(tile, slab)).transpose()?;
            slab.lay(slot, at / columns, at % columns)?;
        }
        Ok(())
    }

    fn slot_of(&mut self, tile: &Features, slab: &mut impl Slab) -> Result<usize, GpuError> {
        self.now += 1;
        let is_held = |held: &Option<Held>| held.as_ref().is_some_and(|held| held.tile.shares_with(tile));
        if let Some(slot) = self.slots.iter().position(is_held) {
            if let Some(held) = &mut self.slots[slot] {
                held.used = self.now;
            }
            return Ok(slot);
        }
        let age = |slot: &usize| self.slots[*slot].as_ref().map_or(0, |held| held.used);
        let slot = (0..self.slots.len()).min_by_key(age).ok_or_else(|| {
            GpuError::Engines("there is no room for one tile in engine.device_features_mib_max".into())
        })?;
        // Nobody's until it is written: what failed half way is not taken for a tile.
        self.slots[slot] = None;
        slab.write(slot, tile.values())?;
        self.slots[slot] = Some(Held { tile: tile.clone(), used: self.now });
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELLS: usize = 2;

    /// Slots and a window in main memory, 2 x 2 cells of one number a tile.
    struct Host {
        slots: Vec<Vec<f32>>,
        window: Vec<f32>,
        columns: usize,
        written: usize,
        fails: bool,
    }

    impl Host {
        fn of(count: usize, rows: usize, columns: usize) -> Self {
            let window = vec![f32::NAN; rows * columns * CELLS * CELLS];
            Self { slots: vec![vec![f32::NAN; CELLS * CELLS]; count], window, columns, written: 0, fails: false }
        }
    }

    impl Slab for Host {
        fn write(&mut self, slot: usize, tile: &[f32]) -> Result<(), GpuError> {
            self.written += 1;
            self.slots[slot].copy_from_slice(tile);
            if self.fails { Err(GpuError::NoGpu) } else { Ok(()) }
        }

        fn lay(&mut self, slot: Option<usize>, row: usize, column: usize) -> Result<(), GpuError> {
            let pitch = self.columns * CELLS;
            for line in 0..CELLS {
                let from = slot.map_or(vec![0.0; CELLS], |slot| self.slots[slot][line * CELLS..][..CELLS].to_vec());
                self.window[(row * CELLS + line) * pitch + column * CELLS..][..CELLS].copy_from_slice(&from);
            }
            Ok(())
        }
    }

    /// So many tiles of different numbers.
    fn tiles(count: usize) -> Vec<Features> {
        let tile = |at: usize| (0..CELLS * CELLS).map(|i| (10 * at + i) as f32).collect::<Vec<_>>();
        (0..count).map(|at| Features::new(tile(at).into(), CELLS, 1).unwrap()).collect()
    }

    fn window(rows: usize, columns: usize, tiles: &[Option<&Features>]) -> Mosaic {
        Mosaic::assemble(rows, columns, tiles).unwrap()
    }

    #[test]
    fn what_is_laid_is_the_window() {
        let tiles = tiles(64);
        let some: Vec<Option<&Features>> = tiles.iter().map(Some).collect();
        let cases: [(usize, usize, Vec<Option<&Features>>); 4] = [
            (1, 1, some[..1].to_vec()),
            (1, 3, some[3..6].to_vec()),
            (2, 2, vec![some[0], None, some[2], some[0]]),
            (8, 8, some.clone()),
        ];
        // Fewer slots than tiles are enough.
        for slots in [1, 3, 100] {
            for (rows, columns, tiles) in &cases {
                let window = window(*rows, *columns, tiles);
                let mut host = Host::of(slots, *rows, *columns);
                TileSlots::within(slots * 16, 16).lay(&window, &mut host).unwrap();
                assert_eq!(host.window, window.values(), "{slots} slots, {rows} x {columns}");
            }
        }
    }

    #[test]
    fn a_window_brings_only_the_tiles_that_are_not_there() {
        let tiles = tiles(6);
        let some: Vec<Option<&Features>> = tiles.iter().map(Some).collect();
        let (mut slots, mut host) = (TileSlots::within(100, 16), Host::of(6, 1, 4));
        assert_eq!(slots.count(), 6);
        for (first, written) in [(0, 4), (0, 4), (1, 5), (2, 6), (0, 6)] {
            slots.lay(&window(1, 4, &some[first..first + 4]), &mut host).unwrap();
            assert_eq!(host.written, written, "from tile {first}");
        }
    }

    #[test]
    fn the_least_recently_used_tile_goes_first() {
        let tiles = tiles(3);
        let (mut slots, mut host) = (TileSlots::within(32, 16), Host::of(2, 1, 1));
        let mut lay = |tile: usize| {
            slots.lay(&window(1, 1, &[Some(&tiles[tile])]), &mut host).unwrap();
            host.written
        };
        assert_eq!([0, 1, 0, 2, 0, 1].map(&mut lay), [1, 2, 2, 3, 3, 4]);
    }

    #[test]
    fn a_tile_that_could_not_be_written_is_written_again() {
        let tiles = tiles(1);
        let window = window(1, 1, &[Some(&tiles[0])]);
        let (mut slots, mut host) = (TileSlots::within(16, 16), Host::of(1, 1, 1));
        host.fails = true;
        assert!(slots.lay(&window, &mut host).is_err());
        host.fails = false;
        slots.lay(&window, &mut host).unwrap();
        assert_eq!((host.written, &host.window[..]), (2, window.values()));
    }

    #[test]
    fn a_budget_without_room_for_a_tile_says_so() {
        let tiles = tiles(1);
        let mut slots = TileSlots::within(15, 16);
        let error = slots.lay(&window(1, 1, &[Some(&tiles[0])]), &mut Host::of(0, 1, 1)).unwrap_err().to_string();
        assert!(error.contains("device_features_mib_max"), "{error}");
    }
}
