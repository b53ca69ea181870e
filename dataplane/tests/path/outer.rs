//! ICMP errors about the outer packet of a tunnel, from routers between weir and the server: the client hears of its own.

use crate::support::frame::{ACK, Frame, SYN, icmp};
use crate::support::*;
use crate::tunnel::tunnels;
use weir_dataplane::{DropReason, PuntReason, Verdict};
use weir_rings::message::{Forward, Protocol, Tunnel, TunnelChecksum};

/// Client, virtual address.
const INSIDE: [(&str, &str); 2] = [
    ("203.0.113.7:40000", "192.0.2.100:80"),
    ("[2001:db8:9::7]:40000", "[2001:db8:1::100]:80"),
];
/// Server, our end of the tunnel, a router on the way.
const OUTSIDE: [[&str; 3]; 2] = [
    ["198.51.100.11", "198.51.100.2", "198.51.100.254"],
    ["2001:db8:2::11", "2001:db8:2::2", "2001:db8:2::fe"],
];
const MTU: u16 = 1400;

fn world(tunnel: Tunnel, server: &str) -> World {
    let mut world = World::new(Setup::default());
    let mut commands = Vec::new();
    for address in ["192.0.2.100", "2001:db8:1::100"] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let service = service(protocol, address, 80);
            commands.extend(with_backends(&service, &[(server, 80)], Forward::Tunnel(tunnel)));
        }
    }
    world.commit(&commands).unwrap();
    world
}

/// Bytes of outer headers.
fn overhead(tunnel: Tunnel, outer_v6: bool) -> u16 {
    let shim = match tunnel {
        Tunnel::Ipip => 0,
        Tunnel::Gre {
            checksum: TunnelChecksum::None,
        } => 4,
        Tunnel::Gre { .. } => 8,
        Tunnel::Gue { .. } => 12,
        Tunnel::Vxlan { .. } => 30,
    };
    shim + if outer_v6 { 40 } else { 20 }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    TooBig,
    TimeExceeded,
    Unreachable,
}

/// The router's message about `outer`, of which it quotes `len` bytes.
fn error(what: What, [_, own, router]: [&str; 3], outer: &[u8], len: usize) -> Vec<u8> {
    let v6 = own.contains(':');
    let (kind, code, word) = match (what, v6) {
        (What::TooBig, false) => (3, 4, [0, 0, MTU.to_be_bytes()[0], MTU.to_be_bytes()[1]]),
        (What::TooBig, true) => (2, 0, u32::from(MTU).to_be_bytes()),
        (What::TimeExceeded, false) => (11, 0, [0; 4]),
        (What::TimeExceeded, true) => (3, 0, [0; 4]),
        (What::Unreachable, false) => (3, 1, [0; 4]),
        (What::Unreachable, true) => (1, 3, [0; 4]),
    };
    let quoted = &outer[..len.min(outer.len())];
    icmp(BACK_MAC, ip(router), ip(own), 60, kind, code, word, quoted)
}

#[test]
fn the_client_hears_about_its_own_packet() {
    for tunnel in tunnels() {
        for outside in OUTSIDE {
            let mut world = world(tunnel, outside[0]);
            for (client, virt) in INSIDE {
                for sent in [
                    Frame::tcp(client, virt, SYN),
                    Frame::udp(client, virt).payload(40),
                ] {
                    let outer = world.send(LAN, &sent.bytes()).frame[14..].to_vec();
                    for what in [What::TooBig, What::TimeExceeded, What::Unreachable] {
                        let about = error(what, outside, &outer, 128);
                        let out = world.send(BACK, &about);
                        let case = format!("{tunnel:?} {outside:?} {client} {what:?}");
                        assert_eq!(out.verdict, Verdict::Tx(LAN), "{case}");
                        is_about(
                            &out.frame,
                            &sent,
                            what,
                            MTU - overhead(tunnel, outside[0].contains(':')),
                            &case,
                        );
                    }
                }
            }
            world.assert_conserved();
        }
    }
}

