//! Tunnels: every encapsulation, outer family, inner family and protocol; ToS, ECN, DF, MTU, tags.

use crate::support::frame::{ACK, Frame, SYN, icmp, link};
use crate::support::*;
use weir_dataplane::{DropReason, FrameBuf, Verdict};
use weir_rings::message::{Backend, Command, Forward, MssClamp, Protocol, Tunnel, TunnelChecksum, VlanId};

const CLIENT: &str = "203.0.113.7:40000";
const WEB: &str = "192.0.2.100:80";
const CLIENT6: &str = "[2001:db8:9::7]:40000";
const WEB6: &str = "[2001:db8:1::100]:80";
const INNER_MAC: [u8; 6] = [2, 1, 1, 1, 1, 1];

pub(crate) fn tunnels() -> Vec<Tunnel> {
    vec![
        Tunnel::Ipip,
        Tunnel::Gre {
            checksum: TunnelChecksum::None,
        },
        Tunnel::Gre {
            checksum: TunnelChecksum::Full,
        },
        Tunnel::Gue {
            port: 6080,
            checksum: TunnelChecksum::None,
        },
        Tunnel::Gue {
            port: 6080,
            checksum: TunnelChecksum::Full,
        },
        Tunnel::Vxlan {
            port: 4789,
            vni: 0x00ab_cdef,
            inner_mac: INNER_MAC,
        },
    ]
}

/// Bytes between outer IP header and inner packet, and the outer protocol number.
fn shim(tunnel: Tunnel, v6: bool) -> (usize, u8) {
    match tunnel {
        Tunnel::Ipip => (0, if v6 { 41 } else { 4 }),
        Tunnel::Gre {
            checksum: TunnelChecksum::None,
        } => (4, 47),
        Tunnel::Gre { .. } => (8, 47),
        Tunnel::Gue { .. } => (12, 17),
        Tunnel::Vxlan { .. } => (30, 17),
    }
}

