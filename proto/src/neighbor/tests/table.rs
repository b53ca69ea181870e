//! RFC 4861 Appendix C, row by row. Where the appendix and §7.2.5 differ, §7.2.5 holds, and the row says so.

use super::*;

/// Where a row starts: no entry, or an entry in a state, with MAC address A where it has one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum From {
    Nothing,
    In(State),
}

#[derive(Debug, Clone, Copy)]
enum Cause {
    Send,
    /// NS for an address of ours.
    Solicit(Option<MacAddr>),
    RouterSolicit(Option<MacAddr>),
    RouterAdvert(Option<MacAddr>),
    Advert {
        mac: Option<MacAddr>,
        s: bool,
        o: bool,
    },
    Confirm,
    /// The next deadline.
    Timeout,
    /// The deadline after the last solicitation.
    LastTimeout,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Nothing,
    AskAll,
    AskOne,
    Record(MacAddr),
    Discard,
}

type Row = (From, Cause, Does, Option<State>);

const INCOMPLETE: From = From::In(State::Incomplete);
const REACHABLE: From = From::In(State::Reachable);
const STALE: From = From::In(State::Stale);
const DELAY: From = From::In(State::Delay);
const PROBE: From = From::In(State::Probe);
const FAILED: From = From::In(State::Failed);
const KNOWN: [From; 4] = [REACHABLE, STALE, DELAY, PROBE];

const fn na(mac: Option<MacAddr>, s: bool, o: bool) -> Cause {
    Cause::Advert { mac, s, o }
}

