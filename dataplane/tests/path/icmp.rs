//! ICMP errors follow the flow they quote, with eight quoted bytes of the transport header, in every mode.

use crate::support::frame::{Frame, SYN, icmp, link};
use crate::support::*;
use weir_dataplane::Verdict;
use weir_rings::message::{Forward, Protocol, Tunnel};

struct Case {
    client: &'static str,
    virt: &'static str,
    server: &'static str,
    local: &'static str,
    router: &'static str,
    inner: &'static str,
}

const CASES: [Case; 2] = [
    Case {
        client: "203.0.113.7:40000",
        virt: "192.0.2.100:80",
        server: "198.51.100.11:8080",
        local: "198.51.100.200",
        router: "203.0.113.254",
        inner: "198.51.100.254",
    },
    Case {
        client: "[2001:db8:9::7]:40000",
        virt: "[2001:db8:1::100]:80",
        server: "[2001:db8:2::11]:8080",
        local: "2001:db8:2::200",
        router: "2001:db8:9::fe",
        inner: "2001:db8:2::fe",
    },
];

fn world(forward: Forward) -> World {
    let mut world = World::new(Setup::default());
    let mut commands = vec![
        local("198.51.100.200", 1024, 65535),
        local("2001:db8:2::200", 1024, 65535),
    ];
    for case in &CASES {
        let virt: std::net::SocketAddr = case.virt.parse().unwrap();
        let server: std::net::SocketAddr = case.server.parse().unwrap();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let service = service(protocol, &virt.ip().to_string(), 80);
            commands.extend(with_backends(
                &service,
                &[(&server.ip().to_string(), 8080)],
                forward,
            ));
        }
    }
    world.commit(&commands).unwrap();
    world
}

fn too_big(v6: bool) -> (u8, u8, [u8; 4]) {
    if v6 {
        (2, 0, 1400u32.to_be_bytes())
    } else {
        (3, 4, [0, 0, 0x05, 0x78])
    }
}

fn header_len(v6: bool) -> usize {
    if v6 { 40 } else { 20 }
}

/// What a router sends about `quoted`, cut after `l4_len` bytes of its transport header.
fn error_about(quoted: &Frame, from: &str, to: std::net::IpAddr, l4_len: usize) -> Vec<u8> {
    let v6 = to.is_ipv6();
    let (kind, code, word) = too_big(v6);
    let packet = quoted.ip();
    let cut = (header_len(v6) + l4_len).min(packet.len());
    icmp(LAN_MAC, ip(from), to, 60, kind, code, word, &packet[..cut])
}

