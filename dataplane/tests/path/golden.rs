//! Packet in, packet out, and exactly the counters that moved: direct routing, answers, drops by name.

use std::collections::BTreeMap;

use crate::support::frame::{ACK, FIN, Frame, RST, SYN, icmp};
use crate::support::*;
use weir_dataplane::{DropReason, PuntReason, Verdict};
use weir_proto::time::Duration;
use weir_rings::message::{Command, Forward, NoServerReply, Protocol, Vip, VlanId};

const CLIENT: &str = "203.0.113.7:40000";
const WEB: &str = "192.0.2.100:80";
const CLIENT6: &str = "[2001:db8:9::7]:40000";
const WEB6: &str = "[2001:db8:1::100]:80";

fn dr_world() -> World {
    let mut world = World::new(Setup::default());
    let web = service(Protocol::Tcp, "192.0.2.100", 80);
    let dns = service(Protocol::Udp, "192.0.2.100", 53);
    let web6 = service(Protocol::Tcp, "2001:db8:1::100", 80);
    let dns6 = service(Protocol::Udp, "2001:db8:1::100", 53);
    let v4 = [("192.0.2.11", 80), ("192.0.2.12", 80)];
    let v6 = [("2001:db8:1::11", 80), ("2001:db8:1::12", 80)];
    let mut commands = with_backends(&web, &v4, Forward::Dr);
    commands.extend(with_backends(&dns, &[("192.0.2.13", 53)], Forward::Dr));
    commands.extend(with_backends(&web6, &v6, Forward::Dr));
    commands.extend(with_backends(&dns6, &[("2001:db8:1::13", 53)], Forward::Dr));
    world.commit(&commands).unwrap();
    world
}

fn moved(world: &World, before: &BTreeMap<String, u64>, expected: &[(&str, i64)]) {
    let expected: BTreeMap<String, i64> = expected
        .iter()
        .map(|(name, by)| ((*name).to_owned(), *by))
        .collect();
    assert_eq!(world.moved(before), expected);
}

#[test]
fn direct_routing_changes_macs_and_hop_limit_only() {
    let mut world = dr_world();
    let syn = Frame::tcp(CLIENT, WEB, SYN);
    let before = world.counters();
    let out = world.send(LAN, &syn.bytes());
    assert_eq!(out.verdict, Verdict::Tx(LAN));
    assert_eq!(
        out.frame,
        syn.clone().hop().macs(mac_of(ip("192.0.2.11")), LAN_MAC).bytes()
    );
    moved(
        &world,
        &before,
        &[
            ("rx", 1),
            ("tx", 1),
            ("flows", 1),
            ("flows_created", 1),
            ("192.0.2.11:80.active", 1),
            ("192.0.2.11:80.connections", 1),
            ("192.0.2.11:80.packets_in", 1),
        ],
    );
    // The flow stays where it is; the next one goes to the next server.
    for payload in 0..10 {
        let data = Frame::tcp(CLIENT, WEB, ACK)
            .payload(payload)
            .with(|f| f.tos = 0xb9);
        let out = world.send(LAN, &data.bytes());
        assert_eq!(
            out.frame,
            data.hop().macs(mac_of(ip("192.0.2.11")), LAN_MAC).bytes()
        );
    }
    let other = Frame::tcp("203.0.113.7:40001", WEB, SYN);
    let out = world.send(LAN, &other.bytes());
    assert_eq!(
        out.frame,
        other.hop().macs(mac_of(ip("192.0.2.12")), LAN_MAC).bytes()
    );
    world.assert_conserved();
}

#[test]
fn direct_routing_of_every_family_protocol_and_payload() {
    let mut world = dr_world();
    let servers = [
        (Frame::tcp(CLIENT, WEB, SYN), "192.0.2.11"),
        (Frame::udp(CLIENT, "192.0.2.100:53"), "192.0.2.13"),
        (Frame::tcp(CLIENT6, WEB6, SYN), "2001:db8:1::11"),
        (Frame::udp(CLIENT6, "[2001:db8:1::100]:53"), "2001:db8:1::13"),
    ];
    for (frame, server) in servers {
        for payload in 0..10 {
            let sent = frame.clone().payload(payload);
            let out = world.send(LAN, &sent.bytes());
            assert_eq!(out.verdict, Verdict::Tx(LAN));
            assert_eq!(out.frame, sent.hop().macs(mac_of(ip(server)), LAN_MAC).bytes());
        }
    }
    world.assert_conserved();
}

