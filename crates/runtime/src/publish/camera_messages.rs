//! The messages of a MAVLink camera: each a pure function of what it tells.
//!
//! What is not known goes out as the message's own unknown (NaN, 0), never as an invented number.

use mavlink::dialects::ardupilotmega as dialect;
use mavlink::dialects::ardupilotmega::{
    CameraCapFlags, CameraMode, CameraTrackingMode, CameraTrackingStatusFlags, CameraTrackingTargetData, MavAutopilot,
    MavCmd, MavMessage, MavModeFlag, MavSeverity, MavState, MavType, VideoStreamEncoding, VideoStreamStatusFlags,
    VideoStreamType,
};
use smgeo_messages::{Estimate, TargetId, Track, TrackState};

use super::Answer;

/// CE90 of a circular error in standard deviations: sqrt(-2 ln 0.1).
const CE90_SIGMAS: f64 = 2.145_966_026_289_347;
/// Below this speed a direction of motion is noise, m/s.
const MOVING_MPS: f64 = 0.5;

/// Is what the camera says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnState {
    pub time_boot_ms: u32,
    pub frame_px: Option<[u32; 2]>,
    pub video_uri: Option<String>,
    pub gimbal_device_id: u8,
}

pub(crate) fn heartbeat() -> MavMessage {
    MavMessage::HEARTBEAT(dialect::HEARTBEAT_DATA {
        custom_mode: 0,
        mavtype: MavType::MAV_TYPE_CAMERA,
        autopilot: MavAutopilot::MAV_AUTOPILOT_INVALID,
        base_mode: MavModeFlag::empty(),
        system_status: MavState::MAV_STATE_ACTIVE,
        mavlink_version: 3,
    })
}

pub(crate) fn acknowledgement(command: MavCmd, answer: Answer, to_system: u8, to_component: u8) -> MavMessage {
    MavMessage::COMMAND_ACK(dialect::COMMAND_ACK_DATA {
        command,
        result: answer.result(),
        target_system: to_system,
        target_component: to_component,
        ..dialect::COMMAND_ACK_DATA::DEFAULT
    })
}

pub(crate) fn information(own: &OwnState) -> MavMessage {
    let stream =
        own.video_uri.as_ref().map_or(CameraCapFlags::empty(), |_| CameraCapFlags::CAMERA_CAP_FLAGS_HAS_VIDEO_STREAM);
    let [width_px, height_px] = size(own);
    MavMessage::CAMERA_INFORMATION(dialect::CAMERA_INFORMATION_DATA {
        time_boot_ms: own.time_boot_ms,
        vendor_name: padded("smgeo"),
        model_name: padded("smgeo tracker"),
        firmware_version: firmware_version(),
        focal_length: f32::NAN,
        sensor_size_h: f32::NAN,
        sensor_size_v: f32::NAN,
        resolution_h: width_px,
        resolution_v: height_px,
        flags: stream
            | CameraCapFlags::CAMERA_CAP_FLAGS_HAS_TRACKING_POINT
            | CameraCapFlags::CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE
            | CameraCapFlags::CAMERA_CAP_FLAGS_HAS_TRACKING_GEO_STATUS,
        gimbal_device_id: own.gimbal_device_id,
        ..dialect::CAMERA_INFORMATION_DATA::DEFAULT
    })
}

/// The dialect counts the major version in the lowest byte.
fn firmware_version() -> u32 {
    let part = |text: &str| text.parse::<u32>().unwrap_or(0) & 0xff;
    part(env!("CARGO_PKG_VERSION_MAJOR"))
        | part(env!("CARGO_PKG_VERSION_MINOR")) << 8
        | part(env!("CARGO_PKG_VERSION_PATCH")) << 16
}

pub(crate) fn settings(own: &OwnState) -> MavMessage {
    MavMessage::CAMERA_SETTINGS(dialect::CAMERA_SETTINGS_DATA {
        time_boot_ms: own.time_boot_ms,
        mode_id: CameraMode::CAMERA_MODE_VIDEO,
        zoomLevel: f32::NAN,
        focusLevel: f32::NAN,
        ..dialect::CAMERA_SETTINGS_DATA::DEFAULT
    })
}

