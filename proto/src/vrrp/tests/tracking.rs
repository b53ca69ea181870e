//! Weights and faults.

use super::*;

fn tracker(name: &str, weight: i16, reverse: bool) -> Tracker {
    Tracker {
        name: name.to_owned(),
        weight,
        reverse,
        up: None,
    }
}

#[test]
fn weights_are_summed_as_keepalived_does() {
    for (weight, reverse, up, delta, fault) in [
        (10, false, true, 10, None),
        (10, false, false, 0, None),
        (-10, false, true, 0, None),
        (-10, false, false, -10, None),
        (10, true, true, 0, None),
        (10, true, false, 10, None),
        (-10, true, true, -10, None),
        (0, false, true, 0, None),
        (0, false, false, 0, Some("x is down")),
        (0, true, true, 0, Some("x is up")),
    ] {
        let mut tracking = Tracking::new(vec![tracker("x", weight, reverse)]);
        assert_eq!(tracking.tracked(), Tracked::default(), "unknown moves nothing");
        assert!(tracking.set("x", up));
        assert!(!tracking.set("x", up), "no news");
        let expected = Tracked {
            delta,
            fault: fault.map(str::to_owned),
        };
        assert_eq!(tracking.tracked(), expected, "{weight} {reverse} {up}");
    }
}

#[test]
fn the_priority_stays_between_1_and_254_and_an_owner_stays_an_owner() {
    let tracked = |delta| Tracked { delta, fault: None };
    assert_eq!(tracked(-253).priority(100), 1);
    assert_eq!(tracked(253).priority(100), 254);
    assert_eq!(tracked(-20).priority(100), 80);
    assert_eq!(tracked(-20).priority(255), 255);
    assert_eq!(tracked(i32::MAX).priority(254), 254);
}

#[test]
fn a_fault_stops_and_its_end_starts_again() {
    let fault = |what: Option<&str>| {
        Input::Tracked(Tracked {
            delta: 0,
            fault: what.map(str::to_owned),
        })
    };
    let mut bench = Bench::active(config());
    assert_eq!(
        short(&bench.input(fault(Some("eth0 is down")))),
        ["stop", "release", "initialize"]
    );
    assert_eq!(bench.machine.fault(), Some("eth0 is down"));
    assert_eq!(bench.next(), None);
    assert_eq!(short(&bench.input(fault(None))), ["backup"]);
    let whys: Vec<String> = bench.machine.transitions().map(|t| t.why.to_string()).collect();
    assert_eq!(whys[2..], ["fault: eth0 is down", "no fault any more"]);
    // A fault before the start holds the start.
    let mut bench = Bench::new(config());
    bench.input(fault(Some("x is down")));
    assert_eq!(bench.input(Input::Startup), []);
    assert_eq!(short(&bench.input(fault(None))), ["backup"]);
    // And what was never started is not started by the end of a fault.
    let mut bench = Bench::new(config());
    bench.input(fault(Some("x is down")));
    assert_eq!(bench.input(fault(None)), []);
}

#[test]
fn a_changed_priority_is_advertised_and_moves_the_wait() {
    let weight = |delta| Input::Tracked(Tracked { delta, fault: None });
    let mut bench = Bench::active(config());
    bench.input(weight(-30));
    assert_eq!(bench.fire(), [Action::SendAdvert { priority: 70 }]);
    let mut bench = Bench::backup(config());
    bench.input(advert(HIGHER, 120));
    bench.now += SECOND;
    bench.input(weight(56));
    assert_eq!(bench.next(), Some((2_390_625 * US, Timer::ActiveDown)));
    bench.input(advert(HIGHER, 120));
    assert_eq!(
        bench.next(),
        Some((2_390_625 * US, Timer::ActiveDown)),
        "120 is lower than 156 now"
    );
}
