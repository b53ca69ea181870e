//! Every message survives its record, and nothing that is no record becomes a message.

use core::mem::discriminant;
use std::collections::HashSet;

use rand::Rng;
use rand::rngs::SmallRng;

use super::*;
use crate::testing::seeded;

#[test]
fn every_message_survives_its_record() {
    let mut rng = seeded("every_message_survives_its_record");
    let mut kinds = HashSet::new();
    for _ in 0..100_000 {
        let message = arbitrary::message(&mut rng);
        if let Record::Command(command) = &message.record {
            kinds.insert(discriminant(command));
        }
        let raw = message.encode().unwrap_or_else(|e| panic!("{e}: {message:?}"));
        assert_eq!(Message::decode(&raw).as_ref(), Ok(&message));
    }
    assert_eq!(kinds.len(), 14, "a command is never generated");
}

#[test]
fn every_event_survives_its_record() {
    let mut rng = seeded("every_event_survives_its_record");
    let mut kinds = HashSet::new();
    for _ in 0..50_000 {
        let event = arbitrary::event(&mut rng);
        kinds.insert(discriminant(&event));
        let raw = event.encode().unwrap_or_else(|e| panic!("{e}: {event:?}"));
        assert_eq!(Event::decode(&raw).as_ref(), Ok(&event));
    }
    assert_eq!(kinds.len(), 11, "an event is never generated");
}

/// Changes a few bits, bytes or words of a record.
fn mutate(rng: &mut SmallRng, raw: &mut RawRecord) {
    for _ in 0..rng.random_range(1..=3) {
        let word = if rng.random() {
            rng.random_range(0..RECORD_WORDS)
        } else {
            rng.random_range(0..8)
        };
        match rng.random_range(0..4) {
            0 => raw[word] ^= 1 << rng.random_range(0..64),
            1 => raw[word] ^= rng.random_range(0..=255) << (8 * rng.random_range(0..8)),
            2 => raw[word] = rng.random(),
            _ => raw[word] = 0,
        }
    }
}

/// A record decodes to a value that encodes to the very same record, or to an error: there are no two records for
/// one value, so no bit is ignored.
#[test]
fn a_million_mutated_records_are_values_or_named_errors() {
    let mut rng = seeded("a_million_mutated_records_are_values_or_named_errors");
    let (mut values, mut errors) = (0_u32, HashSet::new());
    for n in 0..1_000_000 {
        let event = n % 4 == 0;
        let mut raw = if event {
            arbitrary::event(&mut rng).encode()
        } else {
            arbitrary::message(&mut rng).encode()
        }
        .expect("a valid message");
        mutate(&mut rng, &mut raw);
        let again = if event {
            Event::decode(&raw).map(|event| event.encode())
        } else {
            Message::decode(&raw).map(|message| message.encode())
        };
        match again {
            Ok(again) => {
                values += 1;
                assert_eq!(again, Ok(raw));
            }
            Err(error) => {
                errors.insert(discriminant(&error));
            }
        }
    }
    assert!(values > 1000, "only {values} mutants were valid");
    assert_eq!(errors.len(), 6, "some kind of error was never seen");
}

#[test]
fn noise_is_refused() {
    let mut rng = seeded("noise_is_refused");
    for _ in 0..100_000 {
        let raw: RawRecord = rng.random();
        assert!(Message::decode(&raw).is_err());
        assert!(Event::decode(&raw).is_err());
    }
    assert_eq!(
        Message::decode(&[0; RECORD_WORDS]),
        Err(RecordError::UnknownKind { kind: 0 })
    );
}

fn tcp(address: &str, port: u16) -> ServiceKey {
    ServiceKey {
        protocol: Protocol::Tcp,
        address: address.parse().expect("an address"),
        port,
    }
}

fn refusal(command: Command) -> String {
    let message = Message {
        generation: 1,
        index: 1,
        record: Record::Command(command),
    };
    message.encode().expect_err("must not encode").to_string()
}

fn backend(address: &str, port: u16, forward: Forward) -> Backend {
    let key = BackendKey {
        address: address.parse().expect("an address"),
        port,
    };
    Backend::new(tcp("192.0.2.1", 80), key, forward)
}

