//! Puts the daemon together from the configuration, and takes it apart again.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use rustix::thread::{sched_getaffinity, sched_setaffinity};
use tracing::{info, warn};
use weir_configs::{Config, Dataplane, HugePages, Idle as IdleSetting};
use weir_dpdk::{Burst, Eal, LcoreId, Mempool, MempoolConfig, RxQueue};
use weir_rings::counters::Counters;
use weir_rings::hello::{About, PortInfo, ReasonInfo, WorkerInfo};
use weir_rings::link::{Access, DataplaneEnd, Limits as LinkLimits};
use weir_rings::message::VlanId;
use weir_rings::snapshot::{Publisher, Reader};
use weir_wire::MacAddr;

use super::agent::Agent;
use super::clock::Clock;
use super::eal::{MAIN_LCORE, Machine, Memory, Plan, plan};
use super::egress::{TxBuffer, Way};
use super::ending::Ending;
use super::facts::{PortFacts, WorkerHandle};
use super::failure::Failure;
use super::idle::{Idle, IdlePolicy};
use super::main_thread::MainThread;
use super::mesh::{WorkerEnds, mesh};
use super::neighbors::Neighbors;
use super::plug::Plugs;
use super::ports::{OpenPort, open_all};
use super::vf;
use super::wakeup::Bedside;
use super::worker::{HostTap, Parts, Worker};
use crate::egress::EgressTable;
use crate::family::{V4, V6};
use crate::flow::Table;
use crate::hash::Seed;
use crate::path::Path;
use crate::shared::{Settings, Shared, reason_names};
use crate::steer::{Rss, Steering, Toeplitz};
use crate::tables::{Builder, Limits, PortSpec, Snapshot};
use crate::verdict::{PortId, WorkerId};

/// Runs the daemon until SIGTERM or SIGINT.
pub fn run(config: &Config, eal_arguments: &[String]) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, stop.clone())
            .map_err(Failure::system("installing a signal handler"))?;
    }
    let settings = &config.dataplane;
    let port_settings = vf::resolve(std::path::Path::new("/sys"), &config.ports)?;
    let machine = Machine::read();
    let plan = plan(settings, &port_settings, machine, eal_arguments)?;
    say_memory(&plan, settings, machine);
    let eal = Eal::init(&plan.arguments)?;
    leave_cpus_to_workers(settings)?;
    let pool = Mempool::new(
        &eal,
        "packets",
        MempoolConfig {
            mbufs: plan.mbufs,
            buffer_bytes: plan.data_room_bytes,
            ..MempoolConfig::default()
        },
    )?;
    let workers = settings.workers.len();
    let mut ports = open_all(&eal, &pool, &port_settings, worker_count(workers))?;

    let clock = Clock::start();
    let tables = Tables::new(settings, &ports, workers)?;
    let (main_ends, worker_ends) = mesh(workers).map_err(Failure::system("making rings"))?;
    let about = about(settings, &ports, &tables)?;
    let end = DataplaneEnd::bind(
        &settings.socket,
        Access { gid: weir_group() },
        LinkLimits::default(),
        about,
        &tables.counters,
    )
    .map_err(|error| Failure::Socket(error.to_string()))?;
    let neighbors = Neighbors::new(&tables.ports, tables.shared.seed.short(0, 0x6e62));
    let mut publisher = Publisher::new(tables.builder.snapshot());

    let facts = port_facts(&ports, workers);
    let assembly = Assembly {
        settings,
        tables: &tables,
        clock,
        stop: stop.clone(),
        ending: Arc::new(Ending::new(workers)),
        host_owners: facts
            .iter()
            .map(|port| port.has_host.then_some(port.owner))
            .collect(),
    };
    let parts = worker_ends
        .into_iter()
        .enumerate()
        .map(|(number, ends)| assembly.worker(number, ends, publisher.reader(), &mut ports))
        .collect::<Result<Vec<_>, _>>()?;
    let handles = launch(&eal, parts, settings)?;
    info!(workers, socket = %settings.socket.display(), "ready; forwarding starts with control's first transaction");
    // Nobody listens when systemd did not start us.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);

    let agent = Agent::new(end, tables.builder, publisher);
    let devices = ports
        .into_iter()
        .map(|port| (Some(port.device), port.host.map(|host| host.device)))
        .collect();
    let plugs = Plugs::new(eal, config.ports.clone(), worker_count(workers))?;
    let mut main = MainThread::new(
        plugs,
        agent,
        neighbors,
        main_ends,
        pool,
        facts,
        devices,
        handles,
        clock,
        tables.counters.reader(),
    );
    main.run(&stop);

    stop.store(true, Ordering::Relaxed);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    main.end();
    info!("stopped");
    Ok(())
}

