//! The shape of the land: one height a grid point, plane triangles between. What is drawn and what the truth says are
//! the same triangles, so a point on the ground is where the terrain model says it is, to rounding.

use smgeo_geo::Terrain;

use crate::mesh::{between, cross, dot, length, sub, unit};
use crate::noise::{smooth, value};
use crate::style::{River, Style};

const FINE_M: f32 = 8.0;
const FINE_HALF: i32 = 78;

/// Heights on a grid that is fine in the town and coarse towards the horizon.
pub struct Relief {
    /// Grid lines, the same in east and north, metres.
    pub(crate) lines: Vec<f32>,
    /// Heights above the town's origin, row by row from the south, metres.
    pub(crate) heights: Vec<f32>,
    /// Unit normal and distance of the plane of each triangle: two a cell, south-east half first.
    pub(crate) planes: Vec<([f32; 3], f32)>,
    /// Normals for the light, one a cell: of the land smoothed over some cells, so that no facet shows.
    pub(crate) soft_normals: Vec<[f32; 3]>,
    pub(crate) patches: Vec<Patch>,
}

/// A few cells together, to be dropped at once when out of sight.
pub(crate) struct Patch {
    /// First and last grid line in east.
    pub(crate) columns: (usize, usize),
    /// First and last grid line in north.
    pub(crate) rows: (usize, usize),
    pub(crate) centre: [f32; 3],
    pub(crate) radius: f32,
}

/// Cells along a side of a patch.
const PATCH_CELLS: usize = 8;

impl Relief {
    /// Hills of a style, with a valley along `river` (points of the water's middle line).
    pub(crate) fn new(seed: u64, style: &Style, river: &[[f32; 2]]) -> Relief {
        let lines = grid_lines();
        let width = match style.streets.river {
            River::None => 0.0,
            River::Natural { width_m } | River::Canal { width_m } => width_m,
        };
        let water_m = -0.35 * style.relief_m;
        let mut heights = Vec::with_capacity(lines.len() * lines.len());
        for &north in &lines {
            for &east in &lines {
                let hills = hills(seed, style, east, north);
                heights.push(if width > 0.0 {
                    valley(hills, distance(river, east, north), width, water_m)
                } else {
                    hills
                });
            }
        }
        let (planes, patches) = (planes(&lines, &heights), patches(&lines, &heights));
        let soft_normals = soft_normals(&lines, &heights);
        Relief { lines, heights, planes, soft_normals, patches }
    }

    /// Ground height above the origin, metres; the edge continues flat.
    pub(crate) fn height(&self, east: f32, north: f32) -> f32 {
        let (i, x) = self.cell(east);
        let (j, y) = self.cell(north);
        let at = |i: usize, j: usize| self.heights[j * self.lines.len() + i];
        let (sw, se, nw, ne) = (at(i, j), at(i + 1, j), at(i, j + 1), at(i + 1, j + 1));
        // The diagonal runs from south-west to north-east.
        if x >= y { sw + (se - sw) * x + (ne - se) * y } else { sw + (nw - sw) * y + (ne - nw) * x }
    }

    /// The lowest and highest ground under some points.
    pub(crate) fn span(&self, points: &[[f32; 2]]) -> (f32, f32) {
        points.iter().fold((f32::MAX, f32::MIN), |(low, high), &[e, n]| {
            let z = self.height(e, n);
            (low.min(z), high.max(z))
        })
    }

    fn cell(&self, x: f32) -> (usize, f32) {
        let last = self.lines.len() - 2;
        let i = self.lines.partition_point(|&line| line <= x).saturating_sub(1).min(last);
        let t = (x - self.lines[i]) / (self.lines[i + 1] - self.lines[i]);
        (i, t.clamp(0.0, 1.0))
    }
}

impl Terrain for Relief {
    fn height_m(&self, east_m: f64, north_m: f64) -> Option<f64> {
        let half = f64::from(*self.lines.last()?);
        let inside = east_m.abs() <= half && north_m.abs() <= half;
        inside.then(|| f64::from(self.height(east_m as f32, north_m as f32)))
    }
}

fn grid_lines() -> Vec<f32> {
    let mut outer = vec![FINE_HALF as f32 * FINE_M];
    let mut step = FINE_M;
    while outer[outer.len() - 1] < 6000.0 {
        step *= 1.35;
        outer.push(outer[outer.len() - 1] + step);
    }
    let fine = (1 - FINE_HALF..FINE_HALF).map(|k| k as f32 * FINE_M);
    outer.iter().rev().map(|x| -x).chain(fine).chain(outer.iter().copied()).collect()
}

