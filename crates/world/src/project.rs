//! How points of the town come to a picture: through a lens, or straight down as a satellite sees. Both say the same few
//! things, so one renderer serves both and the two pictures cannot disagree about the town.

use nalgebra::{Matrix2, Vector2};
use smgeo_geo::{Camera, Pixel, Pose};

use crate::mesh::{between, dot, length, scaled, sub, unit};
use crate::town::Town;

/// Node spacing of the table of rays, pixels; between nodes the lens is linear to a hundredth of a pixel.
pub(crate) const RUN_PX: usize = 16;
const NEAR_M: f32 = 0.3;

/// A projection of the town onto a picture.
pub(crate) trait Projection: Sync {
    /// Width and height, pixels.
    fn size(&self) -> (usize, usize);
    /// Column, row, and a closeness that grows towards the viewer and is linear across a plane; `None` behind the viewer.
    fn project(&self, point: [f32; 3]) -> Option<[f32; 3]>;
    /// False if a ball certainly lies outside the picture.
    fn sees(&self, centre: [f32; 3], radius: f32) -> bool;
    /// The closeness of a point `metres` nearer than one of closeness `w`.
    fn nearer(&self, w: f32, metres: f32) -> f32;
    /// Pixels per metre at closeness `w`.
    fn px_per_m(&self, w: f32) -> f32;
    /// Metres a pixel covers across the sight at its parameter `t`.
    fn metres_per_px(&self, t: f32) -> f32;
    /// The directions in which columns and rows grow, ENU, unit length.
    fn screen_axes(&self) -> ([f32; 3], [f32; 3]);
    /// The sights through the middles of [`RUN_PX`] pixels of a row, from column `x` (a multiple of it).
    fn run(&self, x: usize, y: usize) -> Run;
}

/// Sights of neighbouring pixels: start and direction change evenly from one to the next.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Where the first sight starts.
    pub(crate) from: [f32; 3],
    pub(crate) from_step: [f32; 3],
    /// Direction of the first sight, not of unit length.
    pub(crate) direction: [f32; 3],
    pub(crate) direction_step: [f32; 3],
    /// Length of the direction in the middle of the run.
    pub(crate) length: f32,
}

/// A camera with a lens at a place in the town.
pub(crate) struct Perspective {
    width: usize,
    height: usize,
    eye: [f32; 3],
    /// Camera axes (right, down, forward) in ENU.
    axes: [[f32; 3]; 3],
    focal: [f32; 2],
    centre: [f32; 2],
    distortion: [f32; 5],
    /// Smallest and largest slope in x and y inside the picture.
    slopes: [[f32; 2]; 2],
    nodes_across: usize,
    nodes: Vec<[f32; 3]>,
}

impl Perspective {
    pub(crate) fn new(town: &Town, camera: &Camera, pose: &Pose) -> Perspective {
        let seen = pose.view(town.frame());
        let eye = seen.eye_enu_m;
        let axes: [[f32; 3]; 3] =
            std::array::from_fn(|axis| std::array::from_fn(|c| seen.enu_from_camera[(c, axis)] as f32));
        let (width, height) = (camera.width_px as usize, camera.height_px as usize);
        let (nodes_across, nodes_down) = (width.div_ceil(RUN_PX) + 1, height.div_ceil(RUN_PX) + 1);
        let mut slopes = [[f32::MAX, f32::MIN]; 2];
        let mut nodes = Vec::with_capacity(nodes_across * nodes_down);
        for j in 0..nodes_down {
            for i in 0..nodes_across {
                let pixel = Pixel::new((i * RUN_PX) as f64 + 0.5, (j * RUN_PX) as f64 + 0.5);
                let ray = camera.unproject(pixel);
                let slope = [(ray.x / ray.z) as f32, (ray.y / ray.z) as f32];
                for (bounds, value) in slopes.iter_mut().zip(slope) {
                    *bounds = [bounds[0].min(value), bounds[1].max(value)];
                }
                nodes.push(std::array::from_fn(|c| axes[0][c] * slope[0] + axes[1][c] * slope[1] + axes[2][c]));
            }
        }
        Perspective {
            width,
            height,
            eye: [eye.x as f32, eye.y as f32, eye.z as f32],
            axes,
            focal: [camera.fx_px as f32, camera.fy_px as f32],
            centre: [camera.cx_px as f32, camera.cy_px as f32],
            distortion: camera.distortion.map(|k| k as f32),
            slopes,
            nodes_across,
            nodes,
        }
    }

    /// Brown-Conrady distortion as OpenCV has it; far outside the picture the radius is held, for the polynomial folds.
    fn distorted(&self, x: f32, y: f32) -> [f32; 2] {
        let [k1, k2, p1, p2, k3] = self.distortion;
        let reach = self.slopes.iter().flatten().fold(0.0f32, |most, slope| most.max(slope.abs()));
        let r2 = (x * x + y * y).min(2.5 * reach * reach);
        let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
        let tangential = if r2 < 2.5 * reach * reach { 1.0 } else { 0.0 };
        [
            x * radial + tangential * (2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)),
            y * radial + tangential * (p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y),
        ]
    }
}

