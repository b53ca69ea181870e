//! The thread that owns this host's VFs: it makes them as they should be, looks for drift, and does what `weirctl` asks, one at a time.
//!
//! Everything here may wait (for the kernel, for a guest), which is why it is no part of the daemon's actor. In mode "observe" nothing is
//! ever written. State that outlives the process: the allocations and the journals of moves, in the state directory.

use super::allocation::{Allocation, Allocations, Ask, NoVf, Through};
use super::apply::{Host, HostError, Outcome, apply};
use super::guests::virsh::{self, Commands};
use super::guests::{self, GuestError};
use super::host::Machine;
use super::migrate::{self, MigrateError};
use super::model::{Owner, Pf, PfWish, Settings};
use super::plan::{Leave, Plan, Refusal, plan};
use super::wish;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use weir_configs::{Config, SriovMode, VlanProtocol};

/// How often drift is looked for.
const DRIFT_PERIOD: Duration = Duration::from_secs(5);
/// What failed is not tried again at once, unless the wish or the host has changed.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// libvirt answers at once, or after a job of the guest's that is under way.
const COMMAND_DEADLINE: Duration = Duration::from_secs(120);
/// libvirt gives up waiting for the guest after 5 s and reports success; the guest then still has the VF for a while.
const RELEASE_DEADLINE: Duration = Duration::from_secs(60);

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum SriovError {
    /// Nothing is written in this mode.
    #[error("[control] sriov = \"observe\": nothing is written; set it to \"manage\"")]
    Observing,
    /// The host cannot be read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The wish cannot be fulfilled.
    #[error("{}", list(.0))]
    Refused(Vec<Refusal>),
    /// A step failed.
    #[error(transparent)]
    Failed(#[from] super::apply::Failed),
    /// There is no VF to give.
    #[error(transparent)]
    NoVf(#[from] NoVf),
    /// The guest did not take or give it.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The guest did not move.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The guest has no VF.
    #[error("guest {0} has no VF; weirctl sriov list shows who has one")]
    HasNone(String),
    /// The guest is under way.
    #[error("guest {0} is being moved to another host: wait until that has ended")]
    Moving(String),
    /// The guest keeps a VF although it was taken out.
    #[error(
        "guest {guest} did not let VF {vf} of {pf} go within {seconds} s; is it booted, and has it hot-plug (acpiphp or pciehp)?"
    )]
    Kept {
        /// The guest.
        guest: String,
        /// The PF.
        pf: String,
        /// The VF's number.
        vf: u16,
        /// How long it had.
        seconds: u64,
    },
    /// The thread is gone.
    #[error("weir-control is stopping; try again")]
    Stopping,
    /// A VF is in use.
    #[error("VF {vf} of {pf} is in use by guest {guest}: stop the guest or detach the VF first")]
    InUse {
        /// The PF.
        pf: String,
        /// The VF's number.
        vf: u16,
        /// The guest.
        guest: String,
    },
    /// State could not be saved.
    #[error("{}: {error}", .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn list(refusals: &[Refusal]) -> String {
    refusals
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Where a PF stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// As it is.
    pub pf: Pf,
    /// As it should be; `None`: the configuration does not speak of it.
    pub wish: Option<PfWish>,
    /// What differs.
    pub plan: Result<Plan, String>,
    /// Why the last attempt to change it failed.
    pub failure: Option<String>,
}

/// Everything at one moment.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The PFs.
    pub pfs: Vec<Standing>,
    /// PFs of the configuration that this host lacks.
    pub absent: Vec<String>,
    /// VFs in the book that are gone.
    pub lost: Vec<Allocation>,
    /// Who has what.
    pub allocations: Allocations,
    /// Whether things are changed or only looked at.
    pub mode: SriovMode,
    /// The configuration, for the names of backends.
    pub config: Arc<Config>,
}

