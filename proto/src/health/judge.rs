//! Rise and fall: when a row of outcomes makes a server up or down.
//!
//! A server that is up goes down after `fall` failures in a row, one that is down comes up after `rise` passes in a
//! row; an outcome that agrees with the present state starts the count anew. keepalived's `retry n` is `fall = n + 1`
//! with `rise = 1`.
//!
//! Three things bend that rule. A server of which no run has passed yet may go down by fewer failures
//! ([`Judge::with_first`]): keepalived takes the first one as enough, because nothing speaks for the server so far. A
//! server that **flaps** ([`Flap`]) stays down until no run has failed for a while, whatever passes: one that comes and
//! goes costs every client that meets it in the wrong moment. And a server that is **suspected** ([`Judge::suspect`]), because its traffic shows unanswered connections, goes down at the next failure.

use crate::time::{Duration, Instant};
use core::fmt;
use std::collections::VecDeque;

/// Most falls that are remembered.
const FALLS_MAX: usize = 16;

/// When a server counts as one that comes and goes, and what that costs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flap {
    /// So many falls, at most 16…
    pub falls: u32,
    /// …within this time…
    pub window: Duration,
    /// …and it stays down for this time after its last failure.
    pub hold: Duration,
}

/// What the judge holds a server to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// May get new connections.
    Up,
    /// Must not get new connections.
    Down,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// Hysteresis over the outcomes of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    health: Health,
    rise: u32,
    fall: u32,
    against: u32,
    /// Instead of `fall`, until a run has passed.
    first: Option<u32>,
    /// A run has passed.
    proved: bool,
    flap: Option<Flap>,
    /// The last falls, at most as many as make a flap.
    falls: VecDeque<Instant>,
    /// Set by the fall that made it one too many.
    flapping: bool,
    last_failure: Instant,
    suspected: bool,
}

impl Judge {
    /// A judge that starts from `initial`. A `rise` or `fall` of 0 means 1: one outcome is the least evidence there is.
    pub fn new(initial: Health, rise: u32, fall: u32) -> Self {
        Self {
            health: initial,
            rise: rise.max(1),
            fall: fall.max(1),
            against: 0,
            first: None,
            proved: false,
            flap: None,
            falls: VecDeque::new(),
            flapping: false,
            last_failure: Instant::ZERO,
            suspected: false,
        }
    }

    /// The same, holding back a server that flaps.
    #[must_use]
    pub fn with_flap(self, flap: Option<Flap>) -> Self {
        Self { flap, ..self }
    }

    /// Until a run has passed, so many failures are enough; `None`: as many as later.
    #[must_use]
    pub fn with_first(self, first: Option<u32>) -> Self {
        Self {
            first: first.map(|count| count.max(1)),
            ..self
        }
    }

    /// A run has passed before this judge began.
    #[must_use]
    pub fn with_proof(self) -> Self {
        Self { proved: true, ..self }
    }

    /// The present verdict.
    pub fn health(&self) -> Health {
        self.health
    }

    /// How many outcomes in a row speak against the present verdict.
    pub fn against(&self) -> u32 {
        self.against
    }

    /// How many outcomes in a row against the present verdict change it.
    pub fn needed(&self) -> u32 {
        match self.health {
            Health::Up if self.suspected => 1,
            Health::Up => self.first.filter(|_| !self.proved).unwrap_or(self.fall),
            Health::Down => self.rise,
        }
    }

    /// Until when a server that flaps stays down, if it does.
    pub fn held_until(&self) -> Option<Instant> {
        let flap = self.flap.filter(|_| self.flapping)?;
        Some(self.last_failure + flap.hold)
    }

    /// Something else than a run speaks against the server: the next failure is enough, the next pass clears it.
    pub fn suspect(&mut self) {
        self.suspected = self.health == Health::Up;
    }

    /// Takes one outcome; the new verdict when it changed.
    pub fn observe(&mut self, now: Instant, passed: bool) -> Option<Health> {
        if !passed {
            self.last_failure = now;
        }
        self.proved |= passed;
        let says = if passed { Health::Up } else { Health::Down };
        if says == self.health {
            self.against = 0;
            self.suspected = false;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let held = self.held_until().is_some_and(|until| now < until);
        if self.against < self.needed() || (passed && held) {
            return None;
        }
        self.change(now, says);
        Some(says)
    }

    fn change(&mut self, now: Instant, says: Health) {
        self.health = says;
        self.against = 0;
        self.suspected = false;
        self.flapping = false;
        let Some(flap) = self.flap.filter(|_| says == Health::Down) else {
            return;
        };
        let many = usize::try_from(flap.falls)
            .unwrap_or(FALLS_MAX)
            .clamp(1, FALLS_MAX);
        self.falls.push_back(now);
        if self.falls.len() > many {
            self.falls.pop_front();
        }
        let first = self.falls.front().copied().unwrap_or(now);
        self.flapping = self.falls.len() == many && now - first <= flap.window;
    }
}

#[cfg(test)]
mod tests;
