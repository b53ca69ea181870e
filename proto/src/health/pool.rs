//! What a pool makes of its servers' health: who takes new flows, with which weight, and who stays although it failed.
//!
//! [`decide`] is one pure function. All it needs to know of the past is whether there was a quorum, because of the
//! hysteresis; everything else follows from the verdicts and the instants at which they were reached. So a daemon that
//! knows those can be asked at any time, after any reload, and gives the same answer.
//!
//! keepalived's words are taken with keepalived's meaning (`check/ipwrapper.c`, `update_quorum_state`): the quorum is
//! held against the sum of the weights of the servers that live; it is gained at `quorum + hysteresis` and lost below
//! `quorum - hysteresis`, or when nothing lives. A sorry server is used **instead of** the others while there is no
//! quorum. What keepalived does not have:
//!
//! - **All failed at once** ([`AllFailed::Keep`]): when nothing lives any more, those that failed together with the last
//!   one stay as they were. That so many servers die in one moment is less likely than that the way to them is broken
//!   here, and if they did die, nothing is lost by it.
//! - **A limit to removals** ([`Removals`]): of the servers that fail, only so many are taken out in any span of time;
//!   the others stay until the span is over, in the order in which they failed.

use super::judge::Health;
use crate::time::{Duration, Instant};

/// What the operator wants of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The sum of live weights that makes a service.
    pub quorum: u32,
    /// How far above it must be gained, how far below it is lost.
    pub hysteresis: u32,
    /// A failed server keeps its flows and its place, with weight 0; otherwise it is removed.
    pub inhibit: bool,
    /// The stand-in, if there is one.
    pub sorry: Option<Sorry>,
    /// When all have failed.
    pub all_failed: AllFailed,
    /// How many may go at once; `None`: any number.
    pub removals: Option<Removals>,
}

/// A server used instead of all others while there is no quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sorry {
    /// Keeps its place, with weight 0, while it is not needed.
    pub inhibit: bool,
}

/// What becomes of the pool when no server lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllFailed {
    /// They go, as each of them would alone.
    Remove,
    /// Those that failed within this time before the last one stay.
    Keep(Duration),
}

/// A limit to removals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removals {
    /// At most so many.
    pub most: Most,
    /// In any span of this length.
    pub per: Duration,
}

/// A number of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Most {
    /// So many, at least 1.
    Servers(u32),
    /// So many of every hundred that have a weight, rounded down, at least 1.
    Percent(u8),
}

/// What is known of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The verdict of all its checks together.
    pub health: Health,
    /// Since when.
    pub since: Instant,
    /// It has been up: only such a one can be lost.
    pub was_up: bool,
    /// Its share of new flows while it lives.
    pub weight: u16,
    /// An operator lets it take no new flows.
    pub drain: bool,
    /// Whether it keeps its flows and its place when it fails; `None`: as the policy says.
    pub inhibit: Option<bool>,
}

/// What a server gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// New flows by this weight; a weight of 0 is one that was asked for.
    In(u16),
    /// New flows by this weight although it failed, because all did at once.
    Kept(u16),
    /// New flows by this weight although it failed, because too many did in too short a time.
    Held(u16),
    /// No new flows, those it has go on.
    Quiet(Why),
    /// Not in the pool.
    Out(Why),
}

/// Why a server gets nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A check failed.
    Down,
    /// An operator wishes so.
    Drain,
    /// The sorry server stands in.
    NoQuorum,
}

impl Seat {
    /// The weight it has in the pool.
    pub const fn weight(self) -> u16 {
        match self {
            Self::In(weight) | Self::Kept(weight) | Self::Held(weight) => weight,
            Self::Quiet(_) | Self::Out(_) => 0,
        }
    }
}

/// What becomes of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What each server gets, in the order of the members.
    pub seats: Vec<Seat>,
    /// What the sorry server gets: `In(1)`, `Quiet` or `Out`; `Out` when there is none.
    pub sorry: Seat,
    /// Whether there is a quorum.
    pub quorum_up: bool,
    /// Sum of the weights of the servers that live.
    pub live_weight: u64,
    /// The sum at which the quorum is lost, or gained.
    pub threshold: u64,
    /// When to ask again though nothing has changed: a removal that was put off is due.
    pub next: Option<Instant>,
}

impl Decision {
    /// How many failed servers stay because all failed at once.
    pub fn kept(&self) -> usize {
        self.seats
            .iter()
            .filter(|seat| matches!(seat, Seat::Kept(_)))
            .count()
    }

    /// How many failed servers stay because too many would have gone.
    pub fn held(&self) -> usize {
        self.seats
            .iter()
            .filter(|seat| matches!(seat, Seat::Held(_)))
            .count()
    }
}

