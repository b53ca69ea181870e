//! Every mode, both families, TCP, UDP and UDP without checksum, 0 to 9 bytes of payload, options and extension headers, tags
//! of the service and of the server: the frame that leaves, byte for byte, both ways.

use std::net::SocketAddr;

use crate::support::frame::{Frame, SYN, Transport};
use crate::support::*;
use crate::tunnel::{check_outer, tunnels};
use weir_dataplane::Verdict;
use weir_rings::message::{Command, Forward, Protocol, VlanId};

/// Client, virtual address, server, FULLNAT's address, gateway to the client.
const FAMILIES: [[&str; 5]; 2] = [
    [
        "203.0.113.7:40000",
        "192.0.2.100:80",
        "198.51.100.11",
        "198.51.100.200",
        "192.0.2.1",
    ],
    [
        "[2001:db8:9::7]:40000",
        "[2001:db8:1::100]:80",
        "2001:db8:2::11",
        "2001:db8:2::200",
        "2001:db8:1::1",
    ],
];
const SERVICE_VLAN: u16 = 7;
const SERVER_VLAN: u16 = 30;

fn socket(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

/// DR and tunnels keep the port, the others change it.
const fn server_port(forward: Forward) -> u16 {
    match forward {
        Forward::Dr | Forward::Tunnel(_) => 80,
        Forward::Nat | Forward::FullNat => 8080,
    }
}

/// A world whose services are in VLAN 7 or untagged, and whose servers are in VLAN 30 or untagged. `far` is the server of
/// both families, for tunnels that cross them.
fn world(forward: Forward, far: Option<&str>, tags: (Option<u16>, Option<u16>)) -> World {
    let mut world = World::new(Setup::default());
    let mut commands = Vec::new();
    for [_, virt, server, own, _] in FAMILIES {
        commands.push(local(own, 1024, 65535));
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let address = virt.parse::<SocketAddr>().unwrap().ip().to_string();
            let mut service = service(protocol, &address, 80);
            service.vlan = tags.0.and_then(VlanId::new);
            let mut server = backend(&service, far.unwrap_or(server), server_port(forward), forward);
            server.vlan = tags.1.and_then(VlanId::new);
            commands.extend([Command::UpsertService(service), Command::UpsertBackend(server)]);
        }
    }
    world.commit(&commands).unwrap();
    world
}

/// The same packet with every kind of options, from none to 40 bytes; IPv6 with extension headers.
fn with_options(sent: &Frame) -> Vec<Frame> {
    if sent.dst.is_ipv6() {
        let chains: [&[u8]; 4] = [&[], &[0], &[60], &[0, 60]];
        let with = |chain: &&[u8]| sent.clone().with(|f| f.extensions = chain.to_vec());
        chains.iter().map(with).collect()
    } else {
        let with = |words: usize| sent.clone().with(|f| f.ip_options = vec![1; words * 4]);
        [0, 1, 5, 10].map(with).to_vec()
    }
}

/// Every shape of packet from `src` to `dst`.
fn shapes(src: &str, dst: &str) -> Vec<Frame> {
    let mut all = Vec::new();
    for transport in [Transport::Tcp(SYN), Transport::Udp, Transport::UdpUnsummed] {
        if transport == Transport::UdpUnsummed && src.contains('[') {
            continue;
        }
        for payload in 0..10 {
            let plain = Frame::tcp(src, dst, SYN)
                .payload(payload)
                .with(|f| f.transport = transport);
            all.extend(with_options(&plain));
        }
    }
    all
}

fn all_tags() -> impl Iterator<Item = (Option<u16>, Option<u16>)> {
    [None, Some(SERVICE_VLAN)]
        .into_iter()
        .flat_map(|service| [None, Some(SERVER_VLAN)].map(|server| (service, server)))
}

#[test]
fn what_leaves_by_dr_nat_and_fullnat_is_exact() {
    for forward in [Forward::Dr, Forward::Nat, Forward::FullNat] {
        for tags in all_tags() {
            let mut world = world(forward, None, tags);
            for family in FAMILIES {
                for sent in shapes(family[0], family[1]) {
                    there_and_back(&mut world, forward, tags, &family, &sent);
                }
            }
            world.assert_conserved();
        }
    }
}

fn there_and_back(
    world: &mut World,
    forward: Forward,
    tags: (Option<u16>, Option<u16>),
    [client, virt, server, own, gateway]: &[&str; 5],
    sent: &Frame,
) {
    let what = format!("{forward:?} {tags:?} {sent:?}");
    let server = socket(server, server_port(forward));
    let sent = sent.clone().with(|f| f.vlan = tags.0);
    let out = world.send(LAN, &sent.bytes());
    let l4 = 14 + 4 * usize::from(tags.1.is_some()) + sent.ip().len() - sent.transport_len();
    let source_port = u16::from_be_bytes([out.frame[l4], out.frame[l4 + 1]]);
    let near = match forward {
        Forward::FullNat => socket(own, source_port),
        Forward::Dr | Forward::Tunnel(_) | Forward::Nat => sent.src,
    };
    let seen_as = match forward {
        Forward::Dr | Forward::Tunnel(_) => sent.dst,
        Forward::Nat | Forward::FullNat => server,
    };
    let expected = sent.clone().hop().macs(mac_of(server.ip()), BACK_MAC).with(|f| {
        (f.src, f.dst, f.vlan) = (near, seen_as, tags.1);
    });
    assert_eq!(
        (out.verdict, out.frame),
        (Verdict::Tx(BACK), expected.bytes()),
        "{what}"
    );
    if forward == Forward::Dr {
        return;
    }
    let reply = sent.clone().macs(BACK_MAC, mac_of(server.ip())).with(|f| {
        (f.src, f.dst, f.vlan) = (server, near, tags.1);
    });
    let mut out = world.send(BACK, &reply.bytes());
    if matches!(out.verdict, Verdict::Punt(_)) {
        // The gateway is asked for in the service's VLAN when the first reply needs it.
        out = world.send(BACK, &reply.bytes());
    }
    let expected = reply.hop().macs(mac_of(ip(gateway)), LAN_MAC).with(|f| {
        (f.src, f.dst) = (virt.parse().unwrap(), client.parse().unwrap());
        f.vlan = tags.0;
    });
    assert_eq!(
        (out.verdict, out.frame),
        (Verdict::Tx(LAN), expected.bytes()),
        "reply: {what}"
    );
}

#[test]
fn what_leaves_by_every_tunnel_is_exact() {
    for tunnel in tunnels() {
        for far in ["198.51.100.11", "2001:db8:2::11"] {
            for tags in all_tags() {
                let mut world = world(Forward::Tunnel(tunnel), Some(far), tags);
                for [client, virt, ..] in FAMILIES {
                    for sent in shapes(client, virt) {
                        let sent = sent.with(|f| f.vlan = tags.0);
                        let out = world.send(LAN, &sent.bytes());
                        assert_eq!(
                            out.verdict,
                            Verdict::Tx(BACK),
                            "{tunnel:?} {far} {tags:?} {sent:?}"
                        );
                        check_outer(&out.frame, &sent, tunnel, far, tags.1);
                    }
                }
                world.assert_conserved();
            }
        }
    }
}
