//! Claims of our own addresses.

use weir_wire::arp::{Operation, Repr};

use super::*;

fn own() -> Bench {
    let mut bench = Bench::new(Config::default());
    bench.feed(Input::Own {
        key: key6(1),
        mac: OURS,
    });
    bench.feed(Input::Own {
        key: key4(1),
        mac: OURS,
    });
    bench
}

fn arp(operation: Operation, mac: MacAddr, sender: Key, target: Key) -> Input {
    let ip = |key: Key| match key.ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => unreachable!(),
    };
    let packet = Repr {
        operation,
        sender_hardware_addr: mac,
        sender_protocol_addr: ip(sender),
        target_hardware_addr: MacAddr::ZERO,
        target_protocol_addr: ip(target),
    };
    Input::Arp { port: PORT, packet }
}

#[test]
fn whoever_claims_an_address_of_ours_is_reported_and_not_learnt() {
    let solicit = ndp::Repr::NeighborSolicit {
        target_addr: v6(7),
        lladdr: Some(B),
    };
    let rows = [
        (arp(Operation::Request, B, key4(1), key4(1)), key4(1)),
        (arp(Operation::Request, B, key4(1), key4(9)), key4(1)),
        (arp(Operation::Reply, B, key4(1), key4(9)), key4(1)),
        (advert(1, Some(B), false, true), key6(1)),
        (advert(1, Some(B), true, false), key6(1)),
        (
            Input::Nd {
                port: PORT,
                src_addr: v6(1),
                message: solicit,
            },
            key6(1),
        ),
    ];
    for (input, key) in rows {
        let mut bench = own();
        assert_eq!(bench.feed(input), [Action::Conflict { key, mac: B }], "{input:?}");
        assert_eq!(bench.cache.stats().conflicts, 1);
        assert!(bench.cache.is_empty());
    }
}

#[test]
fn what_is_no_claim_is_no_conflict() {
    let nowhere = Key {
        port: PORT,
        ip: IpAddr::from([0, 0, 0, 0]),
    };
    let rows = [
        arp(Operation::Request, OURS, key4(1), key4(1)), // our own announcement, looped back
        advert(1, Some(OURS), false, true),
        arp(Operation::Request, B, nowhere, key4(1)), // a probe: it only wants to know
        Input::Nd {
            port: PORT,
            src_addr: Ipv6Addr::UNSPECIFIED,
            message: ndp::Repr::NeighborSolicit {
                target_addr: v6(1),
                lladdr: None,
            },
        },
    ];
    for input in rows {
        let mut bench = own();
        assert_eq!(bench.feed(input), [], "{input:?}");
        assert_eq!(bench.cache.stats().conflicts, 0);
        assert!(bench.cache.is_empty());
    }
}

#[test]
fn given_up_addresses_and_other_ports_are_free_for_all() {
    let mut bench = own();
    bench.feed(Input::Disown(key6(1)));
    assert_eq!(bench.feed(advert(1, Some(B), false, true)), []);
    let mut bench = own();
    let Input::Nd {
        src_addr, message, ..
    } = advert(1, Some(B), false, true)
    else {
        unreachable!()
    };
    assert_eq!(
        bench.feed(Input::Nd {
            port: PORT + 1,
            src_addr,
            message
        }),
        []
    );
}

#[test]
fn an_address_taken_over_is_no_neighbour_any_more() {
    let mut bench = Bench::new(Config::default());
    bench.feed(Input::Wanted(key6(1)));
    bench.feed(advert(1, Some(B), true, true));
    assert_eq!(
        bench.feed(Input::Own {
            key: key6(1),
            mac: OURS
        }),
        [Action::Fail(key6(1))]
    );
    assert!(bench.cache.is_empty());
}

#[test]
fn impossible_stations_are_counted_and_ignored() {
    let mut bench = own();
    for mac in [
        MacAddr::ZERO,
        MacAddr::BROADCAST,
        MacAddr([0x33, 0x33, 0, 0, 0, 1]),
    ] {
        bench.feed(Input::Wanted(key4(9)));
        assert_eq!(bench.feed(arp(Operation::Reply, mac, key4(9), key4(1))), []);
        assert_eq!(bench.feed(advert(9, Some(mac), true, true)), []);
    }
    assert_eq!(bench.cache.stats().invalid, 6);
    assert_eq!(bench.state(key4(9)), Some(State::Incomplete));
}

#[test]
fn a_storm_of_claims_is_counted_whole_and_queued_in_part() {
    let mut bench = own();
    for claim in 0..1000u16 {
        let [high, low] = claim.to_be_bytes();
        bench.cache.handle(
            bench.now,
            advert(1, Some(MacAddr([2, 0, 0, 0, high, low])), false, true),
        );
    }
    assert_eq!(bench.cache.stats().conflicts, 1000);
    assert_eq!(bench.drain().len(), 64);
}
