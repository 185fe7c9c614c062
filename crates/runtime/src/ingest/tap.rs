//! Where a pipeline touches the rest of the program: at the tap before the decoder, and at the sink behind it.
//!
//! At the tap every access unit gets its id and its capture time and goes to the page as the camera sent it. The id rides
//! on the buffer through the decoder, so the decoded frame has the id and the time of its access unit, whatever the
//! decoder reorders or loses.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use smgeo_flow::latest::Put;
use smgeo_flow::{SharedClock, Stamp};
use smgeo_messages::{AccessUnit, Frame, FrameId, PixelFormat};
use tokio::sync::broadcast;
use tracing::warn;

use super::capture_clock::{Arrival, CaptureClock, CaptureTime};
use super::counts::Counts;
use super::still::StillWatch;

/// A decoder holds back at most 16 frames by the H.264 standard; four times that is beyond doubt lost.
const PENDING_MAX: usize = 64;
/// A capture time that is more uncertain than this because of what its sender says is told of, once a connection.
const SENDER_DOUBT: Duration = Duration::from_secs(1);
/// Access units that wait for the decoder; more means that it cannot keep up.
const UNDECODED_MAX: u32 = 15;
/// Pictures beyond this are refused: a decoder asked for them would take the machine's memory.
const SIDE_PX_MAX: u32 = 8_192;
const SIDE_PX_MIN: u32 = 16;
/// Seconds from the epoch of NTP, 1900, to that of Unix.
const NTP_EPOCH_S: u64 = 2_208_988_800;

static SENDER_TIME: LazyLock<gst::Caps> = LazyLock::new(|| gst::Caps::new_empty_simple("timestamp/x-ntp"));
static FRAME_ID: LazyLock<gst::Caps> = LazyLock::new(|| gst::Caps::new_empty_simple("timestamp/x-smgeo-frame"));

/// Outlives the connections: where frames and access units go, and what is counted.
pub struct Outlet {
    pub(super) clock: SharedClock,
    pub(super) counts: Arc<Counts>,
    units: broadcast::Sender<AccessUnit>,
    // Ids begin at the wall time in ms, so that an id from before a restart of the process never names another frame.
    next_id: AtomicU64,
    // Locked only by the one thread behind the decoder of the one connection there is.
    sink: Mutex<Sink>,
}

struct Sink {
    frames: Put<Frame>,
    still: StillWatch,
    captured_last: Stamp,
    size_px: (u32, u32),
}

impl Outlet {
    /// Makes the outlet of one source.
    pub fn new(
        clock: SharedClock,
        counts: Arc<Counts>,
        frames: Put<Frame>,
        units: broadcast::Sender<AccessUnit>,
        still_frames_max: u32,
    ) -> Self {
        let next_id = AtomicU64::new(u64::try_from(clock.wall_us_now() / 1_000).unwrap_or(0));
        let still = StillWatch::new(still_frames_max);
        let sink = Mutex::new(Sink { frames, still, captured_last: Stamp::default(), size_px: (0, 0) });
        Self { clock, counts, units, next_id, sink }
    }

    fn hand_on(&self, stamped: Stamped, width_px: u32, height_px: u32, bytes: Bytes) {
        let mut sink = locked(&self.sink);
        let frozen = sink.still.is_frozen(&bytes);
        // Within a connection the capture clock never runs back; from one to the next it may, by as much as it was wrong.
        let captured = stamped.time.captured.max(sink.captured_last.plus(Duration::from_nanos(1)));
        let time_sigma = stamped.time.sigma + captured.since(stamped.time.captured);
        if sink.size_px != (width_px, height_px) {
            if sink.size_px != (0, 0) {
                Counts::add(&self.counts.size_changes);
            }
            sink.size_px = (width_px, height_px);
        }
        sink.captured_last = captured;
        if frozen {
            Counts::add(&self.counts.frames_frozen);
        }
        Counts::add(&self.counts.frames_in);
        let frame = Frame {
            id: stamped.id,
            captured,
            time_source: stamped.time.source,
            time_sigma,
            arrived: stamped.arrived,
            width_px,
            height_px,
            format: PixelFormat::Rgb8,
            bytes,
            frozen,
        };
        if sink.frames.put(frame).is_some() {
            Counts::add(&self.counts.frames_superseded);
        }
    }
}

/// Lives as long as one connection.
pub struct Tap {
    outlet: Arc<Outlet>,
    stamping: Mutex<Stamping>,
    waits_for_key: AtomicBool,
    arrived_last_ns: AtomicU64,
    frames: AtomicU64,
    pictured_last_ns: AtomicU64,
    media_origin_ns: AtomicU64,
}

