//! How a run ends: [`Outcome`], and why it failed: [`Failure`], in words an operator can act on.

use core::fmt;

/// How a connection fails, as the host's sockets tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing listens (RST, or ICMP port unreachable).
    Refused,
    /// No route, or an ICMP unreachable.
    Unreachable,
    /// The server cut the connection (RST).
    Reset,
    /// The server's TLS handshake failed.
    Tls,
    /// The server ended the connection without TLS's closing alert (RFC 8446 §6.1).
    TlsTruncated,
    /// The server's certificate is not one that is trusted for its name, or is not valid now.
    Certificate,
    /// The server does not speak the check's protocol.
    Protocol,
    /// The watched file is missing or cannot be read.
    File,
    /// The program was killed by a signal.
    Killed,
    /// The check's own host could not do it: no source address, no file descriptor, not permitted.
    Local,
}

/// Why a run failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The connection failed or broke.
    Connection(Fault),
    /// No connection within the time allowed.
    ConnectTimeout,
    /// Connected, but no complete answer within the time allowed.
    AnswerTimeout,
    /// The server closed before its answer was complete.
    Truncated,
    /// The answer is not HTTP/1.
    NotHttp,
    /// The answer's head has no end within the bound.
    HeadTooLong,
    /// The answer's status is not one of those that pass.
    Status(u16),
    /// The answer's body does not match, or matches what it must not.
    Body,
    /// The answer's body has another digest.
    Digest,
    /// The answer is longer than the check reads.
    ReplyTooLong,
    /// The answer is not what is expected.
    Unexpected,
    /// The answer is not of this protocol.
    NotProtocol(&'static str),
    /// The server answered in its protocol, with a code that does not pass.
    Code(&'static str, u32),
    /// The BFD session is not up.
    SessionDown,
    /// PostgreSQL refused, with this SQLSTATE.
    SqlState([u8; 5]),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection(Fault::Refused) => "connection refused: nothing listens on that port",
            Self::Connection(Fault::Unreachable) => "unreachable: no route, or the host is gone",
            Self::Connection(Fault::Reset) => "the server reset the connection",
            Self::Connection(Fault::Tls) => "the TLS handshake failed",
            Self::Connection(Fault::TlsTruncated) => "the server ended TLS without its closing alert",
            Self::Connection(Fault::Certificate) => "the server's certificate is not trusted for its name",
            Self::Connection(Fault::Protocol) => "the server does not speak the protocol of the check",
            Self::Connection(Fault::File) => "the file is missing or cannot be read",
            Self::Connection(Fault::Killed) => "the program was killed by a signal",
            Self::Connection(Fault::Local) => "this host could not do the check",
            Self::ConnectTimeout => "no connection within the time allowed",
            Self::AnswerTimeout => "connected, but no complete answer within the time allowed",
            Self::Truncated => "the server closed before its answer was complete",
            Self::NotHttp => "the answer is not HTTP/1",
            Self::HeadTooLong => "the answer's head is too long",
            Self::Body => "the answer's body does not match",
            Self::Digest => "the answer's body has another digest",
            Self::ReplyTooLong => "the answer is longer than the check reads",
            Self::SessionDown => "the BFD session is not up",
            Self::Unexpected => "the answer is not what is expected",
            Self::Status(status) => return write!(f, "HTTP status {status}"),
            Self::NotProtocol(protocol) => return write!(f, "the answer is not {protocol}"),
            Self::Code(what, code) => return write!(f, "{what} {code}"),
            Self::SqlState(state) => {
                return write!(f, "PostgreSQL refuses: SQLSTATE {}", state.escape_ascii());
            }
        })
    }
}

/// What a run asks for about its server's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// This weight.
    Is(u16),
    /// The configured one, and so much more.
    Plus(i32),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(weight) => write!(f, "{weight}"),
            Self::Plus(more) => write!(f, "{more:+}"),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The server answered as it should.
    Pass,
    /// It did, and this is the weight it is worth now.
    Weight(Asked),
    /// It did not, and why.
    Fail(Failure),
}

impl Outcome {
    /// What the run says about the server: that it passes, that it fails, or nothing, when the fault was on this side.
    pub fn evidence(self) -> Option<bool> {
        match self {
            Self::Pass | Self::Weight(_) => Some(true),
            Self::Fail(Failure::Connection(Fault::Local)) => None,
            Self::Fail(_) => Some(false),
        }
    }
}
