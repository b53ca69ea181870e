//! Taking turns: each competitor runs for a slice, then the next one, again and again on the same CPUs.
//!
//! What disturbs the machine for seconds disturbs all alike; what disturbs it for milliseconds is left out with the slices it
//! spoiled. All processes live on between their slices, stopped by SIGSTOP, so that no start is in any figure.

use std::time::{Duration, Instant};

use super::bench::Turns;
use super::dataplane::Dataplane;
use super::statistics::Samples;
use super::stop::Stop;
use super::testpmd::{Mode, Testpmd};
use super::trouble::{Outcome, Trouble};

/// Who takes turns.
pub(crate) enum Competitor<'a> {
    /// testpmd in one of its modes.
    Testpmd(&'a std::cell::RefCell<Testpmd>, Mode),
    /// Dataplanes that run together; their packets are added up.
    Weir(Vec<&'a Dataplane>),
}

/// Packets sent until a moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    sent: u64,
    received: u64,
    /// Time its workers waited for their CPUs.
    waited_ns: u64,
}

/// A worker that waited for a larger share of a slice was disturbed.
const WAITED: f64 = 0.02;

impl Competitor<'_> {
    fn resume(&self) -> Outcome<()> {
        match self {
            Self::Testpmd(testpmd, mode) => {
                let mut testpmd = testpmd.borrow_mut();
                testpmd.process().resume()?;
                testpmd.switch(*mode)
            }
            Self::Weir(dataplanes) => dataplanes
                .iter()
                .try_for_each(|dataplane| dataplane.process().resume()),
        }
    }

    fn pause(&self) -> Outcome<()> {
        match self {
            Self::Testpmd(testpmd, _) => testpmd.borrow().process().pause(),
            Self::Weir(dataplanes) => dataplanes
                .iter()
                .try_for_each(|dataplane| dataplane.process().pause()),
        }
    }

    fn waited_ns(&self) -> u64 {
        match self {
            Self::Testpmd(testpmd, _) => testpmd.borrow().process().waited_ns(),
            Self::Weir(dataplanes) => dataplanes
                .iter()
                .map(|dataplane| dataplane.process().waited_ns())
                .sum(),
        }
    }

    fn read(&self) -> Outcome<Reading> {
        let waited_ns = self.waited_ns();
        let before = Instant::now();
        let (sent, received) = match self {
            Self::Testpmd(testpmd, _) => {
                let sent = testpmd.borrow_mut().packets()?;
                (sent, sent)
            }
            Self::Weir(dataplanes) => dataplanes.iter().fold((0, 0), |(sent, received), dataplane| {
                let counts = dataplane.counts();
                (sent + counts.tx_packets, received + counts.rx_packets)
            }),
        };
        Ok(Reading {
            at: before + before.elapsed() / 2,
            sent,
            received,
            waited_ns,
        })
    }
}

/// Lets them take turns; all are stopped before and after. Nanoseconds a packet, for each slice of each.
pub(crate) fn take_turns(stop: &Stop, turns: Turns, competitors: &[Competitor<'_>]) -> Outcome<Vec<Samples>> {
    let mut samples = vec![Samples::default(); competitors.len()];
    for _ in 0..turns.rounds {
        for (competitor, samples) in competitors.iter().zip(&mut samples) {
            stop.check()?;
            competitor.resume()?;
            std::thread::sleep(turns.settle);
            let first = competitor.read()?;
            std::thread::sleep(turns.slice);
            let last = competitor.read()?;
            competitor.pause()?;
            let ns = nanoseconds_a_packet(first, last)?;
            samples.push(ns, is_disturbed(first, last));
        }
    }
    Ok(samples)
}

fn is_disturbed(first: Reading, last: Reading) -> bool {
    waited_long(last.waited_ns - first.waited_ns, last.at.duration_since(first.at))
}

/// Whether workers waited for their CPUs for too large a share of a slice.
pub(crate) fn waited_long(waited_ns: u64, slice: Duration) -> bool {
    waited_ns as f64 > WAITED * slice.as_nanos() as f64
}

fn nanoseconds_a_packet(first: Reading, last: Reading) -> Outcome<f64> {
    let (sent, received) = (last.sent - first.sent, last.received - first.received);
    if sent == 0 {
        return Err(Trouble::Wrong("nothing was sent in a slice".into()));
    }
    // Both are read while packets are on their way.
    if received.abs_diff(sent) > received / 1000 + 4096 {
        return Err(Trouble::Wrong(format!(
            "of {received} packets {sent} were sent on"
        )));
    }
    let elapsed = last.at.duration_since(first.at);
    Ok(elapsed.as_nanos() as f64 / sent as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: Instant, sent: u64, received: u64) -> Reading {
        Reading {
            at,
            sent,
            received,
            waited_ns: 0,
        }
    }

    #[test]
    fn a_slice_gives_the_time_of_a_packet() {
        let start = Instant::now();
        let end = start + Duration::from_millis(100);
        let time = nanoseconds_a_packet(reading(start, 10, 10), reading(end, 1_000_010, 1_000_100));
        assert_eq!(time.ok(), Some(100.0));
    }

    #[test]
    fn a_slice_is_disturbed_when_its_worker_waited() {
        let start = Instant::now();
        let first = reading(start, 0, 0);
        let mut last = reading(start + Duration::from_millis(100), 1, 1);
        last.waited_ns = 1_000_000;
        assert!(!is_disturbed(first, last));
        last.waited_ns = 3_000_000;
        assert!(is_disturbed(first, last));
    }

    #[test]
    fn a_slice_with_losses_is_none() {
        let start = Instant::now();
        let end = start + Duration::from_millis(100);
        assert!(nanoseconds_a_packet(reading(start, 0, 0), reading(end, 900_000, 1_000_000)).is_err());
        assert!(nanoseconds_a_packet(reading(start, 5, 5), reading(end, 5, 5)).is_err());
    }
}
