//! One worker with one service of sixteen servers, all resolved, and bursts of 64-byte frames to send through it.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use weir_dataplane::egress::EgressTable;
use weir_dataplane::hash::Seed;
use weir_dataplane::path::Path;
use weir_dataplane::shared::{Settings, Shared};
use weir_dataplane::steer::{Rss, Steering};
use weir_dataplane::tables::{Builder, HopWish, Limits, PortSpec};
use weir_dataplane::{DropReason, PortId, Verdict, WorkerId};
use weir_proto::time::{Duration, Instant};
use weir_rings::counters::Counters;
use weir_rings::message::{
    Backend, BackendKey, Command, Forward, Protocol, SchedulerKind, Service, ServiceKey, Vip,
};
use weir_rings::snapshot::Publisher;
use weir_wire::checksum::checksum;
use weir_wire::{MacAddr, ipv4, tcp};

use crate::buffer::Buffer;

/// Packets of a burst.
pub(crate) const BURST: usize = 32;

const PORT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const SERVERS: u8 = 16;
const L3: usize = 14;
const L4: usize = L3 + 20;
const FRAME_LEN: usize = 60;

/// The worker and its buffers.
pub(crate) struct World {
    path: Path,
    now: Instant,
    burst: Vec<Buffer>,
    verdicts: [Verdict; BURST],
    // Keeps the tables alive.
    _publisher: Publisher<weir_dataplane::tables::Snapshot>,
}

impl World {
    /// A worker that forwards like this.
    pub(crate) fn new(forward: Forward) -> Self {
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
        let counters = Counters::heap(Shared::counters_shape(&limits, 1, 1)).expect("a small page");
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
            flows_max_v4: 1 << 20,
            flows_max_v6: 16,
            ..Settings::default()
        };
        let steering = Steering::new(1, vec![Rss::None], seed);
        let shared = Arc::new(Shared::new(
            seed,
            limits,
            settings,
            egress,
            counters.reader(),
            steering,
        ));
        configure(&mut builder, forward);
        let mut publisher = Publisher::new(builder.snapshot());
        let line = counters.worker(0).expect("nobody else has it");
        let path = Path::new(WorkerId(0), shared, publisher.reader(), line);
        Self {
            path,
            now: Instant::from_secs(1_000),
            burst: vec![Buffer::new(); BURST],
            verdicts: [Verdict::Drop(DropReason::UnknownPort); BURST],
            _publisher: publisher,
        }
    }

    /// Fills the burst with frames of `BURST` clients from number `first` on.
    fn fill(&mut self, frame: &[u8; FRAME_LEN], first: u32) {
        for (client, packet) in (first..).zip(&mut self.burst) {
            let mut frame = *frame;
            // The source port and the two low bytes of the source address; checksums are the receiver's affair.
            frame[L4..L4 + 2].copy_from_slice(&(client as u16).to_be_bytes());
            frame[L3 + 14..L3 + 16].copy_from_slice(&((client >> 16) as u16).to_be_bytes());
            packet.fill(&frame);
        }
    }

    /// What surrounds [`send`](Self::send), without the load-balancing stage.
    pub(crate) fn copy(&mut self, frame: &[u8; FRAME_LEN], first: u32) -> u64 {
        self.fill(frame, first);
        black_box(&mut self.burst);
        self.sent()
    }

    /// Sends such a burst; gives the number of packets that were sent on.
    pub(crate) fn send(&mut self, frame: &[u8; FRAME_LEN], first: u32) -> u64 {
        self.fill(frame, first);
        self.now += Duration::from_micros(2);
        self.path
            .process(self.now, PortId(0), &mut self.burst, &mut self.verdicts);
        self.sent()
    }

    fn sent(&self) -> u64 {
        let is_sent = |verdict: &&Verdict| matches!(verdict, Verdict::Tx(_));
        black_box(&self.verdicts).iter().filter(is_sent).count() as u64
    }
}

fn configure(builder: &mut Builder, forward: Forward) {
    let key = ServiceKey {
        protocol: Protocol::Tcp,
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

/// A 60-byte frame (64 with its check sequence) to the service.
pub(crate) fn frame(syn: bool) -> [u8; FRAME_LEN] {
    let mut frame = [0; FRAME_LEN];
    frame[..6].copy_from_slice(&PORT_MAC);
    frame[6..L3].copy_from_slice(&[2, 0, 0, 0, 9, 9, 0x08, 0x00]);
    let mut ip = ipv4::Packet::new_unchecked(&mut frame[L3..]);
    ip.set_header_len(20);
    ip.set_total_len((FRAME_LEN - L3) as u16);
    ip.set_ttl(64);
    ip.set_protocol(weir_wire::IpProtocol::TCP);
    ip.set_src_addr(Ipv4Addr::new(198, 18, 0, 0));
    ip.set_dst_addr(VIP);
    let sum = checksum(&frame[L3..L4]);
    frame[L3 + 10..L3 + 12].copy_from_slice(&sum.to_be_bytes());
    let mut segment = tcp::Packet::new_unchecked(&mut frame[L4..]);
    segment.set_dst_port(80);
    segment.set_header_len(20);
    segment.set_flags(if syn { tcp::Flags::SYN } else { tcp::Flags::ACK });
    frame
}