fn planes(lines: &[f32], heights: &[f32]) -> Vec<([f32; 3], f32)> {
    let side = lines.len();
    let mut planes = vec![([0.0, 0.0, 1.0], 0.0); 2 * side * side];
    for j in 0..side - 1 {
        for i in 0..side - 1 {
            let at = |i: usize, j: usize| [lines[i], lines[j], heights[j * side + i]];
            let (sw, se, nw, ne) = (at(i, j), at(i + 1, j), at(i, j + 1), at(i + 1, j + 1));
            for (half, [a, b, c]) in [[sw, se, ne], [sw, ne, nw]].into_iter().enumerate() {
                let normal = unit(cross(sub(b, a), sub(c, a)));
                planes[2 * (j * side + i) + half] = (normal, dot(normal, a));
            }
        }
    }
    planes
}

/// From heights three cells to either side: wider than a river bank.
fn soft_normals(lines: &[f32], heights: &[f32]) -> Vec<[f32; 3]> {
    const REACH: usize = 3;
    let side = lines.len();
    let mean = |columns: (usize, usize), rows: (usize, usize)| {
        let mut sum = 0.0;
        for j in rows.0..=rows.1 {
            sum += heights[j * side + columns.0..=j * side + columns.1].iter().sum::<f32>();
        }
        sum / ((columns.1 - columns.0 + 1) * (rows.1 - rows.0 + 1)) as f32
    };
    let around = |k: usize| (k.saturating_sub(REACH), (k + 1 + REACH).min(side - 1));
    let normal = |(j, i): (usize, usize)| {
        let ((west, east), (south, north)) = (around(i), around(j));
        let rise_e = mean((east, east), (south, north)) - mean((west, west), (south, north));
        let rise_n = mean((west, east), (north, north)) - mean((west, east), (south, south));
        unit([-rise_e / (lines[east] - lines[west]), -rise_n / (lines[north] - lines[south]), 1.0])
    };
    (0..side).flat_map(|j| (0..side).map(move |i| (j, i))).map(normal).collect()
}

fn patches(lines: &[f32], heights: &[f32]) -> Vec<Patch> {
    let last = lines.len() - 1;
    let starts = || (0..last).step_by(PATCH_CELLS);
    let patch = |(j, i): (usize, usize)| {
        let (columns, rows) = ((i, (i + PATCH_CELLS).min(last)), (j, (j + PATCH_CELLS).min(last)));
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        for row in rows.0..=rows.1 {
            for height in &heights[row * lines.len() + columns.0..=row * lines.len() + columns.1] {
                (low, high) = (low.min(*height), high.max(*height));
            }
        }
        let (a, b) = ([lines[columns.0], lines[rows.0], low], [lines[columns.1], lines[rows.1], high]);
        Patch { columns, rows, centre: between(a, b, 0.5), radius: length(sub(b, a)) / 2.0 }
    };
    starts().flat_map(|j| starts().map(move |i| (j, i))).map(patch).collect()
}

fn hills(seed: u64, style: &Style, east: f32, north: f32) -> f32 {
    let (x, y) = (east / style.hill_m, north / style.hill_m);
    let rolling =
        value(seed ^ 1, x, y) + 0.4 * value(seed ^ 2, 2.1 * x, 2.1 * y) + 0.1 * value(seed ^ 3, 6.0 * x, 6.0 * y);
    let away = ((east.hypot(north) - 1200.0) / 4000.0).clamp(0.0, 1.0);
    style.relief_m * (0.5 * rolling + 6.0 * away * (0.6 + 0.5 * value(seed ^ 4, x / 2.0, y / 2.0)))
}

/// Brings hills down to the water: level banks, then a bed.
fn valley(hills: f32, distance: f32, width: f32, water: f32) -> f32 {
    let bank = water + 1.6;
    let land = bank + (hills - bank) * smooth((distance - width / 2.0 - 14.0) / 260.0);
    land - 3.2 * smooth((width / 2.0 + 6.0 - distance) / 8.0)
}

fn distance(river: &[[f32; 2]], east: f32, north: f32) -> f32 {
    let squared = river.windows(2).map(|ends| {
        let ([ae, an], [be, bn]) = (ends[0], ends[1]);
        let (de, dn) = (be - ae, bn - an);
        let t = (((east - ae) * de + (north - an) * dn) / (de * de + dn * dn).max(1e-6)).clamp(0.0, 1.0);
        (east - ae - t * de).powi(2) + (north - an - t * dn).powi(2)
    });
    squared.fold(f32::MAX, f32::min).sqrt()
}
