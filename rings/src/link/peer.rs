//! What both ends do with the socket: lines in, lines out, never waiting.

use core::time::Duration;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use serde::Serialize;

use super::Disconnect;
use crate::query::lines::{LineReader, TooLong, WriteQueue};

/// Bytes read in one round.
const READ_LEN: usize = 64 << 10;

/// A socket that carries lines of JSON.
pub(super) struct LineSocket {
    stream: UnixStream,
    reader: LineReader,
    writer: WriteQueue,
    /// When bytes began to wait without any going out.
    stuck_since: Option<Duration>,
    buffer: Box<[u8]>,
}

impl LineSocket {
    /// Lines of at most `line_len_max` bytes come in, at most `queue_len_max` bytes wait to go out.
    pub(super) fn new(stream: UnixStream, line_len_max: usize, queue_len_max: usize) -> Self {
        let (reader, writer) = (LineReader::new(line_len_max), WriteQueue::new(queue_len_max));
        Self {
            stream,
            reader,
            writer,
            stuck_since: None,
            buffer: vec![0; READ_LEN].into(),
        }
    }

    pub(super) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Takes bytes that were read otherwise.
    pub(super) fn push_received(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    /// Reads what is there, up to a bound. False when there was nothing.
    pub(super) fn receive(&mut self) -> Result<bool, Disconnect> {
        match rustix::net::recv(&self.stream, &mut *self.buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Err(Disconnect::Closed),
            Ok((got, _)) => {
                self.reader.push(&self.buffer[..got]);
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(Errno::CONNRESET | Errno::PIPE) => Err(Disconnect::Closed),
            Err(error) => Err(Disconnect::Socket(error.to_string())),
        }
    }

    /// The next whole line.
    pub(super) fn next_line(&mut self) -> Result<Option<Vec<u8>>, Disconnect> {
        self.reader
            .next_line()
            .map_err(|TooLong| Disconnect::BadFrame("a line is too long".into()))
    }

    /// Queues a frame.
    pub(super) fn queue(&mut self, frame: &impl Serialize) -> Result<(), TooLong> {
        // Our frames have string keys only, so there is nothing that could fail but the bound.
        let line = serde_json::to_vec(frame).map_err(|_| TooLong)?;
        self.queue_bytes(&line)
    }

    /// Queues a line that is JSON already.
    pub(super) fn queue_bytes(&mut self, line: &[u8]) -> Result<(), TooLong> {
        self.writer.push_line(line)
    }

    /// Forgets the first bytes of the queue: they went out otherwise.
    pub(super) fn sent(&mut self, n: usize) {
        self.writer.consume(n);
    }

    /// Writes what the socket takes. Fails when nothing went out for `patience`.
    pub(super) fn flush(&mut self, now: Duration, patience: Duration) -> Result<(), Disconnect> {
        while !self.writer.is_empty() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.stream, self.writer.front(), flags) {
                Ok(n) => {
                    self.writer.consume(n);
                    self.stuck_since = None;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let since = *self.stuck_since.get_or_insert(now);
                    let stuck = now.saturating_sub(since) > patience;
                    return if stuck { Err(Disconnect::Stuck) } else { Ok(()) };
                }
                Err(Errno::CONNRESET | Errno::PIPE) => return Err(Disconnect::Closed),
                Err(error) => return Err(Disconnect::Socket(error.to_string())),
            }
        }
        self.stuck_since = None;
        Ok(())
    }

    /// Bytes wait for the socket to become writable.
    pub(super) fn wants_write(&self) -> bool {
        !self.writer.is_empty()
    }
}

impl AsFd for LineSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
