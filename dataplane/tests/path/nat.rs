//! NAT: destination rewritten towards the server, source on the way back, one-arm and two-arm, checksums exact.

use crate::support::frame::{ACK, FIN, Frame, SYN, Transport};
use crate::support::*;
use weir_dataplane::explain::Question;
use weir_dataplane::{DropReason, PuntReason, Verdict};
use weir_proto::time::Duration;
use weir_rings::message::{Command, Forward, MssClamp, Protocol, Vip};

fn nat_world(server: &str, server6: &str) -> World {
    let mut world = World::new(Setup::default());
    let mut commands = Vec::new();
    for (address, server) in [("192.0.2.100", server), ("2001:db8:1::100", server6)] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            commands.extend(with_backends(
                &service(protocol, address, 80),
                &[(server, 8080)],
                Forward::Nat,
            ));
        }
    }
    world.commit(&commands).unwrap();
    world
}

/// (client, virtual, server) of both families.
const TWO_ARM: [(&str, &str, &str); 2] = [
    ("203.0.113.7:40000", "192.0.2.100:80", "198.51.100.11:8080"),
    (
        "[2001:db8:9::7]:40000",
        "[2001:db8:1::100]:80",
        "[2001:db8:2::11]:8080",
    ),
];

#[test]
fn both_directions_are_translated() {
    let mut world = nat_world("198.51.100.11", "2001:db8:2::11");
    for (client, virt, server) in TWO_ARM {
        let server_mac = mac_of(server.parse::<std::net::SocketAddr>().unwrap().ip());
        let gateway_mac = mac_of(ip(if client.contains('[') {
            "2001:db8:1::1"
        } else {
            "192.0.2.1"
        }));
        for transport in [Transport::Tcp(SYN), Transport::Udp, Transport::UdpUnsummed] {
            if transport == Transport::UdpUnsummed && client.contains('[') {
                continue;
            }
            for payload in 0..10 {
                let shape = |frame: Frame| frame.payload(payload).with(|f| f.transport = transport);
                let sent =
                    shape(Frame::tcp(client, virt, SYN)).with(|f| f.ip_options = options(client, payload));
                let out = world.send(LAN, &sent.bytes());
                let expected = sent
                    .clone()
                    .hop()
                    .macs(server_mac, BACK_MAC)
                    .with(|f| f.dst = server.parse().unwrap());
                assert_eq!(
                    (out.verdict, out.frame),
                    (Verdict::Tx(BACK), expected.bytes()),
                    "{transport:?} {payload}"
                );
                let reply = shape(Frame::tcp(server, client, SYN)).macs(BACK_MAC, server_mac);
                let out = world.send(BACK, &reply.bytes());
                let expected = reply
                    .hop()
                    .macs(gateway_mac, LAN_MAC)
                    .with(|f| f.src = virt.parse().unwrap());
                assert_eq!(
                    (out.verdict, out.frame),
                    (Verdict::Tx(LAN), expected.bytes()),
                    "{transport:?} {payload}"
                );
            }
        }
    }
    world.assert_conserved();
}

fn options(client: &str, payload: usize) -> Vec<u8> {
    if client.contains('[') {
        Vec::new()
    } else {
        vec![1; payload * 4]
    }
}

#[test]
fn one_arm_with_the_client_on_the_link() {
    let mut world = nat_world("192.0.2.11", "2001:db8:1::11");
    let (client, virt, server) = ("192.0.2.50:40000", "192.0.2.100:80", "192.0.2.11:8080");
    let out = world.send(LAN, &Frame::tcp(client, virt, SYN).bytes());
    assert_eq!(out.verdict, Verdict::Tx(LAN));
    // The client's MAC is asked for; until it is known its replies wait unchanged.
    let reply = Frame::tcp(server, client, SYN | ACK).macs(LAN_MAC, mac_of(ip("192.0.2.11")));
    let out = world.send(LAN, &reply.bytes());
    assert_eq!(
        (out.verdict, out.frame),
        (Verdict::Punt(PuntReason::NeighborWanted), reply.bytes())
    );
    let out = world.send(LAN, &reply.bytes());
    let expected = reply
        .hop()
        .macs(mac_of(ip("192.0.2.50")), LAN_MAC)
        .with(|f| f.src = virt.parse().unwrap());
    assert_eq!((out.verdict, out.frame), (Verdict::Tx(LAN), expected.bytes()));
    world.assert_conserved();
}

