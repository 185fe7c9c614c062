//! An elevation model: heights at the nodes of a regular grid, bilinear between them.
//!
//! Along a ray the bilinear surface of a cell is a quadratic, so the first meeting is found exactly, cell by cell;
//! nothing is sampled.

use nalgebra::Vector3;

use crate::{EarthError, Terrain};

/// Nodes on a square grid of a local frame. A NaN node is a void: the cells around it have no ground that is known, and a ray that
/// passes one lower than the grid's highest node meets nothing that is known.
#[derive(Debug, Clone)]
pub struct GridTerrain {
    west_m: f64,
    south_m: f64,
    cell_m: f64,
    columns: usize,
    rows: usize,
    heights_m: Vec<f64>,
    slope_max: f64,
    highest_m: f64,
}

/// Where a grid lies: its south-west node and the distance between nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GridShape {
    /// East coordinate of the westernmost nodes.
    pub west_m: f64,
    /// North coordinate of the southernmost nodes.
    pub south_m: f64,
    /// From node to node.
    pub cell_m: f64,
    /// Nodes from west to east, at least two.
    pub columns: usize,
    /// Nodes from south to north, at least two.
    pub rows: usize,
}

impl GridTerrain {
    /// Takes the nodes row by row from the south, each row from west to east.
    pub fn new(shape: GridShape, heights_m: Vec<f64>) -> Result<GridTerrain, EarthError> {
        let GridShape { west_m, south_m, cell_m, columns, rows } = shape;
        let is_placed = west_m.is_finite() && south_m.is_finite() && cell_m.is_finite() && cell_m > 0.0;
        let is_full = columns >= 2 && rows >= 2 && columns.checked_mul(rows) == Some(heights_m.len());
        if !is_placed || !is_full || heights_m.iter().any(|height| height.is_infinite()) {
            return Err(EarthError::Grid { columns, rows, values: heights_m.len() });
        }
        let slope_max = steepest(&heights_m, columns) / cell_m;
        let highest_m = heights_m.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Ok(GridTerrain { west_m, south_m, cell_m, columns, rows, heights_m, slope_max, highest_m })
    }

    /// The cell a point of the grid's area lies in, and the point in units of cells.
    fn cell_at(&self, east_m: f64, north_m: f64) -> Option<(Cell, f64, f64)> {
        let (right, up) = ((east_m - self.west_m) / self.cell_m, (north_m - self.south_m) / self.cell_m);
        let is_inside =
            (0.0..=(self.columns - 1) as f64).contains(&right) && (0.0..=(self.rows - 1) as f64).contains(&up);
        if !is_inside {
            return None;
        }
        let (i, j) = ((right as usize).min(self.columns - 2), (up as usize).min(self.rows - 2));
        Some((self.cell(i, j)?, right - i as f64, up - j as f64))
    }

    /// The surface of a cell; none beside a void.
    fn cell(&self, i: usize, j: usize) -> Option<Cell> {
        let node = |right: usize, up: usize| self.heights_m[(j + up) * self.columns + i + right];
        let (sw, se, nw, ne) = (node(0, 0), node(1, 0), node(0, 1), node(1, 1));
        let cell = Cell { base: sw, right: se - sw, up: nw - sw, both: ne - se - nw + sw };
        cell.both.is_finite().then_some(cell)
    }

    /// The ranges at which a ray enters and leaves the grid's area.
    fn clipped(&self, ray: &GridRay) -> Option<(f64, f64)> {
        let (mut enter, mut leave) = (0.0_f64, f64::INFINITY);
        let sides = [(ray.right, ray.right_per_m, self.columns), (ray.up, ray.up_per_m, self.rows)];
        for (start, per_m, nodes) in sides {
            let end = (nodes - 1) as f64;
            if per_m == 0.0 {
                if !(0.0..=end).contains(&start) {
                    return None;
                }
                continue;
            }
            let (first, second) = (-start / per_m, (end - start) / per_m);
            enter = enter.max(first.min(second));
            leave = leave.min(first.max(second));
        }
        (enter <= leave).then_some((enter, leave))
    }
}

