//! One worker with one service of sixteen servers, all resolved, and bursts of 64-byte frames to send through it.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use weir_dataplane::egress::EgressTable;
use weir_dataplane::hash::Seed;
use weir_dataplane::path::Path;
use weir_dataplane::shared::{Settings, Shared};
use weir_dataplane::steer::{Rss, Steering};
use weir_dataplane::tables::{Builder, HopWish, Limits, PortSpec, Snapshot};
use weir_dataplane::{DropReason, Packet, PortId, Verdict, WorkerId};
use weir_proto::time::{Duration, Instant};
use weir_rings::counters::Counters;
use weir_rings::message::{
    Backend, BackendKey, Command, Forward, Gateway, LocalAddress, LocalAddressKey, Prefix, Protocol, Route,
    SchedulerKind, Service, ServiceKey, Vip,
};
use weir_rings::snapshot::Publisher;
use weir_wire::checksum::checksum;
use weir_wire::{MacAddr, ipv4, tcp};

use crate::buffer::Buffer;

/// Packets of a burst.
pub const BURST: usize = 32;
/// Bytes of a frame: 64 with its check sequence.
pub const FRAME_LEN: usize = 60;
/// A frame.
pub type Frame = [u8; FRAME_LEN];

const PORT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// What FULLNAT asks servers from.
const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
const SERVERS: u8 = 16;
const L3: usize = 14;
const L4: usize = L3 + 20;

/// What the workers of a scene share.
pub struct Scene {
    shared: Arc<Shared>,
    publisher: Publisher<Snapshot>,
    counters: Counters,
}

impl Scene {
    /// One service behind `forward`, for workers with room for `flows_max` flows each. Several workers get their packets by
    /// an RSS that nobody knows.
    pub fn new(forward: Forward, flows_max: usize, workers: u8) -> Self {
        Self::of(Protocol::Tcp, forward, flows_max, workers)
    }

    fn of(protocol: Protocol, forward: Forward, flows_max: usize, workers: u8) -> Self {
        let limits = Limits {
            services: 16,
            backends: 64,
            hops: 64,
        };
        let seed = Seed::fixed(7);
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
        let port = PortSpec {
            mac: MacAddr(PORT_MAC),
            addresses: vec![(address, 24)],
            vlan: None,
            mtu: 1500,
        };
        let shape = Shared::counters_shape(&limits, workers.into(), 1);
        let counters = Counters::heap(shape).expect("a small page");
        let egress = Arc::new(EgressTable::new(limits.egress_slots()));
        let mut builder = Builder::new(
            limits,
            vec![port],
            egress.clone(),
            seed,
            counters.reader(),
            counters.directory(),
        );
        let settings = Settings {
            flows_max_v4: flows_max,
            flows_max_v6: 16,
            templates_max: 64,
            ..Settings::default()
        };
        let rss = if workers == 1 { Rss::None } else { Rss::Unknown };
        let steering = Steering::new(workers, vec![rss], seed);
        let shared = Arc::new(Shared::new(
            seed,
            limits,
            settings,
            egress,
            counters.reader(),
            steering,
        ));
        configure(&mut builder, protocol, forward);
        Self {
            shared,
            publisher: Publisher::new(builder.snapshot()),
            counters,
        }
    }

    /// A worker with its buffers.
    ///
    /// # Panics
    /// When the scene has no such worker, or it was asked for before.
    pub fn worker(&mut self, number: u8) -> World {
        let line = self.counters.worker(number.into()).expect("nobody else has it");
        let reader = self.publisher.reader();
        World {
            path: Path::new(WorkerId(number), self.shared.clone(), reader, line),
            now: Instant::from_secs(1_000),
            burst: vec![Buffer::new(); BURST],
            verdicts: [Verdict::Drop(DropReason::UnknownPort); BURST],
        }
    }
}

/// The worker and its buffers.
pub struct World {
    path: Path,
    now: Instant,
    burst: Vec<Buffer>,
    verdicts: [Verdict; BURST],
}

impl World {
    /// A worker by itself.
    pub fn new(forward: Forward, flows_max: usize) -> Self {
        Scene::new(forward, flows_max, 1).worker(0)
    }

    /// A worker by itself, whose service is one of UDP.
    pub fn udp(forward: Forward, flows_max: usize) -> Self {
        Scene::of(Protocol::Udp, forward, flows_max, 1).worker(0)
    }

    /// Fills the burst with frames of these clients. Never inlined, as [`sent`](Self::sent): it must cost the same where nothing else is
    /// done.
    #[inline(never)]
    fn fill(&mut self, frame: &Frame, clients: impl Iterator<Item = u32>) {
        for (client, packet) in clients.zip(&mut self.burst) {
            let mut frame = *frame;
            // The source port and the two low bytes of the source address; checksums are the receiver's affair.
            frame[L4..L4 + 2].copy_from_slice(&(client as u16).to_be_bytes());
            frame[L3 + 14..L3 + 16].copy_from_slice(&((client >> 16) as u16).to_be_bytes());
            packet.fill(&frame);
        }
    }

    /// What surrounds [`send`](Self::send), without the load-balancing stage.
    pub fn copy(&mut self, frame: &Frame, clients: impl Iterator<Item = u32>) -> u64 {
        self.fill(frame, clients);
        black_box(&mut self.burst);
        self.sent()
    }

