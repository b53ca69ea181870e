//! Is the other end alive? BFD in asynchronous mode (RFC 5880 §6.8), without demand mode, echo and authentication.
//! Read §6.8 before editing; `session.rs` is it.
//!
//! Only sessions to known peers exist: the driver looks the session up by Your Discriminator, and by the sender's
//! address while that is zero (RFC 5881 §3), and checks that the TTL is 255 on a single hop (§5).
//!
//! Beyond the RFC, as for VRRP: a session whose driver was stalled must feed the packets in its socket before it calls
//! [`handle_timeout`](Session::handle_timeout), and a detection time that is noticed much too late is counted anew
//! once before the session goes down: who slept has no right to call the other dead.

use weir_wire::bfd::{Diagnostic, Repr};
pub use weir_wire::bfd::{Invalid, Micros, State};

use crate::time::Duration;

mod session;

pub use session::Session;

/// Slowest a session may send while it is not up (§6.8.3): one second.
pub const SLOW_INTERVAL: Duration = Duration::from_secs(1);

/// A session's configuration. Defaults are keepalived's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How often we would like to send, while up.
    pub min_tx: Duration,
    /// How often we can receive.
    pub min_rx: Duration,
    /// How many packets may be lost.
    pub detect_mult: u8,
    /// How often we send while not up; at least [`SLOW_INTERVAL`].
    pub idle_tx: Duration,
    /// Send nothing until the other end does.
    pub passive: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_tx: Duration::from_millis(10),
            min_rx: Duration::from_millis(10),
            detect_mult: 5,
            idle_tx: SLOW_INTERVAL,
            passive: false,
        }
    }
}

/// What the driver tells a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A packet for this session; it has passed [`Repr::parse`].
    Packet(Repr),
    /// New intervals; the other end is asked by a poll sequence.
    Config(Config),
    /// An administrator takes it down.
    AdminDown,
    /// An administrator lets it come up again.
    AdminUp,
}

/// What a session asks of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send this packet.
    Send(Repr),
    /// The state is another one.
    Became {
        /// The new state.
        state: State,
        /// Why.
        diagnostic: Diagnostic,
    },
}

/// Why a session wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The next packet is due.
    Transmit,
    /// The other end has been silent for the detection time.
    Detect,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Packets sent.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
    /// Packets for another session, or for none.
    pub wrong_discriminator: u64,
    /// Times the session came up.
    pub ups: u64,
    /// Times it ceased to be.
    pub downs: u64,
    /// Times a stall was noticed and the detection time counted anew.
    pub stall_rechecks: u64,
}

#[cfg(test)]
mod tests;
