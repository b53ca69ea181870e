//! Persistence, groups, one-packet scheduling, fragments.

use std::num::NonZeroU32;

use crate::support::frame::{ACK, FIN, Frame, SYN};
use crate::support::*;
use weir_dataplane::{DropReason, Verdict};
use weir_proto::time::Duration;
use weir_rings::message::{Command, Forward, Persistence, Protocol, SchedulerKind, Service};

fn persistent(prefix_len: u8) -> Service {
    let mut service = service(Protocol::Tcp, "192.0.2.100", 80);
    service.persistence = Some(Persistence {
        timeout_s: 100,
        prefix_len,
    });
    service
}

fn server_of(world: &mut World, client: &str, port: u16, to: &str) -> [u8; 6] {
    let out = world.send(LAN, &Frame::tcp(&format!("{client}:{port}"), to, SYN).bytes());
    assert_eq!(out.verdict, Verdict::Tx(LAN));
    out.frame[..6].try_into().unwrap()
}

const SERVERS: [(&str, u16); 3] = [("192.0.2.11", 80), ("192.0.2.12", 80), ("192.0.2.13", 80)];

#[test]
fn a_client_stays_with_its_server_while_the_template_lives() {
    let mut world = World::new(Setup::default());
    world
        .commit(&with_backends(&persistent(32), &SERVERS, Forward::Dr))
        .unwrap();
    let first = server_of(&mut world, "203.0.113.7", 1, "192.0.2.100:80");
    for port in 2..10 {
        assert_eq!(
            server_of(&mut world, "203.0.113.7", port, "192.0.2.100:80"),
            first
        );
    }
    assert_ne!(
        server_of(&mut world, "203.0.113.8", 1, "192.0.2.100:80"),
        first,
        "another client, another server"
    );
    // Connections end after 60 s in SYN_RECV; the template lives on for its 100 s, re-armed while it had children.
    world.advance(Duration::from_secs(90));
    assert_eq!(server_of(&mut world, "203.0.113.7", 20, "192.0.2.100:80"), first);
    world.advance(Duration::from_secs(161));
    world.advance(Duration::from_secs(61));
    let again: Vec<_> = (0..3)
        .map(|i| server_of(&mut world, &format!("203.0.113.{}", 100 + i), 1, "192.0.2.100:80"))
        .collect();
    assert!(
        again[0] != again[1] && again[1] != again[2],
        "round robin goes on"
    );
    world.assert_conserved();
}

#[test]
fn a_netmask_makes_a_network_one_client() {
    let mut world = World::new(Setup::default());
    world
        .commit(&with_backends(&persistent(24), &SERVERS, Forward::Dr))
        .unwrap();
    let first = server_of(&mut world, "203.0.113.7", 1, "192.0.2.100:80");
    assert_eq!(server_of(&mut world, "203.0.113.200", 1, "192.0.2.100:80"), first);
    assert_ne!(
        server_of(&mut world, "198.51.100.200", 1, "192.0.2.100:80"),
        first
    );
}

#[test]
fn weight_zero_keeps_persistent_clients_unless_told_otherwise() {
    let mut world = World::new(Setup::default());
    let mut web = persistent(32);
    world
        .commit(&with_backends(&web, &SERVERS[..2], Forward::Dr))
        .unwrap();
    let first = server_of(&mut world, "203.0.113.7", 1, "192.0.2.100:80");
    let (quiet, other) = if first == mac_of(ip("192.0.2.11")) {
        ("192.0.2.11", "192.0.2.12")
    } else {
        ("192.0.2.12", "192.0.2.11")
    };
    let mut backend = backend(&web, quiet, 80, Forward::Dr);
    backend.weight = 0;
    world.commit(&[Command::UpsertBackend(backend)]).unwrap();
    assert_eq!(
        server_of(&mut world, "203.0.113.7", 2, "192.0.2.100:80"),
        first,
        "persistent clients stay"
    );
    assert_eq!(
        server_of(&mut world, "203.0.113.8", 1, "192.0.2.100:80"),
        mac_of(ip(other)),
        "new clients do not come"
    );
    web.policy.expire_quiescent_template = true;
    world.commit(&[Command::UpsertService(web)]).unwrap();
    assert_eq!(
        server_of(&mut world, "203.0.113.7", 3, "192.0.2.100:80"),
        mac_of(ip(other)),
        "told to leave"
    );
    let data = Frame::tcp("203.0.113.7:1", "192.0.2.100:80", ACK);
    assert_eq!(
        world.send(LAN, &data.bytes()).frame[..6],
        first,
        "connections that exist go on"
    );
}

#[test]
fn a_group_is_one_service() {
    let mut world = World::new(Setup::default());
    let group = NonZeroU32::new(5);
    let with = |port: u16| Service {
        group,
        ..Service {
            key: service(Protocol::Tcp, "192.0.2.100", port).key,
            ..persistent(32)
        }
    };
    let mut commands = with_backends(&with(80), &SERVERS, Forward::Dr);
    commands.push(Command::UpsertService(with(443)));
    let published = world.commit(&commands).unwrap();
    assert_eq!((published.services, published.backends), (1, 3));
    let first = server_of(&mut world, "203.0.113.7", 1, "192.0.2.100:80");
    assert_eq!(
        server_of(&mut world, "203.0.113.7", 1, "192.0.2.100:443"),
        first,
        "one client of the group"
    );
    let other = Service {
        scheduler: SchedulerKind::Wrr.into(),
        ..with(444)
    };
    assert!(
        world.commit(&[Command::UpsertService(other)]).is_err(),
        "members must agree"
    );
    world.commit(&[Command::DeleteService(with(80).key)]).unwrap();
    let gone = world.send(LAN, &Frame::tcp("203.0.113.9:1", "192.0.2.100:80", SYN).bytes());
    assert_eq!(gone.verdict, Verdict::Drop(DropReason::NoService));
}

