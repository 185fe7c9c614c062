//! The EGM96 geoid, summed from its spherical harmonics: the model itself, not somebody's grid of it.
//!
//! A sum takes a millisecond or two, so the geoid is summed at the nodes of a 1' lattice and interpolated between them.
//! That costs up to 2 mm (measured, in the Himalayas); the corners of the cell last asked for are kept. The customary
//! 15' grid differs from the model by up to 0.12 m: who must agree with a device that uses it reads it into an
//! [`UndulationGrid`].

use std::cell::Cell;

use crate::{EarthError, LatLon};

/// Nodes of the lattice per degree.
const LATTICE_PER_DEG: f64 = 60.0;
/// Cells of the lattice from pole to pole.
const LATTICE_ROWS: i32 = 180 * 60;

/// Rows and columns of the NGA's 15' grid, from 90 N southwards and from 0 E eastwards.
const ROWS: usize = 721;
const COLUMNS: usize = 1440;
/// Its nodes per degree.
const NODES_PER_DEG: f64 = 4.0;

/// The height of the EGM96 geoid above the WGS84 ellipsoid, in metres. It depends on the place alone.
pub fn undulation_m(at: LatLon) -> f64 {
    thread_local! {
        static LAST: Cell<Option<LatticeCell>> = const { Cell::new(None) };
    }
    let (south, east) = ((90.0 - at.lat_deg()) * LATTICE_PER_DEG, (at.lon_deg() + 180.0) * LATTICE_PER_DEG);
    let (row, column) = ((south.floor() as i32).min(LATTICE_ROWS - 1), east.floor() as i32);
    let cell = LAST.with(|last| {
        let kept = last.get().filter(|cell| cell.row == row && cell.column == column);
        let cell = kept.unwrap_or_else(|| LatticeCell::summed(row, column));
        last.set(Some(cell));
        cell
    });
    bilinear(cell.corners_m, east - f64::from(column), south - f64::from(row))
}

/// A cell of the lattice: its corners north-west, north-east, south-west, south-east.
#[derive(Clone, Copy)]
struct LatticeCell {
    row: i32,
    column: i32,
    corners_m: [f64; 4],
}

impl LatticeCell {
    fn summed(row: i32, column: i32) -> LatticeCell {
        let corners_m = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(down, right)| {
            let lat_deg = 90.0 - f64::from(row + down) / LATTICE_PER_DEG;
            let lon_deg = f64::from(column + right) / LATTICE_PER_DEG - 180.0;
            egm96::egm96_compute_altitude_offset(lat_deg, lon_deg)
        });
        LatticeCell { row, column, corners_m }
    }
}

/// Between corners north-west, north-east, south-west, south-east: a part `east` of the way east and `south` of the way
/// south.
fn bilinear(corners: [f64; 4], east: f64, south: f64) -> f64 {
    let [north_west, north_east, south_west, south_east] = corners;
    let north = north_west * (1.0 - east) + north_east * east;
    let below = south_west * (1.0 - east) + south_east * east;
    north * (1.0 - south) + below * south
}

/// The NGA's 15' grid of EGM96 (WW15MGH.DAC), interpolated bilinearly.
#[derive(Debug, Clone)]
pub struct UndulationGrid {
    /// Centimetres, row by row from the north pole.
    nodes_cm: Vec<i16>,
}

impl UndulationGrid {
    /// Reads the grid as the NGA ships it: 721 rows of 1440 big-endian 16 bit centimetres.
    pub fn from_dac(bytes: &[u8]) -> Result<UndulationGrid, EarthError> {
        if bytes.len() != 2 * ROWS * COLUMNS {
            return Err(EarthError::Grid { columns: COLUMNS, rows: ROWS, values: bytes.len() / 2 });
        }
        let nodes_cm = bytes.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect();
        Ok(UndulationGrid { nodes_cm })
    }

    /// The undulation in metres.
    pub fn undulation_m(&self, at: LatLon) -> f64 {
        let south = (90.0 - at.lat_deg()) * NODES_PER_DEG;
        let east = at.lon_deg().rem_euclid(360.0) * NODES_PER_DEG;
        let row = (south.floor() as usize).min(ROWS - 2);
        let column = east.floor() as usize;
        let corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .map(|(down, right)| f64::from(self.nodes_cm[(row + down) * COLUMNS + (column + right) % COLUMNS]));
        bilinear(corners, east - column as f64, south - row as f64) / 100.0
    }
}
