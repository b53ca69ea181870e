//! Pinned and fixed neighbours: what we add to the RFC.

use super::*;

fn pinned() -> Bench {
    let mut bench = Bench::new(Config::default());
    assert_eq!(
        bench.feed(Input::Pin(key6(9))),
        [Action::Solicit {
            key: key6(9),
            unicast_to: None
        }]
    );
    bench.feed(advert(9, Some(A), true, true));
    bench
}

#[test]
fn a_pinned_neighbour_is_probed_without_traffic() {
    let mut bench = pinned();
    for _ in 0..20 {
        let start = bench.now;
        assert_eq!(
            bench.expire(),
            [Action::Solicit {
                key: key6(9),
                unicast_to: Some(A)
            }]
        );
        let interval = bench.now - start;
        assert!((750..=1000).contains(&interval.as_millis()), "{interval:?}");
        assert_eq!(bench.feed(advert(9, Some(A), true, true)), []);
    }
    assert_eq!(bench.state(key6(9)), Some(State::Reachable));
}

#[test]
fn a_silent_neighbour_is_asked_alone_then_by_all_then_fails_and_comes_back() {
    let mut bench = pinned();
    let key = key6(9);
    let actions: Vec<_> = bench
        .run(Duration::from_secs(8))
        .into_iter()
        .map(|(_, action)| action)
        .collect();
    let one = Action::Solicit {
        key,
        unicast_to: Some(A),
    };
    let all = Action::Solicit {
        key,
        unicast_to: None,
    };
    assert_eq!(actions[..2], [one, one]);
    assert_eq!(actions[2..10], [all; 8]);
    assert_eq!(actions[10], Action::Fail(key));
    assert!(
        actions[11..].len() >= 3,
        "a failed one is asked for about once a second"
    );
    assert!(actions[11..].iter().all(|&action| action == all));
    assert_eq!(
        bench.feed(advert(9, Some(B), true, true)),
        [Action::Update { key, mac: B }]
    );
    assert_eq!(bench.cache.lookup(key), Lookup::Found(B));
}

#[test]
fn the_old_address_is_used_until_failure() {
    let mut bench = pinned();
    bench.run(Duration::from_millis(2500));
    assert_eq!(bench.state(key6(9)), Some(State::Probe));
    assert_eq!(bench.cache.lookup(key6(9)), Lookup::Found(A));
}

#[test]
fn a_silent_move_is_followed_in_time_at_any_moment() {
    for offset_ms in (0..3000).step_by(37) {
        let mut bench = Bench::new(Config::default());
        bench.feed(Input::Pin(key6(9)));
        bench.feed(advert(9, Some(A), true, true));
        let moved_at = bench.now + Duration::from_millis(offset_ms);
        let followed_at = loop {
            for action in bench.expire() {
                // A answers until the move; then B does, which hears only what goes to all or to itself.
                let holder = if bench.now < moved_at { A } else { B };
                if let Action::Solicit { unicast_to, .. } = action
                    && unicast_to.is_none_or(|mac| mac == holder)
                {
                    bench.feed(advert(9, Some(holder), true, true));
                }
            }
            if bench.mac(key6(9)) == Some(B) {
                break bench.now;
            }
        };
        let took = followed_at - moved_at;
        assert!(
            took <= PinConfig::default().follow_time(),
            "moved at {offset_ms} ms, took {took:?}"
        );
    }
}

#[test]
fn an_announced_move_is_followed_at_once_and_then_checked() {
    let mut bench = pinned();
    let key = key6(9);
    assert_eq!(
        bench.feed(advert(9, Some(B), false, true)),
        [Action::Update { key, mac: B }]
    );
    let start = bench.now;
    assert_eq!(
        bench.expire(),
        [Action::Solicit {
            key,
            unicast_to: Some(B)
        }]
    );
    assert!(bench.now - start <= Duration::from_millis(250));
}

#[test]
fn unpinned_it_ages_like_any_other() {
    let mut bench = pinned();
    bench.feed(Input::Unpin(key6(9)));
    assert_eq!(bench.state(key6(9)), Some(State::Stale));
    assert_eq!(bench.expire(), [Action::Fail(key6(9))]);
    assert!(bench.cache.is_empty());
    assert_eq!(bench.cache.poll_timeout(), None);
}

#[test]
fn a_fixed_neighbour_never_changes_and_never_wakes_us() {
    let mut bench = Bench::new(Config::default());
    let key = key6(9);
    assert_eq!(
        bench.feed(Input::Static { key, mac: A }),
        [Action::Update { key, mac: A }]
    );
    for input in [
        advert(9, Some(B), true, true),
        Input::Confirmed(key),
        Input::Wanted(key),
        Input::Pin(key),
        Input::LinkDown { port: PORT },
    ] {
        assert_eq!(bench.feed(input), [], "{input:?}");
        assert_eq!(bench.mac(key), Some(A));
    }
    assert_eq!(bench.cache.poll_timeout(), None);
    // Unfixed, it is still pinned, and resolved like the others.
    assert_eq!(
        bench.feed(Input::Forget(key)),
        [
            Action::Fail(key),
            Action::Solicit {
                key,
                unicast_to: None
            }
        ]
    );
}

#[test]
fn forgetting_an_unpinned_neighbour_removes_it_after_a_moment() {
    let mut bench = Bench::new(Config::default());
    bench.feed(Input::Wanted(key6(9)));
    bench.feed(advert(9, Some(A), true, true));
    assert_eq!(bench.feed(Input::Forget(key6(9))), [Action::Fail(key6(9))]);
    assert_eq!(bench.expire(), []);
    assert!(bench.cache.is_empty());
}

#[test]
fn a_lost_link_fails_the_neighbours_of_its_port_only_and_a_new_one_asks_at_once() {
    let mut bench = pinned();
    let elsewhere = Key {
        port: PORT + 1,
        ..key6(9)
    };
    bench.feed(Input::Static {
        key: Key {
            port: PORT - 1,
            ..key6(9)
        },
        mac: A,
    });
    bench.feed(Input::Pin(elsewhere));
    assert_eq!(
        bench.feed(Input::LinkDown { port: PORT }),
        [Action::Fail(key6(9))]
    );
    assert_eq!(bench.state(elsewhere), Some(State::Incomplete));
    bench.run(Duration::from_millis(400));
    bench.feed(Input::LinkUp { port: PORT });
    assert_eq!(
        bench.expire(),
        [Action::Solicit {
            key: key6(9),
            unicast_to: None
        }]
    );
}
