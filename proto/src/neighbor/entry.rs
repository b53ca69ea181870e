//! One neighbour: the table of RFC 4861 Appendix C, with FAILED as sixth state and the timers of pinned neighbours.

use weir_wire::MacAddr;

use super::jitter::Jitter;
use super::{Config, Timer};
use crate::time::{Duration, Instant};

/// State of a neighbour (RFC 4861 §7.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Asked for, no answer yet.
    Incomplete,
    /// Confirmed not long ago.
    Reachable,
    /// Known, not confirmed of late, and not in use.
    Stale,
    /// In use again; upper layers may confirm it before we ask.
    Delay,
    /// Being asked whether it is still there.
    Probe,
    /// Did not answer.
    Failed,
}

/// What happens to a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A packet is to be sent to it.
    Use,
    /// Its deadline has passed.
    Timeout,
    /// Upper layers saw forward progress.
    Confirm,
    /// It sent something with its MAC address that is no answer: NS, RS, RA, ARP request.
    Claim(MacAddr),
    /// It sent an advertisement.
    Advert(Advert),
    /// Its port has no link.
    LinkLost,
}

/// A neighbour advertisement, or what an ARP packet amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Advert {
    pub(super) mac: Option<MacAddr>,
    pub(super) solicited: bool,
    pub(super) override_: bool,
}

/// What an advertisement means to an entry with a known MAC address (§7.2.5).
enum Reading {
    /// Another address without override.
    Refused,
    /// Nothing new.
    Same,
    /// Another address with override.
    Moved(MacAddr),
}

/// Whether an entry lives on after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Fate {
    Keep,
    Remove,
}

/// What the driver has not been told yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    Update,
    Fail,
}

/// Where a solicitation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    Multicast,
    Unicast(MacAddr),
}

/// A neighbour. `mac` is known exactly in the states that have one: neither INCOMPLETE nor FAILED.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) mac: Option<MacAddr>,
    pub(super) pinned: bool,
    pub(super) fixed: bool,
    pub(super) router: bool,
    pub(super) confirmed_at: Option<Instant>,
    /// Last time it was made or used: eviction takes the oldest.
    pub(super) used_at: Instant,
    pub(super) deadline: Option<Instant>,
    /// Solicitations sent since the state was entered.
    solicits: u8,
    solicited_at: Option<Instant>,
    /// The MAC address the driver knows.
    pub(super) told: Option<MacAddr>,
    pub(super) notice: Option<Notice>,
    pub(super) solicit: Option<Cast>,
}

/// What an event needs beside the entry.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) config: &'a Config,
    pub(super) jitter: &'a mut Jitter,
}

impl Entry {
    fn new(now: Instant, state: State) -> Self {
        Self {
            state,
            mac: None,
            pinned: false,
            fixed: false,
            router: false,
            confirmed_at: None,
            used_at: now,
            deadline: None,
            solicits: 0,
            solicited_at: None,
            told: None,
            notice: None,
            solicit: None,
        }
    }

    /// No entry + packet to send: INCOMPLETE, and the first solicitation.
    pub(super) fn wanted(cx: &mut Context<'_>, pinned: bool) -> Self {
        let mut entry = Self::new(cx.now, State::Incomplete);
        entry.pinned = pinned;
        entry.ask_all(cx);
        entry
    }

    /// No entry + NS, RS, RA or ARP request: STALE.
    pub(super) fn learnt(cx: &mut Context<'_>, mac: MacAddr) -> Self {
        let mut entry = Self::new(cx.now, State::Stale);
        entry.record(mac);
        entry.become_stale(cx);
        entry
    }

    /// Fixed by an administrator.
    pub(super) fn fixed(now: Instant, mac: MacAddr) -> Self {
        let mut entry = Self::new(now, State::Reachable);
        entry.fix(mac);
        entry
    }

    /// Takes the MAC address for good: no event changes it.
    pub(super) fn fix(&mut self, mac: MacAddr) {
        self.fixed = true;
        self.state = State::Reachable;
        self.deadline = None;
        self.solicit = None;
        self.record(mac);
    }

    /// Forgets what is known: resolves anew when pinned, else stays as a short negative entry.
    pub(super) fn forget(&mut self, cx: &mut Context<'_>) {
        self.fixed = false;
        self.fail(cx.now + cx.config.solicit_interval_min);
        if self.pinned {
            self.state = State::Incomplete;
            self.ask_all(cx);
        }
    }

    pub(super) fn pin(&mut self, cx: &mut Context<'_>) {
        self.pinned = true;
        if self.fixed {
            return;
        }
        match self.state {
            State::Reachable => self.become_reachable(cx),
            State::Stale | State::Delay => self.become_probe(cx),
            State::Failed => {
                self.state = State::Incomplete;
                self.ask_all(cx);
            }
            State::Incomplete | State::Probe => {}
        }
    }