#[test]
fn options_extension_headers_and_padding_pass_unchanged() {
    let mut world = dr_world();
    for words in 1..=10 {
        let sent = Frame::tcp(CLIENT, WEB, SYN).with(|f| f.ip_options = vec![1; words * 4]);
        let out = world.send(LAN, &sent.bytes());
        assert_eq!(
            out.frame,
            sent.hop().macs(mac_of(ip("192.0.2.11")), LAN_MAC).bytes()
        );
    }
    let sent = Frame::udp(CLIENT, "192.0.2.100:53").payload(2);
    let mut padded = sent.bytes();
    padded.resize(60, 0xaa);
    let out = world.send(LAN, &padded);
    let mut expected = sent.hop().macs(mac_of(ip("192.0.2.13")), LAN_MAC).bytes();
    expected.resize(60, 0xaa);
    assert_eq!(out.frame, expected);
    // Hop-by-hop options of eight bytes before TCP.
    let plain = Frame::tcp(CLIENT6, WEB6, SYN);
    let mut bytes = plain.bytes();
    bytes.splice(54..54, [6, 0, 1, 4, 0, 0, 0, 0]);
    bytes[20] = 0;
    let len = u16::from_be_bytes([bytes[18], bytes[19]]) + 8;
    bytes[18..20].copy_from_slice(&len.to_be_bytes());
    let out = world.send(LAN, &bytes);
    assert_eq!(out.verdict, Verdict::Tx(LAN));
    bytes[21] -= 1;
    bytes[..6].copy_from_slice(&mac_of(ip("2001:db8:1::11")));
    bytes[6..12].copy_from_slice(&LAN_MAC);
    assert_eq!(out.frame, bytes);
}

#[test]
fn tags_are_put_on_taken_off_and_changed() {
    let mut world = World::new(Setup {
        back_vlan: Some(30),
        ..Setup::default()
    });
    let mut web = service(Protocol::Tcp, "192.0.2.100", 80);
    world
        .commit(&with_backends(&web, &[("198.51.100.11", 80)], Forward::Dr))
        .unwrap();
    let untagged = Frame::tcp(CLIENT, WEB, SYN);
    let arrived = |frame: &Frame| {
        frame
            .clone()
            .hop()
            .macs(mac_of(ip("198.51.100.11")), BACK_MAC)
            .with(|f| f.vlan = Some(30))
    };
    let out = world.send(LAN, &untagged.bytes());
    assert_eq!(
        (out.verdict, out.frame),
        (Verdict::Tx(BACK), arrived(&untagged).bytes())
    );
    // A service in a VLAN of its own: only that tag is taken, and replaced.
    web.vlan = VlanId::new(7);
    world.commit(&[Command::UpsertService(web)]).unwrap();
    let tagged = Frame::tcp("203.0.113.7:40009", WEB, SYN).with(|f| f.vlan = Some(7));
    let out = world.send(LAN, &tagged.bytes());
    assert_eq!(
        (out.verdict, out.frame),
        (Verdict::Tx(BACK), arrived(&tagged).bytes())
    );
    let wrong = Frame::tcp("203.0.113.7:40010", WEB, SYN).with(|f| f.vlan = Some(8));
    assert_eq!(
        world.send(LAN, &wrong.bytes()).verdict,
        Verdict::Drop(DropReason::OtherVlan)
    );
    // A server on an untagged port: the tag comes off.
    let mut plain = dr_world();
    let web = service(Protocol::Tcp, "192.0.2.100", 80);
    plain
        .commit(&[Command::UpsertService(weir_rings::message::Service {
            vlan: VlanId::new(7),
            ..web
        })])
        .unwrap();
    let out = plain.send(LAN, &tagged.bytes());
    let expected = tagged
        .hop()
        .macs(mac_of(ip("192.0.2.11")), LAN_MAC)
        .with(|f| f.vlan = None);
    assert_eq!(out.frame, expected.bytes());
}

