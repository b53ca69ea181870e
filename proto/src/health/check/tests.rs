use super::super::probe::{Failure, Fault};
use super::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

mod model;

const SECOND: Duration = Duration::from_secs(1);

fn pace(rise: u32, fall: u32) -> Pace {
    Pace {
        interval: 2 * SECOND,
        jitter: Duration::ZERO,
        timeout: SECOND,
        rise,
        fall,
        spread: 2 * SECOND,
        retry: None,
        interval_down: None,
        fast_recovery: false,
        fall_first: None,
        flap: None,
    }
}

/// One check against a server that is simply there or not: a dead one costs the whole time-out.
struct Target {
    check: Check,
    runs: Vec<Instant>,
    changes: Vec<(Instant, Health)>,
}

impl Target {
    fn new(pace: Pace, draw: u64) -> Self {
        Self {
            check: Check::new(Instant::ZERO, Arc::new(Dialogue::Tcp), pace, Health::Up, draw),
            runs: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn wake(&mut self, now: Instant, alive: bool) {
        self.check.handle_timeout(now);
        while let Some(action) = self.check.poll_action() {
            match action {
                Action::Connect => {
                    self.runs.push(now);
                    if alive {
                        self.check.handle(now, Input::Connected);
                    }
                }
                Action::Report(report) if report.changed => self.changes.push((now, report.health)),
                Action::Report(_) | Action::Write(_) | Action::Close => {}
            }
        }
    }
}

/// A plain generator for tests (SplitMix64); the seed is in every failure message.
fn draws(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Ten thousand servers, each dead from its own instant to another, for ten simulated
/// minutes: every run is on its grid, and every change of verdict is at the instant the rule gives.
#[test]
fn ten_thousand_checks_keep_their_grid_and_change_on_time() {
    let seed = 20_261_120;
    let mut draw = draws(seed);
    let end = Instant::from_secs(600);
    let pace = pace(2, 3);
    let mut targets: Vec<Target> = (0..10_000).map(|_| Target::new(pace, draw())).collect();
    let dead: Vec<(Instant, Instant)> = targets
        .iter()
        .map(|_| {
            let from = Instant::from_millis(10_000 + draw() % 400_000);
            (from, from + Duration::from_millis(20_000 + draw() % 100_000))
        })
        .collect();
    let mut agenda: BinaryHeap<Reverse<(Instant, usize)>> = targets
        .iter()
        .enumerate()
        .map(|(n, target)| Reverse((target.check.poll_timeout().0, n)))
        .collect();
    let mut wakes = 0_u64;
    while let Some(Reverse((now, n))) = agenda.pop() {
        if now >= end {
            break;
        }
        let alive = now < dead[n].0 || now >= dead[n].1;
        targets[n].wake(now, alive);
        agenda.push(Reverse((targets[n].check.poll_timeout().0, n)));
        wakes += 1;
    }
    for (n, target) in targets.iter().enumerate() {
        let first = target.runs[0];
        assert!(first < Instant::ZERO + pace.spread, "seed {seed}, target {n}");
        for (k, run) in target.runs.iter().enumerate() {
            assert_eq!(
                *run,
                first + pace.interval * u32::try_from(k).unwrap(),
                "seed {seed}, target {n}, run {k}"
            );
        }
        assert_eq!(
            target.changes,
            expected_changes(&target.runs, dead[n], pace),
            "seed {seed}, target {n}"
        );
    }
    let bound = 10_000 * (600 / 2 + 1 + 120 / 2 + 2);
    assert!(
        wakes <= bound,
        "work is bounded: {wakes} wake-ups, at most {bound}"
    );
}

/// The rule: down at the time-out of the third run that met a dead server, up at the second that met a live one.
fn expected_changes(runs: &[Instant], dead: (Instant, Instant), pace: Pace) -> Vec<(Instant, Health)> {
    let failing: Vec<_> = runs
        .iter()
        .filter(|&&run| run >= dead.0 && run < dead.1)
        .collect();
    let after: Vec<_> = runs.iter().filter(|&&run| run >= dead.1).collect();
    let mut changes = vec![(*failing[2] + pace.timeout, Health::Down)];
    if let Some(&&up) = after.get(1) {
        changes.push((up, Health::Up));
    }
    changes
}

#[test]
fn checks_that_start_together_spread_over_the_interval() {
    let mut draw = draws(7);
    let mut buckets = [0_u32; 20];
    for _ in 0..10_000 {
        let check = Check::new(
            Instant::ZERO,
            Arc::new(Dialogue::Tcp),
            pace(1, 1),
            Health::Up,
            draw(),
        );
        buckets[usize::try_from(check.poll_timeout().0.as_millis() / 100).unwrap()] += 1;
    }
    assert!(
        buckets.iter().all(|&count| (400..600).contains(&count)),
        "{buckets:?}"
    );
}

#[test]
fn a_run_longer_than_the_interval_skips_slots_and_says_so() {
    let slow = Pace {
        interval: SECOND,
        jitter: Duration::ZERO,
        timeout: Duration::from_millis(3_500),
        rise: 1,
        spread: Duration::ZERO,
        ..pace(1, 1)
    };
    let mut target = Target::new(slow, 0);
    let mut skipped = 0;
    for _ in 0..4 {
        let (now, _) = target.check.poll_timeout();
        target.check.handle_timeout(now);
        while let Some(action) = target.check.poll_action() {
            if let Action::Report(report) = action {
                assert_eq!(report.outcome, Outcome::Fail(Failure::ConnectTimeout));
                assert_eq!(report.took, slow.timeout);
                skipped = report.skipped;
            }
        }
    }
    assert_eq!(
        target.check.poll_timeout(),
        (Instant::from_millis(14_000), Timer::Deadline)
    );
    assert_eq!(
        skipped, 5,
        "1 s is run late, 2 and 3 s are left out; 4 s is run late, 5, 6 and 7 s are left out"
    );
}

/// Every input in any order, at any time: no panic, at most one run at a time, work bounded.
#[test]
fn random_inputs_never_confuse_a_check() {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    let mut draw = draws(seed);
    let http = Dialogue::Http(vec![super::super::http::Get {
        path: "/".into(),
        host: "h".into(),
        ..Default::default()
    }]);
    for dialogue in [Dialogue::Tcp, http] {
        let mut check = Check::new(Instant::ZERO, Arc::new(dialogue), pace(2, 2), Health::Up, draw());
        let (mut now, mut open) = (Instant::ZERO, false);
        for step in 0..200_000 {
            now += Duration::from_millis(draw() % 700);
            match draw() % 8 {
                0 => check.handle(now, Input::Start),
                1 => check.handle(now, Input::Connected),
                2 => check.handle(now, Input::Broken(Fault::Reset)),
                3 => check.handle(now, Input::Read(&draw().to_le_bytes())),
                4 => check.handle(now, Input::Read(b"HTTP/1.1 200 OK\r\n\r\n")),
                5 => check.handle(now, Input::Eof),
                _ => check.handle_timeout(now),
            }
            let mut actions = 0;
            while let Some(action) = check.poll_action() {
                actions += 1;
                match action {
                    Action::Connect => {
                        assert!(!open, "seed {seed}, step {step}: two runs at once");
                        open = true;
                    }
                    Action::Close => open = false,
                    Action::Write(_) | Action::Report(_) => {
                        assert!(open || actions > 1, "seed {seed}, step {step}")
                    }
                }
            }
            assert!(actions <= 4, "seed {seed}, step {step}: {actions} actions");
        }
    }
}

/// One run from its slot to its report.
fn one_run(check: &mut Check, input: Input<'_>) -> Report {
    let (now, _) = check.poll_timeout();
    check.handle_timeout(now);
    check.handle(now, input);
    let report = core::iter::from_fn(|| check.poll_action()).find_map(|action| match action {
        Action::Report(report) => Some(report),
        Action::Connect | Action::Write(_) | Action::Close => None,
    });
    report.expect("a run that is answered ends")
}

#[test]
fn faults_on_this_side_condemn_no_server() {
    let mut check = Check::new(Instant::ZERO, Arc::new(Dialogue::Tcp), pace(1, 2), Health::Up, 0);
    for _ in 0..10 {
        let report = one_run(&mut check, Input::Broken(Fault::Local));
        assert_eq!((report.health, report.against), (Health::Up, 0));
    }
    check.mute(true);
    for _ in 0..10 {
        let report = one_run(&mut check, Input::Broken(Fault::Unreachable));
        assert_eq!((report.health, report.against), (Health::Up, 0));
    }
    check.mute(false);
    one_run(&mut check, Input::Broken(Fault::Unreachable));
    assert_eq!(
        one_run(&mut check, Input::Broken(Fault::Refused)).health,
        Health::Down
    );
    check.mute(true);
    assert_eq!(
        one_run(&mut check, Input::Connected).health,
        Health::Up,
        "passes count while muted"
    );
}

#[test]
fn fast_recovery_passes_in_a_row_without_a_wait() {
    for (fast_recovery, flap, wait) in [
        (false, None, 4 * SECOND),
        (true, None, Duration::ZERO),
        // A server that is held down anyway is asked at its usual pace.
        (true, Some(held(30 * SECOND)), 4 * SECOND),
    ] {
        let pace = Pace {
            fast_recovery,
            flap,
            ..pace(3, 1)
        };
        let mut target = Target::new(pace, 0);
        let mut now = Instant::ZERO;
        let mut passes = Vec::new();
        while passes.len() < 3 {
            now = target.check.poll_timeout().0.max(now);
            let (alive, runs) = (now >= Instant::from_secs(5), target.runs.len());
            target.wake(now, alive);
            if alive && target.runs.len() > runs {
                passes.push(now);
            }
        }
        assert_eq!(passes[2] - passes[0], wait, "{fast_recovery} {flap:?}");
    }
}

/// Held down from the first failure on.
fn held(hold: Duration) -> Flap {
    Flap {
        falls: 1,
        window: hold,
        hold,
    }
}
