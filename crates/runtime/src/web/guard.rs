//! Who may talk to the server from inside a browser.
//!
//! A page from elsewhere can make a browser connect to loopback, and a host name can be made to point there. So a request must
//! name this machine (an IP address, `localhost`, or a configured name), and a browser's request must come from this
//! server's own page.

use std::net::IpAddr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use super::problem::{self, Problem};
use super::server::WebParts;

/// What the page may load and run: only what this server sends. MapLibre starts its worker from a blob.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self' blob:; connect-src 'self'; \
     img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// Refuses requests that a foreign page or a foreign name brought here, and marks every answer.
pub async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let parts = request.app_data::<web::Data<WebParts>>().cloned();
    let hosts = parts.as_ref().map_or(&[][..], |parts| &parts.config.hosts);
    let count = |code| {
        if let Some(parts) = &parts {
            problem::count(&parts.metrics, code);
        }
    };
    if let Err(problem) = check(request.headers(), hosts) {
        count(problem.code);
        return Err(problem.into());
    }
    let mut response = next.call(request).await?;
    if let Some(code) = refusal(response.response()) {
        count(code);
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

/// Returns the word for a refusal: that of its problem, or one for what the framework cannot read.
fn refusal<B>(response: &HttpResponse<B>) -> Option<&'static str> {
    match response.error().and_then(|error| error.as_error::<Problem>()) {
        Some(problem) => Some(problem.code),
        None => response.status().is_client_error().then_some("malformed"),
    }
}

fn check(headers: &HeaderMap, hosts: &[String]) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !is_ours(host_name(host), hosts) {
        let message =
            format!("the host \"{host}\" is not this machine: use its IP address, or add the name to web.hosts");
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", message));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let from = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    if from.is_some_and(|from| from.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    let message = format!("a page of \"{origin}\" may not use this server: open http://{host}/ itself");
    Err(Problem::new(StatusCode::FORBIDDEN, "foreign_origin", message))
}

/// Returns the host without its port; `[::1]:8080` gives `::1`.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn is_ours(name: &str, hosts: &[String]) -> bool {
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(host: &str, origin: Option<&str>) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        check(&headers, &["drone.local".to_owned()]).map_err(|problem| problem.code)
    }

    #[test]
    fn only_our_own_names_and_our_own_page_are_let_in() {
        for (host, origin, expected) in [
            ("127.0.0.1:8080", None, Ok(())),
            ("localhost:8080", Some("http://localhost:8080"), Ok(())),
            ("[::1]:8080", Some("http://[::1]:8080"), Ok(())),
            ("Drone.local", None, Ok(())),
            ("drone.local:80", Some("https://drone.local:80"), Ok(())),
            ("evil.example:8080", None, Err("foreign_host")),
            ("127.0.0.1.evil.example", None, Err("foreign_host")),
            ("", None, Err("foreign_host")),
            ("127.0.0.1:8080", Some("http://evil.example"), Err("foreign_origin")),
            ("127.0.0.1:8080", Some("http://127.0.0.1:9090"), Err("foreign_origin")),
            ("127.0.0.1:8080", Some("null"), Err("foreign_origin")),
        ] {
            assert_eq!(answer(host, origin), expected, "{host} {origin:?}");
        }
    }
}
