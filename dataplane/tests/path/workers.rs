//! One worker and several give the same answers flow by flow, whatever the device can do; nothing crosses cores where the
//! RSS key is known.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use weir_dataplane::family::Key;
use weir_dataplane::family::{V4, V6};
use weir_dataplane::steer::{Rss, Toeplitz};
use weir_dataplane::{Verdict, WorkerId};
use weir_proto::time::Duration;
use weir_rings::message::{Command, Forward, Protocol, SchedulerKind, Tunnel};

use crate::support::frame::{ACK, FIN, Frame, SYN, icmp};
use crate::support::*;

const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
    0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
    0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Device {
    /// One queue, worker 0 polls it.
    OneQueue,
    /// Queues by a hash nobody told us.
    Secret,
    /// Queues by a known key and table.
    Known,
}

fn toeplitz(workers: u8) -> Toeplitz {
    Toeplitz::new(&KEY, (0..128).map(|i| WorkerId(i % workers)).collect()).unwrap()
}

fn world(workers: u8, device: Device, forward: Forward) -> World {
    let rss = || match device {
        Device::OneQueue => Rss::None,
        Device::Secret => Rss::Unknown,
        Device::Known => Rss::Known(Box::new(toeplitz(workers))),
    };
    let mut world = World::new(Setup {
        workers,
        rss: vec![rss(), rss()],
        ..Setup::default()
    });
    let mut commands = vec![
        local("198.51.100.200", 1024, 65535),
        local("2001:db8:2::200", 1024, 65535),
    ];
    for (address, servers) in [
        (
            "192.0.2.100",
            [
                ("198.51.100.11", 80),
                ("198.51.100.12", 80),
                ("198.51.100.13", 80),
            ],
        ),
        (
            "2001:db8:1::100",
            [
                ("2001:db8:2::11", 80),
                ("2001:db8:2::12", 80),
                ("2001:db8:2::13", 80),
            ],
        ),
    ] {
        let mut service = service(Protocol::Tcp, address, 80);
        // By hash, so that the order in which workers see flows does not matter.
        service.scheduler.kind = SchedulerKind::Maglev;
        commands.extend(with_backends(&service, &servers, forward));
    }
    world.commit(&commands).unwrap();
    world
}

/// The worker whose queue a frame arrives in.
fn queue(device: Device, workers: u8, toeplitz: &Toeplitz, frame: &Frame) -> u8 {
    let (src, dst) = (frame.src, frame.dst);
    match device {
        Device::OneQueue => 0,
        // Anything, as long as one direction of one flow stays in one queue.
        Device::Secret => {
            ((u32::from(src.port()) * 7 + u32::from(dst.port()) * 13) % u32::from(workers)) as u8
        }
        Device::Known => match Key::<V4>::new(src.ip(), src.port(), dst.ip(), dst.port(), 6) {
            Some(key) => toeplitz.worker(&key).0,
            None => {
                toeplitz
                    .worker(&Key::<V6>::new(src.ip(), src.port(), dst.ip(), dst.port(), 6).unwrap())
                    .0
            }
        },
    }
}

fn endpoints(v6: bool, flow: u16) -> (String, &'static str) {
    if v6 {
        (
            format!("[2001:db8:9::{:x}]:{}", flow % 7, 20_000 + flow),
            "[2001:db8:1::100]:80",
        )
    } else {
        (
            format!("203.0.113.{}:{}", flow % 7, 20_000 + flow),
            "192.0.2.100:80",
        )
    }
}

/// Where the server sees a packet come from and go to.
fn seen_by_server(frame: &[u8]) -> (String, String) {
    let packet = etherparse::SlicedPacket::from_ethernet(frame).unwrap();
    let Some(etherparse::TransportSlice::Tcp(tcp)) = &packet.transport else {
        return (String::new(), String::new());
    };
    let (src, dst): (std::net::IpAddr, std::net::IpAddr) = match packet.net.as_ref().unwrap() {
        etherparse::NetSlice::Ipv4(v4) => (
            v4.header().source_addr().into(),
            v4.header().destination_addr().into(),
        ),
        etherparse::NetSlice::Ipv6(v6) => (
            v6.header().source_addr().into(),
            v6.header().destination_addr().into(),
        ),
        etherparse::NetSlice::Arp(_) => panic!("ARP"),
    };
    let show = |ip, port| std::net::SocketAddr::new(ip, port).to_string();
    (show(src, tcp.source_port()), show(dst, tcp.destination_port()))
}