impl Terrain for GridTerrain {
    fn height_m(&self, east_m: f64, north_m: f64) -> Option<f64> {
        let (cell, x, y) = self.cell_at(east_m, north_m)?;
        Some(cell.height_m(x, y))
    }

    fn slope_max(&self) -> f64 {
        self.slope_max
    }

    fn slope(&self, east_m: f64, north_m: f64) -> Option<(f64, f64)> {
        let (cell, x, y) = self.cell_at(east_m, north_m)?;
        Some(((cell.right + cell.both * y) / self.cell_m, (cell.up + cell.both * x) / self.cell_m))
    }

    fn first_hit(&self, origin_m: Vector3<f64>, direction: Vector3<f64>) -> Option<f64> {
        if !(origin_m.iter().all(|part| part.is_finite()) && direction.iter().all(|part| part.is_finite())) {
            return None;
        }
        let ray = GridRay {
            right: (origin_m.x - self.west_m) / self.cell_m,
            up: (origin_m.y - self.south_m) / self.cell_m,
            right_per_m: direction.x / self.cell_m,
            up_per_m: direction.y / self.cell_m,
            height_m: origin_m.z,
            height_per_m: direction.z,
        };
        let (enter_m, leave_m) = self.clipped(&ray)?;
        let mut from_m = enter_m;
        let mut is_above = false;
        // A straight line crosses each grid line once at most.
        for _ in 0..self.columns + self.rows + 2 {
            let to_m = ray.next_line_m(from_m).min(leave_m);
            let (i, j) = ray.cell(from_m, to_m, self.columns, self.rows);
            match self.cell(i, j) {
                Some(cell) => {
                    let gap = ray.gap(&cell, i, j, from_m);
                    if gap.at_start <= 0.0 {
                        // Coming in below the ground is no meeting; touching it at a cell's edge is.
                        return is_above.then_some(from_m);
                    }
                    if let Some(along_m) = gap.first_zero().filter(|&along_m| along_m <= to_m - from_m) {
                        return Some(from_m + along_m);
                    }
                    is_above = true;
                }
                // A ridge may stand there.
                None if ray.at_m(from_m).min(ray.at_m(to_m)) <= self.highest_m => return None,
                None => is_above = true,
            }
            if to_m >= leave_m {
                return None;
            }
            from_m = to_m;
        }
        None
    }
}

/// Height over a cell: base + right x + up y + both x y, x and y from 0 to 1.
struct Cell {
    base: f64,
    right: f64,
    up: f64,
    both: f64,
}

impl Cell {
    fn height_m(&self, x: f64, y: f64) -> f64 {
        self.base + self.right * x + self.up * y + self.both * x * y
    }
}

/// A ray in units of cells sideways and metres upwards, by range in metres.
struct GridRay {
    right: f64,
    up: f64,
    right_per_m: f64,
    up_per_m: f64,
    height_m: f64,
    height_per_m: f64,
}

impl GridRay {
    /// The height at a range, metres.
    fn at_m(&self, range_m: f64) -> f64 {
        self.height_m + self.height_per_m * range_m
    }

    /// The range of the first grid line beyond a range; infinite for a vertical ray.
    fn next_line_m(&self, from_m: f64) -> f64 {
        let next = |start: f64, per_m: f64| -> f64 {
            if per_m == 0.0 {
                return f64::INFINITY;
            }
            let here = start + per_m * from_m;
            let step = per_m.signum();
            let mut line = if per_m > 0.0 { here.floor() + 1.0 } else { here.ceil() - 1.0 };
            // Rounding may put a line just crossed ahead of us again.
            let mut range_m = (line - start) / per_m;
            while range_m <= from_m && range_m.is_finite() {
                line += step;
                range_m = (line - start) / per_m;
            }
            range_m
        };
        next(self.right, self.right_per_m).min(next(self.up, self.up_per_m))
    }

