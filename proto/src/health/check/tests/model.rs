//! A thousand checks on a network that loses packets, against an oracle that knows only the rule.
//!
//! Twenty minutes are simulated: five of good weather, ten in which three of ten probes are lost, five of good weather.
//! Some servers die for good on the way. What the checks find is held, event for event, against the rule said another
//! way, and against the pools that are made of them.

use super::*;
use crate::health::pool::{self, AllFailed, Member, Policy};
use crate::sim::Rng;

const CHECKS: usize = 1_000;
const POOL: usize = 5;
const MINUTE: Duration = Duration::from_secs(60);
const END: Instant = Instant::from_secs(20 * 60);
const INTERVAL: Duration = Duration::from_secs(5);

/// A server and its check.
struct Server {
    check: Check,
    pace: Pace,
    dies: Option<Instant>,
    /// When the answer to the run under way comes, if one does.
    answer: Option<Instant>,
    outcomes: Vec<(Instant, bool)>,
    changes: Vec<(Instant, Health)>,
    health: Health,
    since: Instant,
}

impl Server {
    fn new(rng: &mut Rng) -> Self {
        let fall = 2 + u32::try_from(rng.below(2)).unwrap();
        let pace = Pace {
            interval: INTERVAL,
            jitter: INTERVAL / 10,
            spread: INTERVAL,
            fall_first: (rng.below(2) == 0).then_some(1),
            ..pace(1 + u32::try_from(rng.below(2)).unwrap(), fall)
        };
        let dies = (rng.below(10) == 0).then(|| Instant::ZERO + rng.between(MINUTE, 18 * MINUTE));
        Self {
            check: Check::new(
                Instant::ZERO,
                Arc::new(Dialogue::Tcp),
                pace,
                Health::Up,
                rng.next(),
            ),
            pace,
            dies,
            answer: None,
            outcomes: Vec::new(),
            changes: Vec::new(),
            health: Health::Up,
            since: Instant::ZERO,
        }
    }

    /// When something happens next.
    fn next(&self) -> Instant {
        let (timeout, _) = self.check.poll_timeout();
        self.answer.map_or(timeout, |answer| answer.min(timeout))
    }

    fn wake(&mut self, now: Instant, rng: &mut Rng) {
        if self.answer.take_if(|answer| *answer <= now).is_some() {
            self.check.handle(now, Input::Connected);
        }
        self.check.handle_timeout(now);
        while let Some(action) = self.check.poll_action() {
            match action {
                Action::Connect => self.answer = self.send(now, rng),
                Action::Close => self.answer = None,
                Action::Write(_) => {}
                Action::Report(report) => {
                    self.outcomes.push((now, report.outcome == Outcome::Pass));
                    if report.changed {
                        self.changes.push((now, report.health));
                        (self.health, self.since) = (report.health, now);
                    }
                }
            }
        }
    }

    /// The answer's arrival, unless it or the question is lost or nobody lives there.
    fn send(&self, now: Instant, rng: &mut Rng) -> Option<Instant> {
        let storm = (now >= Instant::ZERO + 5 * MINUTE) && (now < Instant::ZERO + 15 * MINUTE);
        let lost = rng.permille() < if storm { 300 } else { 1 };
        let dead = self.dies.is_some_and(|dies| dies <= now);
        let way = rng.between(Duration::from_millis(1), Duration::from_millis(80));
        (!lost && !dead).then(|| now + way)
    }

    /// The rule, said over the whole row of outcomes.
    fn by_the_rule(&self) -> Vec<(Instant, Health)> {
        let (mut verdict, mut row, mut changes) = (Health::Up, Vec::new(), Vec::new());
        let mut proved = false;
        for (at, passed) in &self.outcomes {
            row.push(*passed);
            proved |= *passed;
            let (need, wanted, other) = match verdict {
                Health::Up if proved => (self.pace.fall as usize, false, Health::Down),
                Health::Up => {
                    let first = self.pace.fall_first.unwrap_or(self.pace.fall);
                    (first as usize, false, Health::Down)
                }
                Health::Down => (self.pace.rise as usize, true, Health::Up),
            };
            if row.len() >= need && row[row.len() - need..].iter().all(|passed| *passed == wanted) {
                verdict = other;
                row.clear();
                changes.push((*at, verdict));
            }
        }
        changes
    }
}

/// No pool is empty while one of its servers was ever up, whatever the checks say.
fn assert_never_empty(servers: &[Server], now: Instant, seed: u64) {
    let policy = Policy {
        quorum: 1,
        hysteresis: 0,
        inhibit: true,
        sorry: None,
        all_failed: AllFailed::Keep(Duration::from_secs(10)),
        removals: None,
    };
    let member = |server: &Server| Member {
        health: server.health,
        since: server.since,
        was_up: true,
        weight: 1,
        drain: false,
        inhibit: None,
    };
    let members: Vec<Member> = servers.iter().map(member).collect();
    let decision = pool::decide(&policy, &members, Some(true), now);
    let serving = decision.seats.iter().filter(|seat| seat.weight() > 0).count();
    assert!(serving > 0, "WEIR_SEED={seed}: an empty pool at {now:?}");
    let lives = members.iter().any(|member| member.health == Health::Up);
    assert_eq!(lives, decision.kept() == 0, "WEIR_SEED={seed} at {now:?}");
}