/// Runs lives of flows in a random order and says for each flow which server it had, and how many packets crossed.
fn run(workers: u8, device: Device, forward: Forward, seed: u64) -> (HashMap<(bool, u16), String>, u32) {
    let mut world = world(workers, device, forward);
    let mut rng = StdRng::seed_from_u64(seed);
    let spread = toeplitz(workers);
    let mut servers = HashMap::new();
    let crossed = std::cell::Cell::new(0);
    let mut order: Vec<u16> = (0..60).collect();
    order.shuffle(&mut rng);
    for flow in order {
        for v6 in [false, true] {
            let (client, virt) = endpoints(v6, flow);
            let from_client = |world: &mut World, flags| {
                let frame = Frame::tcp(&client, virt, flags).payload(usize::from(flow % 5));
                let at = queue(device, workers, &spread, &frame);
                let out = world.send_to(at, LAN, &frame.bytes());
                assert_eq!(
                    out.verdict,
                    Verdict::Tx(BACK),
                    "{device:?} {forward:?} flow {flow} flags {flags}"
                );
                crossed.set(crossed.get() + out.steered);
                out.frame
            };
            let first = from_client(&mut world, SYN);
            servers.insert((v6, flow), format!("{:02x?}", &first[..6]));
            let nat = matches!(forward, Forward::Nat | Forward::FullNat);
            let (near, server) = if nat {
                seen_by_server(&first)
            } else {
                (String::new(), String::new())
            };
            for (is_reply, flags) in [
                (true, SYN | ACK),
                (false, ACK),
                (true, ACK),
                (false, FIN | ACK),
                (true, FIN | ACK),
                (false, ACK),
            ] {
                if !is_reply {
                    let frame = from_client(&mut world, flags);
                    assert_eq!(frame[..6], first[..6], "the flow keeps its server");
                } else if nat {
                    let reply = Frame::tcp(&server, &near, flags).macs(BACK_MAC, CLIENT_MAC);
                    let at = queue(device, workers, &spread, &reply);
                    let out = world.send_to(at, BACK, &reply.bytes());
                    assert_eq!(
                        out.verdict,
                        Verdict::Tx(LAN),
                        "{device:?} {forward:?} reply of flow {flow}"
                    );
                    let (from, to) = seen_by_server(&out.frame);
                    assert_eq!((socket(&from), socket(&to)), (socket(virt), socket(&client)));
                    crossed.set(crossed.get() + out.steered);
                }
            }
        }
    }
    let states = states(&world);
    let expected = if matches!(forward, Forward::Nat | Forward::FullNat) {
        "TIME_WAIT"
    } else {
        "FIN_WAIT"
    };
    assert!(
        states.iter().all(|state| *state == expected),
        "{device:?} {forward:?}: {states:?}"
    );
    assert_eq!(states.len(), 120, "each flow lives on one worker");
    assert_eq!(answered(&world), 120, "each handshake is counted once");
    world.assert_conserved();
    world.advance(Duration::from_secs(2_000));
    world.advance(Duration::from_secs(2_000));
    let left: Vec<_> = world
        .counters()
        .into_iter()
        .filter(|(name, _)| name == "flows" || name.ends_with("active"))
        .collect();
    assert!(left.is_empty(), "{device:?} {forward:?}: {left:?}");
    (servers, crossed.get())
}

fn socket(text: &str) -> std::net::SocketAddr {
    text.parse().unwrap()
}