/// Rows for one state.
const ROWS: &[Row] = &[
    (From::Nothing, Cause::Send, Does::AskAll, Some(State::Incomplete)),
    (INCOMPLETE, Cause::Send, Does::Nothing, Some(State::Incomplete)),
    (INCOMPLETE, Cause::Timeout, Does::AskAll, Some(State::Incomplete)),
    // The RFC discards the entry; ours stays as negative cache.
    (INCOMPLETE, Cause::LastTimeout, Does::Discard, Some(State::Failed)),
    (
        INCOMPLETE,
        na(Some(B), false, false),
        Does::Record(B),
        Some(State::Stale),
    ),
    (
        INCOMPLETE,
        na(Some(B), false, true),
        Does::Record(B),
        Some(State::Stale),
    ),
    (
        INCOMPLETE,
        na(Some(B), true, false),
        Does::Record(B),
        Some(State::Reachable),
    ),
    (
        INCOMPLETE,
        na(Some(B), true, true),
        Does::Record(B),
        Some(State::Reachable),
    ),
    (
        INCOMPLETE,
        na(None, true, true),
        Does::Nothing,
        Some(State::Incomplete),
    ),
    (
        INCOMPLETE,
        na(None, false, false),
        Does::Nothing,
        Some(State::Incomplete),
    ),
    (INCOMPLETE, Cause::Confirm, Does::Nothing, Some(State::Incomplete)),
    (From::Nothing, na(Some(B), true, true), Does::Nothing, None),
    (From::Nothing, na(Some(B), false, true), Does::Nothing, None),
    (From::Nothing, Cause::Confirm, Does::Nothing, None),
    (REACHABLE, Cause::Send, Does::Nothing, Some(State::Reachable)),
    (REACHABLE, Cause::Timeout, Does::Nothing, Some(State::Stale)),
    (STALE, Cause::Send, Does::Nothing, Some(State::Delay)),
    (STALE, Cause::Timeout, Does::Discard, None), // ours: unused for stale_lifetime
    (DELAY, Cause::Send, Does::Nothing, Some(State::Delay)),
    (DELAY, Cause::Timeout, Does::AskOne, Some(State::Probe)),
    (PROBE, Cause::Send, Does::Nothing, Some(State::Probe)),
    (PROBE, Cause::Timeout, Does::AskOne, Some(State::Probe)),
    (PROBE, Cause::LastTimeout, Does::Discard, Some(State::Failed)),
    // Another address without override: only REACHABLE cares (§7.2.5 a, b; the appendix has the solicited rows).
    (
        REACHABLE,
        na(Some(B), true, false),
        Does::Nothing,
        Some(State::Stale),
    ),
    (
        REACHABLE,
        na(Some(B), false, false),
        Does::Nothing,
        Some(State::Stale),
    ),
    (STALE, na(Some(B), true, false), Does::Nothing, Some(State::Stale)),
    (DELAY, na(Some(B), true, false), Does::Nothing, Some(State::Delay)),
    (PROBE, na(Some(B), true, false), Does::Nothing, Some(State::Probe)),
    (
        STALE,
        na(Some(B), false, false),
        Does::Nothing,
        Some(State::Stale),
    ),
    (
        DELAY,
        na(Some(B), false, false),
        Does::Nothing,
        Some(State::Delay),
    ),
    (
        PROBE,
        na(Some(B), false, false),
        Does::Nothing,
        Some(State::Probe),
    ),
    // NS, RS, RA.
    (From::Nothing, Cause::Solicit(None), Does::Nothing, None),
    (
        From::Nothing,
        Cause::Solicit(Some(B)),
        Does::Record(B),
        Some(State::Stale),
    ),
    (
        INCOMPLETE,
        Cause::Solicit(None),
        Does::Nothing,
        Some(State::Incomplete),
    ),
    (
        INCOMPLETE,
        Cause::Solicit(Some(B)),
        Does::Record(B),
        Some(State::Stale),
    ),
    (
        INCOMPLETE,
        Cause::RouterSolicit(Some(B)),
        Does::Record(B),
        Some(State::Stale),
    ),
    (
        INCOMPLETE,
        Cause::RouterAdvert(Some(B)),
        Does::Record(B),
        Some(State::Stale),
    ),
    (
        INCOMPLETE,
        Cause::RouterAdvert(None),
        Does::Nothing,
        Some(State::Incomplete),
    ),
    // Strangers are entered when they talk to us, not when they talk to all.
    (From::Nothing, Cause::RouterSolicit(Some(B)), Does::Nothing, None),
    (From::Nothing, Cause::RouterAdvert(Some(B)), Does::Nothing, None),
    // The sixth state, the negative cache.
    (FAILED, Cause::Send, Does::Discard, Some(State::Failed)),
    (FAILED, Cause::Timeout, Does::Nothing, None),
    (FAILED, Cause::Confirm, Does::Nothing, Some(State::Failed)),
    (
        FAILED,
        Cause::Solicit(Some(B)),
        Does::Record(B),
        Some(State::Stale),
    ),
    (
        FAILED,
        na(Some(B), true, true),
        Does::Record(B),
        Some(State::Reachable),
    ),
    (
        FAILED,
        na(Some(B), false, true),
        Does::Record(B),
        Some(State::Stale),
    ),
    (FAILED, na(None, true, true), Does::Nothing, Some(State::Failed)),
];

/// Rows the appendix gives for every state but INCOMPLETE; `None` leaves the state alone.
const KNOWN_ROWS: &[(Cause, Does, Option<State>)] = &[
    (na(Some(A), true, false), Does::Nothing, Some(State::Reachable)),
    (na(Some(A), true, true), Does::Nothing, Some(State::Reachable)),
    (na(Some(B), true, true), Does::Record(B), Some(State::Reachable)),
    (na(Some(A), false, false), Does::Nothing, None),
    (na(Some(A), false, true), Does::Nothing, None),
    (na(Some(B), false, true), Does::Record(B), Some(State::Stale)),
    // §7.2.5: "or no Target Link-Layer Address option was supplied": the answer to a unicast probe may lack it.
    (na(None, true, false), Does::Nothing, Some(State::Reachable)),
    (na(None, true, true), Does::Nothing, Some(State::Reachable)),
    (na(None, false, true), Does::Nothing, None),
    (Cause::Confirm, Does::Nothing, Some(State::Reachable)),
    (Cause::Solicit(Some(B)), Does::Record(B), Some(State::Stale)),
    (Cause::Solicit(Some(A)), Does::Nothing, None),
    (Cause::Solicit(None), Does::Nothing, None),
    (Cause::RouterSolicit(Some(B)), Does::Record(B), Some(State::Stale)),
    (Cause::RouterAdvert(Some(B)), Does::Record(B), Some(State::Stale)),
    (Cause::RouterAdvert(Some(A)), Does::Nothing, None),
];