/// What cannot be is refused where it would be sent, with the fix.
#[test]
fn impossible_values_are_not_sent() {
    let service = Service::new(tcp("192.0.2.1", 80), SchedulerKind::Wlc, ForwardMode::Dr);
    let vxlan = |vni, port| {
        Forward::Tunnel(Tunnel::Vxlan {
            port,
            vni,
            inner_mac: [2, 0, 0, 0, 0, 1],
        })
    };
    let route = |gateways| {
        Command::UpsertRoute(Route {
            to: "192.0.2.0/24".parse().expect("a prefix"),
            gateways,
            mtu: None,
        })
    };
    let gateway = Gateway {
        via: None,
        port: Some(PortId(0)),
        vlan: None,
        weight: 1,
    };
    let vip = Vip::owned("192.0.2.1".parse().expect("an address"));
    let cases = [
        (
            Command::UpsertService(Service {
                one_packet: true,
                ..service
            }),
            "UDP only",
        ),
        (
            Command::UpsertService(Service {
                persistence: Some(Persistence {
                    timeout_s: 0,
                    prefix_len: 32,
                }),
                ..service
            }),
            "persistence in seconds",
        ),
        (
            Command::UpsertService(Service {
                persistence: Some(Persistence {
                    timeout_s: 1,
                    prefix_len: 33,
                }),
                ..service
            }),
            "persistence prefix",
        ),
        (
            Command::UpsertService(Service {
                mss_clamp: MssClamp::Fixed(20),
                ..service
            }),
            "MSS",
        ),
        (
            Command::UpsertService(Service {
                mss_clamp: MssClamp::Fixed(1),
                ..service
            }),
            "give none",
        ),
        (
            Command::UpsertService(Service {
                timeouts: Some(Timeouts {
                    udp_s: 0,
                    ..Timeouts::IPVS
                }),
                ..service
            }),
            "time-out",
        ),
        (
            Command::UpsertBackend(backend("2001:db8::1", 80, Forward::Dr)),
            "use a tunnel",
        ),
        (
            Command::UpsertBackend(backend("2001:db8::1", 80, Forward::Nat)),
            "use fullnat",
        ),
        (
            Command::UpsertBackend(backend("192.0.2.2", 81, Forward::Dr)),
            "keep the port",
        ),
        (
            Command::UpsertBackend(backend("192.0.2.2", 80, vxlan(1 << 24, 4789))),
            "VXLAN identifier",
        ),
        (
            Command::UpsertBackend(backend("192.0.2.2", 80, vxlan(1, 0))),
            "tunnel port",
        ),
        (
            Command::UpsertBackend(Backend {
                tunnel_source: Some([192, 0, 2, 9].into()),
                ..backend("192.0.2.2", 80, Forward::Nat)
            }),
            "only the tunnel mode",
        ),
        (
            Command::UpsertBackend(Backend {
                path_mtu: Some(10),
                ..backend("192.0.2.2", 80, Forward::Dr)
            }),
            "MTU",
        ),
        (route(vec![]), "number of gateways"),
        (route(vec![gateway; GATEWAYS_MAX + 1]), "number of gateways"),
        (route(vec![gateway; 300]), "number of gateways"),
        (
            route(vec![Gateway {
                port: None,
                ..gateway
            }]),
            "an address or a port",
        ),
        (route(vec![Gateway { weight: 0, ..gateway }]), "gateway weight"),
        (
            Command::UpsertVip(Vip {
                mac: Some([0; 6]),
                ..vip
            }),
            "give none",
        ),
        (
            Command::UpsertVip(Vip {
                mac: Some([1, 0, 0, 0, 0, 0]),
                ..vip
            }),
            "group address",
        ),
        (
            Command::UpsertVip(Vip {
                port: Some(PortId(u16::MAX)),
                ..vip
            }),
            "give none",
        ),
    ];
    for (command, wanted) in cases {
        let shown = format!("{command:?}");
        let error = refusal(command);
        assert!(
            error.contains(wanted),
            "`{error}` does not say `{wanted}` for {shown}"
        );
    }
}

#[test]
fn names_and_codes_are_one_to_one() {
    for kind in SchedulerKind::ALL {
        assert_eq!(SchedulerKind::from_code(kind.code()), Some(*kind));
        assert_eq!(kind.name().parse(), Ok(*kind));
    }
    let error = "wllc"
        .parse::<SchedulerKind>()
        .expect_err("no such name")
        .to_string();
    assert!(
        error.contains("`wllc` is no scheduler") && error.contains("wlc"),
        "{error}"
    );
}

#[test]
fn prefixes_hold_what_they_should() {
    let parse = |text: &str| text.parse::<Prefix>();
    let default = parse("0.0.0.0/0").expect("valid");
    let net = parse("192.0.2.128/25").expect("valid");
    let net6 = parse("2001:db8::/32").expect("valid");
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    assert!(default.contains(ip("203.0.113.1")) && !default.contains(ip("::1")));
    assert!(net.contains(ip("192.0.2.255")) && !net.contains(ip("192.0.2.127")));
    assert!(net6.contains(ip("2001:db8:ffff::1")) && !net6.contains(ip("2001:db9::1")));
    for bad in ["192.0.2.1/24", "192.0.2.0/33", "::/129", "192.0.2.0", "x/8"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_long_text_is_cut_between_characters() {
    let text = Text::new("é".repeat(TEXT_LEN_MAX));
    assert_eq!(text.as_str(), "é".repeat(TEXT_LEN_MAX / 2));
    assert_eq!(
        Text::new(format!("a{}", "é".repeat(100))).as_str().len(),
        TEXT_LEN_MAX - 1
    );
}
