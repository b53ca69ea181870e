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
    /// An answer passes that ends before the bytes it must begin with do, if it is right so far, as in keepalived.
    pub short: bool,
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
            Some(Found::More) if self.may_end_early() => Progress::Pass,
            Some(Found::More) => Progress::Fail(Failure::Unexpected),
            Some(Found::Never(failure)) => Progress::Fail(failure),
        }
    }

    /// Only bytes that are named one by one can be right so far.
    fn may_end_early(&self) -> bool {
        self.short && matches!(self.expect, Some(Expect::Bytes(_)))
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

#[cfg(test)]
mod tests {
    use super::super::pattern::Pattern;
    use super::super::talk::Masked;
    use super::*;

    #[test]
    fn an_answer_that_ends_early_passes_where_it_may() {
        let wanted = [1, 2, 3].map(|byte| Masked { byte, mask: 0xff });
        let datagram = |short| Datagram {
            send: Say::Bytes(Vec::new()),
            expect: Some(Expect::Bytes(wanted.to_vec())),
            require_reply: true,
            short,
            reply_bytes: 1..=255,
        };
        let unexpected = Progress::Fail(Failure::Unexpected);
        assert_eq!(datagram(true).read(&[1, 2]), Progress::Pass);
        assert_eq!(datagram(false).read(&[1, 2]), unexpected);
        for short in [true, false] {
            assert_eq!(datagram(short).read(&[1, 2, 3, 4]), Progress::Pass);
            assert_eq!(datagram(short).read(&[1, 3]), unexpected);
            assert_eq!(datagram(short).read(&[]), unexpected, "too short in any case");
            let text = Datagram {
                expect: Some(Expect::Regex(Pattern::new("^abc"))),
                ..datagram(short)
            };
            assert_eq!(text.read(b"abcd"), Progress::Pass);
            assert_eq!(text.read(b"ab"), unexpected, "an expression matches or does not");
        }
    }
}
