//! Who holds the addresses that directors share: the driver of `weir_proto::vrrp`.
//!
//! The machines run on a thread of their own ([`runtime`]) that does nothing else, so that neither a health check nor a
//! request can hold up an advertisement. It reads every datagram there is before it lets timers fire, as the machines
//! ask. What it decides reaches the daemon as sets of addresses ([`Vrrp::holding`]); the way from there to the
//! dataplane is `publish`, as for everything else. Addresses of a virtual router on a kernel interface are put there
//! by this thread itself.
//!
//! Programs that are run ([`notify`], [`track`]) are the business of the daemon's runtime, not of that thread.

mod announce;
mod around;
mod day;
pub mod dump;
mod filter;
mod instance;
mod kernel;
mod link;
mod macvlan;
mod notify;
mod ping;
pub mod program;
mod resolve;
mod runtime;
mod socket;
pub mod status;
mod track;

pub(crate) use kernel::Interface;

use crate::clock::Clock;
use crate::publish::Holding;
use runtime::{Command, Runtime};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};
use weir_configs::Config;
use weir_wire::MacAddr;

/// Events remembered for those who ask later.
const EVENTS_MAX: usize = 512;
/// Programs to be run that may wait.
const JOBS_MAX: usize = 256;

/// What the thread shows to everybody else.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    status: Vec<status::Status>,
    events: VecDeque<status::Event>,
    next_id: u64,
    /// Addresses the dataplane is to announce, once for each time they are named.
    announcements: Vec<IpAddr>,
}

/// Announcements that may wait for the daemon; the address is announced again later.
const ANNOUNCEMENTS_MAX: usize = 8192;

/// Who holds the shared addresses of ports, as far as this is decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Holdings {
    /// Addresses of virtual routers that are active.
    pub(crate) active: BTreeSet<IpAddr>,
    /// Addresses of those that are known not to be. What is in neither set stays with whoever has it: this process
    /// has just started, and the dataplane may hold an address since before.
    pub(crate) released: BTreeSet<IpAddr>,
    /// Of both: the other director, and for how long connections that only it knows are relayed to it, in ms.
    pub(crate) peers: BTreeMap<IpAddr, (IpAddr, u32)>,
    /// Counts announcements that were ordered, so that the daemon wakes up for them.
    pub(crate) announced: u64,
}

