//! The schedulers written as plainly as they can be told, one connection at a time, to compare with.

use std::collections::HashMap;

use super::super::hash;
use super::maglev::naive_table;
use super::world::World;
use super::*;

const DAY_S: u64 = 24 * 60 * 60;

/// What the kernel's scheduler would remember. Servers are named by slot.
#[derive(Debug)]
pub(super) struct Oracle {
    kind: SchedulerKind,
    flags: Flags,
    /// rr: the server picked last.
    last: Option<u32>,
    wrr: Wrr,
    /// mh and maglev: slot of the owner of each place in the table.
    table: Vec<u32>,
    sets: HashMap<IpAddr, Entry>,
}

#[derive(Debug, Default)]
struct Wrr {
    /// Position of the server picked last; -1: the head of the list.
    cl: i64,
    cw: i64,
    mw: i64,
    di: i64,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The server added last in front.
    slots: Vec<u32>,
    used_s: u64,
    changed_s: u64,
}

impl Oracle {
    pub(super) fn new(kind: SchedulerKind, flags: Flags, world: &World) -> Self {
        let (last, wrr, sets) = (None, Wrr::default(), HashMap::new());
        let mut oracle = Self {
            kind,
            flags,
            last,
            wrr,
            table: Vec::new(),
            sets,
        };
        oracle.changed(&[], world);
        oracle
    }

    /// The servers are no longer the `before` ones.
    pub(super) fn changed(&mut self, before: &[Server], world: &World) {
        let is_here = |slot: u32| world.servers.iter().any(|server| server.slot == slot);
        while let Some(last) = self.last.filter(|&last| !is_here(last)) {
            let at = before.iter().position(|server| server.slot == last).unwrap();
            self.last = (at > 0).then(|| before[at - 1].slot);
        }
        for entry in self.sets.values_mut() {
            entry.slots.retain(|&slot| is_here(slot));
        }
        self.restart_wrr(world);
        match self.kind {
            SchedulerKind::Mh => self.table = mh_table(world),
            SchedulerKind::Maglev => self.table = maglev_table(self.flags, world),
            _ => {}
        }
    }

    fn restart_wrr(&mut self, world: &World) {
        let weights = || world.servers.iter().map(|server| i64::from(server.weight));
        let largest = weights().max().unwrap_or(0);
        let divides_all = |&di: &i64| weights().all(|weight| weight % di == 0);
        let di = (1..=largest.max(1)).rev().find(divides_all).unwrap();
        let mw = largest - (di - 1);
        let cw = self.wrr.cw;
        let cw = if cw > mw || cw == 0 {
            mw
        } else if di > 1 {
            cw / di * di + 1
        } else {
            cw
        };
        self.wrr = Wrr { cl: -1, cw, mw, di };
    }

    pub(super) fn pick(&mut self, world: &World, input: &PickInput) -> Option<usize> {
        match self.kind {
            SchedulerKind::Rr => self.rr(world),
            SchedulerKind::Wrr => self.wrr(world),
            SchedulerKind::Lc => least(world, |server| (world.overhead(server.slot), 1)),
            SchedulerKind::Wlc => wlc(world),
            SchedulerKind::Sed => sed(world),
            SchedulerKind::Nq => nq(world),
            SchedulerKind::Dh => dh(world, input),
            SchedulerKind::Sh => sh(world, input, self.flags),
            SchedulerKind::Mh => self.mh(world, input),
            SchedulerKind::Lblc => self.lblc(world, input),
            SchedulerKind::Lblcr => self.lblcr(world, input),
            SchedulerKind::Fo => heaviest(world, |_| true),
            SchedulerKind::Ovf => heaviest(world, |server| world.load(server.slot).active <= server.weight),
            SchedulerKind::Twos => twos(world, input.random),
            SchedulerKind::Maglev => self.maglev(world, input),
        }
    }

    fn rr(&mut self, world: &World) -> Option<usize> {
        let count = world.servers.len();
        let last = self
            .last
            .and_then(|last| world.servers.iter().position(|server| server.slot == last));
        let start = last.map_or(0, |last| last + 1);
        let chosen = (0..count).map(|step| (start + step) % count);
        let chosen = chosen
            .into_iter()
            .find(|&index| world.is_usable(&world.servers[index]))?;
        self.last = Some(world.servers[chosen].slot);
        Some(chosen)
    }

