//! Painting the ground: polygons, in order, onto a picture of the town seen straight from above, without light. The
//! picture and its smaller copies are the texture both cameras look at.

use rayon::prelude::*;

use crate::material::Material;
use crate::noise::{Noise, cell};

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
    ratio_per_m: f32,
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
        let side = (2.0 * half_m / texel_m).round() as usize;
        let bounds: Vec<(f32, f32)> = paints.iter().map(|paint| rows_of(&paint.outline, half_m, texel_m)).collect();
        let mut texels = vec![[0u8; 4]; side * side];
        texels.par_chunks_mut(side * BAND_ROWS).enumerate().for_each(|(band, texels)| {
            let mut brush = Brush::new(side, half_m, texel_m, band * BAND_ROWS);
            brush.flood(texels, base);
            let (top, bottom) = ((band * BAND_ROWS) as f32, ((band + 1) * BAND_ROWS) as f32);
            for (paint, &(first, last)) in paints.iter().zip(&bounds) {
                if last >= top && first < bottom {
                    brush.fill(texels, paint);
                }
            }
        });
        let mut levels = vec![Level { side, per_m: 1.0 / texel_m, texels }];
        while levels[levels.len() - 1].side > 8 {
            levels.push(halved(&levels[levels.len() - 1]));
        }
        GroundTexture { half_m, texel_m, ratio_per_m: 1.42 / texel_m, levels }
    }

    /// The bilinear colour at (east, north) from the copy whose texels are about `footprint_m`.
    #[inline(always)]
    pub(crate) fn sample(&self, east: f32, north: f32, footprint_m: f32) -> [f32; 4] {
        // The exponent of the ratio is the copy's number; 1.42 puts the change half way between two copies.
        let ratio = (footprint_m * self.ratio_per_m).max(1.0);
        let index = ((ratio.to_bits() >> 23) as usize).wrapping_sub(127).min(self.levels.len() - 1);
        let level = &self.levels[index];
        let last = level.side as f32 - 1.001;
        let (i, fx) = cell(((east + self.half_m) * level.per_m - 0.5).clamp(0.0, last));
        let (j, fy) = cell(((self.half_m - north) * level.per_m - 0.5).clamp(0.0, last));
        let at = j * level.side + i;
        let (top, bottom) = (&level.texels[at..at + 2], &level.texels[at + level.side..at + level.side + 2]);
        let (a, b, c, d) = ((1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy);
        let ([p, q], [r, s]) = ([top[0], top[1]], [bottom[0], bottom[1]]);
        let mixed = |k: usize| a * f32::from(p[k]) + b * f32::from(q[k]) + c * f32::from(r[k]) + d * f32::from(s[k]);
        [mixed(0), mixed(1), mixed(2), mixed(3)]
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
        for x in from..to {
            covered += self.coverage[x];
            self.coverage[x] = 0.0;
            let share = covered.min(1.0) * material.opacity;
            if share > 0.01 {
                let colour = material.at(noise, self.texel_m, x as i32, -row);
                let texel = &mut line[x];
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
    texels.par_chunks_mut(side).enumerate().for_each(|(row, line)| {
        let upper = &level.texels[2 * row * level.side..];
        let lower = &level.texels[(2 * row + 1) * level.side..];
        for (x, texel) in line.iter_mut().enumerate() {
            let (p, q, r, s) = (upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]);
            let mean =
                |c: usize| ((u16::from(p[c]) + u16::from(q[c]) + u16::from(r[c]) + u16::from(s[c]) + 2) / 4) as u8;
            *texel = [mean(0), mean(1), mean(2), mean(3)];
        }
    });
    Level { side, per_m: level.per_m / 2.0, texels }
}
