//! `/ws/video`: the camera's own access units, each under the id of its frame.
//!
//! TCP delivers everything, late: whatever is sent into a link that is too thin waits in buffers, and the operator
//! looks at the past. So the client says which unit it has decoded, and no more than a second of video is ever under way;
//! beyond that, units are dropped up to the next key frame. Each drop is counted.

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Closed};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use smgeo_messages::AccessUnit;
use tokio::sync::broadcast::{self, error::RecvError};

use super::json::clock_us;
use super::problem;
use super::server::{Room, WebParts};
use super::socket::{Socket, refused, turn_away};
use crate::control::{Count, Metrics};

/// Units that may be under way to one client: a second at 30 frames a second, and less than the socket's own queue of 32
/// messages, so that sending never waits.
const UNDER_WAY_MAX: u32 = 30;
/// Units that may wait in a client's decoder. A browser that falls behind further shows the past.
const DECODER_QUEUE_MAX: u32 = 12;
/// Sequence, key flag, capture time, frame id.
const HEADER_BYTES: usize = 4 + 1 + 8 + 8;

/// Is what a client tells after decoding.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decoded {
    /// The sequence of the unit it has decoded last.
    decoded: u32,
    /// How many wait in its decoder.
    queue: u32,
}

/// Opens the socket; where there is no seat, it is closed again with the reason.
pub(super) async fn connect(
    request: HttpRequest,
    body: web::Payload,
    parts: web::Data<WebParts>,
    room: web::Data<Room>,
) -> Result<HttpResponse, actix_web::Error> {
    let seat = match room.video.take(parts.config.video_clients_max, "video clients") {
        Ok(seat) => seat,
        Err(why) => return turn_away(&request, body, &parts.metrics, why),
    };
    let (response, socket, messages) = Socket::accept(&request, body, seat)?;
    let flow = VideoFlow::new(&parts.metrics);
    let watcher = Watcher { units: parts.units.subscribe(), socket, flow, metrics: parts.metrics.clone() };
    actix_rt::spawn(watcher.serve(messages));
    Ok(response)
}

struct Watcher {
    units: broadcast::Receiver<AccessUnit>,
    socket: Socket,
    flow: VideoFlow,
    metrics: Metrics,
}

impl Watcher {
    async fn serve(mut self, messages: AggregatedMessageStream) {
        // A client that is gone ends the stream; there is nobody to tell.
        let reason = self.stream(messages).await.unwrap_or(None);
        self.socket.close(reason).await;
    }

    async fn stream(&mut self, mut messages: AggregatedMessageStream) -> Result<Option<CloseReason>, Closed> {
        loop {
            tokio::select! {
                unit = self.units.recv() => match unit {
                    Ok(unit) => {
                        if let Some(message) = self.flow.offer(&unit) {
                            self.socket.binary(message).await?;
                        }
                    }
                    Err(RecvError::Lagged(lost)) => self.flow.missed(lost),
                    Err(RecvError::Closed) => return Ok(Some(CloseCode::Away.into())),
                },
                message = messages.recv() => match message {
                    Some(Ok(message)) => {
                        self.socket.heard();
                        if let Some(end) = self.hear(message).await? {
                            return Ok(end);
                        }
                    }
                    Some(Err(error)) => return Ok(Some(refused(&self.metrics, &error))),
                    None => return Ok(None),
                },
                () = self.socket.ping_due() => self.socket.ping().await?,
            }
        }
    }

    /// Hears one message; the inner value ends the stream.
    async fn hear(&mut self, message: AggregatedMessage) -> Result<Option<Option<CloseReason>>, Closed> {
        match message {
            AggregatedMessage::Text(text) => match serde_json::from_str::<Decoded>(&text) {
                Ok(told) => self.flow.decoded(told.decoded, told.queue),
                Err(error) => {
                    problem::count(&self.metrics, "malformed");
                    let description = format!("the message cannot be read, see docs/api.md: {error}");
                    return Ok(Some(Some(CloseReason { code: CloseCode::Policy, description: Some(description) })));
                }
            },
            AggregatedMessage::Ping(payload) => self.socket.pong(&payload).await?,
            AggregatedMessage::Close(reason) => return Ok(Some(reason)),
            AggregatedMessage::Binary(_) | AggregatedMessage::Pong(_) => {}
        }
        Ok(None)
    }
}

/// Decides which units one client gets.
struct VideoFlow {
    /// The sequence of the next unit to be sent.
    next: u32,
    /// The sequence after the last unit the client has decoded.
    decoded: u32,
    decoder_queue: u32,
    waits_for_key: bool,
    sent: Count,
    slow: Count,
    missed: Count,
}

impl VideoFlow {
    fn new(metrics: &Metrics) -> Self {
        Self {
            next: 0,
            decoded: 0,
            decoder_queue: 0,
            waits_for_key: true,
            sent: metrics.items("video_to_page", "units"),
            slow: metrics.drops("video_to_page", "slow_client"),
            missed: metrics.drops("video_to_page", "superseded"),
        }
    }