fn worker_count(workers: usize) -> u16 {
    u16::try_from(workers).unwrap_or(u16::MAX)
}

/// The group whose members may run control, if there is one.
fn weir_group() -> Option<u32> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups
        .lines()
        .find_map(|line| line.strip_prefix("weir:")?.split(':').nth(1)?.parse().ok())
}

/// A worker that polls without pause would have to share its CPU: the main thread runs elsewhere, where there is an elsewhere.
fn leave_cpus_to_workers(settings: &Dataplane) -> Result<(), Failure> {
    let mut cpus =
        sched_getaffinity(None).map_err(|errno| Failure::system("asking for CPUs")(errno.into()))?;
    settings
        .workers
        .iter()
        .for_each(|cpu| cpus.unset(usize::from(*cpu)));
    if cpus.count() == 0 {
        return Ok(());
    }
    sched_setaffinity(None, &cpus).map_err(|errno| Failure::system("leaving the workers' CPUs")(errno.into()))
}

fn say_memory(plan: &Plan, settings: &Dataplane, machine: Machine) {
    let flows = flow_limits(settings);
    let per_worker = Table::<V4>::bytes_for(flows.0) + Table::<V6>::bytes_for(flows.1);
    info!(
        packets_on = match plan.memory {
            Memory::HugePages => "huge pages",
            Memory::OrdinaryPages => "ordinary pages",
        },
        huge_pages_free_mb = machine.huge_pages_free_mb,
        eal_mb = plan.memory_mb,
        packet_buffers = plan.mbufs,
        flows_on = match machine.transparent_huge_pages {
            true => "transparent huge pages, as far as there is room",
            false => "ordinary pages",
        },
        flow_tables_mb = per_worker * settings.workers.len() / (1 << 20),
        flows_max = settings.flows_max,
        "memory"
    );
    if plan.memory == Memory::OrdinaryPages && settings.huge_pages != HugePages::Off {
        info!(
            "for packets on huge pages: echo {} > /proc/sys/vm/nr_hugepages",
            plan.memory_mb.div_ceil(2)
        );
    }
}

/// IPv4 and IPv6 flows of one worker. IPv6 has room for a quarter as many.
fn flow_limits(settings: &Dataplane) -> (usize, usize) {
    let each = usize::try_from(settings.flows_max).unwrap_or(usize::MAX) / settings.workers.len();
    (each, each.div_ceil(4))
}

/// What workers and main thread share.
struct Tables {
    ports: Vec<PortSpec>,
    builder: Builder,
    shared: Arc<Shared>,
    counters: Counters,
}

impl Tables {
    fn new(settings: &Dataplane, ports: &[OpenPort], workers: usize) -> Result<Self, Failure> {
        let limits = Limits {
            services: settings.services_max,
            backends: settings.backends_max,
            ..Limits::default()
        };
        let seed = settings.seed.map_or_else(Seed::random, Seed::fixed);
        let egress = Arc::new(EgressTable::new(limits.egress_slots()));
        let shape = Shared::counters_shape(&limits, workers as u32, ports.len() as u32);
        let counters = Counters::shared(shape).map_err(|error| Failure::Counters(error.to_string()))?;
        let specs: Vec<PortSpec> = ports.iter().map(port_spec).collect();
        let (flows_max_v4, flows_max_v6) = flow_limits(settings);
        let path = Settings {
            flows_max_v4,
            flows_max_v6,
            ..Settings::default()
        };
        let worker_ids = u8::try_from(workers).unwrap_or(u8::MAX);
        let rss = ports
            .iter()
            .enumerate()
            .map(|(index, port)| rss_of(index, port, workers))
            .collect();
        let steering = Steering::new(worker_ids, rss, seed);
        let shared = Shared::new(seed, limits, path, egress.clone(), counters.reader(), steering);
        let builder = Builder::new(
            limits,
            specs.clone(),
            egress,
            seed,
            counters.reader(),
            counters.directory(),
        );
        Ok(Self {
            ports: specs,
            builder,
            shared: Arc::new(shared),
            counters,
        })
    }
}