#[test]
fn drops_and_punts_have_their_names() {
    use Verdict::{Drop, Punt};
    let mut world = dr_world();
    let mut away = Vip::owned(ip("192.0.2.101"));
    away.owned = false;
    let ghost = service(Protocol::Tcp, "192.0.2.101", 80);
    let empty = service(Protocol::Tcp, "192.0.2.100", 81);
    let mut commands = with_backends(&ghost, &[("192.0.2.11", 80)], Forward::Dr);
    commands.extend([Command::UpsertVip(away), Command::UpsertService(empty)]);
    world.commit(&commands).unwrap();
    let tcp = |dst: &str, flags| Frame::tcp(CLIENT, dst, flags).bytes();
    let flip = |at: usize, value: u8| {
        let mut bytes = Frame::tcp(CLIENT, WEB, SYN).bytes();
        bytes[at] = value;
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, Verdict)> = vec![
        ("empty", vec![], Drop(DropReason::Truncated)),
        ("runt", vec![0; 13], Drop(DropReason::Truncated)),
        (
            "cut in IP",
            flip(0, 2)[..30].to_vec(),
            Drop(DropReason::Truncated),
        ),
        (
            "cut in TCP",
            flip(0, 2)[..50].to_vec(),
            Drop(DropReason::Truncated),
        ),
        ("version", flip(14, 0x55), Drop(DropReason::BadIpHeader)),
        ("header length", flip(14, 0x44), Drop(DropReason::BadIpHeader)),
        (
            "total length below header",
            flip(17, 10),
            Drop(DropReason::BadIpHeader),
        ),
        (
            "total length beyond frame",
            flip(17, 200),
            Drop(DropReason::Truncated),
        ),
        ("data offset", flip(46, 0x40), Drop(DropReason::BadTransport)),
        (
            "data offset beyond",
            flip(46, 0xf0),
            Drop(DropReason::BadTransport),
        ),
        ("other station", flip(5, 0x77), Drop(DropReason::OtherMac)),
        ("group", flip(0, 0x01), Punt(PuntReason::Multicast)),
        (
            "LLDP",
            {
                let mut b = flip(12, 0x88);
                b[13] = 0xcc;
                b
            },
            Punt(PuntReason::OtherEthertype),
        ),
        ("first fragment", flip(20, 0x20), Drop(DropReason::Fragment)),
        ("later fragment", flip(21, 0x08), Drop(DropReason::Fragment)),
        ("other protocol", flip(23, 132), Drop(DropReason::OtherProtocol)),
        ("no SYN", tcp(WEB, ACK), Drop(DropReason::NoFlow)),
        ("RST", tcp(WEB, SYN | RST), Drop(DropReason::NoFlow)),
        (
            "no such port",
            tcp("192.0.2.100:8080", SYN),
            Drop(DropReason::NoService),
        ),
        (
            "no server",
            tcp("192.0.2.100:81", SYN),
            Drop(DropReason::NoServer),
        ),
        (
            "held elsewhere",
            tcp("192.0.2.101:80", SYN),
            Drop(DropReason::VipNotOwned),
        ),
        ("own address", tcp("192.0.2.2:22", SYN), Punt(PuntReason::Host)),
        ("transit", tcp("203.0.113.99:80", SYN), Drop(DropReason::NotOurs)),
        (
            "from a group",
            Frame::tcp("224.0.0.1:1", WEB, SYN).bytes(),
            Drop(DropReason::BadSource),
        ),
        (
            "from ourselves",
            Frame::tcp("192.0.2.100:1", WEB, SYN).bytes(),
            Drop(DropReason::BadSource),
        ),
        (
            "unreachable about nothing",
            icmp(
                LAN_MAC,
                ip("203.0.113.1"),
                ip("192.0.2.100"),
                64,
                3,
                1,
                [0; 4],
                &[0; 8],
            ),
            Drop(DropReason::IcmpNoFlow),
        ),
    ];
    for (name, bytes, expected) in cases {
        let before = world.counters();
        let out = world.send_packet(0, LAN, weir_dataplane::FrameBuf::new(&bytes));
        assert_eq!(out.verdict, expected, "{name}");
        assert_eq!(out.frame, bytes, "{name}: what is not forwarded stays as it was");
        let kind = if matches!(expected, Drop(_)) {
            "dropped"
        } else {
            "punted"
        };
        moved(&world, &before, &[("rx", 1), (kind, 1), (expected.name(), 1)]);
    }
    world.assert_conserved();
}

