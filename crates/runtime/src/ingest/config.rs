//! Where the video comes from, and the numbers of its reception.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use smgeo_flow::SharedClock;
use smgeo_flow::latest::Put;
use smgeo_messages::{AccessUnit, Frame};
use tokio::sync::broadcast;

use super::supervise::{Ingest, IngestBoard};
use super::{IngestError, packages, shown};

/// Configures ingest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the video comes from.
    pub source: Source,
    /// The jitter buffer of a network source. More rides out a worse link and makes every frame older.
    #[serde(default = "default::latency_ms")]
    pub latency_ms: u32,
    /// A source that delivers nothing for so long is lost and connected anew.
    #[serde(default = "default::silence_ms_max")]
    pub silence_ms_max: u64,
    /// How long a source may take to deliver its first picture.
    #[serde(default = "default::connect_ms_max")]
    pub connect_ms_max: u64,
    /// From light on the sensor to arrival here, for a network source that sends no time of its own. It is taken as the
    /// sigma of the capture time too.
    #[serde(default = "default::capture_delay_ms")]
    pub capture_delay_ms: u64,
    /// One standard deviation of the sender's wall clock against ours.
    #[serde(default = "default::sender_clock_sigma_ms")]
    pub sender_clock_sigma_ms: u64,
    /// A frame that is older than this by the sender's clock is late, or that clock is wrong: its capture time is as uncertain as that.
    /// Zero: the sender's clock is not looked at.
    #[serde(default = "default::sender_clock_age_ms_max")]
    pub sender_clock_age_ms_max: u64,
    /// So many pictures in a row, identical to the bit, mean a frozen camera.
    #[serde(default = "default::still_frames_max")]
    pub still_frames_max: u32,
    /// The H.264 decoder, in gst-launch notation. On Jetson: `nvv4l2decoder ! nvvidconv`.
    #[serde(default = "default::decoder")]
    pub decoder: String,
}

/// Is where the video comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// An RTSP address: `rtsp://`, `rtspt://` (TCP only), `rtspu://` (UDP only) or `rtsps://`.
    Uri(String),
    /// A recording: MP4, MKV or MPEG-TS, played at its own speed.
    File(FileSource),
    /// H.264 over RTP, received on this UDP port.
    Udp(u16),
    /// A camera of this machine.
    V4l2(V4l2Source),
    /// A made picture, for trials with no camera.
    Test(TestSource),
}

/// Is a recording.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// The file.
    pub path: PathBuf,
    /// What happens at its end.
    #[serde(default)]
    pub at_end: AtEnd,
}

/// Is what happens at the end of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtEnd {
    /// The source has ended.
    #[default]
    Stop,
    /// It plays again.
    Repeat,
}

/// Is a camera of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V4l2Source {
    /// The device, such as `/dev/video0`.
    pub device: PathBuf,
    /// What the camera shall deliver.
    #[serde(default)]
    pub format: V4l2Format,
    /// Columns; the device's choice when absent.
    pub width_px: Option<u32>,
    /// Rows; the device's choice when absent.
    pub height_px: Option<u32>,
    /// Frames a second; the device's choice when absent.
    pub fps: Option<u32>,
}

/// Is what a camera of this machine delivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum V4l2Format {
    /// Uncompressed pictures.
    #[default]
    Raw,
    /// Motion JPEG.
    Mjpeg,
    /// H.264.
    H264,
}

/// Is a made, moving picture.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestSource {
    /// Columns, even.
    #[serde(default = "default::test_width_px")]
    pub width_px: u32,
    /// Rows, even.
    #[serde(default = "default::test_height_px")]
    pub height_px: u32,
    /// Frames a second.
    #[serde(default = "default::test_fps")]
    pub fps: u32,
}

impl Default for TestSource {
    fn default() -> Self {
        Self { width_px: default::test_width_px(), height_px: default::test_height_px(), fps: default::test_fps() }
    }
}

