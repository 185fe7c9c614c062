//! EGM96 against the harmonic sum of NGA's program and against its 15' grid.

use smgeo_geo::geoid::{UndulationGrid, undulation_m};
use smgeo_geo::{Altitude, LatLon, Msl};

use crate::reading::{count, near, number, numbers, parsed, rows};

const GOLDEN: &str = include_str!("geoid.json");

fn place(row: &serde_json::Value) -> LatLon {
    LatLon::new(number(row, "lat_deg"), number(row, "lon_deg")).unwrap()
}

#[test]
fn the_sum_agrees_with_ngas_program_and_with_the_grid_as_far_as_the_grid_goes() {
    for row in rows(&parsed(GOLDEN), "points") {
        let at = place(row);
        near(undulation_m(at), number(row, "undulation_harmonic_m"), 3e-3, &at.to_string());
        near(undulation_m(at), number(row, "undulation_m"), 0.15, &at.to_string());
    }
}

#[test]
fn the_grid_interpolates_as_its_peers_do() {
    // The grid itself is not ours to ship: each point's four corners are put where they belong in an empty one.
    for row in rows(&parsed(GOLDEN), "points") {
        let at = place(row);
        let (grid_row, column) = (count(row, "grid_row") as usize, count(row, "grid_col") as usize);
        let mut bytes = vec![0_u8; 2 * 721 * 1440];
        for (corner, value) in numbers(row, "corners_cm_nw_ne_sw_se").into_iter().enumerate() {
            let node = (grid_row + corner / 2) * 1440 + (column + corner % 2) % 1440;
            bytes[2 * node..2 * node + 2].copy_from_slice(&(value as i16).to_be_bytes());
        }
        let grid = UndulationGrid::from_dac(&bytes).unwrap();
        near(grid.undulation_m(at), number(row, "undulation_m"), 1e-6, &at.to_string());
    }
}

#[test]
fn heights_change_datum_there_and_back() {
    for row in rows(&parsed(GOLDEN), "points") {
        let at = place(row);
        let amsl = Altitude::<Msl>::from_m(number(row, "amsl_m"));
        let height = amsl.to_ellipsoid(at);
        near(height.m(), number(row, "ellipsoidal_m"), 0.15, &at.to_string());
        near(height.to_msl(at).m(), amsl.m(), 1e-9, &at.to_string());
    }
}