struct Stamping {
    capture_clock: CaptureClock,
    is_doubt_told: bool,
    pending: VecDeque<Stamped>,
}

#[derive(Clone, Copy)]
struct Stamped {
    id: FrameId,
    pts: Option<gst::ClockTime>,
    arrived: Stamp,
    time: CaptureTime,
}

impl Tap {
    /// Makes the tap of a new connection.
    pub fn new(outlet: Arc<Outlet>, capture_clock: CaptureClock) -> Self {
        let arrived_last_ns = AtomicU64::new(outlet.clock.now().ns());
        Self {
            outlet,
            stamping: Mutex::new(Stamping {
                capture_clock,
                is_doubt_told: false,
                pending: VecDeque::with_capacity(PENDING_MAX),
            }),
            waits_for_key: AtomicBool::new(false),
            arrived_last_ns,
            frames: AtomicU64::new(0),
            pictured_last_ns: AtomicU64::new(0),
            media_origin_ns: AtomicU64::new(0),
        }
    }

    /// Returns when data last arrived; before any did, when the connection was begun.
    pub fn arrived_last(&self) -> Stamp {
        Stamp::from_ns(self.arrived_last_ns.load(Ordering::Relaxed))
    }

    /// Counts the frames handed on by this connection.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Returns when a picture was last handed on; the origin before the first.
    pub fn pictured_last(&self) -> Stamp {
        Stamp::from_ns(self.pictured_last_ns.load(Ordering::Relaxed))
    }

    /// Returns the moment at which the source's running time was zero: for a recording, when its first frame was shown.
    pub fn media_origin(&self) -> Option<Stamp> {
        match self.media_origin_ns.load(Ordering::Relaxed) {
            0 => None,
            ns => Some(Stamp::from_ns(ns)),
        }
    }

    /// Taps a buffer before the decoder: gives it an id and a time, hands the access unit on, and says whether the
    /// decoder, before which `undecoded` of them wait, shall have it. Pictures that come uncompressed have no access unit.
    pub fn unit(&self, pad: &gst::Pad, buffer: &mut gst::Buffer, encoding: Encoding, undecoded: u32) -> Decode {
        let arrived = self.outlet.clock.now();
        self.arrived_last_ns.store(arrived.ns(), Ordering::Relaxed);
        Counts::add(&self.outlet.counts.units_in);
        let stamped = self.stamp(pad, buffer, arrived);
        let id_ns = gst::ClockTime::from_nseconds(stamped.id.0);
        gst::ReferenceTimestampMeta::add(buffer.make_mut(), &FRAME_ID, id_ns, gst::ClockTime::NONE);
        if encoding == Encoding::Raw {
            return Decode::Yes;
        }
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        if self.outlet.units.receiver_count() > 0
            && let Ok(mapped) = buffer.clone().into_mapped_buffer_readable()
        {
            let bytes = Bytes::from_owner(mapped);
            // No listener any more is no error: the page was closed.
            let _ =
                self.outlet.units.send(AccessUnit { frame: stamped.id, captured: stamped.time.captured, key, bytes });
        }
        self.decode(key, undecoded)
    }

    /// A decoder that is behind never catches up by itself, so what waits is cut off and it goes on at the next key frame.
    fn decode(&self, key: bool, undecoded: u32) -> Decode {
        let behind = undecoded > UNDECODED_MAX;
        let waits = behind || (self.waits_for_key.load(Ordering::Relaxed) && !key);
        self.waits_for_key.store(waits, Ordering::Relaxed);
        if waits {
            Counts::add(&self.outlet.counts.units_overload);
            return Decode::No;
        }
        Decode::Yes
    }

    fn stamp(&self, pad: &gst::Pad, buffer: &gst::BufferRef, arrived: Stamp) -> Stamped {
        let running_ns = buffer.pts().and_then(|pts| running_time_ns(pad, pts));
        let running_now_ns = pad
            .parent_element()
            .and_then(|element| element.current_running_time())
            .and_then(|time| i64::try_from(time.nseconds()).ok());
        if let Some(now_ns) = running_now_ns {
            let origin = arrived.minus(Duration::from_nanos(now_ns.unsigned_abs()));
            let _ = self.media_origin_ns.compare_exchange(0, origin.ns(), Ordering::Relaxed, Ordering::Relaxed);
        }
        let sender = sender_wall_us(buffer).map(|wall_us| self.outlet.clock.stamp_of_wall_us(wall_us));
        let mut stamping = locked(&self.stamping);
        let wall_origin_us = self.outlet.clock.wall_us(Stamp::default());
        let arrival = Arrival { at: arrived, running_ns, running_now_ns, sender, wall_origin_us };
        let time = stamping.capture_clock.capture_time(arrival);
        if time.sender_refused {
            Counts::add(&self.outlet.counts.sender_time_refused);
            if time.sigma > SENDER_DOUBT && !std::mem::replace(&mut stamping.is_doubt_told, true) {
                let way_out = "where its clock is not set, ingest.sender_clock_age_ms_max = 0 ignores it";
                warn!(sigma_s = time.sigma.as_secs_f64(), way_out, "video is late, or its sender's clock is wrong");
            }
        }
        let id = FrameId(self.outlet.next_id.fetch_add(1, Ordering::Relaxed));
        let stamped = Stamped { id, pts: buffer.pts(), arrived, time };
        if stamping.pending.len() == PENDING_MAX {
            stamping.pending.pop_front();
        }
        stamping.pending.push_back(stamped);
        stamped
    }

