//! ICMP echo (RFC 792, RFC 4443 §4): the request, and whether a message is its reply.
//!
//! The payload carries a token of the run: the identifier is the kernel's on a ping socket, so it says nothing.

use super::reader::Progress;
use weir_wire::checksum;

const PAYLOAD_BYTES: usize = 32;
const HEAD_BYTES: usize = 8;

/// Which echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Echo {
    /// ICMP.
    V4,
    /// ICMPv6.
    V6,
}

impl Echo {
    fn types(self) -> (u8, u8) {
        match self {
            Self::V4 => (8, 0),
            Self::V6 => (128, 129),
        }
    }

    /// The request. For IPv6 the kernel fills in the checksum.
    pub fn request(self, token: u64) -> Vec<u8> {
        let mut message = vec![0; HEAD_BYTES + PAYLOAD_BYTES];
        message[0] = self.types().0;
        message[4..6].copy_from_slice(&token.to_be_bytes()[6..]);
        message[7] = 1;
        message[HEAD_BYTES..HEAD_BYTES + 8].copy_from_slice(&token.to_be_bytes());
        if self == Self::V4 {
            let sum = checksum::checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        message
    }

    /// Judges a message; what is no reply to this run's request is passed over.
    pub fn read(self, token: u64, message: &[u8]) -> Progress {
        let is_reply = message.first() == Some(&self.types().1) && message.get(1) == Some(&0);
        if is_reply && message.get(HEAD_BYTES..HEAD_BYTES + 8) == Some(&token.to_be_bytes()[..]) {
            Progress::Pass
        } else {
            Progress::More
        }
    }
}
