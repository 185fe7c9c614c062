//! MAVLink messages as samples.
//!
//! Only the vehicle we serve is listened to: the system that is configured, or else the first autopilot heard, and of its gimbals
//! and cameras the first of each. Each of its components has its own boot clock. What a message does not know it says by a value of
//! its own (NaN, INT32_MAX, 65535), and such a value becomes the absence of a sample, never a number.

use std::collections::{BTreeMap, HashMap};
use std::f64::consts::PI;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use mavlink::dialects::ardupilotmega::{
    CAMERA_FOV_STATUS_DATA, GIMBAL_DEVICE_ATTITUDE_STATUS_DATA, GLOBAL_POSITION_INT_DATA, GPS_RAW_INT_DATA,
    MavAutopilot, MavMessage,
};
use serde::Deserialize;
use smgeo_flow::{Fault, Stage, Stamp};
use smgeo_geo::{Altitude, Euler, LatLon, attitude};
use smgeo_messages::{GimbalAttitude, Telemetry, Told, VehicleHeight, VehiclePosition, YawFrame};

use super::link::LinkReader;
use super::{BootClock, Mapped, Received, TelemetryError};

/// Boot clocks of one system: a vehicle has a handful of components.
const COMPONENTS_MAX: usize = 16;
/// GPS_RAW_INT is believed for so long.
const GPS_FIX_AGE_MAX: Duration = Duration::from_secs(3);
/// GPS_FIX_TYPE_3D_FIX.
const FIX_3D: u32 = 3;
/// GIMBAL_DEVICE_ERROR_FLAGS that make the attitude worthless: encoder error, calibration running.
const GIMBAL_FAILED: u32 = 8 | 256;

/// What positions need of GPS_RAW_INT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpsFix {
    /// It must not say that there is no 3-D fix; it may be absent.
    #[default]
    NotLost,
    /// It has to tell a 3-D fix, at least every 3 s.
    Required,
    /// Nothing: the autopilot knows its position by other means.
    Ignored,
}

/// Counts what became of messages, by cause.
#[derive(Clone, Debug, Default)]
pub struct MavlinkCounts {
    /// Samples made.
    pub samples: u64,
    /// Refused messages by cause.
    pub refused: BTreeMap<&'static str, u64>,
    /// Samples that found the channel full.
    pub channel_full: u64,
}

/// Turns the messages of one vehicle into samples.
pub struct MavlinkDecoder {
    system: Option<u32>,
    /// Which of the system's components is its autopilot, once its heartbeat was heard.
    autopilot: Option<u8>,
    /// Component and number of the gimbal, and of the camera, that is listened to: the first heard.
    gimbal: Option<(u8, u8)>,
    camera: Option<(u8, u8)>,
    gps_fix: GpsFix,
    /// Whether there was a fix, as last told, and when.
    fix: Option<(bool, Stamp)>,
    delay: Duration,
    delay_sigma: Duration,
    clocks: HashMap<u8, BootClock>,
    wall_minus_stamp_us: Option<i64>,
    counts: MavlinkCounts,
}

impl MavlinkDecoder {
    /// Listens to `system_id`, or else to the first autopilot heard. `delay` is the least time a message takes, `delay_sigma` how well
    /// that is known.
    pub fn new(system_id: Option<u8>, gps_fix: GpsFix, delay: Duration, delay_sigma: Duration) -> Self {
        Self {
            system: system_id.map(u32::from),
            autopilot: None,
            gimbal: None,
            camera: None,
            gps_fix,
            fix: None,
            delay,
            delay_sigma,
            clocks: HashMap::new(),
            wall_minus_stamp_us: None,
            counts: MavlinkCounts::default(),
        }
    }

    /// The vehicle's system id, once it is known.
    pub fn system_id(&self) -> Option<u8> {
        self.system.and_then(|system| u8::try_from(system).ok())
    }

