//! The colour of a point: what it is made of, the pattern on it, how the sun meets it, and the haze before it.

use crate::day::Day;
use crate::mesh::{Finish, Surface, along, between, dot, scaled, sub};
use crate::noise::{Noise, whole};
use crate::project::{Projection, RUN_PX};
use crate::raster::{Seen, Visible};
use crate::style::Rgb;
use crate::town::Town;

/// Everything needed to colour pixels.
pub(crate) struct Shader<'a, P: Projection> {
    pub(crate) town: &'a Town,
    pub(crate) day: &'a Day,
    pub(crate) view: &'a P,
    pub(crate) visible: &'a Visible,
    /// Metres of air count this many times; a satellite looks through haze too, but evenly.
    pub(crate) haze: f32,
    pub(crate) noise: &'static Noise,
}

/// The sight through one pixel.
#[derive(Clone, Copy)]
struct Sight {
    from: [f32; 3],
    direction: [f32; 3],
    length: f32,
}

impl<P: Projection> Shader<'_, P> {
    /// Colours some rows from row `first` on. Goes by small squares, whose pixels look at one spot of the town.
    pub(crate) fn rows(&self, first: usize, lines: &mut [Rgb]) {
        let width = self.visible.width;
        for left in (0..width).step_by(RUN_PX) {
            let count = RUN_PX.min(width - left);
            for (row, line) in lines.chunks_exact_mut(width).enumerate() {
                self.run(left, first + row, &mut line[left..left + count]);
            }
        }
    }

    /// Colours up to [`RUN_PX`] pixels: the ground among them at once, the rest one by one.
    fn run(&self, left: usize, y: usize, pixels: &mut [Rgb]) {
        let run = self.view.run(left, y);
        let mut triangles = [u32::MAX; RUN_PX];
        let mut ground = None;
        for (k, pixel) in pixels.iter_mut().enumerate() {
            match self.visible.at(y * self.visible.width + left + k) {
                Seen::Ground(triangle) => {
                    triangles[k] = triangle as u32;
                    ground = Some(triangle as u32);
                }
                seen => {
                    let from = along(run.from, run.from_step, k as f32);
                    let direction = along(run.direction, run.direction_step, k as f32);
                    *pixel = self.pixel(seen, left + k, y, &Sight { from, direction, length: run.length });
                }
            }
        }
        let Some(some) = ground else { return };
        let shown = triangles;
        // Pixels without ground go along with a neighbour's triangle, and their result is dropped.
        triangles.iter_mut().filter(|triangle| **triangle == u32::MAX).for_each(|triangle| *triangle = some);
        let colours = self.ground_run(&run, &triangles);
        for ((pixel, colour), triangle) in pixels.iter_mut().zip(colours).zip(shown) {
            if triangle != u32::MAX {
                *pixel = colour;
            }
        }
    }

    fn pixel(&self, seen: Seen, x: usize, y: usize, sight: &Sight) -> Rgb {
        match seen {
            Seen::Face(which, surface) => {
                let scene = if which == 0 { &self.town.scene } else { &self.day.scene };
                self.face(&scene.surfaces[surface], sight)
            }
            Seen::Ball(index) => self.crown(index, x, y, sight),
            Seen::Ground(_) | Seen::Sky => self.sky(sight),
        }
    }

    fn sky(&self, sight: &Sight) -> Rgb {
        let up = (sight.direction[2] / sight.length).clamp(0.0, 1.0).sqrt();
        between(self.day.light.haze, [104.0, 150.0, 206.0], up)
    }

    #[inline(never)]
    fn face(&self, surface: &Surface, sight: &Sight) -> Rgb {
        let (at, t) = sight.meet(surface.normal, dot(surface.normal, surface.origin));
        let footprint = self.footprint(t, sight, surface.normal);
        let offset = sub(at, surface.origin);
        let (s, v) = (dot(offset, surface.across), dot(offset, surface.up));
        let rgb = self.finish(surface, s, v, footprint);
        let facing = dot(surface.normal, self.day.sun);
        // Looked up a little in front of the face, which must not shade itself.
        let before = along(at, surface.normal, 0.5);
        let sunlight = if facing > 0.02 { self.day.shadow.sunlight(before, 0.2) } else { 0.0 };
        // A wall sees half the sky, and the lit ground.
        let open = 0.72 + 0.28 * surface.normal[2];
        let colour = self.lit(rgb, facing, sunlight, open, t * sight.length);
        match surface.finish {
            Finish::Paint | Finish::Glass => {
                let shine = 120.0 * sunlight * self.shine(surface.normal, sight);
                [colour[0] + shine, colour[1] + shine, colour[2] + shine]
            }
            _ => colour,
        }
    }

    /// The pattern of a face at (s, v) metres along its axes; `footprint` hides what is too small to see.
    #[inline(never)]
    fn finish(&self, surface: &Surface, s: f32, v: f32, footprint: f32) -> Rgb {
        let (x, y) = ((surface.seed & 511) as i32, (surface.seed >> 9 & 511) as i32);
        let noise = self.noise;
        let mottle = noise.mottle(whole(s * 7.0) + x, whole(v * 7.0) + y);
        let fine = |cell: f32| (1.0 - footprint * cell * 0.45).clamp(0.0, 1.0);
        let part = |value: f32| value - value.floor();
        let gain = match surface.finish {
            Finish::Tiles => {
                let row = (v / 0.36).floor();
                let tile = noise.grain((s * 3.2 + row * 0.5) as i32 + x, row as i32 + y);
                let shade = part(v / 0.36) - 0.5;
                1.0 + 0.12 * mottle + fine(5.0) * (0.14 * tile + 0.16 * shade)
            }
            Finish::Metal => {
                let rib = if part(s / 0.9) < 0.14 { -0.14 } else { 0.02 };
                let sheet = noise.grain((s / 5.4).floor() as i32 + x, (v / 9.0).floor() as i32 + y);
                1.0 + 0.07 * mottle + 0.05 * sheet + fine(3.6) * rib
            }
            Finish::Felt => {
                let grain = noise.grain((s * 8.0) as i32 + x, (v * 8.0) as i32 + y);
                let strip = if part(s / 4.0) < 0.05 { -0.07 } else { 0.0 };
                1.0 + 0.12 * mottle + fine(5.0) * 0.07 * grain + fine(3.0) * strip
            }
            Finish::Plain | Finish::Windows { .. } => 1.0 + 0.07 * mottle,
            Finish::Glass => 1.0 + fine(1.4) * if part(s / 1.0) < 0.06 || part(v / 1.65) < 0.05 { 0.5 } else { 0.0 },
            Finish::Paint => 1.0 + 0.05 * mottle,
            Finish::Deck { width_m } => {
                let from_middle = v - width_m / 2.0;
                let line = from_middle.abs() < 0.2
                    || ((from_middle.abs() - width_m / 4.0).abs() < 0.12 && part(s / 9.0) < 0.33);
                1.0 + 0.16 * mottle + if line { 0.9 } else { 0.0 }
            }
        };
        let wall = scaled(surface.rgb, gain);
        match surface.finish {
            Finish::Windows { storey_m, bay_m } => {
                self.windows(wall, [s / bay_m, (v - 1.0) / storey_m], (x, y), fine(1.2))
            }
            _ => wall,
        }
    }

    /// Windows in their bays: dark glass, each a little different, some with a blind.
    fn windows(&self, wall: Rgb, [bay, storey]: [f32; 2], (x, y): (i32, i32), sharp: f32) -> Rgb {
        let (column, row) = (bay.floor(), storey.floor());
        let (u, v) = (bay - column, storey - row);
        let own = self.noise.grain(column as i32 * 7 + x, row as i32 * 13 + y);
        let glass =
            if own > 0.35 { [150.0, 146.0, 138.0] } else { [58.0 + 30.0 * own, 66.0 + 30.0 * own, 76.0 + 30.0 * own] };
        let inside = storey > 0.0 && (0.24..0.76).contains(&u) && (0.3..0.78).contains(&v);
        let frame = inside && !((0.28..0.72).contains(&u) && (0.34..0.74).contains(&v));
        let share = if inside { sharp + 0.25 * (1.0 - sharp) } else { 0.25 * (1.0 - sharp) };
        let pane = if frame { [214.0; 3] } else { glass };
        between(wall, pane, share)
    }

    #[inline(never)]
    fn crown(&self, index: usize, x: usize, y: usize, sight: &Sight) -> Rgb {
        let ball = &self.visible.balls[index];
        let scene = if ball.scene == 0 { &self.town.scene } else { &self.day.scene };
        let crown = &scene.chunks[ball.chunk].crowns[ball.crown];
        let (dx, dy) = (x as f32 + 0.5 - ball.x, y as f32 + 0.5 - ball.y);
        let (cell_x, cell_y) = ball.cell(dx, dy);
        let leaf = self.noise.leaf(cell_x, cell_y);
        let fine = self.noise.grain(cell_x * 2, cell_y * 2);
        // The point on the ball: towards the viewer by the sphere, sideways by where the pixel lies on its disc.
        let (right, down) = self.view.screen_axes();
        let (px, py) = (dx / ball.radius_px, dy / ball.radius_px);
        let pz = (1.0 - px * px - py * py).max(0.0).sqrt();
        let normal = along(along(scaled(right, px), down, py), sight.direction, -pz / sight.length);
        let at = along(crown.centre, normal, crown.radius);
        let season = self.day.season.crown;
        let tone = 0.86 + 0.34 * leaf + 0.08 * fine + 0.16 * normal[2];
        let turned = |c: usize| crown.rgb[c] * tone * (1.0 + crown.seasonal * (season[c] - 1.0));
        let facing = 0.3 + 0.7 * dot(normal, self.day.sun) + 0.35 * leaf;
        let sunlight = self.day.shadow.sunlight(at, 0.5 * crown.radius + 0.4);
        let distance = 1.0 / ball.closeness().max(1e-6);
        self.lit([turned(0), turned(1), turned(2)], facing, 0.15 + 0.85 * sunlight, 0.8 + 0.2 * normal[2], distance)
    }

    /// Applies sun, sky and haze to an unlit colour.
    #[inline(always)]
    fn lit(&self, rgb: Rgb, facing: f32, sunlight: f32, open: f32, distance: f32) -> Rgb {
        let light = &self.day.light;
        let direct = light.sun * facing.max(0.0) * sunlight;
        let total = light.sky * open + direct;
        // Cameras answer to light about as its square root.
        let gain = total.sqrt();
        let warm = (direct / total.max(0.05)).min(1.0);
        let tint = between(light.shade_tint, light.sun_tint, warm);
        let mist = (distance * light.haze_per_m * self.haze).min(0.85);
        between([rgb[0] * gain * tint[0], rgb[1] * gain * tint[1], rgb[2] * gain * tint[2]], light.haze, mist)
    }

    fn shine(&self, normal: [f32; 3], sight: &Sight) -> f32 {
        let sun = self.day.sun;
        let mirrored = sub(scaled(normal, 2.0 * dot(normal, sun)), sun);
        let toward = -dot(mirrored, sight.direction) / sight.length;
        toward.max(0.0).powi(24)
    }

    /// Metres of the surface a pixel covers, between its short and its long side.
    #[inline(always)]
    fn footprint(&self, t: f32, sight: &Sight, normal: [f32; 3]) -> f32 {
        let slant = (-dot(sight.direction, normal) / sight.length).max(0.08);
        self.view.metres_per_px(t) / slant.sqrt()
    }
}

impl Sight {
    /// Where the sight meets the plane `normal . x = reach`, and its parameter.
    #[inline(always)]
    fn meet(&self, normal: [f32; 3], reach: f32) -> ([f32; 3], f32) {
        let down = dot(normal, self.direction);
        let t = if down.abs() > 1e-6 { (reach - dot(normal, self.from)) / down } else { 0.0 };
        (along(self.from, self.direction, t), t)
    }
}
