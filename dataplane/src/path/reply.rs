//! The way back of NAT flows, and one-packet scheduling, which keeps nothing else.
//!
//! A reply says server and client but not the virtual address. Two flows of one client's port to one server's port by two
//! virtual addresses could not be told apart by it. IPVS takes whichever comes first in its table (`ip_vs_conn_out_get`);
//! here the second flow is refused by name, unless the first is over.
//!
//! One-packet scheduling: IPVS keeps such a connection out of its table (`IP_VS_CONN_F_ONE_PACKET` in `ip_vs_conn_hash`),
//! so that a NAT server's replies leave untranslated and no client knows them. Here the way back is kept, one for each
//! client and server (FULLNAT: for each datagram, as each has a local port), and never finds a packet from a client.

use super::create::count_connection;
use super::remote::{self, Notes};
use crate::burst::{Context, Lane, Stop};
use crate::egress::Mode;
use crate::family::Key;
use crate::flow::{Direction, Entry, Flags, Reverse};
use crate::forward::fullnat;
use crate::tables::Service;
use crate::tcp_state::State;
use crate::verdict::DropReason;

/// What stands where the replies of a new NAT flow will be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WayBack {
    /// Nothing.
    Free,
    /// The way back of an earlier datagram of the same client to the same server.
    Own(u32),
    /// A flow that has ended and only waits for its time, or that the new one replaces.
    Over(u32),
    /// A living flow's.
    Taken,
}

impl<F: Notes> Lane<F> {
    /// Looks at the way back of a flow that is to be made. FULLNAT's is free: its port was chosen for that.
    pub(super) fn way_back(&self, entry: &Entry<F>, context: &Context<'_>) -> WayBack {
        if entry.flags.has(Flags::LOCAL) {
            return WayBack::Free;
        }
        let servers = context.servers();
        let reply: Key<F> = servers.reverse_key(entry);
        let hash = reply.hash(&context.shared.seed);
        let Some((index, direction)) = self.table.find(&reply, hash, &servers) else {
            // A flow of another worker, or one of ours whose replies arrive at another, is known by hint: wrong once in a
            // million, and then a refusal.
            return if context.shared.owners.find(hash).is_some() {
                WayBack::Taken
            } else {
                WayBack::Free
            };
        };
        let other = self.table.entry(index);
        let over = matches!(
            State::from_number(other.state),
            Some(State::TimeWait | State::Close)
        );
        if direction == Direction::Forward || other.flags.has(Flags::REMOTE) {
            WayBack::Taken
        } else if other.flags.has(Flags::ONE_PACKET) && other.key() == entry.key() {
            WayBack::Own(index)
        } else if other.key() == entry.key() || over {
            WayBack::Over(index)
        } else {
            WayBack::Taken
        }
    }

    /// Makes sure that the replies of a new flow will be its own.
    pub(super) fn clear_way_back(&mut self, entry: &Entry<F>, context: &mut Context<'_>) -> Result<(), Stop> {
        match self.way_back(entry, context) {
            WayBack::Free => Ok(()),
            WayBack::Over(index) => {
                self.forget(index, context);
                Ok(())
            }
            WayBack::Own(_) | WayBack::Taken => Err(DropReason::ReplyAmbiguous.into()),
        }
    }

    /// One datagram to a server, without a flow.
    pub(super) fn one_packet(
        &mut self,
        at: usize,
        backend: u32,
        service: &Service,
        context: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let mode = context.shared.egress.mode(backend);
        let mut local = (0, 0);
        if mode.is_nat() {
            let mut entry = Entry::new(&self.pending[at].key, backend, context.tick);
            entry.flags = Flags::USED
                .with(Flags::ONE_PACKET)
                .with(Flags::REVERSE)
                .with(Flags::INACTIVE);
            if mode == Mode::FullNat {
                local = fullnat::choose_local(service, &entry, &self.table, context)?;
                (entry.local_index, entry.local_port) = local;
                entry.flags = entry.flags.with(Flags::LOCAL);
            }
            self.keep_way_back(entry, context)?;
        }
        count_connection(service, backend, context);
        self.send_to(at, backend, local);
        Ok(())
    }

    fn keep_way_back(&mut self, mut entry: Entry<F>, context: &mut Context<'_>) -> Result<(), Stop> {
        if let WayBack::Own(index) = self.way_back(&entry, context) {
            self.table.touch(index, context.tick);
            return Ok(());
        }
        self.clear_way_back(&entry, context)?;
        let remote = remote::replies_elsewhere(&entry, context);
        entry.flags = entry.flags.set(Flags::HAS_REMOTE, remote.is_some());
        let row = context.counters.row();
        if self
            .table
            .insert(entry, &context.shared.seed, &context.servers())
            .is_err()
        {
            row.flows_refused().add(1);
            return Err(DropReason::FlowTableFull.into());
        }
        row.flows_created().add(1);
        if let Some(line) = context.counters.backend(entry.backend) {
            line.inactive().add(1);
        }
        remote::announce(&entry, remote, context);
        Ok(())
    }
}