/// That `frame` tells the sender of `sent` so. Its sums have been checked.
fn is_about(frame: &[u8], sent: &Frame, what: What, mtu: u16, case: &str) {
    let v6 = sent.src.is_ipv6();
    let gateway = ip(if v6 { "2001:db8:1::1" } else { "192.0.2.1" });
    assert_eq!(
        (&frame[..6], &frame[6..12]),
        (&mac_of(gateway)[..], &LAN_MAC[..]),
        "{case}"
    );
    let (addresses, message) = if v6 {
        (&frame[14 + 8..14 + 40], &frame[14 + 40..])
    } else {
        (&frame[14 + 12..14 + 20], &frame[14 + 20..])
    };
    let bytes = |address| match address {
        std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let from_to = [bytes(sent.dst.ip()), bytes(sent.src.ip())].concat();
    assert_eq!(
        addresses, from_to,
        "{case}: from the virtual address to the client"
    );
    let expected: (u8, u8, u32) = match (what, v6) {
        (What::TooBig, false) => (3, 4, mtu.into()),
        // No IPv6 link has less than 1280.
        (What::TooBig, true) => (2, 0, u32::from(mtu).max(1280)),
        (What::TimeExceeded | What::Unreachable, false) => (3, 1, 0),
        (What::TimeExceeded | What::Unreachable, true) => (1, 3, 0),
    };
    let word = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
    assert_eq!((message[0], message[1], word), expected, "{case}");
    let inner = sent.clone().hop().ip();
    assert!(inner.starts_with(&message[8..]), "{case}: {:02x?}", &message[8..]);
    assert!(
        message.len() >= 8 + if v6 { 48 } else { 28 },
        "{case}: ports are quoted"
    );
}

#[test]
fn what_cannot_be_told_is_dropped_by_name() {
    for tunnel in tunnels() {
        for outside in OUTSIDE {
            let mut world = world(tunnel, outside[0]);
            let (client, virt) = INSIDE[0];
            let sent = Frame::tcp(client, virt, SYN);
            let outer = world.send(LAN, &sent.bytes()).frame[14..].to_vec();
            let header_len = if outside[0].contains(':') { 40 } else { 20 };
            // Eight bytes beyond the outer header: nothing of the client's packet that helps.
            let short = error(What::TooBig, outside, &outer, header_len + 8);
            assert_eq!(
                world.send(BACK, &short).verdict,
                Verdict::Drop(DropReason::IcmpTunnel),
                "{tunnel:?} {outside:?}"
            );
            // The server's kernel does not know the tunnel: not about the way, so not for the client.
            let v6 = outside[0].contains(':');
            for (kind, code) in if v6 { [(1, 4), (4, 1)] } else { [(3, 2), (3, 3)] } {
                let refusal = icmp(
                    BACK_MAC,
                    ip(outside[0]),
                    ip(outside[1]),
                    60,
                    kind,
                    code,
                    [0; 4],
                    &outer,
                );
                assert_eq!(
                    world.send(BACK, &refusal).verdict,
                    Verdict::Drop(DropReason::IcmpTunnel),
                    "{tunnel:?} {outside:?} type {kind} code {code}"
                );
            }
            // A flow that is not known.
            let other = Frame::tcp("203.0.113.8:1", virt, ACK).hop().ip();
            let (head, _) = outer.split_at(outer.len() - sent.ip().len());
            let unknown = error(What::Unreachable, outside, &[head, &other].concat(), 128);
            assert_eq!(
                world.send(BACK, &unknown).verdict,
                Verdict::Drop(DropReason::IcmpNoFlow)
            );
            // A wrong sum is not passed on as a right one.
            let mut wrong = error(What::TooBig, outside, &outer, 128);
            *wrong.last_mut().unwrap() ^= 1;
            assert_eq!(
                world.send(BACK, &wrong).verdict,
                Verdict::Drop(DropReason::BadChecksum)
            );
            // About a tunnel that is not ours: the host's, perhaps.
            let mut foreign = outer.clone();
            foreign[header_len - 1] ^= 0x40;
            let foreign = error(What::TooBig, outside, &foreign, 128);
            assert_eq!(
                world.send(BACK, &foreign).verdict,
                Verdict::Punt(PuntReason::Host),
                "{tunnel:?} {outside:?}"
            );
            world.assert_conserved();
        }
    }
}
