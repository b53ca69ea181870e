//! IPv6 extension headers (RFC 8200 §4, AH: RFC 4302): finding the upper layer.
//!
//! [`walk`] follows at most [`EXTENSIONS_MAX`] headers. It stops at the upper layer, at what is opaque (ESP), at "no
//! next header", and at a fragment other than the first, behind which there is no header to read.

use crate::{Error, IpProtocol, Result};

/// Most extension headers [`walk`] follows: RFC 8200 §4.1 names seven, and one more for luck.
pub const EXTENSIONS_MAX: usize = 8;
/// Length of a fragment header, in bytes.
pub const FRAGMENT_HEADER_LEN: usize = 8;

/// A fragment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Place of this fragment in the whole, in bytes.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// Identification, common to the fragments of a packet.
    pub ident: u32,
}

impl Fragment {
    /// Whether it is the whole packet after all (RFC 6946): offset 0 and nothing follows.
    #[inline]
    pub const fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// A routing header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Routing {
    /// Routing type; 0 is deprecated (RFC 5095).
    pub kind: u8,
    /// Stations still to visit; 0 when the destination address is the final one.
    pub segments_left: u8,
}

/// What lies behind the extension headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upper {
    /// The upper-layer protocol.
    pub protocol: IpProtocol,
    /// Where the upper layer starts, in bytes from the start of the walked bytes.
    pub offset: usize,
    /// How many extension headers were passed.
    pub extensions: usize,
    /// The fragment header, if there was one. With `offset != 0` what lies at `offset` is not a header.
    pub fragment: Option<Fragment>,
    /// The routing header, if there was one.
    pub routing: Option<Routing>,
}

impl Upper {
    /// Whether an upper-layer header starts at `offset`: false for every fragment but the first.
    #[inline]
    pub const fn has_header(&self) -> bool {
        match self.fragment {
            Some(fragment) => fragment.offset == 0,
            None => true,
        }
    }
}

/// Finds the upper layer in `payload`, the bytes after the fixed header, which starts with a header of kind `first`.
#[inline]
pub fn walk(first: IpProtocol, payload: &[u8]) -> Result<Upper> {
    let mut upper = Upper {
        protocol: first,
        offset: 0,
        extensions: 0,
        fragment: None,
        routing: None,
    };
    while let Some(kind) = Kind::of(upper.protocol) {
        if upper.extensions == EXTENSIONS_MAX {
            return Err(Error::TooManyExtensions);
        }
        if kind == Kind::HopByHop && upper.extensions != 0 {
            return Err(Error::BadExtensionOrder);
        }
        step(&mut upper, kind, payload)?;
        if !upper.has_header() {
            break;
        }
    }
    Ok(upper)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    HopByHop,
    Routing,
    Fragment,
    Destination,
    Authentication,
}

impl Kind {
    #[inline]
    const fn of(protocol: IpProtocol) -> Option<Self> {
        match protocol {
            IpProtocol::HOP_BY_HOP => Some(Self::HopByHop),
            IpProtocol::IPV6_ROUTE => Some(Self::Routing),
            IpProtocol::IPV6_FRAG => Some(Self::Fragment),
            IpProtocol::IPV6_OPTS => Some(Self::Destination),
            IpProtocol::AH => Some(Self::Authentication),
            IpProtocol(_) => None,
        }
    }

    /// Length of the header whose second byte is `len_field`, in bytes.
    const fn header_len(self, len_field: u8) -> usize {
        match self {
            Self::HopByHop | Self::Routing | Self::Destination => (len_field as usize + 1) * 8,
            Self::Fragment => FRAGMENT_HEADER_LEN,
            // RFC 4302 §2.2: in 32-bit words, minus two.
            Self::Authentication => (len_field as usize + 2) * 4,
        }
    }
}

fn step(upper: &mut Upper, kind: Kind, payload: &[u8]) -> Result<()> {
    let rest = payload.get(upper.offset..).ok_or(Error::Truncated)?;
    // Every kind has eight bytes at least; AH with a length field of 0 would claim eight but needs twelve.
    if rest.len() < 8 {
        return Err(Error::Truncated);
    }
    let header_len = kind.header_len(rest[1]);
    if kind == Kind::Authentication && header_len < 12 {
        return Err(Error::BadHeaderLength);
    }
    if rest.len() < header_len {
        return Err(Error::Truncated);
    }
    match kind {
        Kind::Fragment => {
            let offset_and_flag = u16::from_be_bytes([rest[2], rest[3]]);
            upper.fragment = Some(Fragment {
                offset: offset_and_flag & 0xfff8,
                more: offset_and_flag & 1 != 0,
                ident: u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]]),
            });
        }
        Kind::Routing => {
            upper.routing = Some(Routing {
                kind: rest[2],
                segments_left: rest[3],
            })
        }
        Kind::HopByHop | Kind::Destination | Kind::Authentication => {}
    }
    upper.protocol = IpProtocol(rest[0]);
    upper.offset += header_len;
    upper.extensions += 1;
    Ok(())
}

#[cfg(test)]
mod tests;
