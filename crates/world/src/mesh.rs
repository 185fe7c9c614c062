//! What stands up from the ground: plane faces and round tree crowns, gathered into chunks of the map so that what the
//! camera cannot see is dropped at once. A face keeps its plane and its own axes; its pattern is computed, not stored.

use std::collections::BTreeMap;

use crate::place::Place;
use crate::style::Rgb;

/// Id of no object.
pub(crate) const NO_OBJECT: u32 = u32::MAX;
const CHUNK_M: f32 = 64.0;
/// Longer faces are cut, so that lens distortion may be applied to corners alone.
const FACE_M_MAX: f32 = 16.0;

/// How a face looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Finish {
    /// Rows of roof tiles along the eave.
    Tiles,
    /// Ribs down the slope.
    Metal,
    /// Flat roof of gravel or felt.
    Felt,
    /// Plaster.
    Plain,
    /// Plaster with rows of windows: storey height, window spacing, metres.
    Windows { storey_m: f32, bay_m: f32 },
    /// Glass or solar cells.
    Glass,
    /// Shiny paint.
    Paint,
    /// Asphalt with a middle line, metres of width along the second axis.
    Deck { width_m: f32 },
}

/// A plane face.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surface {
    pub(crate) finish: Finish,
    pub(crate) rgb: Rgb,
    pub(crate) origin: [f32; 3],
    pub(crate) normal: [f32; 3],
    /// Horizontal axis of the face.
    pub(crate) across: [f32; 3],
    /// Axis up the face.
    pub(crate) up: [f32; 3],
    pub(crate) object: u32,
    pub(crate) seed: u32,
}

/// A ball of leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crown {
    pub(crate) centre: [f32; 3],
    pub(crate) radius: f32,
    pub(crate) rgb: Rgb,
    /// Share of the colour that turns with the season.
    pub(crate) seasonal: f32,
    pub(crate) seed: u32,
}

/// Faces and crowns of one square of the map.
#[derive(Default)]
pub(crate) struct Chunk {
    pub(crate) centre: [f32; 3],
    pub(crate) radius: f32,
    pub(crate) corners: Vec<[f32; 3]>,
    /// Three corners and a surface.
    pub(crate) triangles: Vec<[u32; 4]>,
    pub(crate) crowns: Vec<Crown>,
}

/// All faces and crowns of a town, or of what one day adds to it.
#[derive(Default)]
pub(crate) struct Scene {
    pub(crate) surfaces: Vec<Surface>,
    pub(crate) chunks: Vec<Chunk>,
}

