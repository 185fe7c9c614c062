//! The page's files, part of the program: it needs no folder and no internet.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use super::problem::Problem;

/// Is one file of the page.
struct File {
    path: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! file {
    ($path:literal, $media_type:expr) => {
        File { path: $path, media_type: $media_type, bytes: include_bytes!(concat!("page/", $path)) }
    };
}

const FILES: [File; 17] = [
    file!("index.html", HTML),
    file!("style.css", STYLE),
    file!("icon.svg", PICTURE),
    file!("main.js", SCRIPT),
    file!("clock.js", SCRIPT),
    file!("link.js", SCRIPT),
    file!("video.js", SCRIPT),
    file!("h264.js", SCRIPT),
    file!("overlay.js", SCRIPT),
    file!("map.js", SCRIPT),
    file!("targets.js", SCRIPT),
    file!("news.js", SCRIPT),
    file!("geo.js", SCRIPT),
    file!("vendor/maplibre-gl.mjs", SCRIPT),
    file!("vendor/maplibre-gl-worker.mjs", SCRIPT),
    file!("vendor/maplibre-gl.css", STYLE),
    file!("vendor/maplibre-gl-LICENSE.txt", TEXT),
];

/// Sends a file of the page. A browser asks again each time, so that it never runs the page of another version.
pub async fn serve(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = match request.path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    let file = FILES.iter().find(|file| file.path == path);
    let file = file.ok_or_else(|| {
        Problem::not_found("no_such_path", format!("there is no {}: see docs/api.md", request.path()))
    })?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, file.media_type))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(file.bytes))
}
