//! Devices that are taken away while the daemon runs, and come back: a VF whose PF is reset or reloaded, a NIC that is pulled out, a kernel
//! interface that is deleted below an AF_XDP or AF_PACKET port.
//!
//! A device goes in three steps: every worker drops its queues, the port is closed, and the kernel, which has waited for that, takes it.
//! Meanwhile the port has no link, what is sent there is refused and counted, and the other ports go on. It comes back with the MAC address
//! and the number of queues that the tables know, or not at all. An AF_XDP port stays away until the daemon is started anew: its driver keeps
//! the packet buffers that it had given to the kernel. Looked at ten times a second, by the main thread.

use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use tracing::{error, info, warn};
use weir_configs::{Device, Port as PortSettings};
use weir_dpdk::{Eal, Mempool, Port, RxQueue, TxQueue};
use weir_proto::time::Instant;
use weir_wire::MacAddr;

use super::facts::{Devices, PortFacts};
use super::failure::Failure;
use super::mesh::{NewQueues, Outbox, ToWorker};
use super::ports::{self, OpenPort};
use super::vf;
use crate::verdict::PortId;

/// How often a device that is away is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// After an attempt that failed: its reason may need a person.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Where a port's device is.
#[derive(Debug)]
enum State {
    /// In use.
    There,
    /// Wanted back: which workers have been told to let go.
    Leaving(Vec<bool>),
    /// Closed.
    Away {
        /// When to look for it.
        look_at: Instant,
    },
}

/// The sockets of all ports, so to speak.
#[derive(Debug)]
pub struct Plugs {
    eal: Eal,
    settings: Vec<PortSettings>,
    workers: u16,
    states: Vec<State>,
    /// Kernel interfaces below the ports, as they were when these were opened.
    interfaces: Vec<Option<u32>>,
}

/// What the main thread lends for a look.
pub struct Bench<'a> {
    /// The devices, by port.
    pub devices: &'a mut [Devices],
    /// Facts of each port.
    pub facts: &'a [PortFacts],
    /// Packet buffers.
    pub pool: &'a Mempool,
    /// Ways to the workers.
    pub outboxes: &'a mut [Outbox<ToWorker>],
}

impl Plugs {
    /// Over the ports as configured, all of which are open.
    pub fn new(eal: Eal, settings: Vec<PortSettings>, workers: u16) -> Result<Self, Failure> {
        eal.watch_removals()?;
        Ok(Self {
            eal,
            workers,
            states: settings.iter().map(|_| State::There).collect(),
            interfaces: settings
                .iter()
                .map(|port| interface_below(&port.device))
                .collect(),
            settings,
        })
    }

    /// Whether the device of port number `index` is away or about to be.
    pub fn is_away(&self, index: usize) -> bool {
        !matches!(self.states.get(index), Some(State::There) | None)
    }

    /// Looks at every device, and does the next step for each that comes or goes. Whether one came back: it knows of nothing then but what
    /// its configuration says.
    pub fn look(&mut self, now: Instant, bench: &mut Bench<'_>) -> bool {
        let mut came_back = false;
        let wanted = self.eal.take_removed();
        for index in 0..self.states.len().min(bench.devices.len()) {
            let next = match &mut self.states[index] {
                State::There => self.watch(index, bench, &wanted),
                State::Leaving(told) => leave(now, index, told, bench),
                State::Away { look_at } if now < *look_at => None,
                State::Away { .. } => Some(self.come_back(now, index, bench)),
            };
            if let Some(next) = next {
                came_back |= matches!(next, State::There);
                self.states[index] = next;
            }
        }
        came_back
    }

    fn watch(&self, index: usize, bench: &Bench<'_>, wanted: &[u16]) -> Option<State> {
        let device = bench.devices[index].0.as_ref()?;
        let deleted = self.interfaces[index]
            .is_some_and(|was| interface_below(&self.settings[index].device) != Some(was));
        if !deleted && !wanted.contains(&device.id()) {
            return None;
        }
        let until = if matches!(self.settings[index].device, Device::AfXdp { .. }) {
            "weir-dataplane is restarted, for it is AF_XDP"
        } else {
            "it comes back"
        };
        error!(
            port = bench.facts[index].name,
            device = bench.facts[index].device,
            "the device is being taken away; the port has no link until {until}"
        );
        Some(State::Leaving(vec![false; bench.outboxes.len()]))
    }

    fn come_back(&mut self, now: Instant, index: usize, bench: &mut Bench<'_>) -> State {
        let facts = &bench.facts[index];
        let open = match self.open(index, facts, bench.pool) {
            Ok(Some(open)) => open,
            Ok(None) => {
                return State::Away {
                    look_at: now + LOOK_AGAIN,
                };
            }
            Err(failure) => {
                warn!(
                    port = facts.name,
                    "the device is back but cannot be opened: {failure}"
                );
                return State::Away {
                    look_at: now + TRY_AGAIN,
                };
            }
        };
        self.interfaces[index] = interface_below(&self.settings[index].device);
        let OpenPort {
            device,
            rx,
            tx,
            announcers,
            ..
        } = open;
        bench.devices[index].0 = Some(device);
        let id = PortId(u16::try_from(index).unwrap_or(u16::MAX));
        let shares = shares(id, &facts.queues, rx, tx, bench.outboxes.len());
        for (outbox, mut share) in bench.outboxes.iter_mut().zip(shares) {
            share.announcers = announcers.iter().filter_map(|fd| fd.try_clone().ok()).collect();
            if share.rx.is_empty() && share.tx.is_none() {
                continue;
            }
            if outbox.push(ToWorker::Take(Box::new(share))).is_err() {
                // Its ring is full of packets: all over again.
                return State::Leaving(vec![false; bench.outboxes.len()]);
            }
        }
        info!(
            port = facts.name,
            packet_buffers_free = bench.pool.available(),
            "the device is back"
        );
        State::There
    }

