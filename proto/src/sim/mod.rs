//! A network made of nothing but a seed: loss, delay, duplication and cut links for machines without I/O.
//!
//! Messages are values in a queue ordered by arrival. [`Net::send`] decides what becomes of one, [`Net::arrivals`]
//! hands out what has arrived. Nodes that pause are the harness's affair: it leaves their messages where it likes.
//! One seed gives one run, so a failure is replayed by its seed alone.

use std::collections::BTreeMap;

use crate::time::{Duration, Instant};

mod rng;

pub use rng::Rng;

/// A node, by number from zero.
pub type Node = usize;

/// What the network does to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Messages lost, of a thousand.
    pub loss_permille: u16,
    /// Messages doubled, of a thousand.
    pub duplicate_permille: u16,
    /// Least time on the way.
    pub delay_min: Duration,
    /// Most time on the way; messages overtake one another within the difference.
    pub delay_max: Duration,
}

impl Weather {
    /// Nothing is lost, nothing doubled, and everything arrives within this time.
    pub const fn calm(delay_max: Duration) -> Self {
        Self {
            loss_permille: 0,
            duplicate_permille: 0,
            delay_min: Duration::ZERO,
            delay_max,
        }
    }
}

/// A message that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival<M> {
    /// When.
    pub at: Instant,
    /// From.
    pub from: Node,
    /// To.
    pub to: Node,
    /// The message.
    pub message: M,
}

/// The network between a fixed number of nodes.
#[derive(Debug, Clone)]
pub struct Net<M> {
    nodes: usize,
    rng: Rng,
    weather: Weather,
    /// `cut[from * nodes + to]`: nothing gets through in this direction.
    cut: Vec<bool>,
    /// By arrival, then by order of sending.
    under_way: BTreeMap<(Instant, u64), Arrival<M>>,
    sent: u64,
}

impl<M: Clone> Net<M> {
    /// A network of `nodes` nodes, all links up.
    pub fn new(nodes: usize, weather: Weather, seed: u64) -> Self {
        Self {
            nodes,
            rng: Rng::new(seed),
            weather,
            cut: vec![false; nodes * nodes],
            under_way: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Changes what the network does from now on.
    pub const fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Cuts or restores one direction between two nodes; what is under way still arrives.
    pub fn set_cut(&mut self, from: Node, to: Node, cut: bool) {
        self.cut[from * self.nodes + to] = cut;
    }

    /// Restores every link.
    pub fn heal(&mut self) {
        self.cut.fill(false);
    }

    /// Sends to all other nodes.
    pub fn multicast(&mut self, now: Instant, from: Node, message: &M) {
        for to in (0..self.nodes).filter(|to| *to != from) {
            self.send(now, from, to, message.clone());
        }
    }

    /// Sends to one node.
    pub fn send(&mut self, now: Instant, from: Node, to: Node, message: M) {
        if self.cut[from * self.nodes + to] || self.rng.permille() < self.weather.loss_permille {
            return;
        }
        if self.rng.permille() < self.weather.duplicate_permille {
            self.carry(now, from, to, message.clone());
        }
        self.carry(now, from, to, message);
    }

    fn carry(&mut self, now: Instant, from: Node, to: Node, message: M) {
        let Weather {
            delay_min, delay_max, ..
        } = self.weather;
        let at = now + self.rng.between(delay_min, delay_max);
        let arrival = Arrival {
            at,
            from,
            to,
            message,
        };
        self.under_way.insert((at, self.sent), arrival);
        self.sent += 1;
    }

    /// When the next message arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next message that has arrived by `now`.
    pub fn arrivals(&mut self, now: Instant) -> Option<Arrival<M>> {
        let first = self.under_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests;
