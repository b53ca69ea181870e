//! What is refused, as an HTTP answer.

use crate::api_types::{ApiError, schema};
use crate::daemon::PatchError;
use crate::link::QueryError;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// An answer that says no.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
    help: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            help: help.into(),
        }
    }

    pub(super) fn malformed(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, help)
    }

    /// The daemon has too much to do, or is on its way out.
    pub(super) fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "weir-control is busy or stopping",
            "try again",
        )
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        let (status, help) = match &error {
            QueryError::NotConnected => (
                StatusCode::SERVICE_UNAVAILABLE,
                "see whether weir-dataplane runs, and whether both use the same socket; control goes on trying",
            ),
            QueryError::TimedOut | QueryError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "try again"),
            QueryError::Failed(_) => (StatusCode::CONFLICT, ""),
        };
        Self::new(status, error.to_string(), help)
    }
}

impl From<PatchError> for Refusal {
    fn from(error: PatchError) -> Self {
        let (status, help) = match &error {
            PatchError::NoService(_) => (StatusCode::NOT_FOUND, "`weirctl service` lists them"),
            PatchError::NoBackend { .. } => (StatusCode::NOT_FOUND, "`weirctl backend` lists them"),
            PatchError::Ambiguous { .. } | PatchError::Nothing => (StatusCode::BAD_REQUEST, ""),
        };
        Self::new(status, error.to_string(), help)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = ApiError {
            schema: schema::ERROR.into(),
            error: self.error,
            help: self.help,
        };
        (self.status, Json(body)).into_response()
    }
}
