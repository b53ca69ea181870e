//! One HTTP request over the daemon's Unix socket.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixStream;

use super::failure::Failure;
use crate::api_types::{ApiError, schema};

/// The largest answer that is read: 16 million flows would not fit, their `limit` does.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// How to reach the daemon.
pub(super) struct Client {
    socket: PathBuf,
    timeout: Duration,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    pub(super) fn new(socket: PathBuf, timeout: Duration) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Local {
            what: "cannot start".to_owned(),
            error,
        })?;
        Ok(Self {
            socket,
            timeout,
            runtime,
        })
    }

    /// Asks for `path`, with the pairs of `query` behind it.
    pub(super) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let mut uri = path.to_owned();
        for (index, (key, value)) in query.iter().enumerate() {
            uri.push(if index == 0 { '?' } else { '&' });
            // Writing to a String cannot fail.
            let _ = write!(uri, "{key}={}", percent_encoded(value));
        }
        self.send(&Method::GET, &uri, Bytes::new())
    }

    /// Sends `body` as JSON.
    pub(super) fn send_json(
        &self,
        method: &Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::Answer(error.to_string()))?;
        self.send(method, path, body.into())
    }

    fn send(&self, method: &Method, uri: &str, body: Bytes) -> Result<Value, Failure> {
        let exchange = self.exchange(method, uri, body);
        let (status, answer) = self.runtime.block_on(async {
            match tokio::time::timeout(self.timeout, exchange).await {
                Ok(done) => done,
                Err(_) => {
                    let message = format!("no answer within {} s", self.timeout.as_secs());
                    Err(self.unreachable(io::Error::new(io::ErrorKind::TimedOut, message)))
                }
            }
        })?;
        understand(status, &answer)
    }

    async fn exchange(
        &self,
        method: &Method,
        uri: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(error))?;
        let lost = |error: hyper::Error| self.unreachable(io::Error::other(error));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(lost)?;
        // The task ends with the connection; what went wrong on it also reaches the request.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "weir")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure::Answer(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(lost)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| self.unreachable(io::Error::other(error)))?;
        Ok((status, body.to_bytes()))
    }

    fn unreachable(&self, error: io::Error) -> Failure {
        Failure::Unreachable {
            socket: self.socket.clone(),
            error,
        }
    }
}

/// The answer as JSON, or the refusal. An invalid configuration (422) is an answer: it carries the faults.
fn understand(status: StatusCode, answer: &[u8]) -> Result<Value, Failure> {
    let value: Option<Value> = serde_json::from_slice(answer).ok();
    let is_result = |value: &Value| value["schema"] == schema::CONFIG_RESULT;
    match value {
        Some(value)
            if status.is_success() || (status == StatusCode::UNPROCESSABLE_ENTITY && is_result(&value)) =>
        {
            Ok(value)
        }
        Some(value) => match serde_json::from_value::<ApiError>(value) {
            Ok(refusal) => Err(Failure::Refused(refusal)),
            Err(_) => Err(Failure::Answer(format!("HTTP status {status}"))),
        },
        None => {
            let text: String = String::from_utf8_lossy(answer).chars().take(200).collect();
            Err(Failure::Answer(format!("HTTP status {status}, {text:?}")))
        }
    }
}

/// RFC 3986 section 2.1: everything but unreserved characters as `%XX`.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
