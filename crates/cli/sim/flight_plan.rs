//! The flight: what is true at every moment, and what the sensors make of it.

use std::sync::Arc;

use anyhow::bail;
use smgeo_geo::{Camera, Pose, PoseSigma};
use smgeo_gpu::engines;
use smgeo_runtime::film::FilmPlan;
use smgeo_runtime::rtsp_server::{RtspConfig, Stream};
use smgeo_world::flight::Flight;
use smgeo_world::telemetry::{Sensor, SensorSigma};
use smgeo_world::{Date, Day, Town};

/// The video: 720p at 25 frames a second.
const WIDTH_PX: u32 = 1280;
const HEIGHT_PX: u32 = 720;
const FPS: u32 = 25;
const BITRATE_KBPS: u32 = 6_000;
const HFOV_DEG: f64 = 62.0;

/// Towns from this seed on are never trained on: the first flight shows one that no network has seen.
const TOWNS_UNSEEN: u64 = 1_000_000;

/// Is a town, a day, and a flight over it that begins again after a period.
#[derive(Clone)]
pub struct FlightPlan {
    /// What everything is drawn from.
    pub seed: u64,
    /// Seconds after which the flight begins again.
    pub period_s: f64,
    /// The town.
    pub town: Arc<Town>,
    /// The day of the flight; the map is of another.
    pub day: Arc<Day>,
    flight: Arc<Flight>,
    sensor: Sensor,
}

impl FlightPlan {
    /// Draws a town that was never trained on, a day and a flight from a seed.
    pub fn new(seed: u64, period_s: f64) -> anyhow::Result<Self> {
        if !(20.0..=3_600.0).contains(&period_s) {
            bail!("--period-s is {period_s}; it must be from 20 to 3600");
        }
        let town = Town::from_seed(TOWNS_UNSEEN.wrapping_add(seed));
        let day = Day::new(&town, Date::from_seed(seed.wrapping_mul(2) + 1));
        let flight = Arc::new(Flight::new(&town, seed, period_s));
        let sensor = Sensor::new(seed, SensorSigma::default(), super::TELEMETRY_HZ);
        Ok(Self { seed, period_s, town, day, flight, sensor })
    }

    /// The date of the map.
    pub fn map_date(&self) -> Date {
        Date::from_seed(self.seed.wrapping_mul(2))
    }

    /// The camera, as it truly is.
    pub fn camera(&self) -> Camera {
        Camera::from_hfov(WIDTH_PX, HEIGHT_PX, HFOV_DEG.to_radians())
    }

    /// The camera's true pose at a time since the start, seconds.
    pub fn pose(&self, t_s: f64) -> Pose {
        self.flight.pose(t_s)
    }

    /// Pose and velocity as the sensors tell them in sample `index`, taken at `t_s`.
    pub fn measured(&self, t_s: f64, index: u64) -> (Pose, [f64; 3]) {
        (self.sensor.measured(&self.pose(t_s), index), self.flight.velocity_ned(t_s))
    }

    /// A hash that changes when the town or the date of its map does, so that no map of another version is flown over.
    pub fn town_fingerprint(&self) -> String {
        let mut bytes = self.seed.to_le_bytes().to_vec();
        let centres = self.town.objects().iter().flat_map(|object| object.centre_enu);
        bytes.extend(centres.flat_map(f64::to_le_bytes));
        engines::hash(&bytes)
    }

    /// A hash that changes when the town or the flight does, so that no film of another version is flown again.
    pub fn flight_fingerprint(&self) -> String {
        let mut bytes = self.town_fingerprint().into_bytes();
        bytes.extend(self.period_s.to_le_bytes());
        for second in 0..self.period_s as u64 {
            let pose = self.pose(second as f64);
            let (at, euler) = (pose.position.at, pose.euler());
            bytes.extend([at.lat_deg(), at.lon_deg(), euler.yaw_rad, euler.pitch_rad].map(f64::to_le_bytes).concat());
        }
        engines::hash(&bytes)
    }

    /// The sensors' stated accuracy.
    pub fn sigma(&self) -> PoseSigma {
        self.sensor.sigma().total()
    }

    /// How the film is made.
    pub fn film(&self) -> FilmPlan {
        FilmPlan { width_px: WIDTH_PX, height_px: HEIGHT_PX, fps: FPS, bitrate_kbps: BITRATE_KBPS }
    }

    /// How the film is streamed.
    pub fn rtsp(&self) -> RtspConfig {
        RtspConfig { stream: Stream::Units, ..RtspConfig::loopback(WIDTH_PX, HEIGHT_PX, FPS) }
    }

    /// Pictures of one period.
    pub fn frames(&self) -> u64 {
        (self.period_s * f64::from(FPS)).round() as u64
    }

    /// The time of a picture of the film, seconds.
    pub fn frame_s(&self, index: u64) -> f64 {
        index as f64 / f64::from(FPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_period_is_another_flight_over_the_same_town() {
        let [minute, half, elsewhere] =
            [(7, 60.0), (7, 30.0), (8, 60.0)].map(|(seed, period_s)| FlightPlan::new(seed, period_s).unwrap());
        assert_eq!(minute.town_fingerprint(), half.town_fingerprint());
        assert_ne!(minute.flight_fingerprint(), half.flight_fingerprint());
        assert_ne!(minute.town_fingerprint(), elsewhere.town_fingerprint());
    }
}
