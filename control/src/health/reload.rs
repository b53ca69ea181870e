//! A thousand configurations reloaded in a row, with servers that come and go in between: what is known afterwards is
//! what a start on the new configuration would make of the same servers.
//!
//! The oracle is a map from what is asked of whom to what was found. A reload keeps an entry exactly as long as every
//! configuration in between asks it; nothing else is ever lost, and nothing is made up.

use super::book::Finding;
use super::targets::{of_backend, targets};
use super::*;
use crate::publish::pool::pool;
use crate::publish::tests::{random_config, seed};
use crate::publish::{Desired, Inputs, Table, desired};
use std::collections::BTreeMap;
use std::time::Duration;
use weir_configs::Config;
use weir_proto::health::probe::{Failure, Fault};
use weir_proto::health::{Health, Outcome};
use weir_proto::time::Instant;

/// What is asked of whom, however often.
fn question(target: &Target) -> Target {
    Target {
        pace: pace(),
        log_all_failures: false,
        ..target.clone()
    }
}

fn pace() -> Pace {
    Pace {
        interval: Duration::from_secs(1),
        jitter: Duration::ZERO,
        timeout: Duration::from_secs(1),
        rise: 1,
        fall: 1,
        spread: Duration::ZERO,
        retry: None,
        interval_down: None,
        fast_recovery: false,
        fall_first: None,
        flap: None,
    }
}

type Known = HashMap<Target, Finding>;
type Quorums = BTreeMap<String, bool>;

/// What a daemon would publish that knows this.
fn published(
    config: &Config,
    quorums: &Quorums,
    now: Instant,
    health: &dyn Fn(&Target) -> Finding,
) -> Desired {
    let quorum = |name: &str| quorums.get(name).copied();
    desired(&inputs(config, now, health, &quorum))
}

fn inputs<'a>(
    config: &'a Config,
    now: Instant,
    health: &'a dyn Fn(&Target) -> Finding,
    quorum: &'a dyn Fn(&str) -> Option<bool>,
) -> Inputs<'a> {
    Inputs {
        health,
        quorum,
        now,
        ..Inputs::of(config)
    }
}

/// The quorums after a look at every pool.
fn quorums(config: &Config, before: &Quorums, now: Instant, health: &dyn Fn(&Target) -> Finding) -> Quorums {
    let quorum = |name: &str| before.get(name).copied();
    let inputs = inputs(config, now, health, &quorum);
    let services = config.services.iter();
    services
        .map(|service| (service.name.clone(), pool(&inputs, service).decision.quorum_up))
        .collect()
}

/// A run: of a server that is up one that passes or takes it down, of one that is down one that brings it up.
fn happen(checks: &mut Checks, target: &Target, at: Instant, passes: bool) {
    let Some(Some(running)) = checks.running.get(target) else {
        return;
    };
    let id = running.id;
    let before = checks.book.finding(target);
    let falls = before.health == Health::Up && !passes;
    let changed = falls || before.health == Health::Down;
    let outcome = match falls {
        true => Outcome::Fail(Failure::Connection(Fault::Refused)),
        false => Outcome::Pass,
    };
    let report = Report {
        outcome,
        took: Duration::from_millis(3),
        at,
        health: if falls { Health::Down } else { Health::Up },
        changed,
        against: 0,
        needed: 1,
        skipped: 0,
        next: at,
        held_until: None,
    };
    checks.book.observe(id, report);
}

#[tokio::test]
async fn a_thousand_reloads_keep_what_is_known_and_nothing_else() {
    let seed = seed();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut checks = Checks::new(Clock::start(), seed);
    let (mut known, mut quorum, mut table) = (Known::new(), Quorums::new(), Table::default());
    let (mut kept, mut fell) = (0, 0);
    for round in 0..1_000_u64 {
        let context = format!("WEIR_SEED={seed}, round {round}");
        let now = Instant::from_secs(1_000_000 + round * 10);
        let config = random_config(&mut rng);
        let wanted = targets(&config);
        checks.reconcile(&wanted);
        known.retain(|asked, _| wanted.iter().any(|target| question(target) == *asked));
        quorum.retain(|name, _| config.service(name).is_some());
        for target in &wanted {
            let found = checks.book().finding(target);
            match known.get(&question(target)) {
                Some(expected) => {
                    kept += 1;
                    assert_eq!(found, *expected, "{context}: {target:?}");
                }
                None => {
                    // Only the instant of its start is its own.
                    let fresh = Finding {
                        since: found.since,
                        ..Finding::UNKNOWN
                    };
                    assert_eq!(found, fresh, "{context}: {target:?}");
                }
            }
        }
        assert_eq!(checks.running.len(), wanted.len(), "{context}");
        assert_eq!(checks.book().iter().count(), wanted.len(), "{context}");
        let live = |target: &Target| checks.book().finding(target);
        // The daemon's way: step by step. A start's way: all at once, from what is known.
        let after = quorums(&config, &quorum, now, &live);
        let reloaded = published(&config, &after, now, &live).table;
        let start = |target: &Target| {
            known
                .get(&question(target))
                .copied()
                .unwrap_or_else(|| live(target))
        };
        let started = published(&config, &quorum, now, &start).table;
        assert_eq!(reloaded, started, "{context}");
        for command in table.plan(&reloaded) {
            table.apply(&command);
        }
        assert_eq!(table, started, "{context}");
        // No server that is known to be down is in service by this reload, unless its pool says so.
        for service in &config.services {
            let quorum_now = |name: &str| after.get(name).copied();
            let standings = pool(&inputs(&config, now, &live, &quorum_now), service).standings;
            for (backend, standing) in service.backends.iter().zip(standings) {
                let down = of_backend(backend).any(|target| live(&target).health == Health::Down);
                let in_service =
                    matches!(standing.seat, weir_proto::health::pool::Seat::In(weight) if weight > 0);
                assert!(
                    !(down && in_service),
                    "{context}: {} {}",
                    service.name,
                    backend.address
                );
                fell += usize::from(down);
            }
        }
        for target in &wanted {
            if rng.random_bool(0.4) {
                let at = now + Duration::from_secs(rng.random_range(1..9));
                happen(&mut checks, target, at, rng.random_bool(0.3));
            }
        }
        let live = |target: &Target| checks.book().finding(target);
        known = wanted
            .iter()
            .map(|target| (question(target), live(target)))
            .collect();
        quorum = quorums(&config, &after, now + Duration::from_secs(9), &live);
    }
    assert!(kept > 1_000 && fell > 100, "worth it: {kept} kept, {fell} down");
}
