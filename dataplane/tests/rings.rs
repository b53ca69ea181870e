//! The daemon's own workers on real DPDK: ring devices stand for NICs, and this test for the network around them, RSS
//! included. One and two workers give the same answers flow by flow, and nothing is handed over where the key is known.
//!
//! DPDK can be started once in a process, so this file has one test.

#![cfg(feature = "dpdk")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]
#![allow(dead_code, reason = "it uses a part of the packet path's test support")]

#[path = "path/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::frame::{ACK, FIN, Frame, SYN};
use support::{
    BACK, BACK_MAC, CLIENT_MAC, LAN, LAN_MAC, default_route, ip, local, mac_of, service, with_backends,
};
use weir_dataplane::daemon::clock::Clock;
use weir_dataplane::daemon::egress::{TxBuffer, Way};
use weir_dataplane::daemon::ending::Ending;
use weir_dataplane::daemon::idle::{Idle, IdlePolicy};
use weir_dataplane::daemon::mesh::{MainEnds, mesh};
use weir_dataplane::daemon::wakeup::Bedside;
use weir_dataplane::daemon::worker::{Parts, Worker};
use weir_dataplane::egress::EgressTable;
use weir_dataplane::family::{Key, V4, V6};
use weir_dataplane::hash::Seed;
use weir_dataplane::path::Path;
use weir_dataplane::shared::{Settings, Shared};
use weir_dataplane::steer::{Rss, Steering, Toeplitz};
use weir_dataplane::tables::{Builder, Limits, PortSpec, Snapshot};
use weir_dataplane::{PortId, WorkerId};
use weir_dpdk::{Burst, Eal, Lcore, LcoreId, Mempool, MempoolConfig, Port, PortConfig, RxQueue, TxQueue};
use weir_rings::counters::{Counters, CountersReader};
use weir_rings::message::{Command, Forward, Neighbor, NeighborKey, Protocol, SchedulerKind, Tunnel, Vip};
use weir_rings::snapshot::Publisher;
use weir_wire::MacAddr;

const PATIENCE: Duration = Duration::from_secs(60);
const FLOWS: u8 = 24;
/// Packets come in by the first two and go out by the others.
const DEVICES: [&str; 4] = ["net_ring0", "net_ring1", "net_ring2", "net_ring3"];
/// That of Microsoft's "Verifying the RSS Hash Calculation".
const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
    0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
    0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// How the devices spread what they receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// One queue, which worker 0 polls.
    OneQueue,
    /// A queue a worker, by a hash nobody told weir.
    Secret,
    /// A queue a worker, by a key and table that weir knows.
    Known,
}

fn toeplitz(workers: u8) -> Toeplitz {
    Toeplitz::new(&KEY, (0..128).map(|entry| WorkerId(entry % workers)).collect()).unwrap()
}

impl Spread {
    fn told(self, workers: u8) -> Rss {
        match self {
            Self::OneQueue => Rss::None,
            Self::Secret => Rss::Unknown,
            Self::Known => Rss::Known(Box::new(toeplitz(workers))),
        }
    }

    const fn queues(self, workers: u8) -> u16 {
        match self {
            Self::OneQueue => 1,
            Self::Secret | Self::Known => workers as u16,
        }
    }

    /// The queue a packet arrives in: the NIC's part.
    fn queue(self, workers: u8, src: SocketAddr, dst: SocketAddr) -> usize {
        let worker = match self {
            Self::OneQueue => 0,
            Self::Secret => ((src.port() / 2 + dst.port() / 4) % u16::from(workers)) as u8,
            Self::Known => {
                let (spread, (a, p), (b, q)) =
                    (toeplitz(workers), (src.ip(), src.port()), (dst.ip(), dst.port()));
                match Key::<V4>::new(a, p, b, q, 6) {
                    Some(key) => spread.worker(&key).0,
                    None => spread.worker(&Key::<V6>::new(a, p, b, q, 6).unwrap()).0,
                }
            }
        };
        worker.into()
    }
}

/// The network's ends of one port: what it sends to weir, and what it hears.
struct Wire {
    to_weir: Vec<TxQueue>,
    from_weir: Vec<RxQueue>,
}

/// Workers on the ring devices, with tables.
struct Running {
    spread: Spread,
    workers: u8,
    wires: BTreeMap<PortId, Wire>,
    stop: Arc<AtomicBool>,
    lcores: Vec<Lcore>,
    counters: CountersReader,
    // What the workers look at and speak to lives as long as they do.
    _publisher: Publisher<Snapshot>,
    _main: MainEnds,
}

