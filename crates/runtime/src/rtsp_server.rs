//! A camera for the simulator: pictures or access units in, H.264 over RTSP out, with the time each was taken.
//!
//! A drone's camera tells the time of its pictures in RTCP sender reports, and so does this server: a picture is placed on
//! the stream's timeline where it was captured, not where it was pushed, so the report's wall time is the capture time. With
//! no client nothing is encoded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_rtsp_server as gst_rtsp_server;
use gstreamer_rtsp_server::prelude::*;
use smgeo_flow::SharedClock;

use crate::ingest::{IngestError, packages};

/// The path of the stream.
pub const PATH: &str = "/main";
/// Sender reports come so often. RTCP's own minimum of five seconds would leave a client without capture times for the
/// first seconds of every connection.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);
/// Packets (or lists of them) after which the sender's reports are right: the first waits until a client plays.
const PACKETS_BEFORE_REPORTS: u64 = 3;
/// Pictures that wait for the encoder; the oldest is dropped when it cannot keep up.
const UNENCODED_MAX: u32 = 2;
/// Access units that wait for the network. One that is dropped damages the picture until the next key frame.
const UNSENT_MAX: u32 = 60;
/// A picture captured longer ago than this is not sent: the timeline cannot hold it.
const AGE_MAX: gst::ClockTime = gst::ClockTime::from_seconds(5);
/// Two clocks are read one after the other, and again if another thread came between the readings.
const READING_MAX: gst::ClockTime = gst::ClockTime::from_useconds(500);
const READINGS_MAX: u32 = 8;

/// Says what the server is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// RGB pictures, by [`RtspServer::push_frame`]; they are encoded while somebody watches.
    Pictures,
    /// H.264 access units in Annex B, by [`RtspServer::push_unit`], with parameter sets before every key frame.
    Units,
}

/// Configures the server.
#[derive(Clone, Debug)]
pub struct RtspConfig {
    /// The address to listen on.
    pub address: String,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Columns, even.
    pub width_px: u32,
    /// Rows, even.
    pub height_px: u32,
    /// Frames a second, as told to the encoder.
    pub fps: u32,
    /// The bit rate of encoded pictures.
    pub bitrate_kbps: u32,
    /// What it is given.
    pub stream: Stream,
}

impl RtspConfig {
    /// Makes a configuration for pictures on loopback, on a free port, at 6 Mb/s.
    pub fn loopback(width_px: u32, height_px: u32, fps: u32) -> Self {
        let address = "127.0.0.1".to_owned();
        Self { address, port: 0, width_px, height_px, fps, bitrate_kbps: 6_000, stream: Stream::Pictures }
    }

    /// The part of the pipeline before the payloader.
    fn launch(&self) -> String {
        let Self { width_px, height_px, fps, bitrate_kbps, .. } = self;
        let source = "appsrc name=source is-live=true format=time block=false max-bytes=0 leaky-type=downstream";
        match self.stream {
            Stream::Pictures => format!(
                "{source} max-buffers={UNENCODED_MAX} \
                 caps=video/x-raw,format=RGB,width={width_px},height={height_px},framerate={fps}/1 \
                 ! videoconvert n-threads=1 ! video/x-raw,format=I420 \
                 ! x264enc tune=zerolatency speed-preset=superfast key-int-max={fps} bitrate={bitrate_kbps} threads=1 \
                 ! video/x-h264,profile=main"
            ),
            Stream::Units => format!(
                "{source} max-buffers={UNSENT_MAX} \
                 caps=video/x-h264,stream-format=byte-stream,alignment=au,framerate={fps}/1 ! h264parse"
            ),
        }
    }
}

/// Is the head of the pipeline that runs, if one does: there is none while nobody watches.
type SharedSource = Arc<Mutex<Option<gst_app::AppSrc>>>;

/// Serves one stream until it is dropped.
pub struct RtspServer {
    config: RtspConfig,
    port: u16,
    clock: SharedClock,
    source: SharedSource,
    pushed: AtomicU64,
    unsent: AtomicU64,
    main_loop: glib::MainLoop,
    thread: Option<JoinHandle<()>>,
}

