//! Maglev of the paper: a table of 65537 or 655373 slots in which every server has its share to within one slot, and
//! which changes little when a server comes or goes.
//!
//! Table and lookup hash with fixed keys, and the servers are sorted by address and port first: two directors with
//! the same servers and weights send a client to the same server, in whatever order they list them. A server's weight
//! sets how often it has its turn. Weight 0 leaves the table (it is built again); a server over its connection
//! threshold stays in it, and what hashes to it goes to the owner of the next slot that is usable.
//!
//! Read first: Eisenbud et al., "Maglev", NSDI 2016, §3.4. `mh` is the kernel's variant, with a smaller table, hashes
//! of its own and the client's address alone.

mod build;
mod tables;

use std::sync::Arc;

use weir_rings::message::MaglevSize;

pub use build::{Member, Table, build};
pub use tables::Tables;

use super::{Flags, Load, PickInput, Pool, Server, hash};

/// A slot is 16 bits wide.
pub(super) const SERVERS_MAX: usize = u16::MAX as usize;

/// Slots looked at for a usable server before the list itself is searched.
const PROBES_MAX: usize = 256;

/// A table, perhaps shared with other services, and whose slot is whose here.
#[derive(Debug)]
pub(super) struct Lookup {
    table: Arc<Table>,
    /// Index of a server by its rank in the table.
    by_rank: Box<[u16]>,
}

impl Lookup {
    pub(super) fn new(servers: &[Server], flags: Flags, tables: &mut Tables) -> Self {
        let mut ranked: Vec<(u16, &Server)> = (0..)
            .zip(servers)
            .filter(|(_, server)| server.weight > 0)
            .collect();
        ranked.sort_by_key(|(_, server)| (server.address, server.port));
        let size = if flags.large_table {
            MaglevSize::Large
        } else {
            MaglevSize::Small
        };
        Self {
            table: tables.get(size, ranked.iter().map(|&(_, server)| server)),
            by_rank: ranked.iter().map(|&(index, _)| index).collect(),
        }
    }

    /// The server whose slot the packet hashes to.
    pub(super) fn owner(&self, input: &PickInput, flags: Flags) -> Option<usize> {
        self.server_at(self.slot(input, flags))
    }

    pub(super) fn pick<L: Fn(u32) -> Load>(
        &self,
        pool: &Pool<'_, L>,
        input: &PickInput,
        flags: Flags,
    ) -> Option<usize> {
        let slot = self.slot(input, flags);
        let owner = self.server_at(slot)?;
        if pool.usable(owner) {
            Some(owner)
        } else {
            self.next_usable(pool, slot)
        }
    }

    fn next_usable<L: Fn(u32) -> Load>(&self, pool: &Pool<'_, L>, slot: usize) -> Option<usize> {
        let count = self.table.slots().len();
        (slot + 1..slot + PROBES_MAX)
            .filter_map(|slot| self.server_at(slot % count))
            .find(|&index| pool.usable(index))
            .or_else(|| pool.usable_indices().next())
    }

    fn server_at(&self, slot: usize) -> Option<usize> {
        let rank = *self.table.slots().get(slot)?;
        self.by_rank
            .get(usize::from(rank))
            .map(|&index| usize::from(index))
    }

    /// The high half of the hash, scaled to the table: no division.
    fn slot(&self, input: &PickInput, flags: Flags) -> usize {
        let hash = if flags.address_only {
            hash::client(input)
        } else {
            hash::tuple(input)
        };
        ((hash >> 32) as usize * self.table.slots().len()) >> 32
    }
}
