//! The REST interface. Each handler reads one thing or asks the prompt actor one thing.

use std::io::Cursor;
use std::time::Duration;

use actix::{MailboxError, Message, dev::ToEnvelope};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, Resource, Route, web};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageError};
use serde_json::json;
use smgeo_geo::{Pixel, TileId};
use smgeo_messages::{Frame, FrameId, Prompt, TargetId};

use super::json::{
    ChangeBody, FollowBody, HealthBody, MachineBody, TargetBody, TargetsBody, TrackBody, TracksBody, VehicleBody,
    clock_us,
};
use super::problem::Problem;
use super::server::WebParts;
use crate::control::Level;
use crate::prompts::{Change, Delete, Follow, PromptError, Prompts};

/// A snapshot is for looking and clicking, not for measuring.
const SNAPSHOT_QUALITY: u8 = 80;

/// The prompt actor answers in microseconds; after so long it is drowned or gone.
const ANSWER_MAX: Duration = Duration::from_secs(2);

type Parts = web::Data<WebParts>;

/// Lays out the paths.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/api/v1/targets")
                .route(web::get().to(list_targets))
                .route(web::post().to(follow))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource("/api/v1/targets/{target}")
                .route(web::get().to(show_target))
                .route(web::patch().to(change_target))
                .route(web::delete().to(delete_target))
                .default_service(web::to(wrong_method)),
        )
        .service(get("/api/v1/tracks", web::get().to(list_tracks)))
        .service(get("/api/v1/state", web::get().to(show_state)))
        .service(get("/api/v1/snapshot.jpg", web::get().to(snapshot)))
        .service(get("/api/v1/heatmap/{target}.png", web::get().to(heat_png)))
        .service(get("/api/v1/heatmap/{target}", web::get().to(heat_place)))
        .service(get("/tiles/{z}/{x}/{y}", web::get().to(tile)))
        .service(get("/healthz", web::get().to(health)))
        .service(get("/metrics", web::get().to(metrics)));
}

/// Lays out a path that is only read.
pub(super) fn get(path: &str, route: Route) -> Resource {
    web::resource(path).route(route).default_service(web::to(wrong_method))
}

async fn wrong_method() -> Result<HttpResponse, Problem> {
    let message = "this path does not take that method: see docs/api.md";
    Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message))
}

/// Asks the prompt actor, and waits for its answer no longer than an operator would.
pub(super) async fn ask<M>(parts: &WebParts, message: M) -> Result<Prompt, Problem>
where
    M: Message<Result = Result<Prompt, PromptError>> + Send + 'static,
    Prompts: actix::Handler<M>,
    <Prompts as actix::Actor>::Context: ToEnvelope<Prompts, M>,
{
    match parts.prompts.send(message).timeout(ANSWER_MAX).await {
        Ok(answer) => Ok(answer?),
        Err(MailboxError::Closed | MailboxError::Timeout) => {
            Err(Problem::busy("the machine is starting or stopping: try again in a second"))
        }
    }
}

async fn list_targets(parts: Parts) -> HttpResponse {
    HttpResponse::Ok().json(TargetsBody::from(&*parts.prompt_set.borrow()))
}

async fn follow(parts: Parts, body: web::Json<FollowBody>) -> Result<HttpResponse, Problem> {
    let prompt = ask(&parts, follow_of(body.into_inner())).await?;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/api/v1/targets/{}", prompt.target)))
        .json(TargetBody::from(&prompt)))
}

/// Turns a request into a message for the prompt actor.
pub(super) fn follow_of(body: FollowBody) -> Follow {
    Follow { frame: FrameId(body.frame), click: Pixel::new(body.x, body.y), label: body.label }
}

async fn show_target(parts: Parts, target: web::Path<u32>) -> Result<HttpResponse, Problem> {
    let set = parts.prompt_set.borrow();
    match set.get(TargetId(*target)) {
        Some(prompt) => Ok(HttpResponse::Ok().json(TargetBody::from(prompt))),
        None => Err(no_target(*target)),
    }
}

async fn change_target(
    parts: Parts,
    target: web::Path<u32>,
    body: web::Json<ChangeBody>,
) -> Result<HttpResponse, Problem> {
    let prompt = change(&parts, *target, body.into_inner()).await?;
    Ok(HttpResponse::Ok().json(TargetBody::from(&prompt)))
}

/// Moves or renames a target, or both at once.
pub(super) async fn change(parts: &WebParts, target: u32, body: ChangeBody) -> Result<Prompt, Problem> {
    let target = TargetId(target);
    let click = match (body.frame, body.x, body.y) {
        (Some(frame), Some(x), Some(y)) => Some((FrameId(frame), Pixel::new(x, y))),
        (None, None, None) => None,
        _ => return Err(Problem::malformed("a move needs all of frame, x and y")),
    };
    if click.is_none() && body.label.is_none() {
        return Err(Problem::malformed("nothing to change: give frame, x and y, or label, or all of them"));
    }
    ask(parts, Change { target, click, label: body.label }).await
}

