//! Processes that get to run only now and then: stopped for a moment again and again, at random. Shorter than others wait, that
//! changes nothing; longer, it costs the addresses, as [`super`]'s test of SIGSTOP shows.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::wire::STEADY;
use super::{Directors, PATIENCE, V4};
use weir_tests::lab::{LabError, Process, wait_until};
use weir_tests::scenario::scenario;

const BURSTS: u32 = 8;
/// Of a stop, and of a run between two.
const STOPPED_MS: std::ops::Range<u64> = 50..500;
const RUNS_MS: std::ops::Range<u64> = 20..200;
/// A backup waits for 3.6 s, and an active one advertises every second: what is shorter than this must not matter.
const SHORT: Duration = Duration::from_millis(2_000);

/// xorshift, which is random enough here.
struct Random(u64);

impl Random {
    fn in_range(&mut self, range: &std::ops::Range<u64>) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        range.start + self.0 % (range.end - range.start)
    }
}

fn seed() -> u64 {
    let given = std::env::var("WEIR_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 5);
    println!("WEIR_SEED={seed}");
    seed
}

/// Stops these for a moment; how long it was in the end.
fn starve(processes: &[&Process], for_ms: u64) -> Result<Duration, LabError> {
    let start = Instant::now();
    for process in processes {
        process.signal(Signal::STOP)?;
    }
    sleep(Duration::from_millis(for_ms));
    for process in processes {
        process.signal(Signal::CONT)?;
    }
    Ok(start.elapsed())
}

#[test]
fn a_control_that_runs_now_and_then_keeps_what_it_has() {
    let mut random = Random(seed() | 1);
    scenario("vrrp: controls that run now and then", |lab| {
        let directors = Directors::new(lab)?;
        let high = directors.weir_on(&directors.weir, 150, &STEADY, "high")?;
        directors.only(&directors.weir, V4)?;
        let low = directors.weir_on(&directors.peer, 100, &STEADY, "low")?;
        // Who is active and who listens, and what came before that.
        let settled = || {
            wait_until("one to be active and the other to hear it", PATIENCE, || {
                let shown = |tag| directors.shown(tag).map_err(|error| error.to_string());
                let (high, low) = (shown("high")?, shown("low")?);
                match (high.first(), low.first()) {
                    (Some(high), Some(low)) if high["state"] == "active" && low["active"].is_object() => {
                        Ok([high["transitions"].clone(), low["transitions"].clone()])
                    }
                    other => Err(format!("{other:?}")),
                }
            })
        };
        let mut before = settled()?;
        let choices: [&[&Process]; 3] = [&[&high], &[&low], &[&high, &low]];
        for burst in 0..BURSTS {
            let which = random.in_range(&(0..3));
            let for_ms = random.in_range(&STOPPED_MS);
            let stopped = starve(choices[usize::try_from(which).unwrap_or_default()], for_ms)?;
            sleep(Duration::from_millis(random.in_range(&RUNS_MS)));
            let now = settled()?;
            if stopped < SHORT {
                assert_eq!(now, before, "burst {burst}: {which} stopped for {stopped:?}");
            }
            // The machine itself was not there for longer than meant: what that changed is another matter.
            before = now;
        }
        directors.only(&directors.weir, V4).map(drop)
    });
}
