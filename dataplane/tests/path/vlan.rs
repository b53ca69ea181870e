//! 802.1Q: services and servers in VLANs of their own. Addresses are asked for, and next hops resolved, where they live.

use crate::support::frame::{Frame, SYN, icmp};
use crate::support::*;
use weir_dataplane::explain::Question;
use weir_dataplane::tables::HopKey;
use weir_dataplane::{DropReason, PuntReason, Verdict};
use weir_rings::message::{Command, Forward, Protocol, Vip, VlanId};

const CLIENT: &str = "203.0.113.7:40000";
const WEB: &str = "192.0.2.100:80";
const SERVER: &str = "198.51.100.11:8080";

/// The service in VLAN 7, its server in VLAN 30, both ports untagged.
fn world(forward: Forward) -> World {
    let mut world = World::new(Setup::default());
    let mut web = service(Protocol::Tcp, "192.0.2.100", 80);
    web.vlan = VlanId::new(7);
    let mut server = backend(&web, "198.51.100.11", 8080, forward);
    server.vlan = VlanId::new(30);
    let vip = Vip {
        vlan: VlanId::new(7),
        ..Vip::owned(ip("192.0.2.100"))
    };
    world
        .commit(&[
            Command::UpsertVip(vip),
            local("198.51.100.200", 1024, 65535),
            Command::UpsertService(web),
            Command::UpsertBackend(server),
        ])
        .unwrap();
    world
}

/// Who has `target`? With this tag.
fn arp(target: [u8; 4], vlan: Option<u16>) -> Vec<u8> {
    let tag = vlan.map_or_else(Vec::new, |id| [&[0x81, 0][..], &id.to_be_bytes()].concat());
    [
        &[0xff; 6][..],
        &CLIENT_MAC,
        &tag,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &CLIENT_MAC,
        &[198, 51, 100, 77],
        &[0; 6],
        &target,
    ]
    .concat()
}

#[test]
fn addresses_are_answered_for_in_their_vlans_alone() {
    let mut world = world(Forward::FullNat);
    let (virt, own, local, other_own) = (
        [192, 0, 2, 100],
        [198, 51, 100, 2],
        [198, 51, 100, 200],
        [192, 0, 2, 2],
    );
    for (port, target, vlan, answered) in [
        (LAN, virt, Some(7), true),
        (LAN, virt, None, false),
        (LAN, virt, Some(30), false),
        // What servers speak to, in the port's VLAN and in theirs.
        (BACK, own, None, true),
        (BACK, own, Some(30), true),
        (BACK, own, Some(31), false),
        (BACK, local, Some(30), true),
        (BACK, local, None, true),
        (LAN, other_own, Some(7), false),
    ] {
        let out = world.send(port, &arp(target, vlan));
        let expected = if answered {
            Verdict::Tx(port)
        } else {
            Verdict::Drop(DropReason::OtherVlan)
        };
        assert_eq!(out.verdict, expected, "{target:?} in {vlan:?}");
        if let Some(id) = vlan.filter(|_| answered) {
            assert_eq!(out.frame[12..16], [0x81, 0, 0, id as u8], "the tag goes back");
        }
    }
    // The box's own traffic in a server's VLAN is the host's.
    let host = Frame::tcp("198.51.100.11:80", "198.51.100.2:50000", SYN).macs(BACK_MAC, CLIENT_MAC);
    let verdict = |world: &mut World, vlan| {
        world
            .send(BACK, &host.clone().with(|f| f.vlan = vlan).bytes())
            .verdict
    };
    assert_eq!(verdict(&mut world, Some(30)), Verdict::Punt(PuntReason::Host));
    assert_eq!(
        verdict(&mut world, Some(31)),
        Verdict::Drop(DropReason::OtherVlan)
    );
    // With the last server of a VLAN goes the VLAN.
    let key = service(Protocol::Tcp, "192.0.2.100", 80).key;
    world.commit(&[Command::DeleteService(key)]).unwrap();
    assert_eq!(
        verdict(&mut world, Some(30)),
        Verdict::Drop(DropReason::OtherVlan)
    );
    world.assert_conserved();
}

#[test]
fn next_hops_are_resolved_in_the_vlan_they_are_in() {
    let mut world = world(Forward::Nat);
    let has = |world: &World, vlan, address| {
        let key = |port| HopKey {
            port,
            vlan,
            address: ip(address),
        };
        world
            .builder
            .hops()
            .any(|(hop, _)| *hop == key(LAN) || *hop == key(BACK))
    };
    assert!(has(&world, 30, "198.51.100.11") && !has(&world, 0, "198.51.100.11"));
    assert!(!has(&world, 7, "192.0.2.1"));
    let syn = Frame::tcp(CLIENT, WEB, SYN).with(|f| f.vlan = Some(7));
    assert_eq!(world.send(LAN, &syn.bytes()).verdict, Verdict::Tx(BACK));
    let reply = Frame::tcp(SERVER, CLIENT, SYN)
        .macs(BACK_MAC, CLIENT_MAC)
        .with(|f| f.vlan = Some(30));
    let out = world.send(BACK, &reply.bytes());
    assert_eq!(
        (out.verdict, out.frame),
        (Verdict::Punt(PuntReason::NeighborWanted), reply.bytes())
    );
    assert!(has(&world, 7, "192.0.2.1"), "the gateway, where the client is");
    let out = world.send(BACK, &reply.bytes());
    assert_eq!(
        (out.verdict, &out.frame[12..16]),
        (Verdict::Tx(LAN), &[0x81, 0, 0, 7][..])
    );

    // An error about the request goes the same way.
    let mut error = icmp(
        BACK_MAC,
        ip("198.51.100.11"),
        ip("203.0.113.7"),
        60,
        3,
        3,
        [0; 4],
        &Frame::tcp(CLIENT, SERVER, SYN).ip()[..28],
    );
    error.splice(12..12, [0x81, 0, 0, 30]);
    let out = world.send(BACK, &error);
    assert_eq!(
        (out.verdict, &out.frame[12..16]),
        (Verdict::Tx(LAN), &[0x81, 0, 0, 7][..])
    );
    world.assert_conserved();
}

#[test]
fn an_explanation_takes_the_tag_that_is_right() {
    let mut world = world(Forward::Dr);
    let question = Question {
        protocol: Protocol::Tcp,
        source: CLIENT.parse().unwrap(),
        destination: WEB.parse().unwrap(),
        port: None,
    };
    let now = world.now;
    let said = world.paths[0].explain(now, &question);
    assert_eq!(said.verdict, "tx", "{said:?}");
    let egress = said.steps.iter().find(|step| step.stage == "egress").unwrap();
    assert_eq!(egress.found, "port 1, VLAN 30");
    let syn = Frame::tcp(CLIENT, WEB, SYN).with(|f| f.vlan = Some(7));
    let out = world.send(LAN, &syn.bytes());
    assert_eq!(
        (out.verdict, &out.frame[12..16]),
        (Verdict::Tx(BACK), &[0x81, 0, 0, 30][..])
    );
}
