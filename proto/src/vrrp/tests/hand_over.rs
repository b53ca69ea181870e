//! A hand-over keeps the addresses until another has them.

use super::*;

#[test]
fn addresses_are_kept_until_the_other_advertises() {
    let mut bench = Bench::active(config());
    assert_eq!(short(&bench.input(Input::HandOver)), ["stop"]);
    assert_eq!(bench.input(Input::HandOver), [], "once");
    assert_eq!(bench.pass(600 * MS), [], "no advertisement in between");
    assert_eq!(bench.machine.state(), State::Active);
    assert_eq!(short(&bench.input(advert(LOWER, 50))), ["release", "backup"]);
    let why = bench.machine.transitions().last().unwrap().why.to_string();
    assert_eq!(why, "handed over to 192.0.2.1 as asked");
}

#[test]
fn the_lower_priority_is_left_alone_until_it_goes_or_we_are_told() {
    let handed_over = || {
        let mut bench = Bench::active(config());
        bench.input(Input::HandOver);
        bench.input(advert(LOWER, 50));
        for _ in 0..10 {
            assert_eq!(bench.pass(SECOND), []);
            bench.input(advert(LOWER, 50));
        }
        bench
    };
    let mut bench = handed_over();
    bench.pass(4 * SECOND);
    assert_eq!(bench.machine.state(), State::Active, "it went silent");
    assert!(!bench.machine.is_after_hand_over());
    let mut bench = handed_over();
    bench.input(Input::Resume);
    for _ in 0..4 {
        bench.pass(SECOND);
        bench.input(advert(LOWER, 50));
    }
    assert_eq!(bench.machine.state(), State::Active, "we were told");
}

#[test]
fn without_a_taker_we_go_on() {
    let mut bench = Bench::active(config());
    bench.input(Input::HandOver);
    assert_eq!(bench.next(), Some((2 * SECOND, Timer::HandOver)));
    assert_eq!(short(&bench.fire()), ["advert"]);
    assert_eq!(bench.next(), Some((SECOND, Timer::Adver)));
    assert!(!bench.machine.is_handing_over());
    assert_eq!(bench.machine.stats().release_master, 0);
}

#[test]
fn only_an_active_router_hands_over() {
    let mut bench = Bench::backup(config());
    assert_eq!(bench.input(Input::HandOver), []);
    assert!(!bench.machine.is_handing_over());
}

/// Connections are relayed to a router that lives, and to no other.
#[test]
fn who_held_the_addresses_and_lives_is_known_to_the_one_that_takes_them() {
    let predecessor = |bench: &Bench| {
        let last = bench.machine.transitions().last().unwrap();
        (last.to, last.why.living_predecessor())
    };
    let lower = advert(LOWER, 50);
    let mut stopped = Bench::backup(config());
    stopped.input(advert(HIGHER, 200));
    stopped.input(advert(HIGHER, 0));
    stopped.pass(SECOND);
    assert_eq!(predecessor(&stopped), (State::Active, Some(HIGHER)));
    let mut preempts = Bench::backup(config());
    for _ in 0..4 {
        preempts.input(lower.clone());
        preempts.pass(SECOND);
    }
    assert_eq!(predecessor(&preempts), (State::Active, Some(LOWER)));
    let mut silent = Bench::backup(config());
    silent.input(advert(HIGHER, 200));
    silent.pass(5 * SECOND);
    assert_eq!(predecessor(&silent), (State::Active, None));
    let mut alone = Bench::backup(config());
    alone.pass(5 * SECOND);
    assert_eq!(predecessor(&alone), (State::Active, None));
    let mut yields = Bench::active(config());
    yields.input(advert(HIGHER, 200));
    assert_eq!(predecessor(&yields), (State::Backup, None));
}
