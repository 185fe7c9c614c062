//! What a ground station asks of the camera component: the command, read once and checked.

use mavlink::dialects::ardupilotmega::{COMMAND_INT_DATA, COMMAND_LONG_DATA, MavMessage, MavResult};

/// Messages that can be asked for, by id.
pub(crate) mod id {
    pub const CAMERA_INFORMATION: u32 = 259;
    pub const CAMERA_SETTINGS: u32 = 260;
    pub const STORAGE_INFORMATION: u32 = 261;
    pub const CAMERA_CAPTURE_STATUS: u32 = 262;
    pub const VIDEO_STREAM_INFORMATION: u32 = 269;
    pub const VIDEO_STREAM_STATUS: u32 = 270;
    pub const CAMERA_TRACKING_IMAGE_STATUS: u32 = 275;
    pub const CAMERA_TRACKING_GEO_STATUS: u32 = 276;
}

/// A box of fewer pixels than this cannot be followed.
const BOX_PX_MIN: f64 = 4.0;

/// Is a command as we understand it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CameraCommand {
    /// Send a message now.
    Request {
        /// The message's id.
        message: u32,
    },
    /// Send a message regularly.
    Interval {
        /// The message's id.
        message: u32,
        /// Microseconds; 0 for the default, negative for never.
        interval_us: f64,
    },
    /// Follow what is at a point; fractions of width and height.
    TrackPoint {
        /// From the left and from the top.
        fraction: [f64; 2],
    },
    /// Follow what fills a box; fractions of width and height.
    TrackBox {
        /// Left, top, right, bottom, in order.
        fractions: [f64; 4],
    },
    /// Follow nothing any more.
    StopTracking,
    /// Nothing is to be done: it is so already.
    Nothing,
}

/// Says how a command was taken, as MAV_RESULT names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done, or will be.
    Accepted,
    /// It is understood and not possible: the values are wrong, or there is no video yet.
    Denied,
    /// It is not ours.
    Unsupported,
}

impl Answer {
    /// Returns the value that goes into COMMAND_ACK.
    pub fn result(self) -> MavResult {
        match self {
            Self::Accepted => MavResult::MAV_RESULT_ACCEPTED,
            Self::Denied => MavResult::MAV_RESULT_DENIED,
            Self::Unsupported => MavResult::MAV_RESULT_UNSUPPORTED,
        }
    }
}

/// Is a command with its addressee, from either message that carries commands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Order {
    pub command: u16,
    pub target_system: u8,
    pub target_component: u8,
    pub params: [f64; 6],
    /// Above 0 it repeats an earlier one.
    pub confirmation: u8,
}

impl Order {
    /// Reads a message, if it carries a command.
    pub fn read(message: &MavMessage) -> Option<Self> {
        match message {
            MavMessage::COMMAND_LONG(data) => Some(Self::of_long(data)),
            MavMessage::COMMAND_INT(data) => Some(Self::of_int(data)),
            _ => None,
        }
    }

    fn of_long(data: &COMMAND_LONG_DATA) -> Self {
        let params = [data.param1, data.param2, data.param3, data.param4, data.param5, data.param6].map(f64::from);
        Self {
            command: data.command as u32 as u16,
            target_system: data.target_system,
            target_component: data.target_component,
            params,
            confirmation: data.confirmation,
        }
    }

    fn of_int(data: &COMMAND_INT_DATA) -> Self {
        let params = [data.param1, data.param2, data.param3, data.param4].map(f64::from);
        Self {
            command: data.command as u32 as u16,
            target_system: data.target_system,
            target_component: data.target_component,
            params: [params[0], params[1], params[2], params[3], f64::from(data.x), f64::from(data.y)],
            confirmation: 0,
        }
    }