    /// The kernel's walk, pass by pass.
    fn wrr(&mut self, world: &World) -> Option<usize> {
        let count = world.servers.len() as i64;
        let Wrr { cl: last, mw, di, .. } = self.wrr;
        if mw == 0 {
            return None;
        }
        let (mut at, mut stop) = (last, -1);
        let (mut is_last_pass, mut has_restarted) = (false, false);
        loop {
            for index in at + 1..count {
                let server = &world.servers[index as usize];
                if i64::from(server.weight) >= self.wrr.cw && world.is_usable(server) {
                    self.wrr.cl = index;
                    return Some(index as usize);
                }
                if index == stop {
                    self.wrr.cl = index;
                    return None;
                }
            }
            at = -1;
            self.wrr.cw -= di;
            if self.wrr.cw <= 0 {
                self.wrr.cw = mw;
                if is_last_pass || last == -1 {
                    self.wrr.cl = -1;
                    return None;
                }
                has_restarted = true;
            }
            is_last_pass = self.wrr.cw <= di;
            if is_last_pass && has_restarted && last != -1 {
                stop = last;
            }
        }
    }

    fn mh(&self, world: &World, input: &PickInput) -> Option<usize> {
        if self.table.is_empty() || !world.servers.iter().any(|server| world.is_usable(server)) {
            return None;
        }
        let port = if self.flags.port { input.client_port } else { 0 };
        let place = |offset: u32| {
            let key = offset
                .wrapping_add(u32::from(port))
                .wrapping_add(folded(input.client));
            hash::hsiphash_u32(key, 2_654_435_761) % 4093
        };
        let first = place(0);
        let tries = if self.flags.fallback { 4093 } else { 0 };
        let retries = (0..tries).map(|step| place((step + first) % 4093));
        core::iter::once(first)
            .chain(retries)
            .map(|place| index_of(world, self.table[place as usize]).unwrap())
            .find(|&index| world.is_usable(&world.servers[index]))
    }

    fn maglev(&self, world: &World, input: &PickInput) -> Option<usize> {
        let count = self.table.len();
        if count == 0 {
            return None;
        }
        let hash = if self.flags.address_only {
            hash::client(input)
        } else {
            hash::tuple(input)
        };
        let first = (u128::from(hash >> 32) * count as u128 / (1 << 32)) as usize;
        let probed = (first..first + 256).map(|place| index_of(world, self.table[place % count]).unwrap());
        let in_order = 0..world.servers.len();
        probed
            .chain(in_order)
            .find(|&index| world.is_usable(&world.servers[index]))
    }

    fn entry(&self, world: &World, input: &PickInput) -> Option<Entry> {
        let entry = self.sets.get(&input.destination)?;
        (world.now_s - entry.used_s < DAY_S).then(|| entry.clone())
    }

    fn lblc(&mut self, world: &World, input: &PickInput) -> Option<usize> {
        let entry = self.entry(world, input);
        if entry.is_some() {
            self.sets.get_mut(&input.destination)?.used_s = world.now_s;
        }
        let cached = entry.and_then(|entry| index_of(world, *entry.slots.first()?));
        if let Some(index) = cached
            && world.servers[index].weight > 0
            && !is_overloaded(world, index)
        {
            return Some(index);
        }
        let chosen = wlc(world)?;
        let slots = vec![world.servers[chosen].slot];
        let entry = Entry {
            slots,
            used_s: world.now_s,
            changed_s: world.now_s,
        };
        self.sets.insert(input.destination, entry);
        Some(chosen)
    }