    /// The cell between two ranges, by the point half way; a vertical ray has only its start.
    fn cell(&self, from_m: f64, to_m: f64, columns: usize, rows: usize) -> (usize, usize) {
        let middle_m = if to_m.is_finite() { 0.5 * (from_m + to_m) } else { from_m };
        // `as` saturates at zero.
        let index = |at: f64, nodes: usize| (at.floor() as usize).min(nodes - 2);
        (index(self.right + self.right_per_m * middle_m, columns), index(self.up + self.up_per_m * middle_m, rows))
    }

    /// How far the ray is above a cell's surface, as a quadratic of the way from a range on.
    fn gap(&self, cell: &Cell, i: usize, j: usize, from_m: f64) -> Gap {
        let x = self.right + self.right_per_m * from_m - i as f64;
        let y = self.up + self.up_per_m * from_m - j as f64;
        let (dx, dy) = (self.right_per_m, self.up_per_m);
        Gap {
            at_start: self.height_m + self.height_per_m * from_m - cell.height_m(x, y),
            linear: self.height_per_m - cell.right * dx - cell.up * dy - cell.both * (x * dy + y * dx),
            square: -cell.both * dx * dy,
        }
    }
}

/// at_start + linear s + square s2, with at_start above zero where it is asked for its zero.
struct Gap {
    at_start: f64,
    linear: f64,
    square: f64,
}

impl Gap {
    /// The smallest positive zero, by the form that does not cancel.
    fn first_zero(&self) -> Option<f64> {
        let inside = self.linear * self.linear - 4.0 * self.square * self.at_start;
        if inside < 0.0 {
            return None;
        }
        let half = -0.5 * (self.linear + inside.sqrt().copysign(self.linear));
        [self.at_start / half, half / self.square]
            .into_iter()
            .filter(|zero| zero.is_finite() && *zero > 0.0)
            .min_by(f64::total_cmp)
    }
}

/// The greatest rise from node to node, east and north combined.
fn steepest(heights_m: &[f64], columns: usize) -> f64 {
    let most = |step: usize, is_pair: &dyn Fn(usize) -> bool| {
        (step..heights_m.len())
            .filter(|&k| is_pair(k))
            .map(|k| (heights_m[k] - heights_m[k - step]).abs())
            .fold(0.0, f64::max)
    };
    most(1, &|k| !k.is_multiple_of(columns)).hypot(most(columns, &|_| true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Level ground of 1 km each way with nodes every 50 m, a tower of 60 m in its corner, and a strip without heights across it.
    fn with_a_strip_unknown() -> GridTerrain {
        let shape = GridShape { west_m: -500.0, south_m: -500.0, cell_m: 50.0, columns: 21, rows: 21 };
        let height = |at: usize| match (at % 21, at / 21) {
            (0, 0) => 60.0,
            (12, _) => f64::NAN,
            _ => 0.0,
        };
        GridTerrain::new(shape, (0..21 * 21).map(height).collect()).unwrap()
    }

    #[test]
    fn a_ray_that_passes_a_void_lower_than_the_highest_ground_meets_nothing_that_is_known() {
        let terrain = with_a_strip_unknown();
        let hit = |height_m: f64, east_m: f64| {
            let way = Vector3::new(east_m, 0.0, -height_m);
            terrain.first_hit(Vector3::new(-200.0, 10.0, height_m), way.normalize())
        };
        // The strip is from 50 to 150 m east. Steep: down before it. Then 200 m high at its end, and 40 m, where a tower might be.
        assert!((hit(300.0, 100.0).unwrap() - 300.0_f64.hypot(100.0)).abs() < 1e-6);
        assert!((hit(700.0, 490.0).unwrap() - 700.0_f64.hypot(490.0)).abs() < 1e-6);
        assert_eq!(hit(150.0, 480.0), None);
    }
}
