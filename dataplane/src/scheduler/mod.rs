//! Which server gets a new connection: the schedulers of IPVS, and Maglev.
//!
//! A [`State`] is built beside the service whenever its servers change and is shared by all workers, which call
//! [`State::pick`] at the same time: nothing here allocates, locks or waits on that path. What moves while packets
//! flow (cursors, overload marks, the locality caches) lives in atomics inside it.
//!
//! Rules shared by every scheduler, as in IPVS: weight 0 means quiesced, a server over its upper threshold is skipped
//! until it falls below the lower one, comparisons are strict so that the first in list order wins a tie.
//! List order is the order of the slice given to [`State::new`]; the kernel puts a server added later in front.
//!
//! Read first: `net/netfilter/ipvs/ip_vs_*.c` of Linux, one file a scheduler; for Maglev the NSDI 2016 paper, §3.4.

mod dh;
mod fo;
mod hash;
mod lblc;
mod lblcr;
mod lc;
mod locality;
pub mod maglev;
mod mh;
mod nq;
mod overload;
mod ovf;
mod rr;
mod sed;
mod sh;
mod twos;
mod wlc;
mod wrr;

#[cfg(test)]
mod tests;

use core::net::IpAddr;
use std::sync::Arc;

pub use weir_rings::message::SchedulerKind;

use overload::Overload;

/// Options of the hashing schedulers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// `sh-fallback`, `mh-fallback`: look further when the hashed server is unusable, instead of refusing.
    pub fallback: bool,
    /// `sh-port`, `mh-port`: the client's port counts too.
    pub port: bool,
    /// Maglev: 655373 slots in place of 65537, for pools of more than about 650 servers.
    pub large_table: bool,
    /// Maglev: hash the client's address alone, so that all its connections, fragments and ports stay together.
    pub address_only: bool,
}

/// One server of a service, as the schedulers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Address, hashed by `mh` and `maglev`.
    pub address: IpAddr,
    /// Port, hashed by `mh` and `maglev`.
    pub port: u16,
    /// Stable index of its counters. It identifies the server from one [`State`] to the next.
    pub slot: u32,
    /// 0: quiesced, no new connections.
    pub weight: u32,
    /// Connections at which the server counts as overloaded; 0: never.
    pub upper_threshold: u32,
    /// Connections below which it no longer does; 0: three quarters of the upper threshold.
    pub lower_threshold: u32,
}

/// Connections of one server, summed over all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Connections in an active state (established, or on the way there).
    pub active: u32,
    /// All others that still have an entry.
    pub inactive: u32,
}

impl Load {
    /// What `lc`, `wlc`, `lblc`, `lblcr` and `twos` compare: an active connection weighs as much as 256 inactive.
    const fn overhead(self) -> u64 {
        self.active as u64 * 256 + self.inactive as u64
    }

    const fn total(self) -> u64 {
        self.active as u64 + self.inactive as u64
    }
}

/// What is known of the packet that asks for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PickInput {
    /// Source address of the client.
    pub client: IpAddr,
    /// Source port of the client; 0 where there is none.
    pub client_port: u16,
    /// Destination address: the virtual one, or any for a service by firewall mark.
    pub destination: IpAddr,
    /// Destination port; 0 where there is none.
    pub destination_port: u16,
    /// Seconds since an arbitrary start, for the ageing of the locality caches.
    pub now_s: u32,
    /// Fresh random bits, read by `twos` only.
    pub random: u64,
}

impl PickInput {
    /// Of addresses and ports as words in memory order, source first.
    #[inline(never)]
    fn v4(pair: u64, ports: u64) -> Self {
        let ([a, b, c, d, e, f, g, h], [i, j, k, l]) = (pair.to_ne_bytes(), (ports as u32).to_ne_bytes());
        Self {
            client: IpAddr::from([a, b, c, d]),
            client_port: u16::from_be_bytes([i, j]),
            destination: IpAddr::from([e, f, g, h]),
            destination_port: u16::from_be_bytes([k, l]),
            now_s: 0,
            random: 0,
        }
    }
}

/// Why a scheduler cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// More servers than the scheduler's table can name.
    #[error(
        "{kind:?} takes at most {limit} servers and the service has {servers}; split the service or use wrr or wlc"
    )]
    TooManyServers {
        /// The scheduler.
        kind: SchedulerKind,
        /// Servers given.
        servers: usize,
        /// Servers it can take.
        limit: usize,
    },
}