    /// Takes a decoded RGB picture from the sink and hands it on as a frame.
    pub fn picture(&self, sample: &gst::Sample) {
        let counts = &self.outlet.counts;
        let Some(buffer) = sample.buffer_owned() else { return Counts::add(&counts.frames_refused) };
        if buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
            return Counts::add(&counts.frames_corrupt);
        }
        let Some(stamped) = self.stamped(&buffer) else { return Counts::add(&counts.frames_unmatched) };
        let Some((width_px, height_px, bytes)) = packed_rgb(sample, buffer) else {
            return Counts::add(&counts.frames_refused);
        };
        self.outlet.hand_on(stamped, width_px, height_px, bytes);
        self.pictured_last_ns.store(self.outlet.clock.now().ns(), Ordering::Relaxed);
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// Finds what the tap knew of a decoded picture: by the id it carries or, behind a decoder that loses that, by its
    /// presentation time.
    fn stamped(&self, buffer: &gst::BufferRef) -> Option<Stamped> {
        let id = reference_time(buffer, &FRAME_ID).map(|time| FrameId(time.nseconds()));
        let stamping = locked(&self.stamping);
        let newest_first = || stamping.pending.iter().rev();
        match id {
            Some(id) => newest_first().find(|stamped| stamped.id == id).copied(),
            None => newest_first().find(|stamped| stamped.pts.is_some() && stamped.pts == buffer.pts()).copied(),
        }
    }
}

/// Is what comes to the tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// H.264 access units.
    H264,
    /// Pictures, decoded or never encoded.
    Raw,
}

/// Says whether the decoder shall have an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decode {
    /// It shall.
    Yes,
    /// It is behind and waits for the next key frame.
    No,
}

fn running_time_ns(pad: &gst::Pad, pts: gst::ClockTime) -> Option<i64> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?.clone();
    let running = segment.to_running_time_full(pts)?;
    let ns = i64::try_from(running.abs().nseconds()).ok()?;
    Some(if running.is_negative() { -ns } else { ns })
}

fn sender_wall_us(buffer: &gst::BufferRef) -> Option<i64> {
    let since_1970_ns = reference_time(buffer, &SENDER_TIME)?.nseconds().checked_sub(NTP_EPOCH_S * 1_000_000_000)?;
    i64::try_from(since_1970_ns / 1_000).ok()
}

fn reference_time(buffer: &gst::BufferRef, reference: &gst::CapsRef) -> Option<gst::ClockTime> {
    let mut metas = buffer.iter_meta::<gst::ReferenceTimestampMeta>();
    metas.find(|meta| meta.reference().can_intersect(reference)).map(|meta| meta.timestamp())
}

/// Returns width, height and rows without padding. Rows that have none already are shared, not copied.
fn packed_rgb(sample: &gst::Sample, buffer: gst::Buffer) -> Option<(u32, u32, Bytes)> {
    let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
    let (width_px, height_px) = (info.width(), info.height());
    let fits = |px: u32| (SIDE_PX_MIN..=SIDE_PX_MAX).contains(&px);
    if info.format() != gst_video::VideoFormat::Rgb || !fits(width_px) || !fits(height_px) {
        return None;
    }
    let row = width_px as usize * 3;
    let size = row * height_px as usize;
    let stride = usize::try_from(*info.stride().first()?).ok()?;
    let mapped = buffer.into_mapped_buffer_readable().ok()?;
    if stride == row {
        let bytes = Bytes::from_owner(mapped);
        return (bytes.len() >= size).then(|| (width_px, height_px, bytes.slice(..size)));
    }
    if stride < row || mapped.size() < stride * (height_px as usize - 1) + row {
        return None;
    }
    let mut packed = Vec::with_capacity(size);
    for line in mapped.as_slice().chunks(stride).take(height_px as usize) {
        packed.extend_from_slice(&line[..row]);
    }
    Some((width_px, height_px, packed.into()))
}

/// What a panicking thread left is whole: nothing here is half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