    /// The vehicle's UTC, by its SYSTEM_TIME, less our timeline, in microseconds: what the wall clock would have to say.
    pub fn wall_minus_stamp_us(&self) -> Option<i64> {
        self.wall_minus_stamp_us
    }

    /// The counts so far.
    pub fn counts(&self) -> &MavlinkCounts {
        &self.counts
    }

    /// Returns what a message tells, if it tells something.
    pub fn sample(&mut self, received: &Received) -> Option<Telemetry> {
        match self.decoded(received) {
            Ok(sample) => {
                self.counts.samples += u64::from(sample.is_some());
                sample
            }
            Err(cause) => {
                *self.counts.refused.entry(cause).or_default() += 1;
                None
            }
        }
    }

    fn decoded(&mut self, received: &Received) -> Result<Option<Telemetry>, &'static str> {
        self.choose_system(received);
        let component = received.header.component_id;
        if self.system != Some(received.header.system_id) {
            // Nobody has said that it is not the one our camera is on.
            return if is_autopilot(&received.message) { Err("other_vehicle") } else { Ok(None) };
        }
        if is_autopilot(&received.message) {
            self.autopilot.get_or_insert(component);
        }
        let is_of_autopilot = self.autopilot.is_none_or(|autopilot| autopilot == component);
        let (boot_ms, told) = match &received.message {
            MavMessage::GLOBAL_POSITION_INT(_) | MavMessage::ATTITUDE(_) | MavMessage::GPS_RAW_INT(_)
                if !is_of_autopilot =>
            {
                return Err("other_component");
            }
            MavMessage::GLOBAL_POSITION_INT(data) => (data.time_boot_ms, self.position(data, received.arrived)?),
            MavMessage::ATTITUDE(data) => {
                let told = airframe(f64::from(data.yaw), f64::from(data.pitch), f64::from(data.roll))?;
                (data.time_boot_ms, told)
            }
            MavMessage::GIMBAL_DEVICE_ATTITUDE_STATUS(data) => (data.time_boot_ms, self.gimbal(data, component)?),
            MavMessage::CAMERA_FOV_STATUS(data) => match self.field_of_view(data, component)? {
                Some(told) => (data.time_boot_ms, told),
                None => return Ok(None),
            },
            MavMessage::SYSTEM_TIME(data) => {
                self.learn_wall(data.time_unix_usec, data.time_boot_ms, received)?;
                return Ok(None);
            }
            MavMessage::GPS_RAW_INT(data) => {
                self.learn_fix(data, received.arrived);
                // Its time is of another clock; accuracies change slowly enough for the arrival to do.
                return Ok(accuracy(data).map(|told| Telemetry {
                    at: received.arrived,
                    at_sigma: self.delay_sigma,
                    told,
                }));
            }
            _ => return Ok(None),
        };
        let mapped = self.mapped(boot_ms, received)?;
        Ok(Some(Telemetry { at: mapped.at, at_sigma: mapped.sigma, told }))
    }

    fn choose_system(&mut self, received: &Received) {
        if self.system.is_some() {
            return;
        }
        if is_autopilot(&received.message) || matches!(received.message, MavMessage::GLOBAL_POSITION_INT(_)) {
            self.system = Some(received.header.system_id);
            tracing::info!(system_id = received.header.system_id, "vehicle chosen");
        }
    }

    fn mapped(&mut self, boot_ms: u32, received: &Received) -> Result<Mapped, &'static str> {
        let component = received.header.component_id;
        if self.clocks.len() >= COMPONENTS_MAX && !self.clocks.contains_key(&component) {
            return Err("too_many_components");
        }
        let fresh = || BootClock::new(self.delay, self.delay_sigma);
        let clock = self.clocks.entry(component).or_insert_with(fresh);
        clock.map(boot_ms, received.arrived).map_err(|_| "boot_time_jump")
    }

    fn position(&self, data: &GLOBAL_POSITION_INT_DATA, arrived: Stamp) -> Result<Told, &'static str> {
        let has_fix = match (self.gps_fix, self.fix) {
            (GpsFix::Ignored, _) | (GpsFix::NotLost, None) => true,
            (GpsFix::NotLost, Some((has_fix, _))) => has_fix,
            (GpsFix::Required, fix) => fix.is_some_and(|(has_fix, at)| has_fix && arrived.since(at) < GPS_FIX_AGE_MAX),
        };
        if !has_fix {
            return Err("no_gps_fix");
        }
        // Autopilots send zeros until they know where they are.
        if data.lat == 0 && data.lon == 0 {
            return Err("no_position");
        }
        let (lat_deg, lon_deg) = (f64::from(data.lat) * 1e-7, f64::from(data.lon) * 1e-7);
        if lon_deg.abs() > 180.0 {
            return Err("position_impossible");
        }
        let at = LatLon::new(lat_deg, lon_deg).map_err(|_| "position_impossible")?;
        let height = VehicleHeight::Msl(Altitude::from_m(f64::from(data.alt) * 1e-3));
        let velocity_ned_mps = [data.vx, data.vy, data.vz].map(|cmps| f64::from(cmps) * 1e-2);
        Ok(Told::Position(VehiclePosition { at, height, velocity_ned_mps: Some(velocity_ned_mps) }))
    }

    fn gimbal(&mut self, data: &GIMBAL_DEVICE_ATTITUDE_STATUS_DATA, component: u8) -> Result<Told, &'static str> {
        let own = (component, data.gimbal_device_id);
        if *self.gimbal.get_or_insert(own) != own {
            return Err("second_gimbal");
        }
        if data.failure_flags.bits() & GIMBAL_FAILED != 0 {
            return Err("gimbal_failure");
        }
        let frame_from_gimbal = attitude::quaternion(data.q.map(f64::from)).map_err(|_| "attitude_impossible")?;
        let yaw_frame = yaw_frame(u32::from(data.flags.bits()), f64::from(data.delta_yaw));
        Ok(Told::Gimbal(GimbalAttitude { frame_from_gimbal, yaw_frame }))
    }

    fn field_of_view(&mut self, data: &CAMERA_FOV_STATUS_DATA, component: u8) -> Result<Option<Told>, &'static str> {
        let own = (component, data.camera_device_id);
        if *self.camera.get_or_insert(own) != own {
            return Err("second_camera");
        }
        field_of_view(data)
    }

    fn learn_fix(&mut self, data: &GPS_RAW_INT_DATA, arrived: Stamp) {
        self.fix = Some((data.fix_type as u32 >= FIX_3D, arrived));
    }

    fn learn_wall(&mut self, unix_us: u64, boot_ms: u32, received: &Received) -> Result<(), &'static str> {
        let mapped = self.mapped(boot_ms, received)?;
        // Zero, or 1970, is what a vehicle without GPS time sends.
        const YEAR_2020_US: u64 = 1_577_836_800_000_000;
        if unix_us >= YEAR_2020_US {
            self.wall_minus_stamp_us = i64::try_from(unix_us).ok().map(|us| us - (mapped.at.ns() / 1_000) as i64);
        }
        Ok(())
    }
}

