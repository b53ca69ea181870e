//! Room: who may enter, who must leave, and what a flood does.

use super::*;

fn small() -> Config {
    Config {
        entries_max: 8,
        incomplete_max: 4,
        own_max: 2,
        ..Config::default()
    }
}

fn resolve(bench: &mut Bench, last: u16) {
    bench.feed(Input::Wanted(key6(last)));
    bench.feed(advert(last, Some(A), true, true));
}

#[test]
fn a_flood_of_unknown_addresses_leaves_the_known_ones_alone() {
    let mut bench = Bench::new(Config {
        entries_max: 1024,
        ..Config::default()
    });
    for backend in 0..100 {
        bench.feed(Input::Pin(key4(backend)));
    }
    for client in 1..=100 {
        resolve(&mut bench, client);
    }
    let before = bench.cache.stats();
    let flood: usize = (0..65_000u32)
        .map(|n| {
            bench.feed(Input::Wanted(Key {
                port: PORT,
                ip: IpAddr::V6(Ipv6Addr::from_bits(n.into())),
            }))
        })
        .map(|actions| {
            actions
                .iter()
                .filter(|action| matches!(action, Action::Solicit { .. }))
                .count()
        })
        .sum();
    let stats = bench.cache.stats();
    assert_eq!(flood, Config::default().incomplete_max);
    assert_eq!(stats.refused - before.refused, 65_000 - flood as u64);
    assert!(bench.cache.len() <= 1024);
    assert!((1..=100).all(|client| bench.cache.lookup(key6(client)) == Lookup::Found(A)));
    assert!((0..100).all(|backend| bench.neighbor(key4(backend)).is_some_and(|n| n.pinned)));
}

#[test]
fn the_refused_are_told() {
    let mut bench = Bench::new(Config {
        incomplete_max: 1,
        ..small()
    });
    bench.feed(Input::Wanted(key6(1)));
    assert_eq!(bench.feed(Input::Wanted(key6(2))), [Action::Fail(key6(2))]);
    assert_eq!(bench.cache.lookup(key6(2)), Lookup::Unknown);
}

#[test]
fn the_oldest_unused_leaves_first_and_its_driver_hears_of_it() {
    let mut bench = Bench::new(small());
    for last in 1..=8 {
        resolve(&mut bench, last);
        if last <= 2 {
            bench.feed(advert(last, Some(B), false, true)); // STALE
        }
        bench.now += Duration::from_millis(1);
    }
    let actions = bench.feed(Input::Wanted(key6(9)));
    assert_eq!(actions[0], Action::Fail(key6(1)));
    assert_eq!((bench.cache.len(), bench.cache.stats().evictions), (8, 1));
    assert_eq!(bench.state(key6(1)), None);
}

#[test]
fn traffic_takes_no_place_of_the_living_but_a_backend_does() {
    let mut bench = Bench::new(small());
    (1..=8).for_each(|last| resolve(&mut bench, last));
    assert_eq!(bench.feed(Input::Wanted(key6(9))), [Action::Fail(key6(9))]);
    let actions = bench.feed(Input::Pin(key6(9)));
    assert_eq!(
        actions,
        [
            Action::Fail(key6(1)),
            Action::Solicit {
                key: key6(9),
                unicast_to: None
            }
        ]
    );
}

#[test]
fn the_pinned_and_the_fixed_never_leave() {
    let mut bench = Bench::new(small());
    (1..=4).for_each(|last| drop(bench.feed(Input::Pin(key6(last)))));
    (5..=8).for_each(|last| {
        drop(bench.feed(Input::Static {
            key: key6(last),
            mac: A,
        }))
    });
    for newcomer in [
        Input::Pin(key6(9)),
        Input::Wanted(key6(9)),
        Input::Static { key: key6(9), mac: A },
    ] {
        assert_eq!(bench.feed(newcomer), [Action::Fail(key6(9))], "{newcomer:?}");
    }
    assert_eq!(bench.cache.len(), 8);
    assert_eq!(bench.cache.stats().refused, 3);
}

#[test]
fn own_addresses_are_bounded() {
    let mut bench = Bench::new(small());
    (1..=3).for_each(|last| {
        drop(bench.feed(Input::Own {
            key: key6(last),
            mac: OURS,
        }))
    });
    assert_eq!(bench.cache.stats().refused, 1);
    assert_eq!(bench.feed(advert(2, Some(B), false, true)).len(), 1);
    assert_eq!(bench.feed(advert(3, Some(B), false, true)).len(), 0);
}

#[test]
fn a_driver_that_never_listens_costs_no_memory() {
    let mut bench = Bench::new(small());
    for round in 0..1000u16 {
        bench.cache.handle(bench.now, Input::Wanted(key6(round)));
        bench
            .cache
            .handle(bench.now, advert(round, Some(A), round % 2 == 0, true));
        bench.now += Duration::from_secs(20);
        bench.cache.handle_timeout(bench.now);
    }
    // At most one report for each neighbour gone, one notice and one solicitation for each entry.
    assert!(bench.drain().len() <= 3 * 8);
}

#[test]
fn zero_timers_do_not_spin() {
    let zero = Duration::ZERO;
    let pin = PinConfig {
        probe_interval: zero,
        retrans_timer: zero,
        failed_interval: zero,
        unicast_solicits_max: 0,
        multicast_solicits_max: 0,
    };
    let config = Config {
        retrans_timer: zero,
        reachable_time: zero,
        delay_first_probe: zero,
        stale_lifetime: zero,
        failed_hold: zero,
        solicit_interval_min: zero,
        pin,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    for last in 0..4 {
        bench.feed(Input::Pin(key6(last)));
        bench.feed(Input::Wanted(key6(last + 100)));
        bench.feed(advert(last, Some(A), true, true));
    }
    for _ in 0..1000 {
        bench.cache.handle_timeout(bench.now);
        let (deadline, _) = bench.cache.poll_timeout().unwrap();
        assert!(deadline > bench.now, "nothing is due twice at one instant");
        bench.drain();
        bench.now = deadline;
    }
    // At the end of time deadlines saturate; the call still returns.
    bench.cache.handle_timeout(Instant::MAX);
}