impl RtspServer {
    /// Begins to listen.
    pub fn start(config: RtspConfig, clock: SharedClock) -> Result<Self, IngestError> {
        packages::require(&["appsrc", "rtph264pay", "rtpbin"])?;
        packages::require(match config.stream {
            Stream::Pictures => &["videoconvert", "x264enc"],
            Stream::Units => &["h264parse"],
        })?;
        let source: SharedSource = Arc::new(Mutex::new(None));
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let (ready, listening) = mpsc::channel();
        let thread = {
            let (config, source, main_loop) = (config.clone(), source.clone(), main_loop.clone());
            let serve = move || serve(&config, &source, &main_loop, &ready);
            thread::Builder::new().name("rtsp-server".to_owned()).spawn(serve)
        };
        let thread = thread.map_err(|error| IngestError::Pipeline(error.to_string()))?;
        let refused = |reason: String| IngestError::Port { address: config.address.clone(), port: config.port, reason };
        match listening.recv() {
            Ok(Ok(port)) => {
                let (pushed, unsent) = (AtomicU64::new(0), AtomicU64::new(0));
                Ok(Self { config, port, clock, source, pushed, unsent, main_loop, thread: Some(thread) })
            }
            Ok(Err(reason)) => Err(refused(reason)),
            Err(_) => Err(refused("its thread ended".to_owned())),
        }
    }

    /// Returns the address clients connect to.
    pub fn uri(&self) -> String {
        format!("rtsp://{}:{}{PATH}", host(&self.config.address), self.port)
    }

    /// Returns the port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Counts the pictures that went to the encoder, and those that could not.
    pub fn counts(&self) -> (u64, u64) {
        (self.pushed.load(Ordering::Relaxed), self.unsent.load(Ordering::Relaxed))
    }

    /// Sends a picture, `height_px` rows of `width_px` RGB pixels, captured at `captured_wall_us` (microseconds since
    /// 1970). With no client connected it goes nowhere. Says whether it went to the encoder.
    pub fn push_frame(&self, rgb: Bytes, captured_wall_us: i64) -> bool {
        let whole = rgb.len() == self.config.width_px as usize * self.config.height_px as usize * 3;
        self.push_counted(rgb, captured_wall_us, whole && self.config.stream == Stream::Pictures)
    }

    /// Sends an access unit of a picture captured at `captured_wall_us`. Says whether it went to a client.
    pub fn push_unit(&self, unit: Bytes, captured_wall_us: i64) -> bool {
        let whole = unit.starts_with(&[0, 0, 1]) || unit.starts_with(&[0, 0, 0, 1]);
        self.push_counted(unit, captured_wall_us, whole && self.config.stream == Stream::Units)
    }

    fn push_counted(&self, bytes: Bytes, captured_wall_us: i64, fits: bool) -> bool {
        let sent = fits && self.push(bytes, captured_wall_us).is_some();
        let counter = if sent { &self.pushed } else { &self.unsent };
        counter.fetch_add(1, Ordering::Relaxed);
        sent
    }

    fn push(&self, bytes: Bytes, captured_wall_us: i64) -> Option<()> {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let pts = self.place(&source, captured_wall_us)?;
        let mut buffer = gst::Buffer::from_slice(bytes);
        let plain = buffer.get_mut()?;
        plain.set_pts(pts);
        plain.set_duration(gst::ClockTime::SECOND / u64::from(self.config.fps.max(1)));
        source.push_buffer(buffer).ok().map(|_| ())
    }
}

