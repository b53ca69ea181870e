//! Stages 2 and 3: find the flows of the burst, track their state.

use weir_rings::message::ConnReuse;

use super::remote::Notes;
use super::{Context, Fate, Lane, Pending};
use crate::family::Family;
use crate::flow::{Direction, Entry, Flags};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::parse::tcp_flag::{FIN, RST, SYN};
use crate::tcp_state::{Policy, State, Tracker};
use crate::verdict::Verdict;

/// Protocol number of TCP.
const TCP: u8 = 6;

impl<F: Ip + Notes> Lane<F> {
    /// All stages for the flows of a burst.
    pub(super) fn run<P: Packet>(
        &mut self,
        packets: &mut [P],
        verdicts: &mut [Verdict],
        context: &mut Context<'_>,
    ) {
        for pending in &mut self.pending {
            pending.candidate = self.table.candidate(pending.hash);
        }
        let mut misses = 0;
        for at in 0..self.pending.len() {
            misses += usize::from(!self.find(at, context));
        }
        if misses > 0 {
            self.decide_misses(packets, verdicts, context);
        }
        self.rewrite_all(packets, verdicts, context);
    }

    /// Confirms the candidate of one packet; `false` for a miss.
    #[inline]
    fn find(&mut self, at: usize, context: &mut Context<'_>) -> bool {
        let pending = &mut self.pending[at];
        let servers = context.servers();
        let Some((index, direction)) =
            self.table
                .confirm(pending.candidate, &pending.key, pending.hash, &servers)
        else {
            return false;
        };
        self.hit(at, index, direction, context)
    }

    /// A packet of a known flow. `false` when it starts a flow anew under the same tuple.
    pub(super) fn hit(
        &mut self,
        at: usize,
        index: u32,
        direction: Direction,
        context: &mut Context<'_>,
    ) -> bool {
        let pending = &mut self.pending[at];
        let entry = self.table.entry_mut(index);
        if entry.flags.has(Flags::REMOTE) {
            super::remote::reply_seen(entry, pending.tcp_flags, context);
        } else if entry.protocol == TCP {
            let plain = pending.tcp_flags & (SYN | FIN | RST) == 0;
            let settled = entry.state == State::Established as u8 && !entry.flags.has(Flags::NO_OUTPUT);
            let settled =
                settled || entry.state == State::Established as u8 && direction == Direction::Forward;
            if !(plain && settled) {
                if direction == Direction::Forward && starts_anew(entry, pending, context) {
                    self.forget(index, context);
                    return false;
                }
                track(entry, direction, pending.tcp_flags, context);
            }
        } else if direction == Direction::Reverse {
            entry.flags = entry.flags.with(Flags::ASSURED);
        }
        entry.seen = context.tick;
        adopt(pending, entry, direction);
        context.shared.egress.prefetch(pending.backend);
        true
    }
}

/// Copies what the rewrite needs, so that the entry may go before it.
#[inline]
pub(super) fn adopt<F: Family>(pending: &mut Pending<F>, entry: &Entry<F>, direction: Direction) {
    pending.backend = entry.backend;
    match direction {
        Direction::Forward => {
            pending.fate = Fate::ToServer;
            pending.local = (entry.local_index, entry.local_port);
        }
        Direction::Reverse => {
            pending.fate = Fate::ToClient;
            pending.entry_key = entry.key();
        }
    }
}

/// Moves a TCP flow through its states and its server's connection counts with it.
pub(super) fn track<F: Family>(
    entry: &mut Entry<F>,
    direction: Direction,
    tcp_flags: u8,
    context: &Context<'_>,
) {
    let state = State::from_number(entry.state).unwrap_or_default();
    let before = Tracker {
        state,
        no_output: entry.flags.has(Flags::NO_OUTPUT),
    };
    let after = before.after(Policy::Normal, direction == Direction::Reverse, tcp_flags);
    entry.state = after.state as u8;
    entry.flags = entry.flags.set(Flags::NO_OUTPUT, after.no_output);
    if after.state == State::Established {
        entry.flags = entry.flags.with(Flags::ASSURED);
    }
    let inactive = !after.state.is_active();
    if inactive == entry.flags.has(Flags::INACTIVE) {
        return;
    }
    entry.flags = entry.flags.set(Flags::INACTIVE, inactive);
    if let Some(line) = context.counters.backend(entry.backend) {
        if inactive {
            line.active().sub(1);
            line.inactive().add(1);
        } else {
            line.inactive().sub(1);
            line.active().add(1);
        }
    }
}

/// IPVS's `conn_reuse_mode`: a SYN that hits an entry on its way out starts a new connection. Flows of a persistent
/// client keep their entry, and with it their server.
fn starts_anew<F: Family>(entry: &Entry<F>, pending: &Pending<F>, context: &Context<'_>) -> bool {
    if pending.tcp_flags & (SYN | RST) != SYN || entry.link != 0 {
        return false;
    }
    let state = State::from_number(entry.state).unwrap_or_default();
    let Some(service) = context.tables.service_of_backend(entry.backend) else {
        return false;
    };
    match service.spec.policy.conn_reuse {
        ConnReuse::Off => false,
        ConnReuse::TimeWait => state == State::TimeWait,
        ConnReuse::FinWait => {
            state == State::TimeWait || state == State::FinWait && entry.flags.has(Flags::NO_OUTPUT)
        }
    }
}
