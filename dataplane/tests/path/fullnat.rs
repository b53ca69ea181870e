//! FULLNAT: both addresses translated, ports unique, exhausted honestly, returned.

use std::collections::HashSet;

use crate::support::frame::{ACK, Frame, SYN};
use crate::support::*;
use weir_dataplane::signs::Signs;
use weir_dataplane::{DropReason, Verdict};
use weir_proto::time::Duration;
use weir_rings::message::{Event, Forward, Protocol};

fn source_port(frame: &[u8], v6: bool) -> u16 {
    let at = if v6 { 54 } else { 34 };
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

#[test]
fn both_addresses_are_translated_and_back() {
    let mut world = World::new(Setup::default());
    let mut commands = vec![
        local("198.51.100.200", 1024, 65535),
        local("2001:db8:2::200", 1024, 65535),
    ];
    for (address, server) in [
        ("192.0.2.100", "198.51.100.11"),
        ("2001:db8:1::100", "2001:db8:2::11"),
    ] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            commands.extend(with_backends(
                &service(protocol, address, 80),
                &[(server, 8080)],
                Forward::FullNat,
            ));
        }
    }
    world.commit(&commands).unwrap();
    for (client, virt, server, local) in [
        (
            "203.0.113.7:40000",
            "192.0.2.100:80",
            "198.51.100.11:8080",
            "198.51.100.200",
        ),
        (
            "[2001:db8:9::7]:40000",
            "[2001:db8:1::100]:80",
            "[2001:db8:2::11]:8080",
            "[2001:db8:2::200]",
        ),
    ] {
        let v6 = client.contains('[');
        let server_mac = mac_of(server.parse::<std::net::SocketAddr>().unwrap().ip());
        let gateway_mac = mac_of(ip(if v6 { "2001:db8:1::1" } else { "192.0.2.1" }));
        for sent in [Frame::tcp(client, virt, SYN), Frame::udp(client, virt)] {
            for payload in 0..10 {
                let sent = sent.clone().payload(payload);
                let out = world.send(LAN, &sent.bytes());
                let source = format!("{local}:{}", source_port(&out.frame, v6));
                let expected = sent.clone().hop().macs(server_mac, BACK_MAC).with(|f| {
                    (f.src, f.dst) = (source.parse().unwrap(), server.parse().unwrap());
                });
                assert_eq!((out.verdict, out.frame), (Verdict::Tx(BACK), expected.bytes()));
                let reply = Frame {
                    src: server.parse().unwrap(),
                    dst: source.parse().unwrap(),
                    ..sent.clone()
                }
                .macs(BACK_MAC, server_mac);
                let out = world.send(BACK, &reply.bytes());
                let expected = reply.hop().macs(gateway_mac, LAN_MAC).with(|f| {
                    (f.src, f.dst) = (virt.parse().unwrap(), client.parse().unwrap());
                });
                assert_eq!((out.verdict, out.frame), (Verdict::Tx(LAN), expected.bytes()));
            }
        }
    }
    world.assert_conserved();
}

#[test]
fn ports_run_out_by_name_and_all_come_back() {
    let mut setup = Setup::default();
    setup.settings.flows_max_v4 = 8192;
    let mut world = World::new(setup);
    let mut commands = vec![local("198.51.100.200", 10_000, 10_999)];
    commands.extend(with_backends(
        &service(Protocol::Udp, "192.0.2.100", 80),
        &[("198.51.100.11", 80)],
        Forward::FullNat,
    ));
    commands.extend(with_backends(
        &service(Protocol::Udp, "192.0.2.100", 81),
        &[("198.51.100.12", 80)],
        Forward::FullNat,
    ));
    world.commit(&commands).unwrap();
    for round in 0..3 {
        let mut ports = HashSet::new();
        for client in 0..1000 {
            let sent = Frame::udp(&format!("203.0.113.{round}:{}", 2000 + client), "192.0.2.100:80").bytes();
            let out = world.send(LAN, &sent);
            assert_eq!(out.verdict, Verdict::Tx(BACK), "round {round}, client {client}");
            assert!(
                ports.insert(source_port(&out.frame, false)),
                "two live flows share a tuple"
            );
        }
        assert!(ports.iter().all(|port| (10_000..=10_999).contains(port)));
        let refused = Frame::udp("203.0.113.99:1", "192.0.2.100:80").bytes();
        assert_eq!(
            world.send(LAN, &refused).verdict,
            Verdict::Drop(DropReason::NoLocalPort)
        );
        // Towards another server the same ports are free.
        let other = Frame::udp("203.0.113.99:1", "192.0.2.100:81").bytes();
        assert_eq!(world.send(LAN, &other).verdict, Verdict::Tx(BACK));
        world.advance(Duration::from_secs(301));
        assert_eq!(world.counters().get("flows"), None);
    }
    world.assert_conserved();
}

