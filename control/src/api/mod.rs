//! The API: HTTP and JSON on a Unix socket, in the types of [`api_types`](crate::api_types).
//!
//! - [`routes`]: paths and methods; each handler asks the daemon for a snapshot, and the dataplane where it must.
//! - [`views`]: from a snapshot to the answer; pure.
//! - [`metrics`]: the same for Prometheus.
//! - [`socket`]: the socket file, its mode and its group.

mod error;
mod metrics;
pub(crate) mod rfc3339;
mod routes;
mod socket;
mod views;

pub use routes::router;
pub use socket::{ApiSocket, BindError};

use crate::daemon::Requests;

/// Serves the API until `stop` resolves. Requests under way are finished first.
pub async fn serve(
    socket: &ApiSocket,
    requests: Requests,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    serve_paths(socket, router(requests), stop).await
}

/// The same with these paths.
pub async fn serve_paths(
    socket: &ApiSocket,
    paths: axum::Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = socket.listener()?;
    axum::serve(listener, paths).with_graceful_shutdown(stop).await
}

#[cfg(test)]
mod tests;