fn states(world: &World) -> Vec<&'static str> {
    let mut all = Vec::new();
    for path in &world.paths {
        path.flows_from(world.now, &mut 0, u32::MAX, |flow| all.push(flow.state));
    }
    all
}

#[test]
fn any_number_of_workers_gives_the_same_answers() {
    let seed = seed(1);
    for forward in [
        Forward::Dr,
        Forward::Tunnel(Tunnel::Ipip),
        Forward::Nat,
        Forward::FullNat,
    ] {
        let (alone, crossed) = run(1, Device::OneQueue, forward, seed);
        assert_eq!(crossed, 0);
        for workers in [2, 3] {
            for device in [Device::OneQueue, Device::Secret, Device::Known] {
                let (together, crossed) = run(workers, device, forward, seed);
                assert_eq!(together, alone, "{workers} workers, {device:?}, {forward:?}");
                match device {
                    Device::Known => {
                        assert_eq!(crossed, 0, "{forward:?} with a known key hands nothing over")
                    }
                    Device::OneQueue => assert!(crossed > 0),
                    Device::Secret => {}
                }
            }
        }
    }
}

/// Flows whose servers are known to have answered.
fn answered(world: &World) -> u64 {
    let counters = world.counters();
    let named = counters.iter().filter(|(name, _)| name.ends_with(".answered"));
    named.map(|(_, value)| value).sum()
}

#[test]
fn a_datagrams_answer_is_counted_once_wherever_it_arrives() {
    const WORKERS: u8 = 3;
    let spread = toeplitz(WORKERS);
    for device in [Device::OneQueue, Device::Secret, Device::Known] {
        let mut world = world(WORKERS, device, Forward::Nat);
        let datagrams = service(Protocol::Udp, "192.0.2.100", 80);
        let server = "198.51.100.11:80";
        world
            .commit(&with_backends(&datagrams, &[("198.51.100.11", 80)], Forward::Nat))
            .unwrap();
        for flow in 0..60 {
            let (client, virt) = endpoints(false, flow);
            let asked = Frame::udp(&client, virt);
            let reply = Frame::udp(server, &client).macs(BACK_MAC, CLIENT_MAC);
            for (port, frame) in [
                (LAN, &asked),
                (BACK, &reply),
                (BACK, &reply),
                (LAN, &asked),
                (BACK, &reply),
            ] {
                let at = queue(device, WORKERS, &spread, frame);
                let out = world.send_to(at, port, &frame.bytes());
                assert!(
                    matches!(out.verdict, Verdict::Tx(_)),
                    "{device:?} flow {flow}: {out:?}"
                );
            }
        }
        assert_eq!(answered(&world), 60, "{device:?}");
        world.assert_conserved();
    }
}

#[test]
fn quoted_flows_are_found_on_whichever_worker_they_live() {
    for device in [Device::OneQueue, Device::Secret, Device::Known] {
        for forward in [Forward::Dr, Forward::Nat, Forward::FullNat] {
            let mut world = world(2, device, forward);
            let mut rng = StdRng::seed_from_u64(1);
            let spread = toeplitz(2);
            for flow in 0..40 {
                let (client, virt) = endpoints(false, flow);
                let syn = Frame::tcp(&client, virt, SYN);
                let at = queue(device, 2, &spread, &syn);
                let first = world.send_to(at, LAN, &syn.bytes());
                let quoted = Frame::tcp(virt, &client, SYN).ip();
                let error = icmp(
                    LAN_MAC,
                    ip("203.0.113.254"),
                    ip("192.0.2.100"),
                    60,
                    3,
                    1,
                    [0; 4],
                    &quoted[..28],
                );
                let arrives = rng.random_range(0..if device == Device::OneQueue { 1 } else { 2 });
                let out = world.send_to(arrives, LAN, &error);
                assert_eq!(out.verdict, Verdict::Tx(BACK), "{device:?} {forward:?}");
                assert_eq!(out.frame[..6], first.frame[..6], "to the flow's server");
            }
            world.assert_conserved();
        }
    }
}

