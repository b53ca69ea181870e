//! Connections that only the director knows which held the address before: relayed to it, and forwarded by it.

use std::collections::BTreeMap;

use weir_dataplane::explain::Question;
use weir_dataplane::{DropReason, Verdict};
use weir_rings::message::{Command, Forward, Protocol, SchedulerKind, Service, Tunnel, Vip};

use crate::support::frame::{ACK, FIN, Frame, RST, SYN};
use crate::support::*;

/// Client and virtual address of both families, and the director that held the address.
const FAMILIES: [(&str, &str, &str); 2] = [
    ("203.0.113.7:40000", "192.0.2.100:80", "192.0.2.3"),
    ("[2001:db8:9::7]:40000", "[2001:db8:1::100]:80", "2001:db8:1::3"),
];
const ADDRESSES: [&str; 2] = ["192.0.2.100", "2001:db8:1::100"];
const SERVERS: [[&str; 2]; 2] = [
    ["198.51.100.11", "198.51.100.12"],
    ["2001:db8:2::11", "2001:db8:2::12"],
];
/// The director that held the servers' gateway address.
const PEER_BACK: &str = "198.51.100.3";

fn shared(address: &str) -> Vip {
    Vip {
        shared: true,
        ..Vip::owned(ip(address))
    }
}

fn taken_from(address: &str, peer: &str) -> Command {
    Command::UpsertVip(Vip {
        peer: Some(ip(peer)),
        relay_ms: 1000,
        ..shared(address)
    })
}

fn services(change: impl Fn(&mut Service), forward: Forward) -> Vec<Command> {
    let mut commands = Vec::new();
    for (address, servers) in ADDRESSES.into_iter().zip(SERVERS) {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let mut service = service(protocol, address, 80);
            service.scheduler.kind = SchedulerKind::Wlc;
            change(&mut service);
            commands.extend(with_backends(
                &service,
                &servers.map(|server| (server, 80)),
                forward,
            ));
        }
    }
    commands
}

fn director(change: impl Fn(&mut Service), forward: Forward) -> World {
    let mut world = World::new(Setup::default());
    world.commit(&services(change, forward)).unwrap();
    world
}

/// One that has just taken the addresses from a director that lives.
fn second(change: impl Fn(&mut Service), forward: Forward) -> World {
    let mut world = director(change, forward);
    let vips = ADDRESSES.into_iter().zip(FAMILIES);
    let vips: Vec<Command> = vips
        .map(|(address, (_, _, peer))| taken_from(address, peer))
        .collect();
    world.commit(&vips).unwrap();
    world
}

fn once(names: &[&str]) -> BTreeMap<String, i64> {
    names.iter().map(|name| ((*name).to_owned(), 1)).collect()
}

#[test]
fn a_segment_of_a_connection_that_began_elsewhere_goes_there_and_on_to_its_server() {
    for forward in [Forward::Dr, Forward::Tunnel(Tunnel::Ipip), Forward::Nat] {
        let (mut old, mut new) = (director(|_| {}, forward), second(|_| {}, forward));
        for (client, virt, _) in FAMILIES {
            let begun = old.send(LAN, &Frame::tcp(client, virt, SYN).bytes());
            assert_eq!(begun.verdict, Verdict::Tx(BACK));
        }
        let released = ADDRESSES.map(|address| {
            Command::UpsertVip(Vip {
                owned: false,
                ..shared(address)
            })
        });
        old.commit(&released).unwrap();
        for (client, virt, peer) in FAMILIES {
            for flags in [ACK, ACK | FIN, RST, ACK | RST] {
                let sent = Frame::tcp(client, virt, flags).payload(3);
                let before = new.counters();
                let out = new.send(LAN, &sent.bytes());
                let relayed = sent.hop().macs(mac_of(ip(peer)), LAN_MAC);
                assert_eq!((out.verdict, &out.frame), (Verdict::Tx(LAN), &relayed.bytes()));
                assert_eq!(
                    new.moved(&before),
                    once(&["rx", "tx", "relayed"]),
                    "and nothing else"
                );
                // The peer is `old`, whose port has the MAC address that every world's has.
                let arrives = relayed.clone().macs(LAN_MAC, [2, 0, 0, 0, 7, 7]);
                assert_eq!(old.send(LAN, &arrives.bytes()).verdict, Verdict::Tx(BACK));
                // What that one does not know either goes no further.
                let stranger = arrives.with(|frame| frame.src.set_port(40_001));
                let out = old.send(LAN, &stranger.bytes());
                assert_eq!(out.verdict, Verdict::Drop(DropReason::VipNotOwned));
            }
        }
        old.assert_conserved();
        new.assert_conserved();
    }
}

