//! A dataplane without devices: tables, workers and counters, with frames going in and out as bytes.
//!
//! Expected frames are built by etherparse, which shares no code with the path.

pub(crate) mod check;
pub(crate) mod frame;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use weir_dataplane::egress::EgressTable;
use weir_dataplane::hash::Seed;
use weir_dataplane::path::Path;
use weir_dataplane::shared::{Settings, Shared, reason_names};
use weir_dataplane::steer::{Rss, Steering};
use weir_dataplane::tables::{Builder, HopKey, HopWish, Limits, PortSpec, Published, Refusal, Snapshot};
use weir_dataplane::{DropReason, FrameBuf, Packet, PortId, Verdict, WorkerId};
use weir_proto::time::{Duration, Instant};
use weir_rings::counters::{Counters, CountersReader};
use weir_rings::message::{
    Backend, BackendKey, Command, Forward, LocalAddress, LocalAddressKey, Protocol, SchedulerKind, Service,
    ServiceKey, Vip,
};
use weir_rings::snapshot::Publisher;
use weir_wire::MacAddr;

/// Port 0: clients, gateway, and in one-arm set-ups servers. 192.0.2.0/24, 2001:db8:1::/64.
pub(crate) const LAN: PortId = PortId(0);
/// Port 1: servers. 198.51.100.0/24, 2001:db8:2::/64.
pub(crate) const BACK: PortId = PortId(1);
pub(crate) const LAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const BACK_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// A client's MAC in frames that come in.
pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 9, 9];

/// The MAC that the pretended network gives to an address.
pub(crate) fn mac_of(address: IpAddr) -> [u8; 6] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [2, 4, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let octets = address.octets();
            [2, 6, octets[5], octets[13], octets[14], octets[15]]
        }
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) struct Setup {
    pub(crate) workers: u8,
    pub(crate) rss: Vec<Rss>,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) seed: Seed,
    pub(crate) back_vlan: Option<u16>,
}

impl Default for Setup {
    fn default() -> Self {
        let settings = Settings {
            flows_max_v4: 4096,
            flows_max_v6: 4096,
            templates_max: 1024,
            ..Settings::default()
        };
        Self {
            workers: 1,
            rss: vec![Rss::None, Rss::None],
            settings,
            limits: Limits {
                services: 256,
                backends: 1024,
                hops: 256,
            },
            seed: Seed::fixed(42),
            back_vlan: None,
        }
    }
}

pub(crate) struct World {
    pub(crate) builder: Builder,
    pub(crate) publisher: Publisher<Snapshot>,
    pub(crate) paths: Vec<Path>,
    pub(crate) reader: CountersReader,
    pub(crate) now: Instant,
    pub(crate) generation: u64,
    /// Neighbours that do not answer.
    pub(crate) silent: Vec<IpAddr>,
}

