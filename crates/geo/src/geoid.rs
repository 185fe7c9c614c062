//! The EGM96 geoid, summed from its spherical harmonics: the model itself, not a grid of it.
//!
//! The customary 15' grid with bilinear interpolation differs from the sum by up to 0.12 m. Who must agree with a device
//! that uses that grid reads it into an [`UndulationGrid`].

use std::cell::Cell;

use crate::{EarthError, LatLon};

/// Rows and columns of the 15' grid, from 90 N southwards and from 0 E eastwards.
const ROWS: usize = 721;
const COLUMNS: usize = 1440;
/// Nodes per degree.
const NODES_PER_DEG: f64 = 4.0;

/// The height of the EGM96 geoid above the WGS84 ellipsoid, in metres. The last place asked for is remembered per thread.
pub fn undulation_m(at: LatLon) -> f64 {
    thread_local! {
        // The sum costs about half a millisecond, and a pose is often asked for twice.
        static LAST: Cell<Option<(LatLon, f64)>> = const { Cell::new(None) };
    }
    LAST.with(|last| {
        if let Some((place, undulation)) = last.get()
            && place == at
        {
            return undulation;
        }
        let undulation = egm96::egm96_compute_altitude_offset(at.lat_deg(), at.lon_deg());
        last.set(Some((at, undulation)));
        undulation
    })
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
        let (y, x) = (south - row as f64, east - column as f64);
        let node =
            |down: usize, right: usize| f64::from(self.nodes_cm[(row + down) * COLUMNS + (column + right) % COLUMNS]);
        let north = node(0, 0) * (1.0 - x) + node(0, 1) * x;
        let below = node(1, 0) * (1.0 - x) + node(1, 1) * x;
        (north * (1.0 - y) + below * y) / 100.0
    }
}