    pub(super) fn unpin(&mut self, cx: &mut Context<'_>) {
        self.pinned = false;
        if self.fixed {
            return;
        }
        match self.state {
            State::Reachable | State::Probe => self.become_stale(cx),
            State::Failed => self.deadline = Some(cx.now + cx.config.failed_hold),
            State::Incomplete | State::Stale | State::Delay => {}
        }
    }

    /// The link is back: a failed pinned neighbour is asked for at once.
    pub(super) fn retry(&mut self, now: Instant) {
        if self.state == State::Failed && self.pinned {
            self.deadline = Some(now);
        }
    }

    /// Whether there is something to tell the driver.
    pub(super) fn is_marked(&self) -> bool {
        self.notice.is_some() || self.solicit.is_some()
    }

    /// Whether a solicitation is out whose answer we wait for.
    pub(super) fn is_asking(&self) -> bool {
        match self.state {
            State::Incomplete | State::Probe => true,
            State::Failed => self.pinned,
            State::Reachable | State::Stale | State::Delay => false,
        }
    }

    /// What the deadline stands for.
    pub(super) fn timer(&self) -> Timer {
        match self.state {
            State::Incomplete | State::Probe => Timer::Retransmit,
            State::Reachable => Timer::Reachable,
            State::Stale => Timer::Unused,
            State::Delay => Timer::Delay,
            State::Failed => Timer::Retry,
        }
    }

    /// The table. Rows that leave a state alone are written out: silence is a decision too.
    pub(super) fn on(&mut self, event: Event, cx: &mut Context<'_>) -> Fate {
        if self.fixed {
            return Fate::Keep;
        }
        match (self.state, event) {
            (State::Stale, Event::Use) => {
                self.used_at = cx.now;
                self.enter(State::Delay, cx.now + cx.config.delay_first_probe);
            }
            (State::Failed, Event::Use) => self.notice = Some(Notice::Fail),
            (State::Incomplete | State::Reachable | State::Delay | State::Probe, Event::Use) => {
                self.used_at = cx.now;
            }

            (State::Incomplete, Event::Timeout) => self.ask_all(cx),
            (State::Reachable, Event::Timeout) if self.pinned => self.become_probe(cx),
            (State::Reachable, Event::Timeout) => self.become_stale(cx),
            (State::Stale, Event::Timeout) if self.pinned => self.become_probe(cx),
            (State::Stale, Event::Timeout) => return Fate::Remove,
            (State::Delay, Event::Timeout) => self.become_probe(cx),
            (State::Probe, Event::Timeout) => self.ask_again(cx),
            (State::Failed, Event::Timeout) if self.pinned => self.ask_failed(cx),
            (State::Failed, Event::Timeout) => return Fate::Remove,

            (State::Reachable | State::Stale | State::Delay | State::Probe, Event::Confirm) => {
                self.become_reachable(cx);
            }
            (State::Incomplete | State::Failed, Event::Confirm) => {}

            (
                State::Incomplete
                | State::Reachable
                | State::Stale
                | State::Delay
                | State::Probe
                | State::Failed,
                Event::Claim(mac),
            ) => self.claimed(mac, cx),

            (State::Incomplete | State::Failed, Event::Advert(advert)) => self.answered(advert, cx),
            (State::Reachable | State::Stale | State::Delay | State::Probe, Event::Advert(advert)) => {
                self.advertised(advert, cx);
            }

            (State::Failed, Event::LinkLost) => {}
            (
                State::Incomplete | State::Reachable | State::Stale | State::Delay | State::Probe,
                Event::LinkLost,
            ) => self.become_failed(cx),
        }
        Fate::Keep
    }

    /// §7.2.3: another address than the known one is taken and checked later; the same one proves nothing.
    fn claimed(&mut self, mac: MacAddr, cx: &Context<'_>) {
        if self.mac != Some(mac) {
            self.record(mac);
            self.become_stale(cx);
        }
    }

    /// An advertisement for a neighbour without a MAC address (§7.2.5, INCOMPLETE).
    fn answered(&mut self, advert: Advert, cx: &mut Context<'_>) {
        let Some(mac) = advert.mac else {
            return;
        };
        self.record(mac);
        if advert.solicited {
            self.become_reachable(cx);
        } else {
            self.become_stale(cx);
        }
    }