fn is_autopilot(message: &MavMessage) -> bool {
    matches!(message, MavMessage::HEARTBEAT(data) if data.autopilot != MavAutopilot::MAV_AUTOPILOT_INVALID)
}

/// Reads a gimbal's flags: an explicit frame first, else YAW_LOCK means north (`GIMBAL_DEVICE_FLAGS` of the dialect).
fn yaw_frame(flags: u32, delta_yaw_rad: f64) -> YawFrame {
    let has = |flag| flags & flag != 0;
    if has(attitude::FLAG_YAW_IN_EARTH_FRAME) {
        return YawFrame::Earth;
    }
    if has(attitude::FLAG_YAW_IN_VEHICLE_FRAME) {
        // Senders without the extension leave it out, which reads as 0. A heading of exactly north gives the same by the attitude.
        let is_told = delta_yaw_rad.is_finite() && delta_yaw_rad != 0.0 && delta_yaw_rad.abs() <= 2.0 * PI;
        return if is_told { YawFrame::Heading { delta_yaw_rad } } else { YawFrame::Vehicle };
    }
    if has(attitude::FLAG_YAW_LOCK) { YawFrame::Earth } else { YawFrame::Vehicle }
}

fn airframe(yaw_rad: f64, pitch_rad: f64, roll_rad: f64) -> Result<Told, &'static str> {
    let sound = [yaw_rad, pitch_rad, roll_rad].iter().all(|angle| angle.abs() <= 2.0 * PI);
    // A comparison with NaN is false, so NaN is refused here too.
    if !sound {
        return Err("attitude_impossible");
    }
    Ok(Told::Attitude { ned_from_body: Euler::new(yaw_rad, pitch_rad, roll_rad).ned_from_body() })
}

