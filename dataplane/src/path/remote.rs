//! NAT flows whose replies are predicted to arrive at another worker: that worker gets a copy of the entry and rewrites
//! the replies itself; state changes come back as notes. What other workers told is taken in [`deliver`](super::deliver).

use crate::burst::{Context, evidence};
use crate::family::{Family, Key, V4, V6};
use crate::flow::{Entry, Flags, Reverse};
use crate::note::Note;
use crate::parse::tcp_flag::{FIN, RST, SYN};
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
        evidence::datagram(entry, context);
        entry.flags = entry.flags.with(Flags::ASSURED);
    }
    let tells = tcp_flags & (SYN | FIN | RST) != 0 || context.tick.since(entry.seen) >= ALIVE_TICKS;
    if tells && let Some(owner) = entry.link.checked_sub(1) {
        context
            .own
            .note(WorkerId(owner as u8), F::seen(entry.key(), tcp_flags));
    }
}
