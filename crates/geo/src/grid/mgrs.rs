//! The Military Grid Reference System: a square of the UTM or UPS grid, written as text.
//!
//! A reference names the square's south-west corner: digits are cut off, never rounded.

use std::fmt;
use std::str::FromStr;

use super::utm::zone_of;
use super::{Hemisphere, Ups, Utm};
use crate::{EarthError, LatLon};

const SQUARE_M: f64 = 100_000.0;
/// Digits of easting and of northing in a one-metre reference.
const DIGITS_MAX: u8 = 5;
/// Takes a coordinate that is a whole metre but for rounding to that metre. A tenth of a micrometre is nothing on the
/// ground.
const ROUNDING_M: f64 = 1e-7;

const BANDS: &[u8] = b"CDEFGHJKLMNPQRSTUVWX";
/// Columns of the UTM squares repeat every three zones, rows every 2000 km.
const UTM_COLUMNS: [&[u8]; 3] = [b"ABCDEFGH", b"JKLMNPQR", b"STUVWXYZ"];
const UTM_ROWS: &[u8] = b"ABCDEFGHJKLMNPQRSTUV";

/// A square of one to 100 000 metres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mgrs {
    /// 1 to 60, or 0 at the poles.
    zone: u8,
    /// Band, column and row, in ASCII.
    letters: [u8; 3],
    /// Within the 100 km square, in units of the square's side.
    easting: u32,
    northing: u32,
    /// Digits of each, 0 to 5.
    digits: u8,
}

/// The lettering of one half of a polar grid: A and B in the south, Y and Z in the north.
struct PolarHalf {
    band: u8,
    columns: &'static [u8],
    column_first: u32,
    rows: &'static [u8],
    row_first: u32,
}

const POLAR_HALVES: [PolarHalf; 4] = [
    PolarHalf { band: b'A', columns: b"JKLPQRSTUXYZ", column_first: 8, rows: POLAR_ROWS_SOUTH, row_first: 8 },
    PolarHalf { band: b'B', columns: b"ABCFGHJKLPQR", column_first: 20, rows: POLAR_ROWS_SOUTH, row_first: 8 },
    PolarHalf { band: b'Y', columns: b"RSTUXYZ", column_first: 13, rows: POLAR_ROWS_NORTH, row_first: 13 },
    PolarHalf { band: b'Z', columns: b"ABCFGHJ", column_first: 20, rows: POLAR_ROWS_NORTH, row_first: 13 },
];
const POLAR_ROWS_SOUTH: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
const POLAR_ROWS_NORTH: &[u8] = b"ABCDEFGHJKLMNP";

impl Mgrs {
    /// The one-metre square that holds a place. At exactly 84 N this is UTM's band X, as GEOTRANS has it.
    pub fn of(at: LatLon) -> Result<Mgrs, EarthError> {
        if !(-80.0..=84.0).contains(&at.lat_deg()) {
            return Mgrs::of_polar(Ups::of(at)?, at);
        }
        let utm = Utm::in_zone(at, zone_of(at))?;
        let (column_km100, easting) = split(utm.easting_m);
        // A hair south of the equator must not round into the north.
        let (row_km100, northing) = match utm.hemisphere {
            Hemisphere::North => split(utm.northing_m),
            Hemisphere::South => split(utm.northing_m.min(9_999_999.5)),
        };
        let letter = column_km100
            .checked_sub(1)
            .and_then(|index| columns(utm.zone).get(index as usize))
            .ok_or_else(|| EarthError::OutsideGrid(at.to_string()))?;
        let row = UTM_ROWS[((row_km100 + row_shift(utm.zone)) % 20) as usize];
        Ok(Mgrs { zone: utm.zone, letters: [band_of(at), *letter, row], easting, northing, digits: DIGITS_MAX })
    }

    fn of_polar(ups: Ups, at: LatLon) -> Result<Mgrs, EarthError> {
        let (column_km100, easting) = split(ups.easting_m);
        let (row_km100, northing) = split(ups.northing_m);
        let is_east = column_km100 >= 20;
        let half = &POLAR_HALVES[usize::from(ups.pole == Hemisphere::North) * 2 + usize::from(is_east)];
        let letter = |letters: &[u8], first: u32, km100: u32| {
            km100
                .checked_sub(first)
                .and_then(|index| letters.get(index as usize).copied())
                .ok_or_else(|| EarthError::OutsideGrid(at.to_string()))
        };
        let column = letter(half.columns, half.column_first, column_km100)?;
        let row = letter(half.rows, half.row_first, row_km100)?;
        Ok(Mgrs { zone: 0, letters: [half.band, column, row], easting, northing, digits: DIGITS_MAX })
    }

    /// The larger square of so many digits each way that holds this one: 5 is a metre, 4 ten metres, 0 100 km.
    pub fn truncated(self, digits: u8) -> Mgrs {
        let kept = digits.min(self.digits);
        let factor = 10_u32.pow(u32::from(self.digits - kept));
        Mgrs { easting: self.easting / factor, northing: self.northing / factor, digits: kept, ..self }
    }

    /// The side of the square.
    pub fn side_m(self) -> f64 {
        10_f64.powi(i32::from(DIGITS_MAX - self.digits))
    }

    /// The south-west corner.
    pub fn corner(self) -> Result<LatLon, EarthError> {
        self.place(0.0)
    }