#[test]
fn one_packet_scheduling_makes_no_flow() {
    let mut world = World::new(Setup::default());
    let mut dns = service(Protocol::Udp, "192.0.2.100", 53);
    dns.one_packet = true;
    world.commit(&with_backends(&dns, &SERVERS, Forward::Dr)).unwrap();
    let sent = Frame::udp("203.0.113.7:1", "192.0.2.100:53").bytes();
    let macs: Vec<Vec<u8>> = (0..6)
        .map(|_| world.send(LAN, &sent).frame[..6].to_vec())
        .collect();
    assert_eq!(macs[..3], macs[3..]);
    assert!(macs[0] != macs[1] && macs[1] != macs[2]);
    let counters = world.counters();
    assert_eq!(
        (
            counters.get("flows_created"),
            counters.get("192.0.2.11:80.connections")
        ),
        (None, Some(&2))
    );
    world.assert_conserved();
}

#[test]
fn one_packet_scheduling_with_nat_keeps_the_way_back_alone() {
    let servers = [
        ("198.51.100.11", 5353),
        ("198.51.100.12", 5353),
        ("198.51.100.13", 5353),
    ];
    for forward in [Forward::Nat, Forward::FullNat] {
        let mut world = World::new(Setup::default());
        let mut dns = service(Protocol::Udp, "192.0.2.100", 53);
        dns.one_packet = true;
        let mut commands = with_backends(&dns, &servers, forward);
        commands.push(local("198.51.100.200", 1024, 65535));
        world.commit(&commands).unwrap();
        let (client, virt) = ("203.0.113.7:1", "192.0.2.100:53");
        for round in 0..2 {
            for (server, _) in servers {
                let out = world.send(LAN, &Frame::udp(client, virt).payload(3).bytes());
                assert_eq!(out.verdict, Verdict::Tx(BACK), "{forward:?} {round}");
                assert_eq!(out.frame[..6], mac_of(ip(server)), "each datagram anew");
                let near = std::net::Ipv4Addr::from(<[u8; 4]>::try_from(&out.frame[26..30]).unwrap());
                let port = u16::from_be_bytes([out.frame[34], out.frame[35]]);
                let reply = Frame::udp(&format!("{server}:5353"), &format!("{near}:{port}"))
                    .payload(5)
                    .macs(BACK_MAC, CLIENT_MAC);
                let out = world.send(BACK, &reply.bytes());
                let expected = reply.hop().macs(mac_of(ip("192.0.2.1")), LAN_MAC).with(|f| {
                    (f.src, f.dst) = (virt.parse().unwrap(), client.parse().unwrap());
                });
                assert_eq!((out.verdict, out.frame), (Verdict::Tx(LAN), expected.bytes()));
            }
        }
        let counters = world.counters();
        let kept = if forward == Forward::Nat { 3 } else { 6 };
        assert_eq!(
            counters.get("flows"),
            Some(&kept),
            "one a server, or one a datagram"
        );
        assert_eq!(counters.get("198.51.100.11:5353.connections"), Some(&2));
        assert_eq!(counters.get("198.51.100.11:5353.active"), None);
        world.advance(Duration::from_secs(301));
        let left = world.counters();
        assert_eq!(
            (left.get("flows"), left.get("198.51.100.11:5353.inactive")),
            (None, None)
        );
        world.assert_conserved();
    }
}

#[test]
fn fragments_pass_where_addresses_decide() {
    let mut world = World::new(Setup::default());
    let mut all = service(Protocol::Udp, "192.0.2.100", 0);
    all.scheduler.kind = SchedulerKind::Sh;
    world.commit(&with_backends(&all, &SERVERS, Forward::Dr)).unwrap();
    for client in 0..50 {
        let whole = Frame::udp(&format!("203.0.113.{client}:5000"), "192.0.2.100:7777").payload(64);
        let mac = world.send(LAN, &whole.bytes()).frame[..6].to_vec();
        for (high, low) in [(0x20, 0), (0x20, 4), (0, 8)] {
            let mut bytes = whole.bytes();
            (bytes[20], bytes[21]) = (high, low);
            bytes[24..26].copy_from_slice(&[0, 0]);
            let sum = check::sum(&[&bytes[14..34]]);
            bytes[24..26].copy_from_slice(&sum.to_be_bytes());
            let out = world.send_packet(0, LAN, weir_dataplane::FrameBuf::new(&bytes));
            assert_eq!((out.verdict, &out.frame[..6]), (Verdict::Tx(LAN), &mac[..]));
        }
    }
    let fin = Frame::tcp("203.0.113.1:1", "192.0.2.100:80", FIN);
    assert_eq!(
        world.send(LAN, &fin.bytes()).verdict,
        Verdict::Drop(DropReason::NoService)
    );
    world.assert_conserved();
}