    /// Says whether the order is for the camera `component`: the commands of tracking name a camera in a parameter as well.
    pub fn is_for(&self, system: u8, component: u8) -> bool {
        let named = match self.command {
            2004 => self.params[3],
            2005 => self.params[4],
            2010 => self.params[0],
            _ => 0.0,
        };
        // 1 to 6 are cameras that hang on the autopilot; a sender that does not know the parameter leaves it NaN.
        let is_named = named.is_nan() || named == 0.0 || named == f64::from(component);
        self.target_system == system && [0, component].contains(&self.target_component) && is_named
    }

    /// Understands the command, or says how it is refused. `frame_px` is the size of the video, once there is one.
    pub fn understood(&self, frame_px: Option<[u32; 2]>) -> Result<CameraCommand, Answer> {
        let [first, second, ..] = self.params;
        match self.command {
            512 => request(first),
            511 => {
                let CameraCommand::Request { message } = request(first)? else { return Err(Answer::Unsupported) };
                Ok(CameraCommand::Interval { message, interval_us: if second.is_nan() { 0.0 } else { second } })
            }
            521 => Ok(CameraCommand::Request { message: id::CAMERA_INFORMATION }),
            522 => Ok(CameraCommand::Request { message: id::CAMERA_SETTINGS }),
            525 => Ok(CameraCommand::Request { message: id::STORAGE_INFORMATION }),
            527 => Ok(CameraCommand::Request { message: id::CAMERA_CAPTURE_STATUS }),
            2504 => Ok(CameraCommand::Request { message: id::VIDEO_STREAM_INFORMATION }),
            2505 => Ok(CameraCommand::Request { message: id::VIDEO_STREAM_STATUS }),
            2004 => self.point(frame_px),
            2005 => self.rectangle(frame_px),
            2010 => Ok(CameraCommand::StopTracking),
            // SET_CAMERA_MODE: the camera is always in video mode (1).
            530 => {
                if second == 1.0 {
                    Ok(CameraCommand::Nothing)
                } else {
                    Err(Answer::Denied)
                }
            }
            // RESET_CAMERA_SETTINGS, VIDEO_START_STREAMING, VIDEO_STOP_STREAMING: there is nothing to change.
            529 | 2502 | 2503 => Ok(CameraCommand::Nothing),
            _ => Err(Answer::Unsupported),
        }
    }

    fn point(&self, frame_px: Option<[u32; 2]>) -> Result<CameraCommand, Answer> {
        let [x, y, ..] = self.params;
        if !is_fraction(x) || !is_fraction(y) || frame_px.is_none() {
            return Err(Answer::Denied);
        }
        Ok(CameraCommand::TrackPoint { fraction: [x, y] })
    }

    fn rectangle(&self, frame_px: Option<[u32; 2]>) -> Result<CameraCommand, Answer> {
        let [x1, y1, x2, y2, ..] = self.params;
        let Some([width_px, height_px]) = frame_px else { return Err(Answer::Denied) };
        if ![x1, y1, x2, y2].into_iter().all(is_fraction) {
            return Err(Answer::Denied);
        }
        let fractions = [x1.min(x2), y1.min(y2), x1.max(x2), y1.max(y2)];
        let [left, top, right, bottom] = fractions;
        let is_small =
            (right - left) * f64::from(width_px) < BOX_PX_MIN || (bottom - top) * f64::from(height_px) < BOX_PX_MIN;
        if is_small { Err(Answer::Denied) } else { Ok(CameraCommand::TrackBox { fractions }) }
    }
}

fn request(message: f64) -> Result<CameraCommand, Answer> {
    // A float names an id exactly; NaN and negatives become 0, which nobody sends.
    match message as u32 {
        message @ (id::CAMERA_INFORMATION
        | id::CAMERA_SETTINGS
        | id::STORAGE_INFORMATION
        | id::CAMERA_CAPTURE_STATUS
        | id::VIDEO_STREAM_INFORMATION
        | id::VIDEO_STREAM_STATUS
        | id::CAMERA_TRACKING_IMAGE_STATUS
        | id::CAMERA_TRACKING_GEO_STATUS) => Ok(CameraCommand::Request { message }),
        _ => Err(Answer::Unsupported),
    }
}

fn is_fraction(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}
