//! What packets show of their server's health, counted for [`signs`](crate::signs). Only packets that change their flow's
//! state come here, and ICMP errors.

use weir_wire::{icmpv4, icmpv6};

use super::Context;
use crate::family::Family;
use crate::flow::{Direction, Entry, Flags};
use crate::parse::tcp_flag::{RST, SYN};
use crate::tcp_state::State;

/// A segment of a flow whose client has sent its SYN. `entry` is as it was before.
#[inline]
pub(crate) fn segment<F: Family>(
    entry: &Entry<F>,
    direction: Direction,
    tcp_flags: u8,
    after: State,
    context: &Context<'_>,
) {
    if entry.state != State::SynRecv as u8 {
        return;
    }
    let Some(signs) = context.counters.signs(entry.backend) else {
        return;
    };
    match direction {
        Direction::Reverse if tcp_flags & RST != 0 => signs.refused().add(1),
        Direction::Reverse if tcp_flags & SYN != 0 => signs.answered().add(1),
        Direction::Reverse => {}
        // A host that never asked answers the SYN-ACK it got by a reset: the server lives.
        Direction::Forward => {
            let heard = after == State::Established || tcp_flags & RST != 0;
            if entry.flags.has(Flags::NO_OUTPUT) && heard {
                signs.answered().add(1);
            }
        }
    }
}

/// A datagram from the server. `entry` is as it was before.
#[inline]
pub(crate) fn datagram<F: Family>(entry: &Entry<F>, context: &Context<'_>) {
    if !entry.flags.has(Flags::ASSURED)
        && let Some(signs) = context.counters.signs(entry.backend)
    {
        signs.answered().add(1);
    }
}

/// The server itself says that it does not take a flow's packets.
pub(crate) fn refusal(backend: u32, context: &Context<'_>) {
    if let Some(signs) = context.counters.signs(backend) {
        signs.refused().add(1);
    }
}

/// Whether an ICMP error of this type and code says so, should the server have sent it.
pub(crate) fn is_refusal(v6: bool, kind: u8, code: u8) -> bool {
    if v6 {
        icmpv6::Message(kind) == icmpv6::Message::DST_UNREACHABLE
    } else {
        icmpv4::Message(kind) == icmpv4::Message::DST_UNREACHABLE && code != icmpv4::unreachable::FRAG_NEEDED
    }
}