#[test]
fn the_hop_limit_ends_here_with_an_answer() {
    let mut world = dr_world();
    let sent = Frame::udp(CLIENT, "192.0.2.100:53")
        .payload(20)
        .with(|f| f.ttl = 1);
    let out = world.send(LAN, &sent.bytes());
    assert_eq!(out.verdict, Verdict::Tx(LAN));
    let mut expected = icmp(
        CLIENT_MAC,
        ip("192.0.2.100"),
        ip("203.0.113.7"),
        64,
        11,
        0,
        [0; 4],
        &sent.ip(),
    );
    expected[6..12].copy_from_slice(&LAN_MAC);
    expected[20] = 0;
    expected[24..26].copy_from_slice(&out.frame[24..26]);
    assert_eq!(out.frame, expected);
}

#[test]
fn arp_is_answered_for_what_we_hold() {
    let mut world = dr_world();
    let request = |target: &str, sender: &str| {
        let mut bytes = vec![0xff; 6];
        bytes.extend(CLIENT_MAC);
        bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        bytes.extend(CLIENT_MAC);
        bytes.extend(sender.parse::<std::net::Ipv4Addr>().unwrap().octets());
        bytes.extend([0; 6]);
        bytes.extend(target.parse::<std::net::Ipv4Addr>().unwrap().octets());
        bytes
    };
    for held in ["192.0.2.100", "192.0.2.2"] {
        let out = world.send(LAN, &request(held, "192.0.2.50"));
        let mut expected = CLIENT_MAC.to_vec();
        expected.extend(LAN_MAC);
        expected.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        expected.extend(LAN_MAC);
        expected.extend(held.parse::<std::net::Ipv4Addr>().unwrap().octets());
        expected.extend(CLIENT_MAC);
        expected.extend([192, 0, 2, 50]);
        assert_eq!((out.verdict, out.frame), (Verdict::Tx(LAN), expected));
    }
    assert_eq!(
        world.send(LAN, &request("192.0.2.77", "192.0.2.50")).verdict,
        Verdict::Drop(DropReason::ArpNotOurs)
    );
    assert_eq!(
        world.send(LAN, &request("192.0.2.50", "192.0.2.50")).verdict,
        Verdict::Punt(PuntReason::Neighbor)
    );
    assert_eq!(
        world.send(LAN, &request("192.0.2.100", "192.0.2.100")).verdict,
        Verdict::Punt(PuntReason::AddressConflict)
    );
    // The port's address is held on its port only; a VIP that another node holds is not answered for.
    assert_eq!(
        world.send(BACK, &request("192.0.2.2", "192.0.2.50")).verdict,
        Verdict::Drop(DropReason::ArpNotOurs)
    );
    world
        .commit(&[Command::UpsertVip(Vip {
            owned: false,
            ..Vip::owned(ip("192.0.2.100"))
        })])
        .unwrap();
    assert_eq!(
        world.send(LAN, &request("192.0.2.100", "192.0.2.50")).verdict,
        Verdict::Drop(DropReason::ArpNotOurs)
    );
    // A virtual MAC answers, and frames to it are ours.
    let vmac = [0, 0, 0x5e, 0, 1, 51];
    world
        .commit(&[Command::UpsertVip(Vip {
            mac: Some(vmac),
            ..Vip::owned(ip("192.0.2.100"))
        })])
        .unwrap();
    let out = world.send(LAN, &request("192.0.2.100", "192.0.2.50"));
    assert_eq!((&out.frame[6..12], &out.frame[22..28]), (&vmac[..], &vmac[..]));
    let syn = Frame::tcp(CLIENT, WEB, SYN).macs(vmac, CLIENT_MAC);
    assert_eq!(world.send(LAN, &syn.bytes()).verdict, Verdict::Tx(LAN));
    world.assert_conserved();
}

