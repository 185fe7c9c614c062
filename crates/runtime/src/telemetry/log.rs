//! Recorded telemetry: one JSON object a line, played beside a video file.
//!
//! `t_s` counts seconds from the first frame of the video; lines are in order of time. Every other key is optional, so that
//! one line may hold what one message told, or all that is known of a moment:
//!
//! ```json
//! {"t_s": 1.2, "position": {"lat_deg": 25.1972, "lon_deg": 55.2744, "alt_msl_m": 220.5, "velocity_ned_mps": [1.0, 0.0, 0.0]}}
//! {"t_s": 1.2, "position": {"lat_deg": 25.1972, "lon_deg": 55.2744, "height_ellipsoid_m": 187.5}}
//! {"t_s": 1.2, "attitude": {"yaw_deg": 90.0, "pitch_deg": 2.0, "roll_deg": 0.0}}
//! {"t_s": 1.2, "gimbal": {"yaw_deg": 90.0, "pitch_deg": -60.0, "roll_deg": 0.0, "yaw_frame": "earth"}}
//! {"t_s": 1.2, "gimbal": {"q_wxyz": [1.0, 0.0, 0.0, 0.0], "yaw_frame": "heading", "delta_yaw_deg": 90.0}}
//! {"t_s": 1.2, "field_of_view": {"horizontal_deg": 62.0, "vertical_deg": 38.0}}
//! {"t_s": 1.2, "accuracy": {"horizontal_m": 1.2, "vertical_m": 2.0}}
//! ```
//!
//! `yaw_frame` is `earth` (yaw from north; the default), `heading` (from the heading that `delta_yaw_deg` names) or `vehicle`
//! (from the yaw of `attitude`). A height has exactly one datum. A line that is none of this is refused by its number, and the
//! next one is read.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use nalgebra::UnitQuaternion;
use serde::{Deserialize, Serialize};
use smgeo_flow::Stamp;
use smgeo_geo::{Altitude, Euler, LatLon, attitude};
use smgeo_messages::{GimbalAttitude, Telemetry, Told, VehicleHeight, VehiclePosition, YawFrame};

use super::TelemetryError;