/// What was asked of `attach`.
#[derive(Debug, Clone)]
pub struct Attach {
    /// For whom, and which.
    pub ask: Ask,
    /// Up to so many in all; `None`: one more.
    pub count: Option<usize>,
    /// How the guest is reached.
    pub through: Through,
}

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, SriovError>>;

/// What the thread is asked.
#[derive(Debug)]
pub enum Request {
    /// The configuration in force.
    Config(Arc<Config>),
    /// Make it so, now.
    Apply(Leave, Reply<Vec<Outcome>>),
    /// Give a guest a VF.
    Attach(Attach, Reply<Vec<Allocation>>),
    /// Take its VFs back.
    Detach(String, Reply<Vec<Allocation>>),
    /// Set the VFs of a guest to defaults.
    Reset(String, Reply<Vec<Allocation>>),
    /// A guest is about to move: what it has. Nobody else changes that until [`Request::Moved`].
    Move(String, Reply<Vec<Allocation>>),
    /// For the move: take this one back.
    Take(Allocation, Reply<()>),
    /// For the move: give this one.
    Give(Allocation, Reply<()>),
    /// The move has ended, here or there.
    Moved(String),
}

/// A way to ask the thread, and to look without waiting for it.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: Sender<Request>,
    notes: Arc<Mutex<Notes>>,
    directory: PathBuf,
}

/// What the thread knows that the host does not.
#[derive(Debug, Clone)]
struct Notes {
    config: Arc<Config>,
    allocations: Allocations,
    failures: HashMap<String, String>,
}

impl Handle {
    /// Asks the thread; `false` when it is gone.
    pub fn ask(&self, request: Request) -> bool {
        self.requests.send(request).is_ok()
    }

    /// Where state is kept.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Everything at this moment, under this configuration. Reads the host, which takes a few milliseconds; never waits for a change that is
    /// under way.
    pub fn look(&self, config: Arc<Config>) -> Result<Picture, SriovError> {
        let pfs = Machine::open()?.pfs();
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        notes.config = config;
        Ok(picture(pfs, &notes))
    }
}

fn picture(pfs: Vec<Pf>, notes: &Notes) -> Picture {
    let absent = wish::absent(&notes.config, &pfs)
        .into_iter()
        .map(ToString::to_string)
        .collect();
    let there = |vf: &Allocation| {
        let pf = pfs.iter().find(|pf| pf.device == vf.pf);
        pf.is_some_and(|pf| pf.vf(vf.vf).is_some())
    };
    let lost = notes
        .allocations
        .list
        .iter()
        .filter(|vf| !there(vf))
        .cloned()
        .collect();
    let standing = |pf: Pf| {
        let wish = wish::of_pf(&notes.config, &notes.allocations, &pf);
        let planned = wish
            .as_ref()
            .map_or(Ok(Plan::default()), |wish| plan(&pf, wish, Leave::default()));
        let failure = notes.failures.get(&pf.device).cloned();
        Standing {
            plan: planned.map_err(|refusals| list(&refusals)),
            wish,
            failure,
            pf,
        }
    };
    Picture {
        pfs: pfs.into_iter().map(standing).collect(),
        absent,
        lost,
        allocations: notes.allocations.clone(),
        mode: notes.config.control.sriov,
        config: Arc::clone(&notes.config),
    }
}

/// Starts the thread; it ends when every handle is gone.
///
/// # Errors
/// The host cannot be read, or the state of an earlier run cannot.
pub fn start(config: Arc<Config>) -> Result<Handle, SriovError> {
    let directory = std::env::var_os("STATE_DIRECTORY").map_or_else(|| "/var/lib/weir".into(), PathBuf::from);
    let mut manager = Manager::new(Machine::open()?, config, directory)?;
    let (sender, requests) = channel();
    let handle = Handle {
        requests: sender,
        notes: Arc::clone(&manager.notes),
        directory: manager.directory.clone(),
    };
    std::thread::Builder::new()
        .name("sriov".to_owned())
        .spawn(move || manager.run(&requests))
        .map_err(|error| SriovError::Host(HostError::System(error)))?;
    Ok(handle)
}