#[test]
fn only_what_no_other_way_leads_on_is_relayed() {
    let hash = |service: &mut Service| service.scheduler.kind = SchedulerKind::Maglev;
    let sloppy = |service: &mut Service| service.policy.sloppy_tcp = true;
    let (relayed, server) = (Verdict::Tx(LAN), Verdict::Tx(BACK));
    let no_flow = Verdict::Drop(DropReason::NoFlow);
    for (client, virt, peer) in FAMILIES {
        let segment = || Frame::tcp(client, virt, ACK);
        let mut plain = second(|_| {}, Forward::Dr);
        assert_eq!(plain.send(LAN, &segment().bytes()).verdict, relayed);
        // What begins something begins it here, and goes on here.
        let here = |port| segment().with(|frame| frame.src.set_port(port));
        let syn = Frame::tcp(client, virt, SYN).with(|frame| frame.src.set_port(41_000));
        assert_eq!(plain.send(LAN, &syn.bytes()).verdict, server);
        assert_eq!(plain.send(LAN, &here(41_000).bytes()).verdict, server);
        let datagram = Frame::udp(client, virt);
        assert_eq!(plain.send(LAN, &datagram.bytes()).verdict, server);
        // Back from where it would go: two directors would play with it.
        let back = segment().macs(LAN_MAC, mac_of(ip(peer)));
        let out = plain.send(LAN, &back.bytes());
        assert_eq!(out.verdict, Verdict::Drop(DropReason::RelayLoop));
        let last_hop = segment().with(|frame| frame.ttl = 1);
        let out = plain.send(LAN, &last_hop.bytes());
        assert_eq!(out.verdict, Verdict::Drop(DropReason::TtlExceeded));

        let rows = [
            (second(sloppy, Forward::Dr), relayed),
            // Every director finds the same server, or may not even look for one.
            (
                second(|service| (hash(service), sloppy(service)).0, Forward::Dr),
                server,
            ),
            (second(hash, Forward::Dr), relayed),
            // Nobody is said to have held the address.
            (director(|_| {}, Forward::Dr), no_flow),
            (director(sloppy, Forward::Dr), server),
        ];
        for (number, (mut world, expected)) in rows.into_iter().enumerate() {
            let out = world.send(LAN, &segment().bytes());
            assert_eq!(out.verdict, expected, "row {number}, {client}");
            world.assert_conserved();
        }
        plain.assert_conserved();
    }
}

#[test]
fn who_is_not_found_on_the_link_is_relayed_nothing() {
    let (client, virt, peer) = FAMILIES[0];
    let segment = Frame::tcp(client, virt, ACK).bytes();
    let no_flow = Verdict::Drop(DropReason::NoFlow);
    let mut world = director(|_| {}, Forward::Dr);
    world.silent.push(ip(peer));
    world.commit(&[taken_from("192.0.2.100", peer)]).unwrap();
    assert_eq!(world.send(LAN, &segment).verdict, no_flow);
    // Behind a router, which would send the packet back.
    world.commit(&[taken_from("192.0.2.100", "203.0.113.3")]).unwrap();
    assert_eq!(world.send(LAN, &segment).verdict, no_flow);
    // Directors of IPv6 speak from addresses that are on every link; the virtual address says on which.
    let (client6, virt6, _) = FAMILIES[1];
    world.commit(&[taken_from("2001:db8:1::100", "fe80::3")]).unwrap();
    let out = world.send(LAN, &Frame::tcp(client6, virt6, ACK).bytes());
    assert_eq!(
        (out.verdict, &out.frame[..6]),
        (Verdict::Tx(LAN), &mac_of(ip("fe80::3"))[..])
    );
    // It is looked for before it is needed: as long as it holds the address itself.
    world.silent.clear();
    let elsewhere = Vip {
        owned: false,
        peer: Some(ip(peer)),
        ..shared("192.0.2.100")
    };
    world.commit(&[Command::UpsertVip(elsewhere)]).unwrap();
    assert_eq!(
        world.send(LAN, &segment).verdict,
        Verdict::Drop(DropReason::VipNotOwned)
    );
    world.silent.push(ip(peer));
    world.commit(&[taken_from("192.0.2.100", peer)]).unwrap();
    assert_eq!(world.send(LAN, &segment).verdict, Verdict::Tx(LAN));
    // While control does not know who is to hold it everything stays; then it is over.
    let undecided = Vip {
        keep: true,
        owned: false,
        ..shared("192.0.2.100")
    };
    world.commit(&[Command::UpsertVip(undecided)]).unwrap();
    assert_eq!(world.send(LAN, &segment).verdict, Verdict::Tx(LAN));
    world
        .commit(&[Command::UpsertVip(shared("192.0.2.100"))])
        .unwrap();
    assert_eq!(world.send(LAN, &segment).verdict, no_flow);
    world.assert_conserved();
}

