//! `/ws`: tracks, targets and state as they change, and clicks, in JSON.
//!
//! A client that reads too slowly misses tracks and is told how many: what is a second older than the newest of its target is left
//! out. One that does not read at all is cut off.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Closed};
use serde::Deserialize;
use serde_json::{Value, json};
use smgeo_messages::{Prompt, TargetId};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{MissedTickBehavior, interval};

use super::json::{ChangeBody, FollowBody, TargetBody, TargetsBody, TrackBody, clock_us};
use super::problem::{self, Problem};
use super::rest::{ask, change, follow_of, machine};
use super::server::{Room, WebParts};
use super::socket::{Socket, refused, turn_away};
use super::tracks::ShownTrack;
use crate::prompts::Delete;

/// How often the state is sent: often enough for a drone on a map, rarely enough for a thin link.
const STATE_EVERY: Duration = Duration::from_millis(250);

/// A client is this far behind at most.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// Is what a client may ask for.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Follow {
        #[serde(default)]
        id: Option<u64>,
        frame: u64,
        x: f64,
        y: f64,
        #[serde(default)]
        label: Option<String>,
    },
    Move {
        #[serde(default)]
        id: Option<u64>,
        target: u32,
        frame: u64,
        x: f64,
        y: f64,
    },
    Rename {
        #[serde(default)]
        id: Option<u64>,
        target: u32,
        #[serde(default)]
        label: Option<String>,
    },
    Delete {
        #[serde(default)]
        id: Option<u64>,
        target: u32,
    },
}

/// Opens the socket; where there is no seat, it is closed again with the reason.
pub(super) async fn connect(
    request: HttpRequest,
    body: web::Payload,
    parts: web::Data<WebParts>,
    room: web::Data<Room>,
) -> Result<HttpResponse, actix_web::Error> {
    let seat = match room.live.take(parts.config.live_clients_max, "live clients") {
        Ok(seat) => seat,
        Err(why) => return turn_away(&request, body, &parts.metrics, why),
    };
    let (response, socket, messages) = Socket::accept(&request, body, seat)?;
    let live = Live { tracks: parts.tracks.subscribe(), parts, socket };
    actix_rt::spawn(live.serve(messages));
    Ok(response)
}

struct Live {
    parts: web::Data<WebParts>,
    tracks: broadcast::Receiver<ShownTrack>,
    socket: Socket,
}

impl Live {
    async fn serve(mut self, messages: AggregatedMessageStream) {
        // A client that is gone ends the conversation; there is nobody to tell.
        let reason = self.converse(messages).await.unwrap_or(None);
        self.socket.close(reason).await;
    }

