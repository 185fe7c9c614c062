//! What lies in shadow: the highest thing that stands in the way of each sunbeam. Beams are named by where they meet
//! height 0, so the map lies flat on the town and a look-up needs two products and a comparison.

use rayon::prelude::*;

use crate::block_order::{column_of_8, into_blocks, row_of_8};
use crate::mesh::{Crown, Scene, dot};
use crate::noise::{Noise, cell, whole};
use crate::project::RUN_PX;
use crate::raster::{scan, shifts};

/// Texels of a side: whole blocks, and 0.35 m of them reach over the town and the longest shadow.
const SIDE: usize = 4224;
const TEXEL_M: f32 = 0.35;
/// Heights are kept in centimetres above this, metres.
const BASE_M: f32 = -200.0;
const BAND_ROWS: usize = 256;

/// Heights of the topmost casters along each beam.
pub(crate) struct ShadowMap {
    side: usize,
    half_m: f32,
    /// Metres east and north a beam moves per metre of height, towards the sun.
    slant: [f32; 2],
    tops: Vec<u16>,
}

impl ShadowMap {
    /// Casts the shadows of scenes under a sun (unit vector towards it).
    pub(crate) fn new(sun: [f32; 3], scenes: [&Scene; 2]) -> ShadowMap {
        let side = SIDE;
        let slant = [sun[0] / sun[2], sun[1] / sun[2]];
        let mut map = ShadowMap { side, half_m: SIDE as f32 * TEXEL_M / 2.0, slant, tops: Vec::new() };
        let mut triangles = Vec::new();
        let mut crowns = Vec::new();
        for scene in scenes {
            for chunk in &scene.chunks {
                let lit = chunk.triangles.iter().filter(|t| dot(scene.surfaces[t[3] as usize].normal, sun) > 0.0);
                triangles.extend(
                    lit.map(|t| [t[0], t[1], t[2]].map(|k| map.beam(chunk.corners[k as usize]))).map(clockwise),
                );
                crowns.extend(&chunk.crowns);
            }
        }
        let mut tops = vec![0u16; side * side];
        tops.par_chunks_mut(side * BAND_ROWS).enumerate().for_each(|(band, tops)| {
            let mut rows = vec![0u16; tops.len()];
            let mut target = Band { side, first_row: (band * BAND_ROWS) as i32, tops: &mut rows };
            triangles.iter().for_each(|triangle| target.triangle(triangle));
            crowns.iter().for_each(|crown| target.crown(&map, crown));
            into_blocks(&rows, side, 8, tops);
        });
        map.tops = tops;
        map
    }

    /// How much of the sun reaches a point, 0 to 1; `margin_m` above it casts nothing.
    #[inline(always)]
    pub(crate) fn sunlight(&self, at: [f32; 3], margin_m: f32) -> f32 {
        let (places, [fx, fy], limit) = self.look(at, margin_m);
        self.free(places, fx, fy, limit)
    }

    /// The same for the points of a run.
    #[inline(always)]
    pub(crate) fn sunlight_run(
        &self,
        east: &[f32; RUN_PX],
        north: &[f32; RUN_PX],
        up: &[f32; RUN_PX],
        margin_m: f32,
    ) -> [f32; RUN_PX] {
        let mut places = [[0u32; 4]; RUN_PX];
        let mut parts = [[0.0; 2]; RUN_PX];
        let mut limits = [0; RUN_PX];
        for k in 0..RUN_PX {
            (places[k], parts[k], limits[k]) = self.look([east[k], north[k], up[k]], margin_m);
        }
        let mut sunlight = [0.0; RUN_PX];
        for k in 0..RUN_PX {
            sunlight[k] = self.free(places[k], parts[k][0], parts[k][1], limits[k]);
        }
        sunlight
    }