struct Manager {
    machine: Machine,
    config: Arc<Config>,
    directory: PathBuf,
    allocations: Allocations,
    /// NIC ports of the configuration that were not there at the last look.
    absent: Vec<String>,
    /// What failed last for a PF, when, and what was tried.
    failures: HashMap<String, (Instant, Plan, String)>,
    commands: Commands,
    /// Guests whose VFs are a move's to take and give.
    moving: HashSet<String>,
    notes: Arc<Mutex<Notes>>,
}

impl Manager {
    fn new(machine: Machine, config: Arc<Config>, directory: PathBuf) -> Result<Self, SriovError> {
        let path = directory.join("sriov.json");
        let allocations = Allocations::load(&path).map_err(|error| SriovError::State { path, error })?;
        let notes = Notes {
            config: Arc::clone(&config),
            allocations: allocations.clone(),
            failures: HashMap::new(),
        };
        Ok(Self {
            notes: Arc::new(Mutex::new(notes)),
            machine,
            config,
            directory,
            allocations,
            absent: Vec::new(),
            failures: HashMap::new(),
            moving: HashSet::new(),
            commands: Commands {
                deadline: COMMAND_DEADLINE,
            },
        })
    }

    fn run(&mut self, requests: &Receiver<Request>) {
        let mut next_look = Instant::now();
        loop {
            match requests.recv_timeout(next_look.saturating_duration_since(Instant::now())) {
                Ok(request) => self.handle(request),
                Err(RecvTimeoutError::Timeout) => {
                    self.repair();
                    next_look = Instant::now() + DRIFT_PERIOD;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.publish();
        }
    }

    /// A reply that nobody waits for any more is dropped.
    fn handle(&mut self, request: Request) {
        match request {
            Request::Config(config)
                if config.sriov == self.config.sriov && config.control == self.config.control =>
            {
                self.config = config;
            }
            Request::Config(config) => {
                self.config = config;
                self.failures.clear();
                // The readers see the new wish while it is being fulfilled.
                self.publish();
                self.repair();
            }
            Request::Apply(leave, reply) => drop(reply.send(self.apply(leave))),
            Request::Attach(attach, reply) => drop(reply.send(self.attach(&attach))),
            Request::Detach(guest, reply) => drop(reply.send(self.detach(&guest))),
            Request::Reset(guest, reply) => drop(reply.send(self.reset(&guest))),
            Request::Move(guest, reply) => drop(reply.send(self.begin_move(guest))),
            Request::Take(vf, reply) => drop(reply.send(self.take(&vf))),
            Request::Give(vf, reply) => drop(reply.send(self.give_back(vf))),
            Request::Moved(guest) => drop(self.moving.remove(&guest)),
        }
    }

    fn may_write(&self) -> Result<(), SriovError> {
        match self.config.control.sriov {
            SriovMode::Manage => Ok(()),
            SriovMode::Observe => Err(SriovError::Observing),
        }
    }

    /// Lets the readers know.
    fn publish(&self) {
        let failures = self
            .failures
            .iter()
            .map(|(pf, (_, _, why))| (pf.clone(), why.clone()))
            .collect();
        let notes = Notes {
            config: Arc::clone(&self.config),
            allocations: self.allocations.clone(),
            failures,
        };
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner) = notes;
    }

    /// Looks for what is not as it should be, and repairs it.
    fn repair(&mut self) {
        if self.config.sriov.is_empty() || self.config.control.sriov == SriovMode::Observe {
            return;
        }
        let pfs = self.machine.pfs();
        self.note_absent(&pfs);
        for pf in pfs {
            let Some(wish) = wish::of_pf(&self.config, &self.allocations, &pf) else {
                continue;
            };
            let planned = match plan(&pf, &wish, Leave::default()) {
                Ok(planned) if planned.steps.is_empty() => {
                    if self.failures.remove(&pf.device).is_some() {
                        tracing::info!(pf = %pf.title(), "VFs are as they should be");
                    }
                    continue;
                }
                Ok(planned) => planned,
                Err(refusals) => {
                    self.note_failure(&pf, Plan::default(), list(&refusals));
                    continue;
                }
            };
            let tried = self.failures.get(&pf.device);
            if tried.is_some_and(|(at, plan, _)| *plan == planned && at.elapsed() < RETRY_AFTER) {
                continue;
            }
            match apply(&mut self.machine, &pf.device, &planned) {
                Ok(outcome) => {
                    tracing::info!(pf = %pf.title(), steps = outcome.done.len(), deferred = outcome.deferred.len(), "VFs changed");
                    match outcome.deferred.first() {
                        Some(waits) => self.note_failure(&pf, planned, waits.clone()),
                        None => drop(self.failures.remove(&pf.device)),
                    }
                }
                Err(failed) => self.note_failure(&pf, planned, failed.to_string()),
            }
        }
    }

    /// A NIC that is pulled out, or whose driver is taken away, may come back: its VFs are made again then.
    fn note_absent(&mut self, pfs: &[Pf]) {
        let absent: Vec<String> = wish::absent(&self.config, pfs)
            .into_iter()
            .map(ToString::to_string)
            .collect();
        for pf in absent.iter().filter(|pf| !self.absent.contains(pf)) {
            tracing::warn!(
                pf,
                "the NIC port is not there, nor are its VFs; they are made again when it comes back"
            );
        }
        for pf in self.absent.iter().filter(|pf| !absent.contains(pf)) {
            tracing::info!(pf, "the NIC port is back");
        }
        self.absent = absent;
    }

    fn note_failure(&mut self, pf: &Pf, planned: Plan, why: String) {
        let new = self
            .failures
            .get(&pf.device)
            .is_none_or(|(_, _, known)| *known != why);
        if new {
            tracing::warn!(pf = %pf.title(), "VFs are not as they should be: {why}");
        }
        self.failures
            .insert(pf.device.clone(), (Instant::now(), planned, why));
    }

    fn apply(&mut self, leave: Leave) -> Result<Vec<Outcome>, SriovError> {
        self.may_write()?;
        let mut outcomes = Vec::new();
        for pf in self.machine.pfs() {
            if let Some(wish) = wish::of_pf(&self.config, &self.allocations, &pf) {
                outcomes.push(self.bring(&pf, &wish, leave)?);
            }
        }
        Ok(outcomes)
    }

    fn bring(&mut self, pf: &Pf, wish: &PfWish, leave: Leave) -> Result<Outcome, SriovError> {
        let planned = plan(pf, wish, leave).map_err(SriovError::Refused)?;
        let outcome = apply(&mut self.machine, &pf.device, &planned)?;
        self.failures.remove(&pf.device);
        Ok(outcome)
    }

    fn save(&self) -> Result<(), SriovError> {
        let path = self.directory.join("sriov.json");
        self.allocations
            .save(&path)
            .map_err(|error| SriovError::State { path, error })
    }

    fn stands_still(&self, guest: &str) -> Result<(), SriovError> {
        if self.moving.contains(guest) {
            return Err(SriovError::Moving(guest.to_owned()));
        }
        Ok(())
    }

    fn attach(&mut self, attach: &Attach) -> Result<Vec<Allocation>, SriovError> {
        self.may_write()?;
        self.stands_still(&attach.ask.guest)?;
        let has = self.allocations.of_guest(&attach.ask.guest).count();
        let wanted = attach.count.unwrap_or(has + 1);
        let mut made: Vec<Allocation> = Vec::new();
        for _ in has..wanted {
            match self.attach_one(attach) {
                Ok(allocation) => made.push(allocation),
                Err(error) => {
                    // All or nothing.
                    for allocation in &made {
                        self.detach_one(allocation)?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(if made.is_empty() {
            self.allocations.of_guest(&attach.ask.guest).cloned().collect()
        } else {
            made
        })
    }

    fn attach_one(&mut self, attach: &Attach) -> Result<Allocation, SriovError> {
        let pfs = self.machine.pfs();
        let wishes: Vec<Option<PfWish>> = pfs
            .iter()
            .map(|pf| wish::of_pf(&self.config, &self.allocations, pf))
            .collect();
        let managed: Vec<_> = pfs
            .iter()
            .zip(&wishes)
            .filter_map(|(pf, wish)| Some((pf, wish.as_ref()?)))
            .collect();
        let (pf, vf) = self.allocations.choose(&managed, &attach.ask)?;
        let address = pf.vf(vf).and_then(|vf| vf.address.clone());
        let allocation = Allocation {
            guest: attach.ask.guest.clone(),
            pf: pf.device.clone(),
            vf,
            address: address.ok_or(HostError::Vanished)?,
            through: attach.through.clone(),
        };
        self.allocations.list.push(allocation.clone());
        let given = self.give(&allocation);
        if given.is_err() {
            self.allocations.list.retain(|other| *other != allocation);
            self.save()?;
        }
        given.map(|()| allocation)
    }

    /// Saved before the guest has it: a VF too many in the book is better than one too few.
    fn give(&mut self, allocation: &Allocation) -> Result<(), SriovError> {
        self.save()?;
        let settings = self.set_defaults(allocation)?;
        guests::plug(&mut self.commands, allocation, &settings)?;
        Ok(())
    }

    /// The VF of an allocation as a fresh one, with what the configuration wishes on top. Nobody may have it open.
    fn set_defaults(&mut self, allocation: &Allocation) -> Result<Settings, SriovError> {
        let pf = self.machine.read(&allocation.pf)?;
        let vf = pf.vf(allocation.vf).ok_or(HostError::Vanished)?;
        if vf.held {
            return Err(SriovError::InUse {
                pf: pf.title(),
                vf: vf.index,
                guest: allocation.guest.clone(),
            });
        }
        let Some(mut wish) = wish::of_pf(&self.config, &self.allocations, &pf) else {
            return Ok(vf.settings.clone());
        };
        let index = usize::from(allocation.vf);
        if let Some(of_vf) = wish.vfs.get_mut(index) {
            of_vf.settings = with_defaults(&of_vf.settings, &vf.settings);
        }
        self.bring(&pf, &wish, Leave::default())?;
        let now = self.machine.read(&allocation.pf)?;
        Ok(now
            .vf(allocation.vf)
            .map(|vf| vf.settings.clone())
            .unwrap_or_default())
    }

    fn detach(&mut self, guest: &str) -> Result<Vec<Allocation>, SriovError> {
        self.may_write()?;
        self.stands_still(guest)?;
        let list: Vec<Allocation> = self.allocations.of_guest(guest).cloned().collect();
        if list.is_empty() {
            return Err(SriovError::HasNone(guest.to_owned()));
        }
        for allocation in &list {
            self.detach_one(allocation)?;
        }
        Ok(list)
    }

    fn detach_one(&mut self, allocation: &Allocation) -> Result<(), SriovError> {
        let settings = self.settings_of(allocation);
        guests::unplug(&mut self.commands, allocation, &settings)?;
        self.await_release(allocation)?;
        // A VF that vanished with its PF needs no defaults.
        match self.set_defaults(allocation) {
            Ok(_) | Err(SriovError::Host(HostError::Vanished)) => {}
            Err(error) => return Err(error),
        }
        self.allocations.list.retain(|other| other != allocation);
        self.save()
    }

    /// Until nobody has the VF open any more. One that is gone is let go of.
    fn await_release(&mut self, allocation: &Allocation) -> Result<(), SriovError> {
        let until = Instant::now() + RELEASE_DEADLINE;
        loop {
            let pf = self.machine.read(&allocation.pf).ok();
            let held = pf.and_then(|pf| Some(pf.vf(allocation.vf)?.held));
            if held != Some(true) {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(SriovError::Kept {
                    guest: allocation.guest.clone(),
                    pf: allocation.pf.clone(),
                    vf: allocation.vf,
                    seconds: RELEASE_DEADLINE.as_secs(),
                });
            }
            self.machine.pause();
        }
    }

    fn settings_of(&mut self, allocation: &Allocation) -> Settings {
        let pf = self.machine.read(&allocation.pf).ok();
        pf.and_then(|pf| pf.vf(allocation.vf).map(|vf| vf.settings.clone()))
            .unwrap_or_default()
    }

    /// The VFs a guest has, and those the configuration keeps for it.
    fn vfs_for(&mut self, guest: &str) -> Vec<Allocation> {
        let mut list: Vec<Allocation> = self.allocations.of_guest(guest).cloned().collect();
        for pf in self.machine.pfs() {
            let Some(wish) = wish::of_pf(&self.config, &self.allocations, &pf) else {
                continue;
            };
            for (vf, wish) in (0..).zip(&wish.vfs) {
                let kept = wish.owner == Owner::Guest(guest.to_owned())
                    && self.allocations.of_vf(&pf.device, vf).is_none();
                if let Some(address) = pf.vf(vf).and_then(|vf| vf.address.clone()).filter(|_| kept) {
                    let pf = pf.device.clone();
                    list.push(Allocation {
                        guest: guest.to_owned(),
                        pf,
                        vf,
                        address,
                        through: Through::Libvirt,
                    });
                }
            }
        }
        list
    }

    fn reset(&mut self, guest: &str) -> Result<Vec<Allocation>, SriovError> {
        self.may_write()?;
        let list = self.vfs_for(guest);
        if list.is_empty() {
            return Err(SriovError::HasNone(guest.to_owned()));
        }
        for allocation in &list {
            self.set_defaults(allocation)?;
        }
        Ok(list)
    }

    /// What the guest has. With a journal of an earlier attempt it may have nothing any more.
    fn begin_move(&mut self, guest: String) -> Result<Vec<Allocation>, SriovError> {
        self.may_write()?;
        self.stands_still(&guest)?;
        let list: Vec<Allocation> = self.allocations.of_guest(&guest).cloned().collect();
        if list.is_empty() && !migrate::journal_path(&self.directory, &guest).exists() {
            return Err(SriovError::HasNone(guest));
        }
        self.moving.insert(guest);
        Ok(list)
    }

    fn take(&mut self, vf: &Allocation) -> Result<(), SriovError> {
        if self.allocations.of_vf(&vf.pf, vf.vf).is_none() {
            return Ok(());
        }
        self.detach_one(vf)
    }

    fn give_back(&mut self, vf: Allocation) -> Result<(), SriovError> {
        if self.allocations.of_vf(&vf.pf, vf.vf).is_some() {
            return Ok(());
        }
        self.allocations.list.push(vf.clone());
        self.give(&vf)
            .inspect_err(|_| self.allocations.list.retain(|other| *other != vf))
    }
}

/// A rate limit, a VLAN, a trust that outlives its guest would be the next guest's riddle: what is not wished goes back to the default, as
/// far as the driver tells of it.
fn with_defaults(wish: &Settings, now: &Settings) -> Settings {
    Settings {
        mac: wish.mac,
        vlan: wish.vlan.or(now.vlan.map(|_| (0, 0, VlanProtocol::Dot1Q))),
        rate_mbps: wish.rate_mbps.or(now.rate_mbps.map(|_| (0, 0))),
        spoofchk: wish.spoofchk.or(now.spoofchk.map(|_| true)),
        trust: wish.trust.or(now.trust.map(|_| false)),
        link: wish.link,
    }
}

/// How a guest is reached when it was not said.
pub fn through(qmp: Option<PathBuf>) -> Result<Through, virsh::VirshError> {
    match qmp {
        Some(socket) => Ok(Through::Qmp(socket)),
        None if virsh::is_installed() => Ok(Through::Libvirt),
        None => Err(virsh::VirshError::Missing("virsh".to_owned())),
    }
}

#[cfg(test)]
mod tests;
