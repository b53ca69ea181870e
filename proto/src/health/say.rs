//! What a dialogue says: bytes, or a request that must be new in every run.

/// Something to be said.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Say {
    /// The same in every run.
    Bytes(Vec<u8>),
    /// So many bytes at random, others in every run.
    Random(u16),
    /// RFC 3261 §11: OPTIONS. A server answers a request whose branch it has seen within 32 s with the answer it gave then (§17.2.2),
    /// whatever has become of it since.
    SipOptions {
        /// "TCP" or "UDP".
        transport: &'static str,
        /// In the request's address.
        host: String,
    },
}

impl Say {
    /// The bytes for the run that `token` stands for.
    pub fn bytes(&self, token: u64) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Random(count) => random(token, *count),
            Self::SipOptions { transport, host } => sip_options(transport, host, token),
        }
    }
}

impl From<&[u8]> for Say {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// SplitMix64 from the run's token: nobody has to be kept from guessing them.
fn random(token: u64, count: u16) -> Vec<u8> {
    let mut state = token;
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_be_bytes()[0]
    };
    (0..count).map(|_| draw()).collect()
}

fn sip_options(transport: &str, host: &str, token: u64) -> Vec<u8> {
    format!(
        "OPTIONS sip:{host} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} check.invalid;rport;branch=z9hG4bKweir{token:016x}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:check@check.invalid>;tag=weir{token:016x}\r\n\
         To: <sip:{host}>\r\n\
         Call-ID: weir{token:016x}@check.invalid\r\n\
         CSeq: 1 OPTIONS\r\n\
         Contact: <sip:check@check.invalid>\r\n\
         Accept: application/sdp\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_are_other_ones_in_every_run() {
        let bytes = |token| Say::Random(32).bytes(token);
        assert_eq!(bytes(1).len(), 32);
        assert_ne!(bytes(1), bytes(2));
        assert_eq!(bytes(1), bytes(1));
    }

    #[test]
    fn every_run_asks_a_new_question_by_sip() {
        let options = Say::SipOptions {
            transport: "UDP",
            host: "192.0.2.11:5060".into(),
        };
        let text = |token| String::from_utf8(options.bytes(token)).unwrap();
        let (one, other) = (text(1), text(2));
        let line = |text: &str, name: &str| {
            text.lines()
                .find(|line| line.starts_with(name))
                .map(str::to_owned)
        };
        // The branch, the tag and the dialogue's identifier.
        for name in ["Via:", "From:", "Call-ID:"] {
            assert_ne!(line(&one, name), line(&other, name));
        }
        assert!(
            one.starts_with("OPTIONS sip:192.0.2.11:5060 SIP/2.0\r\nVia: SIP/2.0/UDP "),
            "{one}"
        );
        assert!(one.ends_with("\r\n\r\n") && text(1) == one);
    }
}
