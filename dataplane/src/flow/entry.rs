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
    /// A copy on the worker that gets the replies; the flow lives on another worker.
    pub const REMOTE: Self = Self(1 << 1);
    /// Counted as inactive with its server.
    pub const INACTIVE: Self = Self(1 << 2);
    /// Replies have not been seen: the server answers the client directly (IPVS's NOOUTPUT).
    pub const NO_OUTPUT: Self = Self(1 << 3);
    /// Replies pass here and have a tuple of their own.
    pub const REVERSE: Self = Self(1 << 4);
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

/// What the entry of a flow must say, its addresses apart, for a packet of it to change nothing but the time it was seen:
/// ports, protocol, a state, and that the flow lives here. Two halves of one word, compared as such.
///
/// The default is that of no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// In memory order.
    ports: u32,
    /// Protocol, state and flags.
    above: u32,
}

impl Settled {
    /// Bits above the flags that count, which are the lowest ones.
    const ABOVE: u32 = (Flags::USED.0 | Flags::REMOTE.0).leading_zeros();

    /// For a packet from a client: both ports in memory order, the protocol, and the state in which it changes nothing.
    #[inline(always)]
    pub const fn new(ports: u32, protocol: u8, state: u8) -> Self {
        let above = protocol as u32 | (state as u32) << 8 | (Flags::USED.0 as u32) << 16;
        Self { ports, above }
    }

    /// For a packet that may change more: no entry is settled for it.
    #[inline(always)]
    pub const fn never(tail: u64) -> Self {
        Self {
            ports: tail as u32,
            above: (tail >> 32) as u32,
        }
    }

    /// For the same tuple, but a packet that may change more.
    #[inline(always)]
    #[must_use]
    pub const fn or_never(self) -> Self {
        Self {
            above: self.above & 0xff,
            ..self
        }
    }

    /// Whether an entry can be settled for such a packet.
    #[inline(always)]
    pub const fn is_possible(self) -> bool {
        self.above > 0xff
    }

    /// Whether this is of no packet.
    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.above == 0
    }

    /// The ports in memory order, and the protocol above them.
    #[inline(always)]
    pub const fn tail(self) -> u64 {
        self.ports as u64 | ((self.above & 0xff) as u64) << 32
    }

    /// Whether that is so of this entry, of a flow between these addresses (in memory order).
    #[inline(always)]
    pub fn is<F: Family<Pair = [u8; 8]>>(self, pair: u64, entry: &Entry<F>) -> bool {
        let above = u32::from(entry.protocol) | u32::from(entry.state) << 8 | u32::from(entry.flags.0) << 16;
        let word = u64::from(u32::from_ne_bytes(entry.ports)) | u64::from(above) << 32;
        let own = u64::from(self.ports) | u64::from(self.above) << 32;
        u64::from_ne_bytes(entry.pair) == pair && (word ^ own) << Self::ABOVE == 0
    }
}

const _: () = assert!((Flags::USED.0 | Flags::REMOTE.0).trailing_ones() + Settled::ABOVE == u16::BITS);
const _: () = assert!(size_of::<Entry<V4>>() == 32 && align_of::<Entry<V4>>() == 32);
const _: () = assert!(size_of::<Entry<V6>>() == 64 && align_of::<Entry<V6>>() == 64);