async fn delete_target(parts: Parts, target: web::Path<u32>) -> Result<HttpResponse, Problem> {
    let prompt = ask(&parts, Delete { target: TargetId(*target) }).await?;
    Ok(HttpResponse::Ok().json(TargetBody::from(&prompt)))
}

fn no_target(target: u32) -> Problem {
    Problem::not_found(
        "unknown_target",
        format!("target {target} is not followed: GET /api/v1/targets lists those that are"),
    )
}

async fn list_tracks(parts: Parts) -> HttpResponse {
    let now = parts.clock.now();
    let tracks = parts.track_board.newest().iter().map(|shown| TrackBody::new(shown, now)).collect();
    HttpResponse::Ok().json(TracksBody { clock_us: clock_us(now), tracks })
}

/// Describes the machine at this moment.
pub(super) fn machine(parts: &WebParts) -> MachineBody {
    let drone = parts.drone.borrow();
    let vehicle = parts.vehicle.borrow().map(|system_id| VehicleBody { system_id });
    let frame = parts.frames.newest();
    let known = MachineBody::new(&parts.about, parts.clock.as_ref(), &parts.health.now(), frame, drone.as_ref());
    MachineBody { vehicle, ..known }
}

async fn show_state(parts: Parts) -> HttpResponse {
    HttpResponse::Ok().json(machine(&parts))
}

async fn health(parts: Parts) -> HttpResponse {
    let health = parts.health.now();
    let status = match health.level() {
        Level::Ok => StatusCode::OK,
        Level::Degraded | Level::Starting | Level::Failed => StatusCode::SERVICE_UNAVAILABLE,
    };
    HttpResponse::build(status).json(HealthBody::new(&health, parts.clock.now()))
}

async fn metrics(parts: Parts) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(parts.metrics.text())
}

async fn snapshot(parts: Parts) -> Result<HttpResponse, Problem> {
    let Some(frame) = parts.picture.borrow().clone() else {
        return Err(PromptError::NoVideo.into());
    };
    let (id, captured) = (frame.id, frame.captured);
    let jpeg = web::block(move || jpeg(&frame)).await.map_err(|_| stopping())?;
    let jpeg = jpeg.map_err(|error| broken("the snapshot", &error))?;
    Ok(HttpResponse::Ok()
        .content_type("image/jpeg")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("x-smgeo-frame", id.to_string()))
        .insert_header(("x-smgeo-captured-clock-us", clock_us(captured).to_string()))
        .insert_header(("x-smgeo-clock-us", clock_us(parts.clock.now()).to_string()))
        .body(jpeg))
}

fn jpeg(frame: &Frame) -> Result<Vec<u8>, ImageError> {
    let mut jpeg = Cursor::new(Vec::new());
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, SNAPSHOT_QUALITY);
    image::ImageEncoder::write_image(encoder, &frame.bytes, frame.width_px, frame.height_px, ExtendedColorType::Rgb8)?;
    Ok(jpeg.into_inner())
}

async fn heat_place(parts: Parts, target: web::Path<u32>) -> Result<HttpResponse, Problem> {
    let map = parts.heat.get(*target).ok_or_else(|| no_heat(*target))?;
    let now = parts.clock.now();
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({
        "target": *target,
        "frame": map.frame.0,
        "captured_clock_us": clock_us(map.captured),
        "age_ms": now.since(map.captured).as_secs_f64() * 1e3,
        "absent": map.posterior.absent(),
        "corners_deg": map.corners_deg(),
        "png": format!("/api/v1/heatmap/{}.png", *target),
    })))
}

async fn heat_png(parts: Parts, target: web::Path<u32>) -> Result<HttpResponse, Problem> {
    let map = parts.heat.get(*target).ok_or_else(|| no_heat(*target))?;
    let png = web::block(move || map.png()).await.map_err(|_| stopping())?;
    let png = png.map_err(|error| broken("the heat map", &error))?;
    Ok(HttpResponse::Ok().content_type("image/png").insert_header((header::CACHE_CONTROL, "no-store")).body(png))
}

fn no_heat(target: u32) -> Problem {
    Problem::not_found("no_heatmap", format!("the network has found nothing yet for target {target}"))
}

async fn tile(parts: Parts, place: web::Path<(u8, u32, u32)>) -> Result<HttpResponse, Problem> {
    let (z, x, y) = place.into_inner();
    let tile = TileId::new(z, x, y).map_err(|error| Problem::not_found("no_such_tile", error.to_string()))?;
    let tiles = parts.tiles.clone();
    let found = web::block(move || tiles.tile_bytes(tile)).await.map_err(|_| stopping())?;
    match found {
        Ok(Some(tile)) => Ok(HttpResponse::Ok()
            .content_type(tile.media_type)
            .insert_header((header::CACHE_CONTROL, "max-age=60"))
            .body(tile.bytes)),
        Ok(None) => Err(Problem::not_found("no_such_tile", format!("the map has no tile {z}/{x}/{y}"))),
        Err(message) => Err(Problem::new(StatusCode::BAD_GATEWAY, "bad_tile", message)),
    }
}

fn stopping() -> Problem {
    Problem::busy("the machine is stopping")
}

fn broken(what: &str, error: &ImageError) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_drawn", format!("{what} cannot be drawn: {error}"))
}
