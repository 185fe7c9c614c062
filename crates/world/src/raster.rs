//! Which surface is seen at each pixel: triangles and leaf balls are scanned into a depth buffer that keeps a surface's
//! id. Colours are computed afterwards, once a pixel, so what is hidden costs little; and the ids are the truth about
//! what is visible.

use rayon::prelude::*;

use crate::mesh::Scene;
use crate::noise::Noise;
use crate::project::Projection;
use crate::relief::Relief;

const GROUND: u32 = 1 << 30;
const FACE: u32 = 2 << 30;
const BALL: u32 = 3 << 30;
const SECOND: u32 = 1 << 29;
const BAND_ROWS_MIN: usize = 64;
/// Cells of leaf noise per metre on a crown.
const LEAVES_PER_M: f32 = 5.0;

/// What a pixel shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Seen {
    Sky,
    /// A ground triangle: its cell and which half.
    Ground(usize),
    /// A face: 0 the town's, 1 the day's, and its surface.
    Face(usize, usize),
    /// A leaf ball, by index into [`Visible::balls`].
    Ball(usize),
}

/// A ball on the picture.
#[derive(Clone, Copy)]
pub(crate) struct Ball {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) radius_px: f32,
    w: f32,
    pub(crate) scene: usize,
    pub(crate) chunk: usize,
    pub(crate) crown: usize,
    seed: u32,
    cells_per_px: f32,
}

struct Triangle {
    points: [[f32; 3]; 3],
    id: u32,
}

/// The surface ids of a picture. Keeps its buffers from one picture to the next.
#[derive(Default)]
pub(crate) struct Visible {
    pub(crate) width: usize,
    pub(crate) height: usize,
    depth: Vec<f32>,
    ids: Vec<u32>,
    triangles: Vec<Triangle>,
    pub(crate) balls: Vec<Ball>,
    corners: Vec<Option<[f32; 3]>>,
}

impl Visible {
    /// Finds what is seen of the ground and of the scenes.
    pub(crate) fn find<P: Projection>(&mut self, view: &P, relief: &Relief, scenes: [&Scene; 2]) {
        (self.width, self.height) = view.size();
        self.triangles.clear();
        self.balls.clear();
        self.ground(view, relief);
        for (which, scene) in scenes.into_iter().enumerate() {
            self.scene(view, which, scene);
        }
        self.depth.clear();
        self.depth.resize(self.width * self.height, 0.0);
        self.ids.clear();
        self.ids.resize(self.width * self.height, 0);
        let (width, triangles, balls) = (self.width, &self.triangles, &self.balls);
        let rows = self.height.div_ceil(rayon::current_num_threads()).max(BAND_ROWS_MIN);
        let band_px = (width * rows).max(1);
        let bands = self.depth.par_chunks_mut(band_px).zip(self.ids.par_chunks_mut(band_px));
        bands.enumerate().for_each(|(band, (depth, ids))| {
            let mut target = Band { width, first_row: (band * rows) as i32, depth, ids };
            triangles.iter().for_each(|triangle| target.triangle(triangle));
            balls.iter().enumerate().for_each(|(index, ball)| target.ball(view, index, ball));
        });
    }

