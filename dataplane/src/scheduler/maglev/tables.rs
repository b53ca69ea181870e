//! Maglev tables shared between services: fifty services over one pool build one table.

use core::hash::{Hash, Hasher};
use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use weir_rings::message::MaglevSize;

use super::super::{Server, gcd_of, hash};
use super::build::{Member, Table, build};

/// The tables in use, kept by whoever builds the schedulers. Holds no table alive by itself.
#[derive(Debug, Default)]
pub struct Tables {
    built: HashMap<Key, Weak<Table>>,
    /// Entries at which the dead ones are cleared out.
    sweep_at: usize,
}

/// All that a table depends on: servers in order, weights without their common divisor.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    size: MaglevSize,
    members: Box<[(IpAddr, u16, u32)]>,
}

/// In whole words: a thousand members hash in a few microseconds.
impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.size.hash(hasher);
        for &(address, port, weight) in &self.members {
            let [high, low] = hash::words(address);
            hasher.write_u64(high);
            hasher.write_u64(low);
            hasher.write_u64(u64::from(port) << 32 | u64::from(weight));
        }
    }
}

impl Tables {
    /// The table of these servers, which are sorted and have a weight.
    pub(super) fn get<'a>(
        &mut self,
        size: MaglevSize,
        servers: impl Iterator<Item = &'a Server> + Clone,
    ) -> Arc<Table> {
        let divisor = gcd_of(servers.clone().map(|server| server.weight)).max(1);
        let members = servers.map(|server| (server.address, server.port, server.weight / divisor));
        let key = Key {
            size,
            members: members.collect(),
        };
        if let Some(table) = self.built.get(&key).and_then(Weak::upgrade) {
            return table;
        }
        let table = Arc::new(build(size, &members_of(&key)));
        self.sweep();
        self.built.insert(key, Arc::downgrade(&table));
        table
    }

    /// How many tables are in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.built
            .values()
            .filter(|table| table.strong_count() > 0)
            .count()
    }

    fn sweep(&mut self) {
        if self.built.len() >= self.sweep_at {
            self.built.retain(|_, table| table.strong_count() > 0);
            self.sweep_at = self.built.len() * 2 + 16;
        }
    }
}

fn members_of(key: &Key) -> Vec<Member> {
    key.members
        .iter()
        .map(|&(address, port, weight)| Member::new(key.size, address, port, weight))
        .collect()
}
