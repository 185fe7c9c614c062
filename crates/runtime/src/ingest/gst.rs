//! One connection to one source: the GStreamer pipeline, from the wire to RGB.
//!
//! Every source ends in the same tail: parsed access units, the tap, the decoder, conversion to RGB, and a sink that puts
//! the picture into the latest-wins slot and never waits. No GStreamer queue leaks, so no frame is lost uncounted: what
//! decoding cannot keep up with is cut off at the tap. Recordings are paced by `clocksync` before the decoder.

use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::IngestError;
use super::config::{Config, Source, V4l2Format, V4l2Source};
use super::supervise::LossCause;
use super::tap::{Decode, Encoding, Tap};

/// The access units of rtph264depay end with the packet that says so, and those of h264parse alone with the first of the
/// next frame: asking for whole units here saves a frame of delay.
const WHOLE_UNITS: &str = "video/x-h264,stream-format=byte-stream,alignment=au";
const RTP_CAPS: &str = "application/x-rtp,media=video,clock-rate=90000,encoding-name=H264";
/// The kernel's buffer for a burst of packets: one large key frame at the bit rates of drones.
const UDP_BUFFER_BYTES: u32 = 2 * 1_024 * 1_024;
/// RTSP over UDP that delivers nothing for so long is tried over TCP.
const UDP_PATIENCE_US: u64 = 1_000_000;
const TCP_PATIENCE_US: u64 = 5_000_000;
/// Decoding and conversion overlap: one picture is converted, and as many as a decoder gives at once wait.
const CONVERT_QUEUE: u32 = 3;
/// So much of what an element says of its error fits into a line of the page.
const SPECIFICS_CHARS_MAX: usize = 300;
const SINK: &str = "frames";
const TAP: &str = "tap";
const QUEUE: &str = "undecoded";

/// Is a running pipeline. Dropping it takes it down.
pub struct Connection {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
}

/// Is how a connection ends.
#[derive(Debug)]
pub enum End {
    /// Everything was delivered.
    Complete,
    /// It failed.
    Failed(LossCause, String),
}

impl Connection {
    /// Builds and starts the pipeline; what it receives goes to `tap`.
    pub fn open(config: &Config, tap: Arc<Tap>) -> Result<Self, IngestError> {
        let pipeline = gst::Pipeline::new();
        let bus = pipeline.bus().ok_or_else(|| IngestError::Pipeline("it has no bus".to_owned()))?;
        let connection = Self { pipeline, bus };
        let tail = Tail { config: config.clone(), tap, pipeline: connection.pipeline.downgrade() };
        match &config.source {
            Source::Uri(uri) => connection.rtsp(uri, tail)?,
            Source::File(file) => connection.file(file.path.to_str(), &file.path, tail)?,
            Source::Udp(port) => connection.udp(*port, &tail)?,
            Source::V4l2(camera) => connection.v4l2(camera, &tail)?,
            Source::Test(test) => {
                let (width_px, height_px, fps) = (test.width_px, test.height_px, test.fps);
                connection.fixed(
                    &format!(
                        "videotestsrc is-live=true pattern=ball animation-mode=running-time \
                         ! video/x-raw,format=I420,width={width_px},height={height_px},framerate={fps}/1 \
                         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={fps}"
                    ),
                    Form::H264,
                    &tail,
                )?;
            }
        }
        // A refusal is told again, with its reason, on the bus.
        let _ = connection.pipeline.set_state(gst::State::Playing);
        Ok(connection)
    }

    /// Waits at most `wait` for the end of the connection.
    pub fn end(&self, wait: Duration) -> Option<End> {
        let wait = gst::ClockTime::from_nseconds(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error, gst::MessageType::Latency];
        let message = self.bus.timed_pop_filtered(wait, &kinds)?;
        match message.view() {
            gst::MessageView::Eos(_) => Some(End::Complete),
            gst::MessageView::Error(error) => {
                let from = error.src().map(|element| element.name().to_string()).unwrap_or_default();
                let debug = error.debug().unwrap_or_default();
                let words = format!("{from}: {} {}", error.error(), specifics(&debug));
                Some(End::Failed(cause_of(&error.error()), words.trim_end().to_owned()))
            }
            _ => {
                let _ = self.pipeline.recalculate_latency();
                None
            }
        }
    }

