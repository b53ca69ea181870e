//! The project's goals for what is measured here: must and stretch, and whether a figure meets them.

use serde::Serialize;

use super::service::Mode;

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// This much or more: must, stretch.
    AtLeast(f64, f64),
    /// This much or less: must, stretch.
    AtMost(f64, f64),
}

/// How a figure stands to its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// Reaches the stretch goal.
    Stretch,
    /// Reaches the must.
    Must,
    /// Misses the must.
    Missed,
}

impl Standing {
    /// For tables.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Stretch => "stretch",
            Self::Must => "must",
            Self::Missed => "missed",
        }
    }
}

impl Bound {
    /// Where `value` stands.
    pub(crate) fn judge(self, value: f64) -> Standing {
        let reaches = |goal: f64| match self {
            Self::AtLeast(..) => value >= goal,
            Self::AtMost(..) => value <= goal,
        };
        let (must, stretch) = self.numbers();
        match (reaches(stretch), reaches(must)) {
            (true, _) => Standing::Stretch,
            (false, true) => Standing::Must,
            (false, false) => Standing::Missed,
        }
    }

    /// Must and stretch.
    pub(crate) const fn numbers(self) -> (f64, f64) {
        match self {
            Self::AtLeast(must, stretch) | Self::AtMost(must, stretch) => (must, stretch),
        }
    }

    /// The sign in front of the numbers.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::AtLeast(..) => "≥",
            Self::AtMost(..) => "≤",
        }
    }
}

/// G1: rate as a share of testpmd's, one worker.
pub(crate) const fn g1(mode: Mode, flows: u32) -> Option<Bound> {
    let (must, stretch) = match (flows, mode) {
        (1_000, Mode::Dr) => (0.60, 0.74),
        (1_000, Mode::Ipip) => (0.55, 0.67),
        (1_000, Mode::Nat) => (0.50, 0.64),
        (1_000_000, Mode::Dr) => (0.30, 0.39),
        (1_000_000, Mode::Ipip) => (0.28, 0.37),
        (1_000_000, Mode::Nat) => (0.27, 0.34),
        (10_000_000, Mode::Dr) => (0.27, 0.36),
        (10_000_000, Mode::Ipip) => (0.25, 0.34),
        (10_000_000, Mode::Nat) => (0.24, 0.32),
        _ => return None,
    };
    Some(Bound::AtLeast(must, stretch))
}

/// G2: cycles a packet costs above testpmd, one worker.
pub(crate) const fn g2(mode: Mode, flows: u32) -> Option<Bound> {
    let (must, stretch) = match (flows, mode) {
        (1_000, Mode::Dr) => (35.0, 25.0),
        (1_000, Mode::Ipip) => (45.0, 30.0),
        (1_000, Mode::Nat) => (50.0, 35.0),
        (1_000_000, Mode::Dr) => (110.0, 85.0),
        (1_000_000, Mode::Ipip) => (120.0, 95.0),
        (1_000_000, Mode::Nat) => (135.0, 105.0),
        (10_000_000, Mode::Dr) => (130.0, 95.0),
        (10_000_000, Mode::Ipip) => (145.0, 110.0),
        (10_000_000, Mode::Nat) => (155.0, 120.0),
        _ => return None,
    };
    Some(Bound::AtMost(must, stretch))
}

/// G5: growth of the cost above testpmd from 1k to 10M flows.
pub(crate) const G5: Bound = Bound::AtMost(3.5, 2.8);
/// G6: two workers against one.
pub(crate) const G6: Bound = Bound::AtLeast(1.94, 1.98);
/// G7: flows made a second by one worker, in millions.
pub(crate) const G7_INSERTS: Bound = Bound::AtLeast(8.0, 13.0);
/// G7: whole TCP connections a second by one worker, in millions.
pub(crate) const G7_LIVES: Bound = Bound::AtLeast(1.0, 1.8);
/// G8: rate under a SYN flood as a share of the rate of known flows.
pub(crate) const G8_RATE: Bound = Bound::AtLeast(0.70, 0.85);
/// G8: established flows lost by it.
pub(crate) const G8_LOST: Bound = Bound::AtMost(0.0, 0.0);
/// G14: from the order until every worker acts on it, 99 of 100, in µs.
pub(crate) const G14_VISIBLE: Bound = Bound::AtMost(200.0, 50.0);
/// G14: what a change adds to the longest gap between two bursts, in µs.
pub(crate) const G14_GAP: Bound = Bound::AtMost(20.0, 10.0);
/// G16: 10,000 services of 16 servers loaded from a file, in s.
pub(crate) const G16_LOAD: Bound = Bound::AtMost(2.0, 1.0);
/// G16: resident memory of a process then, in MiB.
pub(crate) const G16_MEMORY: Bound = Bound::AtMost(1024.0, 1024.0);

/// G12: a Maglev build against the paper's loop.
pub(crate) const fn g12(servers: u32) -> Bound {
    match servers {
        0..100 => Bound::AtMost(0.70, 0.60),
        100.. => Bound::AtMost(0.60, 0.48),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_reaches_stretch_must_or_neither() {
        let rate = Bound::AtLeast(0.6, 0.74);
        assert_eq!(rate.judge(0.8), Standing::Stretch);
        assert_eq!(rate.judge(0.6), Standing::Must);
        assert_eq!(rate.judge(0.59), Standing::Missed);
        assert_eq!(G8_LOST.judge(0.0), Standing::Stretch);
        assert_eq!(G8_LOST.judge(1.0), Standing::Missed);
        assert_eq!(G14_GAP.judge(15.0), Standing::Must);
    }

    #[test]
    fn goals_are_given_for_the_flow_counts_they_name() {
        assert_eq!(g1(Mode::Nat, 1_000_000), Some(Bound::AtLeast(0.27, 0.34)));
        assert_eq!(g1(Mode::Nat, 500), None);
        assert_eq!(g2(Mode::Dr, 1_000), Some(Bound::AtMost(35.0, 25.0)));
        assert_eq!(g12(10).numbers().0, 0.70);
        assert_eq!(g12(100).numbers().0, 0.60);
    }
}