    /// Sends a burst of such frames; gives the number of packets that were sent on.
    pub fn send(&mut self, frame: &Frame, clients: impl Iterator<Item = u32>) -> u64 {
        self.fill(frame, clients);
        self.process()
    }

    /// The servers' replies to what was just sent on, with these TCP flags.
    pub fn reply(&mut self, flags: u8) -> u64 {
        for packet in &mut self.burst {
            let data = packet.data();
            let mut frame = [0; FRAME_LEN];
            frame.copy_from_slice(&data[..FRAME_LEN]);
            frame[..6].copy_from_slice(&PORT_MAC);
            frame[L3 + 8] = 64;
            frame.copy_within(L3 + 12..L3 + 16, 0);
            let client: [u8; 4] = [frame[0], frame[1], frame[2], frame[3]];
            frame.copy_within(L3 + 16..L3 + 20, L3 + 12);
            frame[L3 + 16..L3 + 20].copy_from_slice(&client);
            frame[..6].copy_from_slice(&PORT_MAC);
            let [a, b, c, d] = [frame[L4], frame[L4 + 1], frame[L4 + 2], frame[L4 + 3]];
            frame[L4..L4 + 4].copy_from_slice(&[c, d, a, b]);
            frame[L4 + 13] = flags;
            packet.fill(&frame);
        }
        self.process()
    }

    #[inline(never)]
    fn process(&mut self) -> u64 {
        self.now += Duration::from_micros(2);
        self.path
            .process(self.now, PortId(0), &mut self.burst, &mut self.verdicts);
        self.sent()
    }

    #[inline(never)]
    fn sent(&self) -> u64 {
        let is_sent = |verdict: &&Verdict| matches!(verdict, Verdict::Tx(_));
        black_box(&self.verdicts).iter().filter(is_sent).count() as u64
    }

    /// The verdicts on the last burst.
    pub const fn verdicts(&self) -> &[Verdict; BURST] {
        &self.verdicts
    }

    /// Next hops the worker asks for: none, when the scene is complete.
    pub fn wanted(&mut self) -> usize {
        self.path.take_wanted().count()
    }
}

fn configure(builder: &mut Builder, protocol: Protocol, forward: Forward) {
    let key = ServiceKey {
        protocol,
        address: IpAddr::V4(VIP),
        port: 80,
    };
    let mut commands = vec![
        Command::UpsertVip(Vip::owned(IpAddr::V4(VIP))),
        Command::UpsertService(Service::new(key, SchedulerKind::Rr, forward.mode())),
    ];
    commands.extend((0..SERVERS).map(|last| {
        let server = BackendKey {
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11 + last)),
            port: 80,
        };
        Command::UpsertBackend(Backend::new(key, server, forward))
    }));
    let gateway = Gateway {
        via: Some(IpAddr::V4(GATEWAY)),
        port: None,
        vlan: None,
        weight: 1,
    };
    commands.push(Command::UpsertRoute(Route {
        to: Prefix::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).expect("a prefix"),
        gateways: vec![gateway],
        mtu: None,
    }));
    if forward == Forward::FullNat {
        commands.push(Command::UpsertLocalAddress(LocalAddress {
            key: LocalAddressKey {
                address: IpAddr::V4(LOCAL),
                service: None,
            },
            port: None,
            vlan: None,
            source_port_min: 1024,
            source_port_max: u16::MAX,
        }));
    }
    builder.begin(true);
    for command in &commands {
        builder.apply(command).expect("a valid command");
    }
    builder.commit(1, 0).expect("room for all");
    for wish in builder.drain_wishes() {
        if let HopWish::Resolve(hop) = wish {
            builder.set_neighbor(&hop, Some(MacAddr([2, 0, 0, 0, 1, 1])));
        }
    }
}

/// A frame to the service with these TCP flags.
pub fn frame(flags: u8) -> Frame {
    let mut frame = frame_of(weir_wire::IpProtocol::TCP);
    let mut segment = tcp::Packet::new_unchecked(&mut frame[L4..]);
    segment.set_dst_port(80);
    segment.set_header_len(20);
    frame[L4 + 13] = flags;
    frame
}

/// A datagram to the service.
pub fn datagram() -> Frame {
    let mut frame = frame_of(weir_wire::IpProtocol::UDP);
    frame[L4 + 2..L4 + 4].copy_from_slice(&80u16.to_be_bytes());
    frame[L4 + 4..L4 + 6].copy_from_slice(&((FRAME_LEN - L4) as u16).to_be_bytes());
    frame
}

fn frame_of(protocol: weir_wire::IpProtocol) -> Frame {
    let mut frame = [0; FRAME_LEN];
    frame[..6].copy_from_slice(&PORT_MAC);
    frame[6..L3].copy_from_slice(&[2, 0, 0, 0, 9, 9, 0x08, 0x00]);
    let mut ip = ipv4::Packet::new_unchecked(&mut frame[L3..]);
    ip.set_header_len(20);
    ip.set_total_len((FRAME_LEN - L3) as u16);
    ip.set_ttl(64);
    ip.set_protocol(protocol);
    ip.set_src_addr(Ipv4Addr::new(198, 18, 0, 0));
    ip.set_dst_addr(VIP);
    let sum = checksum(&frame[L3..L4]);
    frame[L3 + 10..L3 + 12].copy_from_slice(&sum.to_be_bytes());
    frame
}
