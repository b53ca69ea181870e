//! The same traffic by every way through the path: the fast lane, the fast lane on an older machine and without vector
//! instructions, the general stages alone. Verdicts, bytes and counters are the same.

use std::num::NonZeroU32;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use weir_dataplane::shared::{Settings, Variant};
use weir_dataplane::{DropReason, FrameBuf, Packet, PortId, Verdict};
use weir_proto::time::Duration;
use weir_rings::message::{Forward, MssClamp, Protocol, SchedulerKind, Tunnel, TunnelChecksum};

use crate::support::frame::{ACK, FIN, Frame, RST, SYN, Transport};
use crate::support::*;

const VARIANTS: [Variant; 4] = [
    Variant::Fast,
    Variant::Baseline,
    Variant::Portable,
    Variant::General,
];
const BURST: usize = 64;
const BURSTS: usize = 4_000;

const FORWARDS: [Forward; 7] = [
    Forward::Dr,
    Forward::Nat,
    Forward::Tunnel(Tunnel::Ipip),
    Forward::FullNat,
    Forward::Tunnel(Tunnel::Gre {
        checksum: TunnelChecksum::None,
    }),
    Forward::Tunnel(Tunnel::Gue {
        port: 6080,
        checksum: TunnelChecksum::None,
    }),
    Forward::Tunnel(Tunnel::Vxlan {
        port: 4789,
        vni: 7,
        inner_mac: [2, 0, 0, 0, 0, 7],
    }),
];

/// Flows of a calm burst.
const CALM_FLOWS: u16 = 6;

/// Ports that are served together.
const GROUPED: [u16; 2] = [90, 91];

fn world(variant: Variant) -> World {
    let default = Setup::default();
    let mut world = World::new(Setup {
        settings: Settings {
            variant,
            // Small, so that it is full at times.
            flows_max_v4: 800,
            ..default.settings
        },
        ..default
    });
    let mut commands = vec![local("198.51.100.200", 1024, 65535)];
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for (port, forward) in (80..).zip(FORWARDS) {
            let mut service = service(protocol, "192.0.2.100", port);
            if port == 81 {
                service.mss_clamp = MssClamp::Fixed(1200);
            }
            service.policy.sloppy_tcp = port == 82;
            // Those whose choice depends on nothing that a packet of another flow changes.
            service.scheduler.kind = match (protocol, port % 2) {
                (Protocol::Tcp, 0) => SchedulerKind::Rr,
                (Protocol::Tcp, _) => SchedulerKind::Wrr,
                (Protocol::Udp, _) => SchedulerKind::Maglev,
            };
            // Servers keep the port asked for, or have one of their own. One of them is behind the other port.
            let own = if port % 2 == 0 { 0 } else { 8080 };
            let third = if protocol == Protocol::Udp {
                "192.0.2.13"
            } else {
                "198.51.100.13"
            };
            let servers = [("198.51.100.11", own), ("198.51.100.12", own), (third, own)];
            commands.extend(with_backends(&service, &servers, forward));
        }
        for port in GROUPED {
            let mut service = service(protocol, "192.0.2.100", port);
            service.group = NonZeroU32::new(protocol as u32 + 1);
            let servers = [("198.51.100.11", 8081), ("198.51.100.12", 8081)];
            commands.extend(with_backends(&service, &servers, Forward::Nat));
        }
    }
    world.commit(&commands).unwrap();
    world
}

/// How the frames of a burst are alike.
#[derive(Clone, Copy)]
enum Mood {
    /// Not at all, with odd ones among them.
    Odd,
    /// They are plain.
    Plain,
    /// They are of a few flows to one port: datagrams.
    Datagrams(u16),
    /// The same: the one that begins the flow of this number.
    Opening(u16, u16),
    /// The same: segments of flows that were begun.
    Segments(u16),
}

