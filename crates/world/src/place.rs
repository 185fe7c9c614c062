//! Where a thing stands and how it is turned: a point on the ground with a right-handed pair of axes. Everything in a
//! town is drawn in such a local frame and then placed.

/// A local frame on the ground: ENU metres, `right` and `front` are unit vectors, `front` is `right` turned left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) at: [f32; 2],
    pub(crate) right: [f32; 2],
}

impl Place {
    /// Turned counter-clockwise from east by `angle_rad`.
    pub(crate) fn turned(at: [f32; 2], angle_rad: f32) -> Place {
        Place { at, right: [angle_rad.cos(), angle_rad.sin()] }
    }

    /// The ENU point of local (x, y).
    pub(crate) fn point(&self, x: f32, y: f32) -> [f32; 2] {
        let [right_e, right_n] = self.right;
        [self.at[0] + x * right_e - y * right_n, self.at[1] + x * right_n + y * right_e]
    }

    /// The same frame moved to local (x, y) and turned further by `angle_rad`.
    pub(crate) fn moved(&self, x: f32, y: f32, angle_rad: f32) -> Place {
        let (sin, cos) = angle_rad.sin_cos();
        let [right_e, right_n] = self.right;
        Place { at: self.point(x, y), right: [right_e * cos - right_n * sin, right_e * sin + right_n * cos] }
    }

    /// The rectangle [x0, x1] x [y0, y1], counter-clockwise.
    pub(crate) fn rectangle(&self, x0: f32, y0: f32, x1: f32, y1: f32) -> Vec<[f32; 2]> {
        vec![self.point(x0, y0), self.point(x1, y0), self.point(x1, y1), self.point(x0, y1)]
    }

    /// A rectangle of the given size about local (x, y).
    pub(crate) fn centred(&self, x: f32, y: f32, width: f32, depth: f32) -> Vec<[f32; 2]> {
        self.rectangle(x - width / 2.0, y - depth / 2.0, x + width / 2.0, y + depth / 2.0)
    }

    /// The direction of `right`, counter-clockwise from east.
    pub(crate) fn angle_rad(&self) -> f32 {
        self.right[1].atan2(self.right[0])
    }
}

/// A regular polygon that stands for a circle.
pub(crate) fn circle(at: [f32; 2], radius: f32, sides: usize) -> Vec<[f32; 2]> {
    (0..sides)
        .map(|k| {
            let (sin, cos) = (std::f32::consts::TAU * k as f32 / sides as f32).sin_cos();
            [at[0] + radius * cos, at[1] + radius * sin]
        })
        .collect()
}

/// True inside a polygon (even-odd rule).
pub(crate) fn inside(polygon: &[[f32; 2]], [x, y]: [f32; 2]) -> bool {
    let mut odd = false;
    for (k, b) in polygon.iter().enumerate() {
        let a = polygon[(k + polygon.len() - 1) % polygon.len()];
        if (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0] {
            odd = !odd;
        }
    }
    odd
}
