//! Takes notes from other workers: copies of entries, their end, and what copies have seen.

use super::lookup::track;
use super::remote::Notes;
use super::{Path, expire};
use crate::burst::{Context, Lane};
use crate::family::Key;
use crate::flow::{Direction, Entry, Flags, Reverse, Tick};
use crate::note::Note;
use crate::parse::tcp_flag::{FIN, RST, SYN};
use crate::tables::Snapshot;

const TCP: u8 = 6;

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
        let mut context = expire::context(*worker, now, tables, shared, counters, own);
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

impl<F: Notes> Lane<F> {
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
            track(entry, Direction::Reverse, tcp_flags, context);
        }
    }
}
