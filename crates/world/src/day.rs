//! A day and hour in a town: where the sun is, what it leaves in shadow, what the season does to the green, and which
//! cars are about. The satellite looks on one day, the drone on another.

use std::sync::Arc;

use crate::car;
use crate::dice::Dice;
use crate::mesh::{Scene, unit};
use crate::shadow::ShadowMap;
use crate::style::Rgb;
use crate::town::Town;

/// When a picture is taken, and the chance that goes with it (cars, weather).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Date {
    /// Year, for the record.
    pub year: u16,
    /// 1 to 366.
    pub day_of_year: u16,
    /// Solar time of day, hours; 12 is when the sun is highest.
    pub hour: f64,
    /// Decides which cars are about and how clear the air is.
    pub seed: u64,
}

impl Date {
    /// A date in daylight, by chance.
    pub fn from_seed(seed: u64) -> Date {
        let mut dice = Dice::new(seed, "date");
        Date {
            year: 2016 + dice.index(9) as u16,
            day_of_year: 1 + dice.index(365) as u16,
            hour: f64::from(dice.range(9.3, 15.2)),
            seed,
        }
    }

    /// The calendar date, `YYYY-MM-DD`.
    pub fn iso(&self) -> String {
        let leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let months = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut day = self.day_of_year.max(1);
        for (month, length) in months.into_iter().enumerate() {
            if day <= length || month == 11 {
                return format!("{:04}-{:02}-{:02}", self.year, month + 1, day.min(length));
            }
            day -= length;
        }
        unreachable!("the loop ends in December")
    }

    /// Azimuth clockwise from north and elevation of the sun at a latitude, radians: declination by Cooper (1969).
    pub fn sun(&self, lat_deg: f64) -> (f64, f64) {
        let turn = std::f64::consts::TAU;
        let declination = 23.45f64.to_radians() * (turn * (284.0 + f64::from(self.day_of_year)) / 365.0).sin();
        let (lat, hour) = (lat_deg.to_radians(), (self.hour - 12.0) * turn / 24.0);
        let up = lat.sin() * declination.sin() + lat.cos() * declination.cos() * hour.cos();
        let east = -declination.cos() * hour.sin();
        let north = lat.cos() * declination.sin() - lat.sin() * declination.cos() * hour.cos();
        (east.atan2(north).rem_euclid(turn), up.clamp(-1.0, 1.0).asin())
    }
}

/// The light, the season and the traffic of one date.
pub struct Day {
    /// The date it is made for.
    pub date: Date,
    /// Towards the sun, ENU, unit length.
    pub(crate) sun: [f32; 3],
    pub(crate) light: Light,
    pub(crate) season: Season,
    pub(crate) shadow: ShadowMap,
    pub(crate) scene: Scene,
}

/// Brightness as the picture's curve has it.
#[derive(Debug, Clone)]
pub(crate) struct Light {
    /// Sky light on open ground as a share of sun plus sky.
    pub(crate) sky: f32,
    /// Gain of full sun on flat ground is 1.
    pub(crate) sun: f32,
    pub(crate) sun_tint: Rgb,
    pub(crate) shade_tint: Rgb,
    /// One over the distance at which haze has taken 63 %, 1/m.
    pub(crate) haze_per_m: f32,
    pub(crate) haze: Rgb,
}

/// What the season does to plants: factors on red, green, blue, for ground and for crowns that turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Season {
    pub(crate) ground: Rgb,
    pub(crate) crown: Rgb,
}

/// Lowest sun that is drawn, radians: below it shadows would leave the shadow map.
const SUN_ELEVATION_MIN_RAD: f64 = 0.38;

impl Day {
    /// Makes the light and the traffic of a date; takes about a tenth of a second.
    pub fn new(town: &Town, date: Date) -> Arc<Day> {
        let mut dice = Dice::new(date.seed ^ crate::dice::mix(town.seed()), "day");
        let (azimuth, elevation) = date.sun(town.frame().origin().at.lat_deg());
        let (azimuth, elevation) = (azimuth as f32, elevation.max(SUN_ELEVATION_MIN_RAD) as f32);
        let sun = unit([azimuth.sin() * elevation.cos(), azimuth.cos() * elevation.cos(), elevation.sin()]);
        let season = season(town, &date, &mut dice);
        let scene = car::traffic(town, &mut dice);
        let shadow = ShadowMap::new(sun, [&town.scene, &scene]);
        Arc::new(Day { date, sun, light: light(sun, &mut dice), season, shadow, scene })
    }
}

fn light(sun: [f32; 3], dice: &mut Dice) -> Light {
    let sky = dice.range(0.17, 0.3);
    let low = 1.0 - sun[2];
    Light {
        sky,
        sun: (1.0 - sky) / sun[2].max(0.3),
        sun_tint: [1.0 + 0.07 * low, 1.0, 1.0 - 0.1 * low],
        shade_tint: [0.9, 0.98, 1.1],
        haze_per_m: 1.0 / dice.range(2600.0, 9000.0),
        haze: [184.0, 198.0, 212.0],
    }
}

fn season(town: &Town, date: &Date, dice: &mut Dice) -> Season {
    // 1 in mid-July, -1 in mid-January.
    let summer = (std::f32::consts::TAU * (f32::from(date.day_of_year) - 105.0) / 365.0).sin();
    let autumn = (1.0 - ((f32::from(date.day_of_year) - 300.0) / 38.0).powi(2)).max(0.0);
    let spread = town.style.plants.seasonal;
    let dry = dice.range(-0.3, 0.8);
    let winter = (-summer).max(0.0) * spread;
    let mut ground = [1.0 + 0.08 * dry + 0.14 * winter, 1.0 + 0.01 * dry + 0.02 * winter, 1.0 - 0.1 * dry];
    let bright = dice.range(0.92, 1.08);
    ground.iter_mut().for_each(|c| *c *= bright);
    let crown =
        [1.0 + 0.55 * autumn + 0.3 * winter, 1.0 + 0.02 * autumn - 0.02 * winter, 1.0 - 0.15 * autumn + 0.15 * winter];
    Season { ground, crown }
}