/// What became of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Out {
    pub(crate) verdict: Verdict,
    pub(crate) frame: Vec<u8>,
    /// Worker that gave the last verdict.
    pub(crate) worker: u8,
    /// Hand-overs on the way.
    pub(crate) steered: u32,
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let ports = vec![
            PortSpec {
                mac: MacAddr(LAN_MAC),
                addresses: vec![(ip("192.0.2.2"), 24), (ip("2001:db8:1::2"), 64)],
                vlan: None,
                mtu: 1500,
            },
            PortSpec {
                mac: MacAddr(BACK_MAC),
                addresses: vec![(ip("198.51.100.2"), 24), (ip("2001:db8:2::2"), 64)],
                vlan: setup.back_vlan.and_then(weir_rings::message::VlanId::new),
                mtu: 1500,
            },
        ];
        let counters =
            Counters::heap(Shared::counters_shape(&setup.limits, setup.workers.into(), 2)).unwrap();
        let egress = Arc::new(EgressTable::new(setup.limits.egress_slots()));
        let builder = Builder::new(
            setup.limits,
            ports,
            egress.clone(),
            setup.seed,
            counters.reader(),
            counters.directory(),
        );
        let steering = Steering::new(setup.workers, setup.rss, setup.seed);
        let shared = Arc::new(Shared::new(
            setup.seed,
            setup.limits,
            setup.settings,
            egress,
            counters.reader(),
            steering,
        ));
        let mut publisher = Publisher::new(builder.snapshot());
        let paths = (0..setup.workers)
            .map(|worker| {
                let line = counters.worker(worker.into()).unwrap();
                Path::new(WorkerId(worker), shared.clone(), publisher.reader(), line)
            })
            .collect();
        let mut world = Self {
            builder,
            publisher,
            paths,
            reader: counters.reader(),
            now: Instant::from_secs(1_000),
            generation: 0,
            silent: Vec::new(),
        };
        let defaults = [
            Command::UpsertVip(Vip::owned(ip("192.0.2.100"))),
            Command::UpsertVip(Vip::owned(ip("2001:db8:1::100"))),
            Command::UpsertRoute(default_route("0.0.0.0", "192.0.2.1")),
            Command::UpsertRoute(default_route("::", "2001:db8:1::1")),
        ];
        world.commit(&defaults).unwrap();
        world
    }

    pub(crate) fn commit(&mut self, commands: &[Command]) -> Result<Published, Refusal> {
        self.transact(false, commands)
    }

    pub(crate) fn transact(&mut self, full: bool, commands: &[Command]) -> Result<Published, Refusal> {
        self.builder.begin(full);
        for command in commands {
            self.builder.apply(command)?;
        }
        let published = self.builder.commit(self.generation + 1, self.generation)?;
        self.generation += 1;
        self.publisher.publish(published.snapshot.clone());
        self.resolve();
        for path in &mut self.paths {
            path.refresh();
        }
        Ok(published)
    }

    /// Answers everything the tables want resolved.
    fn resolve(&mut self) {
        for wish in self.builder.drain_wishes() {
            if let HopWish::Resolve(key) = wish
                && !self.silent.contains(&key.address)
            {
                self.builder
                    .set_neighbor(&key, Some(MacAddr(mac_of(key.address))));
            }
        }
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        self.now += duration;
        for path in &mut self.paths {
            path.age(self.now, 1 << 20);
        }
        self.exchange_notes();
    }

    /// One frame into worker 0 and, if it is steered, on to where it belongs.
    pub(crate) fn send(&mut self, port: PortId, frame: &[u8]) -> Out {
        self.send_to(0, port, frame)
    }

    pub(crate) fn send_to(&mut self, worker: u8, port: PortId, frame: &[u8]) -> Out {
        let out = self.send_packet(worker, port, FrameBuf::new(frame));
        if let Verdict::Tx(_) = out.verdict {
            check::frame(&out.frame);
        }
        out
    }

    pub(crate) fn send_packet(&mut self, worker: u8, port: PortId, packet: FrameBuf) -> Out {
        let mut packets = [packet];
        let mut verdicts = [Verdict::Drop(DropReason::WorkerGone)];
        self.paths[usize::from(worker)].process(self.now, port, &mut packets, &mut verdicts);
        let mut at = worker;
        let mut steered = 0;
        while let Verdict::Steer(to) = verdicts[0] {
            self.settle(at, port, verdicts[0], &packets[0]);
            at = to.0;
            steered += 1;
            assert!(steered < 4, "handed round and round");
            self.paths[usize::from(at)].process_steered(self.now, port, &mut packets, &mut verdicts);
        }
        self.settle(at, port, verdicts[0], &packets[0]);
        self.exchange_notes();
        self.grant_wishes();
        Out {
            verdict: verdicts[0],
            frame: packets[0].data().to_vec(),
            worker: at,
            steered,
        }
    }

    fn settle(&self, worker: u8, port: PortId, verdict: Verdict, packet: &FrameBuf) {
        let path = &self.paths[usize::from(worker)];
        match verdict {
            Verdict::Tx(out) => path.count_tx(out, 1, packet.total_len() as u64),
            Verdict::Punt(reason) => path.count_punted(port, reason),
            Verdict::Steer(_) => path.count_steered(port, 1),
            Verdict::Drop(_) => {}
        }
    }

    fn exchange_notes(&mut self) {
        for from in 0..self.paths.len() {
            let notes: Vec<_> = self.paths[from].take_notes().collect();
            for (to, note) in notes {
                self.paths[usize::from(to.0)].deliver(self.now, note);
            }
        }
    }

    /// Next hops the workers asked for, as the main thread would make and resolve them.
    pub(crate) fn grant_wishes(&mut self) {
        let wanted: Vec<HopKey> = self
            .paths
            .iter_mut()
            .flat_map(|path| path.take_wanted().collect::<Vec<_>>())
            .collect();
        if wanted.is_empty() {
            return;
        }
        for key in wanted {
            self.builder.want_hop(key);
        }
        self.publisher.publish(self.builder.snapshot());
        self.resolve();
        for path in &mut self.paths {
            path.refresh();
        }
    }

    /// Every counter that is not zero, by name.
    pub(crate) fn counters(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        let total = self.reader.worker_total();
        let row = [
            ("rx", total.rx_packets),
            ("tx", total.tx_packets),
            ("punted", total.punted),
            ("dropped", total.dropped),
            ("steered_out", total.steered_out),
            ("steered_in", total.steered_in),
            ("flows", total.flows),
            ("flows_created", total.flows_created),
            ("flows_expired", total.flows_expired),
            ("flows_refused", total.flows_refused),
            ("out_of_shape", total.out_of_shape),
        ];
        all.extend(row.map(|(name, value)| (name.to_owned(), value)));
        for (index, (_, name, _)) in reason_names().enumerate() {
            all.insert(name.to_owned(), self.reader.reason_total(index));
        }
        for (slot, owner) in self.reader.backend_slots() {
            let (load, signs) = (self.reader.backend_total(slot), self.reader.signs_total(slot));
            for (name, value) in [
                ("answered", signs.answered),
                ("refused", signs.refused),
                ("active", load.active),
                ("inactive", load.inactive),
                ("connections", load.connections),
                ("packets_in", load.packets_in),
                ("packets_out", load.packets_out),
            ] {
                *all.entry(format!("{}.{name}", owner.key)).or_insert(0) += value;
            }
        }
        all.retain(|_, value| *value != 0);
        all
    }

    /// Counters that moved since `before`.
    pub(crate) fn moved(&self, before: &BTreeMap<String, u64>) -> BTreeMap<String, i64> {
        let after = self.counters();
        let names = before.keys().chain(after.keys());
        let get = |map: &BTreeMap<String, u64>, name: &String| map.get(name).copied().unwrap_or(0) as i64;
        names
            .map(|name| (name.clone(), get(&after, name) - get(before, name)))
            .filter(|(_, by)| *by != 0)
            .collect()
    }

    /// Everything that came in went out or was counted by name.
    pub(crate) fn assert_conserved(&self) {
        let total = self.reader.worker_total();
        let drops: u64 = (0..DropReason::COUNT)
            .map(|index| self.reader.reason_total(index))
            .sum();
        assert_eq!(total.dropped, drops);
        assert_eq!(
            total.rx_packets,
            total.tx_packets + total.punted + drops,
            "{:?}",
            self.counters()
        );
        assert_eq!(total.steered_out, total.steered_in);
        assert_eq!(total.out_of_shape, 0);
        for worker in self.reader.workers() {
            let row = self.reader.worker(worker).unwrap();
            assert_eq!(
                row.rx_packets + row.steered_in,
                row.tx_packets + row.punted + row.dropped + row.steered_out
            );
        }
    }

    pub(crate) fn backend_slot(&self, address: &str) -> u32 {
        self.reader
            .backend_slots()
            .find(|(_, owner)| owner.key.address == ip(address))
            .unwrap()
            .0
    }
}