impl Shared {
    fn remember(&mut self, mut event: status::Event) {
        event.id = self.next_id;
        self.next_id += 1;
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // A reader that panicked has changed nothing.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A virtual router of this node, and the interface it speaks on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) vrrp: weir_configs::Vrrp,
    pub(crate) interface: String,
}

impl Wanted {
    /// Whether a packet filter keeps the kernel from accepting what is sent to its addresses. Their owner accepts it
    /// always.
    fn is_filtered(&self) -> bool {
        !self.vrrp.accept && self.vrrp.port.is_none() && self.vrrp.priority != 255
    }
}

/// Tells virtual routers of what they track, from any thread.
#[derive(Debug, Clone)]
pub struct Tracker {
    commands: std::sync::mpsc::Sender<Command>,
    wake: Arc<OwnedFd>,
}

impl Tracker {
    /// Something is up or down; `name` is that of [`weir_configs::Tracked::label`].
    pub fn track(&self, name: &str, up: bool) {
        let command = Command::Track {
            name: name.to_owned(),
            up,
        };
        if self.commands.send(command).is_ok() {
            runtime::wake(&self.wake);
        }
    }
}

/// The handle on the thread.
#[derive(Debug)]
pub struct Vrrp {
    node: String,
    commands: std::sync::mpsc::Sender<Command>,
    wake: Arc<OwnedFd>,
    shared: Arc<Mutex<Shared>>,
    held: watch::Receiver<Holdings>,
    trackers: track::Trackers,
    /// There from the first virtual router on a kernel interface on.
    filter: Option<filter::Filter>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Vrrp {
    /// Starts the thread, without virtual routers. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system gives no event descriptor or no thread.
    pub fn start(clock: Clock, node: &str) -> std::io::Result<Self> {
        let wake = Arc::new(rustix::event::eventfd(
            0,
            rustix::event::EventfdFlags::NONBLOCK | rustix::event::EventfdFlags::CLOEXEC,
        )?);
        let (commands, taken) = std::sync::mpsc::channel();
        let (held_sender, held) = watch::channel(Holdings::default());
        let (jobs, jobs_taken) = mpsc::channel(JOBS_MAX);
        let shared = Arc::new(Mutex::new(Shared::default()));
        tokio::spawn(notify::run(jobs_taken));
        let runtime = Runtime::new(
            clock,
            taken,
            Arc::clone(&wake),
            held_sender,
            jobs,
            Arc::clone(&shared),
        );
        let thread = std::thread::Builder::new()
            .name("vrrp".into())
            .spawn(move || runtime.run())?;
        Ok(Self {
            node: node.to_owned(),
            trackers: track::Trackers::new(commands.clone(), Arc::clone(&wake)),
            commands,
            wake,
            shared,
            held,
            filter: None,
            thread: Some(thread),
        })
    }

    /// A handle for others that find out what is up.
    pub fn tracker(&self) -> Tracker {
        Tracker {
            commands: self.commands.clone(),
            wake: Arc::clone(&self.wake),
        }
    }

    /// Runs exactly the virtual routers of this configuration.
    pub fn configure(&mut self, config: &Config) {
        let wanted = config.vrrps.iter().filter_map(|vrrp| {
            let vrrp = vrrp.on_node(&self.node);
            let of_port = vrrp
                .port
                .as_deref()
                .and_then(|port| config.port(port)?.host_interface.clone());
            let interface = of_port.or_else(|| vrrp.interface.clone())?;
            Some(Wanted { vrrp, interface })
        });
        let wanted: Vec<Wanted> = wanted.collect();
        self.trackers.watch(&wanted);
        self.filter(&wanted);
        self.command(Command::Configure(wanted));
    }

    /// Has kernel interfaces accept nothing for addresses that are to accept nothing.
    fn filter(&mut self, wanted: &[Wanted]) {
        if self.filter.is_none() && wanted.iter().all(|wanted| wanted.vrrp.port.is_some()) {
            return;
        }
        let tracker = self.tracker();
        let silent = wanted.iter().filter(|wanted| wanted.is_filtered());
        let addresses = silent.flat_map(|wanted| wanted.vrrp.all_addresses().map(|net| net.addr()));
        self.filter
            .get_or_insert_with(|| filter::Filter::start(tracker))
            .set(addresses.collect());
    }

    /// How the dataplane is to hold `address`: a shared one while we are active, any other one always.
    pub fn holding(&self, config: &Config, address: IpAddr) -> Holding {
        let mut vrrps = config.vrrps.iter();
        let Some(vrrp) = vrrps.find(|vrrp| vrrp.port.is_some() && vrrp.holds(address)) else {
            return Holding::ALONE;
        };
        let held = self.held.borrow();
        let owned = held.active.contains(&address);
        let peer = held.peers.get(&address).copied();
        let mac = MacAddr::virtual_router(vrrp.virtual_router_id, address.is_ipv6());
        Holding {
            owned,
            shared: true,
            keep: !owned && !held.released.contains(&address),
            echo: vrrp.accept,
            mac: vrrp.virtual_mac.then_some(mac.0),
            peer: peer.map(|(peer, _)| peer),
            relay_ms: peer.map_or(0, |(_, relay_ms)| relay_ms),
        }
    }

    /// Addresses to announce since the last call, each as often as it is named.
    pub fn take_announcements(&self) -> Vec<IpAddr> {
        std::mem::take(&mut locked(&self.shared).announcements)
    }

    /// Waits until [`holding`](Self::holding) has other answers, or there is something to announce.
    pub async fn changed(&mut self) {
        if self.held.changed().await.is_err() {
            // The thread has ended: nothing will change any more.
            std::future::pending::<()>().await;
        }
    }

    /// Something tracked is up or down; `name` is that of [`weir_configs::Tracked::label`], or `dataplane`.
    pub fn track(&self, name: &str, up: bool) {
        self.command(Command::Track {
            name: name.to_owned(),
            up,
        });
    }

    /// Another station claims an address.
    pub fn address_claimed(&self, address: IpAddr, mac: MacAddr) {
        self.command(Command::AddressClaimed { address, mac });
    }

    /// Hands the addresses of virtual router `name` over, or all of them; or, with `resume`, takes part again.
    pub fn hand_over(&self, name: Option<&str>, resume: bool) {
        self.command(Command::HandOver {
            name: name.map(str::to_owned),
            resume,
        });
    }

    /// Every virtual router as it was at the last change or second.
    pub fn status(&self) -> Vec<status::Status> {
        locked(&self.shared).status.clone()
    }

    /// Remembers what happened to something else than a virtual router beside their events.
    pub fn note(&self, unix_ms: u64, object: &str, kind: &str, text: &str) {
        locked(&self.shared).remember(status::Event {
            id: 0,
            unix_ms,
            vrrp: String::new(),
            object: object.to_owned(),
            kind: kind.to_owned(),
            text: text.to_owned(),
        });
    }

    /// Events from number `from` on.
    pub fn events(&self, from: u64) -> Vec<status::Event> {
        locked(&self.shared)
            .events
            .iter()
            .filter(|event| event.id >= from)
            .cloned()
            .collect()
    }

    /// Says "I stop" where we are active, lets every address go, and ends the thread.
    pub fn stop(&mut self) {
        self.command(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the VRRP thread panicked");
        }
        // After the addresses.
        if let Some(filter) = self.filter.take() {
            filter.end();
        }
    }

    fn command(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            runtime::wake(&self.wake);
        }
    }
}

impl Drop for Vrrp {
    fn drop(&mut self) {
        self.stop();
    }
}
