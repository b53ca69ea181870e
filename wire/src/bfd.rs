//! BFD control packets (RFC 5880 §4.1), without authentication.
//!
//! [`Repr::parse`] applies the checks of §6.8.6 that need no session; each has its own [`Invalid`].

use core::fmt;
use core::time::Duration;

use crate::bytes::{Field, get_u32, put_u32};

/// Length of a packet without authentication, in bytes.
pub const PACKET_LEN: usize = 24;
/// UDP destination port of single-hop sessions (RFC 5881).
pub const UDP_PORT_SINGLE_HOP: u16 = 3784;
/// UDP destination port of multihop sessions (RFC 5883).
pub const UDP_PORT_MULTIHOP: u16 = 4784;
/// TTL or hop limit of single-hop packets, checked on reception (RFC 5881 §5).
pub const TTL: u8 = 255;

const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTH_PRESENT: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

mod field {
    use super::Field;

    pub(super) const VERSION_DIAG: usize = 0;
    pub(super) const STATE_FLAGS: usize = 1;
    pub(super) const DETECT_MULT: usize = 2;
    pub(super) const LENGTH: usize = 3;
    pub(super) const MY_DISCRIMINATOR: Field = 4..8;
    pub(super) const YOUR_DISCRIMINATOR: Field = 8..12;
    pub(super) const DESIRED_MIN_TX: Field = 12..16;
    pub(super) const REQUIRED_MIN_RX: Field = 16..20;
    pub(super) const REQUIRED_MIN_ECHO_RX: Field = 20..24;
}

/// State of a session, as its sender sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum State {
    /// Held down by an administrator.
    AdminDown,
    /// Down, or just created.
    #[default]
    Down,
    /// The other side is heard, but has not heard us yet.
    Init,
    /// Both sides hear each other.
    Up,
}

impl State {
    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    /// Lower-case name for people and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdminDown => "admin_down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        }
    }
}

/// Why a session last left the Up state (§4.1 "Diag"); values above 8 are reserved and kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Diagnostic(pub u8);

impl Diagnostic {
    /// Nothing to tell.
    pub const NONE: Self = Self(0);
    /// No packet came for a detection time.
    pub const TIME_EXPIRED: Self = Self(1);
    /// The other side said that it is down.
    pub const NEIGHBOR_DOWN: Self = Self(3);
    /// An administrator took it down.
    pub const ADMIN_DOWN: Self = Self(7);
}

/// The one thing that is wrong with a packet that is discarded before a session is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invalid {
    /// Shorter than a packet, or than its length field says.
    Truncated,
    /// Not version 1.
    Version,
    /// The length field is below the minimum.
    Length,
    /// Detect Mult is zero.
    DetectMult,
    /// The multipoint bit is set.
    Multipoint,
    /// My Discriminator is zero.
    MyDiscriminator,
    /// Your Discriminator is zero though the state is neither Down nor AdminDown.
    YourDiscriminator,
    /// Authentication is present; sessions here have none.
    Authentication,
}

impl Invalid {
    /// Stable name for counters: lower case, underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Version => "bad_version",
            Self::Length => "bad_length",
            Self::DetectMult => "zero_detect_mult",
            Self::Multipoint => "multipoint",
            Self::MyDiscriminator => "zero_my_discriminator",
            Self::YourDiscriminator => "zero_your_discriminator",
            Self::Authentication => "unexpected_authentication",
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Invalid {}

/// An interval on the wire: microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub u32);

impl Micros {
    /// The interval as a length of time.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0 as u64)
    }

    /// `duration` in whole microseconds, at most 71 minutes.
    pub const fn from_duration(duration: Duration) -> Self {
        let micros = duration.as_micros();
        Self(if micros > u32::MAX as u128 {
            u32::MAX
        } else {
            micros as u32
        })
    }
}

