//! One flow: half a cache line for IPv4, one for IPv6.

use crate::family::{Family, Key, V4, V6};

use super::Tick;

/// Which of a flow's two tuples a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the virtual address.
    Forward,
    /// From the server (NAT, FULLNAT).
    Reverse,
}

/// Bits of [`Entry::flags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Flags(pub u16);

impl Flags {
    /// The entry holds a flow.
    pub const USED: Self = Self(1);
    /// Replies pass here and have a tuple of their own.
    pub const REVERSE: Self = Self(1 << 1);
    /// Counted as inactive with its server.
    pub const INACTIVE: Self = Self(1 << 2);
    /// Replies have not been seen: the server answers the client directly (IPVS's NOOUTPUT).
    pub const NO_OUTPUT: Self = Self(1 << 3);
    /// A copy on the worker that gets the replies; the flow lives on another worker.
    pub const REMOTE: Self = Self(1 << 4);
    /// Has a copy on the worker that gets the replies.
    pub const HAS_REMOTE: Self = Self(1 << 5);
    /// [`Entry::local_index`] and [`Entry::local_port`] hold the FULLNAT source.
    pub const LOCAL: Self = Self(1 << 6);
    /// A reply has been seen, or the handshake is complete.
    pub const ASSURED: Self = Self(1 << 7);
    /// The way back of one-packet scheduling: packets from the client never find it.
    pub const ONE_PACKET: Self = Self(1 << 8);

    /// Whether every bit of `other` is set.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other`.
    #[inline]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the bits of `other`.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// With the bits of `other` set or cleared.
    #[inline]
    #[must_use]
    pub const fn set(self, other: Self, on: bool) -> Self {
        if on { self.with(other) } else { self.without(other) }
    }
}

/// One flow.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Entry<F: Family> {
    /// Gives the entry its alignment.
    pub align: [F::Align; 0],
    /// Client and virtual address.
    pub pair: F::Pair,
    /// Client's and virtual port.
    pub ports: [u8; 4],
    /// Upper-layer protocol.
    pub protocol: u8,
    /// TCP state, as [`crate::tcp_state::State`] numbers it; 0 for other protocols.
    pub state: u8,
    /// See [`Flags`].
    pub flags: Flags,
    /// Slot of the server.
    pub backend: u32,
    /// When the last packet came.
    pub seen: Tick,
    /// Local address of a FULLNAT flow, by its place in the pool.
    pub local_index: u16,
    /// Local port of a FULLNAT flow.
    pub local_port: u16,
    /// Persistence template the flow belongs to, plus 1; next free entry, plus 1, in a free entry.
    pub link: u32,
}

impl<F: Family> Entry<F> {
    /// A fresh entry for `key`.
    pub fn new(key: &Key<F>, backend: u32, now: Tick) -> Self {
        Self {
            pair: key.pair,
            ports: key.ports,
            protocol: key.protocol,
            flags: Flags::USED,
            backend,
            seen: now,
            ..Self::default()
        }
    }

    /// The forward tuple: client to virtual address.
    #[inline]
    pub fn key(&self) -> Key<F> {
        Key {
            pair: self.pair,
            ports: self.ports,
            protocol: self.protocol,
        }
    }

    /// Whether packets from the client find the entry.
    #[inline]
    pub const fn has_forward(&self) -> bool {
        self.flags.0 & (Flags::REMOTE.0 | Flags::ONE_PACKET.0) == 0
    }

    /// Whether the entry holds a flow.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.flags.has(Flags::USED)
    }
}

/// What the entry of a flow must say for a packet of it to change nothing but the time it was seen: the tuple, a state, and
/// that the flow lives here. Two words, compared as such.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settled {
    pair: u64,
    rest: u64,
}

impl Settled {
    /// State and flags that count, above ports and protocol.
    const MASK: u64 = 0x0000_ffff_ffff_ffff | ((Flags::USED.0 | Flags::REMOTE.0) as u64) << 48;

    /// For a packet from a client: both addresses in memory order, both ports with the protocol above them, and the
    /// state in which such a packet changes nothing.
    #[inline(always)]
    pub const fn new(pair: u64, tail: u64, state: u8) -> Self {
        Self {
            pair,
            rest: tail | (state as u64) << 40 | (Flags::USED.0 as u64) << 48,
        }
    }

    /// The addresses it was made with.
    #[inline(always)]
    pub const fn pair(self) -> u64 {
        self.pair
    }

    /// The ports and the protocol it was made with.
    #[inline(always)]
    pub const fn tail(self) -> u64 {
        self.rest & 0xff_ffff_ffff
    }

    /// Whether that is so of this entry.
    #[inline(always)]
    pub fn is<F: Family<Pair = [u8; 8]>>(self, entry: &Entry<F>) -> bool {
        let rest = u64::from(u32::from_ne_bytes(entry.ports))
            | u64::from(entry.protocol) << 32
            | u64::from(entry.state) << 40
            | u64::from(entry.flags.0) << 48;
        u64::from_ne_bytes(entry.pair) == self.pair && (rest ^ self.rest) & Self::MASK == 0
    }
}

const _: () = assert!(size_of::<Entry<V4>>() == 32 && align_of::<Entry<V4>>() == 32);
const _: () = assert!(size_of::<Entry<V6>>() == 64 && align_of::<Entry<V6>>() == 64);
