//! A new configuration changes what it must and nothing else.

use super::*;

fn reload(bench: &mut Bench, config: Config) -> Vec<Action> {
    bench.input(Input::Config(Box::new(config)))
}

#[test]
fn a_hundred_reloads_of_the_active_leave_no_gap_and_change_no_state() {
    let mut bench = Bench::active(config());
    let mut last = bench.now;
    let transitions = bench.machine.transitions().len();
    for n in 0..100u8 {
        for _ in 0..111 {
            let actions = bench.pass(10 * MS);
            if short(&actions).contains(&"advert") {
                assert!(
                    bench.now - last <= SECOND + 10 * MS,
                    "gap of {:?}",
                    bench.now - last
                );
                last = bench.now;
            }
        }
        let priority = 100 + n % 50;
        let actions = reload(&mut bench, Config { priority, ..config() });
        assert_eq!(actions, [], "reload {n}");
    }
    assert!(bench.now - last <= SECOND);
    assert_eq!(bench.machine.transitions().len(), transitions);
    assert_eq!(bench.machine.state(), State::Active);
}

#[test]
fn other_addresses_are_advertised_claimed_and_announced_in_this_order() {
    let mut bench = Bench::active(config());
    let more = Config {
        addresses: vec![VIP, HIGHER],
        ..config()
    };
    assert_eq!(short(&reload(&mut bench, more)), ["advert", "claim", "announce"]);
}

#[test]
fn a_shorter_interval_is_no_stall() {
    let mut bench = Bench::active(config());
    bench.now += 900 * MS;
    let fast = Config {
        interval: 10 * MS,
        ..config()
    };
    assert_eq!(short(&reload(&mut bench, fast)), ["advert"]);
    assert_eq!(bench.next(), Some((10 * MS, Timer::Adver)));
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.machine.state(), State::Active);
}

#[test]
fn a_backup_keeps_the_silence_it_has_borne() {
    let mut bench = Bench::backup(config());
    bench.input(advert(HIGHER, 200));
    bench.now += 2 * SECOND;
    assert_eq!(
        reload(
            &mut bench,
            Config {
                priority: 156,
                ..config()
            }
        ),
        []
    );
    // 3 s and 100/256 of one, less the two.
    assert_eq!(bench.next(), Some((1_390_625 * US, Timer::ActiveDown)));
}

#[test]
fn an_owner_by_configuration_is_active_at_once() {
    let mut bench = Bench::backup(config());
    let actions = reload(
        &mut bench,
        Config {
            priority: 255,
            ..config()
        },
    );
    assert_eq!(short(&actions), ["advert", "claim", "announce", "active"]);
}

#[test]
fn preempt_delay_survives_a_reload_without_two_actives() {
    let delayed = Config {
        preempt: Preempt::After(10 * SECOND),
        ..config()
    };
    let mut bench = Bench::active(delayed.clone());
    for _ in 0..10 {
        assert_eq!(reload(&mut bench, delayed.clone()), []);
        assert_eq!(short(&bench.pass(SECOND)), ["advert"]);
    }
}

#[test]
fn every_mistake_is_named() {
    let good = config();
    good.check().unwrap();
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    for (bad, invalid) in [
        (
            Config {
                vrid: 0,
                ..good.clone()
            },
            Invalid::Vrid,
        ),
        (
            Config {
                priority: 0,
                ..good.clone()
            },
            Invalid::Priority,
        ),
        (
            Config {
                addresses: vec![],
                ..good.clone()
            },
            Invalid::AddressCount,
        ),
        (
            Config {
                addresses: vec![VIP; 256],
                ..good.clone()
            },
            Invalid::AddressCount,
        ),
        (
            Config {
                addresses: vec![v6],
                ..good.clone()
            },
            Invalid::Family,
        ),
        (
            Config {
                unicast_peers: vec![v6],
                ..good.clone()
            },
            Invalid::Family,
        ),
        (
            Config {
                auth: Auth::Password(Password::new("1111")),
                ..good.clone()
            },
            Invalid::Auth,
        ),
        (
            Config {
                down_timer_adverts: 0,
                ..good.clone()
            },
            Invalid::DownTimer,
        ),
        (
            Config {
                priority: 255,
                preempt: Preempt::No,
                ..good.clone()
            },
            Invalid::OwnerPreempt,
        ),
        (
            Config {
                version: Version::V2,
                ..Config::new(1, v6, vec![v6])
            },
            Invalid::Version,
        ),
    ] {
        assert_eq!(bad.check(), Err(invalid));
        assert!(!invalid.to_string().is_empty());
    }
}