#[test]
fn errors_about_outer_packets_find_the_flow_on_whichever_worker() {
    for device in [Device::OneQueue, Device::Secret, Device::Known] {
        let mut world = world(2, device, Forward::Tunnel(Tunnel::Ipip));
        let mut rng = StdRng::seed_from_u64(1);
        let spread = toeplitz(2);
        for flow in 0..40 {
            let (client, virt) = endpoints(false, flow);
            let syn = Frame::tcp(&client, virt, SYN);
            let at = queue(device, 2, &spread, &syn);
            let outer = world.send_to(at, LAN, &syn.bytes()).frame[14..].to_vec();
            let error = icmp(
                BACK_MAC,
                ip("198.51.100.254"),
                ip("198.51.100.2"),
                60,
                3,
                1,
                [0; 4],
                &outer,
            );
            let arrives = rng.random_range(0..if device == Device::OneQueue { 1 } else { 2 });
            let out = world.send_to(arrives, BACK, &error);
            assert_eq!(out.verdict, Verdict::Tx(LAN), "{device:?}");
        }
        world.assert_conserved();
    }
}

#[test]
fn ambiguous_replies_are_refused_across_workers() {
    for device in [Device::OneQueue, Device::Secret, Device::Known] {
        let mut world = world(2, device, Forward::Nat);
        // Toeplitz is linear: to some of these every client's packets go where those to the first address go, to the
        // others none.
        let others = ["192.0.2.101", "192.0.2.102", "192.0.2.104", "192.0.2.108"];
        for address in others {
            let vip = Command::UpsertVip(weir_rings::message::Vip::owned(ip(address)));
            let mut other = service(Protocol::Tcp, address, 80);
            other.scheduler.kind = SchedulerKind::Maglev;
            world.commit(&[vip]).unwrap();
            let servers = [("198.51.100.11", 80)];
            world
                .commit(&with_backends(&other, &servers, Forward::Nat))
                .unwrap();
        }
        // All services have this server alone.
        let first = service(Protocol::Tcp, "192.0.2.100", 80);
        let gone = [12, 13].map(|last| {
            let key = backend(&first, &format!("198.51.100.{last}"), 80, Forward::Nat).key;
            Command::DeleteBackend(first.key, key)
        });
        world.commit(&gone).unwrap();
        let spread = toeplitz(2);
        let mut apart = 0;
        for flow in 0..40 {
            let (client, virt) = endpoints(false, flow);
            let mut send = |to: &str| {
                let syn = Frame::tcp(&client, to, SYN);
                world.send_to(queue(device, 2, &spread, &syn), LAN, &syn.bytes())
            };
            let first = send(virt);
            assert_eq!(first.verdict, Verdict::Tx(BACK));
            for other in others {
                let out = send(&format!("{other}:80"));
                let refused = Verdict::Drop(weir_dataplane::DropReason::ReplyAmbiguous);
                assert_eq!(out.verdict, refused, "{device:?} {client} to {other}");
                apart += u32::from(out.worker != first.worker);
            }
        }
        assert_eq!(
            apart > 0,
            device == Device::Known,
            "{device:?}: the flows meet other workers"
        );
        world.assert_conserved();
    }
}

#[test]
fn round_robin_is_fair_across_workers() {
    let mut world = World::new(Setup {
        workers: 2,
        ..Setup::default()
    });
    let web = service(Protocol::Tcp, "192.0.2.100", 80);
    let servers = [("192.0.2.11", 80), ("192.0.2.12", 80), ("192.0.2.13", 80)];
    world.commit(&with_backends(&web, &servers, Forward::Dr)).unwrap();
    for port in 0..300u16 {
        let syn = Frame::tcp(&format!("203.0.113.7:{}", 1000 + port), "192.0.2.100:80", SYN).bytes();
        world.send(LAN, &syn);
    }
    for (address, _) in servers {
        assert_eq!(
            world
                .reader
                .backend_total(world.backend_slot(address))
                .connections,
            100
        );
    }
    world.assert_conserved();
}