    /// What the pixel at an index (row by row) shows.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> Seen {
        let id = self.ids[index];
        match id & BALL {
            GROUND => Seen::Ground((id & (GROUND - 1)) as usize),
            FACE => Seen::Face(((id & SECOND) >> 29) as usize, (id & (SECOND - 1)) as usize),
            BALL => Seen::Ball((id & (GROUND - 1)) as usize),
            _ => Seen::Sky,
        }
    }

    /// Closeness of what the pixel at an index shows.
    pub(crate) fn closeness(&self, index: usize) -> f32 {
        self.depth[index]
    }

    fn ground<P: Projection>(&mut self, view: &P, relief: &Relief) {
        let side = relief.lines.len();
        for patch in relief.patches.iter().filter(|patch| view.sees(patch.centre, patch.radius)) {
            let ((i0, i1), (j0, j1)) = (patch.columns, patch.rows);
            self.corners.clear();
            for j in j0..=j1 {
                let corner = |i: usize| view.project([relief.lines[i], relief.lines[j], relief.heights[j * side + i]]);
                self.corners.extend((i0..=i1).map(corner));
            }
            let across = i1 - i0 + 1;
            for j in j0..j1 {
                for i in i0..i1 {
                    let at = (j - j0) * across + i - i0;
                    let (sw, se) = (self.corners[at], self.corners[at + 1]);
                    let (nw, ne) = (self.corners[at + across], self.corners[at + across + 1]);
                    let id = GROUND | (2 * (j * side + i)) as u32;
                    self.push([sw, se, ne], id);
                    self.push([sw, ne, nw], id + 1);
                }
            }
        }
    }

    fn scene<P: Projection>(&mut self, view: &P, which: usize, scene: &Scene) {
        for (index, chunk) in scene.chunks.iter().enumerate() {
            if !view.sees(chunk.centre, chunk.radius) {
                continue;
            }
            self.corners.clear();
            self.corners.extend(chunk.corners.iter().map(|&corner| view.project(corner)));
            for &[a, b, c, surface] in &chunk.triangles {
                let corners = [self.corners[a as usize], self.corners[b as usize], self.corners[c as usize]];
                self.push(corners, FACE | (which as u32) << 29 | surface);
            }
            for (number, crown) in chunk.crowns.iter().enumerate() {
                let Some([x, y, w]) = view.project(crown.centre) else { continue };
                let scale = view.px_per_m(w);
                let radius_px = crown.radius * scale;
                let outside = x + radius_px < 0.0
                    || y + radius_px < 0.0
                    || x - radius_px > self.width as f32
                    || y - radius_px > self.height as f32;
                if !outside {
                    let cells_per_px = LEAVES_PER_M / scale;
                    let ball = Ball {
                        x,
                        y,
                        radius_px,
                        w,
                        scene: which,
                        chunk: index,
                        crown: number,
                        seed: crown.seed,
                        cells_per_px,
                    };
                    self.balls.push(ball);
                }
            }
        }
    }

    /// Keeps a triangle that faces the viewer and touches the picture.
    #[inline]
    fn push(&mut self, corners: [Option<[f32; 3]>; 3], id: u32) {
        let [Some(a), Some(b), Some(c)] = corners else { return };
        // Rows grow downwards, so a face that is counter-clockwise seen from outside is clockwise here.
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
        let least = |axis: usize| a[axis].min(b[axis]).min(c[axis]);
        let most = |axis: usize| a[axis].max(b[axis]).max(c[axis]);
        let inside = most(0) > 0.0 && most(1) > 0.0 && least(0) < self.width as f32 && least(1) < self.height as f32;
        if area < 0.0 && inside {
            self.triangles.push(Triangle { points: [a, c, b], id });
        }
    }
}

/// A few rows of the picture.
struct Band<'a> {
    width: usize,
    first_row: i32,
    depth: &'a mut [f32],
    ids: &'a mut [u32],
}

