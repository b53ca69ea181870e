//! Control connects: finds the socket, hears the hello, takes the descriptors.

use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use thiserror::Error;

use super::peer::LineSocket;
use super::{Disconnect, handover, wait};
use crate::counters::CountersError;
use crate::hello::Hello;
use crate::query::Frame;
use crate::segment::SegmentError;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nobody listens, or we may not connect.
    #[error("{path}: cannot connect to the dataplane: {source}")]
    Connect {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The dataplane did not say hello in time.
    #[error("{path}: the dataplane does not answer")]
    Timeout {
        /// The path.
        path: PathBuf,
    },
    /// The dataplane turned us away, or broke off.
    #[error(transparent)]
    Ended(#[from] Disconnect),
    /// The dataplane is of another version.
    #[error("the dataplane's shared memory has another {what}; run both processes from one version")]
    Mismatch {
        /// What does not agree.
        what: &'static str,
    },
    /// The shared memory is unusable.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The counters page is unusable.
    #[error(transparent)]
    Counters(#[from] CountersError),
}

pub(super) fn connect_within(path: &Path, deadline: Instant) -> Result<UnixStream, ConnectError> {
    loop {
        match handover::connect_nonblocking(path) {
            Ok(stream) => return Ok(stream),
            // The listener's queue is full: the dataplane is stopped or busy.
            Err(Errno::AGAIN) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Err(Errno::AGAIN) => {
                return Err(ConnectError::Timeout {
                    path: path.to_owned(),
                });
            }
            Err(error) => {
                return Err(ConnectError::Connect {
                    path: path.to_owned(),
                    source: error.into(),
                });
            }
        }
    }
}

pub(super) fn receive_hello(
    path: &Path,
    socket: &mut LineSocket,
    fds: &mut Vec<OwnedFd>,
    deadline: Instant,
) -> Result<Hello, ConnectError> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        if let Some(line) = socket.next_line()? {
            return match parse(&line)? {
                Frame::Hello(hello) => Ok(hello),
                Frame::Bye { reason } => Err(Disconnect::Bye(reason).into()),
                Frame::Answer { .. } | Frame::Failed { .. } => {
                    Err(Disconnect::BadFrame("no hello".into()).into())
                }
            };
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ConnectError::Timeout {
                path: path.to_owned(),
            });
        }
        match handover::receive_with_fds(socket.stream(), &mut bytes, fds) {
            Ok(0) => return Err(Disconnect::Closed.into()),
            Ok(got) => socket.push_received(&bytes[..got]),
            Err(Errno::AGAIN | Errno::INTR) => wait(&mut [PollFd::new(socket, PollFlags::IN)], left),
            Err(error) => return Err(Disconnect::Socket(error.to_string()).into()),
        }
    }
}

/// A line from the dataplane.
pub(super) fn parse(line: &[u8]) -> Result<Frame, Disconnect> {
    serde_json::from_slice(line).map_err(|e| Disconnect::BadFrame(e.to_string()))
}