impl RtspServer {
    /// Returns the place of a moment on the stream's timeline. A moment too long ago has none, nor has one before the
    /// stream began.
    fn place(&self, source: &gst_app::AppSrc, wall_us: i64) -> Option<gst::ClockTime> {
        let mut before = source.current_running_time()?;
        for _ in 0..READINGS_MAX {
            let age_us = u64::try_from((self.clock.wall_us_now() - wall_us).max(0)).ok()?;
            let after = source.current_running_time()?;
            if after.saturating_sub(before) <= READING_MAX {
                let age = gst::ClockTime::from_useconds(age_us);
                return if age <= AGE_MAX { after.checked_sub(age) } else { None };
            }
            before = after;
        }
        None
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.main_loop.quit();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

fn serve(
    config: &RtspConfig,
    source: &SharedSource,
    main_loop: &glib::MainLoop,
    ready: &mpsc::Sender<Result<u16, String>>,
) {
    let context = main_loop.context();
    let served = context.with_thread_default(|| {
        let server = gst_rtsp_server::RTSPServer::new();
        server.set_address(&config.address);
        server.set_service(&config.port.to_string());
        let Some(mounts) = server.mount_points() else {
            return ready.send(Err("it has no mount points".to_owned())).unwrap_or(());
        };
        mounts.add_factory(PATH, factory(config, source.clone()));
        let listener = match server.attach(Some(&context)) {
            Ok(listener) => listener,
            Err(error) => return ready.send(Err(error.to_string())).unwrap_or(()),
        };
        let port = u16::try_from(server.bound_port()).unwrap_or(0);
        if ready.send(Ok(port)).is_ok() {
            main_loop.run();
        }
        *source.lock().unwrap_or_else(PoisonError::into_inner) = None;
        mounts.remove_factory(PATH);
        server.client_filter(Some(&mut |_, _| gst_rtsp_server::RTSPFilterResult::Remove));
        if let Some(listener) = context.find_source_by_id(&listener) {
            listener.destroy();
        }
        if let Some(sessions) = server.session_pool() {
            sessions.filter(Some(&mut |_, _| gst_rtsp_server::RTSPFilterResult::Remove));
        }
        while context.iteration(false) {}
    });
    if let Err(error) = served {
        let _ = ready.send(Err(error.to_string()));
    }
}

fn factory(config: &RtspConfig, source: SharedSource) -> gst_rtsp_server::RTSPMediaFactory {
    let factory = gst_rtsp_server::RTSPMediaFactory::new();
    let head = config.launch();
    factory.set_launch(&format!("( {head} ! rtph264pay name=pay0 pt=96 config-interval=1 )"));
    factory.set_shared(true);
    factory.set_enable_rtcp(true);
    // Pictures leave as they are encoded: the jitter buffer is the client's affair.
    factory.set_latency(0);
    factory.connect_media_configure(move |_, media| {
        let fed = media.element().downcast::<gst::Bin>().ok().and_then(|bin| bin.by_name("source"));
        let fed = fed.and_then(|fed| fed.downcast::<gst_app::AppSrc>().ok());
        *source.lock().unwrap_or_else(PoisonError::into_inner) = fed.clone();
        media.connect_prepared(report_often);
        let source = source.clone();
        media.connect_unprepared(move |_| {
            let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
            // A newer client may have made a newer one.
            if *source == fed {
                *source = None;
            }
        });
    });
    factory
}

/// Lets reports come often, and the first only when pictures flow: a report made before the first picture says that it was
/// taken when the stream began.
fn report_often(media: &gst_rtsp_server::RTSPMedia) {
    set_sessions(media, "rtcp-min-interval", REPORT_INTERVAL.as_nanos() as u64);
    let payloader = media.element().downcast::<gst::Bin>().ok().and_then(|bin| bin.by_name("pay0"));
    let Some(pad) = payloader.and_then(|payloader| payloader.static_pad("src")) else { return };
    set_sessions(media, "disable-sr-timestamp", true);
    let (media, packets) = (media.downgrade(), AtomicU64::new(0));
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, _| {
        if packets.fetch_add(1, Ordering::Relaxed) < PACKETS_BEFORE_REPORTS {
            return gst::PadProbeReturn::Ok;
        }
        if let Some(media) = media.upgrade() {
            set_sessions(&media, "disable-sr-timestamp", false);
        }
        gst::PadProbeReturn::Remove
    });
}

/// Sets a property of every RTP session that knows it.
fn set_sessions(media: &gst_rtsp_server::RTSPMedia, property: &str, value: impl Into<glib::Value>) {
    let value = value.into();
    let sessions = (0..media.n_streams()).filter_map(|index| media.stream(index)?.rtpsession());
    for session in sessions.filter(|session| session.has_property(property)) {
        session.set_property_from_value(property, &value);
    }
}

/// Returns how an address is written in a URI; one that stands for every network is reached by loopback.
fn host(address: &str) -> String {
    match address {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        address if address.contains(':') => format!("[{address}]"),
        address => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_an_address_that_a_client_on_this_machine_reaches() {
        for (address, named) in [
            ("127.0.0.1", "127.0.0.1"),
            ("192.168.1.2", "192.168.1.2"),
            ("0.0.0.0", "127.0.0.1"),
            ("::", "[::1]"),
            ("fd00::2", "[fd00::2]"),
        ] {
            assert_eq!(host(address), named);
        }
    }
}
