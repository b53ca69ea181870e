//! Why a packet is malformed.

use core::fmt;

/// Shorthand for results of this crate.
pub type Result<T> = core::result::Result<T, Error>;

/// The one thing that is wrong with a malformed packet; enough to name a drop counter, nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Error {
    /// The buffer ends before the header, or before the length the header promises.
    Truncated,
    /// A version or variant this header format does not have.
    BadVersion,
    /// A header length below the minimum or beyond the packet.
    BadHeaderLength,
    /// A total or payload length that contradicts the header length.
    BadTotalLength,
    /// A checksum that does not add up.
    BadChecksum,
    /// An option whose length is zero, too short for its kind, or beyond the option space.
    BadOption,
    /// A fixed field with a value the format forbids (hardware type, reserved bit, code).
    BadField,
    /// An address the RFC forbids in this place.
    BadAddress,
    /// A neighbour discovery message that came over a router: its hop limit is not 255.
    BadHopLimit,
    /// A message type this format does not have.
    BadType,
    /// More IPv6 extension headers than the walker will follow.
    TooManyExtensions,
    /// An IPv6 hop-by-hop options header anywhere but first.
    BadExtensionOrder,
}

impl Error {
    /// Stable name for counters: lower case, underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::BadVersion => "bad_version",
            Self::BadHeaderLength => "bad_header_length",
            Self::BadTotalLength => "bad_total_length",
            Self::BadChecksum => "bad_checksum",
            Self::BadOption => "bad_option",
            Self::BadField => "bad_field",
            Self::BadAddress => "bad_address",
            Self::BadHopLimit => "bad_hop_limit",
            Self::BadType => "bad_type",
            Self::TooManyExtensions => "too_many_extensions",
            Self::BadExtensionOrder => "bad_extension_order",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "packet ends too early",
            Self::BadVersion => "unknown version",
            Self::BadHeaderLength => "header length out of range",
            Self::BadTotalLength => "total length contradicts header",
            Self::BadChecksum => "wrong checksum",
            Self::BadOption => "malformed option",
            Self::BadField => "forbidden field value",
            Self::BadAddress => "forbidden address",
            Self::BadHopLimit => "hop limit is not 255",
            Self::BadType => "unknown message type",
            Self::TooManyExtensions => "too many extension headers",
            Self::BadExtensionOrder => "hop-by-hop header is not first",
        })
    }
}

impl core::error::Error for Error {}