#[test]
fn who_holds_an_address_stays_as_it_is_while_control_does_not_know() {
    let mut world = dr_world();
    let vip = |owned, keep| {
        Command::UpsertVip(Vip {
            owned,
            shared: true,
            keep,
            ..Vip::owned(ip("192.0.2.100"))
        })
    };
    let here = Verdict::Tx(LAN);
    let elsewhere = Verdict::Drop(DropReason::VipNotOwned);
    let rows = [
        (vip(true, false), here),
        (vip(false, true), here),
        (vip(false, false), elsewhere),
        (vip(false, true), elsewhere),
        (vip(true, true), elsewhere),
        (vip(true, false), here),
    ];
    for (number, (command, expected)) in (0u16..).zip(rows) {
        world.commit(std::slice::from_ref(&command)).unwrap();
        let client = format!("203.0.113.7:{}", 2000 + number);
        let out = world.send(LAN, &Frame::tcp(&client, WEB, SYN).bytes());
        assert_eq!(out.verdict, expected, "{number}: {command:?}");
    }
    world.assert_conserved();
}

#[test]
fn echo_is_answered_for_what_we_hold() {
    let mut world = dr_world();
    for (src, dst, kind) in [
        ("203.0.113.7", "192.0.2.100", 8u8),
        ("203.0.113.7", "192.0.2.2", 8),
        ("2001:db8:9::7", "2001:db8:1::100", 128),
    ] {
        for len in 0..10usize {
            let payload: Vec<u8> = (0..len as u8).collect();
            let request = icmp(LAN_MAC, ip(src), ip(dst), 50, kind, 0, [1, 2, 3, 4], &payload);
            let out = world.send(LAN, &request);
            let reply_kind = if kind == 8 { 0 } else { 129 };
            let mut expected = icmp(
                CLIENT_MAC,
                ip(dst),
                ip(src),
                64,
                reply_kind,
                0,
                [1, 2, 3, 4],
                &payload,
            );
            expected[6..12].copy_from_slice(&LAN_MAC);
            assert_eq!(
                (out.verdict, out.frame),
                (Verdict::Tx(LAN), expected),
                "{dst} {len}"
            );
        }
    }
    let reply = icmp(
        LAN_MAC,
        ip("203.0.113.7"),
        ip("192.0.2.2"),
        50,
        0,
        0,
        [1, 2, 3, 4],
        &[],
    );
    assert_eq!(world.send(LAN, &reply).verdict, Verdict::Punt(PuntReason::Host));
    let silent = Vip {
        echo: false,
        ..Vip::owned(ip("192.0.2.100"))
    };
    world.commit(&[Command::UpsertVip(silent)]).unwrap();
    let request = icmp(
        LAN_MAC,
        ip("203.0.113.7"),
        ip("192.0.2.100"),
        50,
        8,
        0,
        [1, 2, 3, 4],
        &[],
    );
    assert_eq!(
        world.send(LAN, &request).verdict,
        Verdict::Drop(DropReason::OtherProtocol)
    );
    world.assert_conserved();
}

