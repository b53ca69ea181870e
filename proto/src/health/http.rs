//! The HTTP half of a check: the request it sends and the reply it believes (RFC 9112 §2, §3, §4, §6).
//!
//! The status line decides first; the head is read to its end so that a server that dies in the middle of it fails. The
//! body is read only when something is said about it ([`body`]). Sizes are bytes. [`httparse`] does the parsing; this
//! file only bounds it: a head longer than [`HEAD_BYTES_MAX`] or with more than [`HEADERS_MAX`] fields fails.

pub mod body;

use super::failure::Failure;
use super::reader::Progress;
use body::{Body, BodyReader, Framing};
use core::fmt::Write as _;
use core::ops::RangeInclusive;

/// Longest reply head read before the check fails, interim replies (1xx) included.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header fields in a reply head.
pub const HEADERS_MAX: usize = 128;

const VERSION_PREFIX: &[u8] = b"HTTP/1.";

/// The protocol's version in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Version {
    /// `HTTP/1.0`.
    V1_0,
    /// `HTTP/1.0` with `Connection: close`, for servers that keep such connections too.
    V1_0Close,
    /// `HTTP/1.1` with `Connection: close`.
    #[default]
    V1_1,
}

/// One GET request and what passes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Get {
    /// Request target, starting with `/`.
    pub path: String,
    /// The `Host` field: a virtual host, or the server's address and port.
    pub host: String,
    /// Statuses that pass; any 2xx when empty.
    pub status: Vec<RangeInclusive<u16>>,
    /// The version of the request.
    pub version: Version,
    /// What the body must be; unread when nothing is said.
    pub body: Body,
}

impl Get {
    /// True when `status` is one of those that pass.
    pub fn accepts(&self, status: u16) -> bool {
        if self.status.is_empty() {
            return (200..300).contains(&status);
        }
        self.status.iter().any(|range| range.contains(&status))
    }

    /// The request's bytes. The connection is asked to close after the reply, so no server waits for a second one.
    pub fn request(&self) -> Vec<u8> {
        let (version, connection) = match self.version {
            Version::V1_0 => ("1.0", ""),
            Version::V1_0Close => ("1.0", "Connection: close\r\n"),
            Version::V1_1 => ("1.1", "Connection: close\r\n"),
        };
        let mut text = String::with_capacity(128 + self.path.len() + self.host.len());
        text.push_str("GET ");
        text.extend(self.path.chars().map(visible));
        // Writing to a String cannot fail.
        let _ = write!(text, " HTTP/{version}\r\nHost: ");
        text.extend(self.host.chars().map(visible));
        let _ = write!(
            text,
            "\r\nUser-Agent: weir/{}\r\nAccept: */*\r\n{connection}\r\n",
            env!("CARGO_PKG_VERSION")
        );
        text.into_bytes()
    }
}

/// Reads one reply.
#[derive(Debug, Clone)]
pub enum Reader {
    /// Up to the end of the head.
    Head(HeadReader),
    /// After it.
    Body(Box<BodyReader>),
}

impl Default for Reader {
    fn default() -> Self {
        Self::Head(HeadReader::default())
    }
}

impl Reader {
    /// Takes the next piece.
    pub fn read(&mut self, get: &Get, piece: &[u8]) -> Progress {
        match self {
            Self::Head(head) => match head.read(piece) {
                Ok(None) => Progress::More,
                Ok(Some(found)) => self.judge_head(get, found),
                Err(HeadError::NotHttp) => Progress::Fail(Failure::NotHttp),
                Err(HeadError::TooLong) => Progress::Fail(Failure::HeadTooLong),
            },
            Self::Body(body) => body.read(&get.body, piece),
        }
    }

    /// The server has closed.
    pub fn eof(&mut self, get: &Get) -> Progress {
        match self {
            Self::Head(_) => Progress::Fail(Failure::Truncated),
            Self::Body(body) => body.eof(&get.body),
        }
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        match self {
            Self::Head(head) => head.bytes.len(),
            Self::Body(body) => body.held(),
        }
    }

