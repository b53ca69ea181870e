//! Rise and fall: when a row of outcomes makes a server up or down.
//!
//! A server that is up goes down after `fall` failures in a row, one that is down comes up after `rise` passes in a
//! row; an outcome that agrees with the present state starts the count anew. keepalived's `retry n` is `fall = n + 1`
//! with `rise = 1`.

use core::fmt;

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
}

impl Judge {
    /// A judge that starts from `initial`. A `rise` or `fall` of 0 means 1: one outcome is the least evidence there is.
    pub fn new(initial: Health, rise: u32, fall: u32) -> Self {
        Self {
            health: initial,
            rise: rise.max(1),
            fall: fall.max(1),
            against: 0,
        }
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
            Health::Up => self.fall,
            Health::Down => self.rise,
        }
    }

    /// Takes one outcome; the new verdict when it changed.
    pub fn observe(&mut self, passed: bool) -> Option<Health> {
        let says = if passed { Health::Up } else { Health::Down };
        if says == self.health {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < self.needed() {
            return None;
        }
        self.health = says;
        self.against = 0;
        Some(says)
    }
}

#[cfg(test)]
mod tests;
