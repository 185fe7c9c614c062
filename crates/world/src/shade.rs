//! The colour of a point: what it is made of, the pattern on it, how the sun meets it, and the haze before it.

use crate::day::Day;
use crate::mesh::{Finish, Surface, dot, length};
use crate::noise::Noise;
use crate::project::Projection;
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

impl<P: Projection> Shader<'_, P> {
    /// The colour of a pixel.
    #[inline]
    pub(crate) fn pixel(&self, x: usize, y: usize) -> Rgb {
        let (from, direction) = self.view.sight(x, y);
        match self.visible.at(y * self.visible.width + x) {
            Seen::Sky => self.sky(direction),
            Seen::Ground(triangle) => {
                let plane = &self.town.relief.planes[triangle];
                let (at, t) = meet(plane.0, plane.1, from, direction);
                self.ground(at, t, direction, plane.0)
            }
            Seen::Face(which, surface) => {
                let scene = if which == 0 { &self.town.scene } else { &self.day.scene };
                self.face(&scene.surfaces[surface], from, direction)
            }
            Seen::Ball(index) => self.crown(index, x, y, direction),
        }
    }

    fn sky(&self, direction: [f32; 3]) -> Rgb {
        let up = (direction[2] / length(direction)).clamp(0.0, 1.0).sqrt();
        std::array::from_fn(|c| self.day.light.haze[c] * (1.0 - up) + [104.0, 150.0, 206.0][c] * up)
    }

    fn ground(&self, at: [f32; 3], t: f32, direction: [f32; 3], normal: [f32; 3]) -> Rgb {
        let footprint = self.footprint(t, direction, normal);
        let [e, n, _] = at;
        let near = &self.town.near;
        let inside = e.abs() < near.half_m - 1.0 && n.abs() < near.half_m - 1.0;
        let texture = if inside { near } else { &self.town.far };
        let [r, g, b, plant] = texture.sample(e, n, footprint);
        let share = plant * (1.0 / 255.0);
        let season = self.day.season.ground;
        let mut gain = 1.0;
        // The picture of the ground ends at its texels; nearer than that, grass and asphalt have grain of their own.
        let fade = 1.0 - footprint / (1.6 * texture.texel_m);
        if fade > 0.0 {
            let cell = 4.0 / texture.texel_m;
            let fine = self.noise.grain((e * cell) as i32, (n * cell) as i32);
            let blades = self.noise.leaf((e * cell * 0.7) as i32, (n * cell * 0.7) as i32);
            gain += fade * (0.05 * fine + 0.12 * share * blades);
        }
        let rgb: Rgb = std::array::from_fn(|c| [r, g, b][c] * gain * (1.0 + share * (season[c] - 1.0)));
        let lit = self.day.shadow.sunlight(at, 0.25);
        self.lit(rgb, dot(normal, self.day.sun), lit, 1.0, t * length(direction))
    }

    fn face(&self, surface: &Surface, from: [f32; 3], direction: [f32; 3]) -> Rgb {
        let reach = dot(surface.normal, surface.origin);
        let (at, t) = meet(surface.normal, reach, from, direction);
        let footprint = self.footprint(t, direction, surface.normal);
        let offset = [at[0] - surface.origin[0], at[1] - surface.origin[1], at[2] - surface.origin[2]];
        let (s, v) = (dot(offset, surface.across), dot(offset, surface.up));
        let rgb = self.finish(surface, s, v, footprint);
        let facing = dot(surface.normal, self.day.sun);
        // Looked up a little in front of the face, which must not shade itself.
        let before = std::array::from_fn(|c| at[c] + 0.5 * surface.normal[c]);
        let sunlight = if facing > 0.02 { self.day.shadow.sunlight(before, 0.2) } else { 0.0 };
        // A wall sees half the sky, and the lit ground.
        let open = 0.72 + 0.28 * surface.normal[2];
        let shine = match surface.finish {
            Finish::Paint | Finish::Glass => self.shine(surface.normal, direction) * sunlight,
            _ => 0.0,
        };
        let distance = t * length(direction);
        let colour = self.lit(rgb, facing, sunlight, open, distance);
        colour.map(|c| c + 120.0 * shine)
    }

    /// The pattern of a face at (s, v) metres along its axes; `footprint` hides what is too small to see.
    fn finish(&self, surface: &Surface, s: f32, v: f32, footprint: f32) -> Rgb {
        let (x, y) = ((surface.seed & 511) as i32, (surface.seed >> 9 & 511) as i32);
        let noise = self.noise;
        let mottle = noise.mottle((s * 7.0) as i32 + x, (v * 7.0) as i32 + y);
        let fine = |cell: f32| (1.0 - footprint * cell * 0.45).clamp(0.0, 1.0);
        let part = |value: f32| value - value.floor();
        let gain = match surface.finish {
            Finish::Tiles => {
                let row = (v / 0.36).floor();
                let tile = noise.grain((s * 3.2 + row * 0.5) as i32 + x, row as i32 + y);
                let shade = part(v / 0.36) - 0.5;
                1.0 + 0.12 * mottle + fine(3.0) * (0.14 * tile + 0.16 * shade)
            }
            Finish::Metal => {
                let rib = if part(s / 0.9) < 0.14 { -0.14 } else { 0.02 };
                let sheet = noise.grain((s / 5.4).floor() as i32 + x, (v / 9.0).floor() as i32 + y);
                1.0 + 0.07 * mottle + 0.05 * sheet + fine(1.6) * rib
            }
            Finish::Felt => {
                let grain = noise.grain((s * 8.0) as i32 + x, (v * 8.0) as i32 + y);
                let strip = if part(s / 4.0) < 0.05 { -0.07 } else { 0.0 };
                1.0 + 0.17 * mottle + fine(5.0) * 0.07 * grain + fine(2.0) * strip
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
        let wall = surface.rgb.map(|c| c * gain);
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
        std::array::from_fn(|c| wall[c] + (pane[c] - wall[c]) * share)
    }

    fn crown(&self, index: usize, x: usize, y: usize, direction: [f32; 3]) -> Rgb {
        let ball = &self.visible.balls[index];
        let scene = if ball.scene == 0 { &self.town.scene } else { &self.day.scene };
        let crown = &scene.chunks[ball.chunk].crowns[ball.crown];
        let (dx, dy) = (x as f32 + 0.5 - ball.x, y as f32 + 0.5 - ball.y);
        let (cell_x, cell_y) = ball.cell(dx, dy);
        let leaf = self.noise.leaf(cell_x, cell_y);
        let fine = self.noise.grain(cell_x * 2, cell_y * 2);
        // The point on the ball: towards the viewer by the sphere, sideways by the sight itself.
        let to_viewer = direction.map(|c| -c / length(direction));
        let (right, down) = self.view.screen_axes();
        let (px, py) = (dx / ball.radius_px, dy / ball.radius_px);
        let pz = (1.0 - px * px - py * py).max(0.0).sqrt();
        let normal: [f32; 3] = std::array::from_fn(|c| right[c] * px + down[c] * py + to_viewer[c] * pz);
        let at: [f32; 3] = std::array::from_fn(|c| crown.centre[c] + normal[c] * crown.radius);
        let season = self.day.season.crown;
        let tone = 0.86 + 0.34 * leaf + 0.08 * fine + 0.16 * normal[2];
        let rgb: Rgb = std::array::from_fn(|c| crown.rgb[c] * tone * (1.0 + crown.seasonal * (season[c] - 1.0)));
        let facing = 0.3 + 0.7 * dot(normal, self.day.sun) + 0.35 * leaf;
        let sunlight = self.day.shadow.sunlight(at, 0.5 * crown.radius + 0.4);
        let distance = 1.0 / ball.closeness().max(1e-6);
        self.lit(rgb, facing, 0.15 + 0.85 * sunlight, 0.8 + 0.2 * normal[2], distance)
    }

    /// Applies sun, sky and haze to an unlit colour.
    fn lit(&self, rgb: Rgb, facing: f32, sunlight: f32, open: f32, distance: f32) -> Rgb {
        let light = &self.day.light;
        let direct = light.sun * facing.max(0.0) * sunlight;
        let total = (light.sky * open + direct).min(1.99);
        let gain = light.curve[(total * 127.5) as usize];
        let warm = (direct / total.max(0.05)).min(1.0);
        let mist = (distance * light.haze_per_m * self.haze).min(0.85);
        std::array::from_fn(|c| {
            let tint = light.shade_tint[c] + (light.sun_tint[c] - light.shade_tint[c]) * warm;
            let colour = rgb[c] * gain * tint;
            colour + (light.haze[c] - colour) * mist
        })
    }

    fn shine(&self, normal: [f32; 3], direction: [f32; 3]) -> f32 {
        let sun = self.day.sun;
        let along = 2.0 * dot(normal, sun);
        let mirrored: [f32; 3] = std::array::from_fn(|c| normal[c] * along - sun[c]);
        let toward = -dot(mirrored, direction) / length(direction);
        toward.max(0.0).powi(24)
    }

    /// Metres of the surface a pixel covers, between its short and its long side.
    fn footprint(&self, t: f32, direction: [f32; 3], normal: [f32; 3]) -> f32 {
        let across = self.view.metres_per_px(t);
        let slant = (-dot(direction, normal) / length(direction)).max(0.08);
        across / slant.sqrt()
    }
}

/// Where a sight meets the plane `normal . x = reach`, and its parameter.
#[inline]
fn meet(normal: [f32; 3], reach: f32, from: [f32; 3], direction: [f32; 3]) -> ([f32; 3], f32) {
    let down = dot(normal, direction);
    let t = if down.abs() > 1e-6 { (reach - dot(normal, from)) / down } else { 0.0 };
    (std::array::from_fn(|c| from[c] + t * direction[c]), t)
}