#[test]
fn neighbour_solicitations_are_answered_for_what_we_hold() {
    let mut world = dr_world();
    let solicit = |target: &str, src: &str| {
        let target: std::net::Ipv6Addr = target.parse().unwrap();
        let mut payload = target.octets().to_vec();
        if src != "::" {
            payload.extend([1, 1]);
            payload.extend(CLIENT_MAC);
        }
        let group = [0x33, 0x33, 0xff, 0, 1, 0];
        icmp(
            group,
            ip(src),
            ip("ff02::1:ff00:100"),
            255,
            135,
            0,
            [0; 4],
            &payload,
        )
    };
    let advert_of = |target: &str, dst_mac: [u8; 6], dst: &str, flags: u8| {
        let mut payload = target.parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec();
        payload.extend([2, 1]);
        payload.extend(LAN_MAC);
        let mut bytes = icmp(
            dst_mac,
            ip(target),
            ip(dst),
            255,
            136,
            0,
            [flags, 0, 0, 0],
            &payload,
        );
        bytes[6..12].copy_from_slice(&LAN_MAC);
        bytes
    };
    let advert = |dst_mac, dst: &str, flags| advert_of("2001:db8:1::100", dst_mac, dst, flags);
    // Also for what the host makes of the port's MAC address, and speaks VRRP from.
    let link_local = "fe80::ff:fe00:1";
    let out = world.send(LAN, &solicit(link_local, "2001:db8:1::50"));
    let expected = advert_of(link_local, CLIENT_MAC, "2001:db8:1::50", 0x60);
    assert_eq!((out.verdict, out.frame), (Verdict::Tx(LAN), expected));
    let out = world.send(LAN, &solicit("fe80::ff:fe00:2", "2001:db8:1::50"));
    assert_eq!(out.verdict, Verdict::Drop(DropReason::NdNotOurs));
    let out = world.send(LAN, &solicit("2001:db8:1::100", "2001:db8:1::50"));
    assert_eq!(
        (out.verdict, out.frame),
        (Verdict::Tx(LAN), advert(CLIENT_MAC, "2001:db8:1::50", 0x60))
    );
    let out = world.send(LAN, &solicit("2001:db8:1::100", "::"));
    assert_eq!(
        (out.verdict, out.frame),
        (
            Verdict::Tx(LAN),
            advert([0x33, 0x33, 0, 0, 0, 1], "ff02::1", 0x20)
        )
    );
    let elsewhere = solicit("2001:db8:1::77", "2001:db8:1::50");
    assert_eq!(
        world.send(LAN, &elsewhere).verdict,
        Verdict::Drop(DropReason::NdNotOurs)
    );
    let mut off_link = solicit("2001:db8:1::100", "2001:db8:1::50");
    off_link[21] = 254;
    assert_eq!(
        world.send(LAN, &off_link).verdict,
        Verdict::Drop(DropReason::BadNd)
    );
    let theirs = advert(LAN_MAC, "2001:db8:1::2", 0x60);
    let mut conflict = theirs.clone();
    conflict[85] ^= 1;
    let sum = u16::from_be_bytes([conflict[56], conflict[57]]);
    let fixed = if conflict[85] & 1 == 0 {
        sum.wrapping_add(1)
    } else {
        sum.wrapping_sub(1)
    };
    conflict[56..58].copy_from_slice(&fixed.to_be_bytes());
    assert_eq!(
        world.send(LAN, &theirs).verdict,
        Verdict::Punt(PuntReason::Neighbor)
    );
    assert_eq!(
        world.send(LAN, &conflict).verdict,
        Verdict::Punt(PuntReason::AddressConflict)
    );
    world.assert_conserved();
}