pub(crate) fn default_route(prefix: &str, via: &str) -> weir_rings::message::Route {
    let gateway = weir_rings::message::Gateway {
        via: Some(ip(via)),
        port: None,
        vlan: None,
        weight: 1,
    };
    weir_rings::message::Route {
        to: weir_rings::message::Prefix::new(ip(prefix), 0).unwrap(),
        gateways: vec![gateway],
        mtu: None,
    }
}

pub(crate) fn service(protocol: Protocol, address: &str, port: u16) -> Service {
    let key = ServiceKey {
        protocol,
        address: ip(address),
        port,
    };
    Service::new(key, SchedulerKind::Rr, weir_rings::message::ForwardMode::Dr)
}

pub(crate) fn backend(service: &Service, address: &str, port: u16, forward: Forward) -> Backend {
    Backend::new(
        service.key,
        BackendKey {
            address: ip(address),
            port,
        },
        forward,
    )
}

/// A service and its servers.
pub(crate) fn with_backends(service: &Service, servers: &[(&str, u16)], forward: Forward) -> Vec<Command> {
    let mut commands = vec![Command::UpsertService(*service)];
    commands.extend(
        servers
            .iter()
            .map(|(address, port)| Command::UpsertBackend(backend(service, address, *port, forward))),
    );
    commands
}

pub(crate) fn local(address: &str, min: u16, max: u16) -> Command {
    Command::UpsertLocalAddress(LocalAddress {
        key: LocalAddressKey {
            address: ip(address),
            service: None,
        },
        port: None,
        vlan: None,
        source_port_min: min,
        source_port_max: max,
    })
}

/// The seed of a random test: from `WEIR_SEED`, else `default`. Printed, so that a failure shows it.
pub(crate) fn seed(default: u64) -> u64 {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default);
    println!("WEIR_SEED={seed}");
    seed
}