fn bench_in(from: From) -> Bench {
    let mut bench = Bench::new(Config::default());
    bench.feed(Input::Own {
        key: key6(1),
        mac: OURS,
    });
    match from {
        From::Nothing => {}
        From::In(State::Incomplete) => drop(bench.feed(Input::Wanted(key6(9)))),
        From::In(State::Failed) => {
            bench.feed(Input::Wanted(key6(9)));
            while bench.state(key6(9)) == Some(State::Incomplete) {
                bench.expire();
            }
        }
        From::In(State::Reachable) => {
            bench.feed(Input::Wanted(key6(9)));
            bench.feed(advert(9, Some(A), true, true));
        }
        From::In(State::Stale) => {
            bench.feed(Input::Wanted(key6(9)));
            bench.feed(advert(9, Some(A), false, true));
        }
        From::In(State::Delay) => {
            bench = bench_in(STALE);
            bench.feed(Input::Wanted(key6(9)));
        }
        From::In(State::Probe) => {
            bench = bench_in(DELAY);
            bench.expire();
        }
    }
    let expected = match from {
        From::Nothing => None,
        From::In(state) => Some(state),
    };
    assert_eq!(bench.state(key6(9)), expected, "the bench itself");
    bench
}

fn cause(bench: &mut Bench, cause: Cause) -> Vec<Action> {
    let nd = |message| Input::Nd {
        port: PORT,
        src_addr: v6(9),
        message,
    };
    match cause {
        Cause::Send => bench.feed(Input::Wanted(key6(9))),
        Cause::Solicit(lladdr) => bench.feed(nd(ndp::Repr::NeighborSolicit {
            target_addr: v6(1),
            lladdr,
        })),
        Cause::RouterSolicit(lladdr) => bench.feed(nd(ndp::Repr::RouterSolicit { lladdr })),
        Cause::RouterAdvert(lladdr) => bench.feed(nd(ndp::Repr::RouterAdvert {
            hop_limit: 64,
            managed: false,
            other: false,
            router_lifetime_s: 1800,
            reachable_time_ms: 0,
            retrans_timer_ms: 0,
            lladdr,
            mtu: None,
        })),
        Cause::Advert { mac, s, o } => bench.feed(advert(9, mac, s, o)),
        Cause::Confirm => bench.feed(Input::Confirmed(key6(9))),
        Cause::Timeout => bench.expire(),
        Cause::LastTimeout => {
            bench.expire();
            bench.expire();
            bench.expire()
        }
    }
}

fn actions_of(does: Does) -> Vec<Action> {
    let key = key6(9);
    match does {
        Does::Nothing => vec![],
        Does::AskAll => vec![Action::Solicit {
            key,
            unicast_to: None,
        }],
        Does::AskOne => vec![Action::Solicit {
            key,
            unicast_to: Some(A),
        }],
        Does::Record(mac) => vec![Action::Update { key, mac }],
        Does::Discard => vec![Action::Fail(key)],
    }
}

fn check(row: &Row) {
    let &(from, event, does, to) = row;
    let mut bench = bench_in(from);
    let actions = cause(&mut bench, event);
    assert_eq!(actions, actions_of(does), "{row:?}");
    assert_eq!(bench.state(key6(9)), to, "{row:?}");
    match does {
        Does::Record(mac) => assert_eq!(bench.mac(key6(9)), Some(mac), "{row:?}"),
        Does::Nothing if KNOWN.contains(&from) => assert_eq!(bench.mac(key6(9)), Some(A), "{row:?}"),
        Does::Nothing | Does::AskAll | Does::AskOne | Does::Discard => {}
    }
}

#[test]
fn rows_of_one_state() {
    ROWS.iter().for_each(check);
}

