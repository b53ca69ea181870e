//! The population of a Maglev table, bit for bit that of the paper's loop but in about half its time.
//!
//! Each server walks the slots in its own order (offset, offset + skip, … modulo the prime number of slots) and the
//! servers take turns to claim the next slot of their walk that is free. Three things make it quick: the walk adds and
//! subtracts instead of dividing; what is taken is a bitmap that stays in the first cache; and the last slots, where
//! a walk would meet hundreds of taken slots before a free one, are not walked but solved: a free slot s is step
//! (s - offset) · skip⁻¹ of a walk, and the smallest step is the one the walk would meet first.
//!
//! Read first: Eisenbud et al., "Maglev", NSDI 2016, §3.4, pseudocode 1.

use core::net::IpAddr;

use weir_rings::message::MaglevSize;

use super::super::hash;

const OFFSET_KEY: [u64; 2] = [0x6d61_676c_6576_2d6f, 0x6666_7365_742d_6b31];
const SKIP_KEY: [u64; 2] = [0x6d61_676c_6576_2d73, 0x6b69_702d_6b65_7931];

/// Slots that are solved instead of walked. From 128 to 512 the time hardly differs.
const SOLVED: usize = 256;

/// A server as the builder sees it: its walk, and how often it has a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where the walk starts, below the number of slots.
    pub offset: u32,
    /// Step of the walk, 1 to the number of slots less one.
    pub skip: u32,
    /// Turns in proportion to the others'; above 0.
    pub weight: u32,
}

impl Member {
    /// The walk of a server, the same on every director.
    #[must_use]
    pub fn new(size: MaglevSize, address: IpAddr, port: u16, weight: u32) -> Self {
        let below = |key, bound: u32| (hash::endpoint(key, address, port) % u64::from(bound)) as u32;
        Self {
            offset: below(OFFSET_KEY, size.slots()),
            skip: below(SKIP_KEY, size.slots() - 1) + 1,
            weight,
        }
    }
}

/// A filled table.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    slots: Box<[u16]>,
}

impl Table {
    /// Rank of the owner of each slot; empty if there were no servers.
    #[must_use]
    pub const fn slots(&self) -> &[u16] {
        &self.slots
    }
}

/// Fills a table. There are at most 65535 members.
#[must_use]
pub fn build(size: MaglevSize, members: &[Member]) -> Table {
    if members.is_empty() {
        return Table {
            slots: Box::default(),
        };
    }
    // A constant number of slots lets the compiler divide by multiplying.
    match size {
        MaglevSize::Small => Builder::<65_537>::new(members).run(),
        MaglevSize::Large => Builder::<655_373>::new(members).run(),
    }
}

/// Position of a server on its walk.
struct Walk {
    position: u32,
    skip: u32,
}

struct Builder<'a, const SLOTS: usize> {
    members: &'a [Member],
    walks: Vec<Walk>,
    turns: Turns<'a>,
    taken: Vec<u64>,
    slots: Vec<u16>,
}

impl<'a, const SLOTS: usize> Builder<'a, SLOTS> {
    fn new(members: &'a [Member]) -> Self {
        Self {
            members,
            walks: members
                .iter()
                .map(|member| Walk {
                    position: member.offset,
                    skip: member.skip,
                })
                .collect(),
            turns: Turns::new(members),
            taken: vec![0; SLOTS.div_ceil(64)],
            slots: vec![0; SLOTS],
        }
    }

    fn run(mut self) -> Table {
        for _ in 0..SLOTS / 2 {
            let member = self.turns.next_turn();
            let slot = self.walk(member);
            self.claim(slot, member);
        }
        for _ in SLOTS / 2..SLOTS - SOLVED {
            let member = self.turns.next_turn();
            let slot = self.walk_by_fours(member);
            self.claim(slot, member);
        }
        self.solve_rest();
        Table {
            slots: self.slots.into_boxed_slice(),
        }
    }

    /// The next free slot of a member's walk.
    #[inline]
    fn walk(&mut self, member: usize) -> usize {
        let walk = &mut self.walks[member];
        let (mut slot, skip) = (walk.position as usize, walk.skip as usize);
        while is_taken(&self.taken, slot) {
            slot = step::<SLOTS>(slot, skip);
        }
        walk.position = slot as u32;
        slot
    }