impl Config {
    /// Makes a configuration for `source` with every other key at its default.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            latency_ms: default::latency_ms(),
            silence_ms_max: default::silence_ms_max(),
            connect_ms_max: default::connect_ms_max(),
            capture_delay_ms: default::capture_delay_ms(),
            sender_clock_sigma_ms: default::sender_clock_sigma_ms(),
            sender_clock_age_ms_max: default::sender_clock_age_ms_max(),
            still_frames_max: default::still_frames_max(),
            decoder: default::decoder(),
        }
    }

    /// Checks everything that can be checked with no camera there, and makes the stage. Frames go into `frames`, the
    /// camera's own H.264 access units to whoever listens to `units`, how it is onto `board`.
    pub fn build(
        self,
        clock: SharedClock,
        frames: Put<Frame>,
        units: broadcast::Sender<AccessUnit>,
        board: &IngestBoard,
    ) -> Result<Ingest, IngestError> {
        self.check()?;
        packages::require(self.elements())?;
        if self.decodes_h264() {
            packages::require_decoder(&self.decoder)?;
        }
        Ok(Ingest::new(self, clock, frames, units, board))
    }

    /// Checks what can be checked with nothing opened.
    pub fn check(&self) -> Result<(), IngestError> {
        let bad =
            |key, value: &dyn ToString, remedy| Err(IngestError::BadValue { key, value: value.to_string(), remedy });
        if let Source::V4l2(camera) = &self.source
            && let Some(key) = camera.zero()
        {
            return bad(key, &0, "write at least 1, or leave it out: then the device chooses");
        }
        match &self.source {
            Source::Uri(uri) if !RTSP_SCHEMES.iter().any(|scheme| uri.starts_with(scheme)) => bad(
                "source.uri",
                &shown::address(uri),
                "write rtsp://HOST:PORT/PATH, or use source.file, udp, v4l2 or test",
            ),
            Source::Udp(0) => bad("source.udp", &0, "write the port the camera sends to"),
            Source::Test(test) if !test.is_possible() => {
                bad("source.test", &format!("{test:?}"), "use even sizes from 16 to 8192 and 1 to 240 fps")
            }
            _ if self.decoder.trim().is_empty() => {
                bad("decoder", &"empty", "write it as gst-launch takes it, or leave it out")
            }
            _ if self.latency_ms > 10_000 => bad("latency_ms", &self.latency_ms, "use at most 10000"),
            _ if self.silence_ms_max < 100 => bad("silence_ms_max", &self.silence_ms_max, "use at least 100"),
            _ if self.connect_ms_max < 100 => bad("connect_ms_max", &self.connect_ms_max, "use at least 100"),
            _ if self.still_frames_max < 2 => bad("still_frames_max", &self.still_frames_max, "use at least 2"),
            _ => Ok(()),
        }
    }

    /// Lists what the pipeline is made of, beside the decoder.
    fn elements(&self) -> &'static [&'static str] {
        match &self.source {
            Source::Uri(_) => &["rtspsrc", "rtpbin", "rtph264depay", "h264parse", "videoconvert"],
            Source::Udp(_) => &["udpsrc", "rtpjitterbuffer", "rtph264depay", "h264parse", "videoconvert"],
            Source::File(_) => &["parsebin", "qtdemux", "h264parse", "clocksync", "videoconvert"],
            Source::V4l2(camera) => match camera.format {
                V4l2Format::Raw => &["v4l2src", "videoconvert"],
                V4l2Format::Mjpeg => &["v4l2src", "jpegdec", "videoconvert"],
                V4l2Format::H264 => &["v4l2src", "h264parse", "videoconvert"],
            },
            Source::Test(_) => &["videotestsrc", "x264enc", "h264parse", "videoconvert"],
        }
    }

    /// Says whether [`Config::decoder`] has work: a camera of this machine may send something else.
    fn decodes_h264(&self) -> bool {
        !matches!(&self.source, Source::V4l2(camera) if camera.format != V4l2Format::H264)
    }

    /// Returns [`Config::silence_ms_max`].
    pub fn silence_max(&self) -> Duration {
        Duration::from_millis(self.silence_ms_max)
    }

    /// Returns [`Config::connect_ms_max`].
    pub fn connect_max(&self) -> Duration {
        Duration::from_millis(self.connect_ms_max)
    }
}

const RTSP_SCHEMES: [&str; 4] = ["rtsp://", "rtspt://", "rtspu://", "rtsps://"];

impl V4l2Source {
    /// Returns the key of a number that is zero.
    fn zero(&self) -> Option<&'static str> {
        let numbers = [
            ("source.v4l2.width_px", self.width_px),
            ("source.v4l2.height_px", self.height_px),
            ("source.v4l2.fps", self.fps),
        ];
        numbers.into_iter().find_map(|(key, number)| (number == Some(0)).then_some(key))
    }
}

impl TestSource {
    fn is_possible(&self) -> bool {
        let side = |px: u32| (16..=8_192).contains(&px) && px.is_multiple_of(2);
        side(self.width_px) && side(self.height_px) && (1..=240).contains(&self.fps)
    }
}

impl Source {
    /// Says whether frames come whether or not we keep up, so that an end is a loss.
    pub fn is_live(&self) -> bool {
        !matches!(self, Source::File(_))
    }

    /// Says whether frames travelled over a network, so that they arrive later than they were captured.
    pub fn is_remote(&self) -> bool {
        matches!(self, Source::Uri(_) | Source::Udp(_))
    }
}