fn ports() -> Vec<PortSpec> {
    let port = |mac, addresses| PortSpec {
        mac: MacAddr(mac),
        addresses,
        vlan: None,
        mtu: 1500,
    };
    vec![
        port(LAN_MAC, vec![(ip("192.0.2.2"), 24), (ip("2001:db8:1::2"), 64)]),
        port(
            BACK_MAC,
            vec![(ip("198.51.100.2"), 24), (ip("2001:db8:2::2"), 64)],
        ),
    ]
}

const SERVERS: [[&str; 3]; 2] = [
    ["198.51.100.11", "198.51.100.12", "198.51.100.13"],
    ["2001:db8:2::11", "2001:db8:2::12", "2001:db8:2::13"],
];
const VIRTUAL: [&str; 2] = ["192.0.2.100", "2001:db8:1::100"];
const GATEWAYS: [&str; 2] = ["192.0.2.1", "2001:db8:1::1"];

fn tables(forward: Forward) -> Vec<Command> {
    let mut commands = vec![
        Command::UpsertRoute(default_route("0.0.0.0", GATEWAYS[0])),
        Command::UpsertRoute(default_route("::", GATEWAYS[1])),
        local("198.51.100.200", 1024, 65535),
        local("2001:db8:2::200", 1024, 65535),
    ];
    for address in SERVERS.iter().flatten().chain(&GATEWAYS) {
        let key = NeighborKey {
            address: ip(address),
            port: None,
            vlan: None,
        };
        let mac = mac_of(key.address);
        commands.push(Command::UpsertNeighbor(Neighbor { key, mac }));
    }
    for (virt, servers) in VIRTUAL.into_iter().zip(SERVERS) {
        commands.push(Command::UpsertVip(Vip::owned(ip(virt))));
        let mut service = service(Protocol::Tcp, virt, 80);
        // By hash, so that the order in which workers see flows does not matter.
        service.scheduler.kind = SchedulerKind::Maglev;
        commands.extend(with_backends(
            &service,
            &servers.map(|server| (server, 80)),
            forward,
        ));
    }
    commands
}

fn start(
    eal: &Eal,
    pool: &Mempool,
    devices: &mut [Port],
    spread: Spread,
    workers: u8,
    forward: Forward,
) -> Running {
    let limits = Limits {
        services: 64,
        backends: 256,
        hops: 64,
    };
    let settings = Settings {
        flows_max_v4: 4096,
        flows_max_v6: 4096,
        templates_max: 64,
        ..Settings::default()
    };
    let counters = Counters::heap(Shared::counters_shape(&limits, workers.into(), 2)).unwrap();
    let egress = Arc::new(EgressTable::new(limits.egress_slots()));
    let seed = Seed::fixed(42);
    let mut builder = Builder::new(
        limits,
        ports(),
        egress.clone(),
        seed,
        counters.reader(),
        counters.directory(),
    );
    builder.begin(false);
    for command in tables(forward) {
        builder.apply(&command).unwrap();
    }
    builder.commit(1, 0).unwrap();
    let steering = Steering::new(workers, vec![spread.told(workers), spread.told(workers)], seed);
    let shared = Arc::new(Shared::new(
        seed,
        limits,
        settings,
        egress,
        counters.reader(),
        steering,
    ));
    let mut publisher = Publisher::new(builder.snapshot());

    let config = PortConfig {
        rx_queues: spread.queues(workers),
        tx_queues: spread.queues(workers),
        ..PortConfig::default()
    };
    let mut queues = devices
        .iter_mut()
        .map(|device| device.start(&config, pool).unwrap());
    let (mut rx, mut tx, mut wires) = (Vec::new(), Vec::new(), BTreeMap::new());
    let both = [LAN, BACK].map(|port| (port, queues.next().unwrap()));
    for (port, (received, to_weir)) in both {
        let (from_weir, sent) = queues.next().unwrap();
        rx.push((port, received.into_iter()));
        tx.push(sent.into_iter());
        wires.insert(port, Wire { to_weir, from_weir });
    }
    let (stop, ending) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(Ending::new(workers.into())),
    );
    let (main, ends) = mesh(workers.into()).unwrap();
    let clock = Clock::start();
    let mut lcores = Vec::new();
    for (number, ends) in (0u8..).zip(ends) {
        let way = |queue: Option<TxQueue>| match queue {
            Some(queue) => Way::Queue(Box::new(TxBuffer::new(queue))),
            None => Way::Worker(0),
        };
        let parts = Parts {
            path: Path::new(
                WorkerId(number),
                shared.clone(),
                publisher.reader(),
                counters.worker(number.into()).unwrap(),
            ),
            rx: rx
                .iter_mut()
                .filter_map(|(port, queues)| Some((*port, queues.next()?)))
                .collect(),
            ways: tx.iter_mut().map(|queues| way(queues.next())).collect(),
            host_owners: vec![None, None],
            taps: Vec::new(),
            bedside: Bedside::new(ends.doorbell.clone(), Vec::new()).unwrap(),
            ends,
            idle: Idle::new(IdlePolicy::Adaptive {
                sleep_max: Duration::from_micros(200),
            }),
            clock,
            stop: stop.clone(),
            ending: ending.clone(),
        };
        let lcore = eal.launch(LcoreId(u32::from(number) + 1), move || Worker::new(parts).run());
        lcores.push(lcore.unwrap());
    }
    Running {
        spread,
        workers,
        wires,
        stop,
        lcores,
        counters: counters.reader(),
        _publisher: publisher,
        _main: main,
    }
}