#[test]
fn states_follow_both_directions() {
    let mut world = nat_world("198.51.100.11", "2001:db8:2::11");
    let (client, virt, server) = TWO_ARM[0];
    let state = |world: &World| {
        let mut found = Vec::new();
        world.paths[0].flows_from(world.now, &mut 0, u32::MAX, |flow| found.push(flow.state));
        found
    };
    let steps: [(bool, u8, &str); 8] = [
        (false, SYN, "SYN_RECV"),
        (true, SYN | ACK, "SYN_RECV"),
        (false, ACK, "ESTABLISHED"),
        (true, ACK, "ESTABLISHED"),
        (true, FIN | ACK, "FIN_WAIT"),
        (false, ACK, "FIN_WAIT"),
        (false, FIN | ACK, "TIME_WAIT"),
        (true, ACK, "TIME_WAIT"),
    ];
    for (is_reply, flags, expected) in steps {
        if is_reply {
            world.send(
                BACK,
                &Frame::tcp(server, client, flags)
                    .macs(BACK_MAC, CLIENT_MAC)
                    .bytes(),
            );
        } else {
            world.send(LAN, &Frame::tcp(client, virt, flags).bytes());
        }
        assert_eq!(state(&world), [expected]);
    }
    let counters = world.counters();
    assert_eq!(counters.get("198.51.100.11:8080.inactive"), Some(&1));
    assert_eq!(counters.get("198.51.100.11:8080.active"), None);
    // A SYN on the way out starts anew (conn_reuse_mode 1).
    world.send(LAN, &Frame::tcp(client, virt, SYN).bytes());
    assert_eq!(state(&world), ["SYN_RECV"]);
    assert_eq!(world.counters().get("flows_created"), Some(&2));
    world.advance(Duration::from_secs(61));
    let late = Frame::tcp(server, client, ACK).macs(BACK_MAC, CLIENT_MAC);
    assert_eq!(
        world.send(BACK, &late.bytes()).verdict,
        Verdict::Drop(DropReason::NotOurs)
    );
    world.assert_conserved();
}

#[test]
fn all_ports_of_an_address_keep_the_clients_port() {
    let mut world = World::new(Setup::default());
    let all = service(Protocol::Tcp, "192.0.2.100", 0);
    world
        .commit(&with_backends(&all, &[("198.51.100.11", 0)], Forward::Nat))
        .unwrap();
    for port in [21, 80, 65535] {
        let virt = format!("192.0.2.100:{port}");
        let server = format!("198.51.100.11:{port}");
        let sent = Frame::tcp("203.0.113.7:40000", &virt, SYN);
        let out = world.send(LAN, &sent.bytes());
        let expected = sent
            .hop()
            .macs(mac_of(ip("198.51.100.11")), BACK_MAC)
            .with(|f| f.dst = server.parse().unwrap());
        assert_eq!(out.frame, expected.bytes());
        let reply = Frame::tcp(&server, "203.0.113.7:40000", SYN | ACK).macs(BACK_MAC, CLIENT_MAC);
        let out = world.send(BACK, &reply.bytes());
        let expected = reply
            .hop()
            .macs(mac_of(ip("192.0.2.1")), LAN_MAC)
            .with(|f| f.src = virt.parse().unwrap());
        assert_eq!(out.frame, expected.bytes());
    }
}

#[test]
fn the_mss_is_clamped_in_both_directions() {
    let mut world = World::new(Setup::default());
    let mut web = service(Protocol::Tcp, "192.0.2.100", 80);
    web.mss_clamp = MssClamp::Fixed(1300);
    world
        .commit(&with_backends(&web, &[("198.51.100.11", 80)], Forward::Nat))
        .unwrap();
    let syn = Frame::tcp("203.0.113.7:40000", "192.0.2.100:80", SYN).with(|f| f.mss = Some(1460));
    let out = world.send(LAN, &syn.bytes());
    assert_eq!(out.frame[54..58], [2, 4, 0x05, 0x14]);
    let reply = Frame::tcp("198.51.100.11:80", "203.0.113.7:40000", SYN | ACK).with(|f| f.mss = Some(1460));
    let out = world.send(BACK, &reply.macs(BACK_MAC, CLIENT_MAC).bytes());
    assert_eq!(out.frame[54..58], [2, 4, 0x05, 0x14]);
}