    fn lblcr(&mut self, world: &World, input: &PickInput) -> Option<usize> {
        let mut entry = self.entry(world, input).unwrap_or(Entry {
            slots: Vec::new(),
            used_s: world.now_s,
            changed_s: world.now_s,
        });
        entry.used_s = world.now_s;
        let members: Vec<usize> = entry
            .slots
            .iter()
            .map(|&slot| index_of(world, slot).unwrap())
            .collect();
        let dest = least_among(world, members.iter().copied(), |server| {
            (world.overhead(server.slot), server.weight)
        });
        if members.len() > 1
            && world.now_s - entry.changed_s > DAY_S
            && let Some(most) = most_loaded(world, &members)
        {
            entry.slots.retain(|&slot| slot != world.servers[most].slot);
            entry.changed_s = world.now_s;
        }
        let chosen = match dest.filter(|&index| !is_overloaded(world, index)) {
            Some(index) => Some(index),
            None => wlc(world).inspect(|&index| {
                let slot = world.servers[index].slot;
                if !entry.slots.contains(&slot) {
                    entry.slots.insert(0, slot);
                    entry.changed_s = world.now_s;
                }
            }),
        };
        if !entry.slots.is_empty() {
            self.sets.insert(input.destination, entry);
        }
        chosen
    }
}

fn index_of(world: &World, slot: u32) -> Option<usize> {
    world.servers.iter().position(|server| server.slot == slot)
}

/// The first usable server with the smallest cost in proportion to its second number.
fn least(world: &World, cost: impl Fn(&Server) -> (u64, u32)) -> Option<usize> {
    least_among(world, 0..world.servers.len(), cost)
}

fn least_among(
    world: &World,
    candidates: impl Iterator<Item = usize>,
    cost: impl Fn(&Server) -> (u64, u32),
) -> Option<usize> {
    let mut best: Option<(usize, u64, u64)> = None;
    for index in candidates {
        let server = &world.servers[index];
        if !world.is_usable(server) {
            continue;
        }
        let (load, weight) = cost(server);
        let weight = u64::from(weight);
        if best.is_none_or(|(_, best_load, best_weight)| best_load * weight > load * best_weight) {
            best = Some((index, load, weight));
        }
    }
    best.map(|(index, _, _)| index)
}

fn wlc(world: &World) -> Option<usize> {
    least(world, |server| (world.overhead(server.slot), server.weight))
}

fn sed(world: &World) -> Option<usize> {
    least(world, |server| {
        (u64::from(world.load(server.slot).active) + 1, server.weight)
    })
}

fn nq(world: &World) -> Option<usize> {
    let is_idle = |server: &Server| world.is_usable(server) && world.load(server.slot).active == 0;
    world.servers.iter().position(is_idle).or_else(|| sed(world))
}

fn heaviest(world: &World, has_room: impl Fn(&Server) -> bool) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (index, server) in world.servers.iter().enumerate() {
        let is_candidate = world.is_usable(server) && has_room(server);
        if is_candidate && best.is_none_or(|best| server.weight > world.servers[best].weight) {
            best = Some(index);
        }
    }
    best
}

fn twos(world: &World, random: u64) -> Option<usize> {
    let usable: Vec<usize> = (0..world.servers.len())
        .filter(|&index| world.is_usable(&world.servers[index]))
        .collect();
    let total: u64 = usable
        .iter()
        .map(|&index| u64::from(world.servers[index].weight))
        .sum();
    let draw = |bits: u64| {
        let mut rest = (bits % (total + 1)) as i64;
        usable.iter().copied().find(|&index| {
            rest -= i64::from(world.servers[index].weight);
            rest <= 0
        })
    };
    let (first, second) = (draw(random % (1 << 32))?, draw(random / (1 << 32))?);
    let load = |index: usize| world.overhead(world.servers[index].slot);
    let weight = |index: usize| u64::from(world.servers[index].weight);
    Some(if weight(second) * load(first) > weight(first) * load(second) {
        second
    } else {
        first
    })
}

fn folded(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => u32::from_be_bytes(v4.octets()),
        IpAddr::V6(v6) => v6
            .octets()
            .chunks_exact(4)
            .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
            .fold(0, |folded, word| folded ^ word),
    }
}

fn dh(world: &World, input: &PickInput) -> Option<usize> {
    let bucket = (u64::from(folded(input.destination)) * 2_654_435_761) & 255;
    let index = (bucket as usize).checked_rem(world.servers.len())?;
    world.is_usable(&world.servers[index]).then_some(index)
}

