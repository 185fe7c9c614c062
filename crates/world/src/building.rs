//! Buildings from parts: walls, and a roof of one of several forms. An L-shaped house is two wings that run into one
//! another; the depth buffer joins them.

use crate::mesh::{Builder, Finish};
use crate::place::Place;
use crate::style::Rgb;

/// The form of a roof.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Roof {
    Gable,
    Hip,
    Flat,
}

/// One rectangular wing about its own middle, the ridge along the frame's `right`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wing {
    pub(crate) place: Place,
    pub(crate) width: f32,
    pub(crate) depth: f32,
    /// Bottom of the walls, below ground on a slope.
    pub(crate) foot: f32,
    pub(crate) eave: f32,
    pub(crate) roof: Roof,
    /// Rise over run.
    pub(crate) pitch: f32,
    pub(crate) roof_look: (Finish, Rgb),
    pub(crate) wall_look: (Finish, Rgb),
}

const OVERHANG_M: f32 = 0.45;
const PARAPET_M: f32 = 0.5;

impl Wing {
    /// Height of the highest point, in the same datum as `eave`.
    pub(crate) fn top(&self) -> f32 {
        match self.roof {
            Roof::Flat => self.eave + PARAPET_M,
            Roof::Gable | Roof::Hip => self.eave + self.pitch * self.depth.min(self.width) / 2.0,
        }
    }

    /// The outline of the walls.
    pub(crate) fn outline(&self) -> Vec<[f32; 2]> {
        self.place.centred(0.0, 0.0, self.width, self.depth)
    }

    /// The outline of the roof, which is what is seen from above.
    pub(crate) fn roof_outline(&self) -> Vec<[f32; 2]> {
        let out = if self.roof == Roof::Flat { 0.0 } else { 2.0 * OVERHANG_M };
        self.place.centred(0.0, 0.0, self.width + out, self.depth + out)
    }

    /// Adds the wing's faces.
    pub(crate) fn add(&self, builder: &mut Builder) {
        match self.roof {
            Roof::Flat => self.flat(builder),
            Roof::Gable => self.gable(builder),
            Roof::Hip => self.hip(builder),
        }
    }

    fn corner(&self, x: f32, y: f32, z: f32) -> [f32; 3] {
        let [e, n] = self.place.point(x, y);
        [e, n, z]
    }

    fn flat(&self, builder: &mut Builder) {
        let (w, d) = (self.width / 2.0, self.depth / 2.0);
        builder.prism(&self.outline(), self.foot, self.eave + PARAPET_M, self.wall_look);
        let t = 0.35;
        builder.lid(&self.place.rectangle(t - w, t - d, w - t, d - t), self.eave, self.roof_look);
        let rim = (Finish::Plain, self.wall_look.1.map(|c| (c * 1.05).min(255.0)));
        for (x0, y0, x1, y1) in
            [(-w, -d, w, t - d), (-w, d - t, w, d), (-w, t - d, t - w, d - t), (w - t, t - d, w, d - t)]
        {
            builder.lid(&self.place.rectangle(x0, y0, x1, y1), self.eave + PARAPET_M, rim);
        }
        let inner = self.place.rectangle(t - w, t - d, w - t, d - t);
        let inward: Vec<[f32; 2]> = inner.into_iter().rev().collect();
        builder.prism(&inward, self.eave, self.eave + PARAPET_M, rim);
    }

    fn gable(&self, builder: &mut Builder) {
        let (w, d) = (self.width / 2.0, self.depth / 2.0);
        let ridge = self.top();
        builder.prism(&self.outline(), self.foot, self.eave, self.wall_look);
        let (wall, rgb) = self.wall_look;
        let gable = if matches!(wall, Finish::Windows { .. }) { Finish::Plain } else { wall };
        for s in [1.0, -1.0] {
            let end = [
                self.corner(s * w, -s * d, self.eave),
                self.corner(s * w, s * d, self.eave),
                self.corner(s * w, 0.0, ridge),
            ];
            builder.face(&end, gable, rgb);
        }
        let (x, y) = (w + OVERHANG_M, d + OVERHANG_M);
        let low = self.eave - OVERHANG_M * self.pitch;
        for s in [1.0, -1.0] {
            let slope = [
                self.corner(-s * x, -s * y, low),
                self.corner(s * x, -s * y, low),
                self.corner(s * x, 0.0, ridge),
                self.corner(-s * x, 0.0, ridge),
            ];
            builder.face(&slope, self.roof_look.0, self.roof_look.1);
        }
    }

    fn hip(&self, builder: &mut Builder) {
        let (w, d) = (self.width / 2.0, self.depth / 2.0);
        builder.prism(&self.outline(), self.foot, self.eave, self.wall_look);
        let (x, y) = (w + OVERHANG_M, d + OVERHANG_M);
        let low = self.eave - OVERHANG_M * self.pitch;
        let half_ridge = (w - d).max(0.0);
        let ridge = self.top();
        let (finish, rgb) = self.roof_look;
        for s in [1.0, -1.0] {
            let long = [
                self.corner(-s * x, -s * y, low),
                self.corner(s * x, -s * y, low),
                self.corner(s * half_ridge, 0.0, ridge),
                self.corner(-s * half_ridge, 0.0, ridge),
            ];
            if half_ridge > 0.05 {
                builder.face(&long, finish, rgb);
            } else {
                builder.face(&long[..3], finish, rgb);
            }
            builder.face(
                &[
                    self.corner(s * x, -s * y, low),
                    self.corner(s * x, s * y, low),
                    self.corner(s * half_ridge, 0.0, ridge),
                ],
                finish,
                rgb,
            );
        }
    }
}

/// Adds an upright cylinder with a shallow cone on top, in `sides` faces.
pub(crate) fn cylinder(builder: &mut Builder, at: [f32; 2], radius: f32, z: (f32, f32), rise: f32, rgb: Rgb) {
    let outline = crate::place::circle(at, radius, 28);
    builder.prism(&outline, z.0, z.1, (Finish::Paint, rgb));
    let tip = [at[0], at[1], z.1 + rise];
    for (k, a) in outline.iter().enumerate() {
        let b = outline[(k + 1) % outline.len()];
        builder.face(&[[a[0], a[1], z.1], [b[0], b[1], z.1], tip], Finish::Paint, rgb);
    }
}
