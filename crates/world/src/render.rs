//! Pictures of a town: from a satellite and from a drone.
//!
//! [`Renderer`] keeps its buffers between pictures, which a live stream wants; the functions [`satellite`],
//! [`satellite_crop`] and [`drone`] are for single pictures.

use image::RgbImage;
use rayon::prelude::*;
use smgeo_geo::{Camera, LatLon, Pose, TileId};

use crate::day::Day;
use crate::dice::{Dice, mix};
use crate::mesh::{along, scaled};
use crate::noise::Noise;
use crate::project::{Overhead, Perspective, Projection};
use crate::raster::Visible;
use crate::shade::Shader;
use crate::town::Town;

/// Rows that are coloured together.
const BAND_ROWS: usize = 16;

/// How a drone's camera renders what it sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DroneLook {
    /// Brightness factor.
    pub exposure: f32,
    /// Contrast factor about the middle.
    pub contrast: f32,
    /// Standard deviation of the sensor's noise, grey levels.
    pub noise: f32,
    /// Darkening towards the corners, 0 to 1.
    pub vignette: f32,
    /// Motion during the exposure, pixels right and down.
    pub motion_px: [f32; 2],
    /// Gains of red, green and blue: white balance.
    pub balance: [f32; 3],
    /// Varies the noise from frame to frame.
    pub seed: u64,
}

impl Default for DroneLook {
    fn default() -> DroneLook {
        DroneLook {
            exposure: 1.0,
            contrast: 1.06,
            noise: 2.5,
            vignette: 0.12,
            motion_px: [0.0; 2],
            balance: [1.0; 3],
            seed: 0,
        }
    }
}

impl DroneLook {
    /// A camera and exposure by chance.
    pub fn from_seed(seed: u64) -> DroneLook {
        let mut dice = Dice::new(seed, "drone look");
        let motion = if dice.chance(0.3) { 2.5 } else { 0.0 };
        DroneLook {
            exposure: dice.range(0.85, 1.18),
            contrast: dice.range(0.92, 1.2),
            noise: dice.range(1.0, 6.0),
            vignette: dice.range(0.0, 0.3),
            motion_px: [motion * dice.range(-1.0, 1.0), motion * dice.range(-1.0, 1.0)],
            balance: [dice.range(0.95, 1.06), 1.0, dice.range(0.93, 1.07)],
            seed,
        }
    }
}

/// How a satellite renders what it sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SatelliteLook {
    /// Standard deviation of the optics' blur, metres on the ground.
    pub blur_m: f32,
    /// Standard deviation of the sensor's noise, grey levels.
    pub noise: f32,
    /// Brightness factor.
    pub exposure: f32,
    /// Contrast factor about the middle.
    pub contrast: f32,
    /// Gains of red, green and blue.
    pub balance: [f32; 3],
    /// Horizontal shift of what stands 1 m high, metres east and north: the satellite is not quite overhead.
    pub lean: [f32; 2],
    /// Varies the noise.
    pub seed: u64,
}

impl Default for SatelliteLook {
    fn default() -> SatelliteLook {
        SatelliteLook {
            blur_m: 0.28,
            noise: 2.0,
            exposure: 1.0,
            contrast: 1.0,
            balance: [1.0; 3],
            lean: [0.0; 2],
            seed: 0,
        }
    }
}

impl SatelliteLook {
    /// A satellite by chance, up to 8 degrees off nadir.
    pub fn from_seed(seed: u64) -> SatelliteLook {
        let mut dice = Dice::new(seed, "satellite look");
        let (sin, cos) = dice.range(0.0, std::f32::consts::TAU).sin_cos();
        let tilt = dice.range(0.0, 0.14);
        SatelliteLook {
            blur_m: dice.range(0.15, 0.5),
            noise: dice.range(0.8, 4.0),
            exposure: dice.range(0.88, 1.12),
            contrast: dice.range(0.85, 1.15),
            balance: [dice.range(0.94, 1.06), 1.0, dice.range(0.92, 1.06)],
            lean: [tilt * cos, tilt * sin],
            seed,
        }
    }
}

/// A map tile of `px` pixels a side (256 is the usual size), north up.
pub fn satellite(town: &Town, day: &Day, look: &SatelliteLook, tile: TileId, px: u32) -> RgbImage {
    Renderer::default().tile(town, day, look, tile, px)
}

/// A square of `px` pixels of `gsd_m` metres about an ENU point, north up.
pub fn satellite_crop(
    town: &Town,
    day: &Day,
    look: &SatelliteLook,
    centre_enu: [f64; 2],
    gsd_m: f64,
    px: u32,
) -> RgbImage {
    Renderer::default().crop(town, day, look, centre_enu, gsd_m, px)
}

/// What a drone's camera sees.
pub fn drone(town: &Town, day: &Day, camera: &Camera, pose: &Pose, look: &DroneLook) -> RgbImage {
    Renderer::default().drone(town, day, camera, pose, look)
}

