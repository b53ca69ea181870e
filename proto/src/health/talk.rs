//! Request and expectation over a byte stream, step by step: the base of every text and greeting dialogue.
//!
//! A step sends bytes or waits for an answer. Each expectation looks at what has come since the last one was met; a
//! server that sends more than [`Talk::reply_bytes_max`] without meeting it fails, so memory stays flat.

use super::failure::Failure;
use super::pattern::Pattern;
use super::reader::{Found, Progress};
use super::say::Say;
use super::{ldap, mysql, postgres};

/// Bytes read for one expectation unless configured otherwise.
pub const REPLY_BYTES_MAX: usize = 4_096;

/// A dialogue over TCP or TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Talk {
    /// What is said and heard, in order.
    pub steps: Vec<Step>,
    /// Longest answer to one expectation.
    pub reply_bytes_max: usize,
}

/// One step of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Say this.
    Send(Say),
    /// Wait for this.
    Expect(Expect),
}

/// What an answer must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expect {
    /// These bytes, anywhere.
    Text(Vec<u8>),
    /// A match of this expression, anywhere.
    Regex(Pattern),
    /// Exactly these bytes next.
    Bytes(Vec<Masked>),
    /// A reply of one or more lines with a three-digit code (RFC 5321 §4.2, RFC 959 §4.2): this one.
    Code(&'static str, u16),
    /// A line that begins with one of these; the first names the protocol's good answer. Lines that begin with `*` or
    /// differ otherwise are passed over when the flag says so (untagged replies of IMAP).
    Line {
        /// The protocol's name.
        protocol: &'static str,
        /// How a good line begins.
        good: &'static [&'static str],
        /// Whether other lines may come first.
        after_others: bool,
    },
    /// A status line of SIP (RFC 3261 §7.2) with status 200.
    Sip,
    /// The answer to an LDAP bind.
    Ldap,
    /// The first packet of a MySQL server.
    MySql,
    /// One byte in answer to PostgreSQL's SSLRequest.
    PostgresSsl,
    /// The answer to PostgreSQL's start-up message.
    PostgresStart,
}

/// A byte of which some bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Masked {
    /// The byte.
    pub byte: u8,
    /// The bits that count.
    pub mask: u8,
}

impl Masked {
    /// Whether `byte` is such a one.
    pub fn is(self, byte: u8) -> bool {
        (byte ^ self.byte) & self.mask == 0
    }
}

impl Expect {
    /// Looks at everything that came since the last expectation was met.
    pub fn look(&self, bytes: &[u8]) -> Found {
        match self {
            Self::Text(text) => match find(bytes, text) {
                Some(at) => Found::Met(at + text.len()),
                None => Found::More,
            },
            Self::Regex(pattern) => pattern.find_end(bytes).map_or(Found::More, Found::Met),
            Self::Bytes(wanted) => exact(bytes, wanted),
            Self::Code(protocol, wanted) => code(bytes, protocol, *wanted),
            Self::Line {
                protocol,
                good,
                after_others,
            } => line(bytes, protocol, good, *after_others),
            Self::Sip => sip(bytes),
            Self::Ldap => ldap::bind_response(bytes),
            Self::MySql => mysql::greeting(bytes),
            Self::PostgresSsl => postgres::ssl_answer(bytes),
            Self::PostgresStart => postgres::start_answer(bytes),
        }
    }
}

/// Where a run of a [`Talk`] stands.
#[derive(Debug, Clone)]
pub struct TalkReader {
    token: u64,
    /// The step that is waited for.
    at: usize,
    unread: Vec<u8>,
}

impl TalkReader {
    /// At the beginning of the run that `token` stands for.
    pub fn new(token: u64) -> Self {
        Self {
            token,
            at: 0,
            unread: Vec::new(),
        }
    }

    /// Begins; what is to be said first, if anything.
    pub fn start(&mut self, talk: &Talk) -> Progress {
        self.advance(talk)
    }