fn field_of_view(data: &CAMERA_FOV_STATUS_DATA) -> Result<Option<Told>, &'static str> {
    if data.hfov.is_nan() {
        return Ok(None);
    }
    let horizontal_rad = f64::from(data.hfov).to_radians();
    if !(horizontal_rad > 1e-4 && horizontal_rad < PI) {
        return Err("field_of_view_impossible");
    }
    let vertical_rad = Some(f64::from(data.vfov).to_radians()).filter(|angle| *angle > 1e-4 && *angle < PI);
    Ok(Some(Told::FieldOfView { horizontal_rad, vertical_rad }))
}

fn accuracy(data: &GPS_RAW_INT_DATA) -> Option<Told> {
    let metres = |mm: u32| Some(f64::from(mm) * 1e-3).filter(|_| mm != 0 && mm != u32::MAX);
    Some(Told::Accuracy { horizontal_m: metres(data.h_acc)?, vertical_m: metres(data.v_acc)? })
}

/// Reads a link and hands on what it tells: samples to the pose buffer, commands to the camera component.
pub struct MavlinkReceiver {
    reader: LinkReader,
    decoder: MavlinkDecoder,
    samples: Sender<Telemetry>,
    commands: Option<Sender<Received>>,
    received: Vec<Received>,
    report: Box<dyn FnMut(&MavlinkDecoder) + Send>,
}

impl MavlinkReceiver {
    /// Makes the stage. `commands` gets COMMAND_LONG and COMMAND_INT, and heartbeats; `report` is called after each step.
    pub fn new(
        reader: LinkReader,
        decoder: MavlinkDecoder,
        samples: Sender<Telemetry>,
        commands: Option<Sender<Received>>,
        report: Box<dyn FnMut(&MavlinkDecoder) + Send>,
    ) -> Self {
        Self { reader, decoder, samples, commands, received: Vec::new(), report }
    }
}

impl Stage for MavlinkReceiver {
    fn name(&self) -> &'static str {
        "telemetry"
    }

    fn step(&mut self) -> Result<(), Fault> {
        self.received.clear();
        if let Err(source) = self.reader.read(&mut self.received) {
            let address = self.reader.link().address().to_owned();
            return Err(Fault::restart(TelemetryError::Read { address, source }));
        }
        for received in self.received.drain(..) {
            if let Some(sample) = self.decoder.sample(&received)
                && let Err(TrySendError::Full(_)) = self.samples.try_send(sample)
            {
                self.decoder.counts.channel_full += 1;
            }
            let is_command = matches!(
                received.message,
                MavMessage::COMMAND_LONG(_) | MavMessage::COMMAND_INT(_) | MavMessage::HEARTBEAT(_)
            );
            if let Some(commands) = self.commands.as_ref().filter(|_| is_command)
                && commands.try_send(received).is_err()
            {
                *self.decoder.counts.refused.entry("commands_full").or_default() += 1;
            }
        }
        (self.report)(&self.decoder);
        Ok(())
    }
}