#[test]
fn refusals_are_said_where_the_service_wants_it() {
    let mut world = dr_world();
    let reject = |protocol, address: &str, port| {
        let mut service = service(protocol, address, port);
        service.no_server = NoServerReply::Reject;
        Command::UpsertService(service)
    };
    world
        .commit(&[
            reject(Protocol::Tcp, "192.0.2.100", 90),
            reject(Protocol::Udp, "192.0.2.100", 90),
            reject(Protocol::Tcp, "2001:db8:1::100", 90),
            reject(Protocol::Udp, "2001:db8:1::100", 90),
        ])
        .unwrap();
    for (src, dst) in [(CLIENT, "192.0.2.100:90"), (CLIENT6, "[2001:db8:1::100]:90")] {
        let syn = Frame::tcp(src, dst, SYN).with(|f| f.mss = Some(1460));
        let out = world.send(LAN, &syn.bytes());
        let reset = Frame::tcp(dst, src, RST | ACK)
            .macs(CLIENT_MAC, LAN_MAC)
            .with(|f| (f.seq, f.ack) = (0, 1001));
        let mut expected = reset.bytes();
        let window = expected.len() - 6;
        // The builder writes a window of 4096; ours is 0.
        let sum = u16::from_be_bytes([expected[window + 2], expected[window + 3]]);
        expected[window..window + 2].copy_from_slice(&[0, 0]);
        let sum = (u32::from(sum) + 4096) % 0xffff;
        expected[window + 2..window + 4].copy_from_slice(&(sum as u16).to_be_bytes());
        assert_eq!((out.verdict, out.frame), (Verdict::Tx(LAN), expected));
        let datagram = Frame::udp(src, dst).payload(30);
        let out = world.send(LAN, &datagram.bytes());
        let (kind, code) = if src == CLIENT { (3, 3) } else { (1, 4) };
        let (vip, client) = (datagram.dst.ip(), datagram.src.ip());
        let mut expected = icmp(CLIENT_MAC, vip, client, 64, kind, code, [0; 4], &datagram.ip());
        expected[6..12].copy_from_slice(&LAN_MAC);
        if src == CLIENT {
            expected[20] = 0;
            expected[24..26].copy_from_slice(&out.frame[24..26]);
        }
        assert_eq!((out.verdict, out.frame), (Verdict::Tx(LAN), expected));
    }
    // Never a reset in answer to a reset, and no more answers than the rate allows.
    let rst = Frame::tcp(CLIENT, "192.0.2.100:90", RST);
    assert_eq!(
        world.send(LAN, &rst.bytes()).verdict,
        Verdict::Drop(DropReason::NoFlow)
    );
    let syn = Frame::tcp(CLIENT, "192.0.2.100:90", SYN).bytes();
    let limited = (0..200)
        .filter(|_| world.send(LAN, &syn).verdict == Verdict::Drop(DropReason::AnswerLimited))
        .count();
    assert!((90..110).contains(&limited), "{limited}");
    world.assert_conserved();
}

#[test]
fn a_server_without_a_mac_waits_unchanged() {
    let mut world = World::new(Setup::default());
    world.silent.push(ip("192.0.2.11"));
    let web = service(Protocol::Tcp, "192.0.2.100", 80);
    world
        .commit(&with_backends(&web, &[("192.0.2.11", 80)], Forward::Dr))
        .unwrap();
    let syn = Frame::tcp(CLIENT, WEB, SYN).bytes();
    let out = world.send(LAN, &syn);
    assert_eq!(
        (out.verdict, &out.frame),
        (Verdict::Punt(PuntReason::NeighborWanted), &syn)
    );
    world.assert_conserved();
}

#[test]
fn idle_flows_expire_by_state() {
    let mut world = dr_world();
    let syn = |port: u16| Frame::tcp(&format!("203.0.113.7:{port}"), WEB, SYN).bytes();
    let ack = |port: u16| Frame::tcp(&format!("203.0.113.7:{port}"), WEB, ACK).bytes();
    let fin = |port: u16| Frame::tcp(&format!("203.0.113.7:{port}"), WEB, FIN | ACK).bytes();
    world.send(LAN, &syn(1));
    world.send(LAN, &syn(2));
    world.send(LAN, &ack(2));
    world.send(LAN, &syn(3));
    world.send(LAN, &ack(3));
    world.send(LAN, &fin(3));
    let states = |world: &World| {
        let mut flows = Vec::new();
        world.paths[0].flows_from(world.now, &mut 0, u32::MAX, |flow| {
            flows.push((flow.client_port, flow.state))
        });
        flows.sort_unstable();
        flows
    };
    assert_eq!(
        states(&world),
        [(1, "SYN_RECV"), (2, "ESTABLISHED"), (3, "FIN_WAIT")]
    );
    world.advance(Duration::from_secs(61));
    assert_eq!(states(&world), [(2, "ESTABLISHED"), (3, "FIN_WAIT")]);
    world.advance(Duration::from_secs(60));
    assert_eq!(states(&world), [(2, "ESTABLISHED")]);
    world.advance(Duration::from_secs(780));
    assert_eq!(states(&world), []);
    assert!(
        !world.counters().keys().any(|name| name.ends_with("active")),
        "{:?}",
        world.counters()
    );
}
