//! Heights carry their datum in the type, so that a height above the sea never meets one above the ellipsoid unnoticed.

use std::fmt;
use std::marker::PhantomData;

use crate::{EarthError, LatLon, geoid};

/// Mean sea level: the EGM96 geoid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Msl {}

/// The WGS84 ellipsoid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ellipsoid {}

/// A surface from which heights are counted.
pub trait Datum: Copy + private::Sealed {
    /// Short name, for messages.
    const NAME: &'static str;
}

impl Datum for Msl {
    const NAME: &'static str = "EGM96";
}

impl Datum for Ellipsoid {
    const NAME: &'static str = "WGS84";
}

mod private {
    /// The datums are those of this module.
    pub trait Sealed {}
    impl Sealed for super::Msl {}
    impl Sealed for super::Ellipsoid {}
}

/// A height in metres above a datum.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Altitude<D: Datum> {
    m: f64,
    datum: PhantomData<D>,
}

impl<D: Datum> Altitude<D> {
    /// Takes a height that is known to be a number. A NaN is carried, and refused where a position is made of it.
    pub fn from_m(m: f64) -> Self {
        Altitude { m, datum: PhantomData }
    }

    /// Takes a height from outside: it must be finite.
    pub fn new(m: f64) -> Result<Self, EarthError> {
        if m.is_finite() { Ok(Self::from_m(m)) } else { Err(EarthError::NotFinite("altitude")) }
    }

    /// Metres above the datum.
    pub fn m(self) -> f64 {
        self.m
    }

    /// The same datum, so many metres higher.
    pub fn raised_m(self, metres: f64) -> Self {
        Self::from_m(self.m + metres)
    }

    /// How many metres this is above another height of the same datum.
    pub fn above_m(self, other: Self) -> f64 {
        self.m - other.m
    }
}

impl<D: Datum> fmt::Display for Altitude<D> {
    /// Such as `120.5 m EGM96`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} m {}", self.m, D::NAME)
    }
}

impl Altitude<Msl> {
    /// The height above the ellipsoid: adds the undulation of EGM96.
    pub fn to_ellipsoid(self, at: LatLon) -> Altitude<Ellipsoid> {
        Altitude::from_m(self.m + geoid::undulation_m(at))
    }
}

impl Altitude<Ellipsoid> {
    /// The height above mean sea level: takes off the undulation of EGM96.
    pub fn to_msl(self, at: LatLon) -> Altitude<Msl> {
        Altitude::from_m(self.m - geoid::undulation_m(at))
    }
}
