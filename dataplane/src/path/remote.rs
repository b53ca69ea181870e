//! NAT flows whose replies are predicted to arrive at another worker: that worker gets a copy of the entry and rewrites
//! the replies itself; state changes come back as notes.

use super::{Context, Path};
use crate::family::{Family, Key, V4, V6};
use crate::flow::{Direction, Entry, Flags, Reverse, Tick};
use crate::note::Note;
use crate::parse::tcp_flag::{FIN, RST, SYN};
use crate::tables::Snapshot;
use crate::verdict::WorkerId;

const TCP: u8 = 6;

/// A copy tells its owner at least this often that replies still pass.
const ALIVE_TICKS: u32 = 8;

/// A family's notes.
pub(crate) trait Notes: Family {
    fn adopt(entry: Entry<Self>) -> Note;
    fn forget(key: Key<Self>, backend: u32) -> Note;
    fn seen(key: Key<Self>, tcp_flags: u8) -> Note;
}

impl Notes for V4 {
    fn adopt(entry: Entry<Self>) -> Note {
        Note::Adopt4(entry)
    }

    fn forget(key: Key<Self>, backend: u32) -> Note {
        Note::Forget4(key, backend)
    }

    fn seen(key: Key<Self>, tcp_flags: u8) -> Note {
        Note::Seen4(key, tcp_flags)
    }
}

impl Notes for V6 {
    fn adopt(entry: Entry<Self>) -> Note {
        Note::Adopt6(entry)
    }

    fn forget(key: Key<Self>, backend: u32) -> Note {
        Note::Forget6(key, backend)
    }

    fn seen(key: Key<Self>, tcp_flags: u8) -> Note {
        Note::Seen6(key, tcp_flags)
    }
}

/// The other worker that replies of a NAT flow will arrive at, if that can be known and it is not this one.
pub(super) fn replies_elsewhere<F: Family>(entry: &Entry<F>, context: &Context<'_>) -> Option<WorkerId> {
    if context.shared.steering.workers() == 1 {
        return None;
    }
    let reply: Key<F> = context.servers().reverse_key(entry);
    let port = context.shared.egress.link(entry.backend).port_id();
    context
        .shared
        .steering
        .of_reply(port, &reply)
        .filter(|worker| *worker != context.worker)
}

/// Tells the other worker, and the index, about a new NAT flow.
#[inline]
pub(super) fn announce<F: Notes>(entry: &Entry<F>, remote: Option<WorkerId>, context: &mut Context<'_>) {
    if context.shared.steering.workers() != 1 {
        announce_among_several(entry, remote, context);
    }
}

fn announce_among_several<F: Notes>(entry: &Entry<F>, remote: Option<WorkerId>, context: &mut Context<'_>) {
    if let Some(worker) = remote {
        let flags = entry
            .flags
            .without(Flags::HAS_REMOTE)
            .with(Flags::REMOTE)
            .with(Flags::REVERSE);
        let copy = Entry {
            flags,
            link: u32::from(context.worker.0) + 1,
            ..*entry
        };
        context.own.note(worker, F::adopt(copy));
    }
    if entry.flags.has(Flags::NO_OUTPUT) {
        return;
    }
    let reply: Key<F> = context.servers().reverse_key(entry);
    context
        .shared
        .owners
        .insert(reply.hash(&context.shared.seed), context.worker);
}

/// Takes back what [`announce`] told.
pub(super) fn withdraw<F: Notes>(entry: &Entry<F>, context: &mut Context<'_>) {
    let (shared, worker) = (context.shared, context.worker);
    if shared.steering.workers() == 1 {
        return;
    }
    shared.owners.remove(entry.key().hash(&shared.seed), worker);
    if entry.flags.has(Flags::NO_OUTPUT) && !entry.flags.has(Flags::REVERSE) {
        return;
    }
    let reply: Key<F> = context.servers().reverse_key(entry);
    shared.owners.remove(reply.hash(&shared.seed), worker);
    if entry.flags.has(Flags::HAS_REMOTE)
        && let Some(remote) = replies_elsewhere(entry, context)
    {
        context.own.note(remote, F::forget(entry.key(), entry.backend));
    }
}

/// A reply passed by a copy: its owner hears of everything that can change the state, and now and then that it lives.
pub(super) fn reply_seen<F: Notes>(entry: &mut Entry<F>, tcp_flags: u8, context: &mut Context<'_>) {
    if entry.protocol != TCP {
        super::evidence::datagram(entry, context);
        entry.flags = entry.flags.with(Flags::ASSURED);
    }
    let tells = tcp_flags & (SYN | FIN | RST) != 0 || context.tick.since(entry.seen) >= ALIVE_TICKS;
    if tells && let Some(owner) = entry.link.checked_sub(1) {
        context
            .own
            .note(WorkerId(owner as u8), F::seen(entry.key(), tcp_flags));
    }
}

impl Path {
    /// Takes a note from another worker.
    pub fn deliver(&mut self, now: weir_proto::time::Instant, note: Note) {
        let Self {
            v4,
            v6,
            tables,
            shared,
            counters,
            own,
            worker,
            ..
        } = self;
        tables.refresh();
        let tables: &Snapshot = tables;
        let mut context = super::expire::context(*worker, now, tables, shared, counters, own);
        match note {
            Note::Adopt4(entry) => v4.adopt_copy(entry, &mut context),
            Note::Adopt6(entry) => v6.adopt_copy(entry, &mut context),
            Note::Forget4(key, backend) => v4.forget_copy(&key, backend, &mut context),
            Note::Forget6(key, backend) => v6.forget_copy(&key, backend, &mut context),
            Note::Seen4(key, flags) => v4.reply_elsewhere(&key, flags, &mut context),
            Note::Seen6(key, flags) => v6.reply_elsewhere(&key, flags, &mut context),
        }
    }
}

impl<F: Notes> super::Lane<F> {
    fn adopt_copy(&mut self, entry: Entry<F>, context: &mut Context<'_>) {
        self.remove_copy(&entry, context);
        let entry = Entry {
            seen: context.tick,
            ..entry
        };
        // Without room the replies go by way of the index.
        let _ = self.table.insert(entry, &context.shared.seed, &context.servers());
    }

    fn forget_copy(&mut self, key: &Key<F>, backend: u32, context: &mut Context<'_>) {
        let flags = Flags::USED.with(Flags::REMOTE).with(Flags::REVERSE);
        let entry = Entry {
            flags,
            ..Entry::new(key, backend, Tick::default())
        };
        self.remove_copy(&entry, context);
    }

    fn remove_copy(&mut self, entry: &Entry<F>, context: &Context<'_>) {
        let servers = context.servers();
        let reply: Key<F> = servers.reverse_key(entry);
        let hash = reply.hash(&context.shared.seed);
        if let Some((index, Direction::Reverse)) = self.table.find(&reply, hash, &servers)
            && self.table.entry(index).flags.has(Flags::REMOTE)
        {
            self.table.remove(index, &context.shared.seed, &servers);
        }
    }

    fn reply_elsewhere(&mut self, key: &Key<F>, tcp_flags: u8, context: &mut Context<'_>) {
        let hash = key.hash(&context.shared.seed);
        let Some((index, Direction::Forward)) = self.table.find(key, hash, &context.servers()) else {
            return;
        };
        let entry = self.table.entry_mut(index);
        entry.seen = context.tick;
        entry.flags = entry.flags.with(Flags::ASSURED);
        if entry.protocol == TCP && tcp_flags & (SYN | FIN | RST) != 0 {
            super::lookup::track(entry, Direction::Reverse, tcp_flags, context);
        }
    }
}