    /// Takes the next piece of the answer.
    pub fn read(&mut self, talk: &Talk, piece: &[u8]) -> Progress {
        let room = talk.reply_bytes_max.saturating_sub(self.unread.len());
        self.unread.extend_from_slice(&piece[..piece.len().min(room)]);
        let progress = self.advance(talk);
        // What was cut off may only have followed the end of the dialogue.
        if progress == Progress::More && (piece.len() > room || self.unread.len() >= talk.reply_bytes_max) {
            return Progress::Fail(Failure::ReplyTooLong);
        }
        progress
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.unread.len()
    }

    fn advance(&mut self, talk: &Talk) -> Progress {
        let mut say = Vec::new();
        while let Some(step) = talk.steps.get(self.at) {
            match step {
                Step::Send(words) => say.extend(words.bytes(self.token)),
                Step::Expect(expect) => match expect.look(&self.unread) {
                    Found::More if say.is_empty() => return Progress::More,
                    Found::More => return Progress::Say(say),
                    Found::Met(count) => drop(self.unread.drain(..count.min(self.unread.len()))),
                    Found::Never(failure) => return Progress::Fail(failure),
                },
            }
            self.at += 1;
        }
        if say.is_empty() {
            Progress::Pass
        } else {
            Progress::Farewell(say)
        }
    }
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    if text.is_empty() {
        return Some(0);
    }
    bytes.windows(text.len()).position(|window| window == text)
}

fn exact(bytes: &[u8], wanted: &[Masked]) -> Found {
    let differs = bytes.iter().zip(wanted).any(|(byte, wanted)| !wanted.is(*byte));
    if differs {
        Found::Never(Failure::Unexpected)
    } else if bytes.len() < wanted.len() {
        Found::More
    } else {
        Found::Met(wanted.len())
    }
}

/// The first whole line, without its end, and how many bytes it takes with it.
fn first_line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

/// RFC 959 §4.2: a reply of several lines begins with `xyz-` and ends with the line that begins with `xyz` and a space.
fn code(bytes: &[u8], protocol: &'static str, wanted: u16) -> Found {
    // Text, or nothing worth waiting for.
    if bytes.iter().take(3).any(|byte| !byte.is_ascii_digit()) {
        return Found::Never(Failure::NotProtocol(protocol));
    }
    let mut used = 0;
    let mut first = None;
    while let Some((line, taken)) = first_line(&bytes[used..]) {
        used += taken;
        let number = line.get(..3).and_then(number);
        let last = matches!(line.get(3), None | Some(b' '));
        match (first, number) {
            (None, None) => return Found::Never(Failure::NotProtocol(protocol)),
            (None, Some(number)) if !last => first = Some(number),
            (Some(begun), Some(number)) if !last || number != begun => {}
            (Some(_), None) => {}
            (None | Some(_), Some(number)) if number == u32::from(wanted) => return Found::Met(used),
            (None | Some(_), Some(number)) => return Found::Never(Failure::Code(protocol, number)),
        }
    }
    Found::More
}

fn number(digits: &[u8]) -> Option<u32> {
    core::str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()
}

fn line(bytes: &[u8], protocol: &'static str, good: &[&str], after_others: bool) -> Found {
    let mut used = 0;
    while let Some((line, taken)) = first_line(&bytes[used..]) {
        used += taken;
        let has = |begin: &&str| {
            line.get(..begin.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(begin.as_bytes()))
        };
        if good.iter().any(has) {
            return Found::Met(used);
        }
        if !after_others || !line.starts_with(b"*") {
            return Found::Never(Failure::NotProtocol(protocol));
        }
    }
    Found::More
}

fn sip(bytes: &[u8]) -> Found {
    const VERSION: &[u8] = b"SIP/2.0 ";
    let known = bytes.len().min(VERSION.len());
    if bytes[..known] != VERSION[..known] {
        return Found::Never(Failure::NotProtocol("SIP"));
    }
    let Some((line, used)) = first_line(bytes) else {
        return Found::More;
    };
    match line.get(VERSION.len()..VERSION.len() + 3).and_then(number) {
        Some(200) => Found::Met(used),
        Some(status) => Found::Never(Failure::Code("SIP status", status)),
        None => Found::Never(Failure::NotProtocol("SIP")),
    }
}

#[cfg(test)]
mod tests;