    /// An advertisement for a neighbour with a MAC address (§7.2.5, any state other than INCOMPLETE).
    fn advertised(&mut self, advert: Advert, cx: &mut Context<'_>) {
        match (self.read(advert), advert.solicited) {
            (Reading::Refused, true | false) if self.state == State::Reachable => self.become_stale(cx),
            (Reading::Refused, true | false) | (Reading::Same, false) => {}
            (Reading::Same, true) => self.become_reachable(cx),
            (Reading::Moved(mac), true) => {
                self.record(mac);
                self.become_reachable(cx);
            }
            (Reading::Moved(mac), false) => {
                self.record(mac);
                self.become_stale(cx);
            }
        }
    }

    fn read(&self, advert: Advert) -> Reading {
        match advert.mac {
            Some(mac) if self.mac != Some(mac) => {
                if advert.override_ {
                    Reading::Moved(mac)
                } else {
                    Reading::Refused
                }
            }
            Some(_) | None => Reading::Same,
        }
    }

    fn record(&mut self, mac: MacAddr) {
        self.mac = Some(mac);
        self.notice = Some(Notice::Update);
    }

    fn enter(&mut self, state: State, deadline: Instant) {
        self.state = state;
        self.deadline = Some(deadline);
        self.solicits = 0;
        self.solicit = None;
    }

    fn become_reachable(&mut self, cx: &mut Context<'_>) {
        let time = if self.pinned {
            cx.jitter.scale(cx.config.pin.probe_interval, 75, 100)
        } else {
            cx.jitter.scale(cx.config.reachable_time, 50, 150)
        };
        self.confirmed_at = Some(cx.now);
        self.enter(State::Reachable, cx.now + time);
    }

    /// A pinned neighbour is not left in STALE: what it said is checked at the next chance.
    fn become_stale(&mut self, cx: &Context<'_>) {
        let time = if self.pinned {
            cx.config.pin.retrans_timer
        } else {
            cx.config.stale_lifetime
        };
        self.enter(State::Stale, cx.now + time);
    }

    fn become_probe(&mut self, cx: &mut Context<'_>) {
        self.enter(State::Probe, cx.now);
        self.ask_again(cx);
    }

    fn become_failed(&mut self, cx: &mut Context<'_>) {
        let time = if self.pinned {
            cx.jitter.scale(cx.config.pin.failed_interval, 75, 100)
        } else {
            cx.config.failed_hold
        };
        self.fail(cx.now + time);
    }

    fn fail(&mut self, deadline: Instant) {
        self.enter(State::Failed, deadline);
        self.mac = None;
        self.notice = Some(Notice::Fail);
    }

    /// INCOMPLETE: asks all once more, or gives up.
    fn ask_all(&mut self, cx: &mut Context<'_>) {
        let max = if self.pinned {
            cx.config.pin.multicast_solicits_max
        } else {
            cx.config.multicast_solicits_max
        };
        if self.solicits < max {
            self.ask(Cast::Multicast, cx);
        } else {
            self.become_failed(cx);
        }
    }

    /// PROBE: asks the known station once more; when that is in vain gives up, or, pinned, asks all first.
    fn ask_again(&mut self, cx: &mut Context<'_>) {
        let (unicast_max, multicast_max) = if self.pinned {
            (
                cx.config.pin.unicast_solicits_max,
                cx.config.pin.multicast_solicits_max,
            )
        } else {
            (cx.config.unicast_solicits_max, 0)
        };
        match self.mac {
            Some(mac) if self.solicits < unicast_max => self.ask(Cast::Unicast(mac), cx),
            Some(_) | None if self.solicits < unicast_max.saturating_add(multicast_max) => {
                self.ask(Cast::Multicast, cx);
            }
            Some(_) | None => self.become_failed(cx),
        }
    }

    /// FAILED and pinned: asks all, now and then, for ever.
    fn ask_failed(&mut self, cx: &mut Context<'_>) {
        self.ask(Cast::Multicast, cx);
        self.solicits = 0;
        let next = cx.now + cx.jitter.scale(cx.config.pin.failed_interval, 75, 100);
        self.deadline = self.deadline.max(Some(next));
    }

    /// Sends a solicitation, or, too soon after the last one, puts it off.
    fn ask(&mut self, cast: Cast, cx: &Context<'_>) {
        let earliest = self
            .solicited_at
            .map_or(cx.now, |at| at + cx.config.solicit_interval_min);
        if cx.now < earliest {
            self.deadline = Some(earliest);
            return;
        }
        self.solicit = Some(cast);
        self.solicited_at = Some(cx.now);
        self.solicits = self.solicits.saturating_add(1);
        self.deadline = Some(cx.now + self.retrans_timer(cx.config));
    }

    fn retrans_timer(&self, config: &Config) -> Duration {
        if self.pinned {
            config.pin.retrans_timer
        } else {
            config.retrans_timer
        }
    }
}