#[test]
fn rows_of_every_state_with_an_address() {
    for from in KNOWN {
        for &(event, does, to) in KNOWN_ROWS {
            let From::In(state) = from else { unreachable!() };
            check(&(from, event, does, Some(to.unwrap_or(state))));
        }
    }
}

#[test]
fn the_router_flag_follows_what_the_neighbour_says() {
    let mut bench = bench_in(REACHABLE);
    let router = |bench: &Bench| bench.neighbor(key6(9)).unwrap().router;
    cause(&mut bench, Cause::RouterAdvert(Some(A)));
    assert!(router(&bench));
    cause(&mut bench, Cause::RouterSolicit(Some(A)));
    assert!(!router(&bench));
    let message = ndp::Repr::NeighborAdvert {
        router: true,
        solicited: true,
        override_: false,
        target_addr: v6(9),
        lladdr: None,
    };
    bench.feed(Input::Nd {
        port: PORT,
        src_addr: v6(9),
        message,
    });
    assert!(router(&bench));
}

/// The same machine driven by ARP: (packet from 198.18.0.9, what it does) in INCOMPLETE and in REACHABLE with A.
#[test]
fn arp_packets_map_to_the_same_table() {
    use weir_wire::arp::{Operation, Repr};
    let ip = |key: Key| match key.ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => unreachable!(),
    };
    let (us, them, other) = (ip(key4(1)), ip(key4(9)), ip(key4(77)));
    let packet = |operation, mac, target| Repr {
        operation,
        sender_hardware_addr: mac,
        sender_protocol_addr: them,
        target_hardware_addr: OURS,
        target_protocol_addr: target,
    };
    let record = |mac| vec![Action::Update { key: key4(9), mac }];
    let rows = [
        // packet, asked for: state, actions; known as A and not asked for: state, actions
        (
            packet(Operation::Reply, A, us),
            State::Reachable,
            record(A),
            State::Reachable,
            vec![],
        ),
        (
            packet(Operation::Reply, B, us),
            State::Reachable,
            record(B),
            State::Stale,
            record(B),
        ),
        (
            packet(Operation::Reply, B, them),
            State::Stale,
            record(B),
            State::Stale,
            record(B),
        ),
        (
            packet(Operation::Request, B, them),
            State::Stale,
            record(B),
            State::Stale,
            record(B),
        ),
        (
            packet(Operation::Request, A, them),
            State::Stale,
            record(A),
            State::Reachable,
            vec![],
        ),
        (
            packet(Operation::Request, B, us),
            State::Stale,
            record(B),
            State::Stale,
            record(B),
        ),
        (
            packet(Operation::Request, B, other),
            State::Stale,
            record(B),
            State::Stale,
            record(B),
        ),
        (
            packet(Operation::Request, A, other),
            State::Stale,
            record(A),
            State::Reachable,
            vec![],
        ),
    ];
    for (packet, asked_state, asked_actions, known_state, known_actions) in rows {
        let mut bench = Bench::new(Config::default());
        bench.feed(Input::Own {
            key: key4(1),
            mac: OURS,
        });
        bench.feed(Input::Wanted(key4(9)));
        assert_eq!(
            bench.feed(Input::Arp { port: PORT, packet }),
            asked_actions,
            "{packet:?}"
        );
        assert_eq!(bench.state(key4(9)), Some(asked_state), "{packet:?}");

        let mut bench = Bench::new(Config::default());
        bench.feed(Input::Own {
            key: key4(1),
            mac: OURS,
        });
        bench.feed(Input::Wanted(key4(9)));
        let answer = Repr {
            sender_hardware_addr: A,
            ..packet
        };
        bench.feed(Input::Arp {
            port: PORT,
            packet: Repr {
                operation: Operation::Reply,
                target_protocol_addr: us,
                ..answer
            },
        });
        assert_eq!(bench.state(key4(9)), Some(State::Reachable));
        assert_eq!(
            bench.feed(Input::Arp { port: PORT, packet }),
            known_actions,
            "{packet:?}"
        );
        assert_eq!(bench.state(key4(9)), Some(known_state), "{packet:?}");
    }
}