fn port_spec(port: &OpenPort) -> PortSpec {
    PortSpec {
        mac: MacAddr(port.mac),
        addresses: port
            .settings
            .addresses
            .iter()
            .map(|net: &IpNet| (net.addr(), net.prefix_len()))
            .collect(),
        vlan: port.settings.vlan.and_then(VlanId::new),
        mtu: port.settings.mtu,
    }
}

/// The worker that has a queue: the same one on every port that has a queue for each worker; ports with fewer take turns.
fn queue_owner(port: usize, queue: usize, queues: usize, workers: usize) -> usize {
    if queues >= workers {
        queue % workers
    } else {
        (port + queue) % workers
    }
}

fn rss_of(index: usize, port: &OpenPort, workers: usize) -> Rss {
    let queues = port.queues;
    if queues < 2 {
        return Rss::None;
    }
    let known = port.device.started().and_then(|started| {
        let key = started.rss.key.as_deref()?;
        let reta = started.rss.reta.as_deref()?;
        let owner = |queue: &u16| {
            let worker = queue_owner(index, usize::from(*queue), queues, workers);
            WorkerId(u8::try_from(worker).unwrap_or(u8::MAX))
        };
        Toeplitz::new(key, reta.iter().map(owner).collect())
    });
    match known {
        Some(toeplitz) => Rss::Known(Box::new(toeplitz)),
        None => {
            warn!(
                port = port.settings.name,
                "the device spreads packets in a way it does not tell; replies of NAT are handed between workers"
            );
            Rss::Unknown
        }
    }
}

fn port_facts(ports: &[OpenPort], workers: usize) -> Vec<PortFacts> {
    let facts = |(index, port): (usize, &OpenPort)| PortFacts {
        name: port.settings.name.clone(),
        device: port.settings.device.to_string(),
        mac: port.mac,
        owner: queue_owner(index, 0, port.queues, workers),
        has_host: port.host.is_some(),
        queues: (0..port.queues)
            .map(|queue| queue_owner(index, queue, port.queues, workers))
            .collect(),
    };
    ports.iter().enumerate().map(facts).collect()
}

/// What all workers are made with.
struct Assembly<'a> {
    settings: &'a Dataplane,
    tables: &'a Tables,
    clock: Clock,
    stop: Arc<AtomicBool>,
    ending: Arc<Ending>,
    host_owners: Vec<Option<usize>>,
}

/// What one worker gets of the ports.
#[derive(Default)]
struct Share {
    rx: Vec<(PortId, RxQueue)>,
    ways: Vec<Way>,
    taps: Vec<HostTap>,
    announcers: Vec<(Option<PortId>, OwnedFd)>,
}

