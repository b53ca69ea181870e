//! Preemption, priority 0, owners, rivals, and the reasons people read.

use super::*;
use crate::vrrp::RivalEvidence;
use weir_wire::MacAddr;

fn why(bench: &Bench) -> String {
    bench.machine.transitions().last().unwrap().why.to_string()
}

#[test]
fn preempt_delay_counts_from_the_first_lower_priority() {
    let mut bench = Bench::backup(Config {
        preempt: Preempt::After(5 * SECOND),
        ..config()
    });
    for _ in 0..5 {
        bench.input(advert(LOWER, 50));
        assert_eq!(
            bench.next().unwrap().0,
            bench.machine.active_down_interval(),
            "still accepted"
        );
        assert_eq!(bench.pass(SECOND), []);
    }
    // The delay is over: the timer that runs is the one of the advertisement before.
    bench.input(advert(LOWER, 50));
    assert_eq!(
        bench.next().unwrap().0,
        bench.machine.active_down_interval() - SECOND
    );
    bench.pass(SECOND);
    bench.input(advert(LOWER, 50));
    let actions = bench.pass(2 * SECOND);
    assert_eq!(bench.machine.state(), State::Active);
    assert_eq!(short(&actions)[..4], ["advert", "claim", "announce", "active"]);
    assert_eq!(why(&bench), "192.0.2.1 has priority 50, lower than our 100");
}

#[test]
fn a_higher_priority_cancels_the_preempt_delay() {
    let mut bench = Bench::backup(Config {
        preempt: Preempt::After(2 * SECOND),
        ..config()
    });
    for priority in [50, 50, 150, 50, 50] {
        bench.input(advert(LOWER, priority));
        assert_eq!(bench.next().unwrap().0, bench.machine.active_down_interval());
        bench.pass(SECOND);
    }
}

#[test]
fn a_flood_of_priority_zero_holds_nobody_off() {
    for (src, takes_over_within) in [(LOWER, 4 * SECOND), (HIGHER, SECOND)] {
        let mut bench = Bench::backup(config());
        bench.input(advert(HIGHER, 200));
        let start = bench.now;
        while bench.machine.state() == State::Backup {
            bench.pass(100 * MS);
            bench.input(advert(src, 0));
            assert!(bench.now - start <= takes_over_within, "from {src}");
        }
        let stats = bench.machine.stats();
        assert!(stats.pri_zero_rcvd >= 7);
        assert_eq!(stats.pri_zero_ignored > 7, src == LOWER);
    }
    // To the letter of the RFC it does.
    let mut bench = Bench::backup(Config {
        rules: Rules::RFC_9568,
        ..config()
    });
    for _ in 0..100 {
        bench.input(advert(LOWER, 0));
        bench.pass(100 * MS);
    }
    assert_eq!(bench.machine.state(), State::Backup);
}

#[test]
fn two_owners() {
    let owner = Config {
        priority: 255,
        ..config()
    };
    for (rules, src, state) in [
        (Rules::RFC_9568, LOWER, State::Active),
        (Rules::RFC_9568, HIGHER, State::Backup),
        (Rules::KEEPALIVED, LOWER, State::Backup),
        (Rules::KEEPALIVED, HIGHER, State::Backup),
    ] {
        let mut bench = Bench::new(Config {
            rules,
            ..owner.clone()
        });
        bench.input(Input::Startup);
        assert_eq!(bench.machine.state(), State::Active);
        bench.input(advert(src, 255));
        assert_eq!(bench.machine.state(), state, "{src}");
    }
}

#[test]
fn rules_decide_what_an_active_router_says() {
    let rules = Rules {
        lower_priority: LowerPriority::Discard,
        advertise_before_yielding: true,
        ..Rules::KEEPALIVED
    };
    let mut bench = Bench::active(Config { rules, ..config() });
    assert_eq!(short(&bench.input(advert(HIGHER, 50))), ["lower"]);
    assert_eq!(
        short(&bench.input(advert(HIGHER, 150))),
        ["advert", "release", "backup"]
    );
}

#[test]
fn a_router_that_does_not_hear_us_is_reported_within_two_intervals() {
    let mut bench = Bench::active(config());
    assert_eq!(short(&bench.input(advert(HIGHER, 50))), ["advert", "lower"]);
    bench.pass(SECOND);
    assert_eq!(
        short(&bench.input(advert(HIGHER, 50))),
        ["advert", "lower", "rival"]
    );
    let rival = bench.machine.rival().unwrap();
    let evidence = RivalEvidence::Adverts {
        address: HIGHER,
        priority: 50,
    };
    assert_eq!(rival.evidence, evidence);
    assert!(rival.to_string().contains("does not hear us"), "{rival}");
    bench.pass(SECOND);
    assert_eq!(
        short(&bench.input(advert(HIGHER, 50))),
        ["advert", "lower"],
        "reported once"
    );
    let later = short(&bench.pass(5 * SECOND));
    assert_eq!(later.iter().filter(|action| **action == "no rival").count(), 1);
    assert_eq!(bench.machine.stats().rivals, 1);
}

#[test]
fn one_advertisement_crossing_ours_is_no_rival() {
    let mut bench = Bench::active(config());
    bench.input(advert(HIGHER, 50));
    bench.now += 10 * MS;
    assert_eq!(
        short(&bench.input(advert(HIGHER, 50))),
        ["advert", "lower"],
        "a duplicate"
    );
    assert_eq!(bench.machine.rival(), None);
}

#[test]
fn a_claim_by_arp_is_a_rival() {
    let claimed = Input::AddressClaimed {
        address: VIP,
        mac: MacAddr([2, 0, 0, 0, 0, 9]),
    };
    let mut bench = Bench::backup(config());
    assert_eq!(
        bench.input(claimed.clone()),
        [],
        "it is the active router's address"
    );
    bench.fire();
    assert_eq!(short(&bench.input(claimed.clone())), ["rival"]);
    assert_eq!(bench.input(claimed), []);
    assert_eq!(
        short(&bench.input(advert(HIGHER, 200))),
        ["release", "no rival", "backup"]
    );
}

#[test]
fn reasons_are_readable() {
    let mut bench = Bench::backup(config());
    bench.input(advert(HIGHER, 200));
    bench.fire();
    assert_eq!(
        why(&bench),
        "192.0.2.3 (priority 200) has been silent for 3.609 s"
    );
    bench.input(advert(HIGHER, 200));
    assert_eq!(why(&bench), "192.0.2.3 has priority 200, higher than our 100");
    bench.input(advert(HIGHER, 0));
    bench.fire();
    assert_eq!(why(&bench), "192.0.2.3 said that it stops");
    bench.input(advert(HIGHER, 100));
    assert_eq!(
        why(&bench),
        "192.0.2.3 has the same priority and the higher address"
    );
    bench.input(Input::Shutdown);
    assert_eq!(why(&bench), "stopped");
    bench.input(Input::Startup);
    bench.fire();
    assert_eq!(why(&bench), "no active router was heard");
    assert_eq!(bench.machine.transitions().len(), 8);
}

#[test]
fn a_startup_delay_comes_before_everything() {
    let mut bench = Bench::new(Config {
        startup_delay: 10 * SECOND,
        ..config()
    });
    assert_eq!(bench.input(Input::Startup), []);
    bench.input(advert(HIGHER, 200));
    assert_eq!(bench.next(), Some((10 * SECOND, Timer::Startup)));
    assert_eq!(short(&bench.fire()), ["backup"]);
    assert_eq!(bench.next().unwrap().0, bench.machine.active_down_interval());
}
