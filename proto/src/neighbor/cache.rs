//! All neighbours: a bounded set of entries, their timers, and what the driver has yet to be told.
//!
//! Nothing is lost when the driver is slow: what is due is a mark on the entry (at most one notice and one
//! solicitation each, the newest counts), so the queue of marked entries is as bounded as the entries are.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_wire::MacAddr;

use super::entry::{Cast, Context, Entry, Event, Fate, Notice, State};
use super::jitter::Jitter;
use super::{Action, Config, Input, Key, Lookup, Neighbor, PinConfig, Stats, Timer};
use crate::time::{Duration, Instant};

mod receive;

/// Most conflicts that wait for the driver; more are counted only.
const CONFLICTS_MAX: usize = 64;

/// When to try again to let go of a neighbour while the driver does not listen.
const REMOVE_RETRY: Duration = Duration::from_secs(1);

/// Shortest timer: no configuration makes the driver spin.
const TIMER_MIN: Duration = Duration::from_millis(1);

/// Which entries make room first. Pinned and fixed ones never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Failed,
    Unused,
    Resolving,
    Live,
}

/// Who asks for room, and so what may make room for it.
#[derive(Clone, Copy)]
enum Claimant {
    /// Traffic, or a packet received: takes no place of a neighbour in use or being resolved.
    Passer,
    /// A backend, a gateway, an administrator: takes any place that can be had.
    Resident,
}

/// The neighbours of all ports.
#[derive(Debug)]
pub struct Cache {
    config: Config,
    jitter: Jitter,
    entries: BTreeMap<Key, Entry>,
    own: BTreeMap<Key, MacAddr>,
    /// Deadline of every entry that has one.
    timers: BTreeSet<(Instant, Key)>,
    /// Every entry that may be evicted, the first to go first.
    victims: BTreeSet<(Rank, Instant, Key)>,
    /// Unpinned entries in INCOMPLETE.
    incomplete: usize,
    /// Entries with a notice or a solicitation for the driver.
    marked: BTreeSet<Key>,
    /// Neighbours that are no entries (any more), of which the driver must hear. At most `entries_max`.
    gone: BTreeSet<Key>,
    conflicts: VecDeque<(Key, MacAddr)>,
    stats: Stats,
}

