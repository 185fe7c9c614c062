//! Ingest against real pipelines: an RTSP server on loopback, files of real H.264, and what can go wrong with them.

mod files;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use smgeo_flow::latest::{self, Take};
use smgeo_flow::{SharedClock, Stage, Stamp, StopToken, SystemClock};
use smgeo_messages::{AccessUnit, Frame, TimeSource};
use smgeo_runtime::ingest::config::FileSource;
use smgeo_runtime::ingest::{AtEnd, Config, IngestBoard, IngestView, LossCause, Source, SourceState, TestSource};
use smgeo_runtime::rtsp_server::{RtspConfig, RtspServer, Stream};
use tokio::sync::broadcast;

/// A limit, not a measure: a machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// An ingest on its own thread.
struct Running {
    clock: SharedClock,
    frames: Take<Frame>,
    units: broadcast::Receiver<AccessUnit>,
    view: IngestView,
    stop: StopToken,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(config: Config) -> Self {
        let clock = SystemClock::shared();
        let (put, frames) = latest::channel();
        let (units, receiver) = broadcast::channel(256);
        let board = IngestBoard::default();
        let mut ingest = config.build(clock.clone(), put, units, &board).expect("the configuration is right");
        let view = board.view();
        let stop = StopToken::new();
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.is_stopped() {
                ingest.step().expect("ingest never fails");
            }
        });
        Self { clock, frames, units: receiver, view, stop, thread: Some(thread) }
    }

    fn next(&self) -> Frame {
        self.frames.take(PATIENCE).unwrap_or_else(|| panic!("no frame; {:?}", self.view.state.borrow()))
    }

    fn wait_for(&self, what: &str, condition: impl Fn(&SourceState) -> bool) -> Duration {
        let begun = self.clock.now();
        while !condition(&self.view.state.borrow()) {
            let waited = self.clock.now().since(begun);
            assert!(waited < PATIENCE, "{what}: not within {waited:?}; {:?}", self.view.state.borrow());
            thread::park_timeout(Duration::from_millis(5));
        }
        self.clock.now().since(begun)
    }

    fn count(&self, name: &str) -> u64 {
        let all = self.view.counts.all();
        all.iter().find(|(known, _)| *known == name).map(|(_, count)| *count).expect("a counter's name")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A camera that serves pictures with their number written into them, each said to be 5 ms old when it is pushed.
struct Camera {
    server: Arc<RtspServer>,
    captured: Arc<Mutex<Vec<Stamp>>>,
    offset_us: Arc<AtomicI64>,
    mood: Arc<AtomicU8>,
    stop: StopToken,
    thread: Option<JoinHandle<()>>,
}

/// The moods of a camera: sending, sending the same picture again and again, connected but silent.
const SENDING: u8 = 0;
const FROZEN: u8 = 1;
const SILENT: u8 = 2;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;
const BIT_PX: usize = 40;

impl Camera {
    fn start(config: RtspConfig, clock: SharedClock) -> Self {
        let server = Arc::new(RtspServer::start(config.clone(), clock.clone()).expect("the server starts"));
        let captured = Arc::new(Mutex::new(Vec::new()));
        let offset_us = Arc::new(AtomicI64::new(0));
        let (mood, stop) = (Arc::new(AtomicU8::new(SENDING)), StopToken::new());
        let thread = {
            let (server, captured, stop) = (server.clone(), captured.clone(), stop.clone());
            let (offset_us, mood) = (offset_us.clone(), mood.clone());
            thread::spawn(move || {
                let period = Duration::from_secs(1) / config.fps;
                let mut due = clock.now();
                for number in 0_u32.. {
                    if stop.is_stopped() {
                        return;
                    }
                    let taken = clock.now().minus(Duration::from_millis(5));
                    captured.lock().unwrap().push(taken);
                    let mood = mood.load(Ordering::SeqCst);
                    let shown = if mood == FROZEN { 0 } else { number };
                    let picture = numbered(shown, config.width_px as usize, config.height_px as usize);
                    if mood != SILENT {
                        server.push_frame(picture, clock.wall_us(taken) + offset_us.load(Ordering::SeqCst));
                    }
                    due = due.plus(period);
                    thread::park_timeout(due.since(clock.now()));
                }
            })
        };
        Self { server, captured, offset_us, mood, stop, thread: Some(thread) }
    }

    fn truth(&self, frame: &Frame) -> Stamp {
        self.captured.lock().unwrap()[number_in(frame) as usize]
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn numbered(number: u32, width: usize, height: usize) -> Bytes {
    let mut rgb = vec![90_u8; width * height * 3];
    for y in 0..BIT_PX {
        for bit in 0..16 {
            let level = if number >> bit & 1 == 1 { 235 } else { 20 };
            let begin = (y * width + bit * BIT_PX) * 3;
            rgb[begin..begin + BIT_PX * 3].fill(level);
        }
    }
    rgb.into()
}

fn number_in(frame: &Frame) -> u32 {
    let row = (BIT_PX / 2) * frame.width_px as usize;
    let bit = |index: usize| frame.bytes[(row + index * BIT_PX + BIT_PX / 2) * 3] > 128;
    (0..16).filter(|index| bit(*index)).map(|index| 1 << index).sum()
}

#[test]
fn frames_and_access_units_of_one_picture_have_one_id_and_one_time() {
    let test = TestSource { width_px: 320, height_px: 240, fps: 30 };
    let mut running = Running::start(Config::new(Source::Test(test)));
    let frames: Vec<Frame> = (0..10).map(|_| running.next()).collect();
    let mut units = Vec::new();
    while let Ok(unit) = running.units.try_recv() {
        units.push(unit);
    }
    assert!(units[0].key && units[0].bytes.starts_with(&[0, 0, 0, 1]), "the first unit begins a stream, in Annex B");
    for frame in &frames {
        let unit = units.iter().find(|unit| unit.frame == frame.id).expect("each frame has its unit");
        assert_eq!(unit.captured, frame.captured);
        assert_eq!(frame.bytes.len(), 320 * 240 * 3);
        assert!(frame.captured <= frame.arrived && !frame.frozen);
    }
    assert!(frames.windows(2).all(|pair| pair[0].id < pair[1].id && pair[0].captured < pair[1].captured));
}

#[test]
fn a_stream_tells_the_true_capture_time_of_its_frames() {
    let clock = SystemClock::shared();
    let camera = Camera::start(RtspConfig::loopback(WIDTH, HEIGHT, 30), clock.clone());
    let running = Running::start(Config::new(Source::Uri(camera.server.uri())));
    let mut errors_ms = Vec::new();
    let mut first = None;
    while errors_ms.len() < 45 {
        let frame = running.next();
        first.get_or_insert(frame.time_source);
        if frame.time_source == TimeSource::Ntp {
            // Both clocks read one machine; only their origins differ.
            let truth_us = clock.wall_us(camera.truth(&frame));
            errors_ms.push((running.clock.wall_us(frame.captured) - truth_us) as f64 / 1e3);
        }
    }
    errors_ms.sort_by(f64::total_cmp);
    let (least_ms, median_ms, most_ms) = (errors_ms[0], errors_ms[22], errors_ms[44]);
    println!("first by {first:?}; capture time error, ms: {least_ms:.2} to {most_ms:.2}, median {median_ms:.2}");
    assert!(median_ms.abs() < 3.0 && least_ms > -60.0 && most_ms < 60.0, "{errors_ms:?}");
}

/// The slices of an access unit, whatever parameter sets and delimiters stand before them.
fn slices(unit: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> =
        (0..unit.len().saturating_sub(3)).filter(|&at| unit[at..].starts_with(&[0, 0, 1])).collect();
    let ends = starts.iter().skip(1).copied().chain([unit.len()]);
    // A slice never ends in a zero: those belong to the next start code.
    let length = |slice: &[u8]| slice.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let units = starts.iter().zip(ends).map(|(&start, end)| &unit[start + 3..end]);
    let units = units.map(|unit| &unit[..length(unit)]).filter(|unit| !unit.is_empty());
    units.filter(|unit| matches!(unit[0] & 0x1f, 1 | 5)).collect()
}

#[test]
fn a_stream_of_access_units_is_served_as_it_is_and_its_frames_keep_their_capture_times() {
    let clock = SystemClock::shared();
    // Units of a real encoder, taken from a source's own page feed.
    let test = TestSource { width_px: 320, height_px: 240, fps: 30 };
    let mut filmed = Running::start(Config::new(Source::Test(test)));
    let config = RtspConfig { stream: Stream::Units, ..RtspConfig::loopback(320, 240, 30) };
    let server = RtspServer::start(config, clock.clone()).expect("the server starts");
    let mut played = Running::start(Config::new(Source::Uri(server.uri())));
    let mut pushed: Vec<(Bytes, Stamp)> = Vec::new();
    let mut received: Vec<AccessUnit> = Vec::new();
    let mut frames: Vec<Frame> = Vec::new();
    let begun = clock.now();
    while frames.len() < 60 {
        assert!(clock.now().since(begun) < PATIENCE, "{} frames; {:?}", frames.len(), played.view.state.borrow());
        received.extend(std::iter::from_fn(|| played.units.try_recv().ok()));
        frames.extend(played.frames.try_take());
        let Ok(unit) = filmed.units.try_recv() else {
            thread::park_timeout(Duration::from_millis(2));
            continue;
        };
        let taken = clock.now().minus(Duration::from_millis(7));
        server.push_unit(unit.bytes.clone(), clock.wall_us(taken));
        pushed.push((unit.bytes, taken));
    }
    assert!(!server.push_frame(Bytes::from_static(&[0; 320 * 240 * 3]), 0), "it takes no pictures");
    assert!(!server.push_unit(Bytes::from_static(b"no unit"), 0));
    // The stream is not encoded again: the slices are those that were pushed.
    let taken_of = |unit: &AccessUnit| {
        let own = pushed.iter().filter(|(bytes, _)| slices(bytes) == slices(&unit.bytes));
        own.map(|(_, taken)| clock.wall_us(*taken)).collect::<Vec<_>>()
    };
    for frame in &frames {
        let Some(unit) = received.iter().find(|unit| unit.frame == frame.id) else { continue };
        let taken = taken_of(unit);
        assert!(!taken.is_empty(), "the slices of frame {} are none that were pushed", frame.id);
        let captured = played.clock.wall_us(frame.captured);
        let off_ms =
            taken.iter().map(|taken| (captured - taken) as f64 / 1e3).min_by(|a, b| a.abs().total_cmp(&b.abs()));
        let (off_ms, sigma_ms) = (off_ms.unwrap(), frame.time_sigma.as_secs_f64() * 1e3);
        assert!(off_ms.abs() < 3.0 * sigma_ms, "{off_ms} ms off with a sigma of {sigma_ms} ms");
    }
}

#[test]
fn a_sender_whose_clock_was_never_set_is_not_believed() {
    let clock = SystemClock::shared();
    let camera = Camera::start(RtspConfig::loopback(WIDTH, HEIGHT, 30), clock.clone());
    // The reports follow this machine's clock, so a camera with a wrong clock is one whose pictures seem 4 s old.
    camera.offset_us.store(-4_000_000, Ordering::SeqCst);
    let running = Running::start(Config::new(Source::Uri(camera.server.uri())));
    running.wait_for("live", |state| matches!(state, SourceState::Live { .. }));
    let begun = running.clock.now();
    while running.count("sender_time_refused") < 5 {
        let frame = running.next();
        assert_ne!(frame.time_source, TimeSource::Ntp);
        assert!(frame.time_sigma >= Duration::from_millis(60));
        assert!(running.clock.now().since(begun) < PATIENCE, "no sender report was refused");
    }
}

#[test]
fn a_server_that_dies_and_comes_back_is_found_again() {
    let clock = SystemClock::shared();
    let camera = Camera::start(RtspConfig::loopback(WIDTH, HEIGHT, 30), clock.clone());
    let port = camera.server.port();
    let running = Running::start(Config::new(Source::Uri(camera.server.uri())));
    let first = running.next();
    drop(camera);
    let lost_after = running.wait_for("lost", |state| matches!(state, SourceState::Lost { .. }));
    while running.frames.try_take().is_some() {}

    // The same port, another size: a frame of the old size would be a stale one.
    let camera = Camera::start(RtspConfig { port, ..RtspConfig::loopback(800, 448, 30) }, clock);
    let found_after = running.wait_for("live again", |state| matches!(state, SourceState::Live { .. }));
    let frame = running.next();
    println!("lost after {lost_after:?}, found again after {found_after:?}");
    assert_eq!((frame.width_px, frame.height_px), (800, 448));
    assert!(frame.id > first.id && frame.captured > first.captured);
    assert!(camera.truth(&frame) > first.arrived || number_in(&frame) < 300);
    assert_eq!(running.count("size_changes"), 1);
}

#[test]
fn a_camera_that_is_connected_and_says_nothing_is_lost_and_found_again() {
    let camera = Camera::start(RtspConfig::loopback(WIDTH, HEIGHT, 30), SystemClock::shared());
    let mut config = Config::new(Source::Uri(camera.server.uri()));
    config.silence_ms_max = 500;
    config.connect_ms_max = 1_000;
    let running = Running::start(config);
    running.wait_for("live", |state| matches!(state, SourceState::Live { .. }));
    camera.mood.store(SILENT, Ordering::SeqCst);
    let silent = |state: &SourceState| matches!(state, SourceState::Lost { cause: LossCause::Silent, .. });
    let lost_after = running.wait_for("lost", silent);
    camera.mood.store(SENDING, Ordering::SeqCst);
    let found_after = running.wait_for("live again", |state| matches!(state, SourceState::Live { .. }));
    println!("silence noticed after {lost_after:?}, video again after {found_after:?}");
}

#[test]
fn a_frozen_picture_is_flagged_though_its_times_advance() {
    let camera = Camera::start(RtspConfig::loopback(WIDTH, HEIGHT, 30), SystemClock::shared());
    let running = Running::start(Config::new(Source::Uri(camera.server.uri())));
    assert!(!running.next().frozen);
    camera.mood.store(FROZEN, Ordering::SeqCst);
    let begun = running.clock.now();
    let mut before = running.next();
    while !before.frozen {
        let frame = running.next();
        assert!(frame.captured > before.captured);
        assert!(running.clock.now().since(begun) < PATIENCE, "not flagged");
        before = frame;
    }
    println!("frozen after {:?}", running.clock.now().since(begun));
    camera.mood.store(SENDING, Ordering::SeqCst);
    while running.next().frozen {
        assert!(running.clock.now().since(begun) < PATIENCE, "still flagged");
    }
}

#[test]
fn rtp_over_udp_is_received_and_a_sender_that_restarts_is_taken_up_again() {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let running = Running::start(Config::new(Source::Udp(port)));
    let mut before: Option<Frame> = None;
    // Each sender begins with sequence numbers and times of its own, so the second is a jump of both.
    for (width_px, sent_s) in [(320, 1), (480, 2)] {
        let description = format!(
            "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width={width_px},height=240,framerate=30/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay config-interval=1 \
             ! udpsink host=127.0.0.1 port={port}"
        );
        let sender = gst::parse::launch(&description).unwrap();
        sender.set_state(gst::State::Playing).unwrap();
        let begun = running.clock.now();
        loop {
            assert!(running.clock.now().since(begun) < PATIENCE, "no picture of sender {sent_s}");
            let Some(frame) = running.frames.take(Duration::from_millis(100)) else { continue };
            assert!(frame.captured <= frame.arrived);
            if let Some(before) = &before {
                assert!(frame.captured > before.captured);
            }
            let done = frame.width_px == width_px && running.clock.now().since(begun) > Duration::from_secs(1);
            before = Some(frame);
            if done {
                break;
            }
        }
        sender.set_state(gst::State::Null).unwrap();
    }
    assert_eq!(running.count("size_changes"), 1);
    assert_eq!(running.count("connects"), 1, "a pause shorter than the silence allowed is no loss");
}

#[test]
fn connecting_again_and_again_leaks_neither_files_nor_threads() {
    let entries = |folder: &str| std::fs::read_dir(folder).map_or(0, Iterator::count);
    let camera = Camera::start(RtspConfig::loopback(320, 240, 30), SystemClock::shared());
    let uri = camera.server.uri();
    let once = || {
        let running = Running::start(Config::new(Source::Uri(uri.clone())));
        running.wait_for("live", |state| matches!(state, SourceState::Live { .. }));
    };
    // Thread pools and caches fill with the first connections.
    (0..4).for_each(|_| once());
    let before = (entries("/proc/self/fd"), entries("/proc/self/task"));
    (0..10).for_each(|_| once());
    let after = (entries("/proc/self/fd"), entries("/proc/self/task"));
    println!("files and threads: {before:?} before, {after:?} after");
    // Other tests of this process come and go; a leak would show as one of each for every connection.
    assert!(after.0 < before.0 + 40 && after.1 < before.1 + 40, "{before:?} {after:?}");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = RtspConfig { port, ..RtspConfig::loopback(320, 240, 30) };
    let error = RtspServer::start(config, SystemClock::shared()).err().expect("the port is taken");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}