    /// The middle of the square: the better guess of what was meant.
    pub fn centre(self) -> Result<LatLon, EarthError> {
        self.place(0.5)
    }

    /// The place so far into the square, east and north, as a part of its side.
    fn place(self, part: f64) -> Result<LatLon, EarthError> {
        let within_m = |count: u32| (f64::from(count) + part) * self.side_m();
        let [band, column, row] = self.letters;
        let refusal = || EarthError::Mgrs(self.to_string());
        if self.zone == 0 {
            let half = POLAR_HALVES.iter().find(|half| half.band == band).ok_or_else(refusal)?;
            let metres = |letters: &[u8], first: u32, letter: u8| {
                position(letters, letter).map(|index| f64::from(first + index) * SQUARE_M).ok_or_else(refusal)
            };
            let ups = Ups {
                pole: if band >= b'Y' { Hemisphere::North } else { Hemisphere::South },
                easting_m: metres(half.columns, half.column_first, column)? + within_m(self.easting),
                northing_m: metres(half.rows, half.row_first, row)? + within_m(self.northing),
            };
            return ups.to_lat_lon();
        }
        let column_km100 = position(columns(self.zone), column).ok_or_else(refusal)? + 1;
        let easting_m = f64::from(column_km100) * SQUARE_M + within_m(self.easting);
        let row_index = position(UTM_ROWS, row).ok_or_else(refusal)?;
        let row_m = f64::from((row_index + 20 - row_shift(self.zone)) % 20) * SQUARE_M + within_m(self.northing);
        let band_index = position(BANDS, band).ok_or_else(refusal)?;
        let middle = band_middle(self.zone, band_index)?;
        // Rows repeat every 2000 km and a band is at most 1330 km tall: the one nearest its middle is meant.
        let turns = ((middle.northing_m - row_m) / 2_000_000.0).round();
        Utm { easting_m, northing_m: row_m + turns * 2_000_000.0, ..middle }.to_lat_lon()
    }
}

impl fmt::Display for Mgrs {
    /// Such as 40RCN2613287898: zone in two digits, band, square, easting and northing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.zone != 0 {
            write!(f, "{:02}", self.zone)?;
        }
        for letter in self.letters {
            write!(f, "{}", char::from(letter))?;
        }
        let width = usize::from(self.digits);
        if width > 0 {
            write!(f, "{:0width$}{:0width$}", self.easting, self.northing)?;
        }
        Ok(())
    }
}

impl FromStr for Mgrs {
    type Err = EarthError;

    /// Reads a reference; spaces and small letters are allowed.
    fn from_str(text: &str) -> Result<Mgrs, EarthError> {
        let refusal = || EarthError::Mgrs(text.chars().take(40).collect());
        let plain: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').map(|byte| byte.to_ascii_uppercase()).collect();
        let zone_digits = plain.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if zone_digits > 2 || plain.len() < zone_digits + 3 {
            return Err(refusal());
        }
        let (zone_text, rest) = plain.split_at(zone_digits);
        let (letters, numbers) = rest.split_at(3);
        let half = numbers.len() / 2;
        if !letters.iter().all(u8::is_ascii_uppercase)
            || !numbers.iter().all(u8::is_ascii_digit)
            || numbers.len() % 2 == 1
            || half > usize::from(DIGITS_MAX)
        {
            return Err(refusal());
        }
        let zone = number(zone_text) as u8;
        if zone > 60 || (zone == 0 && zone_digits > 0) {
            return Err(refusal());
        }
        let mgrs = Mgrs {
            zone,
            letters: [letters[0], letters[1], letters[2]],
            easting: number(&numbers[..half]),
            northing: number(&numbers[half..]),
            digits: half as u8,
        };
        mgrs.corner().map_err(|_| refusal())?;
        Ok(mgrs)
    }
}

/// Whole hundreds of kilometres, and the whole metres that remain.
fn split(coordinate_m: f64) -> (u32, u32) {
    let whole = (coordinate_m + ROUNDING_M).floor().max(0.0) as u32;
    (whole / 100_000, whole % 100_000)
}

/// The columns of a zone's squares, from 100 km east on.
fn columns(zone: u8) -> &'static [u8] {
    UTM_COLUMNS[usize::from((zone + 2) % 3)]
}

/// Even zones start their rows at F.
fn row_shift(zone: u8) -> u32 {
    if zone.is_multiple_of(2) { 5 } else { 0 }
}

fn position(letters: &[u8], letter: u8) -> Option<u32> {
    letters.iter().position(|&known| known == letter).and_then(|index| u32::try_from(index).ok())
}

/// The number a few digits spell; no digits spell zero.
fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
}

/// Bands are eight degrees tall from 80 S; X reaches on to 84 N.
fn band_of(at: LatLon) -> u8 {
    BANDS[(((at.lat_deg() + 80.0) / 8.0) as usize).min(BANDS.len() - 1)]
}

/// The middle of a band on a zone's central meridian.
fn band_middle(zone: u8, band: u32) -> Result<Utm, EarthError> {
    let south_deg = f64::from(band) * 8.0 - 80.0;
    let tall_deg = if band == 19 { 12.0 } else { 8.0 };
    Utm::in_zone(LatLon::new(south_deg + tall_deg / 2.0, f64::from(zone) * 6.0 - 183.0)?, zone)
}