#[test]
fn a_nat_server_s_reply_goes_to_the_director_that_knows_its_connection() {
    let mut old = director(|_| {}, Forward::Nat);
    let mut new = second(|_| {}, Forward::Nat);
    let gateway = taken_from("198.51.100.100", PEER_BACK);
    new.commit(&[gateway]).unwrap();
    let (client, virt, _) = FAMILIES[0];
    let syn = Frame::tcp(client, virt, SYN);
    assert_eq!(old.send(LAN, &syn.bytes()).verdict, Verdict::Tx(BACK));
    let reply = |server: &str, flags| {
        let from = format!("{server}:80");
        Frame::tcp(&from, client, flags).macs(BACK_MAC, mac_of(ip(server)))
    };
    let mut answered = 0;
    for server in SERVERS[0] {
        let sent = reply(server, SYN | ACK);
        let before = new.counters();
        let out = new.send(BACK, &sent.bytes());
        let relayed = sent.hop().macs(mac_of(ip(PEER_BACK)), BACK_MAC);
        assert_eq!((out.verdict, &out.frame), (Verdict::Tx(BACK), &relayed.bytes()));
        assert_eq!(new.moved(&before), once(&["rx", "tx", "relayed"]));
        // One of the two servers has the connection.
        let out = old.send(BACK, &relayed.macs(BACK_MAC, mac_of(ip(server))).bytes());
        answered += usize::from(out.verdict == Verdict::Tx(LAN));
    }
    assert_eq!(answered, 1);
    let datagram = Frame::udp("198.51.100.11:80", client).macs(BACK_MAC, [2, 9, 9, 9, 9, 9]);
    assert_eq!(new.send(BACK, &datagram.bytes()).verdict, Verdict::Tx(BACK));
    let not_ours = Verdict::Drop(DropReason::NotOurs);
    for stranger in [
        reply("198.51.100.13", ACK),
        reply("198.51.100.11", ACK).with(|frame| frame.src.set_port(81)),
    ] {
        assert_eq!(new.send(BACK, &stranger.bytes()).verdict, not_ours);
    }
    let question = Question {
        protocol: Protocol::Tcp,
        source: "198.51.100.11:80".parse().unwrap(),
        destination: client.parse().unwrap(),
        port: Some(BACK),
    };
    let now = new.now;
    let told = new.paths[0].explain(now, &question);
    assert_eq!(told.verdict, "tx");
    assert!(told.steps.iter().any(|step| step.stage == "relay"), "{told:?}");
    old.assert_conserved();
    new.assert_conserved();
}

#[test]
fn an_explanation_says_who_gets_what_is_unknown_here() {
    let mut world = second(|_| {}, Forward::Dr);
    for (client, virt, peer) in FAMILIES {
        let question = Question {
            protocol: Protocol::Tcp,
            source: client.parse().unwrap(),
            destination: virt.parse().unwrap(),
            port: Some(LAN),
        };
        let now = world.now;
        let told = world.paths[0].explain(now, &question);
        let relay = told.steps.iter().find(|step| step.stage == "relay").unwrap();
        assert!(relay.found.contains(peer), "{relay:?}");
        assert_eq!(told.verdict, "tx", "a SYN begins something here");
    }
}
