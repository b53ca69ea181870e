//! A datagram and its answer: UDP as keepalived's UDP_CHECK, SIP over UDP.
//!
//! Without an answer being required, only an ICMP "port unreachable" fails: silence until the time is up passes, and so
//! does any answer. An answer that is checked is one datagram.

use super::failure::Failure;
use super::reader::Found;
use super::reader::Progress;
use super::say::Say;
use super::talk::Expect;
use core::ops::RangeInclusive;

/// What is sent and what must come back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Datagram {
    /// The payload.
    pub send: Say,
    /// What the answer must be; anything when `None`.
    pub expect: Option<Expect>,
    /// Whether silence fails.
    pub require_reply: bool,
    /// How long the answer may be.
    pub reply_bytes: RangeInclusive<usize>,
}

impl Datagram {
    /// Judges an answer.
    pub fn read(&self, reply: &[u8]) -> Progress {
        if !self.reply_bytes.contains(&reply.len()) {
            return Progress::Fail(Failure::Unexpected);
        }
        match self.expect.as_ref().map(|expect| expect.look(reply)) {
            None | Some(Found::Met(_)) => Progress::Pass,
            Some(Found::More) => Progress::Fail(Failure::Unexpected),
            Some(Found::Never(failure)) => Progress::Fail(failure),
        }
    }

    /// The end of a run without an answer.
    pub fn silence(&self) -> Progress {
        if self.require_reply {
            Progress::Fail(Failure::AnswerTimeout)
        } else {
            Progress::Pass
        }
    }
}
