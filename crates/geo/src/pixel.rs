//! A point of an image, typed by the image: a click in the frame and a cell of the map are both pixels and must not
//! add.
//!
//! Pixels are continuous: (0, 0) is the outer corner of the top-left pixel and (0.5, 0.5) its centre; x right, y down.

use std::marker::PhantomData;

/// The drone's camera image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {}

/// The crop that goes into the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {}

/// The mosaic of map tiles that is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {}

/// A point of the image `Space`, in pixels.
pub struct Pixel<Space> {
    /// Rightwards from the left edge.
    pub x: f64,
    /// Downwards from the top edge.
    pub y: f64,
    space: PhantomData<fn() -> Space>,
}

impl<Space> Pixel<Space> {
    /// The point (x, y).
    pub const fn new(x: f64, y: f64) -> Self {
        Pixel { x, y, space: PhantomData }
    }

    /// Whether both parts are numbers.
    pub fn is_finite(self) -> bool {
        self.x.is_finite() && self.y.is_finite()
    }

    /// Whether the point lies in an image of this size, its edges included.
    pub fn is_inside(self, width_px: u32, height_px: u32) -> bool {
        (0.0..=f64::from(width_px)).contains(&self.x) && (0.0..=f64::from(height_px)).contains(&self.y)
    }

    /// The point moved by an offset in pixels.
    pub fn moved(self, dx_px: f64, dy_px: f64) -> Self {
        Self::new(self.x + dx_px, self.y + dy_px)
    }

    /// The distance to another point of the same image, in pixels.
    pub fn distance_px(self, other: Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

// Written out because a derive would ask the same of `Space`.
impl<Space> Clone for Pixel<Space> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Space> Copy for Pixel<Space> {}

impl<Space> PartialEq for Pixel<Space> {
    fn eq(&self, other: &Self) -> bool {
        self.x == other.x && self.y == other.y
    }
}

impl<Space> std::fmt::Debug for Pixel<Space> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}, {}) px", self.x, self.y)
    }
}