    fn rtsp(&self, uri: &str, tail: Tail) -> Result<(), IngestError> {
        let source = gst::ElementFactory::make("rtspsrc")
            .property("location", uri)
            .property("latency", tail.config.latency_ms)
            .property("drop-on-latency", true)
            .property("timeout", UDP_PATIENCE_US)
            .property("tcp-timeout", TCP_PATIENCE_US)
            .property("udp-buffer-size", UDP_BUFFER_BYTES as i32)
            .build()
            .map_err(pipeline_error)?;
        // Absent before GStreamer 1.22.
        if source.has_property("add-reference-timestamp-meta") {
            source.set_property("add-reference-timestamp-meta", true);
        }
        // Sound and metadata are not asked for, so they can neither delay nor break the video.
        source.connect("select-stream", false, |arguments| {
            let caps = arguments.get(2).and_then(|value| value.get::<gst::Caps>().ok());
            let media = caps.and_then(|caps| caps.structure(0)?.get::<String>("media").ok());
            Some((media.as_deref() == Some("video")).to_value())
        });
        source.connect_pad_added(move |_, pad| tail.attach(pad));
        self.pipeline.add(&source).map_err(pipeline_error)
    }

    fn file(&self, path: Option<&str>, shown: &std::path::Path, tail: Tail) -> Result<(), IngestError> {
        let path = path.ok_or_else(|| IngestError::BadPath(shown.to_owned()))?;
        let source = gst::ElementFactory::make("filesrc").property("location", path).build().map_err(pipeline_error)?;
        let parse = gst::ElementFactory::make("parsebin").build().map_err(pipeline_error)?;
        self.pipeline.add_many([&source, &parse]).map_err(pipeline_error)?;
        source.link(&parse).map_err(pipeline_error)?;
        parse.connect_pad_added(move |_, pad| tail.attach(pad));
        Ok(())
    }

    fn udp(&self, port: u16, tail: &Tail) -> Result<(), IngestError> {
        let latency_ms = tail.config.latency_ms;
        let head = format!(
            "udpsrc port={port} buffer-size={UDP_BUFFER_BYTES} caps=\"{RTP_CAPS}\" \
             ! rtpjitterbuffer latency={latency_ms} drop-on-latency=true"
        );
        self.fixed(&head, Form::RtpH264, tail)
    }

    fn v4l2(&self, camera: &V4l2Source, tail: &Tail) -> Result<(), IngestError> {
        let device = camera.device.to_str().ok_or_else(|| IngestError::BadPath(camera.device.clone()))?;
        let (media, form) = match camera.format {
            V4l2Format::Raw => ("video/x-raw", Form::Raw),
            V4l2Format::Mjpeg => ("image/jpeg", Form::Jpeg),
            V4l2Format::H264 => ("video/x-h264", Form::H264),
        };
        let width = camera.width_px.map(|px| format!(",width={px}")).unwrap_or_default();
        let height = camera.height_px.map(|px| format!(",height={px}")).unwrap_or_default();
        let fps = camera.fps.map(|fps| format!(",framerate={fps}/1")).unwrap_or_default();
        self.fixed(&format!("v4l2src device=\"{device}\" ! {media}{width}{height}{fps}"), form, tail)
    }

    /// Links a source whose form is known beforehand to the tail.
    fn fixed(&self, head: &str, form: Form, tail: &Tail) -> Result<(), IngestError> {
        let head = gst::parse::bin_from_description(head, true).map_err(pipeline_error)?;
        self.pipeline.add(&head).map_err(pipeline_error)?;
        let tail = tail.build(form)?;
        head.link(&tail).map_err(pipeline_error)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Waits for the pipeline's threads, so no callback runs after this.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Is what a source delivers, in the form in which the tail takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    RtpH264,
    H264,
    Jpeg,
    Raw,
    /// Anything GStreamer has a decoder for; the page gets snapshots only.
    Other,
}

impl Form {
    fn of(caps: &gst::CapsRef) -> Option<Self> {
        let structure = caps.structure(0)?;
        let text = |field: &str| structure.get::<String>(field).unwrap_or_default();
        match structure.name().as_str() {
            "application/x-rtp" if text("media") != "video" => None,
            "application/x-rtp" if text("encoding-name") == "H264" => Some(Form::RtpH264),
            "video/x-h264" => Some(Form::H264),
            "video/x-raw" => Some(Form::Raw),
            "application/x-rtp" => Some(Form::Other),
            name if name.starts_with("video/") || name.starts_with("image/") => Some(Form::Other),
            _ => None,
        }
    }

    fn encoding(self) -> Encoding {
        match self {
            Form::RtpH264 | Form::H264 => Encoding::H264,
            Form::Jpeg | Form::Raw | Form::Other => Encoding::Raw,
        }
    }
}

/// Builds the part of the pipeline that all sources share.
struct Tail {
    config: Config,
    tap: Arc<Tap>,
    pipeline: gst::glib::WeakRef<gst::Pipeline>,
}

impl Tail {
    /// Links a pad that a source has just shown: the first video, and nothing else.
    fn attach(&self, pad: &gst::Pad) {
        let Some(pipeline) = self.pipeline.upgrade() else { return };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let form = Form::of(&caps).filter(|_| pipeline.by_name(SINK).is_none());
        let linked = match form {
            Some(form) => self.build(form).and_then(|tail| link(pad, &tail)),
            None => self.discard(&pipeline, pad),
        };
        if let Err(error) = linked {
            gst::element_error!(pipeline, gst::StreamError::Failed, ("{error}"));
        }
    }

