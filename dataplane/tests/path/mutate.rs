//! A million damaged frames: none is fatal, each is counted, what is sent out is well formed, and good traffic goes on.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};
use weir_dataplane::{FrameBuf, Packet, Verdict};
use weir_proto::time::Duration;
use weir_rings::message::{
    Command, Forward, MssClamp, NoServerReply, Persistence, Protocol, Tunnel, TunnelChecksum,
};

use crate::support::frame::{ACK, FIN, Frame, RST, SYN, icmp};
use crate::support::*;

const FRAMES: usize = 1_000_000;
const BURST: usize = 32;

fn busy_world() -> World {
    let mut world = World::new(Setup::default());
    let mut commands = vec![
        local("198.51.100.200", 1024, 65535),
        local("2001:db8:2::200", 1024, 65535),
    ];
    let forwards = [
        Forward::Dr,
        Forward::Nat,
        Forward::FullNat,
        Forward::Tunnel(Tunnel::Ipip),
        Forward::Tunnel(Tunnel::Gre {
            checksum: TunnelChecksum::Full,
        }),
        Forward::Tunnel(Tunnel::Gue {
            port: 6080,
            checksum: TunnelChecksum::Full,
        }),
        Forward::Tunnel(Tunnel::Vxlan {
            port: 4789,
            vni: 7,
            inner_mac: [2, 0, 0, 0, 0, 7],
        }),
    ];
    for (address, servers) in [
        ("192.0.2.100", [("198.51.100.11", 80), ("198.51.100.12", 80)]),
        (
            "2001:db8:1::100",
            [("2001:db8:2::11", 80), ("2001:db8:2::12", 80)],
        ),
    ] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for (port, forward) in (80..).zip(forwards) {
                let mut service = service(protocol, address, port);
                service.mss_clamp = MssClamp::Auto;
                service.policy.sloppy_tcp = port % 2 == 0;
                if port == 81 {
                    let prefix_len = if address.contains(':') { 64 } else { 24 };
                    service.persistence = Some(Persistence {
                        timeout_s: 60,
                        prefix_len,
                    });
                }
                commands.extend(with_backends(&service, &servers, forward));
            }
            let mut empty = service(protocol, address, 90);
            empty.no_server = NoServerReply::Reject;
            commands.push(Command::UpsertService(empty));
        }
    }
    world.commit(&commands).unwrap();
    world
}

/// Well-formed frames of every kind, to be damaged.
fn seeds() -> Vec<(weir_dataplane::PortId, Vec<u8>)> {
    let mut all = Vec::new();
    for (client, vip, server, back) in [
        (
            "203.0.113.7:4000",
            "192.0.2.100",
            "198.51.100.11:80",
            "203.0.113.7:4000",
        ),
        (
            "[2001:db8:9::7]:4000",
            "[2001:db8:1::100]",
            "[2001:db8:2::11]:80",
            "[2001:db8:9::7]:4000",
        ),
    ] {
        for port in (80..87).chain([90, 99]) {
            let virt = format!("{vip}:{port}");
            for flags in [SYN, ACK, FIN | ACK, RST] {
                all.push((
                    LAN,
                    Frame::tcp(client, &virt, flags)
                        .payload(11)
                        .with(|f| f.mss = Some(1460))
                        .bytes(),
                ));
            }
            all.push((LAN, Frame::udp(client, &virt).payload(33).bytes()));
            let quoted = Frame::tcp(&virt, client, SYN);
            let (kind, code) = if vip.contains('[') { (2, 0) } else { (3, 4) };
            all.push((
                LAN,
                icmp(
                    LAN_MAC,
                    quoted.dst.ip(),
                    quoted.src.ip(),
                    60,
                    kind,
                    code,
                    [0, 0, 5, 0],
                    &quoted.ip(),
                ),
            ));
        }
        all.push((
            BACK,
            Frame::tcp(server, back, SYN | ACK)
                .macs(BACK_MAC, CLIENT_MAC)
                .bytes(),
        ));
        let echo = if vip.contains('[') { 128 } else { 8 };
        let (from, to) = (
            client.parse::<std::net::SocketAddr>().unwrap().ip(),
            Frame::udp(client, &format!("{vip}:1")).dst.ip(),
        );
        all.push((LAN, icmp(LAN_MAC, from, to, 60, echo, 0, [1; 4], b"abcdefgh")));
    }
    let target: std::net::Ipv6Addr = "2001:db8:1::100".parse().unwrap();
    let mut solicit = target.octets().to_vec();
    solicit.extend([1, 1, 2, 0, 0, 0, 9, 9]);
    all.push((
        LAN,
        icmp(
            [0x33, 0x33, 0xff, 0, 1, 0],
            ip("2001:db8:1::50"),
            ip("ff02::1:ff00:100"),
            255,
            135,
            0,
            [0; 4],
            &solicit,
        ),
    ));
    let mut arp = vec![0xff; 6];
    arp.extend([
        2, 0, 0, 0, 9, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 9, 9, 192, 0, 2, 50, 0, 0, 0, 0, 0, 0,
        192, 0, 2, 100,
    ]);
    all.push((LAN, arp));
    all.push((
        LAN,
        Frame::tcp("203.0.113.7:1", "192.0.2.100:80", SYN)
            .with(|f| f.vlan = Some(3))
            .bytes(),
    ));
    all
}

