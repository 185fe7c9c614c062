//! Colouring a run of ground pixels at once. Most of a picture is ground, so this is where a frame's time goes: the
//! arithmetic runs over arrays, which the compiler turns into vector instructions, and only the look-ups go one by one.

use crate::mesh::dot;
use crate::noise::whole;
use crate::project::{Projection, RUN_PX, Run};
use crate::shade::Shader;
use crate::style::Rgb;

type Lanes = [f32; RUN_PX];

/// Where the sights of a run meet the ground.
pub(crate) struct Meets {
    pub(crate) east: Lanes,
    pub(crate) north: Lanes,
    pub(crate) up: Lanes,
    /// How squarely the sun meets the ground.
    facing: Lanes,
    distance: Lanes,
    footprint: Lanes,
}

impl<P: Projection> Shader<'_, P> {
    /// Colours the pixels of a run that show the ground; `triangles` names the ground triangle of each.
    #[inline(never)]
    pub(crate) fn ground_run(&self, run: &Run, triangles: &[u32; RUN_PX]) -> [Rgb; RUN_PX] {
        let meets = self.meet_ground(run, triangles);
        let near = &self.town.near;
        let limit = near.half_m - 1.0;
        let all_near = meets.east.iter().chain(&meets.north).all(|x| x.abs() < limit);
        let texture = if all_near { near } else { &self.town.far };
        // One copy of the texture for the whole run: its pixels lie at nearly one distance.
        let footprint = meets.footprint[RUN_PX / 2];
        let [mut red, mut green, mut blue, mut plant] = texture.sample_run(&meets.east, &meets.north, footprint);
        let season = self.day.season.ground;
        let fade = 1.0 - footprint / (1.6 * texture.texel_m);
        let mut gain = [1.0; RUN_PX];
        if fade > 0.0 {
            self.near_grain(&meets, 4.0 / texture.texel_m, fade, &plant, &mut gain);
        }
        for k in 0..RUN_PX {
            plant[k] *= 1.0 / 255.0;
            red[k] *= gain[k] * (1.0 + plant[k] * (season[0] - 1.0));
            green[k] *= gain[k] * (1.0 + plant[k] * (season[1] - 1.0));
            blue[k] *= gain[k] * (1.0 + plant[k] * (season[2] - 1.0));
        }
        let sunlight = self.day.shadow.sunlight_run(&meets.east, &meets.north, &meets.up, 0.25);
        self.light_run(&meets, &sunlight, [red, green, blue])
    }

    #[inline(always)]
    fn meet_ground(&self, run: &Run, triangles: &[u32; RUN_PX]) -> Meets {
        let (mut a, mut b, mut c, mut reach) = ([0.0; RUN_PX], [0.0; RUN_PX], [0.0; RUN_PX], [0.0; RUN_PX]);
        for k in 0..RUN_PX {
            let ([x, y, z], d) = self.town.relief.planes[triangles[k] as usize];
            (a[k], b[k], c[k], reach[k]) = (x, y, z, d);
        }
        let sun = self.day.sun;
        let zero = [0.0; RUN_PX];
        let mut facing = zero;
        for k in 0..RUN_PX {
            facing[k] = dot(self.town.relief.soft_normals[triangles[k] as usize / 2], sun);
        }
        let mut meets = Meets { east: zero, north: zero, up: zero, facing, distance: zero, footprint: zero };
        let per_t = self.view.metres_per_px(1.0);
        let fixed = self.view.metres_per_px(0.0);
        let (per_t, inverse) = (per_t - fixed, 1.0 / run.length);
        for k in 0..RUN_PX {
            let step = k as f32;
            let (x0, y0, z0) = (
                run.from[0] + step * run.from_step[0],
                run.from[1] + step * run.from_step[1],
                run.from[2] + step * run.from_step[2],
            );
            let (dx, dy, dz) = (
                run.direction[0] + step * run.direction_step[0],
                run.direction[1] + step * run.direction_step[1],
                run.direction[2] + step * run.direction_step[2],
            );
            let down = (a[k] * dx + b[k] * dy + c[k] * dz).min(-1e-6);
            let t = (reach[k] - a[k] * x0 - b[k] * y0 - c[k] * z0) / down;
            meets.east[k] = x0 + t * dx;
            meets.north[k] = y0 + t * dy;
            meets.up[k] = z0 + t * dz;
            meets.distance[k] = t * run.length;
            meets.footprint[k] = (fixed + per_t * t) / (-down * inverse).max(0.08).sqrt();
        }
        meets
    }

    /// The picture of the ground ends at its texels; nearer than that, grass and asphalt have grain of their own.
    fn near_grain(&self, meets: &Meets, cell: f32, fade: f32, plant: &Lanes, gain: &mut Lanes) {
        let leafy = 0.12 / 255.0;
        for k in 0..RUN_PX {
            let (x, y) = (meets.east[k] * cell, meets.north[k] * cell);
            let fine = self.noise.grain(whole(x), whole(y));
            let blades = self.noise.leaf(whole(x * 0.7), whole(y * 0.7));
            gain[k] = 1.0 + fade * (0.05 * fine + leafy * plant[k] * blades);
        }
    }

    #[inline(always)]
    fn light_run(&self, meets: &Meets, sunlight: &Lanes, [red, green, blue]: [Lanes; 3]) -> [Rgb; RUN_PX] {
        let light = &self.day.light;
        let (shade, sun) = (light.shade_tint, light.sun_tint);
        let haze_per_m = light.haze_per_m * self.haze;
        let mut out = [[0.0; 3]; RUN_PX];
        for k in 0..RUN_PX {
            let direct = light.sun * meets.facing[k].max(0.0) * sunlight[k];
            let total = light.sky + direct;
            let gain = total.sqrt();
            let warm = direct / total;
            let mist = (meets.distance[k] * haze_per_m).min(0.85);
            let (keep, add) = (gain * (1.0 - mist), mist);
            out[k] = [
                red[k] * keep * (shade[0] + (sun[0] - shade[0]) * warm) + light.haze[0] * add,
                green[k] * keep * (shade[1] + (sun[1] - shade[1]) * warm) + light.haze[1] * add,
                blue[k] * keep * (shade[2] + (sun[2] - shade[2]) * warm) + light.haze[2] * add,
            ];
        }
        out
    }
}