fn sh(world: &World, input: &PickInput, flags: Flags) -> Option<usize> {
    let mut buckets = Vec::new();
    while buckets.len() < 256 && !world.servers.is_empty() {
        for (index, server) in world.servers.iter().enumerate() {
            buckets.extend((0..server.weight.max(1)).map(|_| index));
        }
    }
    if buckets.is_empty() {
        return None;
    }
    let port = if flags.port { input.client_port } else { 0 };
    let bucket = |offset: u64| {
        let key = u64::from(port) + u64::from(folded(input.client));
        (offset + key * 2_654_435_761 % (1 << 32)) & 255
    };
    let first = bucket(0);
    let tries = if flags.fallback { 256 } else { 0 };
    let retries = (0..tries).map(|step| bucket((step + first) % 256));
    core::iter::once(first)
        .chain(retries)
        .map(|bucket| buckets[bucket as usize])
        .find(|&index| world.is_usable(&world.servers[index]))
}

/// The kernel's population loop.
fn mh_table(world: &World) -> Vec<u32> {
    const M: u32 = 4093;
    let weights: Vec<u32> = world
        .servers
        .iter()
        .map(|server| world.last_weights[server.slot as usize])
        .collect();
    let largest = weights.iter().copied().max().unwrap_or(0);
    if largest == 0 {
        return Vec::new();
    }
    let gcd = (1..=largest)
        .rev()
        .find(|d| weights.iter().all(|weight| weight % d == 0))
        .unwrap();
    let mut rshift = 0;
    while (largest / gcd) >> rshift >= 64 {
        rshift += 1;
    }
    let hashed = |server: &Server, key| {
        hash::hsiphash_u32(folded(server.address).wrapping_add(u32::from(server.port)), key)
    };
    let mut perm: Vec<u32> = world
        .servers
        .iter()
        .map(|server| hashed(server, 2_654_435_761) % M)
        .collect();
    let mut table = vec![None; M as usize];
    let mut filled = 0;
    loop {
        for (index, server) in world.servers.iter().enumerate() {
            let weight = weights[index];
            let turns = if weight == 0 {
                0
            } else {
                ((weight / gcd) >> rshift).max(1)
            };
            for _ in 0..turns {
                while table[perm[index] as usize].is_some() {
                    perm[index] = (perm[index] + hashed(server, 2_654_446_892) % (M - 1) + 1) % M;
                }
                table[perm[index] as usize] = Some(server.slot);
                filled += 1;
                if filled == M {
                    return table.into_iter().flatten().collect();
                }
            }
        }
    }
}

fn maglev_table(flags: Flags, world: &World) -> Vec<u32> {
    use weir_rings::message::MaglevSize;

    use super::super::maglev::Member;
    let size = if flags.large_table {
        MaglevSize::Large
    } else {
        MaglevSize::Small
    };
    let mut sorted: Vec<&Server> = world.servers.iter().filter(|server| server.weight > 0).collect();
    sorted.sort_by_key(|server| (server.address, server.port));
    let members: Vec<Member> = sorted
        .iter()
        .map(|server| Member::new(size, server.address, server.port, server.weight))
        .collect();
    naive_table(size, &members)
        .into_iter()
        .map(|rank| sorted[usize::from(rank)].slot)
        .collect()
}

fn is_overloaded(world: &World, index: usize) -> bool {
    let server = &world.servers[index];
    let has_spare = |other: &Server| world.load(other.slot).active * 2 < other.weight;
    world.load(server.slot).active > server.weight && world.servers.iter().any(has_spare)
}

fn most_loaded(world: &World, members: &[usize]) -> Option<usize> {
    let mut most: Option<usize> = None;
    for &index in members {
        let server = &world.servers[index];
        let exceeds = |most: usize| {
            let other = &world.servers[most];
            world.overhead(other.slot) * u64::from(server.weight)
                < world.overhead(server.slot) * u64::from(other.weight)
        };
        if server.weight > 0 && most.is_none_or(exceeds) {
            most = Some(index);
        }
    }
    most
}
