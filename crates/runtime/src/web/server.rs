//! The HTTP server: its limits, its routes, its start.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::Addr;
use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, HttpServer, web};
use smgeo_flow::SharedClock;
use smgeo_messages::{AccessUnit, PromptSet, SharedFrame};
use tokio::sync::{broadcast, watch};

use super::about::About;
use super::config::WebConfig;
use super::drone::DroneView;
use super::error::WebError;
use super::guard::guard;
use super::heat::HeatBoard;
use super::problem::Problem;
use super::tiles::TileServer;
use super::tracks::{ShownTrack, TrackBoard};
use super::{live, page, rest, video};
use crate::control::{HealthBoard, Metrics};
use crate::prompts::{FrameIndex, Prompts};

/// Threads that serve: the work is small, the frame path needs the cores.
const WORKERS: usize = 2;
/// The largest body of a request: a target is a hundred bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How long a client may take to send its request's head.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// How long a client may take to close.
const DISCONNECT_MAX: Duration = Duration::from_secs(2);
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long open connections have to end at a shutdown.
const SHUTDOWN_S_MAX: u64 = 1;

/// Is everything the server shows and the one thing it writes to.
#[derive(Clone)]
pub struct WebParts {
    /// Where it listens and whom it serves.
    pub config: WebConfig,
    /// Tells it the time.
    pub clock: SharedClock,
    /// Where it counts.
    pub metrics: Metrics,
    /// How every part is.
    pub health: HealthBoard,
    /// What the machine is made of.
    pub about: Arc<About>,
    /// Takes the operator's clicks.
    pub prompts: Addr<Prompts>,
    /// What is followed.
    pub prompt_set: watch::Receiver<PromptSet>,
    /// Every track, as it leaves the machine.
    pub tracks: broadcast::Sender<ShownTrack>,
    /// The newest track of each target.
    pub track_board: TrackBoard,
    /// The network's last answer about each target.
    pub heat: HeatBoard,
    /// The camera's own video.
    pub units: broadcast::Sender<AccessUnit>,
    /// Which frames were shown.
    pub frames: FrameIndex,
    /// The newest decoded picture.
    pub picture: watch::Receiver<Option<SharedFrame>>,
    /// Where the drone is.
    pub drone: watch::Receiver<Option<DroneView>>,
    /// The MAVLink system id of the vehicle that is listened to.
    pub vehicle: watch::Receiver<Option<u8>>,
    /// Map tiles.
    pub tiles: Arc<dyn TileServer>,
}

/// Counts clients of one kind against their limit.
#[derive(Clone, Default)]
pub(super) struct Seats {
    taken: Arc<AtomicUsize>,
}

/// Is one client's seat; it is free again when this is dropped.
pub(super) struct Seat {
    taken: Arc<AtomicUsize>,
}

impl Seats {
    /// Takes a seat, or says that all are taken.
    pub(super) fn take(&self, limit: usize, what: &str) -> Result<Seat, Problem> {
        let free = |taken| (taken < limit).then_some(taken + 1);
        match self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, free) {
            Ok(_) => Ok(Seat { taken: self.taken.clone() }),
            Err(_) => Err(Problem::busy(format!("{limit} {what} are connected, which is the limit: close one"))),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Holds the seats of the server's two WebSockets.
#[derive(Clone, Default)]
pub(super) struct Room {
    pub(super) live: Seats,
    pub(super) video: Seats,
}

/// Is a server that listens; it serves while [`WebServer::server`] is polled.
pub struct WebServer {
    /// Where it listens; the port is the one the system chose if 0 was asked for.
    pub listen: SocketAddr,
    /// Stops it.
    pub handle: ServerHandle,
    /// Is to be spawned or awaited.
    pub server: Server,
}

impl WebServer {
    /// Listens, and prepares to serve. Must be called in an actix system.
    pub fn start(parts: WebParts) -> Result<Self, WebError> {
        parts.config.check()?;
        let asked = parts.config.listen;
        let listener = TcpListener::bind(asked).map_err(|source| WebError::listening(asked, source))?;
        let listen = listener.local_addr().map_err(|source| WebError::listening(asked, source))?;
        actix_rt::spawn(parts.track_board.clone().keep(parts.tracks.subscribe(), parts.prompt_set.clone()));
        actix_rt::spawn(parts.frames.clone().note_all_shown(parts.units.subscribe()));
        actix_rt::spawn(parts.heat.clone().forget_deleted(parts.prompt_set.clone()));
        let connections_max = parts.config.connections_max.div_ceil(WORKERS);
        let (data, room) = (web::Data::new(parts), Room::default());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(web::Data::new(room.clone()))
                .app_data(
                    web::JsonConfig::default()
                        .limit(BODY_BYTES_MAX)
                        .error_handler(|error, _| Problem::from(error).into()),
                )
                .app_data(web::PathConfig::default().error_handler(|error, _| {
                    Problem::not_found("bad_path", format!("the path cannot be read: {error}")).into()
                }))
                .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
                .wrap(Compress::default())
                .wrap(from_fn(guard))
                .configure(rest::routes)
                .service(rest::get("/ws", web::get().to(live::connect)))
                .service(rest::get("/ws/video", web::get().to(video::connect)))
                .default_service(web::to(page::serve))
        })
        .workers(WORKERS)
        .max_connections(connections_max)
        .client_request_timeout(REQUEST_MAX)
        .client_disconnect_timeout(DISCONNECT_MAX)
        .keep_alive(KEEP_ALIVE)
        // A track or a frame must not wait for the one before to be acknowledged (Nagle's algorithm).
        .tcp_nodelay(true)
        .shutdown_timeout(SHUTDOWN_S_MAX)
        .disable_signals()
        .listen(listener)
        .map_err(|source| WebError::listening(asked, source))?
        .run();
        tracing::info!(%listen, "page served");
        Ok(Self { listen, handle: server.handle(), server })
    }
}