    async fn converse(&mut self, mut messages: AggregatedMessageStream) -> Result<Option<CloseReason>, Closed> {
        let mut prompts = self.parts.prompt_set.clone();
        let mut state = interval(STATE_EVERY);
        state.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.send_targets().await?;
        self.send_newest().await?;
        let mut left_out = 0;
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Ok(message)) => {
                        self.socket.heard();
                        if let Some(end) = self.hear(message).await? {
                            return Ok(end);
                        }
                    }
                    Some(Err(error)) => return Ok(Some(refused(&self.parts.metrics, &error))),
                    None => return Ok(None),
                },
                track = self.tracks.recv() => match track {
                    // What is left out is told at once, with the first that is not.
                    Ok(shown) if self.parts.track_board.is_superseded(&shown, BEHIND_MAX) => left_out += 1,
                    Ok(shown) => {
                        if left_out > 0 {
                            self.send_lost(std::mem::take(&mut left_out)).await?;
                        }
                        self.send_track(&shown).await?;
                    }
                    Err(RecvError::Lagged(lost)) => self.send_lost(lost).await?,
                    Err(RecvError::Closed) => return Ok(Some(CloseCode::Away.into())),
                },
                changed = prompts.changed() => match changed {
                    Ok(()) => self.send_targets().await?,
                    Err(_) => return Ok(Some(CloseCode::Away.into())),
                },
                _ = state.tick() => self.send_state().await?,
                () = self.socket.ping_due() => self.socket.ping().await?,
            }
        }
    }

    /// Answers one message; the inner value ends the conversation.
    async fn hear(&mut self, message: AggregatedMessage) -> Result<Option<Option<CloseReason>>, Closed> {
        match message {
            AggregatedMessage::Text(text) => {
                let answer = self.answer(&text).await;
                self.send(&answer).await?;
            }
            AggregatedMessage::Binary(_) => {
                let problem = Problem::malformed("this socket takes JSON text: see docs/api.md");
                self.send(&self.refusal(None, &problem)).await?;
            }
            AggregatedMessage::Ping(payload) => self.socket.pong(&payload).await?,
            AggregatedMessage::Pong(_) => {}
            AggregatedMessage::Close(reason) => return Ok(Some(reason)),
        }
        Ok(None)
    }

    async fn answer(&self, text: &str) -> Value {
        let request = match serde_json::from_str::<Request>(text) {
            Ok(request) => request,
            Err(error) => {
                return self.refusal(None, &Problem::malformed(format!("the message cannot be read: {error}")));
            }
        };
        let parts = &self.parts;
        let (id, answer) = match request {
            Request::Follow { id, frame, x, y, label } => {
                (id, ask(parts, follow_of(FollowBody { frame, x, y, label })).await)
            }
            Request::Move { id, target, frame, x, y } => {
                let body = ChangeBody { frame: Some(frame), x: Some(x), y: Some(y), label: None };
                (id, change(parts, target, body).await)
            }
            Request::Rename { id, target, label } => {
                let body = ChangeBody { frame: None, x: None, y: None, label: Some(label) };
                (id, change(parts, target, body).await)
            }
            Request::Delete { id, target } => (id, ask(parts, Delete { target: TargetId(target) }).await),
        };
        match answer {
            Ok(prompt) => acceptance(id, &prompt),
            Err(problem) => self.refusal(id, &problem),
        }
    }

    fn refusal(&self, id: Option<u64>, problem: &Problem) -> Value {
        problem::count(&self.parts.metrics, problem.code);
        json!({ "type": "answer", "id": id, "ok": false, "error": problem.body()["error"] })
    }

    async fn send_targets(&mut self) -> Result<(), Closed> {
        let targets = TargetsBody::from(&*self.parts.prompt_set.borrow());
        self.send(&json!({ "type": "targets", "revision": targets.revision, "targets": targets.targets })).await
    }

    async fn send_newest(&mut self) -> Result<(), Closed> {
        for shown in self.parts.track_board.newest() {
            self.send_track(&shown).await?;
        }
        Ok(())
    }

    async fn send_track(&mut self, shown: &ShownTrack) -> Result<(), Closed> {
        let now = self.parts.clock.now();
        let body = TrackBody::new(shown, now);
        self.send(&json!({
            "type": "track",
            "clock_us": clock_us(now),
            "captured_clock_us": body.captured_clock_us,
            "age_ms": body.age_ms,
            "stale": body.stale,
            "track": body.track,
        }))
        .await
    }

    async fn send_state(&mut self) -> Result<(), Closed> {
        let state = machine(&self.parts);
        self.send(&json!({ "type": "state", "clock_us": state.clock_us, "state": state })).await
    }

    async fn send_lost(&mut self, lost: u64) -> Result<(), Closed> {
        self.parts.metrics.drops("tracks_to_page", "slow_client").inc_by(lost);
        self.send(&json!({ "type": "lost", "tracks": lost })).await
    }

    async fn send(&mut self, message: &Value) -> Result<(), Closed> {
        self.socket.text(message.to_string()).await
    }
}

fn acceptance(id: Option<u64>, prompt: &Prompt) -> Value {
    json!({ "type": "answer", "id": id, "ok": true, "target": TargetBody::from(prompt) })
}