    /// The same where most slots are taken: looks at four steps at once, for one branch to guess instead of four.
    #[inline]
    fn walk_by_fours(&mut self, member: usize) -> usize {
        let walk = &mut self.walks[member];
        let (mut slot, skip) = (walk.position as usize, walk.skip as usize);
        let twice = step::<SLOTS>(skip, skip);
        let skips = [0, skip, twice, step::<SLOTS>(twice, skip)];
        let four = step::<SLOTS>(twice, twice);
        loop {
            let ahead = skips.map(|skip| step::<SLOTS>(slot, skip));
            let [a, b, c, d] = ahead.map(|slot| u32::from(is_taken(&self.taken, slot)));
            let taken = a | b << 1 | c << 2 | d << 3;
            if taken != 0b1111 {
                slot = ahead[taken.trailing_ones() as usize & 3];
                walk.position = slot as u32;
                return slot;
            }
            slot = step::<SLOTS>(slot, four);
        }
    }

    #[inline]
    fn claim(&mut self, slot: usize, member: usize) {
        self.taken[slot / 64] |= 1 << (slot % 64);
        self.slots[slot] = member as u16;
    }

    fn solve_rest(&mut self) {
        let is_free = |slot: &u32| !is_taken(&self.taken, *slot as usize);
        let mut free: Vec<u32> = (0..SLOTS as u32).filter(is_free).collect();
        let mut inverses = vec![0; self.members.len()];
        while !free.is_empty() {
            let member = self.turns.next_turn();
            let Member { offset, skip, .. } = self.members[member];
            if inverses[member] == 0 {
                inverses[member] = inverse::<SLOTS>(skip);
            }
            let at = first_on_walk::<SLOTS>(&free, offset, inverses[member]);
            let slot = free.swap_remove(at);
            self.slots[slot as usize] = member as u16;
        }
    }
}

#[inline]
fn is_taken(taken: &[u64], slot: usize) -> bool {
    (taken[slot / 64] >> (slot % 64)) & 1 == 1
}

/// `slot + skip` modulo the number of slots; both are below it.
#[inline]
const fn step<const SLOTS: usize>(slot: usize, skip: usize) -> usize {
    let sum = slot + skip;
    if sum >= SLOTS { sum - SLOTS } else { sum }
}

/// Which of the free slots comes first on the walk.
fn first_on_walk<const SLOTS: usize>(free: &[u32], offset: u32, inverse: u32) -> usize {
    let step =
        |slot: u32| (u64::from(slot) + SLOTS as u64 - u64::from(offset)) * u64::from(inverse) % SLOTS as u64;
    let steps = free.iter().zip(0u64..).map(|(&slot, at)| step(slot) << 32 | at);
    (steps.min().unwrap_or(0) & 0xffff_ffff) as usize
}

/// The number that multiplied by `value` leaves 1 modulo the prime `SLOTS`, by Euclid's algorithm.
fn inverse<const SLOTS: usize>(value: u32) -> u32 {
    let (mut a, mut b) = (SLOTS as i64, i64::from(value));
    let (mut x, mut y) = (0i64, 1i64);
    while b != 0 {
        let quotient = a / b;
        (a, b) = (b, a - quotient * b);
        (x, y) = (y, x - quotient * y);
    }
    x.rem_euclid(SLOTS as i64) as u32
}

/// Whose turn it is. Members of the largest weight have one each round, others in proportion: a member adds its
/// weight each round, and has a turn when that makes the largest weight.
struct Turns<'a> {
    members: &'a [Member],
    next: usize,
    largest: u32,
    /// Weight saved up; empty if all weights are equal.
    saved: Vec<u32>,
}

impl<'a> Turns<'a> {
    fn new(members: &'a [Member]) -> Self {
        let largest = members.iter().map(|member| member.weight).max().unwrap_or(1);
        let equal = members.iter().all(|member| member.weight == largest);
        let saved = if equal { Vec::new() } else { vec![0; members.len()] };
        Self {
            members,
            next: 0,
            largest,
            saved,
        }
    }

    #[inline]
    fn next_turn(&mut self) -> usize {
        loop {
            let member = self.next;
            self.next = if member + 1 == self.members.len() {
                0
            } else {
                member + 1
            };
            if self.saved.is_empty() || self.is_due(member) {
                return member;
            }
        }
    }

    fn is_due(&mut self, member: usize) -> bool {
        // Kept below the largest weight, so this cannot overflow 64 bits; 32 would for weights near the limit.
        let saved = u64::from(self.saved[member]) + u64::from(self.members[member].weight);
        let due = saved >= u64::from(self.largest);
        self.saved[member] = (if due {
            saved - u64::from(self.largest)
        } else {
            saved
        }) as u32;
        due
    }
}