/// Collects faces and crowns.
#[derive(Default)]
pub(crate) struct Builder {
    surfaces: Vec<Surface>,
    chunks: BTreeMap<(i32, i32), Chunk>,
    object: u32,
    seed: u32,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder { object: NO_OBJECT, ..Builder::default() }
    }

    /// Faces added from now on belong to `object`; `seed` varies their pattern.
    pub(crate) fn begin(&mut self, object: u32, seed: u32) {
        self.object = object;
        self.seed = seed;
    }

    /// Adds a plane convex face, corners counter-clockwise seen from outside.
    pub(crate) fn face(&mut self, corners: &[[f32; 3]], finish: Finish, rgb: Rgb) {
        let normal = unit(cross(sub(corners[1], corners[0]), sub(corners[2], corners[0])));
        if !normal[0].is_finite() {
            return;
        }
        let flat = normal[0].hypot(normal[1]) < 1e-3;
        let first = sub(corners[1], corners[0]);
        let along_first = flat || matches!(finish, Finish::Deck { .. });
        let across = unit(if along_first { first } else { [-normal[1], normal[0], 0.0] });
        let up = cross(normal, across);
        let surface = self.surfaces.len() as u32;
        let (object, seed) = (self.object, self.seed);
        self.surfaces.push(Surface { finish, rgb, origin: corners[0], normal, across, up, object, seed });
        match *corners {
            [a, b, c, d] => self.quad([a, b, c, d], surface),
            _ => (1..corners.len() - 1).for_each(|k| self.triangle(corners[0], corners[k], corners[k + 1], surface)),
        }
    }

    /// Adds an upright or level box in a local frame; the faces are side and top.
    pub(crate) fn block(
        &mut self,
        place: &Place,
        x: (f32, f32),
        y: (f32, f32),
        z: (f32, f32),
        looks: [(Finish, Rgb); 2],
    ) {
        let outline = place.rectangle(x.0, y.0, x.1, y.1);
        self.prism(&outline, z.0, z.1, looks[0]);
        self.lid(&outline, z.1, looks[1]);
    }

    /// Adds upright walls around an outline (counter-clockwise).
    pub(crate) fn prism(&mut self, outline: &[[f32; 2]], bottom: f32, top: f32, (finish, rgb): (Finish, Rgb)) {
        for (k, a) in outline.iter().enumerate() {
            let b = outline[(k + 1) % outline.len()];
            let wall = [[a[0], a[1], bottom], [b[0], b[1], bottom], [b[0], b[1], top], [a[0], a[1], top]];
            self.face(&wall, finish, rgb);
        }
    }

    /// Adds a level face over a convex outline (counter-clockwise).
    pub(crate) fn lid(&mut self, outline: &[[f32; 2]], z: f32, (finish, rgb): (Finish, Rgb)) {
        let corners: Vec<[f32; 3]> = outline.iter().map(|&[e, n]| [e, n, z]).collect();
        self.face(&corners, finish, rgb);
    }

    /// Adds a ball of leaves.
    pub(crate) fn crown(&mut self, crown: Crown) {
        self.chunk(crown.centre).crowns.push(crown);
    }

    /// The finished scene.
    pub(crate) fn build(self) -> Scene {
        let mut chunks: Vec<Chunk> = self.chunks.into_values().collect();
        for chunk in &mut chunks {
            bound(chunk);
        }
        Scene { surfaces: self.surfaces, chunks }
    }

    fn quad(&mut self, [a, b, c, d]: [[f32; 3]; 4], surface: u32) {
        let along = length(sub(b, a)).max(length(sub(c, d)));
        let side = length(sub(d, a)).max(length(sub(c, b)));
        if along.max(side) <= FACE_M_MAX {
            self.triangle(a, b, c, surface);
            self.triangle(a, c, d, surface);
        } else if along >= side {
            let (ab, dc) = (middle(a, b), middle(d, c));
            self.quad([a, ab, dc, d], surface);
            self.quad([ab, b, c, dc], surface);
        } else {
            let (ad, bc) = (middle(a, d), middle(b, c));
            self.quad([a, b, bc, ad], surface);
            self.quad([ad, bc, c, d], surface);
        }
    }

    fn triangle(&mut self, a: [f32; 3], b: [f32; 3], c: [f32; 3], surface: u32) {
        let chunk = self.chunk(a);
        let first = chunk.corners.len() as u32;
        chunk.corners.extend([a, b, c]);
        chunk.triangles.push([first, first + 1, first + 2, surface]);
    }

    fn chunk(&mut self, at: [f32; 3]) -> &mut Chunk {
        let key = ((at[0] / CHUNK_M).floor() as i32, (at[1] / CHUNK_M).floor() as i32);
        self.chunks.entry(key).or_default()
    }
}

fn bound(chunk: &mut Chunk) {
    let (mut low, mut high) = ([f32::MAX; 3], [f32::MIN; 3]);
    let mut grow = |at: [f32; 3], radius: f32| {
        for c in 0..3 {
            low[c] = low[c].min(at[c] - radius);
            high[c] = high[c].max(at[c] + radius);
        }
    };
    chunk.corners.iter().for_each(|&corner| grow(corner, 0.0));
    chunk.crowns.iter().for_each(|crown| grow(crown.centre, crown.radius));
    chunk.centre = middle(low, high);
    chunk.radius = length(sub(high, low)) / 2.0;
}

#[inline(always)]
pub(crate) fn sub(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[inline(always)]
pub(crate) fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn cross(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// `a + t b`.
#[inline(always)]
pub(crate) fn along(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    [a[0] + t * b[0], a[1] + t * b[1], a[2] + t * b[2]]
}

#[inline(always)]
pub(crate) fn scaled(a: [f32; 3], t: f32) -> [f32; 3] {
    [a[0] * t, a[1] * t, a[2] * t]
}

/// Part `t` of the way from `a` to `b`.
#[inline(always)]
pub(crate) fn between(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

#[inline(always)]
pub(crate) fn length(a: [f32; 3]) -> f32 {
    dot(a, a).sqrt()
}

pub(crate) fn unit(a: [f32; 3]) -> [f32; 3] {
    scaled(a, 1.0 / length(a))
}

fn middle(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    between(a, b, 0.5)
}