/// Names the source for people. An address is shown without user and password.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Uri(uri) => f.write_str(&shown::address(uri)),
            Source::File(file) => write!(f, "{}", file.path.display()),
            Source::Udp(port) => write!(f, "UDP port {port}"),
            Source::V4l2(camera) => write!(f, "{}", camera.device.display()),
            Source::Test(_) => f.write_str("test picture"),
        }
    }
}

mod default {
    pub fn latency_ms() -> u32 {
        20
    }
    pub fn silence_ms_max() -> u64 {
        2_000
    }
    pub fn connect_ms_max() -> u64 {
        8_000
    }
    pub fn capture_delay_ms() -> u64 {
        60
    }
    pub fn sender_clock_sigma_ms() -> u64 {
        10
    }
    pub fn sender_clock_age_ms_max() -> u64 {
        2_000
    }
    pub fn still_frames_max() -> u32 {
        30
    }
    pub fn decoder() -> String {
        "avdec_h264 max-threads=1 output-corrupt=false".to_owned()
    }
    pub fn test_width_px() -> u32 {
        1_280
    }
    pub fn test_height_px() -> u32 {
        720
    }
    pub fn test_fps() -> u32 {
        30
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_written_as_the_documentation_says() {
        for text in [
            r#"source = { uri = "rtsp://10.0.0.2:8554/main" }"#,
            r#"source = { file = { path = "flight.mp4", at_end = "repeat" } }"#,
            "source = { udp = 5600 }",
            r#"source = { v4l2 = { device = "/dev/video0", format = "mjpeg", width_px = 1280, height_px = 720 } }"#,
            "source = { test = { width_px = 640, height_px = 480, fps = 25 } }\nlatency_ms = 50",
        ] {
            let config: Config = toml::from_str(text).expect(text);
            config.check().expect(text);
        }
    }

    #[test]
    fn what_cannot_work_is_named_with_the_way_out() {
        for (text, named) in [
            ("source = { udp = 5600 }\nlatencyms = 50", "latencyms"),
            (r#"source = { file = { path = "a.mp4", loop = true } }"#, "loop"),
            (r#"source = { srt = "srt://a" }"#, "srt"),
        ] {
            let error = toml::from_str::<Config>(text).expect_err(text);
            assert!(error.to_string().contains(named), "{error}");
        }
        for (text, named) in [
            (r#"source = { uri = "http://a/b.m3u8" }"#, "source.uri"),
            ("source = { udp = 0 }", "source.udp"),
            ("source = { test = { width_px = 641 } }", "source.test"),
            ("source = { udp = 5600 }\nsilence_ms_max = 1", "silence_ms_max"),
            ("source = { udp = 5600 }\ndecoder = \" \"", "ingest.decoder is empty"),
            (r#"source = { v4l2 = { device = "/dev/video0", width_px = 0 } }"#, "source.v4l2.width_px is 0"),
            (r#"source = { v4l2 = { device = "/dev/video0", height_px = 0 } }"#, "source.v4l2.height_px is 0"),
            (r#"source = { v4l2 = { device = "/dev/video0", fps = 0 } }"#, "source.v4l2.fps is 0"),
        ] {
            let config: Config = toml::from_str(text).expect(text);
            let error = config.check().expect_err(text);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
    #[test]
    fn the_elements_of_the_decoder_are_those_of_its_string() {
        let board = IngestBoard::default();
        let device = PathBuf::from("/dev/video0");
        let camera = V4l2Source { device, format: V4l2Format::Raw, width_px: None, height_px: None, fps: None };
        for (source, decoder, named) in [
            (Source::Udp(5600), "avdec_h246 max-threads=1", Some("avdec_h246: correct the name")),
            (Source::Udp(5600), "nvv4l2decoder ! nvvidconv", Some("package nvidia-l4t-gstreamer")),
            (Source::Udp(5600), "avdec_h264 max-thread=1", Some("max-thread")),
            (Source::Udp(5600), "avdec_h264 !", Some("ingest.decoder is avdec_h264 !")),
            // The names of elements are all that this looks at: it decodes nothing.
            (Source::Udp(5600), "identity ! identity", None),
            (Source::V4l2(camera), "avdec_h246", None),
        ] {
            let config = Config { decoder: decoder.to_owned(), ..Config::new(source) };
            let (put, _frames) = smgeo_flow::latest::channel();
            let units = broadcast::Sender::new(1);
            let error = config.build(smgeo_flow::SystemClock::shared(), put, units, &board).err();
            let error = error.map(|error| error.to_string());
            assert_eq!(error.is_some(), named.is_some(), "{decoder}: {error:?}");
            assert!(error.is_none_or(|error| error.contains(named.unwrap())), "{decoder} names no {named:?}");
        }
    }
}
