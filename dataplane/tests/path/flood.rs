//! More new flows than the table holds: known flows keep their servers, what needs no entry is forwarded by hash, what needs one is
//! dropped by name, every packet is counted once, and memory stays what it was.

use weir_dataplane::shared::{Settings, Variant};
use weir_dataplane::{DropReason, FrameBuf, Packet, Verdict};
use weir_rings::message::{Forward, Protocol, SchedulerKind};

use crate::support::frame::{ACK, Frame, SYN, Transport};
use crate::support::*;

const ROOM: usize = 1_000;
/// Known flows, each heard of once a burst in turn.
const KNOWN: u16 = 100;
const FLOOD: u32 = 20_000;
const BURST: usize = 32;
const SERVERS: [(&str, u16); 3] = [
    ("198.51.100.11", 80),
    ("198.51.100.12", 80),
    ("198.51.100.13", 80),
];

fn world(forward: Forward, kind: SchedulerKind, variant: Variant) -> World {
    let default = Setup::default();
    let mut world = World::new(Setup {
        settings: Settings {
            variant,
            flows_max_v4: ROOM,
            ..default.settings
        },
        ..default
    });
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let mut service = service(protocol, "192.0.2.100", 80);
        service.scheduler.kind = kind;
        world.commit(&with_backends(&service, &SERVERS, forward)).unwrap();
    }
    world
}

fn known(flow: u16, flags: u8) -> Vec<u8> {
    Frame::tcp(&format!("203.0.113.1:{}", 2_000 + flow), "192.0.2.100:80", flags).bytes()
}

/// The first packet of somebody new: a SYN or a datagram.
fn stranger(number: u32) -> Frame {
    let [_, a, b, c] = number.to_be_bytes();
    let client = format!("198.18.{}.{}:{}", a, b, 1_024 + u16::from(c));
    if number % 8 == 7 {
        Frame::udp(&client, "192.0.2.100:80")
    } else {
        Frame::tcp(&client, "192.0.2.100:80", SYN)
    }
}

/// Verdict and destination MAC of each frame of a burst.
fn send(world: &mut World, frames: &[Vec<u8>]) -> Vec<(Verdict, [u8; 6])> {
    let mut packets: Vec<_> = frames.iter().map(|frame| FrameBuf::new(frame)).collect();
    let mut verdicts = vec![Verdict::Drop(DropReason::WorkerGone); packets.len()];
    world.paths[0].process(world.now, LAN, &mut packets, &mut verdicts);
    let came = packets.iter().zip(&verdicts).map(|(packet, verdict)| {
        if let Verdict::Tx(out) = verdict {
            world.paths[0].count_tx(*out, 1, packet.total_len() as u64);
        }
        (*verdict, packet.data()[..6].try_into().unwrap())
    });
    came.collect()
}

/// A burst of strangers with a packet of a known flow among them.
fn burst(first: u32) -> (u16, Vec<Vec<u8>>) {
    let flow = (first / BURST as u32 % u32::from(KNOWN)) as u16;
    let mut frames: Vec<_> = (first..)
        .take(BURST - 1)
        .map(|number| stranger(number).bytes())
        .collect();
    frames.insert(first as usize / BURST % BURST, known(flow, ACK));
    (flow, frames)
}

fn flood(forward: Forward, kind: SchedulerKind, variant: Variant) -> (World, Vec<(Verdict, [u8; 6])>) {
    let what = format!("{forward:?} {kind:?} {variant:?}");
    let mut world = world(forward, kind, variant);
    let servers: Vec<_> = (0..KNOWN)
        .map(|flow| {
            send(&mut world, &[known(flow, SYN)]);
            send(&mut world, &[known(flow, ACK)])[0]
        })
        .collect();
    let mut all = Vec::new();
    for first in (0..FLOOD).step_by(BURST) {
        let (flow, frames) = burst(first);
        let mut came = send(&mut world, &frames);
        let at = first as usize / BURST % BURST;
        assert_eq!(
            came.remove(at),
            servers[usize::from(flow)],
            "{what}: a known flow"
        );
        all.extend(came);
    }
    world.advance(weir_proto::time::Duration::from_millis(1));
    world.assert_conserved();
    (world, all)
}

#[test]
fn what_needs_no_entry_is_forwarded_by_hash() {
    for kind in [
        SchedulerKind::Rr,
        SchedulerKind::Wrr,
        SchedulerKind::Maglev,
        SchedulerKind::Wlc,
    ] {
        let (mut world, came) = flood(Forward::Dr, kind, Variant::Fast);
        let moved = world.counters();
        assert_eq!(moved["tx"], moved["rx"], "{kind:?}: everybody is served");
        assert_eq!(moved["flows"], ROOM as u64);
        assert_eq!(moved["flows_created"], ROOM as u64);
        assert_eq!(
            moved["flows_refused"],
            came.len() as u64 + u64::from(KNOWN) - ROOM as u64
        );
        let connections: u64 = moved
            .iter()
            .filter(|(name, _)| name.ends_with(".connections"))
            .map(|(_, count)| count)
            .sum();
        assert_eq!(connections, ROOM as u64, "{kind:?}: only flows are connections");
        // Who was refused an entry goes where its first packet went: with the SYN again, and with what follows it.
        let (last, first) = (came.len() - 50, came[came.len() - 50]);
        let number = last as u32 / (BURST as u32 - 1) * BURST as u32 + last as u32 % (BURST as u32 - 1);
        let again = stranger(number);
        let ack = again.clone().with(|frame| {
            if let Transport::Tcp(flags) = &mut frame.transport {
                *flags = ACK;
            }
        });
        for frame in [again, ack] {
            assert_eq!(send(&mut world, &[frame.bytes()]), [first], "{kind:?}");
        }
    }
}

#[test]
fn what_needs_one_is_dropped_by_name() {
    for variant in [Variant::Fast, Variant::General] {
        let (world, came) = flood(Forward::Nat, SchedulerKind::Rr, variant);
        let moved = world.counters();
        let dropped = came
            .iter()
            .filter(|(verdict, _)| *verdict == Verdict::Drop(DropReason::FlowTableFull))
            .count() as u64;
        assert_eq!(moved["dropped"], dropped);
        assert_eq!(moved["flows_refused"], dropped);
        assert_eq!(
            moved["flows_created"] + dropped,
            came.len() as u64 + u64::from(KNOWN)
        );
    }
}

#[test]
fn all_ways_decide_alike() {
    for forward in [Forward::Dr, Forward::Nat] {
        for kind in [SchedulerKind::Rr, SchedulerKind::Maglev] {
            let (fast, fast_came) = flood(forward, kind, Variant::Fast);
            let (general, general_came) = flood(forward, kind, Variant::General);
            assert!(fast_came == general_came, "{forward:?} {kind:?}");
            assert_eq!(fast.counters(), general.counters(), "{forward:?} {kind:?}");
        }
    }
}
