//! How soon a change shows on loaded workers, and how long it holds them up (G14).
//!
//! A service comes and goes while packets for it keep arriving: without it they are counted as `no_service`, with it as
//! `no_flow`. The tool watches the shared counters without pause, so that it sees the first packet of the new order, and the
//! clock each worker writes down with every burst, whose longest step is the longest gap. The same is watched for as long
//! without a change: what the machine does by itself is subtracted. A time in which a worker had to wait for its CPU is set
//! aside, as everywhere. The dataplane's main thread gets the real-time class meanwhile, since with two CPUs it shares its own
//! with this tool, which does not rest.

use std::time::{Duration, Instant};

use weir_dataplane::DropReason;
use weir_rings::link::Output;
use weir_rings::message::{Command, Event};
use weir_wire::tcp::Flags;

use super::bench::{Bench, remove};
use super::capture::{FRAME_BYTES, SERVICE_PORT, VIP, client, flows_of_queue, frame};
use super::dataplane::{Dataplane, Frames, table_for};
use super::goals::{G14_GAP, G14_VISIBLE};
use super::report::line;
use super::results::{Figure, Results};
use super::service::{Mode, commands, key, service};
use super::statistics::{Samples, Verdict};
use super::trouble::{Outcome, Trouble};

const FLOWS: u32 = 1000;
/// The service that comes and goes has the next port; every 16th packet is for it.
const EVERY: u32 = 16;
/// A change must show within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Gaps are compared by the mean of this share of them, the longest: one in a hundred is long by the machine's doing, so that
/// a percentile near it would jump.
const WORST: f64 = 0.05;
/// How long after a change a worker is still watched.
const AFTER: Duration = Duration::from_micros(300);

fn frames(queue: u32, queues: u32) -> impl Iterator<Item = [u8; FRAME_BYTES]> {
    flows_of_queue(FLOWS, queue, queues)
        .enumerate()
        .map(|(at, flow)| {
            let port = if (at as u32).is_multiple_of(EVERY) {
                SERVICE_PORT + 1
            } else {
                SERVICE_PORT
            };
            frame(0, client(flow), (VIP, port), Flags::ACK)
        })
}

/// Measures it on as many workers as leave a CPU to the rest, at most two.
pub(crate) fn updates(bench: &Bench, results: &mut Results) -> Outcome<()> {
    let workers = (bench.machine.cpus - 1).clamp(1, 2);
    let changes: usize = if bench.quick { 200 } else { 1000 };
    println!("\n{changes} changes under load, {workers} worker(s)");
    let queues = u32::from(workers);
    let captures = (0..queues).map(|queue| frames(queue, queues)).collect();
    let device = bench.device("updates", bench.cpus(workers), captures)?;
    bench.provide(&[&device], 64)?;
    let mut weir = Dataplane::start(bench, &device, table_for(FLOWS), commands(Mode::Dr))?;
    let syns = (0..queues).map(|queue| -> Frames {
        let flows = flows_of_queue(FLOWS, queue, queues);
        Box::new(flows.map(|flow| frame(1, client(flow), (VIP, SERVICE_PORT), Flags::SYN)))
    });
    weir.feed(bench, syns.collect())?;
    weir.process().prefer_main_thread()?;

    let mut seen = Seen::default();
    for change in 0..changes {
        bench.stop.check()?;
        let comes = change % 2 == 0;
        let mut waited = Waited::now(&weir);
        let (delay, gap) = one_change(&mut weir, comes)?;
        let is_disturbed = waited.again(&weir);
        seen.delays.push(delay, is_disturbed);
        seen.gaps.push(gap, is_disturbed);
        let as_long = Duration::from_nanos((delay * 1e3) as u64) + AFTER;
        let gap = quiet_gap(&weir, as_long);
        seen.quiet_gaps.push(gap, waited.again(&weir));
    }
    for figure in seen.figures(workers) {
        println!("{}", line(&figure));
        results.figures.push(figure);
    }
    remove(&device);
    Ok(())
}

/// How long the workers have waited for their CPUs so far, in ns.
struct Waited(u64);

impl Waited {
    fn now(weir: &Dataplane) -> Self {
        Self(weir.process().waited_ns())
    }

    /// Whether they waited since.
    fn again(&mut self, weir: &Dataplane) -> bool {
        let before = std::mem::replace(self, Self::now(weir));
        self.0 != before.0
    }
}