#[test]
fn a_thousand_checks_follow_the_rule_through_ten_minutes_of_loss() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or(20_261_120);
    let mut rng = Rng::new(seed);
    let mut servers: Vec<Server> = (0..CHECKS).map(|_| Server::new(&mut rng)).collect();
    // The first pool dies as a whole within a second.
    for (n, server) in servers.iter_mut().take(POOL).enumerate() {
        server.dies =
            Some(Instant::ZERO + 17 * MINUTE + Duration::from_millis(200) * u32::try_from(n).unwrap());
    }
    let mut queue: BinaryHeap<_> = (0..CHECKS).map(|n| Reverse((servers[n].next(), n))).collect();
    while let Some(Reverse((now, n))) = queue.pop() {
        if now > END {
            break;
        }
        let before = servers[n].changes.len();
        servers[n].wake(now, &mut rng);
        queue.push(Reverse((servers[n].next(), n)));
        if servers[n].changes.len() > before {
            let first = n / POOL * POOL;
            assert_never_empty(&servers[first..first + POOL], now, seed);
        }
    }
    let mut falls = 0;
    for (n, server) in servers.iter().enumerate() {
        assert_eq!(
            server.changes,
            server.by_the_rule(),
            "WEIR_SEED={seed}, check {n}"
        );
        falls += server
            .changes
            .iter()
            .filter(|(_, health)| *health == Health::Down)
            .count();
        let Some(dies) = server.dies else {
            assert_eq!(server.health, Health::Up, "WEIR_SEED={seed}, check {n} lives");
            continue;
        };
        // The jitter moves a run by at most half of it either way.
        let bound = INTERVAL * server.pace.fall + server.pace.timeout + server.pace.jitter;
        let seen = server
            .changes
            .last()
            .filter(|(_, health)| *health == Health::Down);
        let (seen, _) = *seen.unwrap_or_else(|| panic!("WEIR_SEED={seed}: nobody saw {n} die"));
        assert!(
            seen <= dies + bound,
            "WEIR_SEED={seed}: {n} died at {dies:?} and was seen at {seen:?}"
        );
    }
    let runs: usize = servers.iter().map(|server| server.outcomes.len()).sum();
    assert!(runs > CHECKS * 230, "every slot was used: {runs} runs");
    assert!(falls > CHECKS / 2, "the storm was one: {falls} falls");
}

/// With the retry and the quicker interval that may be asked for, the rule is the same and the answer comes sooner.
#[test]
fn a_check_hurries_after_a_failure_and_while_its_server_is_down() {
    let pace = Pace {
        interval: 60 * SECOND,
        spread: Duration::ZERO,
        retry: Some(2 * SECOND),
        interval_down: Some(5 * SECOND),
        fast_recovery: false,
        ..pace(2, 3)
    };
    let mut target = Target::new(pace, 0);
    let (dies, lives) = (Instant::from_secs(100), Instant::from_secs(300));
    loop {
        let (now, _) = target.check.poll_timeout();
        if now > Instant::from_secs(500) {
            break;
        }
        target.wake(now, now < dies || now >= lives);
    }
    // A run of the grid at 120 s fails at 121, two retries at 123 and 126; then every 5 s; of the grid's
    // run at 300 s and the one 5 s later both pass.
    let at = |second| Instant::from_secs(second);
    assert_eq!(target.changes, [(at(127), Health::Down), (at(305), Health::Up)]);
    let runs: Vec<u64> = target
        .runs
        .iter()
        .map(|run| (*run - Instant::ZERO).as_secs())
        .filter(|second| *second > 300)
        .collect();
    assert_eq!(runs, [305, 360, 420, 480], "and by its grid again");
}

/// keepalived's `delay_loop 2` with a `delay_before_retry` of 3, which its HTTP_GET has unless told otherwise.
#[test]
fn a_retry_may_be_later_than_the_interval() {
    let pace = Pace {
        interval: 2 * SECOND,
        spread: Duration::ZERO,
        retry: Some(3 * SECOND),
        ..pace(1, 3)
    };
    let mut target = Target::new(pace, 0);
    loop {
        let (now, _) = target.check.poll_timeout();
        if now > Instant::from_secs(30) {
            break;
        }
        target.wake(now, now < Instant::from_secs(10));
    }
    // The run at 10 s fails at 11; retries at 14 and 18 fail a second later each; then the grid's runs.
    let runs: Vec<u64> = target
        .runs
        .iter()
        .map(|run| (*run - Instant::ZERO).as_secs())
        .filter(|second| (8..=24).contains(second))
        .collect();
    assert_eq!(runs, [8, 10, 14, 18, 20, 22, 24]);
    assert_eq!(target.changes, [(Instant::from_secs(19), Health::Down)]);
}

#[test]
fn a_suspected_server_is_asked_at_once() {
    let pace = Pace {
        interval: 60 * SECOND,
        spread: Duration::ZERO,
        ..pace(1, 3)
    };
    let mut target = Target::new(pace, 0);
    target.wake(Instant::ZERO, true);
    target.check.suspect(Instant::from_secs(10));
    assert_eq!(target.check.poll_timeout(), (Instant::from_secs(10), Timer::Run));
    target.wake(Instant::from_secs(10), false);
    target.wake(Instant::from_secs(11), false);
    assert_eq!(target.changes, [(Instant::from_secs(11), Health::Down)]);
}
