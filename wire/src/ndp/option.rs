//! Options of discovery messages (RFC 4861 §4.6): kind, length in units of eight bytes, value.

use core::net::Ipv6Addr;

use crate::bytes::{get_ipv6, get_mac, get_u32};
use crate::{Error, MacAddr, Result};

pub(super) const SOURCE_LLADDR: u8 = 1;
pub(super) const TARGET_LLADDR: u8 = 2;
const PREFIX_INFO: u8 = 3;
pub(super) const MTU: u8 = 5;

/// Length of a link-layer address option for Ethernet, in bytes.
pub(super) const LLADDR_LEN: usize = 8;
/// Length of an MTU option, in bytes.
pub(super) const MTU_LEN: usize = 8;

/// A prefix a router announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixInfo {
    /// Leading bits that count.
    pub prefix_len: u8,
    /// Addresses with the prefix are on this link.
    pub on_link: bool,
    /// Hosts may make themselves an address from it.
    pub autonomous: bool,
    /// How long that holds, in seconds; all ones is for ever.
    pub valid_lifetime_s: u32,
    /// How long addresses from it are preferred, in seconds.
    pub preferred_lifetime_s: u32,
    /// The prefix.
    pub prefix: Ipv6Addr,
}

/// An option of a discovery message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NdpOption<'a> {
    /// Link-layer address of the sender.
    SourceLinkAddr(MacAddr),
    /// Link-layer address of the target.
    TargetLinkAddr(MacAddr),
    /// A prefix.
    Prefix(PrefixInfo),
    /// MTU of the link, in bytes.
    Mtu(u32),
    /// Any other.
    Unknown {
        /// Option type.
        kind: u8,
        /// Everything after the length byte.
        value: &'a [u8],
    },
}

/// Iterates over the options of a message. After an error it yields nothing more.
#[derive(Debug, Clone)]
pub struct NdpOptions<'a> {
    rest: &'a [u8],
}

impl<'a> NdpOptions<'a> {
    /// Iterates over `space`, the bytes behind the fixed part of a message.
    pub const fn new(space: &'a [u8]) -> Self {
        Self { rest: space }
    }
}

impl<'a> Iterator for NdpOptions<'a> {
    type Item = Result<NdpOption<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let len = self.rest.get(1).copied().map_or(0, usize::from) * 8;
        // A length of zero is malformed, and would never end (§4.6).
        if len == 0 || len > self.rest.len() {
            self.rest = &[];
            return Some(Err(Error::BadOption));
        }
        let (option, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(parse(option))
    }
}

fn parse(option: &[u8]) -> Result<NdpOption<'_>> {
    Ok(match (option[0], option.len()) {
        (SOURCE_LLADDR, LLADDR_LEN) => NdpOption::SourceLinkAddr(get_mac(option, 2..8)),
        (TARGET_LLADDR, LLADDR_LEN) => NdpOption::TargetLinkAddr(get_mac(option, 2..8)),
        (MTU, MTU_LEN) => NdpOption::Mtu(get_u32(option, 4..8)),
        (PREFIX_INFO, 32) => NdpOption::Prefix(PrefixInfo {
            prefix_len: option[2],
            on_link: option[3] & 0x80 != 0,
            autonomous: option[3] & 0x40 != 0,
            valid_lifetime_s: get_u32(option, 4..8),
            preferred_lifetime_s: get_u32(option, 8..12),
            prefix: get_ipv6(option, 16..32),
        }),
        (SOURCE_LLADDR | TARGET_LLADDR | MTU | PREFIX_INFO, _) => return Err(Error::BadOption),
        (kind, _) => NdpOption::Unknown {
            kind,
            value: &option[2..],
        },
    })
}

/// The options a [`Repr`](super::Repr) holds; others are ignored (§4.6: "silently ignore any options they do not
/// recognize"), the last of several wins.
#[derive(Default)]
pub(super) struct Known {
    pub(super) source: Option<MacAddr>,
    pub(super) target: Option<MacAddr>,
    pub(super) mtu: Option<u32>,
}

impl Known {
    pub(super) fn parse(space: &[u8]) -> Result<Self> {
        let mut known = Self::default();
        for option in NdpOptions::new(space) {
            match option? {
                NdpOption::SourceLinkAddr(mac) => known.source = Some(mac),
                NdpOption::TargetLinkAddr(mac) => known.target = Some(mac),
                NdpOption::Mtu(mtu) => known.mtu = Some(mtu),
                NdpOption::Prefix(_) | NdpOption::Unknown { .. } => {}
            }
        }
        Ok(known)
    }
}