/// All in µs.
#[derive(Debug, Default)]
struct Seen {
    /// From the order to the first packet on the last worker.
    delays: Samples,
    /// The longest gap around a change.
    gaps: Samples,
    /// The longest gap in as long a time without one.
    quiet_gaps: Samples,
}

impl Seen {
    /// How far apart two halves of the times without a change are: a difference as large says nothing. A machine that stops
    /// workers by itself, but does so evenly, does not hide what a change adds.
    fn resolution_us(&self) -> f64 {
        let [first, second] = self.quiet_gaps.halves().map(|half| half.mean_of_largest(WORST));
        (first - second).abs()
    }

    fn figures(&self, workers: u16) -> [Figure; 2] {
        let at = |samples: &Samples| [0.5, 0.99, 1.0].map(|share| samples.percentile(share));
        let [delay_50, delay_99, delay_max] = at(&self.delays);
        let [gap_50, gap_99, gap_max] = at(&self.gaps);
        let [quiet_50, quiet_99, quiet_max] = at(&self.quiet_gaps);
        let worst = |samples: &Samples| samples.mean_of_largest(WORST);
        let (must, stretch) = G14_GAP.numbers();
        let verdict = match self.resolution_us() {
            apart if apart <= stretch => Verdict::Quiet,
            apart if apart <= must => Verdict::Noisy,
            _ => Verdict::TooNoisy,
        };
        [
            Figure {
                goal: "G14",
                what: format!("from the order until {workers} loaded worker(s) act on it, p99"),
                value: delay_99,
                unit: "µs",
                bound: Some(G14_VISIBLE),
                verdict,
                note: format!(
                    "p50 {delay_50:.0}, max {delay_max:.0}; wake-up of the main thread and building included"
                ),
            },
            Figure {
                goal: "G14",
                what: "what a change adds to the longest gap between bursts, mean of the worst twentieth"
                    .into(),
                value: (worst(&self.gaps) - worst(&self.quiet_gaps)).max(0.0),
                unit: "µs",
                bound: Some(G14_GAP),
                verdict,
                note: format!(
                    "longest gap with a change: worst twentieth {:.1}, p50 {gap_50:.1}, p99 {gap_99:.1}, max {gap_max:.1}; \
                     in as long without: {:.1}, p50 {quiet_50:.1}, p99 {quiet_99:.1}, max {quiet_max:.1}; two halves of \
                     those are {:.1} apart",
                    worst(&self.gaps),
                    worst(&self.quiet_gaps),
                    self.resolution_us(),
                ),
            },
        ]
    }
}

/// Follows the clocks of all workers.
#[derive(Debug)]
struct Gaps {
    /// Last clock and number of bursts of each worker.
    last: Vec<(u64, u64)>,
    longest_ns: u64,
    /// Shortest burst seen, of any worker.
    burst_ns: u64,
}

impl Gaps {
    fn new(weir: &Dataplane) -> Self {
        let counters = weir.counters();
        let clock = |worker| {
            counters
                .worker(worker)
                .map_or((0, 0), |row| (row.heartbeat_ns, row.bursts))
        };
        Self {
            last: counters.workers().map(clock).collect(),
            longest_ns: 0,
            burst_ns: u64::MAX,
        }
    }

    fn look(&mut self, weir: &Dataplane) {
        let counters = weir.counters();
        for (worker, last) in counters.workers().zip(0..) {
            let (Some(row), Some(again)) = (counters.worker(worker), counters.worker(worker)) else {
                continue;
            };
            // Clock and count belong together when neither moved meanwhile.
            if (row.heartbeat_ns, row.bursts) == (again.heartbeat_ns, again.bursts) {
                self.note(last, row.heartbeat_ns, row.bursts);
            }
        }
    }

    /// When the tool itself was away for some bursts, the longest of them took at most what the others leave.
    fn note(&mut self, worker: usize, clock_ns: u64, bursts: u64) {
        let (last_clock, last_bursts) = self.last[worker];
        let count = bursts.wrapping_sub(last_bursts);
        if count == 0 {
            return;
        }
        let passed = clock_ns.saturating_sub(last_clock);
        if count == 1 {
            self.burst_ns = self.burst_ns.min(passed);
        }
        let others = match self.burst_ns {
            u64::MAX => passed / count * (count - 1),
            shortest => shortest.saturating_mul(count - 1),
        };
        self.longest_ns = self.longest_ns.max(passed.saturating_sub(others));
        self.last[worker] = (clock_ns, bursts);
    }