#[test]
fn a_full_table_refuses_what_needs_state_and_forwards_the_rest() {
    let mut setup = Setup::default();
    setup.settings.flows_max_v4 = 64;
    let mut world = World::new(setup);
    let nat = service(Protocol::Tcp, "192.0.2.100", 80);
    let dr = service(Protocol::Tcp, "192.0.2.100", 81);
    let mut commands = with_backends(&nat, &[("198.51.100.11", 80)], Forward::Nat);
    commands.extend(with_backends(
        &dr,
        &[("192.0.2.11", 81), ("192.0.2.12", 81)],
        Forward::Dr,
    ));
    world.commit(&commands).unwrap();
    let syn = |port: u16, to: &str| Frame::tcp(&format!("203.0.113.7:{port}"), to, SYN).bytes();
    for port in 0..64 {
        assert!(matches!(
            world.send(LAN, &syn(1000 + port, "192.0.2.100:81")).verdict,
            Verdict::Tx(_)
        ));
    }
    let refused = world.send(LAN, &syn(2000, "192.0.2.100:80"));
    assert_eq!(refused.verdict, Verdict::Drop(DropReason::FlowTableFull));
    for port in 2000..2100 {
        let first = world.send(LAN, &syn(port, "192.0.2.100:81"));
        let data = Frame::tcp(&format!("203.0.113.7:{port}"), "192.0.2.100:81", ACK).bytes();
        let second = world.send(LAN, &data);
        assert_eq!(first.verdict, Verdict::Tx(LAN));
        assert_eq!(
            (second.verdict, &second.frame[..6]),
            (first.verdict, &first.frame[..6]),
            "same server every time"
        );
    }
    assert_eq!(world.counters().get("flows"), Some(&64));
    assert_eq!(world.counters().get("flows_refused"), Some(&101));
    world.assert_conserved();
}

/// Two virtual addresses in front of one server's port, and a client that comes from one port to both.
#[test]
fn flows_whose_replies_could_not_be_told_apart_are_refused() {
    let mut world = World::new(Setup::default());
    let mut commands = vec![Command::UpsertVip(Vip::owned(ip("192.0.2.101")))];
    for virt in ["192.0.2.100", "192.0.2.101"] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let service = service(protocol, virt, 80);
            commands.extend(with_backends(&service, &[("198.51.100.11", 8080)], Forward::Nat));
        }
    }
    world.commit(&commands).unwrap();
    let (client, server) = ("203.0.113.7:40000", "198.51.100.11:8080");
    let (first, second) = ("192.0.2.100:80", "192.0.2.101:80");
    let ambiguous = Verdict::Drop(DropReason::ReplyAmbiguous);
    let from_server = |world: &mut World, flags| {
        let reply = Frame::tcp(server, client, flags).macs(BACK_MAC, CLIENT_MAC);
        let out = world.send(BACK, &reply.bytes());
        assert_eq!(out.verdict, Verdict::Tx(LAN));
        std::net::Ipv4Addr::from(<[u8; 4]>::try_from(&out.frame[26..30]).unwrap()).to_string()
    };
    let foretold = |world: &mut World| {
        let question = Question {
            protocol: Protocol::Tcp,
            source: client.parse().unwrap(),
            destination: second.parse().unwrap(),
            port: Some(LAN),
        };
        let now = world.now;
        world.paths[0].explain(now, &question).reason
    };
    world.send(LAN, &Frame::tcp(client, first, SYN).bytes());
    world.send(LAN, &Frame::tcp(client, first, ACK).bytes());
    assert_eq!(foretold(&mut world).as_deref(), Some("reply_ambiguous"));
    assert_eq!(
        world.send(LAN, &Frame::tcp(client, second, SYN).bytes()).verdict,
        ambiguous
    );
    assert_eq!(from_server(&mut world, ACK), "192.0.2.100", "not misdelivered");
    // UDP has ports of its own, and the same rule.
    assert_eq!(
        world.send(LAN, &Frame::udp(client, second).bytes()).verdict,
        Verdict::Tx(BACK)
    );
    assert_eq!(
        world.send(LAN, &Frame::udp(client, first).bytes()).verdict,
        ambiguous
    );
    // Another port of the client is another flow.
    assert_eq!(
        world
            .send(LAN, &Frame::tcp("203.0.113.7:40001", second, SYN).bytes())
            .verdict,
        Verdict::Tx(BACK)
    );
    // Once the first flow is over it makes way, as its port may be used again.
    from_server(&mut world, FIN | ACK);
    world.send(LAN, &Frame::tcp(client, first, FIN | ACK).bytes());
    assert_eq!(foretold(&mut world), None);
    assert_eq!(
        world.send(LAN, &Frame::tcp(client, second, SYN).bytes()).verdict,
        Verdict::Tx(BACK)
    );
    assert_eq!(from_server(&mut world, SYN | ACK), "192.0.2.101");
    world.assert_conserved();
}