    /// The four texels around a point's beam, the point's place between them, and the height above which things shade it.
    #[inline(always)]
    fn look(&self, [e, n, z]: [f32; 3], margin_m: f32) -> ([u32; 4], [f32; 2], i32) {
        let last = self.side as f32 - 1.5;
        let (i, fx) = cell(((e - z * self.slant[0] + self.half_m) * (1.0 / TEXEL_M) - 0.5).clamp(0.0, last));
        let (j, fy) = cell(((n - z * self.slant[1] + self.half_m) * (1.0 / TEXEL_M) - 0.5).clamp(0.0, last));
        let (i, j, side) = (i as u32, j as u32, self.side as u32);
        let (x0, x1) = (column_of_8(i), column_of_8(i.wrapping_add(1)));
        let (y0, y1) = (row_of_8(j, side), row_of_8(j.wrapping_add(1), side));
        let places = [x0.wrapping_add(y0), x1.wrapping_add(y0), x0.wrapping_add(y1), x1.wrapping_add(y1)];
        (places, [fx, fy], whole((z + margin_m - BASE_M) * 100.0))
    }

    #[inline(always)]
    fn free(&self, places: [u32; 4], fx: f32, fy: f32, limit: i32) -> f32 {
        let free = |tap: usize| if i32::from(self.tops[places[tap] as usize]) > limit { 0.0 } else { 1.0 };
        let upper = free(0) * (1.0 - fx) + free(1) * fx;
        let lower = free(2) * (1.0 - fx) + free(3) * fx;
        upper * (1.0 - fy) + lower * fy
    }

    /// Texel of the beam through a point, and the point's height as it is kept.
    fn beam(&self, [e, n, z]: [f32; 3]) -> [f32; 3] {
        [
            (e - z * self.slant[0] + self.half_m) / TEXEL_M,
            (n - z * self.slant[1] + self.half_m) / TEXEL_M,
            (z - BASE_M) * 100.0,
        ]
    }
}

fn clockwise([a, b, c]: [[f32; 3]; 3]) -> [[f32; 3]; 3] {
    let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    if area > 0.0 { [a, b, c] } else { [a, c, b] }
}

struct Band<'a> {
    side: usize,
    first_row: i32,
    tops: &'a mut [u16],
}

impl Band<'_> {
    fn rows(&self) -> (i32, i32) {
        (self.first_row, self.first_row + (self.tops.len() / self.side) as i32)
    }

    fn triangle(&mut self, points: &[[f32; 3]; 3]) {
        let rows = self.rows();
        scan(points, self.side as i32, rows, |row, from, to, height, step| {
            let start = (row - self.first_row) as usize * self.side;
            let mut height = height;
            for top in &mut self.tops[start + from as usize..start + to as usize] {
                *top = (*top).max(height as u16);
                height += step;
            }
        });
    }

    /// A leaf ball casts as three level discs with holes.
    fn crown(&mut self, map: &ShadowMap, crown: &Crown) {
        let noise = Noise::get();
        let (shift_x, shift_y) = shifts(crown.seed);
        let (first_row, last_row) = self.rows();
        for (lift, size) in [(-0.55, 0.83), (0.0, 0.96), (0.55, 0.8)] {
            let [e, n, z] = crown.centre;
            let [x, y, height] = map.beam([e, n, z + lift * crown.radius]);
            let radius = size * crown.radius / TEXEL_M;
            let first = ((y - radius).floor() as i32).max(first_row);
            let last = ((y + radius).ceil() as i32).min(last_row);
            let (from, to) = (((x - radius).floor() as i32).max(0), ((x + radius).ceil() as i32).min(self.side as i32));
            for row in first..last {
                let dy = row as f32 + 0.5 - y;
                let start = (row - first_row) as usize * self.side;
                for column in from..to {
                    let dx = column as f32 + 0.5 - x;
                    let d2 = (dx * dx + dy * dy) / (radius * radius);
                    let leaf = noise.leaf((dx * 1.7) as i32 + shift_x, (dy * 1.7) as i32 + shift_y);
                    if d2 < 0.85 + 0.45 * leaf {
                        let top = &mut self.tops[start + column as usize];
                        *top = (*top).max(height as u16);
                    }
                }
            }
        }
    }
}