/// The longest line that is read.
const LINE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Line {
    t_s: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<PositionLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attitude: Option<AnglesLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gimbal: Option<GimbalLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field_of_view: Option<ViewLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accuracy: Option<AccuracyLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PositionLine {
    lat_deg: f64,
    lon_deg: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alt_msl_m: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    height_ellipsoid_m: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    velocity_ned_mps: Option<[f64; 3]>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnglesLine {
    yaw_deg: f64,
    pitch_deg: f64,
    roll_deg: f64,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct GimbalLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    q_wxyz: Option<[f64; 4]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    yaw_deg: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pitch_deg: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roll_deg: Option<f64>,
    #[serde(default)]
    yaw_frame: FrameWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delta_yaw_deg: Option<f64>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum FrameWord {
    #[default]
    Earth,
    Heading,
    Vehicle,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewLine {
    horizontal_deg: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vertical_deg: Option<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccuracyLine {
    horizontal_m: f64,
    vertical_m: f64,
}

/// Reads a log line by line.
pub struct LogReader {
    file: String,
    reader: BufReader<File>,
    line: u64,
}

impl LogReader {
    /// Opens a log.
    pub fn open(file: &Path) -> Result<Self, TelemetryError> {
        let name = file.display().to_string();
        let opened = File::open(file).map_err(|source| TelemetryError::File { file: name.clone(), source })?;
        Ok(Self { file: name, reader: BufReader::new(opened), line: 0 })
    }

    /// Returns the seconds and what is told of the next line; `None` at the end. After a refused line the next can be read.
    pub fn next_line(&mut self) -> Option<Result<(f64, Vec<Told>), TelemetryError>> {
        loop {
            let mut text = Vec::new();
            self.line += 1;
            match (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut text) {
                Ok(0) => return None,
                Ok(_) if text.trim_ascii().is_empty() => {}
                Ok(_) => return Some(parsed(&text).map_err(|reason| self.refused(reason))),
                Err(source) => return Some(Err(TelemetryError::File { file: self.file.clone(), source })),
            }
        }
    }

    fn refused(&self, reason: String) -> TelemetryError {
        TelemetryError::Line { file: self.file.clone(), line: self.line, reason }
    }
}

fn parsed(text: &[u8]) -> Result<(f64, Vec<Told>), String> {
    let line: Line = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if !(0.0..1e7).contains(&line.t_s) {
        return Err(format!("t_s is {}, not seconds from the first frame", line.t_s));
    }
    let mut told = Vec::new();
    if let Some(position) = line.position {
        told.push(position.told()?);
    }
    if let Some(angles) = line.attitude {
        told.push(Told::Attitude { ned_from_body: turn(angles.yaw_deg, angles.pitch_deg, angles.roll_deg)? });
    }
    if let Some(gimbal) = line.gimbal {
        told.push(gimbal.told()?);
    }
    if let Some(view) = line.field_of_view {
        let vertical_rad = view.vertical_deg.map(f64::to_radians);
        told.push(Told::FieldOfView { horizontal_rad: view.horizontal_deg.to_radians(), vertical_rad });
    }
    if let Some(accuracy) = line.accuracy {
        told.push(Told::Accuracy { horizontal_m: accuracy.horizontal_m, vertical_m: accuracy.vertical_m });
    }
    Ok((line.t_s, told))
}

fn turn(yaw_deg: f64, pitch_deg: f64, roll_deg: f64) -> Result<UnitQuaternion<f64>, String> {
    if ![yaw_deg, pitch_deg, roll_deg].iter().all(|angle| angle.abs() <= 360.0) {
        return Err("an angle is not within -360 to 360 degrees".to_owned());
    }
    Ok(Euler::from_deg(yaw_deg, pitch_deg, roll_deg).ned_from_body())
}

impl PositionLine {
    fn told(self) -> Result<Told, String> {
        let at = LatLon::new(self.lat_deg, self.lon_deg).map_err(|error| error.to_string())?;
        let height = match (self.alt_msl_m, self.height_ellipsoid_m) {
            (Some(msl_m), None) => VehicleHeight::Msl(Altitude::from_m(msl_m)),
            (None, Some(ellipsoid_m)) => VehicleHeight::Ellipsoid(Altitude::from_m(ellipsoid_m)),
            _ => return Err("a position has either alt_msl_m or height_ellipsoid_m".to_owned()),
        };
        Ok(Told::Position(VehiclePosition { at, height, velocity_ned_mps: self.velocity_ned_mps }))
    }
}

impl GimbalLine {
    fn told(self) -> Result<Told, String> {
        let frame_from_gimbal = match (self.q_wxyz, self.yaw_deg, self.pitch_deg, self.roll_deg) {
            (Some(wxyz), None, None, None) => attitude::quaternion(wxyz).map_err(|error| error.to_string())?,
            (None, Some(yaw_deg), Some(pitch_deg), roll_deg) => turn(yaw_deg, pitch_deg, roll_deg.unwrap_or(0.0))?,
            _ => return Err("a gimbal has either q_wxyz, or yaw_deg and pitch_deg".to_owned()),
        };
        let yaw_frame = match (self.yaw_frame, self.delta_yaw_deg) {
            (FrameWord::Earth, None) => YawFrame::Earth,
            (FrameWord::Vehicle, None) => YawFrame::Vehicle,
            (FrameWord::Heading, Some(delta_deg)) => YawFrame::Heading { delta_yaw_rad: delta_deg.to_radians() },
            _ => return Err("delta_yaw_deg goes with yaw_frame heading, and only with it".to_owned()),
        };
        Ok(Told::Gimbal(GimbalAttitude { frame_from_gimbal, yaw_frame }))
    }
}

/// Writes a log.
pub struct LogWriter {
    file: String,
    writer: BufWriter<File>,
    start: Stamp,
}

impl LogWriter {
    /// Makes a log; `start` is the capture time of the video's first frame.
    pub fn create(file: &Path, start: Stamp) -> Result<Self, TelemetryError> {
        let name = file.display().to_string();
        let created = File::create(file).map_err(|source| TelemetryError::File { file: name.clone(), source })?;
        Ok(Self { file: name, writer: BufWriter::new(created), start })
    }

    /// Writes a sample. One from before the start is left out, and so is that a flight begins: a log's own beginning says that.
    pub fn write(&mut self, sample: &Telemetry) -> Result<(), TelemetryError> {
        let t_s = sample.at.seconds_after(self.start);
        if t_s < 0.0 || matches!(sample.told, Told::Begun) {
            return Ok(());
        }
        let line = line_of(t_s, &sample.told);
        let written = serde_json::to_writer(&mut self.writer, &line)
            .map_err(std::io::Error::from)
            .and_then(|()| self.writer.write_all(b"\n"));
        written.map_err(|source| TelemetryError::File { file: self.file.clone(), source })
    }

    /// Writes what is still held in memory.
    pub fn flush(&mut self) -> Result<(), TelemetryError> {
        self.writer.flush().map_err(|source| TelemetryError::File { file: self.file.clone(), source })
    }
}

fn line_of(t_s: f64, told: &Told) -> Line {
    let mut line = Line { t_s, ..Line::default() };
    match told {
        Told::Begun => {}
        Told::Position(position) => {
            let (alt_msl_m, height_ellipsoid_m) = match position.height {
                VehicleHeight::Msl(altitude) => (Some(altitude.m()), None),
                VehicleHeight::Ellipsoid(altitude) => (None, Some(altitude.m())),
            };
            line.position = Some(PositionLine {
                lat_deg: position.at.lat_deg(),
                lon_deg: position.at.lon_deg(),
                alt_msl_m,
                height_ellipsoid_m,
                velocity_ned_mps: position.velocity_ned_mps,
            });
        }
        Told::Attitude { ned_from_body } => {
            let angles = Euler::of(ned_from_body);
            line.attitude = Some(AnglesLine {
                yaw_deg: angles.yaw_rad.to_degrees(),
                pitch_deg: angles.pitch_rad.to_degrees(),
                roll_deg: angles.roll_rad.to_degrees(),
            });
        }
        Told::Gimbal(gimbal) => {
            let q = gimbal.frame_from_gimbal;
            let (yaw_frame, delta_yaw_deg) = match gimbal.yaw_frame {
                YawFrame::Earth => (FrameWord::Earth, None),
                YawFrame::Heading { delta_yaw_rad } => (FrameWord::Heading, Some(delta_yaw_rad.to_degrees())),
                YawFrame::Vehicle => (FrameWord::Vehicle, None),
            };
            let q_wxyz = Some([q.w, q.i, q.j, q.k]);
            line.gimbal = Some(GimbalLine { q_wxyz, yaw_frame, delta_yaw_deg, ..GimbalLine::default() });
        }
        Told::FieldOfView { horizontal_rad, vertical_rad } => {
            let vertical_deg = vertical_rad.map(f64::to_degrees);
            line.field_of_view = Some(ViewLine { horizontal_deg: horizontal_rad.to_degrees(), vertical_deg });
        }
        Told::Accuracy { horizontal_m, vertical_m } => {
            line.accuracy = Some(AccuracyLine { horizontal_m: *horizontal_m, vertical_m: *vertical_m });
        }
    }
    line
}
