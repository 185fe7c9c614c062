//! Painting the ground: polygons, in order, onto a picture of the town seen straight from above, without light. The
//! picture and its smaller copies are the texture both cameras look at.

use rayon::prelude::*;

use crate::block_order::{column_of_4, into_blocks, row_of_4};
use crate::material::Material;
use crate::noise::{Noise, cell, whole};
use crate::project::RUN_PX;

const SUBROWS: usize = 4;
const BAND_ROWS: usize = 64;

/// One polygon (ENU metres) and what it is filled with. Higher layers cover lower ones.
pub(crate) struct Paint {
    pub(crate) layer: u8,
    pub(crate) outline: Vec<[f32; 2]>,
    pub(crate) material: Material,
}

/// A square picture of the ground around the origin: RGB and plant share, with half-size copies.
pub(crate) struct GroundTexture {
    pub(crate) half_m: f32,
    pub(crate) texel_m: f32,
    levels: Vec<Level>,
}

struct Level {
    side: usize,
    per_m: f32,
    texels: Vec<[u8; 4]>,
}

impl GroundTexture {
    /// Paints `paints` (sorted by layer) over a ground of material `base`.
    pub(crate) fn new(half_m: f32, texel_m: f32, base: &Material, paints: &[Paint]) -> GroundTexture {
        // Whole blocks, also in the smaller copies.
        let side = (2.0 * half_m / texel_m / 128.0).ceil() as usize * 128;
        let half_m = side as f32 * texel_m / 2.0;
        let bounds: Vec<(f32, f32)> = paints.iter().map(|paint| rows_of(&paint.outline, half_m, texel_m)).collect();
        let mut texels = vec![[0u8; 4]; side * side];
        texels.par_chunks_mut(side * BAND_ROWS).enumerate().for_each(|(band, texels)| {
            let mut brush = Brush::new(side, half_m, texel_m, band * BAND_ROWS);
            let mut rows = vec![[0u8; 4]; texels.len()];
            brush.flood(&mut rows, base);
            let (top, bottom) = ((band * BAND_ROWS) as f32, ((band + 1) * BAND_ROWS) as f32);
            for (paint, &(first, last)) in paints.iter().zip(&bounds) {
                if last >= top && first < bottom {
                    brush.fill(&mut rows, paint);
                }
            }
            into_blocks(&rows, side, 4, texels);
        });
        let mut levels = vec![Level { side, per_m: 1.0 / texel_m, texels }];
        while levels[levels.len() - 1].side.is_multiple_of(8) {
            levels.push(halved(&levels[levels.len() - 1]));
        }
        GroundTexture { half_m, texel_m, levels }
    }

    /// Bilinear red, green, blue and plant share (0 to 255) at points, from the copy whose texels are about `footprint_m`.
    #[inline(always)]
    pub(crate) fn sample_run(
        &self,
        east: &[f32; RUN_PX],
        north: &[f32; RUN_PX],
        footprint_m: f32,
    ) -> [[f32; RUN_PX]; 4] {
        // The exponent of the ratio is the copy's number; 1.42 puts the change half way between two copies.
        let ratio = (footprint_m * 1.42 / self.texel_m).max(1.0);
        let index = ((ratio.to_bits() >> 23) as usize).wrapping_sub(127).min(self.levels.len() - 1);
        let level = &self.levels[index];
        let (side, per_m) = (level.side as u32, level.per_m);
        let last = level.side as f32 - 1.5;
        let mut places = [[0u32; 4]; RUN_PX];
        let mut weights = [[0u32; 4]; RUN_PX];
        for k in 0..RUN_PX {
            let (i, fx) = cell(((east[k] + self.half_m) * per_m - 0.5).clamp(0.0, last));
            let (j, fy) = cell(((self.half_m - north[k]) * per_m - 0.5).clamp(0.0, last));
            let (i, j) = (i as u32, j as u32);
            let (x0, x1) = (column_of_4(i), column_of_4(i.wrapping_add(1)));
            let (y0, y1) = (row_of_4(j, side), row_of_4(j.wrapping_add(1), side));
            places[k] = [x0.wrapping_add(y0), x1.wrapping_add(y0), x0.wrapping_add(y1), x1.wrapping_add(y1)];
            let (x, y) = (whole(fx * 16.0) as u32, whole(fy * 16.0) as u32);
            let across = x.wrapping_mul(y);
            weights[k] = [
                256u32.wrapping_sub((x << 4).wrapping_add(y << 4)).wrapping_add(across),
                (x << 4).wrapping_sub(across),
                (y << 4).wrapping_sub(across),
                across,
            ];
        }
        let mut mixed = [[0.0; RUN_PX]; 4];
        for k in 0..RUN_PX {
            // Two channels at a time in one word: each holds up to 255 * 256.
            let (mut even, mut odd) = (0u32, 0u32);
            for tap in 0..4 {
                let texel = u32::from_le_bytes(level.texels[places[k][tap] as usize]);
                even = even.wrapping_add((texel & 0x00ff_00ff).wrapping_mul(weights[k][tap]));
                odd = odd.wrapping_add(((texel >> 8) & 0x00ff_00ff).wrapping_mul(weights[k][tap]));
            }
            let unpack = |word: u32| ((word & 0xffff) as f32 * (1.0 / 256.0), (word >> 16) as f32 * (1.0 / 256.0));
            (mixed[0][k], mixed[2][k]) = unpack(even);
            (mixed[1][k], mixed[3][k]) = unpack(odd);
        }
        mixed
    }
}