/// A frame of one of a few flows; an odd one may be anything.
fn frame(rng: &mut StdRng, mood: Mood) -> (PortId, Vec<u8>) {
    let odd = matches!(mood, Mood::Odd);
    let number = match mood {
        Mood::Odd | Mood::Plain => rng.random_range(0..56),
        Mood::Opening(_, number) => number,
        Mood::Datagrams(_) | Mood::Segments(_) => rng.random_range(0..CALM_FLOWS),
    };
    let client = format!("203.0.113.{}:{}", number / 8 + 1, number % 8 + 4000);
    let (port, calm) = match mood {
        Mood::Datagrams(port) => (port, Some(None)),
        Mood::Opening(port, _) => (port, Some(Some(SYN))),
        Mood::Segments(port) => (port, Some(Some(ACK))),
        Mood::Odd | Mood::Plain if rng.random_range(0..5) == 0 => (*GROUPED.choose(rng).unwrap(), None),
        Mood::Odd | Mood::Plain => (rng.random_range(80..88), None),
    };
    if calm.is_none() && rng.random_range(0..6) == 0 {
        let server = format!(
            "198.51.100.{}:{}",
            rng.random_range(11..14),
            [81, 8080, 8081].choose(rng).unwrap()
        );
        let flags = *[SYN | ACK, ACK, FIN | ACK].choose(rng).unwrap();
        let reply = Frame::tcp(&server, &client, flags).macs(BACK_MAC, CLIENT_MAC);
        return (BACK, reply.bytes());
    }
    let virt = format!("192.0.2.100:{port}");
    let flags = *[SYN, SYN, ACK, ACK, ACK, ACK, ACK, ACK | 8, FIN | ACK, RST]
        .choose(rng)
        .unwrap();
    let (flags, kind) = match calm {
        Some(Some(flags)) => (flags, 0),
        Some(None) => (0, 8),
        None => (flags, rng.random_range(0..10)),
    };
    let frame = match kind {
        0..7 => Frame::tcp(&client, &virt, flags),
        7 | 8 => Frame::udp(&client, &virt),
        _ => Frame::udp(&client, &virt).with(|frame| frame.transport = Transport::UdpUnsummed),
    };
    let frame = frame.with(|frame| {
        if calm.is_none() || rng.random_range(0..100) == 0 {
            frame.ttl = *[64, 64, 64, 255, 2, 1, 0].choose(rng).unwrap();
        }
        frame.tos = *[0, 0, 0, 0xff, 0x28].choose(rng).unwrap();
        frame.dont_fragment = rng.random_range(0..3) != 0;
        frame.seq = rng.random();
        if odd && rng.random_range(0..20) == 0 {
            frame.ip_options = vec![1; 4];
        }
        if odd && rng.random_range(0..20) == 0 {
            frame.vlan = Some(rng.random_range(0..3));
        }
        if flags & SYN != 0 && frame.transport == Transport::Tcp(flags) {
            frame.mss = Some(1460);
        }
    });
    let lens = [0, 0, 1, 6, 100, 1400, 1440, 1455, 1500];
    let len = *lens[..if calm.is_some() { 6 } else { lens.len() }]
        .choose(rng)
        .unwrap();
    let mut bytes = frame.payload(len).bytes();
    // A short frame comes padded.
    if rng.random() && bytes.len() < 60 {
        bytes.resize(60, 0xa5);
    }
    if odd && rng.random_range(0..30) == 0 {
        let at = rng.random_range(0..bytes.len().min(60));
        bytes[at] ^= 1 << rng.random_range(0..8);
    }
    (LAN, bytes)
}

fn buffer(frame: &[u8], shape: u32) -> FrameBuf {
    let packet = FrameBuf::new(frame);
    match shape {
        0 => packet.with_headroom(10),
        1 => packet.with_second_segment(&[0xa5; 700]),
        _ => packet,
    }
}

/// What came of a burst: bytes and verdicts.
type Came = Vec<(Verdict, Vec<u8>, usize)>;

