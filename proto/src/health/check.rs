//! A check: one target probed on its schedule, with the judge's verdict.
//!
//! The driver's whole duty: perform actions, hand in what the socket says, and wake the check at its time-out.

use super::judge::{Flap, Health, Judge};
use super::probe::{self, Dialogue, Input, Outcome, Probe};
use super::schedule::Schedule;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::sync::Arc;

/// How often a check runs, and how many outcomes it takes to change the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pace {
    /// From the start of one run to the start of the next.
    pub interval: Duration,
    /// By how much that may differ, at random, so that checks which began together do not stay together.
    pub jitter: Duration,
    /// A run's whole time.
    pub timeout: Duration,
    /// Passes in a row that bring a server up.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
    /// The first run starts within this span after the check does; spreads checks that start together.
    pub spread: Duration,
    /// The run after a failure that has not taken the server down starts so long after that failure.
    pub retry: Option<Duration>,
    /// From the start of one run to that of the next while the server is down, if that is sooner.
    pub interval_down: Option<Duration>,
    /// A pass while down is followed by the next run at once, unless a flapping server is held down anyway.
    pub fast_recovery: bool,
    /// Failures in a row that take a server down of which no run has passed yet, if those are others than `fall`.
    pub fall_first: Option<u32>,
    /// Holds back a server that flaps.
    pub flap: Option<Flap>,
}

/// Why the check wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The next run is due.
    Run,
    /// The present run has used up its time.
    Deadline,
}

/// What one run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// How the run ended.
    pub outcome: Outcome,
    /// From the run's start to its end.
    pub took: Duration,
    /// When it ended.
    pub at: Instant,
    /// The verdict after it.
    pub health: Health,
    /// True when this run changed the verdict.
    pub changed: bool,
    /// Outcomes in a row against the verdict, this one included.
    pub against: u32,
    /// How many such outcomes change it.
    pub needed: u32,
    /// Slots left out so far because a run lasted too long.
    pub skipped: u64,
    /// When the next run is due.
    pub next: Instant,
    /// Until when a server that flaps stays down.
    pub held_until: Option<Instant>,
}

/// What the driver must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open the connection to the target.
    Connect,
    /// Send these bytes.
    Write(Vec<u8>),
    /// Close the connection, or give up opening it.
    Close,
    /// Tell what the run found.
    Report(Report),
}

/// The machine of one checked target.
#[derive(Debug, Clone)]
pub struct Check {
    schedule: Schedule,
    probe: Probe,
    judge: Judge,
    pace: Pace,
    muted: bool,
    started: Instant,
    actions: VecDeque<Action>,
}

impl Check {
    /// A check that starts at `now` from the verdict `initial`; `seed` is a uniformly random number that places its
    /// runs within spread and jitter.
    pub fn new(now: Instant, dialogue: Arc<Dialogue>, pace: Pace, initial: Health, seed: u64) -> Self {
        Self {
            schedule: Schedule::new(now, pace.interval, pace.jitter, pace.spread, seed),
            probe: Probe::new(dialogue, pace.timeout),
            judge: Judge::new(initial, pace.rise, pace.fall)
                .with_first(pace.fall_first)
                .with_flap(pace.flap),
            pace,
            muted: false,
            started: now,
            actions: VecDeque::new(),
        }
    }

    /// The same check of a server of which a run has passed before.
    #[must_use]
    pub fn with_proof(self) -> Self {
        Self {
            judge: self.judge.with_proof(),
            ..self
        }
    }

    /// The present verdict.
    pub fn health(&self) -> Health {
        self.judge.health()
    }

    /// While muted, failures say nothing about the server and only passes count: for when the path that the checks
    /// take is known to be broken on this side.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// The server's traffic speaks against it: the next run comes at once, and its failure is enough.
    pub fn suspect(&mut self, now: Instant) {
        self.judge.suspect();
        self.schedule.hasten(now);
    }

    /// Takes what happened on the connection.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.probe.handle(now, input);
        self.relay(now);
    }

    /// Starts a run that is due, ends one that has used up its time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.probe.handle_timeout(now);
        self.relay(now);
        if !self.probe.is_running() && self.schedule.take(now) {
            self.started = now;
            self.probe.handle(now, Input::Start);
            self.relay(now);
        }
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> (Instant, Timer) {
        match self.probe.poll_timeout() {
            Some(deadline) => (deadline, Timer::Deadline),
            None => (self.schedule.next(), Timer::Run),
        }
    }

    /// The next thing to do; call until `None` after every other call.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn relay(&mut self, now: Instant) {
        while let Some(action) = self.probe.poll_action() {
            let action = match action {
                probe::Action::Connect => Action::Connect,
                probe::Action::Write(bytes) => Action::Write(bytes),
                probe::Action::Close => Action::Close,
                probe::Action::Done(outcome) => Action::Report(self.report(now, outcome)),
            };
            self.actions.push_back(action);
        }
    }

    fn report(&mut self, now: Instant, outcome: Outcome) -> Report {
        let evidence = outcome.evidence().filter(|&passed| passed || !self.muted);
        let changed = evidence.is_some_and(|passed| self.judge.observe(now, passed).is_some());
        self.hurry(now, evidence);
        Report {
            outcome,
            took: now - self.started,
            at: now,
            health: self.judge.health(),
            changed,
            against: self.judge.against(),
            needed: self.judge.needed(),
            skipped: self.schedule.skipped(),
            next: self.schedule.next(),
            held_until: self.judge.held_until(),
        }
    }

    fn is_held(&self, now: Instant) -> bool {
        self.judge.held_until().is_some_and(|until| now < until)
    }

    /// Wants the next run sooner where something is to be found out.
    fn hurry(&mut self, now: Instant, evidence: Option<bool>) {
        let soon = match (self.judge.health(), evidence) {
            (Health::Up, Some(false)) => {
                if let Some(retry) = self.pace.retry {
                    self.schedule.set(now + retry);
                }
                None
            }
            (Health::Up, Some(true) | None) => None,
            (Health::Down, Some(true)) if self.pace.fast_recovery && !self.is_held(now) => Some(now),
            (Health::Down, _) => self.pace.interval_down.map(|interval| self.started + interval),
        };
        if let Some(soon) = soon {
            self.schedule.hasten(soon.max(now));
        }
    }
}

#[cfg(test)]
mod tests;
