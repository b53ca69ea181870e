//! Maglev hashing as IPVS does it: a table of 4093 slots, the kernel's default size.
//!
//! Table and lookup use SipHash-1-3 with the kernel's fixed keys, so the mapping is bit for bit that of a 64-bit
//! little-endian kernel with the default table size and the same list order. The order matters where servers compete
//! for a slot, and the kernel puts a server added later in front: list the servers as `ipvsadm -Ln` shows them.
//!
//! The table is filled by the last weight that was not 0, so that quiescing a server moves nobody else. Its clients
//! are refused then, unless `mh-fallback`, which hashes again with offsets that walk once round the table.

use super::{Algorithm, Flags, Load, PickInput, Pool, Server, State, gcd_of, hash};

/// Slots, a prime: `CONFIG_IP_VS_MH_TAB_INDEX=12`.
const SLOTS: u32 = 4093;
/// Turns of one server in a round fit in this many bits, half of the table index.
const TURN_BITS: u32 = 6;
/// The table must have room for everybody.
pub(super) const SERVERS_MAX: usize = SLOTS as usize;

const OFFSET_KEY: u64 = 2_654_435_761;
const SKIP_KEY: u64 = 2_654_446_892;

#[derive(Debug)]
pub(super) struct Table {
    /// Index of a server for each slot; empty if none ever had a weight.
    slots: Box<[u16]>,
    /// The last weight other than 0 of each server.
    last_weights: Box<[u32]>,
}

impl Table {
    pub(super) fn new(servers: &[Server], previous: Option<&State>) -> Self {
        let last_weights: Box<[u32]> = servers
            .iter()
            .map(|server| last_weight(server, previous))
            .collect();
        Self {
            slots: fill(servers, &last_weights),
            last_weights,
        }
    }

    pub(super) fn pick<L: Fn(u32) -> Load>(
        &self,
        pool: &Pool<'_, L>,
        input: &PickInput,
        flags: Flags,
    ) -> Option<usize> {
        let port = if flags.port { input.client_port } else { 0 };
        let key = hash::fold(input.client).wrapping_add(u32::from(port));
        let slot = |offset: u32| hash::hsiphash_u32(key.wrapping_add(offset), OFFSET_KEY) % SLOTS;
        let owner = |slot: u32| self.slots.get(slot as usize).map(|&index| usize::from(index));
        let first = slot(0);
        let index = owner(first)?;
        if pool.usable(index) {
            return Some(index);
        }
        if !flags.fallback || pool.usable_indices().next().is_none() {
            return None;
        }
        let offsets = (0..SLOTS).map(|step| (step + first) % SLOTS);
        offsets
            .filter_map(|offset| owner(slot(offset)))
            .find(|&index| pool.usable(index))
    }
}

fn last_weight(server: &Server, previous: Option<&State>) -> u32 {
    if server.weight != 0 {
        return server.weight;
    }
    let Some(previous) = previous else { return 0 };
    let Algorithm::Mh(table) = &previous.algorithm else {
        return 0;
    };
    previous
        .index_of_slot(server.slot)
        .map_or(0, |index| table.last_weights[index])
}

/// A server's walk over the table, and how many slots it takes in a round.
struct Walk {
    index: u16,
    position: u32,
    skip: u32,
    turns: u32,
}

impl Walk {
    /// The next slot of the walk that is free.
    fn advance(&mut self, taken: &[bool]) -> u32 {
        while taken[self.position as usize] {
            self.position = (self.position + self.skip) % SLOTS;
        }
        self.position
    }
}

fn fill(servers: &[Server], last_weights: &[u32]) -> Box<[u16]> {
    let mut walks = walks(servers, last_weights);
    if walks.is_empty() {
        return Box::default();
    }
    let mut slots = vec![0; SLOTS as usize].into_boxed_slice();
    let mut taken = vec![false; SLOTS as usize];
    let mut free = SLOTS;
    loop {
        for walk in &mut walks {
            for _ in 0..walk.turns {
                let slot = walk.advance(&taken) as usize;
                taken[slot] = true;
                slots[slot] = walk.index;
                free -= 1;
                if free == 0 {
                    return slots;
                }
            }
        }
    }
}

fn walks(servers: &[Server], last_weights: &[u32]) -> Vec<Walk> {
    let divisor = gcd_of(last_weights.iter().copied());
    let Some(largest) = last_weights
        .iter()
        .copied()
        .max()
        .unwrap_or(0)
        .checked_div(divisor)
    else {
        return Vec::new();
    };
    let shift = (u32::BITS - largest.leading_zeros()).saturating_sub(TURN_BITS);
    let walk = |((index, server), &weight): ((u16, &Server), &u32)| {
        let key = hash::fold(server.address).wrapping_add(u32::from(server.port));
        (weight != 0).then(|| Walk {
            index,
            position: hash::hsiphash_u32(key, OFFSET_KEY) % SLOTS,
            skip: hash::hsiphash_u32(key, SKIP_KEY) % (SLOTS - 1) + 1,
            turns: ((weight / divisor) >> shift).max(1),
        })
    };
    (0..).zip(servers).zip(last_weights).filter_map(walk).collect()
}
