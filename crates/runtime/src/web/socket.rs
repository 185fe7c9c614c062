//! What both WebSockets share: a seat, limits on what a client may send, and a client that is gone is noticed.

use std::io::ErrorKind;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessageStream, CloseCode, CloseReason, Closed, ProtocolError, Session};
use bytes::Bytes;
use tokio::time::{Interval, interval, timeout};

use super::problem::{self, Problem};
use super::server::Seat;
use crate::control::Metrics;

/// The largest message a client may send.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// How often a client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Pings without any sign of life after which a client is gone.
const PINGS_UNANSWERED_MAX: u32 = 3;
/// How long one message may take to get into the socket.
const SEND_MAX: Duration = Duration::from_secs(10);

/// How long a farewell may take: the client's seat is free after that.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// One client's socket, for as long as it has its seat.
pub(super) struct Socket {
    session: Session,
    pings: Interval,
    unanswered: u32,
    _seat: Seat,
}

impl Socket {
    /// Accepts a client: the response that tells it so, the socket, and what the client says.
    pub(super) fn accept(
        request: &HttpRequest,
        body: web::Payload,
        seat: Seat,
    ) -> Result<(HttpResponse, Socket, AggregatedMessageStream), actix_web::Error> {
        let (response, session, messages) = actix_ws::handle(request, body)?;
        let messages = messages.max_frame_size(MESSAGE_BYTES_MAX).aggregate_continuations();
        let messages = messages.max_continuation_size(MESSAGE_BYTES_MAX);
        Ok((response, Socket { session, pings: interval(PING_EVERY), unanswered: 0, _seat: seat }, messages))
    }

    /// The client has said something, whatever it was.
    pub(super) fn heard(&mut self) {
        self.unanswered = 0;
    }

    /// Waits until it is time to ask whether the client is there.
    pub(super) async fn ping_due(&mut self) {
        self.pings.tick().await;
    }

    /// Asks whether the client is there. A client that has not answered for too long is gone.
    pub(super) async fn ping(&mut self) -> Result<(), Closed> {
        self.unanswered += 1;
        if self.unanswered > PINGS_UNANSWERED_MAX {
            return Err(Closed);
        }
        timeout(SEND_MAX, self.session.ping(b"")).await.unwrap_or(Err(Closed))
    }

    /// Answers a client's ping; a client that does not take the answer in time is gone.
    pub(super) async fn pong(&mut self, payload: &[u8]) -> Result<(), Closed> {
        timeout(SEND_MAX, self.session.pong(payload)).await.unwrap_or(Err(Closed))
    }

    /// Sends text; a client that does not take it in time is gone.
    pub(super) async fn text(&mut self, text: String) -> Result<(), Closed> {
        timeout(SEND_MAX, self.session.text(text)).await.unwrap_or(Err(Closed))
    }

    /// Sends bytes; a client that does not take them in time is gone.
    pub(super) async fn binary(&mut self, bytes: Bytes) -> Result<(), Closed> {
        timeout(SEND_MAX, self.session.binary(bytes)).await.unwrap_or(Err(Closed))
    }

    /// Ends the conversation.
    pub(super) async fn close(self, reason: Option<CloseReason>) {
        // A client that is gone, or takes nothing any more, needs no farewell.
        let _ = timeout(FAREWELL_MAX, self.session.close(reason)).await;
    }
}

/// Opens a socket only to say on it why there is no seat, and counts that: a browser's page cannot read a refusal that comes in
/// place of the socket.
pub(super) fn turn_away(
    request: &HttpRequest,
    body: web::Payload,
    metrics: &Metrics,
    why: Problem,
) -> Result<HttpResponse, actix_web::Error> {
    let (response, session, _) = actix_ws::handle(request, body)?;
    problem::count(metrics, why.code);
    let reason = CloseReason { code: CloseCode::Again, description: Some(why.message) };
    actix_rt::spawn(async move {
        // A client that is gone needs no farewell.
        let _ = timeout(FAREWELL_MAX, session.close(Some(reason))).await;
    });
    Ok(response)
}

/// Counts and explains a message that broke the protocol or a limit.
pub(super) fn refused(metrics: &Metrics, error: &ProtocolError) -> CloseReason {
    if let Some(code) = code(error) {
        problem::count(metrics, code);
    }
    CloseReason { code: CloseCode::Policy, description: Some(error.to_string()) }
}

/// Returns the word for what was wrong with a message; none where it was the connection that broke.
fn code(error: &ProtocolError) -> Option<&'static str> {
    match error {
        ProtocolError::Overflow => Some("too_large"),
        ProtocolError::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<PayloadError>()) => None,
        // What is left besides text that is no UTF-8 is a message of too many parts.
        ProtocolError::Io(error) if error.kind() != ErrorKind::InvalidData => Some("too_large"),
        _ => Some("malformed"),
    }
}