#[test]
fn control_hears_whose_ports_run_out_and_not_too_often() {
    let mut world = World::new(Setup::default());
    let mut commands = vec![local("198.51.100.200", 10_000, 10_009)];
    let pinched = service(Protocol::Udp, "192.0.2.100", 80);
    for (service, server) in [
        (&service(Protocol::Udp, "192.0.2.100", 81), "198.51.100.12"),
        (&pinched, "198.51.100.11"),
    ] {
        commands.extend(with_backends(service, &[(server, 80)], Forward::FullNat));
    }
    world.commit(&commands).unwrap();
    let mut signs = Signs::default();
    let mut look = |world: &mut World, seconds| {
        world.advance(Duration::from_secs(seconds));
        signs.look(world.now, &world.builder.snapshot(), &world.reader)
    };
    let told = |refused| {
        vec![Event::LocalPortsExhausted {
            service: pinched.key,
            refused,
        }]
    };
    let mut clients = 2000..;
    let mut send = |world: &mut World, count, expected: Verdict| {
        for client in clients.by_ref().take(count) {
            let sent = Frame::udp(&format!("203.0.113.7:{client}"), "192.0.2.100:80").bytes();
            assert_eq!(world.send(LAN, &sent).verdict, expected);
        }
    };
    let refused = Verdict::Drop(DropReason::NoLocalPort);
    send(&mut world, 10, Verdict::Tx(BACK));
    let other = Frame::udp("203.0.113.7:1999", "192.0.2.100:81").bytes();
    assert_eq!(world.send(LAN, &other).verdict, Verdict::Tx(BACK));
    assert_eq!(look(&mut world, 1), [], "full, and nobody refused");
    send(&mut world, 3, refused);
    assert_eq!(look(&mut world, 1), told(3));
    assert_eq!(look(&mut world, 1), [], "nothing new");
    send(&mut world, 2, refused);
    assert_eq!(look(&mut world, 1), [], "told a moment ago");
    send(&mut world, 2, refused);
    assert_eq!(look(&mut world, 10), told(4), "what has come together since");
    assert_eq!(look(&mut world, 60), []);
}

#[test]
fn without_a_pool_or_after_it_went_new_flows_are_refused_and_old_ones_go_on() {
    let mut world = World::new(Setup::default());
    let web = service(Protocol::Tcp, "192.0.2.100", 80);
    let mut commands = vec![local("198.51.100.200", 1024, 65535)];
    commands.extend(with_backends(&web, &[("198.51.100.11", 80)], Forward::FullNat));
    world.commit(&commands).unwrap();
    let client = "203.0.113.7:40000";
    let out = world.send(LAN, &Frame::tcp(client, "192.0.2.100:80", SYN).bytes());
    let source = format!("198.51.100.200:{}", source_port(&out.frame, false));
    let key = weir_rings::message::LocalAddressKey {
        address: ip("198.51.100.200"),
        service: None,
    };
    world
        .commit(&[weir_rings::message::Command::DeleteLocalAddress(key)])
        .unwrap();
    let out = world.send(LAN, &Frame::tcp(client, "192.0.2.100:80", ACK).bytes());
    assert_eq!(
        (out.verdict, &out.frame[26..30]),
        (Verdict::Tx(BACK), &[198, 51, 100, 200][..])
    );
    let reply = Frame::tcp("198.51.100.11:80", &source, SYN | ACK).macs(BACK_MAC, CLIENT_MAC);
    assert_eq!(world.send(BACK, &reply.bytes()).verdict, Verdict::Tx(LAN));
    let new = Frame::tcp("203.0.113.7:40001", "192.0.2.100:80", SYN);
    assert_eq!(
        world.send(LAN, &new.bytes()).verdict,
        Verdict::Drop(DropReason::NoLocalPort)
    );
    world.assert_conserved();
}
