//! Intervals and skews: nanoseconds, never rounded.

use super::*;
use crate::sim::Rng;

#[test]
fn skew_is_strictly_decreasing_in_the_priority() {
    for interval in [10 * MS, 100 * MS, SECOND, 40_950 * MS] {
        for version in [Version::V2, Version::V3] {
            let skews: Vec<Duration> = (1..=255)
                .map(|priority| skew(version, priority, interval))
                .collect();
            assert!(skews.is_sorted_by(|a, b| a > b), "{version:?} {interval:?}");
        }
    }
    assert_eq!(skew(Version::V3, 254, 10 * MS), Duration::from_nanos(78_125));
    assert_eq!(
        skew(Version::V2, 100, 9 * SECOND),
        Duration::from_nanos(609_375_000)
    );
}

#[test]
fn figures_measured_with_keepalived_come_out() {
    for (version, interval, priority, micros) in [
        (Version::V2, SECOND, 100, 3_609_375),
        (Version::V3, 100 * MS, 100, 360_937),
        (Version::V3, 10 * MS, 100, 36_093),
        (Version::V3, 10 * MS, 200, 32_187),
    ] {
        let down = active_down_interval(version, priority, interval, 3);
        assert_eq!(down.as_micros(), micros, "{version:?} {interval:?} {priority}");
    }
}

#[test]
fn no_interval_overflows() {
    assert_eq!(
        active_down_interval(Version::V3, 1, Duration::MAX, 255),
        Duration::MAX
    );
    for bad in [Duration::ZERO, 15 * MS, 41 * SECOND] {
        let config = Config {
            interval: bad,
            ..config()
        };
        assert_eq!(config.check(), Err(Invalid::Interval), "{bad:?}");
    }
}

#[test]
fn adverts_do_not_drift_when_the_driver_is_a_little_late() {
    let mut bench = Bench::active(config());
    let start = bench.now;
    let mut rng = Rng::new(seed(5));
    for n in 1..=1000u32 {
        let (at, timer) = bench.machine.poll_timeout().unwrap();
        assert_eq!((at, timer), (start + n * SECOND, Timer::Adver));
        bench.now = at + rng.between(Duration::ZERO, 30 * MS);
        bench.machine.handle_timeout(bench.now);
        assert_eq!(short(&bench.drain()), ["advert"]);
    }
}

#[test]
fn early_and_repeated_calls_are_harmless() {
    let mut bench = Bench::active(config());
    for _ in 0..100 {
        bench.machine.handle_timeout(bench.now);
    }
    assert_eq!(bench.drain(), []);
    bench.now += 2 * SECOND;
    bench.machine.handle_timeout(bench.now);
    bench.machine.handle_timeout(bench.now);
    assert_eq!(
        short(&bench.drain()),
        ["advert"],
        "two intervals late is one advertisement"
    );
}

#[test]
fn fifty_days_pass_without_a_hiccup() {
    let mut bench = Bench::active(Config {
        interval: 40_950 * MS,
        ..config()
    });
    let actions = bench.pass(Duration::from_secs(50 * 24 * 3600));
    assert_eq!(actions.len(), 50 * 24 * 3600 * 1000 / 40_950);
    assert!(short(&actions).iter().all(|action| *action == "advert"));
}