fn send(world: &mut World, port: PortId, frames: &[(Vec<u8>, u32)], wholes: &mut u32) -> Came {
    let mut packets: Vec<_> = frames
        .iter()
        .map(|(frame, shape)| buffer(frame, *shape))
        .collect();
    let mut verdicts = vec![Verdict::Drop(DropReason::WorkerGone); packets.len()];
    let whole = world.paths[0].process(world.now, port, &mut packets, &mut verdicts);
    if let Some(out) = whole {
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Tx(out)));
        *wholes += 1;
    }
    let came: Came = packets
        .iter()
        .zip(&verdicts)
        .map(|(packet, verdict)| (*verdict, packet.data().to_vec(), packet.total_len()))
        .collect();
    for (verdict, _, len) in &came {
        match verdict {
            Verdict::Tx(out) => world.paths[0].count_tx(*out, 1, *len as u64),
            Verdict::Punt(reason) => world.paths[0].count_punted(port, *reason),
            Verdict::Drop(_) | Verdict::Steer(_) => {}
        }
    }
    world.grant_wishes();
    came
}

#[test]
fn all_ways_give_the_same() {
    let seed = seed(77);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut worlds = VARIANTS.map(world);
    let mut mood = Mood::Odd;
    let mut wholes = 0;
    for burst in 0..BURSTS {
        // A mood lasts, so that the path gets used to it.
        let port = *[80, 81, 82, 90].choose(&mut rng).unwrap();
        mood = match (mood, rng.random_range(0..100)) {
            (_, 0) => Mood::Odd,
            (_, 1) => Mood::Plain,
            (_, 2) => Mood::Datagrams(port),
            (_, 3..6) => Mood::Opening(port, 0),
            (Mood::Opening(port, number), _) if number + 1 < CALM_FLOWS => Mood::Opening(port, number + 1),
            (Mood::Opening(port, _), _) => Mood::Segments(port),
            (mood, _) => mood,
        };
        let calm = !matches!(mood, Mood::Odd | Mood::Plain);
        let port = if !calm && rng.random_range(0..6) == 0 {
            BACK
        } else {
            LAN
        };
        let wanted = if matches!(mood, Mood::Opening(..)) {
            1
        } else if rng.random_range(0..4) == 0 {
            rng.random_range(1..BURST)
        } else {
            BURST
        };
        let mut frames = Vec::with_capacity(wanted);
        while frames.len() < wanted {
            let (side, frame) = frame(&mut rng, mood);
            if side == port || !calm && rng.random_range(0..50) == 0 {
                frames.push((frame, rng.random_range(0..if calm { 2000 } else { 40 })));
            }
        }
        let [fast, others @ ..] = worlds
            .each_mut()
            .map(|world| send(world, port, &frames, &mut wholes));
        for (other, variant) in others.iter().zip(&VARIANTS[1..]) {
            for (at, (a, b)) in fast.iter().zip(other).enumerate() {
                assert_eq!(
                    a, b,
                    "seed {seed}, burst {burst}, packet {at}, {variant:?}: {:02x?}",
                    frames[at]
                );
            }
        }
        if burst % 50 == 0 {
            // At times for so long that every flow ends.
            let seconds = if rng.random_range(0..3) == 0 {
                2000
            } else {
                rng.random_range(0..40)
            };
            let step = Duration::from_secs(seconds);
            let counters = worlds.each_mut().map(|world| {
                world.advance(step);
                world.assert_conserved();
                world.counters()
            });
            assert!(
                counters.iter().all(|each| *each == counters[0]),
                "seed {seed}, burst {burst}"
            );
        }
    }
    let counters = worlds[0].counters();
    let moved = |name: &str| counters.get(name).copied().unwrap_or(0);
    assert!(moved("tx") > 10_000, "{counters:?}");
    assert!(wholes > 100, "{wholes} bursts left whole");
    for name in [
        "flows_created",
        "flows_expired",
        "flows_refused",
        "too_big",
        "no_headroom",
        "no_flow",
    ] {
        assert!(moved(name) > 0, "{name} in {counters:?}");
    }
}