pub(crate) fn storage(own: &OwnState) -> MavMessage {
    MavMessage::STORAGE_INFORMATION(dialect::STORAGE_INFORMATION_DATA {
        time_boot_ms: own.time_boot_ms,
        status: dialect::StorageStatus::STORAGE_STATUS_NOT_SUPPORTED,
        ..dialect::STORAGE_INFORMATION_DATA::DEFAULT
    })
}

pub(crate) fn capture_status(own: &OwnState) -> MavMessage {
    MavMessage::CAMERA_CAPTURE_STATUS(dialect::CAMERA_CAPTURE_STATUS_DATA {
        time_boot_ms: own.time_boot_ms,
        ..dialect::CAMERA_CAPTURE_STATUS_DATA::DEFAULT
    })
}

/// The one video stream, where its address is configured.
pub(crate) fn stream_information(own: &OwnState) -> Option<MavMessage> {
    let uri = own.video_uri.as_deref()?;
    let [width_px, height_px] = size(own);
    Some(MavMessage::VIDEO_STREAM_INFORMATION(dialect::VIDEO_STREAM_INFORMATION_DATA {
        stream_id: 1,
        count: 1,
        mavtype: VideoStreamType::VIDEO_STREAM_TYPE_RTSP,
        flags: VideoStreamStatusFlags::VIDEO_STREAM_STATUS_FLAGS_RUNNING,
        resolution_h: width_px,
        resolution_v: height_px,
        name: "camera".into(),
        uri: uri.into(),
        encoding: VideoStreamEncoding::VIDEO_STREAM_ENCODING_H264,
        ..dialect::VIDEO_STREAM_INFORMATION_DATA::DEFAULT
    }))
}

pub(crate) fn stream_status(own: &OwnState) -> Option<MavMessage> {
    own.video_uri.as_ref()?;
    let [width_px, height_px] = size(own);
    Some(MavMessage::VIDEO_STREAM_STATUS(dialect::VIDEO_STREAM_STATUS_DATA {
        stream_id: 1,
        flags: VideoStreamStatusFlags::VIDEO_STREAM_STATUS_FLAGS_RUNNING,
        resolution_h: width_px,
        resolution_v: height_px,
        ..dialect::VIDEO_STREAM_STATUS_DATA::DEFAULT
    }))
}

/// Where the target is in the picture. Without a track, or without its pixel, the tracker is idle.
pub(crate) fn image_status(track: Option<&Track>, frame_px: Option<[u32; 2]>) -> MavMessage {
    let status = track.map_or(CameraTrackingStatusFlags::empty(), status);
    let point = track.and_then(|track| track.pixel).zip(frame_px).map(|(pixel, [width_px, height_px])| {
        [pixel.x / f64::from(width_px.max(1)), pixel.y / f64::from(height_px.max(1))]
    });
    let shown = point.filter(|_| status.contains(CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_ACTIVE));
    let [x, y] = shown.unwrap_or([f64::NAN; 2]);
    MavMessage::CAMERA_TRACKING_IMAGE_STATUS(dialect::CAMERA_TRACKING_IMAGE_STATUS_DATA {
        tracking_status: status,
        tracking_mode: match shown {
            Some(_) => CameraTrackingMode::CAMERA_TRACKING_MODE_POINT,
            None => CameraTrackingMode::CAMERA_TRACKING_MODE_NONE,
        },
        target_data: match shown {
            Some(_) => CameraTrackingTargetData::CAMERA_TRACKING_TARGET_DATA_IN_STATUS,
            None => CameraTrackingTargetData::empty(),
        },
        point_x: x as f32,
        point_y: y as f32,
        radius: shown.map_or(f32::NAN, |_| RADIUS),
        rec_top_x: f32::NAN,
        rec_top_y: f32::NAN,
        rec_bottom_x: f32::NAN,
        rec_bottom_y: f32::NAN,
        ..dialect::CAMERA_TRACKING_IMAGE_STATUS_DATA::DEFAULT
    })
}

/// The circle that is drawn around the point, as a fraction of the width: it is a mark, not a measure.
const RADIUS: f32 = 0.02;

