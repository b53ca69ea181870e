//! A reply's body: where it ends (RFC 9112 §6.3, §7.1), and whether it is the one wished.
//!
//! A body is read to its end before it is judged. What an expression is matched against is kept, a digest is computed as
//! bytes pass; neither reads more than [`Body::bytes_max`].

use super::super::failure::Failure;
use super::super::pattern::Pattern;
use super::super::reader::Progress;
use core::ops::RangeInclusive;
use sha2::Digest as _;

/// Bytes of a body that are read unless configured otherwise.
pub const BODY_BYTES_MAX: usize = 64 * 1_024;
/// Longest line of a chunked body: a size and its extensions, or a trailer field.
const LINE_BYTES_MAX: usize = 1_024;
/// Most bytes of trailer fields.
const TRAILER_BYTES_MAX: usize = 8 * 1_024;

/// What a body must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Body {
    /// An expression that must match somewhere in it.
    pub regex: Option<Pattern>,
    /// One that must not.
    pub regex_absent: Option<Pattern>,
    /// Where a match may begin.
    pub match_at: RangeInclusive<usize>,
    /// Its digest.
    pub digest: Option<Digest>,
    /// Longer ones fail.
    pub bytes_max: usize,
}

impl Default for Body {
    fn default() -> Self {
        Self {
            regex: None,
            regex_absent: None,
            match_at: 0..=usize::MAX,
            digest: None,
            bytes_max: BODY_BYTES_MAX,
        }
    }
}

impl Body {
    /// True when nothing is said about it, so that it need not be read.
    pub fn is_nothing(&self) -> bool {
        self.regex.is_none() && self.regex_absent.is_none() && self.digest.is_none()
    }

    fn keeps_bytes(&self) -> bool {
        self.regex.is_some() || self.regex_absent.is_some()
    }
}

/// A digest of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Digest {
    /// As keepalived's `genhash` prints it.
    Md5([u8; 16]),
    /// SHA-256.
    Sha256([u8; 32]),
}

#[derive(Debug, Clone)]
enum Hasher {
    None,
    Md5(md5::Md5),
    Sha256(sha2::Sha256),
}

/// How a body's end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes.
    Length(u64),
    /// After the last chunk and its trailer.
    Chunked,
    /// When the server closes.
    Close,
}

impl Framing {
    /// RFC 9112 §6.3; `None` when the head contradicts itself.
    pub(super) fn of(status: u16, fields: &[httparse::Header<'_>]) -> Option<Self> {
        if status < 200 || status == 204 || status == 304 {
            return Some(Self::Length(0));
        }
        let values = |name: &'static str| {
            fields
                .iter()
                .filter(move |field| field.name.eq_ignore_ascii_case(name))
                .map(|field| field.value.trim_ascii())
        };
        if let Some(last) = values("transfer-encoding").next_back() {
            let coding = last.rsplit(|&byte| byte == b',').next()?.trim_ascii();
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            return Some(if chunked { Self::Chunked } else { Self::Close });
        }
        let mut lengths = values("content-length");
        let Some(first) = lengths.next() else {
            return Some(Self::Close);
        };
        if lengths.any(|other| other != first) || !first.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let length = core::str::from_utf8(first).ok()?.parse().ok()?;
        Some(Self::Length(length))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Inside a body whose end is known by length, or by closing (`u64::MAX`).
    Plain { left: u64 },
    /// In the line that says a chunk's size.
    Size,
    /// In a chunk's bytes.
    Chunk { left: u64 },
    /// In the line end after a chunk.
    ChunkEnd,
    /// In the fields after the last chunk.
    Trailer { seen: usize },
}

/// Reads one body.
#[derive(Debug, Clone)]
pub struct BodyReader {
    at: At,
    closes: bool,
    line: Vec<u8>,
    kept: Vec<u8>,
    read: usize,
    hasher: Hasher,
}

impl BodyReader {
    pub(super) fn new(framing: Framing, digest: Option<Digest>) -> Self {
        let at = match framing {
            Framing::Length(left) => At::Plain { left },
            Framing::Close => At::Plain { left: u64::MAX },
            Framing::Chunked => At::Size,
        };
        Self {
            at,
            closes: framing == Framing::Close,
            line: Vec::new(),
            kept: Vec::new(),
            read: 0,
            hasher: match digest {
                None => Hasher::None,
                Some(Digest::Md5(_)) => Hasher::Md5(md5::Md5::default()),
                Some(Digest::Sha256(_)) => Hasher::Sha256(sha2::Sha256::default()),
            },
        }
    }

    pub(super) fn held(&self) -> usize {
        self.line.len() + self.kept.len()
    }