/// Fills polygons into one band of rows with exact horizontal coverage.
struct Brush {
    side: usize,
    half_m: f32,
    texel_m: f32,
    first_row: usize,
    coverage: Vec<f32>,
    crossings: Vec<f32>,
}

impl Brush {
    fn new(side: usize, half_m: f32, texel_m: f32, first_row: usize) -> Brush {
        Brush { side, half_m, texel_m, first_row, coverage: vec![0.0; side + 2], crossings: Vec::new() }
    }

    fn flood(&mut self, texels: &mut [[u8; 4]], material: &Material) {
        let noise = Noise::get();
        for (row, line) in texels.chunks_mut(self.side).enumerate() {
            let y = -((self.first_row + row) as i32);
            for (x, texel) in line.iter_mut().enumerate() {
                let [r, g, b, plant] = material.at(noise, self.texel_m, x as i32, y);
                *texel = [r as u8, g as u8, b as u8, plant as u8];
            }
        }
    }

    fn fill(&mut self, texels: &mut [[u8; 4]], paint: &Paint) {
        let points: Vec<[f32; 2]> = paint
            .outline
            .iter()
            .map(|[e, n]| [(e + self.half_m) / self.texel_m, (self.half_m - n) / self.texel_m])
            .collect();
        let (first, last) = rows_of(&paint.outline, self.half_m, self.texel_m);
        let rows = texels.len() / self.side;
        let begin = (first.max(self.first_row as f32) as usize).saturating_sub(self.first_row);
        let end = ((last.max(0.0) as usize + 1).saturating_sub(self.first_row)).min(rows);
        for row in begin..end {
            let (from, to) = self.cover(&points, (self.first_row + row) as f32);
            let line = &mut texels[row * self.side..(row + 1) * self.side];
            self.lay(line, &paint.material, (self.first_row + row) as i32, from, to);
        }
    }

    /// Accumulates the coverage of one row as differences; returns the columns touched.
    fn cover(&mut self, points: &[[f32; 2]], row: f32) -> (usize, usize) {
        let (mut from, mut to) = (usize::MAX, 0);
        let limit = self.side as f32;
        for sub in 0..SUBROWS {
            let y = row + (sub as f32 + 0.5) / SUBROWS as f32;
            self.crossings.clear();
            let mut a = points[points.len() - 1];
            for &b in points {
                if (a[1] > y) != (b[1] > y) {
                    self.crossings.push(a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
                }
                a = b;
            }
            self.crossings.sort_unstable_by(f32::total_cmp);
            for pair in self.crossings.chunks_exact(2) {
                let (x0, x1) = (pair[0].clamp(0.0, limit), pair[1].clamp(0.0, limit));
                if x1 <= x0 {
                    continue;
                }
                for (x, sign) in [(x0, 1.0 / SUBROWS as f32), (x1, -1.0 / SUBROWS as f32)] {
                    let column = x as usize;
                    let part = x - column as f32;
                    self.coverage[column] += sign * (1.0 - part);
                    self.coverage[column + 1] += sign * part;
                }
                from = from.min(x0 as usize);
                to = to.max(x1 as usize + 1);
            }
        }
        (from, to.min(self.side))
    }

    fn lay(&mut self, line: &mut [[u8; 4]], material: &Material, row: i32, from: usize, to: usize) {
        if from >= to {
            return;
        }
        let noise = Noise::get();
        let mut covered = 0.0;
        for (x, texel) in line.iter_mut().enumerate().take(to).skip(from) {
            covered += std::mem::take(&mut self.coverage[x]);
            let share = covered.min(1.0) * material.opacity;
            if share > 0.01 {
                let colour = material.at(noise, self.texel_m, x as i32, -row);
                let mixed = |c: usize| {
                    let below = f32::from(texel[c]);
                    (below + (colour[c] - below) * share + 0.5) as u8
                };
                *texel = [mixed(0), mixed(1), mixed(2), mixed(3)];
            }
        }
        for rest in &mut self.coverage[to..(to + 2).min(self.side + 2)] {
            *rest = 0.0;
        }
    }
}

fn rows_of(outline: &[[f32; 2]], half_m: f32, texel_m: f32) -> (f32, f32) {
    outline.iter().fold((f32::MAX, f32::MIN), |(first, last), point| {
        let row = (half_m - point[1]) / texel_m;
        (first.min(row), last.max(row))
    })
}

fn halved(level: &Level) -> Level {
    let side = level.side / 2;
    let mut texels = vec![[0u8; 4]; side * side];
    texels.par_chunks_mut(side * 4).enumerate().for_each(|(four, out)| {
        for (place, texel) in out.iter_mut().enumerate() {
            let (block, inner) = (place / 16, place % 16);
            let (i, j) = (block * 4 + inner % 4, four * 4 + inner / 4);
            let from = |x: usize, y: usize| {
                let (x, y) = ((2 * i + x) as u32, (2 * j + y) as u32);
                level.texels[(column_of_4(x) + row_of_4(y, level.side as u32)) as usize]
            };
            let (p, q, r, s) = (from(0, 0), from(1, 0), from(0, 1), from(1, 1));
            let mean =
                |c: usize| ((u16::from(p[c]) + u16::from(q[c]) + u16::from(r[c]) + u16::from(s[c]) + 2) / 4) as u8;
            *texel = [mean(0), mean(1), mean(2), mean(3)];
        }
    });
    Level { side, per_m: level.per_m / 2.0, texels }
}