/// A packet of a flow: which, and the frame. The flow's number is its payload.
type Packets = BTreeMap<(bool, u8), Vec<u8>>;

impl Running {
    /// Sends packets of different flows into a port, and waits for what leaves by the other.
    fn exchange(&mut self, pool: &Mempool, from: PortId, frames: &BTreeMap<(bool, u8), Frame>) -> Packets {
        let mut burst = Burst::new();
        for frame in frames.values() {
            let queue = self.spread.queue(self.workers, frame.src, frame.dst);
            let bytes = frame.bytes();
            let mut packet = pool.alloc().unwrap();
            packet.append(bytes.len()).unwrap().copy_from_slice(&bytes);
            burst.push(packet).unwrap();
            let wire = &mut self.wires.get_mut(&from).unwrap().to_weir[queue];
            assert_eq!(wire.burst(&mut burst), 1, "the ring has room");
        }
        let out = if from == LAN { BACK } else { LAN };
        let start = Instant::now();
        let mut got = Packets::new();
        while got.len() < frames.len() {
            for queue in &mut self.wires.get_mut(&out).unwrap().from_weir {
                queue.burst(&mut burst);
                for packet in burst.drain() {
                    let bytes = packet.data().to_vec();
                    support::check::frame(&bytes);
                    let [.., v6, flow] = bytes[..] else {
                        panic!("empty")
                    };
                    assert_eq!(got.insert((v6 == 1, flow), bytes), None, "twice");
                }
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{} of {} came: {:#?}",
                got.len(),
                frames.len(),
                self.counters.worker_total()
            );
            std::thread::yield_now();
        }
        got
    }

    /// Ends the workers; what they handed to each other.
    fn end(self, devices: &mut [Port], pool: &Mempool) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for lcore in self.lcores {
            lcore.join().unwrap();
        }
        drop(self.wires);
        for device in devices {
            device.stop().unwrap();
        }
        assert_eq!(pool.available(), pool.size(), "every packet buffer is back");
        let total = self.counters.worker_total();
        assert_eq!(total.steered_in, total.steered_out, "{total:#?}");
        assert_eq!(
            (total.rx_packets, total.dropped),
            (total.tx_packets + total.punted, 0),
            "{total:#?}"
        );
        total.steered_out
    }
}