fn tunnel_world(tunnel: Tunnel, server: &str) -> World {
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

#[test]
fn every_tunnel_carries_the_packet_one_hop_further() {
    for tunnel in tunnels() {
        for server in ["198.51.100.11", "2001:db8:2::11"] {
            let mut world = tunnel_world(tunnel, server);
            for (src, dst) in [(CLIENT, WEB), (CLIENT6, WEB6)] {
                for sent in [Frame::tcp(src, dst, SYN), Frame::udp(src, dst)] {
                    for payload in 0..10 {
                        let sent = sent
                            .clone()
                            .payload(payload)
                            .with(|f| f.tos = 0xb8 | (payload as u8 & 3));
                        let out = world.send(LAN, &sent.bytes());
                        assert_eq!(out.verdict, Verdict::Tx(BACK), "{tunnel:?} {server} {src}");
                        check_outer(&out.frame, &sent, tunnel, server, None);
                    }
                }
            }
            world.assert_conserved();
        }
    }
}

/// That `frame` is `sent` in this tunnel to `server`, with this tag.
pub(crate) fn check_outer(frame: &[u8], sent: &Frame, tunnel: Tunnel, server: &str, vlan: Option<u16>) {
    let outer_v6 = server.contains(':');
    let inner_v6 = sent.dst.is_ipv6();
    let link_header = link(mac_of(ip(server)), BACK_MAC, vlan, outer_v6);
    let (head, outer) = frame.split_at(link_header.len());
    assert_eq!(head, link_header);
    let (shim_len, protocol) = shim(tunnel, inner_v6);
    let inner = sent.clone().hop().ip();
    let header_len = if outer_v6 {
        assert_eq!(outer[0] << 4 | outer[1] >> 4, sent.tos, "traffic class with ECN");
        assert_eq!(
            usize::from(outer[4]) << 8 | usize::from(outer[5]),
            shim_len + inner.len()
        );
        assert_eq!((outer[6], outer[7]), (protocol, 64));
        assert_eq!(
            outer[8..24],
            "2001:db8:2::2".parse::<std::net::Ipv6Addr>().unwrap().octets()
        );
        assert!(
            outer[1..4] != [outer[1] & 0xf0, 0, 0],
            "flow label carries entropy"
        );
        40
    } else {
        assert_eq!(outer[1], sent.tos, "ToS with ECN");
        assert_eq!(
            usize::from(outer[2]) << 8 | usize::from(outer[3]),
            20 + shim_len + inner.len()
        );
        assert_eq!(outer[6], 0x40, "DF");
        assert_eq!((outer[9], outer[8]), (protocol, 64));
        assert_eq!(outer[12..16], [198, 51, 100, 2]);
        20
    };
    let shim = &outer[header_len..header_len + shim_len];
    match tunnel {
        Tunnel::Ipip => {}
        Tunnel::Gre { .. } => assert_eq!(shim[2..4], if inner_v6 { [0x86, 0xdd] } else { [8, 0] }),
        Tunnel::Gue { checksum, .. } => {
            assert!(shim[0] >= 0xc0, "source port in the dynamic range");
            assert_eq!(shim[2..4], 6080u16.to_be_bytes());
            assert_eq!(shim[6..8] == [0, 0], checksum == TunnelChecksum::None);
            assert_eq!(shim[8..12], [0, if inner_v6 { 41 } else { 4 }, 0, 0]);
        }
        Tunnel::Vxlan { .. } => {
            assert_eq!(shim[2..4], 4789u16.to_be_bytes());
            assert_eq!(shim[8..16], [8, 0, 0, 0, 0xab, 0xcd, 0xef, 0]);
            assert_eq!(shim[16..30], link(INNER_MAC, BACK_MAC, None, inner_v6));
        }
    }
    assert_eq!(outer[header_len + shim_len..], inner, "inner packet");
}

#[test]
fn padding_and_tags_stay_outside() {
    let mut world = World::new(Setup {
        back_vlan: Some(9),
        ..Setup::default()
    });
    let mut web = service(Protocol::Udp, "192.0.2.100", 80);
    web.vlan = VlanId::new(5);
    world
        .commit(&with_backends(
            &web,
            &[("198.51.100.11", 80)],
            Forward::Tunnel(Tunnel::Ipip),
        ))
        .unwrap();
    let sent = Frame::udp(CLIENT, WEB).payload(1).with(|f| f.vlan = Some(5));
    let mut bytes = sent.bytes();
    bytes.resize(64, 0xee);
    let out = world.send(LAN, &bytes);
    assert_eq!(out.verdict, Verdict::Tx(BACK));
    assert_eq!(
        out.frame[..18],
        link(mac_of(ip("198.51.100.11")), BACK_MAC, Some(9), false)
    );
    assert_eq!(out.frame[38..], sent.hop().ip());
}

#[test]
fn what_does_not_fit_is_answered_with_the_right_mtu() {
    for tunnel in tunnels() {
        for (server, outer_len) in [("198.51.100.11", 20), ("2001:db8:2::11", 40)] {
            let mut world = tunnel_world(tunnel, server);
            for (src, dst) in [(CLIENT, WEB), (CLIENT6, WEB6)] {
                let v6 = dst == WEB6;
                let room = 1500 - outer_len - shim(tunnel, v6).0;
                let headers = if v6 { 60 } else { 40 };
                world.send(LAN, &Frame::tcp(src, dst, SYN).bytes());
                let fits = Frame::tcp(src, dst, ACK).payload(room - headers);
                let out = world.send(LAN, &fits.bytes());
                assert_eq!(
                    (out.verdict, out.frame.len()),
                    (Verdict::Tx(BACK), 1514),
                    "{tunnel:?} {server}"
                );
                let big = Frame::tcp(src, dst, ACK).payload(room - headers + 1);
                let out = world.send(LAN, &big.bytes());
                assert_eq!(out.verdict, Verdict::Tx(LAN));
                let (kind, code, word) = if v6 {
                    (2, 0, (room as u32).to_be_bytes())
                } else {
                    (3, 4, [0, 0, (room >> 8) as u8, room as u8])
                };
                let quoted_max = if v6 { 1280 - 48 } else { 576 - 28 };
                let quoted = &big.ip()[..quoted_max];
                let mut expected = icmp(
                    CLIENT_MAC,
                    big.dst.ip(),
                    big.src.ip(),
                    64,
                    kind,
                    code,
                    word,
                    quoted,
                );
                expected[6..12].copy_from_slice(&LAN_MAC);
                if !v6 {
                    assert_eq!(out.frame[20] & 0x40, 0, "DF is off");
                    expected[20] = 0;
                    expected[24..26].copy_from_slice(&out.frame[24..26]);
                }
                assert_eq!(out.frame, expected, "{tunnel:?} {server}");
                if !v6 {
                    let out = world.send(LAN, &big.with(|f| f.dont_fragment = false).bytes());
                    assert_eq!(
                        out.verdict,
                        Verdict::Drop(DropReason::TooBig),
                        "no error without DF"
                    );
                }
            }
            world.assert_conserved();
        }
    }
}

#[test]
fn the_mss_of_a_syn_is_clamped_where_asked() {
    let mut world = World::new(Setup::default());
    let mut web = service(Protocol::Tcp, "192.0.2.100", 80);
    web.mss_clamp = MssClamp::Auto;
    let commands = with_backends(&web, &[("198.51.100.11", 80)], Forward::Tunnel(Tunnel::Ipip));
    world.commit(&commands).unwrap();
    let syn = Frame::tcp(CLIENT, WEB, SYN).with(|f| f.mss = Some(1460));
    let out = world.send(LAN, &syn.bytes());
    assert_eq!(
        out.frame[34..],
        syn.clone().hop().with(|f| f.mss = Some(1440)).ip()
    );
    let small = Frame::tcp("203.0.113.7:40001", WEB, SYN).with(|f| f.mss = Some(1000));
    let out = world.send(LAN, &small.bytes());
    assert_eq!(out.frame[34..], small.hop().ip());
    web.mss_clamp = MssClamp::Fixed(1200);
    world.commit(&[Command::UpsertService(web)]).unwrap();
    let syn = Frame::tcp("203.0.113.7:40002", WEB, SYN).with(|f| f.mss = Some(1460));
    let out = world.send(LAN, &syn.bytes());
    assert_eq!(out.frame[34..], syn.hop().with(|f| f.mss = Some(1200)).ip());
}

#[test]
fn several_segments_are_carried_whole() {
    for tunnel in tunnels() {
        let mut world = tunnel_world(tunnel, "198.51.100.11");
        let sent = Frame::udp(CLIENT, WEB).payload(1000).bytes();
        // Split at an even and at an odd place, with and without padding behind.
        for (split, padding) in [(200, 0), (201, 0), (200, 5), (201, 4)] {
            let tail = [&sent[split..], &vec![0xaa; padding]].concat();
            let packet = FrameBuf::new(&sent[..split]).with_second_segment(&tail);
            let out = world.send_packet(0, LAN, packet);
            assert_eq!(out.verdict, Verdict::Tx(BACK));
            let (shim_len, _) = shim(tunnel, false);
            assert_eq!(out.frame.len(), split + 20 + shim_len);
            assert_eq!(
                u16::from_be_bytes([out.frame[16], out.frame[17]]),
                (sent.len() - 14 + 20 + shim_len) as u16
            );
            // Put together again, every sum is right, the outer one over all segments included.
            check::frame(&[&out.frame, &sent[split..]].concat());
        }
    }
}

#[test]
fn without_headroom_the_packet_is_dropped_unchanged() {
    let mut world = tunnel_world(Tunnel::Ipip, "198.51.100.11");
    let sent = Frame::tcp(CLIENT, WEB, SYN).bytes();
    let out = world.send_packet(0, LAN, FrameBuf::new(&sent).with_headroom(10));
    assert_eq!(
        (out.verdict, out.frame),
        (Verdict::Drop(DropReason::NoHeadroom), sent)
    );
    world.assert_conserved();
}

#[test]
fn the_source_and_mtu_of_a_server_can_be_set() {
    let mut world = World::new(Setup::default());
    let web = service(Protocol::Tcp, "192.0.2.100", 80);
    let mut server: Backend = backend(&web, "198.51.100.11", 80, Forward::Tunnel(Tunnel::Ipip));
    server.tunnel_source = Some(ip("198.51.100.77"));
    server.path_mtu = Some(1400);
    world
        .commit(&[Command::UpsertService(web), Command::UpsertBackend(server)])
        .unwrap();
    let out = world.send(LAN, &Frame::tcp(CLIENT, WEB, SYN).bytes());
    assert_eq!(out.frame[26..30], [198, 51, 100, 77]);
    let out = world.send(LAN, &Frame::tcp(CLIENT, WEB, ACK).payload(1400).bytes());
    assert_eq!(
        (out.verdict, &out.frame[40..42]),
        (Verdict::Tx(LAN), &1380u16.to_be_bytes()[..])
    );
}