/// A service's servers and the state of its scheduler.
#[derive(Debug)]
pub struct State {
    kind: SchedulerKind,
    flags: Flags,
    servers: Box<[Server]>,
    /// `(slot, index)`, ascending: which index a slot has now.
    by_slot: Box<[(u32, u32)]>,
    /// Running sum of the weights, for [`State::pick_stateless`].
    shares: Box<[u64]>,
    /// All have one weight, and it is not 0.
    even: bool,
    /// Any of them can always be chosen: none has weight 0 or a threshold.
    all_usable: bool,
    overload: Overload,
    algorithm: Algorithm,
}

/// Servers that have their turn one after the other.
pub(crate) struct Turns<'a> {
    cursor: &'a rr::Cursor,
    servers: &'a [Server],
    alone: bool,
}

impl Turns<'_> {
    /// Slot of the next one.
    #[inline(always)]
    pub(crate) fn next(&self) -> Option<u32> {
        let index = self.cursor.step(self.servers.len(), self.alone);
        self.servers.get(index).map(|server| server.slot)
    }
}

/// What a scheduler keeps beside the servers.
#[derive(Debug)]
enum Algorithm {
    Rr(rr::Cursor),
    Wrr(wrr::Cursor),
    Lc,
    Wlc,
    Sed,
    Nq,
    Dh(dh::Table),
    Sh(sh::Table),
    Mh(mh::Table),
    Lblc(Arc<lblc::Cache>),
    Lblcr(Arc<lblcr::Cache>),
    Fo,
    Ovf,
    Twos,
    Maglev(maglev::Lookup),
}

impl State {
    /// Builds the state of a service. `previous` is the state it replaces, if there is one.
    ///
    /// Kept from a previous state of the same kind, as in IPVS: the cursor of `rr` (stepping back over a removed
    /// server), the current weight of `wrr` as far as it still fits (its cursor starts again at the head), the last
    /// weight that was not 0 for `mh`, the caches of `lblc` and `lblcr` without the servers removed. The overload mark
    /// of a server is kept across kinds while its thresholds stay the same.
    ///
    /// # Errors
    /// When the servers are more than the scheduler's table can name.
    pub fn new(
        kind: SchedulerKind,
        flags: Flags,
        servers: Vec<Server>,
        previous: Option<&Self>,
        tables: &mut maglev::Tables,
    ) -> Result<Self, BuildError> {
        check_count(kind, servers.len())?;
        let servers = servers.into_boxed_slice();
        let by_slot = index_slots(&servers);
        let same_kind = previous.filter(|previous| previous.kind == kind);
        let algorithm = Algorithm::new(kind, flags, &servers, &by_slot, same_kind, tables);
        let shares = running_sum(&servers);
        let even = servers.first().is_some_and(|first| {
            first.weight > 0 && servers.iter().all(|server| server.weight == first.weight)
        });
        let overload = Overload::new(&servers, previous);
        let all_usable =
            overload.is_unused() && !servers.is_empty() && servers.iter().all(|server| server.weight > 0);
        Ok(Self {
            kind,
            flags,
            servers,
            by_slot,
            shares,
            even,
            all_usable,
            overload,
            algorithm,
        })
    }

    /// The scheduler.
    #[must_use]
    pub const fn kind(&self) -> SchedulerKind {
        self.kind
    }

    /// Its options.
    #[must_use]
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// The servers, in list order; what [`State::pick`] returns is an index into them.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Where the server with this counter slot is, if it is still part of the service.
    #[must_use]
    pub fn index_of_slot(&self, slot: u32) -> Option<usize> {
        index_of_slot(&self.by_slot, slot)
    }

    /// Chooses a server for a new connection. `load` gives the connections of a slot, summed over the workers.
    ///
    /// `None`: no usable server. The caller is expected to count the connection at once; the overload mark moves here
    /// as if it had.
    pub fn pick(&self, input: &PickInput, load: impl Fn(u32) -> Load) -> Option<usize> {
        self.choose(input, &load, true)
    }