impl Band<'_> {
    fn triangle(&mut self, triangle: &Triangle) {
        let rows = (self.first_row, self.first_row + (self.depth.len() / self.width) as i32);
        scan(&triangle.points, self.width as i32, rows, |row, from, to, w, step| {
            let start = (row - self.first_row) as usize * self.width;
            let (from, to) = (start + from as usize, start + to as usize);
            let mut w = w;
            for (depth, id) in self.depth[from..to].iter_mut().zip(&mut self.ids[from..to]) {
                if w > *depth {
                    *depth = w;
                    *id = triangle.id;
                }
                w += step;
            }
        });
    }

    fn ball<P: Projection>(&mut self, view: &P, index: usize, ball: &Ball) {
        let rows = (self.depth.len() / self.width) as i32;
        let first = ((ball.y - ball.radius_px).floor() as i32).max(self.first_row);
        let last = ((ball.y + ball.radius_px).ceil() as i32).min(self.first_row + rows);
        if first >= last {
            return;
        }
        let noise = Noise::get();
        let from = ((ball.x - ball.radius_px).floor() as i32).max(0);
        let to = ((ball.x + ball.radius_px).ceil() as i32).min(self.width as i32);
        let (inverse, radius_m) = (1.0 / ball.radius_px, ball.radius_px / view.px_per_m(ball.w));
        let (shift_x, shift_y) = shifts(ball.seed);
        for row in first..last {
            let dy = row as f32 + 0.5 - ball.y;
            let start = (row - self.first_row) as usize * self.width;
            let cell_y = (dy * ball.cells_per_px) as i32 + shift_y;
            for x in from..to {
                let dx = x as f32 + 0.5 - ball.x;
                let d2 = (dx * dx + dy * dy) * inverse * inverse;
                if d2 >= 1.0 {
                    continue;
                }
                let leaf = noise.leaf((dx * ball.cells_per_px) as i32 + shift_x, cell_y);
                if d2 > 0.78 + 0.5 * leaf {
                    continue;
                }
                // Leaves stand out and fall back, which breaks the outline where two balls meet.
                let out = radius_m * ((1.0 - d2).sqrt() * 0.9 + 0.16 * leaf);
                let w = view.nearer(ball.w, out);
                let at = start + x as usize;
                if w > self.depth[at] {
                    self.depth[at] = w;
                    self.ids[at] = BALL | index as u32;
                }
            }
        }
    }
}

/// Where a crown's leaves start in the noise table.
pub(crate) fn shifts(seed: u32) -> (i32, i32) {
    ((seed & 511) as i32, (seed >> 9 & 511) as i32)
}

impl Ball {
    /// Closeness of the middle.
    pub(crate) fn closeness(&self) -> f32 {
        self.w
    }

    /// Noise cell of a pixel on this ball.
    pub(crate) fn cell(&self, dx: f32, dy: f32) -> (i32, i32) {
        let (x, y) = shifts(self.seed);
        ((dx * self.cells_per_px) as i32 + x, (dy * self.cells_per_px) as i32 + y)
    }
}

/// Calls `span(row, from, to, value, step)` for each row of a triangle given clockwise on the screen (x, y, value).
/// Neighbours that share an edge share no pixel and leave none out: a pixel belongs to where its middle lies.
#[inline]
pub(crate) fn scan(
    points: &[[f32; 3]; 3],
    width: i32,
    rows: (i32, i32),
    mut span: impl FnMut(i32, i32, i32, f32, f32),
) {
    let [a, b, c] = points;
    let (low, high) = (a[1].min(b[1]).min(c[1]), a[1].max(b[1]).max(c[1]));
    let first = ((low - 0.5).ceil().max(-1e6) as i32).max(rows.0);
    let last = ((high - 0.5).ceil().min(1e6) as i32).min(rows.1);
    if first >= last {
        return;
    }
    let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    let inverse = 1.0 / area;
    let step_x = ((b[2] - a[2]) * (c[1] - a[1]) - (c[2] - a[2]) * (b[1] - a[1])) * inverse;
    let step_y = ((c[2] - a[2]) * (b[0] - a[0]) - (b[2] - a[2]) * (c[0] - a[0])) * inverse;
    for row in first..last {
        let y = row as f32 + 0.5;
        let (mut left, mut right) = (f32::MIN, f32::MAX);
        for (p, q) in [(a, b), (b, c), (c, a)] {
            // The edge is computed from its upper end, whichever way it is walked, so both neighbours agree on it.
            let (upper, lower) = if (p[1], p[0]) < (q[1], q[0]) { (p, q) } else { (q, p) };
            let rise = lower[1] - upper[1];
            if y < upper[1] || y >= lower[1] || rise <= 0.0 {
                continue;
            }
            let x = upper[0] + (y - upper[1]) / rise * (lower[0] - upper[0]);
            if q[1] > p[1] {
                right = right.min(x);
            } else {
                left = left.max(x);
            }
        }
        let from = ((left - 0.5).ceil().max(0.0)) as i32;
        let to = ((right - 0.5).ceil().min(width as f32)) as i32;
        if from < to && left > f32::MIN && right < f32::MAX {
            let value = a[2] + (from as f32 + 0.5 - a[0]) * step_x + (y - a[1]) * step_y;
            span(row, from, to, value, step_x);
        }
    }
}