/// The same packet one hop further with other link addresses; compared from the network header on for IPv4's own checksum.
fn arrived(mut frame: Vec<u8>, dst: [u8; 6], src: [u8; 6], v6: bool) -> Vec<u8> {
    frame[..6].copy_from_slice(&dst);
    frame[6..12].copy_from_slice(&src);
    if v6 {
        frame[21] -= 1;
    } else {
        frame[22] -= 1;
        frame[24..26].copy_from_slice(&[0, 0]);
        let sum = check::sum(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

#[test]
fn errors_about_replies_go_to_the_server() {
    for (forward, l4_len) in [
        (Forward::Dr, 8),
        (Forward::Nat, 8),
        (Forward::Nat, 20),
        (Forward::FullNat, 8),
        (Forward::FullNat, 20),
    ] {
        let mut world = world(forward);
        for case in &CASES {
            let v6 = case.client.contains('[');
            for udp in [false, true] {
                let make = |src: &str, dst: &str| {
                    if udp {
                        Frame::udp(src, dst).payload(12)
                    } else {
                        Frame::tcp(src, dst, SYN)
                    }
                };
                let out = world.send(LAN, &make(case.client, case.virt).bytes());
                let at = 14 + header_len(v6);
                let source_port = u16::from_be_bytes([out.frame[at], out.frame[at + 1]]);
                let virt: std::net::SocketAddr = case.virt.parse().unwrap();
                let server: std::net::SocketAddr = case.server.parse().unwrap();
                let quoted = make(case.virt, case.client);
                let error = error_about(&quoted, case.router, virt.ip(), l4_len);
                let out = world.send(LAN, &error);
                let (peer, to) = match forward {
                    Forward::Dr => (case.virt.to_owned(), virt.ip()),
                    Forward::Nat => (case.server.to_owned(), server.ip()),
                    _ => (case.server.to_owned(), server.ip()),
                };
                let near = if forward == Forward::FullNat {
                    std::net::SocketAddr::new(ip(case.local), source_port).to_string()
                } else {
                    case.client.to_owned()
                };
                let expected = error_about(&make(&peer, &near), case.router, to, l4_len);
                let expected = arrived(expected, mac_of(server.ip()), BACK_MAC, v6);
                assert_eq!(out.verdict, Verdict::Tx(BACK), "{forward:?}");
                assert_same_error(&out.frame, &expected, v6, udp, l4_len);
            }
        }
        world.assert_conserved();
    }
}

#[test]
fn errors_about_requests_go_to_the_client() {
    for (forward, l4_len) in [
        (Forward::Nat, 8),
        (Forward::Nat, 20),
        (Forward::FullNat, 8),
        (Forward::FullNat, 20),
    ] {
        let mut world = world(forward);
        for case in &CASES {
            let v6 = case.client.contains('[');
            for (udp, from_server) in [(false, false), (false, true), (true, false), (true, true)] {
                let make = |src: &str, dst: &str| {
                    if udp {
                        Frame::udp(src, dst).payload(12)
                    } else {
                        Frame::tcp(src, dst, SYN)
                    }
                };
                let out = world.send(LAN, &make(case.client, case.virt).bytes());
                let at = 14 + header_len(v6);
                let source_port = u16::from_be_bytes([out.frame[at], out.frame[at + 1]]);
                let client: std::net::SocketAddr = case.client.parse().unwrap();
                let virt: std::net::SocketAddr = case.virt.parse().unwrap();
                let server: std::net::SocketAddr = case.server.parse().unwrap();
                let near = if forward == Forward::FullNat {
                    std::net::SocketAddr::new(ip(case.local), source_port)
                } else {
                    client
                };
                let quoted = make(&near.to_string(), case.server);
                let from = if from_server {
                    server.ip().to_string()
                } else {
                    case.inner.to_owned()
                };
                let mut error = error_about(&quoted, &from, near.ip(), l4_len);
                error[..6].copy_from_slice(&BACK_MAC);
                let out = world.send(BACK, &error);
                let from = if from_server {
                    virt.ip().to_string()
                } else {
                    case.inner.to_owned()
                };
                let expected = error_about(&make(case.client, case.virt), &from, client.ip(), l4_len);
                let gateway = ip(if v6 { "2001:db8:1::1" } else { "192.0.2.1" });
                let expected = arrived(expected, mac_of(gateway), LAN_MAC, v6);
                assert_eq!(out.verdict, Verdict::Tx(LAN), "{forward:?}");
                assert_same_error(&out.frame, &expected, v6, udp, l4_len);
            }
        }
        world.assert_conserved();
    }
}

/// Equal but for the quoted TCP checksum when it was cut off, and the ICMP checksum over it: both sums are checked apart.
fn assert_same_error(frame: &[u8], expected: &[u8], v6: bool, udp: bool, l4_len: usize) {
    assert_eq!(frame.len(), expected.len());
    let icmp_sum = 14 + header_len(v6) + 2;
    let quoted_l4 = 14 + header_len(v6) + 8 + header_len(v6);
    for (at, (got, want)) in frame.iter().zip(expected).enumerate() {
        let summed = (icmp_sum..icmp_sum + 2).contains(&at);
        assert!(
            got == want || summed,
            "byte {at}: {got:02x} is not {want:02x}; udp {udp}, {l4_len} quoted bytes, from {quoted_l4}"
        );
    }
}

#[test]
fn errors_enter_the_tunnel() {
    let mut world = world(Forward::Tunnel(Tunnel::Ipip));
    let case = &CASES[0];
    world.send(LAN, &Frame::tcp(case.client, case.virt, SYN).bytes());
    let error = error_about(
        &Frame::tcp(case.virt, case.client, SYN),
        case.router,
        ip("192.0.2.100"),
        8,
    );
    let out = world.send(LAN, &error);
    assert_eq!(out.verdict, Verdict::Tx(BACK));
    assert_eq!(
        out.frame[..14],
        link(mac_of(ip("198.51.100.11")), BACK_MAC, None, false)
    );
    assert_eq!(out.frame[34..], arrived(error, [0; 6], [0; 6], false)[14..]);
}