/// A piece of ground as a square picture.
struct Area {
    /// ENU of the top-left corner at height 0.
    corner: [f32; 2],
    /// ENU steps of one column and one row.
    steps: [[f32; 2]; 2],
    px: u32,
    /// Varies the noise from one piece to the next.
    key: u64,
}

/// Renders pictures one after another into buffers it keeps.
#[derive(Default)]
pub struct Renderer {
    visible: Visible,
    pixels: Vec<[f32; 3]>,
    scratch: Vec<[f32; 3]>,
}

impl Renderer {
    /// What a drone's camera sees.
    pub fn drone(&mut self, town: &Town, day: &Day, camera: &Camera, pose: &Pose, look: &DroneLook) -> RgbImage {
        let view = Perspective::new(town, camera, pose);
        let (width, height) = view.size();
        if width == 0 || height == 0 {
            return RgbImage::new(camera.width_px, camera.height_px);
        }
        let developer = Developer::new(width, height, look);
        let mut bytes = vec![0u8; width * height * 3];
        if look.motion_px == [0.0; 2] {
            self.visible.find(&view, &town.relief, [&town.scene, &day.scene]);
            let shader = Shader { town, day, view: &view, visible: &self.visible, haze: 1.0, noise: Noise::get() };
            bytes.par_chunks_mut(width * 3 * BAND_ROWS).enumerate().for_each_init(
                || vec![[0.0; 3]; width * BAND_ROWS],
                |lines, (band, out)| {
                    let lines = &mut lines[..out.len() / 3];
                    shader.rows(band * BAND_ROWS, lines);
                    for (row, (line, out)) in lines.chunks_exact(width).zip(out.chunks_exact_mut(width * 3)).enumerate()
                    {
                        developer.row(band * BAND_ROWS + row, line, out);
                    }
                },
            );
        } else {
            self.colour(town, day, &view, 1.0);
            self.smear(width, height, look.motion_px);
            let lines = bytes.par_chunks_mut(width * 3).zip(self.pixels.par_chunks(width));
            lines.enumerate().for_each(|(y, (out, line))| developer.row(y, line, out));
        }
        RgbImage::from_raw(width as u32, height as u32, bytes).expect("three bytes a pixel were made")
    }

    /// A map tile of `px` pixels a side, north up.
    pub fn tile(&mut self, town: &Town, day: &Day, look: &SatelliteLook, tile: TileId, px: u32) -> RgbImage {
        let bounds = tile.bounds();
        let corner = |lat: f64, lon: f64| {
            let at = LatLon::new(lat, lon).unwrap_or(town.frame().origin().at);
            let enu = town.frame().enu_from(smgeo_geo::Geodetic { at, height: town.frame().origin().height });
            [enu.x as f32, enu.y as f32]
        };
        let north_west = corner(bounds.north_deg, bounds.west_deg);
        let north_east = corner(bounds.north_deg, bounds.east_deg);
        let south_west = corner(bounds.south_deg, bounds.west_deg);
        let step = |to: [f32; 2]| [(to[0] - north_west[0]) / px as f32, (to[1] - north_west[1]) / px as f32];
        let key = mix(u64::from(tile.x) << 32 | u64::from(tile.y));
        let area = Area { corner: north_west, steps: [step(north_east), step(south_west)], px, key };
        self.overhead(town, day, look, &area)
    }

    /// A square of `px` pixels of `gsd_m` metres about an ENU point, north up.
    pub fn crop(
        &mut self,
        town: &Town,
        day: &Day,
        look: &SatelliteLook,
        centre_enu: [f64; 2],
        gsd_m: f64,
        px: u32,
    ) -> RgbImage {
        let half = gsd_m * f64::from(px) / 2.0;
        let corner = [(centre_enu[0] - half) as f32, (centre_enu[1] + half) as f32];
        let gsd = gsd_m as f32;
        self.overhead(town, day, look, &Area { corner, steps: [[gsd, 0.0], [0.0, -gsd]], px, key: 0 })
    }