    fn longest_us(&self) -> f64 {
        self.longest_ns as f64 / 1e3
    }
}

/// Makes one change. From its order to the first packet that every worker treated by it, and the longest gap, in µs.
fn one_change(weir: &mut Dataplane, comes: bool) -> Outcome<(f64, f64)> {
    let port = SERVICE_PORT + 1;
    let (commands, shows) = match comes {
        true => (service(port, Mode::Dr, 0..1), DropReason::NoFlow),
        false => (vec![Command::DeleteService(key(port))], DropReason::NoService),
    };
    let counters = weir.counters().clone();
    let count = |worker| counters.reason(worker, shows.index()).unwrap_or(0);
    let before: Vec<u64> = counters.workers().map(count).collect();
    let generation = weir.end().next_generation();
    let mut gaps = Gaps::new(weir);
    let start = Instant::now();
    let sent = weir.end().commit(generation, false, commands);
    sent.map_err(|error| weir.process().trouble(error))?;
    loop {
        gaps.look(weir);
        if counters
            .workers()
            .zip(&before)
            .all(|(worker, before)| count(worker) > *before)
        {
            break;
        }
        if start.elapsed() > PATIENCE {
            return Err(weir.process().trouble("a change does not show"));
        }
        // The dataplane's main thread may need this CPU.
        std::thread::yield_now();
    }
    let delay = start.elapsed();
    let end = Instant::now() + AFTER;
    while Instant::now() < end {
        gaps.look(weir);
        std::thread::yield_now();
    }
    answered(weir, generation)?;
    Ok((delay.as_nanos() as f64 / 1e3, gaps.longest_us()))
}

/// The longest gap, in µs, while nothing changes.
fn quiet_gap(weir: &Dataplane, time: Duration) -> f64 {
    let mut gaps = Gaps::new(weir);
    let end = Instant::now() + time;
    while Instant::now() < end {
        gaps.look(weir);
        std::thread::yield_now();
    }
    gaps.longest_us()
}

/// Takes the answer to a transaction.
fn answered(weir: &mut Dataplane, wanted: u64) -> Outcome<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        weir.end().poll();
        while let Some(output) = weir.end().next_output() {
            match output {
                Output::Event(Event::Published { generation, .. }) if generation == wanted => return Ok(()),
                Output::Event(refused @ Event::Refused { .. }) => {
                    return Err(weir.process().trouble(format!("{refused:?}")));
                }
                Output::Closed(why) => return Err(weir.process().trouble(why)),
                Output::Event(_) | Output::Answer { .. } => {}
            }
        }
        weir.end().wait(Duration::from_millis(5));
    }
    Err(Trouble::Wrong("a transaction was not answered".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_step_of_the_clock_within_one_burst() {
        let mut gaps = Gaps {
            last: vec![(1000, 0)],
            longest_ns: 0,
            burst_ns: u64::MAX,
        };
        gaps.note(0, 1010, 1);
        assert_eq!((gaps.longest_ns, gaps.burst_ns), (10, 10));
        gaps.note(0, 1010, 1);
        gaps.note(0, 1100, 2);
        assert_eq!(gaps.longest_ns, 90);
        // Away for eleven bursts: one of them may have taken all but ten times the shortest.
        gaps.note(0, 1400, 13);
        assert_eq!(gaps.longest_ns, 200);
    }

    #[test]
    fn a_machine_with_uneven_gaps_of_its_own_is_too_noisy() {
        let mut seen = Seen {
            delays: Samples::from(vec![50.0; 10]),
            gaps: Samples::from(vec![12.0; 10]),
            quiet_gaps: Samples::from(vec![8.0; 10]),
        };
        let [delay, gap] = seen.figures(1);
        assert_eq!((delay.value, gap.value, gap.verdict), (50.0, 4.0, Verdict::Quiet));
        seen.quiet_gaps = Samples::from(vec![500.0; 10]);
        assert_eq!(seen.figures(1)[1].verdict, Verdict::Quiet);
        seen.quiet_gaps = Samples::from([500.0, 8.0].repeat(5));
        assert_eq!(seen.figures(1)[1].verdict, Verdict::TooNoisy);
    }
}