fn damage(frame: &mut Vec<u8>, rng: &mut StdRng) {
    for _ in 0..rng.random_range(0..4) {
        if frame.is_empty() {
            return;
        }
        let headers = frame.len().min(90);
        match rng.random_range(0..7) {
            0 => frame.truncate(rng.random_range(0..=frame.len())),
            1 => frame[rng.random_range(0..headers)] ^= 1 << rng.random_range(0..8),
            2 => frame[rng.random_range(0..headers)] = *[0, 1, 0x7f, 0x80, 0xff].choose(rng).unwrap(),
            3 => {
                let at = rng.random_range(0..headers);
                frame.insert(at, rng.random());
            }
            4 => frame.extend(std::iter::repeat_n(0xa5, rng.random_range(0..300))),
            5 => {
                let (a, b) = (rng.random_range(0..headers), rng.random_range(0..headers));
                frame.swap(a, b);
            }
            _ => {
                let at = rng.random_range(0..headers);
                let end = (at + 4).min(frame.len());
                rng.fill_bytes(&mut frame[at..end]);
            }
        }
    }
}

#[test]
fn a_million_damaged_frames() {
    let seed = seed(20);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = busy_world();
    let seeds = seeds();
    let good = Frame::tcp("203.0.113.200:777", "192.0.2.100:80", SYN).bytes();
    for burst in 0..FRAMES / BURST {
        let port = if rng.random_range(0..4) == 0 { BACK } else { LAN };
        let mut packets: Vec<FrameBuf> = (0..BURST)
            .map(|_| {
                let (_, mut frame) = seeds.choose(&mut rng).unwrap().clone();
                damage(&mut frame, &mut rng);
                let packet = FrameBuf::new(&frame);
                match rng.random_range(0..10) {
                    0 => packet.with_headroom(rng.random_range(0..60)),
                    1 => packet.with_second_segment(&vec![0xa5; rng.random_range(1..2000)]),
                    _ => packet,
                }
            })
            .collect();
        let mut verdicts = [Verdict::Drop(weir_dataplane::DropReason::WorkerGone); BURST];
        world.paths[0].process(world.now, port, &mut packets, &mut verdicts);
        for (packet, verdict) in packets.iter().zip(verdicts) {
            match verdict {
                Verdict::Tx(out) => {
                    assert!(
                        packet.data().len() >= 34 || packet.segments() > 1,
                        "{:02x?}",
                        packet.data()
                    );
                    world.paths[0].count_tx(out, 1, packet.total_len() as u64);
                }
                Verdict::Punt(reason) => world.paths[0].count_punted(port, reason),
                Verdict::Drop(reason) => assert_ne!(
                    reason,
                    weir_dataplane::DropReason::WorkerGone,
                    "a verdict was forgotten"
                ),
                Verdict::Steer(_) => panic!("there is one worker"),
            }
        }
        if burst % 1000 == 0 {
            world.assert_conserved();
            world.advance(Duration::from_millis(500));
            assert!(
                matches!(world.send(LAN, &good).verdict, Verdict::Tx(_)),
                "seed {seed}, burst {burst}"
            );
        }
    }
    world.assert_conserved();
    let counters = world.counters();
    let named = counters
        .keys()
        .filter(|name| {
            weir_dataplane::DropReason::ALL
                .iter()
                .any(|reason| reason.name() == name.as_str())
        })
        .count();
    assert!(named >= 12, "the mutations reach many reasons: {counters:?}");
    world.advance(Duration::from_secs(4_000));
    world.advance(Duration::from_secs(4_000));
    let left: Vec<_> = world
        .counters()
        .into_iter()
        .filter(|(name, _)| name == "flows" || name.ends_with("active"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