impl Cache {
    /// An empty cache. `seed` is for the jitter of timers.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config: floored(config),
            jitter: Jitter::new(seed),
            entries: BTreeMap::new(),
            own: BTreeMap::new(),
            timers: BTreeSet::new(),
            victims: BTreeSet::new(),
            incomplete: 0,
            marked: BTreeSet::new(),
            gone: BTreeSet::new(),
            conflicts: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Takes an input. Drain [`poll_action`](Self::poll_action) afterwards.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Wanted(key) => self.wanted(now, key),
            Input::Pin(key) => self.pin(now, key),
            Input::Unpin(key) => {
                self.update(now, key, |entry, cx| entry.unpin(cx));
            }
            Input::Static { key, mac } => self.fix(now, key, mac),
            Input::Forget(key) => {
                self.update(now, key, |entry, cx| entry.forget(cx));
            }
            Input::Own { key, mac } => self.hold(key, mac),
            Input::Disown(key) => {
                self.own.remove(&key);
            }
            Input::Arp { port, packet } => self.arp(now, port, &packet),
            Input::Nd {
                port,
                src_addr,
                message,
            } => self.nd(now, port, src_addr.into(), &message),
            Input::Confirmed(key) => self.event(now, key, Event::Confirm),
            Input::LinkDown { port } => {
                for key in self.keys_of(port) {
                    self.event(now, key, Event::LinkLost);
                }
            }
            Input::LinkUp { port } => {
                for key in self.keys_of(port) {
                    self.update(now, key, |entry, cx| entry.retry(cx.now));
                }
            }
        }
    }

    /// Lets every passed deadline act. Early and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        // A new deadline lies after `now`, so each entry comes up once; the count holds even at the end of time.
        for _ in 0..self.timers.len() {
            match self.timers.first() {
                Some(&(deadline, key)) if deadline <= now => self.event(now, key, Event::Timeout),
                Some(_) | None => return,
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let &(deadline, key) = self.timers.first()?;
        Some((deadline, self.entries.get(&key)?.timer()))
    }

    /// The next thing to do. Call it until `None` after each `handle` and `handle_timeout`.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some((key, mac)) = self.conflicts.pop_front() {
            return Some(Action::Conflict { key, mac });
        }
        let action = match self.gone.pop_first() {
            Some(key) => Action::Fail(key),
            None => self.take_marked()?,
        };
        match action {
            Action::Solicit { unicast_to: None, .. } => self.stats.solicits_multicast += 1,
            Action::Solicit {
                unicast_to: Some(_), ..
            } => self.stats.solicits_unicast += 1,
            Action::Update { .. } => self.stats.updates += 1,
            Action::Fail(_) => self.stats.failures += 1,
            Action::Conflict { .. } => {}
        }
        Some(action)
    }

    /// What is known about a neighbour.
    pub fn lookup(&self, key: Key) -> Lookup {
        let Some(entry) = self.entries.get(&key) else {
            return Lookup::Unknown;
        };
        match (entry.mac, entry.state) {
            (Some(mac), _) => Lookup::Found(mac),
            (None, State::Failed) => Lookup::Unreachable,
            (None, State::Incomplete | State::Reachable | State::Stale | State::Delay | State::Probe) => {
                Lookup::Wait
            }
        }
    }

    /// All neighbours, by port and address.
    pub fn neighbors(&self) -> impl Iterator<Item = Neighbor> + '_ {
        self.entries.iter().map(|(&key, entry)| Neighbor {
            key,
            mac: entry.mac,
            state: entry.state,
            pinned: entry.pinned,
            fixed: entry.fixed,
            router: entry.router,
            confirmed_at: entry.confirmed_at,
        })
    }

    /// How many neighbours there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Counts since the start.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// What the marked entries have to say, one at a time; an entry that has said all is unmarked.
    fn take_marked(&mut self) -> Option<Action> {
        while let Some(&key) = self.marked.first() {
            let entry = self.entries.get_mut(&key)?;
            let action = take_notice(key, entry).or_else(|| take_solicit(key, entry));
            if !entry.is_marked() {
                self.marked.remove(&key);
            }
            if action.is_some() {
                return action;
            }
        }
        None
    }

    fn wanted(&mut self, now: Instant, key: Key) {
        if self.entries.contains_key(&key) {
            self.event(now, key, Event::Use);
        } else if self.incomplete < self.config.incomplete_max && self.make_room(Claimant::Passer) {
            self.insert(now, key, |cx| Entry::wanted(cx, false));
        } else {
            self.refuse(key);
        }
    }

    fn pin(&mut self, now: Instant, key: Key) {
        if self.entries.contains_key(&key) {
            self.update(now, key, |entry, cx| entry.pin(cx));
        } else if self.make_room(Claimant::Resident) {
            self.insert(now, key, |cx| Entry::wanted(cx, true));
        } else {
            self.refuse(key);
        }
    }

    fn fix(&mut self, now: Instant, key: Key, mac: MacAddr) {
        if self.entries.contains_key(&key) {
            self.update(now, key, |entry, _| entry.fix(mac));
        } else if self.make_room(Claimant::Resident) {
            self.insert(now, key, |cx| Entry::fixed(cx.now, mac));
        } else {
            self.refuse(key);
        }
    }

    fn hold(&mut self, key: Key, mac: MacAddr) {
        if self.own.len() < self.config.own_max || self.own.contains_key(&key) {
            self.own.insert(key, mac);
            // It was a neighbour's until now (a takeover); what we knew of it is history.
            if self
                .entries
                .get(&key)
                .is_some_and(|entry| !entry.pinned && !entry.fixed)
            {
                self.remove(key);
            }
        } else {
            self.stats.refused += 1;
        }
    }

    fn keys_of(&self, port: u16) -> Vec<Key> {
        let first = Key {
            port,
            ip: IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED),
        };
        self.entries
            .range(first..)
            .map(|(&key, _)| key)
            .take_while(|key| key.port == port)
            .collect()
    }

    /// Makes sure there is a free place; `false` when nobody may leave.
    fn make_room(&mut self, claimant: Claimant) -> bool {
        if self.entries.len() < self.config.entries_max {
            return true;
        }
        let Some(&(rank, _, victim)) = self.victims.first() else {
            return false;
        };
        let may = self.can_report()
            && match (claimant, rank) {
                (Claimant::Resident, Rank::Failed | Rank::Unused | Rank::Resolving | Rank::Live)
                | (Claimant::Passer, Rank::Failed | Rank::Unused) => true,
                (Claimant::Passer, Rank::Resolving | Rank::Live) => false,
            };
        if may {
            self.stats.evictions += 1;
            self.remove(victim);
        }
        may
    }

    fn refuse(&mut self, key: Key) {
        self.stats.refused += 1;
        if self.can_report() {
            self.gone.insert(key);
        }
    }

    fn can_report(&self) -> bool {
        self.gone.len() < self.config.entries_max
    }

    fn insert(&mut self, now: Instant, key: Key, make: impl FnOnce(&mut Context<'_>) -> Entry) {
        let mut cx = Context {
            now,
            config: &self.config,
            jitter: &mut self.jitter,
        };
        let entry = make(&mut cx);
        self.index(key, &entry);
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: Key) {
        if let Some(entry) = self.entries.remove(&key) {
            self.unindex(key, &entry);
            if entry.told.is_some() || entry.notice == Some(Notice::Fail) || entry.state == State::Incomplete
            {
                self.gone.insert(key);
            }
        }
    }

    fn event(&mut self, now: Instant, key: Key, event: Event) {
        let mut fate = Fate::Keep;
        self.update(now, key, |entry, cx| fate = entry.on(event, cx));
        match fate {
            Fate::Keep => {}
            Fate::Remove if self.can_report() => self.remove(key),
            Fate::Remove => self.update(now, key, |entry, cx| entry.deadline = Some(cx.now + REMOVE_RETRY)),
        }
    }

    /// Changes an entry, if there is one, and keeps the indexes right.
    fn update(&mut self, now: Instant, key: Key, change: impl FnOnce(&mut Entry, &mut Context<'_>)) {
        let Some(mut entry) = self.entries.remove(&key) else {
            return;
        };
        self.unindex(key, &entry);
        change(
            &mut entry,
            &mut Context {
                now,
                config: &self.config,
                jitter: &mut self.jitter,
            },
        );
        self.index(key, &entry);
        self.entries.insert(key, entry);
    }

    fn index(&mut self, key: Key, entry: &Entry) {
        if let Some(deadline) = entry.deadline {
            self.timers.insert((deadline, key));
        }
        if let Some(rank) = rank(entry) {
            self.victims.insert((rank, entry.used_at, key));
            self.incomplete += usize::from(rank == Rank::Resolving);
        }
        if entry.is_marked() {
            self.marked.insert(key);
        }
    }

    fn unindex(&mut self, key: Key, entry: &Entry) {
        if let Some(deadline) = entry.deadline {
            self.timers.remove(&(deadline, key));
        }
        if let Some(rank) = rank(entry) {
            self.victims.remove(&(rank, entry.used_at, key));
            self.incomplete -= usize::from(rank == Rank::Resolving);
        }
        self.marked.remove(&key);
    }
}

fn take_notice(key: Key, entry: &mut Entry) -> Option<Action> {
    match (entry.notice.take()?, entry.mac) {
        (Notice::Update, mac) => {
            entry.told = mac;
            mac.map(|mac| Action::Update { key, mac })
        }
        (Notice::Fail, _) => {
            entry.told = None;
            Some(Action::Fail(key))
        }
    }
}

fn take_solicit(key: Key, entry: &mut Entry) -> Option<Action> {
    let unicast_to = match entry.solicit.take()? {
        Cast::Multicast => None,
        Cast::Unicast(mac) => Some(mac),
    };
    Some(Action::Solicit { key, unicast_to })
}

/// The configuration with every timer at least [`TIMER_MIN`].
fn floored(config: Config) -> Config {
    let floor = |duration: Duration| duration.max(TIMER_MIN);
    Config {
        retrans_timer: floor(config.retrans_timer),
        reachable_time: floor(config.reachable_time).max(TIMER_MIN * 2),
        delay_first_probe: floor(config.delay_first_probe),
        stale_lifetime: floor(config.stale_lifetime),
        failed_hold: floor(config.failed_hold),
        solicit_interval_min: floor(config.solicit_interval_min),
        pin: PinConfig {
            probe_interval: floor(config.pin.probe_interval),
            retrans_timer: floor(config.pin.retrans_timer),
            failed_interval: floor(config.pin.failed_interval),
            ..config.pin
        },
        ..config
    }
}

fn rank(entry: &Entry) -> Option<Rank> {
    if entry.pinned || entry.fixed {
        return None;
    }
    Some(match entry.state {
        State::Failed => Rank::Failed,
        State::Stale => Rank::Unused,
        State::Incomplete => Rank::Resolving,
        State::Reachable | State::Delay | State::Probe => Rank::Live,
    })
}