    /// A pad with no peer would stop the demuxer.
    fn discard(&self, pipeline: &gst::Pipeline, pad: &gst::Pad) -> Result<(), IngestError> {
        let sink = gst::ElementFactory::make("fakesink").property("sync", false).property("async", false);
        let sink = sink.build().map_err(pipeline_error)?;
        pipeline.add(&sink).map_err(pipeline_error)?;
        sink.sync_state_with_parent().map_err(pipeline_error)?;
        link(pad, &sink)
    }

    fn build(&self, form: Form) -> Result<gst::Element, IngestError> {
        let pipeline = self.pipeline.upgrade().ok_or_else(|| IngestError::Pipeline("it is gone".to_owned()))?;
        let bin = gst::parse::bin_from_description(&self.description(form), true).map_err(pipeline_error)?;
        self.connect_tap(&bin, form.encoding())?;
        self.connect_sink(&bin)?;
        pipeline.add(&bin).map_err(pipeline_error)?;
        bin.sync_state_with_parent().map_err(pipeline_error)?;
        Ok(bin.upcast())
    }

    fn description(&self, form: Form) -> String {
        let decoder = &self.config.decoder;
        let pace = if self.config.source.is_live() { "" } else { "! clocksync" };
        let h264 = format!(
            "h264parse config-interval=-1 ! {WHOLE_UNITS} {pace} ! identity name={TAP} \
             ! queue name={QUEUE} max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! {decoder}"
        );
        let head = match form {
            Form::RtpH264 => format!("rtph264depay wait-for-keyframe=true ! {WHOLE_UNITS} ! {h264}"),
            Form::H264 => h264,
            Form::Jpeg => format!("identity name={TAP} ! jpegdec"),
            Form::Raw => format!("queue max-size-buffers=2 {pace} ! identity name={TAP}"),
            Form::Other => format!("decodebin ! video/x-raw {pace} ! identity name={TAP}"),
        };
        // Pixels are square from here on, as the geometry takes them; where the camera's are, nothing is scaled.
        format!(
            "{head} ! queue max-size-buffers={CONVERT_QUEUE} max-size-bytes=0 max-size-time=0 \
             ! videoconvert n-threads=1 ! videoscale ! video/x-raw,format=RGB,pixel-aspect-ratio=1/1 \
             ! appsink name={SINK} sync=false async=false drop=true max-buffers=1 enable-last-sample=false"
        )
    }

    fn connect_tap(&self, bin: &gst::Bin, encoding: Encoding) -> Result<(), IngestError> {
        let element = bin.by_name(TAP).ok_or_else(|| missing(TAP))?;
        let pad = element.static_pad("src").ok_or_else(|| missing(TAP))?;
        let queue = bin.by_name(QUEUE).map(|queue| queue.downgrade());
        let tap = self.tap.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else { return gst::PadProbeReturn::Ok };
            let queue = queue.as_ref().and_then(|queue| queue.upgrade());
            let undecoded = queue.map_or(0, |queue| queue.property::<u32>("current-level-buffers"));
            match tap.unit(pad, buffer, encoding, undecoded) {
                Decode::Yes => gst::PadProbeReturn::Ok,
                Decode::No => gst::PadProbeReturn::Drop,
            }
        });
        Ok(())
    }

    fn connect_sink(&self, bin: &gst::Bin) -> Result<(), IngestError> {
        let sink = bin.by_name(SINK).and_then(|sink| sink.downcast::<gst_app::AppSink>().ok());
        let sink = sink.ok_or_else(|| missing(SINK))?;
        let tap = self.tap.clone();
        let on_sample = move |sink: &gst_app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            tap.picture(&sample);
            Ok(gst::FlowSuccess::Ok)
        };
        sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
        Ok(())
    }
}

fn link(pad: &gst::Pad, to: &gst::Element) -> Result<(), IngestError> {
    let sink = to.static_pad("sink").ok_or_else(|| missing("sink"))?;
    pad.link(&sink).map(|_| ()).map_err(pipeline_error)
}

fn missing(name: &str) -> IngestError {
    IngestError::Pipeline(format!("{name} is missing in it"))
}

fn pipeline_error(error: impl std::fmt::Display) -> IngestError {
    IngestError::Pipeline(error.to_string())
}

/// Returns what an element says of its error: the last line of the debug text. The first names a line of GStreamer's source.
fn specifics(debug: &str) -> String {
    let line = debug.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).last();
    line.unwrap_or_default().chars().take(SPECIFICS_CHARS_MAX).collect()
}

fn cause_of(error: &gst::glib::Error) -> LossCause {
    if error.matches(gst::ResourceError::Failed) || error.kind::<gst::ResourceError>().is_some() {
        LossCause::Unreachable
    } else {
        LossCause::Broken
    }
}