/// Where the target is on the Earth: only while the map confirms it or did so lately. A target that is lost has no position.
pub(crate) fn geo_status(track: &Track) -> Option<MavMessage> {
    let is_known = matches!(track.state, TrackState::Locked | TrackState::Coasting);
    let estimate = track.estimate.as_ref().filter(|_| is_known)?;
    let [north_mps, east_mps] = estimate.velocity_ne_mps;
    let is_moving = north_mps.hypot(east_mps) > MOVING_MPS;
    Some(MavMessage::CAMERA_TRACKING_GEO_STATUS(dialect::CAMERA_TRACKING_GEO_STATUS_DATA {
        tracking_status: status(track),
        lat: deg_e7(estimate.at.lat_deg()),
        lon: deg_e7(estimate.at.lon_deg()),
        alt: f32::NAN,
        h_acc: (estimate.ce90_m / CE90_SIGMAS) as f32,
        v_acc: f32::NAN,
        vel_n: north_mps as f32,
        vel_e: east_mps as f32,
        vel_d: f32::NAN,
        vel_acc: f32::NAN,
        dist: f32::NAN,
        hdg: if is_moving { east_mps.atan2(north_mps) as f32 } else { f32::NAN },
        hdg_acc: f32::NAN,
        ..dialect::CAMERA_TRACKING_GEO_STATUS_DATA::DEFAULT
    }))
}

/// What takes a position back that was sent before: there is none now.
pub(crate) fn geo_withdrawn() -> MavMessage {
    MavMessage::CAMERA_TRACKING_GEO_STATUS(dialect::CAMERA_TRACKING_GEO_STATUS_DATA {
        tracking_status: CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_ERROR,
        lat: i32::MAX,
        lon: i32::MAX,
        alt: f32::NAN,
        h_acc: f32::NAN,
        v_acc: f32::NAN,
        vel_n: f32::NAN,
        vel_e: f32::NAN,
        vel_d: f32::NAN,
        vel_acc: f32::NAN,
        dist: f32::NAN,
        hdg: f32::NAN,
        hdg_acc: f32::NAN,
        ..dialect::CAMERA_TRACKING_GEO_STATUS_DATA::DEFAULT
    })
}

/// A line for ground stations that show no position of a target otherwise.
pub(crate) fn status_text(track: &Track, estimate: &Estimate) -> MavMessage {
    let (lat, lon) = (estimate.at.lat_deg(), estimate.at.lon_deg());
    let state = track.state.word();
    line(
        MavSeverity::MAV_SEVERITY_INFO,
        format!("TGT{} {lat:.5} {lon:.5} {:.0}m {state}", track.target, estimate.ce90_m.ceil()),
    )
}

/// What takes such a line back, with how the target stands now; none for one that is gone.
pub(crate) fn text_withdrawn(target: TargetId, state: Option<TrackState>) -> MavMessage {
    let state = state.map_or("gone", TrackState::word);
    line(MavSeverity::MAV_SEVERITY_WARNING, format!("TGT{target} no longer locked: {state}"))
}

fn line(severity: MavSeverity, text: String) -> MavMessage {
    let cut: String = text.chars().take(50).collect();
    MavMessage::STATUSTEXT(dialect::STATUSTEXT_DATA {
        severity,
        text: cut.as_str().into(),
        ..dialect::STATUSTEXT_DATA::DEFAULT
    })
}

/// Says how the track stands. A target that is searched for is followed in the picture already.
fn status(track: &Track) -> CameraTrackingStatusFlags {
    use CameraTrackingStatusFlags as Flags;
    match track.state {
        TrackState::Searching | TrackState::Locked => Flags::CAMERA_TRACKING_STATUS_FLAGS_ACTIVE,
        TrackState::Coasting => {
            Flags::CAMERA_TRACKING_STATUS_FLAGS_ACTIVE | Flags::CAMERA_TRACKING_STATUS_FLAGS_COASTING
        }
        TrackState::Lost => Flags::CAMERA_TRACKING_STATUS_FLAGS_ERROR,
    }
}

fn size(own: &OwnState) -> [u16; 2] {
    own.frame_px.unwrap_or_default().map(|px| u16::try_from(px).unwrap_or(u16::MAX))
}

fn deg_e7(degrees: f64) -> i32 {
    (degrees * 1e7).round() as i32
}

fn padded(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    bytes
}