    /// What [`State::pick`] answers and does, where that takes a cursor only and nothing of the packet; `None` where it takes
    /// more. `alone`: nobody else picks.
    #[inline]
    pub(crate) fn turns(&self, alone: bool) -> Option<Turns<'_>> {
        let Algorithm::Rr(cursor) = &self.algorithm else {
            return None;
        };
        self.all_usable.then_some(Turns {
            cursor,
            servers: &self.servers,
            alone,
        })
    }

    /// Whether [`State::pick`] reads [`PickInput::random`].
    #[must_use]
    pub const fn draws(&self) -> bool {
        matches!(self.algorithm, Algorithm::Twos)
    }

    /// Whether servers can be full: then [`State::pick`] may refuse where [`State::pick_stateless`] would not.
    #[must_use]
    pub fn has_thresholds(&self) -> bool {
        !self.overload.is_unused()
    }

    /// What [`State::pick`] would answer now, without leaving a trace: no cursor moves, nothing is cached.
    pub fn peek(&self, input: &PickInput, load: impl Fn(u32) -> Load) -> Option<usize> {
        self.choose(input, &load, false)
    }

    /// To be called before a connection is counted that went to a server without [`State::pick`], by persistence or
    /// because its flow was moved, so that the server's overload mark follows.
    pub fn note_opened(&self, index: usize, load: impl Fn(u32) -> Load) {
        if let Some(server) = self.servers.get(index) {
            self.overload
                .note_opened(index, server, || load(server.slot).total());
        }
    }

    /// A server by hash alone, the same at every call until the servers change: for packets that get no flow entry
    /// because the table is full. `maglev` answers as in [`State::pick`] (overload marks aside); the others spread by
    /// weight over the client's address and port.
    #[must_use]
    pub fn pick_stateless(&self, input: &PickInput) -> Option<usize> {
        if let Algorithm::Maglev(lookup) = &self.algorithm {
            return lookup.owner(input, self.flags);
        }
        self.share(hash::spread(input))
    }

    /// The same for IPv4, and the server's slot: addresses and ports as words in memory order, of ports the lower half.
    #[inline(always)]
    pub(crate) fn pick_stateless_v4(&self, pair: u64, ports: u64) -> Option<u32> {
        let index = if matches!(self.algorithm, Algorithm::Maglev(_)) {
            self.pick_stateless(&PickInput::v4(pair, ports))
        } else {
            self.share(hash::spread_v4(pair, ports as u32))
        };
        self.servers.get(index?).map(|server| server.slot)
    }

    /// The server in whose share of all hashes this one lies.
    #[inline(always)]
    fn share(&self, hash: u64) -> Option<usize> {
        let of = |total: u64| ((u128::from(hash) * u128::from(total)) >> 64) as u64;
        if self.even {
            // The same place, without a search.
            return Some(of(self.servers.len() as u64) as usize);
        }
        let point = of(*self.shares.last()?);
        let index = self.shares.partition_point(|&sum| sum <= point);
        (index < self.servers.len()).then_some(index)
    }

    #[inline]
    fn choose<L: Fn(u32) -> Load>(&self, input: &PickInput, load: &L, commit: bool) -> Option<usize> {
        let pool = Pool {
            servers: &self.servers,
            by_slot: &self.by_slot,
            overload: &self.overload,
            load,
            commit,
        };
        let chosen = match &self.algorithm {
            Algorithm::Rr(cursor) => cursor.pick(&pool),
            Algorithm::Wrr(cursor) => cursor.pick(&pool),
            Algorithm::Lc => lc::pick(&pool),
            Algorithm::Wlc => wlc::pick(&pool),
            Algorithm::Sed => sed::pick(&pool),
            Algorithm::Nq => nq::pick(&pool),
            Algorithm::Dh(table) => table.pick(&pool, input),
            Algorithm::Sh(table) => table.pick(&pool, input, self.flags),
            Algorithm::Mh(table) => table.pick(&pool, input, self.flags),
            Algorithm::Lblc(cache) => lblc::pick(cache, &pool, input),
            Algorithm::Lblcr(cache) => lblcr::pick(cache, &pool, input),
            Algorithm::Fo => fo::pick(&pool),
            Algorithm::Ovf => ovf::pick(&pool),
            Algorithm::Twos => twos::pick(&pool, input.random),
            Algorithm::Maglev(lookup) => lookup.pick(&pool, input, self.flags),
        }?;
        pool.note_picked(chosen);
        Some(chosen)
    }
}

