//! Gratuitous ARP and its schedule.

use super::*;

fn announcing() -> Announcing {
    Announcing {
        repeat: 5,
        delay: 5 * SECOND,
        refresh: 60 * SECOND,
        refresh_repeat: 2,
        lower_priority_repeat: 3,
        lower_priority_delay: 2 * SECOND,
    }
}

/// When which announcement was made, in seconds since `start`.
fn rounds(bench: &mut Bench, for_: Duration) -> Vec<(u64, u8)> {
    let (start, mut found) = (bench.now, Vec::new());
    while bench.now < start + for_ {
        for action in bench.pass(SECOND) {
            if let Action::Announce { rounds } = action {
                found.push(((bench.now - start).as_secs(), rounds));
            }
        }
    }
    found
}

#[test]
fn master_delay_and_refresh() {
    let mut bench = Bench::backup(Config {
        announcing: announcing(),
        ..config()
    });
    let actions = bench.fire();
    assert_eq!(short(&actions)[..3], ["advert", "claim", "announce"]);
    assert_eq!(actions[2], Action::Announce { rounds: 5 });
    assert_eq!(rounds(&mut bench, 130 * SECOND), [(5, 5), (60, 2), (120, 2)]);
}

#[test]
fn a_lower_priority_makes_us_announce_again_advert_first() {
    let mut bench = Bench::active(Config {
        announcing: Announcing {
            refresh: Duration::ZERO,
            delay: Duration::ZERO,
            ..announcing()
        },
        ..config()
    });
    let actions = bench.input(advert(HIGHER, 1));
    assert_eq!(short(&actions), ["advert", "announce", "lower"]);
    assert_eq!(actions[1], Action::Announce { rounds: 3 });
    assert_eq!(rounds(&mut bench, 10 * SECOND), [(2, 3)]);
}

#[test]
fn a_backup_announces_nothing() {
    let mut bench = Bench::active(Config {
        announcing: announcing(),
        ..config()
    });
    bench.input(advert(HIGHER, 200));
    for _ in 0..20 {
        assert_eq!(rounds(&mut bench, 3 * SECOND), []);
        bench.input(advert(HIGHER, 200));
    }
}
