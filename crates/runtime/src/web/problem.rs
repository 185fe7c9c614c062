//! An answer that says what was wrong: `{"error": {"code": "...", "message": "..."}}`.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError, error};
use serde_json::json;

use crate::control::Metrics;
use crate::prompts::PromptError;

/// Is a refused request: a status, a constant word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The constant word.
    pub code: &'static str,
    /// The sentence.
    pub message: String,
}

impl Problem {
    /// Makes a problem.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// Says that there is no such thing.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// Says that the machine cannot take more now.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }

    /// Says that the request cannot be read.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", message)
    }

    /// Returns the body of the answer.
    pub fn body(&self) -> serde_json::Value {
        json!({ "error": { "code": self.code, "message": self.message } })
    }
}

/// Counts a refusal by its constant word.
pub(super) fn count(metrics: &Metrics, code: &'static str) {
    metrics.errors("web", code).inc();
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(self.body())
    }
}

impl From<PromptError> for Problem {
    fn from(error: PromptError) -> Self {
        let status = match &error {
            PromptError::UnknownTarget { .. } => StatusCode::NOT_FOUND,
            PromptError::OutsideFrame { .. } | PromptError::OutsidePicture { .. } | PromptError::BadLabel { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            _ => StatusCode::CONFLICT,
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<error::JsonPayloadError> for Problem {
    fn from(error: error::JsonPayloadError) -> Self {
        use error::JsonPayloadError as Json;
        match error {
            Json::ContentType => {
                let message = "the body must be JSON: send the header content-type: application/json";
                Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message)
            }
            Json::Overflow { .. } | Json::OverflowKnownLength { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("the body is too large: {error}"))
            }
            Json::Deserialize(error) => Self::malformed(format!("the body cannot be read: {error}")),
            other => Self::malformed(format!("the body cannot be read: {other}")),
        }
    }
}