    pub(super) fn read(&mut self, body: &Body, mut piece: &[u8]) -> Progress {
        loop {
            if let At::Plain { left: 0 } = self.at {
                return self.judge(body);
            }
            if piece.is_empty() {
                return Progress::More;
            }
            match self.at {
                At::Plain { left } => {
                    let Some(left) = self.take(body, &mut piece, left) else {
                        return Progress::Fail(Failure::ReplyTooLong);
                    };
                    self.at = At::Plain { left };
                }
                At::Chunk { left } => match self.take(body, &mut piece, left) {
                    Some(0) => self.at = At::ChunkEnd,
                    Some(left) => self.at = At::Chunk { left },
                    None => return Progress::Fail(Failure::ReplyTooLong),
                },
                At::Size | At::ChunkEnd | At::Trailer { .. } => match self.take_line(&mut piece) {
                    Ok(None) => {}
                    Ok(Some(line)) => {
                        if let Some(end) = self.on_line(body, &line) {
                            return end;
                        }
                    }
                    Err(failure) => return Progress::Fail(failure),
                },
            }
        }
    }

    pub(super) fn eof(&mut self, body: &Body) -> Progress {
        if self.closes {
            self.judge(body)
        } else {
            Progress::Fail(Failure::Truncated)
        }
    }

    /// Takes up to `left` bytes of the body; what is left then, or `None` when the body is too long.
    fn take(&mut self, body: &Body, piece: &mut &[u8], left: u64) -> Option<u64> {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let (bytes, rest) = piece.split_at(count);
        *piece = rest;
        self.read += count;
        if self.read > body.bytes_max {
            return None;
        }
        if body.keeps_bytes() {
            self.kept.extend_from_slice(bytes);
        }
        match &mut self.hasher {
            Hasher::None => {}
            Hasher::Md5(hasher) => hasher.update(bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
        }
        Some(if self.closes {
            u64::MAX
        } else {
            left - count as u64
        })
    }

    /// Takes bytes up to a line's end; the line with its end once it is whole.
    fn take_line(&mut self, piece: &mut &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let end = piece.iter().position(|&byte| byte == b'\n');
        let (bytes, rest) = piece.split_at(end.map_or(piece.len(), |end| end + 1));
        *piece = rest;
        if self.line.len() + bytes.len() > LINE_BYTES_MAX {
            return Err(Failure::NotHttp);
        }
        self.line.extend_from_slice(bytes);
        Ok(end.map(|_| core::mem::take(&mut self.line)))
    }

    fn on_line(&mut self, body: &Body, line: &[u8]) -> Option<Progress> {
        let blank = matches!(line, b"\r\n" | b"\n");
        match self.at {
            At::ChunkEnd if blank => self.at = At::Size,
            At::ChunkEnd => return Some(Progress::Fail(Failure::NotHttp)),
            At::Size => match httparse::parse_chunk_size(line) {
                Ok(httparse::Status::Complete((_, 0))) => self.at = At::Trailer { seen: 0 },
                Ok(httparse::Status::Complete((_, left))) => self.at = At::Chunk { left },
                Ok(httparse::Status::Partial) | Err(_) => return Some(Progress::Fail(Failure::NotHttp)),
            },
            At::Trailer { .. } if blank => return Some(self.judge(body)),
            At::Trailer { seen } if seen + line.len() > TRAILER_BYTES_MAX => {
                return Some(Progress::Fail(Failure::HeadTooLong));
            }
            At::Trailer { seen } => {
                self.at = At::Trailer {
                    seen: seen + line.len(),
                }
            }
            At::Plain { .. } | At::Chunk { .. } => {}
        }
        None
    }

    fn judge(&mut self, body: &Body) -> Progress {
        let matches = |pattern: &Option<Pattern>| {
            pattern
                .as_ref()
                .map(|pattern| pattern.begins_in(&self.kept, &body.match_at))
        };
        if matches(&body.regex) == Some(false) || matches(&body.regex_absent) == Some(true) {
            return Progress::Fail(Failure::Body);
        }
        let same = match (&body.digest, core::mem::replace(&mut self.hasher, Hasher::None)) {
            (Some(Digest::Md5(wanted)), Hasher::Md5(hasher)) => hasher.finalize()[..] == wanted[..],
            (Some(Digest::Sha256(wanted)), Hasher::Sha256(hasher)) => hasher.finalize()[..] == wanted[..],
            (None, _) => true,
            (Some(_), _) => false,
        };
        if same {
            Progress::Pass
        } else {
            Progress::Fail(Failure::Digest)
        }
    }
}

#[cfg(test)]
mod tests;