    fn judge_head(&mut self, get: &Get, head: Head) -> Progress {
        if !get.accepts(head.status) {
            return Progress::Fail(Failure::Status(head.status));
        }
        if get.body.is_nothing() {
            return Progress::Pass;
        }
        let mut body = BodyReader::new(head.framing, get.body.digest);
        let progress = body.read(&get.body, &head.rest);
        *self = Self::Body(Box::new(body));
        progress
    }
}

/// Keeps a path or host from ending its line: whatever is not visible ASCII becomes `_`.
fn visible(character: char) -> char {
    if character.is_ascii_graphic() {
        character
    } else {
        '_'
    }
}

/// Why a reply is not a usable HTTP reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// The bytes are not HTTP/1.
    NotHttp,
    /// The head did not end within [`HEAD_BYTES_MAX`] bytes or [`HEADERS_MAX`] fields.
    TooLong,
}

/// What the final head of a reply says, and what followed it in the same piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// How the body's end is found.
    pub framing: Framing,
    /// The body's first bytes.
    pub rest: Vec<u8>,
}

/// Collects a reply head from whatever pieces the network delivers.
#[derive(Debug, Clone, Default)]
pub struct HeadReader {
    bytes: Vec<u8>,
    /// Bytes used up by interim replies, which count against the bound too.
    interim: usize,
}

impl HeadReader {
    /// Takes the next piece; the final head once it is complete.
    pub fn read(&mut self, piece: &[u8]) -> Result<Option<Head>, HeadError> {
        let room = HEAD_BYTES_MAX.saturating_sub(self.interim + self.bytes.len());
        let (taken, beyond) = piece.split_at(piece.len().min(room));
        let searched = self.bytes.len();
        self.bytes.extend_from_slice(taken);
        self.check_version()?;
        let mut from = searched;
        while let Some(end) = head_end(&self.bytes, from) {
            let (status, framing) = parse_head(&self.bytes[..end])?;
            // RFC 9110 §15.2: a client must be able to parse 1xx replies before the final one. 101 is final here.
            if !(100..200).contains(&status) || status == 101 {
                let rest = [&self.bytes[end..], beyond].concat();
                self.bytes = Vec::new();
                return Ok(Some(Head {
                    status,
                    framing,
                    rest,
                }));
            }
            self.bytes.drain(..end);
            self.interim += end;
            self.check_version()?;
            from = 0;
        }
        if !beyond.is_empty() || self.interim + self.bytes.len() >= HEAD_BYTES_MAX {
            return Err(HeadError::TooLong);
        }
        Ok(None)
    }

    /// Refuses what cannot become HTTP/1 from its first bytes on.
    fn check_version(&self) -> Result<(), HeadError> {
        let known = self.bytes.len().min(VERSION_PREFIX.len());
        if self.bytes[..known] == VERSION_PREFIX[..known] {
            Ok(())
        } else {
            Err(HeadError::NotHttp)
        }
    }
}

/// One past the empty line that ends a head, looking only where it can newly be: from just before `from`. Either line may end
/// without its CR (RFC 9112 §2.2), as the parser takes it.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let start = from.saturating_sub(2);
    let mut ends = bytes.iter().enumerate().skip(start);
    ends.find_map(|(at, &byte)| match (byte, bytes.get(at + 1), bytes.get(at + 2)) {
        (b'\n', Some(b'\n'), _) => Some(at + 2),
        (b'\n', Some(b'\r'), Some(b'\n')) => Some(at + 3),
        _ => None,
    })
}

fn parse_head(head: &[u8]) -> Result<(u16, Framing), HeadError> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut reply = httparse::Response::new(&mut fields);
    match reply.parse(head) {
        Ok(httparse::Status::Complete(_)) => {
            let status = reply.code.ok_or(HeadError::NotHttp)?;
            Ok((
                status,
                Framing::of(status, reply.headers).ok_or(HeadError::NotHttp)?,
            ))
        }
        Err(httparse::Error::TooManyHeaders) => Err(HeadError::TooLong),
        Ok(httparse::Status::Partial) | Err(_) => Err(HeadError::NotHttp),
    }
}

#[cfg(test)]
mod tests;