    /// Renders with a margin, for the blur must not see the edge.
    fn overhead(&mut self, town: &Town, day: &Day, look: &SatelliteLook, area: &Area) -> RgbImage {
        let Area { corner, steps, px, key } = *area;
        let gsd = steps[0][0].hypot(steps[0][1]);
        let sigma_px = look.blur_m / gsd;
        let margin = (3.0 * sigma_px).ceil().clamp(1.0, 12.0) as usize;
        let side = px as usize + 2 * margin;
        let shift = |c: usize| corner[c] - margin as f32 * (steps[0][c] + steps[1][c]);
        let view = Overhead::new((side, side), [shift(0), shift(1)], steps, look.lean);
        self.colour(town, day, &view, 0.0);
        self.blur(side, sigma_px.max(0.35));
        let mut dice = Dice::new(look.seed ^ key, "satellite noise");
        let start = [dice.seed() as i32 & 511, dice.seed() as i32 & 511];
        let noise = Noise::get();
        let mut image = RgbImage::new(px, px);
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let rgb = self.pixels[(y as usize + margin) * side + x as usize + margin];
            let grain = look.noise * 2.5 * noise.grain(x as i32 + start[0], y as i32 + start[1]);
            for c in 0..3 {
                let value = 118.0 + (rgb[c] * look.balance[c] * look.exposure - 118.0) * look.contrast + grain;
                pixel[c] = value.clamp(0.0, 255.0) as u8;
            }
        }
        image
    }

    fn colour<P: Projection>(&mut self, town: &Town, day: &Day, view: &P, haze: f32) {
        self.visible.find(view, &town.relief, [&town.scene, &day.scene]);
        let (width, height) = view.size();
        self.pixels.resize(width * height, [0.0; 3]);
        let shader = Shader { town, day, view, visible: &self.visible, haze, noise: Noise::get() };
        self.pixels
            .par_chunks_mut(width * BAND_ROWS)
            .enumerate()
            .for_each(|(band, lines)| shader.rows(band * BAND_ROWS, lines));
    }

    /// Averages along the motion.
    fn smear(&mut self, width: usize, height: usize, motion: [f32; 2]) {
        let taps = motion[0].hypot(motion[1]).ceil().clamp(2.0, 9.0) as i32;
        self.scratch.clone_from(&self.pixels);
        let source = &self.scratch;
        self.pixels.par_chunks_mut(width).enumerate().for_each(|(y, line)| {
            for (x, pixel) in line.iter_mut().enumerate() {
                let mut sum = [0.0; 3];
                for tap in 0..taps {
                    let t = tap as f32 / (taps - 1) as f32 - 0.5;
                    let i = (x as f32 + t * motion[0]).round().clamp(0.0, width as f32 - 1.0) as usize;
                    let j = (y as f32 + t * motion[1]).round().clamp(0.0, height as f32 - 1.0) as usize;
                    let rgb = source[j * width + i];
                    sum = along(sum, rgb, 1.0);
                }
                *pixel = scaled(sum, 1.0 / taps as f32);
            }
        });
    }

    /// Gaussian blur of a square picture, one axis after the other.
    fn blur(&mut self, side: usize, sigma_px: f32) {
        let reach = ((2.5 * sigma_px).ceil() as usize).clamp(1, 12);
        let mut kernel: Vec<f32> =
            (0..=2 * reach).map(|k| (-(k as f32 - reach as f32).powi(2) / (2.0 * sigma_px * sigma_px)).exp()).collect();
        let sum: f32 = kernel.iter().sum();
        kernel.iter_mut().for_each(|weight| *weight /= sum);
        for step in [1, side] {
            self.scratch.clone_from(&self.pixels);
            let source = &self.scratch;
            self.pixels.par_chunks_mut(side).enumerate().for_each(|(y, line)| {
                for (x, pixel) in line.iter_mut().enumerate() {
                    let start = if step == 1 { x } else { y };
                    let mut sum = [0.0; 3];
                    for (k, weight) in kernel.iter().enumerate() {
                        let place = (start + k).saturating_sub(reach).min(side - 1);
                        let rgb = source[if step == 1 { y * side + place } else { place * side + x }];
                        sum = along(sum, rgb, *weight);
                    }
                    *pixel = sum;
                }
            });
        }
    }
}

/// From light to bytes: exposure, vignette, contrast, white balance, noise.
struct Developer<'a> {
    look: &'a DroneLook,
    middle: [f32; 2],
    corner2: f32,
    start: [i32; 2],
    noise: &'static Noise,
}

impl<'a> Developer<'a> {
    fn new(width: usize, height: usize, look: &'a DroneLook) -> Developer<'a> {
        let mut dice = Dice::new(look.seed, "drone noise");
        let middle = [width as f32 / 2.0, height as f32 / 2.0];
        let start = [dice.seed() as i32 & 511, dice.seed() as i32 & 511];
        Developer { look, middle, corner2: middle[0].powi(2) + middle[1].powi(2), start, noise: Noise::get() }
    }

    fn row(&self, y: usize, line: &[[f32; 3]], out: &mut [u8]) {
        let look = self.look;
        let dy2 = (y as f32 - self.middle[1]).powi(2);
        let scale = look.vignette / self.corner2;
        let lift = 118.0 * (1.0 - look.contrast);
        for (x, (rgb, out)) in line.iter().zip(out.chunks_exact_mut(3)).enumerate() {
            let dx = x as f32 - self.middle[0];
            let gain = look.contrast * look.exposure * (1.0 - scale * (dx * dx + dy2));
            let grain = lift + look.noise * 2.5 * self.noise.grain(x as i32 + self.start[0], y as i32 + self.start[1]);
            out[0] = (rgb[0] * look.balance[0] * gain + grain) as u8;
            out[1] = (rgb[1] * look.balance[1] * gain + grain) as u8;
            out[2] = (rgb[2] * look.balance[2] * gain + grain) as u8;
        }
    }
}
