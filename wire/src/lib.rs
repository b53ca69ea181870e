//! Header formats: views over bytes, values, and checksums. No I/O, no allocation, no dependency.
//!
//! One file a protocol. Each has up to two levels:
//! - a *view* (`Packet<T>`, for Ethernet `Frame<T>`) over any byte buffer. [`new_checked`](ipv4::Packet::new_checked)
//!   is the one door where lengths are checked: after it no accessor can panic. `new_unchecked` skips the door for
//!   callers that have already passed it (a second look at parsed bytes, or a header about to be written).
//!   A setter of a field that the door checks (a length, a version) voids the promise until the field is right.
//! - a *value* (`Repr`) with `parse`, `buffer_len` and `emit`, where handling the meaning beats handling bytes.
//!
//! Fields have their RFC names and are in host byte order; offsets are named ranges in each file's `field` module.
//! A malformed packet is an [`Error`], which names the one thing that is wrong so that a drop can be counted by name.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), no_std)]

mod bytes;
mod error;
mod options;

pub mod arp;
pub mod bfd;
pub mod checksum;
pub mod ethernet;
pub mod gre;
pub mod gue;
pub mod icmpv4;
pub mod icmpv6;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod ipv6_ext;
pub mod ndp;
pub mod tcp;
pub mod udp;
pub mod vlan;
pub mod vrrp;
pub mod vxlan;

pub use error::{Error, Result};
pub use ethernet::{EtherType, MacAddr};
pub use ip::IpProtocol;
pub use options::{RawOption, RawOptions};
