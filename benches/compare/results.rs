//! What a run has found out, as it goes into JSON.

use serde::Serialize;

use super::goals::Bound;
use super::machine::Machine;
use super::service::Mode;
use super::statistics::{Samples, Verdict};

/// Everything of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    /// Where.
    pub(crate) machine: Machine,
    /// When, in seconds since 1970.
    pub(crate) started_unix_s: u64,
    /// How long it took, in seconds.
    pub(crate) took_s: u64,
    /// Whether it was a quick one.
    pub(crate) quick: bool,
    /// The commit, if this is a clone.
    pub(crate) commit: String,
    /// Share of the CPUs that others used in the second before.
    pub(crate) busy_before: f64,
    /// Share of the CPUs that the host gave to others meanwhile.
    pub(crate) stolen: f64,
    /// Rates against testpmd.
    pub(crate) rates: Vec<Rate>,
    /// Everything else.
    pub(crate) figures: Vec<Figure>,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<Missing>,
}

/// One side of a comparison.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Side {
    /// The fastest slice, in nanoseconds a packet of all workers together.
    pub(crate) ns: f64,
    /// In ticks of the time stamp counter, for one worker.
    pub(crate) cycles: f64,
    /// Distance of the lower quartile from the fastest slice.
    pub(crate) spread: f64,
    /// Every slice, in nanoseconds a packet.
    pub(crate) slices: Samples,
}

impl Side {
    /// From the slices of so many workers.
    pub(crate) fn new(slices: Samples, workers: u16, tsc_ghz: f64) -> Self {
        let ns = slices.min();
        Self {
            ns,
            cycles: ns * tsc_ghz * f64::from(workers),
            spread: slices.spread(),
            slices,
        }
    }

    /// Millions of packets a second.
    pub(crate) fn mpps(&self) -> f64 {
        1e3 / self.ns
    }
}

/// weir against testpmd.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Rate {
    /// How it forwards.
    pub(crate) mode: Mode,
    /// Flows in the tables, and packets in the capture.
    pub(crate) flows: u32,
    /// Workers, each on a CPU of its own.
    pub(crate) workers: u16,
    /// testpmd mac.
    pub(crate) testpmd: Side,
    /// weir.
    pub(crate) weir: Side,
}

impl Rate {
    /// weir's rate as a share of testpmd's.
    pub(crate) fn ratio(&self) -> f64 {
        self.testpmd.ns / self.weir.ns
    }

    /// What a packet costs above testpmd, in cycles.
    pub(crate) fn added_cycles(&self) -> f64 {
        self.weir.cycles - self.testpmd.cycles
    }

    /// The worse of both sides.
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::of(self.testpmd.spread).max(Verdict::of(self.weir.spread))
    }
}

/// A figure with its goal.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// The goal's name.
    pub(crate) goal: &'static str,
    /// What it is.
    pub(crate) what: String,
    /// The figure.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What it should be.
    pub(crate) bound: Option<Bound>,
    /// Whether it can be believed.
    pub(crate) verdict: Verdict,
    /// What else is to be known.
    pub(crate) note: String,
}

/// What was not measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Missing {
    /// What.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
}

impl Results {
    /// The rate of one case.
    pub(crate) fn rate(&self, mode: Mode, flows: u32, workers: u16) -> Option<&Rate> {
        let is_it = |rate: &&Rate| rate.mode == mode && rate.flows == flows && rate.workers == workers;
        self.rates.iter().find(is_it)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::goals::G6;
    use super::*;

    fn side(ns: f64) -> Side {
        Side::new(Samples::from(vec![ns; 4]), 1, 2.3)
    }

    /// One rate and one figure.
    pub(crate) fn sample() -> Results {
        Results {
            machine: Machine {
                cpu: "a CPU".into(),
                cpus: 2,
                tsc_ghz: 2.3,
                is_virtual: true,
                memory_mb: 1024,
                kernel: "6.1".into(),
            },
            started_unix_s: 0,
            took_s: 60,
            quick: false,
            commit: "abc".into(),
            busy_before: 0.01,
            stolen: 0.0,
            rates: vec![Rate {
                mode: Mode::Dr,
                flows: 1_000,
                workers: 1,
                testpmd: side(50.0),
                weir: side(100.0),
            }],
            figures: vec![Figure {
                goal: "G6",
                what: "two workers".into(),
                value: 1.95,
                unit: "",
                bound: Some(G6),
                verdict: Verdict::Quiet,
                note: String::new(),
            }],
            missing: Vec::new(),
        }
    }

    #[test]
    fn cycles_are_those_of_one_worker() {
        let side = Side::new(Samples::from(vec![60.0, 50.0]), 2, 2.0);
        assert_eq!((side.ns, side.cycles, side.mpps()), (50.0, 200.0, 20.0));
    }

    #[test]
    fn a_rate_is_compared_by_its_fastest_slices() {
        let results = sample();
        let rate = results.rate(Mode::Dr, 1_000, 1).expect("the sample");
        assert_eq!(rate.ratio(), 0.5);
        assert!((rate.added_cycles() - 115.0).abs() < 1e-9);
        assert_eq!(rate.verdict(), Verdict::Quiet);
        assert!(results.rate(Mode::Nat, 1_000, 1).is_none());
    }
}