impl Algorithm {
    fn new(
        kind: SchedulerKind,
        flags: Flags,
        servers: &[Server],
        by_slot: &[(u32, u32)],
        previous: Option<&State>,
        tables: &mut maglev::Tables,
    ) -> Self {
        match kind {
            SchedulerKind::Rr => Self::Rr(rr::Cursor::new(by_slot, previous)),
            SchedulerKind::Wrr => Self::Wrr(wrr::Cursor::new(servers, previous)),
            SchedulerKind::Lc => Self::Lc,
            SchedulerKind::Wlc => Self::Wlc,
            SchedulerKind::Sed => Self::Sed,
            SchedulerKind::Nq => Self::Nq,
            SchedulerKind::Dh => Self::Dh(dh::Table::new(servers)),
            SchedulerKind::Sh => Self::Sh(sh::Table::new(servers)),
            SchedulerKind::Mh => Self::Mh(mh::Table::new(servers, previous)),
            SchedulerKind::Lblc => Self::Lblc(lblc::cache(by_slot, previous)),
            SchedulerKind::Lblcr => Self::Lblcr(lblcr::cache(by_slot, previous)),
            SchedulerKind::Fo => Self::Fo,
            SchedulerKind::Ovf => Self::Ovf,
            SchedulerKind::Twos => Self::Twos,
            SchedulerKind::Maglev => Self::Maglev(maglev::Lookup::new(servers, flags, tables)),
        }
    }
}

/// The servers during one pick.
struct Pool<'a, L> {
    servers: &'a [Server],
    by_slot: &'a [(u32, u32)],
    overload: &'a Overload,
    load: &'a L,
    /// False while only looking: nothing shared may be written.
    commit: bool,
}

impl<L: Fn(u32) -> Load> Pool<'_, L> {
    fn load(&self, index: usize) -> Load {
        (self.load)(self.servers[index].slot)
    }

    fn weight(&self, index: usize) -> u64 {
        u64::from(self.servers[index].weight)
    }

    #[inline]
    fn overloaded(&self, index: usize) -> bool {
        self.overload.check(
            index,
            &self.servers[index],
            || self.load(index).total(),
            self.commit,
        )
    }

    #[inline]
    fn usable(&self, index: usize) -> bool {
        self.servers[index].weight > 0 && !self.overloaded(index)
    }

    /// All usable servers, in list order.
    fn usable_indices(&self) -> impl Iterator<Item = usize> {
        (0..self.servers.len()).filter(|&index| self.usable(index))
    }

    fn index_of_slot(&self, slot: u32) -> Option<usize> {
        index_of_slot(self.by_slot, slot)
    }

    #[inline]
    fn note_picked(&self, index: usize) {
        if self.commit {
            self.overload
                .note_opened(index, &self.servers[index], || self.load(index).total());
        }
    }
}

/// `a / b > c / d` without division; exact for any loads and weights.
const fn ratio_exceeds(a: u64, b: u64, c: u64, d: u64) -> bool {
    a as u128 * d as u128 > c as u128 * b as u128
}

fn check_count(kind: SchedulerKind, servers: usize) -> Result<(), BuildError> {
    let limit = match kind {
        SchedulerKind::Mh => mh::SERVERS_MAX,
        SchedulerKind::Maglev => maglev::SERVERS_MAX,
        SchedulerKind::Rr
        | SchedulerKind::Wrr
        | SchedulerKind::Lc
        | SchedulerKind::Wlc
        | SchedulerKind::Sed
        | SchedulerKind::Nq
        | SchedulerKind::Dh
        | SchedulerKind::Sh
        | SchedulerKind::Lblc
        | SchedulerKind::Lblcr
        | SchedulerKind::Fo
        | SchedulerKind::Ovf
        | SchedulerKind::Twos => SERVERS_MAX,
    };
    if servers > limit {
        Err(BuildError::TooManyServers { kind, servers, limit })
    } else {
        Ok(())
    }
}

/// Far above any pool in use; keeps every index and cursor within 32 bits.
const SERVERS_MAX: usize = 1 << 24;

fn index_slots(servers: &[Server]) -> Box<[(u32, u32)]> {
    let mut by_slot: Vec<_> = servers
        .iter()
        .zip(0u32..)
        .map(|(server, index)| (server.slot, index))
        .collect();
    by_slot.sort_unstable();
    by_slot.into_boxed_slice()
}

fn index_of_slot(by_slot: &[(u32, u32)], slot: u32) -> Option<usize> {
    let at = by_slot.binary_search_by_key(&slot, |&(slot, _)| slot).ok()?;
    Some(by_slot[at].1 as usize)
}

fn running_sum(servers: &[Server]) -> Box<[u64]> {
    let mut sum = 0;
    servers
        .iter()
        .map(|server| {
            sum += u64::from(server.weight);
            sum
        })
        .collect()
}

const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Greatest common divisor of the weights that are not 0; 0 if all are.
fn gcd_of(weights: impl Iterator<Item = u32>) -> u32 {
    weights.fold(0, gcd)
}