/// What becomes of a pool of `members` at `now`; `quorum_was` is the state of the quorum so far, `None` at the start.
pub fn decide(policy: &Policy, members: &[Member], quorum_was: Option<bool>, now: Instant) -> Decision {
    let live_weight = members.iter().filter(|member| lives(member)).map(weight).sum();
    let (quorum_up, threshold) = quorum(policy, live_weight, quorum_was);
    let kept = kept(policy, members);
    let due = removals(policy, members);
    let stands_in = policy.sorry.is_some() && !quorum_up && !kept.contains(&true);
    let mut next = None;
    let mut seats = Vec::with_capacity(members.len());
    for (index, member) in members.iter().enumerate() {
        let late = due[index].filter(|at| *at > now);
        seats.push(match (member.drain, stands_in, member.health) {
            (true, _, Health::Up) => Seat::Quiet(Why::Drain),
            (false, false, Health::Up) => Seat::In(member.weight),
            (false, false, Health::Down) if kept[index] => Seat::Kept(member.weight),
            (false, false, Health::Down) if late.is_some() => {
                next = next.into_iter().chain(late).min();
                Seat::Held(member.weight)
            }
            (_, _, Health::Down) => gone(stays(policy, member), Why::Down),
            (false, true, Health::Up) => gone(stays(policy, member), Why::NoQuorum),
        });
    }
    Decision {
        seats,
        sorry: match policy.sorry {
            Some(_) if stands_in => Seat::In(1),
            Some(sorry) => gone(sorry.inhibit, Why::Drain),
            None => Seat::Out(Why::Drain),
        },
        quorum_up,
        live_weight,
        threshold,
        next,
    }
}

fn gone(inhibit: bool, why: Why) -> Seat {
    if inhibit { Seat::Quiet(why) } else { Seat::Out(why) }
}

/// Whether a server that takes nothing new keeps its place.
fn stays(policy: &Policy, member: &Member) -> bool {
    member.inhibit.unwrap_or(policy.inhibit)
}

fn weight(member: &Member) -> u64 {
    if member.drain { 0 } else { member.weight.into() }
}

/// Takes new flows by its own health.
fn lives(member: &Member) -> bool {
    member.health == Health::Up && weight(member) > 0
}

/// Was lost: it failed, and would take new flows otherwise.
fn lost(member: &Member) -> bool {
    member.health == Health::Down && member.was_up && weight(member) > 0
}

/// keepalived's rule: the state, and the sum at which it changes.
fn quorum(policy: &Policy, live_weight: u64, was: Option<bool>) -> (bool, u64) {
    let (quorum, hysteresis) = (u64::from(policy.quorum), u64::from(policy.hysteresis));
    let (gained_at, lost_below) = (quorum + hysteresis, quorum.saturating_sub(hysteresis));
    match was {
        Some(true) => (live_weight > 0 && live_weight >= lost_below, lost_below),
        Some(false) | None => (live_weight >= gained_at, gained_at),
    }
}

/// Which failed servers stay because nothing lives and they failed together with the last one.
fn kept(policy: &Policy, members: &[Member]) -> Vec<bool> {
    let nobody = vec![false; members.len()];
    let AllFailed::Keep(within) = policy.all_failed else {
        return nobody;
    };
    if members.iter().any(lives) {
        return nobody;
    }
    let lost_at = members
        .iter()
        .filter(|member| lost(member))
        .map(|member| member.since);
    let Some(last) = lost_at.max() else { return nobody };
    members
        .iter()
        .map(|member| lost(member) && last - member.since <= within)
        .collect()
}

/// When each lost server goes: at once while the limit allows it, otherwise so long after the one that went `most`
/// places before it. The order is that in which they failed, so a later failure changes nothing for the earlier ones,
/// and a recovery lets the others go no later than before.
fn removals(policy: &Policy, members: &[Member]) -> Vec<Option<Instant>> {
    let mut due = vec![None; members.len()];
    let Some(Removals { most, per }) = policy.removals else {
        return due;
    };
    let size = members.iter().filter(|member| weight(member) > 0).count();
    let most = match most {
        Most::Servers(servers) => usize::try_from(servers).unwrap_or(usize::MAX),
        Most::Percent(percent) => size * usize::from(percent) / 100,
    };
    let mut order: Vec<usize> = (0..members.len())
        .filter(|&index| lost(&members[index]))
        .collect();
    order.sort_by_key(|&index| members[index].since);
    let mut times: Vec<Instant> = Vec::with_capacity(order.len());
    for (place, &index) in order.iter().enumerate() {
        let before = place.checked_sub(most.max(1)).map(|earlier| times[earlier] + per);
        let at = before.map_or(members[index].since, |at| at.max(members[index].since));
        times.push(at);
        due[index] = Some(at);
    }
    due
}

#[cfg(test)]
mod tests;