    /// Returns the message for this unit, or nothing if the client is not to get it.
    fn offer(&mut self, unit: &AccessUnit) -> Option<Bytes> {
        let behind = self.next.wrapping_sub(self.decoded) >= UNDER_WAY_MAX || self.decoder_queue > DECODER_QUEUE_MAX;
        if behind || (self.waits_for_key && !unit.key) {
            if self.next != 0 {
                self.slow.inc();
            }
            self.waits_for_key = true;
            return None;
        }
        self.waits_for_key = false;
        let message = framed(self.next, unit);
        self.next = self.next.wrapping_add(1);
        self.sent.inc();
        Some(message)
    }

    /// Notes how far the client has come. Nonsense is held to what was sent, so it can only stop the client's own video.
    fn decoded(&mut self, sequence: u32, queue: u32) {
        let after = sequence.wrapping_add(1);
        if self.next.wrapping_sub(after) <= self.next.wrapping_sub(self.decoded) {
            self.decoded = after;
        }
        self.decoder_queue = queue;
    }

    /// Notes units that went by while this client was being served; what follows cannot be decoded without a key frame.
    fn missed(&mut self, units: u64) {
        self.missed.inc_by(units);
        self.waits_for_key = true;
    }
}

/// Puts the header before an access unit; all numbers are big-endian.
fn framed(sequence: u32, unit: &AccessUnit) -> Bytes {
    let mut message = BytesMut::with_capacity(HEADER_BYTES + unit.bytes.len());
    message.put_u32(sequence);
    message.put_u8(unit.key.into());
    message.put_u64(clock_us(unit.captured));
    message.put_u64(unit.frame.0);
    message.put_slice(&unit.bytes);
    message.freeze()
}

#[cfg(test)]
mod tests {
    use smgeo_flow::Stamp;
    use smgeo_messages::FrameId;

    use super::*;

    fn unit(frame: u64, key: bool) -> AccessUnit {
        let captured = Stamp::from_ns(frame * 1_000_000);
        AccessUnit { frame: FrameId(frame), captured, key, bytes: Bytes::from_static(&[0, 0, 0, 1, 0x65]) }
    }

    fn flow() -> VideoFlow {
        VideoFlow::new(&Metrics::new())
    }

    #[test]
    fn a_stream_begins_with_a_key_frame() {
        let mut flow = flow();
        let sent: Vec<bool> = (0..4).map(|frame| flow.offer(&unit(frame, frame == 2)).is_some()).collect();
        assert_eq!(sent, [false, false, true, true]);
        assert_eq!(flow.slow.get(), 0, "waiting for the first key frame is no loss");
    }

    #[test]
    fn the_header_names_sequence_key_capture_time_and_frame() {
        let mut flow = flow();
        flow.offer(&unit(0, true)).unwrap();
        let message = flow.offer(&unit(0x0102_0304_0506, false)).unwrap();
        let captured_us = (0x0102_0304_0506_u64 * 1_000).to_be_bytes();
        assert_eq!(message[..5], [0, 0, 0, 1, 0]);
        assert_eq!(message[5..13], captured_us);
        assert_eq!(message[13..], [0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 1, 0x65]);
    }

    #[test]
    fn a_client_that_decodes_nothing_gets_a_second_of_video_and_then_only_from_a_key_frame_on() {
        let mut flow = flow();
        let sent = (0..100).filter(|frame| flow.offer(&unit(*frame, frame % 30 == 0)).is_some()).count();
        assert_eq!((sent, flow.slow.get()), (30, 70));
        flow.decoded(29, 0);
        assert!(flow.offer(&unit(100, false)).is_none(), "its reference was dropped");
        assert!(flow.offer(&unit(120, true)).is_some());
    }

    #[test]
    fn a_decoder_that_falls_behind_is_given_time() {
        let mut flow = flow();
        flow.offer(&unit(0, true)).unwrap();
        flow.decoded(0, DECODER_QUEUE_MAX + 1);
        assert!(flow.offer(&unit(1, true)).is_none());
        flow.decoded(0, 0);
        assert!(flow.offer(&unit(2, false)).is_none());
        assert!(flow.offer(&unit(3, true)).is_some());
    }

    #[test]
    fn nonsense_from_a_client_moves_nothing() {
        let mut flow = flow();
        for frame in 0..20 {
            flow.offer(&unit(frame, frame == 0)).unwrap();
        }
        flow.decoded(9, 0);
        for nonsense in [5, 20, 1_000, u32::MAX - 1] {
            flow.decoded(nonsense, 0);
            assert_eq!(flow.decoded, 10, "{nonsense}");
        }
        flow.decoded(19, 0);
        assert_eq!(flow.decoded, 20);
    }

    #[test]
    fn units_that_went_by_are_counted_and_a_key_frame_is_awaited() {
        let mut flow = flow();
        flow.offer(&unit(0, true)).unwrap();
        flow.missed(7);
        assert!(flow.offer(&unit(8, false)).is_none());
        assert!(flow.offer(&unit(9, true)).is_some());
        assert_eq!(flow.missed.get(), 7);
    }

    #[test]
    fn the_sequence_may_wrap() {
        let mut flow = flow();
        (flow.next, flow.decoded, flow.waits_for_key) = (u32::MAX, u32::MAX, false);
        flow.offer(&unit(1, false)).unwrap();
        flow.offer(&unit(2, false)).unwrap();
        flow.decoded(u32::MAX, 0);
        flow.decoded(0, 0);
        assert_eq!((flow.next, flow.decoded), (1, 1));
    }
}
