//! A stalled process never causes a take-over by itself, and yields at once when it must.

use super::*;

#[test]
fn a_backup_that_drains_its_socket_first_stays_backup() {
    let mut bench = Bench::backup(config());
    bench.input(advert(HIGHER, 200));
    bench.now += 10 * SECOND;
    bench.input(advert(HIGHER, 200));
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.next().unwrap().0, bench.machine.active_down_interval());
}

#[test]
fn a_backup_whose_adverts_are_lost_listens_once_more() {
    let mut bench = Bench::backup(config());
    bench.input(advert(HIGHER, 200));
    bench.now += 10 * SECOND;
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.next(), Some((1_609_375 * US, Timer::ActiveDown)));
    assert_eq!(bench.machine.stats().stall_rechecks, 1);
    let mut deaf = Bench {
        machine: bench.machine.clone(),
        now: bench.now,
    };
    // The active router lives:
    bench.now += SECOND;
    bench.input(advert(HIGHER, 200));
    assert_eq!(bench.next().unwrap().0, bench.machine.active_down_interval());
    // or it does not, and a second stall is no excuse.
    deaf.now += 10 * SECOND;
    deaf.machine.handle_timeout(deaf.now);
    assert_eq!(deaf.machine.state(), State::Active);
}

#[test]
fn a_little_late_is_not_stalled() {
    let mut bench = Bench::backup(config());
    bench.now += bench.machine.active_down_interval() + 900 * MS;
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.machine.state(), State::Active);
}

#[test]
fn an_active_router_stopped_for_ten_seconds_yields_before_it_says_anything() {
    for first in [
        advert(LOWER, 50),
        advert(HIGHER, 200),
        Input::Rejected(Reject::Vrid),
    ] {
        let mut bench = Bench::active(config());
        bench.now += 10 * SECOND;
        let actions = bench.input(first.clone());
        assert_eq!(short(&actions), ["release", "backup"], "{first:?}");
        let why = bench.machine.transitions().last().unwrap().why.to_string();
        assert_eq!(why, "we did not run for 10.000 s, longer than backups wait");
        bench.machine.handle_timeout(bench.now);
        assert_eq!(bench.drain(), []);
    }
}

#[test]
fn after_a_stall_it_takes_part_again() {
    let stalled = |preempt| {
        let mut bench = Bench::active(Config { preempt, ..config() });
        bench.now += 10 * SECOND;
        bench.input(advert(LOWER, 50));
        bench
    };
    let mut bench = stalled(Preempt::Yes);
    assert_eq!(
        short(&bench.pass(1_609_375 * US)),
        ["advert", "claim", "announce", "active"]
    );
    let mut bench = stalled(Preempt::No);
    assert_eq!(bench.pass(3 * SECOND), []);
}

#[test]
fn a_stall_shorter_than_others_wait_changes_nothing() {
    let mut bench = Bench::active(config());
    bench.now += 3_600 * MS;
    bench.machine.handle_timeout(bench.now);
    assert_eq!(short(&bench.drain()), ["advert"]);
}

#[test]
fn the_owner_asserts_itself_after_a_stall() {
    let mut bench = Bench::new(Config {
        priority: 255,
        ..config()
    });
    bench.input(Input::Startup);
    bench.now += 10 * SECOND;
    assert_eq!(short(&bench.input(advert(LOWER, 100))), ["advert", "lower"]);
}
