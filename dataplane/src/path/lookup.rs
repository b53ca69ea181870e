//! Stages 2 and 3: find the flows of the burst, track their state.

use weir_rings::message::ConnReuse;

use super::remote::Notes;
use crate::burst::{Context, Fate, Lane, Pending, evidence};
use crate::family::{Family, Key};
use crate::flow::{Direction, Entry, Flags};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::parse::tcp_flag::{ACK, FIN, RST, SYN};
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
            if pending.fate == Fate::Miss {
                pending.candidate = self.table.candidate(pending.hash);
            }
        }
        let (settled, known) = self.find_all(context);
        let mut missing = settled + known < self.pending.len();
        if known != 0 {
            missing = self.look_closer(context);
        }
        if missing {
            self.decide_misses(packets, verdicts, context);
        }
        self.rewrite_all(packets, verdicts, context);
    }

    /// Confirms the candidates. Counts the packets whose flows need nothing but a forward, and the known flows that need a
    /// closer look; the others are misses.
    fn find_all(&mut self, context: &Context<'_>) -> (usize, usize) {
        let (servers, egress, tick) = (context.servers(), &context.shared.egress, context.tick);
        let Self {
            table,
            pending,
            clients,
            ..
        } = self;
        let (mut settled, mut known) = (0, 0);
        for (pending, client) in pending.iter_mut().zip(clients.iter_mut()) {
            if pending.fate != Fate::Miss {
                settled += 1;
                continue;
            }
            let found = table.confirm(pending.candidate, &pending.key, pending.hash, &servers);
            let Some((index, direction)) = found else { continue };
            let entry = table.entry_mut(index);
            egress.prefetch(entry.backend);
            if is_settled(entry, direction, pending.tcp_flags) {
                entry.seen = tick;
                adopt(pending, client, entry, direction);
                settled += 1;
            } else {
                known += 1;
                pending.fate = Fate::Known;
                pending.backend = index;
                pending.local.0 = u16::from(direction == Direction::Reverse);
            }
        }
        (settled, known)
    }

    /// Packets that change their flow's state. `true` when there are misses.
    fn look_closer(&mut self, context: &mut Context<'_>) -> bool {
        let mut missing = false;
        for at in 0..self.pending.len() {
            let pending = &mut self.pending[at];
            // An earlier packet of the burst may have put an end to its flow.
            if pending.fate == Fate::Known && !self.table.entry(pending.backend).is_used() {
                pending.fate = Fate::Miss;
            }
            if pending.fate == Fate::Known {
                let direction = if pending.local.0 == 0 {
                    Direction::Forward
                } else {
                    Direction::Reverse
                };
                let index = pending.backend;
                pending.fate = Fate::Miss;
                self.hit(at, index, direction, context);
            }
            missing |= self.pending[at].fate == Fate::Miss;
        }
        missing
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
            if direction == Direction::Forward && starts_anew(entry, pending.tcp_flags, context) {
                self.forget(index, context);
                return false;
            }
            track(entry, direction, pending.tcp_flags, context);
        } else if direction == Direction::Reverse {
            evidence::datagram(entry, context);
            entry.flags = entry.flags.with(Flags::ASSURED);
        }
        entry.seen = context.tick;
        adopt(pending, &mut self.clients[at], entry, direction);
        true
    }
}

/// Whether a packet can change nothing about its flow but the time it was seen.
#[inline(always)]
fn is_settled<F: Family>(entry: &Entry<F>, direction: Direction, tcp_flags: u8) -> bool {
    let quiet = tcp_flags & (SYN | FIN | RST | ACK) == ACK && entry.state == State::Established as u8;
    let heard = direction == Direction::Forward || !entry.flags.has(Flags::NO_OUTPUT);
    let udp = entry.protocol != TCP && (direction == Direction::Forward || entry.flags.has(Flags::ASSURED));
    !entry.flags.has(Flags::REMOTE) && (quiet && heard || udp)
}

/// Copies what the rewrite needs, so that the entry may go before it.
#[inline(always)]
pub(super) fn adopt<F: Family>(
    pending: &mut Pending<F>,
    client: &mut Key<F>,
    entry: &Entry<F>,
    direction: Direction,
) {
    pending.backend = entry.backend;
    match direction {
        Direction::Forward => {
            pending.fate = Fate::ToServer;
            pending.local = (entry.local_index, entry.local_port);
        }
        Direction::Reverse => {
            pending.fate = Fate::ToClient;
            *client = entry.key();
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
    evidence::segment(entry, direction, tcp_flags, after.state, context);
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
pub(super) fn starts_anew<F: Family>(entry: &Entry<F>, tcp_flags: u8, context: &Context<'_>) -> bool {
    if tcp_flags & (SYN | RST) != SYN || entry.link != 0 {
        return false;
    }
    let state = State::from_number(entry.state).unwrap_or_default();
    let Some(service) = context.tables.service_of_backend(entry.backend) else {
        return false;
    };
    let policy = &service.spec.policy;
    // `ip_vs_in_hook`: with `expire_nodest_conn` a server of weight 0 gets no SYN, whatever the flow was.
    if policy.expire_nodest
        && service
            .backend(entry.backend)
            .is_some_and(|server| server.weight == 0)
    {
        return true;
    }
    match policy.conn_reuse {
        ConnReuse::Off => false,
        ConnReuse::TimeWait => state == State::TimeWait,
        ConnReuse::FinWait => {
            state == State::TimeWait || state == State::FinWait && entry.flags.has(Flags::NO_OUTPUT)
        }
    }
}