/// A control packet as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Why the sender's session last left Up.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// The sender asks for a packet with `final_`.
    pub poll: bool,
    /// The sender answers a packet with `poll`.
    pub final_: bool,
    /// The sender's session outlives its control plane.
    pub control_plane_independent: bool,
    /// The sender wants no periodic packets.
    pub demand: bool,
    /// How many packets may be lost before the session is down.
    pub detect_mult: u8,
    /// The sender's session; never zero.
    pub my_discriminator: u32,
    /// The receiver's session; zero if the sender does not know it.
    pub your_discriminator: u32,
    /// The sender would like to send this often at most.
    pub desired_min_tx: Micros,
    /// The sender can receive this often at most; zero: it wants no periodic packets.
    pub required_min_rx: Micros,
    /// The sender can receive echo packets this often at most; zero: none.
    pub required_min_echo_rx: Micros,
}

impl Repr {
    /// Reads the payload of a UDP datagram and applies the checks of §6.8.6 that need no session.
    pub fn parse(payload: &[u8]) -> Result<Self, Invalid> {
        let data = payload.get(..PACKET_LEN).ok_or(Invalid::Truncated)?;
        let flags = data[field::STATE_FLAGS];
        let repr = Self {
            diagnostic: Diagnostic(data[field::VERSION_DIAG] & 0x1f),
            state: State::from_bits(flags >> 6),
            poll: flags & POLL != 0,
            final_: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            detect_mult: data[field::DETECT_MULT],
            my_discriminator: get_u32(data, field::MY_DISCRIMINATOR),
            your_discriminator: get_u32(data, field::YOUR_DISCRIMINATOR),
            desired_min_tx: Micros(get_u32(data, field::DESIRED_MIN_TX)),
            required_min_rx: Micros(get_u32(data, field::REQUIRED_MIN_RX)),
            required_min_echo_rx: Micros(get_u32(data, field::REQUIRED_MIN_ECHO_RX)),
        };
        let length = usize::from(data[field::LENGTH]);
        let checks = [
            (data[field::VERSION_DIAG] >> 5 == VERSION, Invalid::Version),
            (length >= PACKET_LEN, Invalid::Length),
            (length <= payload.len(), Invalid::Truncated),
            (repr.detect_mult != 0, Invalid::DetectMult),
            (flags & MULTIPOINT == 0, Invalid::Multipoint),
            (repr.my_discriminator != 0, Invalid::MyDiscriminator),
            (repr.knows_receiver_if_it_must(), Invalid::YourDiscriminator),
            (flags & AUTH_PRESENT == 0, Invalid::Authentication),
        ];
        match checks.iter().find(|(passed, _)| !passed) {
            Some((_, invalid)) => Err(*invalid),
            None => Ok(repr),
        }
    }

    const fn knows_receiver_if_it_must(&self) -> bool {
        self.your_discriminator != 0 || matches!(self.state, State::Down | State::AdminDown)
    }

    /// The packet as bytes.
    pub fn to_bytes(&self) -> [u8; PACKET_LEN] {
        let mut data = [0; PACKET_LEN];
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        data[field::VERSION_DIAG] = VERSION << 5 | (self.diagnostic.0 & 0x1f);
        data[field::STATE_FLAGS] = self.state.bits() << 6
            | flag(self.poll, POLL)
            | flag(self.final_, FINAL)
            | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.demand, DEMAND);
        data[field::DETECT_MULT] = self.detect_mult;
        data[field::LENGTH] = PACKET_LEN as u8;
        put_u32(&mut data, field::MY_DISCRIMINATOR, self.my_discriminator);
        put_u32(&mut data, field::YOUR_DISCRIMINATOR, self.your_discriminator);
        put_u32(&mut data, field::DESIRED_MIN_TX, self.desired_min_tx.0);
        put_u32(&mut data, field::REQUIRED_MIN_RX, self.required_min_rx.0);
        put_u32(
            &mut data,
            field::REQUIRED_MIN_ECHO_RX,
            self.required_min_echo_rx.0,
        );
        data
    }
}

#[cfg(test)]
mod tests;