fn socket(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

fn client(v6: bool, flow: u8) -> SocketAddr {
    let address = if v6 {
        format!("2001:db8:9::{:x}", flow % 7)
    } else {
        format!("203.0.113.{}", flow % 7)
    };
    socket(&address, 20_000 + u16::from(flow))
}

/// Every flow's packet from `src` to `dst`.
fn all(flags: u8, ends: impl Fn(bool, u8) -> (SocketAddr, SocketAddr)) -> BTreeMap<(bool, u8), Frame> {
    let flows = (0..FLOWS).flat_map(|flow| [(false, flow), (true, flow)]);
    flows
        .map(|(v6, flow)| {
            let (src, dst) = ends(v6, flow);
            let frame = Frame::tcp(&src.to_string(), &dst.to_string(), flags)
                .with(|frame| frame.payload = vec![u8::from(v6), flow]);
            ((v6, flow), frame)
        })
        .collect()
}

/// Source and destination of a TCP frame.
fn ends_of(frame: &[u8], v6: bool) -> (SocketAddr, SocketAddr) {
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    if v6 {
        let address = |at: usize| <[u8; 16]>::try_from(&frame[at..at + 16]).unwrap();
        ((address(22), port(54)).into(), (address(38), port(56)).into())
    } else {
        let address = |at: usize| <[u8; 4]>::try_from(&frame[at..at + 4]).unwrap();
        ((address(26), port(34)).into(), (address(30), port(36)).into())
    }
}

/// The server's MAC address, for every flow.
type Answers = BTreeMap<(bool, u8), [u8; 6]>;

/// Whole lives of flows. Their servers, and how many packets were handed over.
fn run(
    eal: &Eal,
    pool: &Mempool,
    devices: &mut [Port],
    (spread, workers, forward): (Spread, u8, Forward),
) -> (Answers, u64) {
    let mut running = start(eal, pool, devices, spread, workers, forward);
    let to_virtual = |v6: bool, flow| (client(v6, flow), socket(VIRTUAL[usize::from(v6)], 80));
    let first = running.exchange(pool, LAN, &all(SYN, to_virtual));
    let answers: Answers = first
        .iter()
        .map(|(flow, frame)| (*flow, frame[..6].try_into().unwrap()))
        .collect();
    let nat = matches!(forward, Forward::Nat | Forward::FullNat);
    for (is_reply, flags) in [
        (true, SYN | ACK),
        (false, ACK),
        (true, ACK),
        (false, FIN | ACK),
        (true, FIN | ACK),
        (false, ACK),
    ] {
        if !is_reply {
            for (flow, frame) in running.exchange(pool, LAN, &all(flags, to_virtual)) {
                assert_eq!(frame[..6], answers[&flow], "{flow:?} keeps its server");
            }
        } else if nat {
            let back = |v6: bool, flow| {
                let (near, server) = ends_of(&first[&(v6, flow)], v6);
                (server, near)
            };
            let mut replies = all(flags, back);
            for frame in replies.values_mut() {
                (frame.dst_mac, frame.src_mac) = (BACK_MAC, CLIENT_MAC);
            }
            for ((v6, flow), frame) in running.exchange(pool, BACK, &replies) {
                let (src, dst) = to_virtual(v6, flow);
                assert_eq!(
                    ends_of(&frame, v6),
                    (dst, src),
                    "the reply is the virtual address's"
                );
            }
        }
    }
    (answers, running.end(devices, pool))
}

#[test]
fn workers_agree_and_a_known_key_hands_nothing_over() {
    let vdevs = DEVICES.map(|device| format!("--vdev={device}"));
    let mut arguments: Vec<String> = [
        "--no-huge",
        "--no-pci",
        "--no-shconf",
        "--no-telemetry",
        "-m",
        "128",
        "--log-level=warning",
    ]
    .map(str::to_owned)
    .into();
    let mask = rustix::thread::sched_getaffinity(None).unwrap();
    let cpus: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|cpu| mask.is_set(*cpu))
        .collect();
    let cpu = |lcore: usize| cpus[lcore % cpus.len()];
    arguments.push(format!("--file-prefix=weir-rings-{}", std::process::id()));
    arguments.push(format!("--lcores=0@{},1@{},2@{}", cpu(0), cpu(1), cpu(2)));
    arguments.extend(vdevs);
    let eal = Eal::init(&arguments).unwrap();
    let pool = Mempool::new(
        &eal,
        "packets",
        MempoolConfig {
            mbufs: 8191,
            ..MempoolConfig::default()
        },
    )
    .unwrap();
    let mut devices: Vec<Port> = DEVICES
        .iter()
        .map(|device| Port::open(&eal, device).unwrap())
        .collect();
    for forward in [
        Forward::Dr,
        Forward::Tunnel(Tunnel::Ipip),
        Forward::Nat,
        Forward::FullNat,
    ] {
        let (alone, crossed) = run(&eal, &pool, &mut devices, (Spread::OneQueue, 1, forward));
        assert_eq!((alone.len(), crossed), (usize::from(FLOWS) * 2, 0));
        for spread in [Spread::Known, Spread::Secret, Spread::OneQueue] {
            let (together, crossed) = run(&eal, &pool, &mut devices, (spread, 2, forward));
            assert_eq!(together, alone, "{spread:?} {forward:?}");
            let nat = matches!(forward, Forward::Nat | Forward::FullNat);
            // Without a known key the replies of some flows arrive at the wrong worker; with one queue, requests too.
            let expected = spread == Spread::OneQueue || spread == Spread::Secret && nat;
            assert_eq!(
                crossed > 0,
                expected,
                "{spread:?} {forward:?}: {crossed} handed over"
            );
            println!("{forward:?}, {spread:?}: {crossed} handed over");
        }
    }
    drop((devices, pool));
    // With --no-shconf the EAL leaves an empty folder, or none.
    let _ = std::fs::remove_dir_all(eal.runtime_dir());
}