impl Assembly<'_> {
    /// Worker `number`, with its share of every port.
    fn worker(
        &self,
        number: usize,
        ends: WorkerEnds,
        tables: Reader<Snapshot>,
        ports: &mut [OpenPort],
    ) -> Result<Parts, Failure> {
        let mut share = Share::default();
        for (index, port) in (0u16..).zip(ports) {
            self.take_share(number, PortId(index), port, &mut share)?;
        }
        let counters = self.tables.counters.worker(worker_count(number));
        let counters = counters
            .ok_or_else(|| Failure::Counters(format!("the counters of worker {number} are taken already")))?;
        let id = WorkerId(u8::try_from(number).unwrap_or(u8::MAX));
        let bedside = Bedside::new(ends.doorbell.clone(), share.announcers);
        Ok(Parts {
            path: Path::new(id, self.tables.shared.clone(), tables, counters),
            rx: share.rx,
            ways: share.ways,
            host_owners: self.host_owners.clone(),
            taps: share.taps,
            ends,
            bedside: bedside.map_err(Failure::system("making an epoll set"))?,
            idle: Idle::new(idle_policy(self.settings)),
            clock: self.clock,
            stop: self.stop.clone(),
            ending: self.ending.clone(),
        })
    }

    /// The port's queues of this worker, its tap if it has the first of them, and what announces packets there.
    fn take_share(
        &self,
        number: usize,
        id: PortId,
        port: &mut OpenPort,
        share: &mut Share,
    ) -> Result<(), Failure> {
        let (queues, workers) = (port.queues, self.settings.workers.len());
        let owner = |queue: u16| queue_owner(usize::from(id.0), usize::from(queue), queues, workers);
        let mine = port.rx.extract_if(.., |queue| owner(queue.id()) == number);
        share.rx.extend(mine.map(|queue| (id, queue)));
        let mine = port.tx.extract_if(.., |queue| owner(queue.id()) == number).last();
        let Some(queue) = mine else {
            share.ways.push(Way::Worker(owner(0)));
            return Ok(());
        };
        share.ways.push(Way::Queue(Box::new(TxBuffer::new(queue))));
        for announcer in &port.announcers {
            let copy = announcer
                .try_clone()
                .map_err(Failure::system("duplicating a descriptor"))?;
            share.announcers.push((Some(id), copy));
        }
        if owner(0) == number
            && let Some(host) = &mut port.host
            && let Some((rx, tx)) = host.queues.take()
        {
            share
                .announcers
                .extend(host.announcers.drain(..).map(|announcer| (None, announcer)));
            let reasons = Vec::with_capacity(Burst::CAPACITY);
            share.taps.push(HostTap {
                port: id,
                rx,
                tx,
                outgoing: Burst::new(),
                reasons,
            });
        }
        Ok(())
    }
}

fn idle_policy(settings: &Dataplane) -> IdlePolicy {
    match settings.idle {
        IdleSetting::Busy => IdlePolicy::Busy,
        IdleSetting::Adaptive => IdlePolicy::Adaptive {
            sleep_max: Duration::from_micros(u64::from(settings.idle_sleep_max_us)),
        },
    }
}

fn launch(eal: &Eal, parts: Vec<Parts>, settings: &Dataplane) -> Result<Vec<WorkerHandle>, Failure> {
    let (flows_max_v4, flows_max_v6) = flow_limits(settings);
    let flows_max = (flows_max_v4 + flows_max_v6) as u64;
    let mut handles = Vec::new();
    for ((parts, cpu), lcore) in parts.into_iter().zip(&settings.workers).zip(MAIN_LCORE + 1..) {
        let lcore = eal.launch(LcoreId(lcore), move || Worker::new(parts).run())?;
        handles.push(WorkerHandle::new(
            lcore,
            u32::from(*cpu),
            idle_name(settings),
            flows_max,
        ));
    }
    Ok(handles)
}

const fn idle_name(settings: &Dataplane) -> &'static str {
    match settings.idle {
        IdleSetting::Busy => "busy",
        IdleSetting::Adaptive => "adaptive",
    }
}

fn about(settings: &Dataplane, ports: &[OpenPort], tables: &Tables) -> Result<About, Failure> {
    let started = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let worker = |cpu: &u16| WorkerInfo {
        cpu: u32::from(*cpu),
        idle: idle_name(settings).to_owned(),
    };
    let reason = |(verdict, name, hint): (&str, &str, &str)| ReasonInfo {
        verdict: verdict.to_owned(),
        name: name.to_owned(),
        hint: hint.to_owned(),
    };
    Ok(About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_unix_s: started.as_secs(),
        dpdk: Some(weir_dpdk::dpdk_version()),
        flows_max: settings.flows_max / settings.workers.len() as u64,
        shape: tables.counters.shape(),
        workers: settings.workers.iter().map(worker).collect(),
        ports: ports.iter().map(port_info).collect::<Result<_, _>>()?,
        reasons: reason_names().map(reason).collect(),
    })
}

fn port_info(port: &OpenPort) -> Result<PortInfo, Failure> {
    let spec = port_spec(port);
    Ok(PortInfo {
        name: port.settings.name.clone(),
        device: port.settings.device.to_string(),
        driver: port.device.driver_name()?,
        mac: port.mac,
        mtu: spec.mtu,
        vlan: spec.vlan,
        addresses: spec.addresses,
        host_interface: port.settings.host_interface.clone(),
    })
}