    /// Opens the device if it is there; refused when it is not the one that the tables know.
    fn open(&self, index: usize, facts: &PortFacts, pool: &Mempool) -> Result<Option<OpenPort>, Failure> {
        let Ok(resolved) = vf::resolve(Path::new("/sys"), &self.settings[index..=index]) else {
            return Ok(None);
        };
        let Some(mut settings) = resolved.into_iter().next().filter(|port| is_ready(&port.device)) else {
            return Ok(None);
        };
        // The tap to the kernel has stayed.
        settings.host_interface = None;
        settings.queues = u16::try_from(facts.queues.len()).ok();
        let (name, arguments) = settings.device.eal(index);
        let text = if arguments.is_empty() {
            name
        } else {
            format!("{name},{arguments}")
        };
        self.eal.probe(&text)?;
        let open = ports::open(&self.eal, pool, index, &settings, self.workers)?;
        if (open.mac, open.queues) == (facts.mac, facts.queues.len()) {
            return Ok(Some(open));
        }
        let what = format!(
            "it has the MAC address {} and {} queues, where {} and {} were; give it those back, or restart weir-dataplane",
            MacAddr(open.mac),
            open.queues,
            MacAddr(facts.mac),
            facts.queues.len()
        );
        let OpenPort { device, rx, tx, .. } = open;
        drop((rx, tx));
        give_back(device);
        Err(Failure::Port {
            port: facts.name.clone(),
            what,
        })
    }
}

/// Every worker drops its queues, then the device is closed.
fn leave(now: Instant, index: usize, told: &mut [bool], bench: &mut Bench<'_>) -> Option<State> {
    let id = PortId(u16::try_from(index).unwrap_or(u16::MAX));
    for (outbox, told) in bench.outboxes.iter_mut().zip(told.iter_mut()) {
        // A worker that has ended has no queues.
        *told = *told || outbox.is_abandoned() || outbox.push(ToWorker::LetGo(id)).is_ok();
    }
    let place = &mut bench.devices[index].0;
    let closed = match place.take() {
        Some(device) if told.iter().all(|told| *told) => match device.remove() {
            Ok(()) => true,
            // A worker has not got round to it yet.
            Err(device) => {
                *place = Some(device);
                false
            }
        },
        Some(device) => {
            *place = Some(device);
            false
        }
        None => true,
    };
    closed.then(|| {
        info!(
            port = bench.facts[index].name,
            packet_buffers_free = bench.pool.available(),
            "the device is given back"
        );
        State::Away {
            look_at: now + LOOK_AGAIN,
        }
    })
}

/// Each worker's queues, by the worker that has had each queue.
fn shares(
    port: PortId,
    owners: &[usize],
    rx: Vec<RxQueue>,
    tx: Vec<TxQueue>,
    workers: usize,
) -> Vec<NewQueues> {
    let empty = || NewQueues {
        port,
        rx: Vec::new(),
        tx: None,
        announcers: Vec::new(),
    };
    let mut shares: Vec<NewQueues> = std::iter::repeat_with(empty).take(workers).collect();
    let owner = |queue: u16| owners.get(usize::from(queue)).copied().unwrap_or(0);
    for queue in rx {
        if let Some(share) = shares.get_mut(owner(queue.id())) {
            share.rx.push(queue);
        }
    }
    for queue in tx {
        if let Some(share) = shares.get_mut(owner(queue.id())) {
            share.tx = Some(queue);
        }
    }
    shares
}

/// Nobody else has a queue of it.
fn give_back(device: Port) {
    if let Err(device) = device.remove() {
        drop(device);
    }
}

/// Number of the kernel interface that a port sits on; the kernel never gives it to another one.
fn interface_below(device: &Device) -> Option<u32> {
    match device {
        Device::AfXdp { interface, .. } | Device::AfPacket { interface, .. } => {
            let asker = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
            netdevice::name_to_index(&asker, interface).ok()
        }
        // A tap is made by its port, the others have none.
        Device::Tap { .. }
        | Device::Pci { .. }
        | Device::Vf { .. }
        | Device::Memif { .. }
        | Device::Pcap { .. }
        | Device::Null
        | Device::Ring
        | Device::Vdev { .. } => None,
    }
}

/// Whether a device that was away can be tried. A VF has its driver back when weir-control has bound it.
fn is_ready(device: &Device) -> bool {
    match device {
        Device::Pci { address, .. } => Path::new("/sys/bus/pci/devices")
            .join(address)
            .join("driver")
            .exists(),
        Device::AfPacket { .. } => interface_below(device).is_some(),
        Device::AfXdp { .. }
        | Device::Vf { .. }
        | Device::Tap { .. }
        | Device::Memif { .. }
        | Device::Pcap { .. }
        | Device::Null
        | Device::Ring
        | Device::Vdev { .. } => false,
    }
}
