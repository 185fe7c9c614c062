//! A picture of brightness.

/// Is one picture of a pyramid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Level {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Brightness, row by row.
    pub luma: Vec<u8>,
}

impl Level {
    /// Says whether a place (pixels, (0, 0) the outer corner) lies in the picture, `margin` pixels from its edge.
    pub fn holds(&self, at: [f64; 2], margin: f64) -> bool {
        let inside = |place: f64, side: usize| place >= margin && place <= side as f64 - margin;
        inside(at[0], self.width) && inside(at[1], self.height)
    }

    /// Returns the brightness at a place between pixels; beyond the edge the picture goes on with its last row or column.
    #[inline]
    pub fn between(&self, at: [f64; 2]) -> f32 {
        let (x, y) = (at[0] - 0.5, at[1] - 0.5);
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = ((x - x0) as f32, (y - y0) as f32);
        let column = |offset: f64| (x0 + offset).clamp(0.0, self.width as f64 - 1.0) as usize;
        let row = |offset: f64| (y0 + offset).clamp(0.0, self.height as f64 - 1.0) as usize;
        let luma = |x: f64, y: f64| f32::from(self.luma[row(y) * self.width + column(x)]);
        let upper = luma(0.0, 0.0) * (1.0 - fx) + luma(1.0, 0.0) * fx;
        let lower = luma(0.0, 1.0) * (1.0 - fx) + luma(1.0, 1.0) * fx;
        upper * (1.0 - fy) + lower * fy
    }

    pub(crate) fn row(&self, row: usize) -> &[u8] {
        &self.luma[row * self.width..][..self.width]
    }
}