impl Projection for Perspective {
    fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    #[inline]
    fn project(&self, point: [f32; 3]) -> Option<[f32; 3]> {
        let from_eye = sub(point, self.eye);
        let z = dot(self.axes[2], from_eye);
        if z < NEAR_M {
            return None;
        }
        let w = 1.0 / z;
        let [x, y] = self.distorted(dot(self.axes[0], from_eye) * w, dot(self.axes[1], from_eye) * w);
        Some([self.focal[0] * x + self.centre[0], self.focal[1] * y + self.centre[1], w])
    }

    fn sees(&self, centre: [f32; 3], radius: f32) -> bool {
        let from_eye = sub(centre, self.eye);
        let z = dot(self.axes[2], from_eye);
        if z + radius < NEAR_M {
            return false;
        }
        (0..2).all(|axis| {
            let [low, high] = self.slopes[axis];
            let x = dot(self.axes[axis], from_eye);
            x - high * z < radius * (1.0 + high * high).sqrt() && low * z - x < radius * (1.0 + low * low).sqrt()
        })
    }

    #[inline]
    fn nearer(&self, w: f32, metres: f32) -> f32 {
        w / (1.0 - metres * w).max(0.05)
    }

    #[inline]
    fn px_per_m(&self, w: f32) -> f32 {
        self.focal[0] * w
    }

    #[inline]
    fn metres_per_px(&self, t: f32) -> f32 {
        t / self.focal[0]
    }

    fn screen_axes(&self) -> ([f32; 3], [f32; 3]) {
        (self.axes[0], self.axes[1])
    }

    #[inline]
    fn run(&self, x: usize, y: usize) -> Run {
        let (i, j) = (x / RUN_PX, y / RUN_PX);
        let down = (y % RUN_PX) as f32 / RUN_PX as f32;
        let at = j * self.nodes_across + i;
        let below = at + self.nodes_across;
        let left = between(self.nodes[at], self.nodes[below], down);
        let right = between(self.nodes[at + 1], self.nodes[below + 1], down);
        Run {
            from: self.eye,
            from_step: [0.0; 3],
            direction: left,
            direction_step: scaled(sub(right, left), 1.0 / RUN_PX as f32),
            length: length(between(left, right, 0.5)),
        }
    }
}

/// A view straight down (or nearly) with parallel rays.
pub(crate) struct Overhead {
    width: usize,
    height: usize,
    /// Pixels from ENU at height 0.
    px_from_enu: Matrix2<f32>,
    enu_from_px: Matrix2<f32>,
    corner: Vector2<f32>,
    /// How far a point at height 1 m appears from its foot, metres east and north.
    lean: [f32; 2],
    px_per_m: f32,
}

impl Overhead {
    /// The picture whose top-left corner is at `corner_enu`, with one pixel column and row being these ENU steps.
    pub(crate) fn new(size: (usize, usize), corner_enu: [f32; 2], steps: [[f32; 2]; 2], lean: [f32; 2]) -> Overhead {
        let enu_from_px = Matrix2::new(steps[0][0], steps[1][0], steps[0][1], steps[1][1]);
        let px_from_enu = enu_from_px.try_inverse().unwrap_or_else(Matrix2::identity);
        let px_per_m = px_from_enu.determinant().abs().sqrt();
        let corner = Vector2::new(corner_enu[0], corner_enu[1]);
        Overhead { width: size.0, height: size.1, px_from_enu, enu_from_px, corner, lean, px_per_m }
    }
}

/// Height from which an overhead sight starts, above anything in a town, metres.
const OVERHEAD_M: f32 = 1000.0;

impl Projection for Overhead {
    fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    #[inline]
    fn project(&self, [e, n, z]: [f32; 3]) -> Option<[f32; 3]> {
        let on_ground = Vector2::new(e + self.lean[0] * z, n + self.lean[1] * z);
        let px = self.px_from_enu * (on_ground - self.corner);
        Some([px.x, px.y, z + OVERHEAD_M])
    }

    fn sees(&self, centre: [f32; 3], radius: f32) -> bool {
        let Some([x, y, _]) = self.project(centre) else { return false };
        let reach = radius * self.px_per_m * 1.5;
        x > -reach && y > -reach && x < self.width as f32 + reach && y < self.height as f32 + reach
    }

    #[inline]
    fn nearer(&self, w: f32, metres: f32) -> f32 {
        w + metres
    }

    #[inline]
    fn px_per_m(&self, _: f32) -> f32 {
        self.px_per_m
    }

    #[inline]
    fn metres_per_px(&self, _: f32) -> f32 {
        1.0 / self.px_per_m
    }

    fn screen_axes(&self) -> ([f32; 3], [f32; 3]) {
        let column = |c: usize| unit([self.enu_from_px[(0, c)], self.enu_from_px[(1, c)], 0.0]);
        (column(0), column(1))
    }

    #[inline]
    fn run(&self, x: usize, y: usize) -> Run {
        let ground = self.corner + self.enu_from_px * Vector2::new(x as f32 + 0.5, y as f32 + 0.5);
        let direction = [self.lean[0], self.lean[1], -1.0];
        Run {
            from: [ground.x - self.lean[0] * OVERHEAD_M, ground.y - self.lean[1] * OVERHEAD_M, OVERHEAD_M],
            from_step: [self.enu_from_px[(0, 0)], self.enu_from_px[(1, 0)], 0.0],
            direction,
            direction_step: [0.0; 3],
            length: length(direction),
        }
    }
}
