//! Health checks on real sockets: which run, what they found, and the tasks that run them.
//!
//! - [`Target`]: everything that makes a check what it is. Two backends with equal targets share one check, and a
//!   reload that leaves a target unchanged leaves its check, and what it found, alone.
//! - [`book`]: what is known of every target; plain data.
//! - [`targets`] and `dialogues`: from the configuration to targets.
//! - [`driver`]: one small task per target around [`weir_proto::health::Check`].
//! - [`Checks`]: starts and stops tasks so that exactly the wanted targets are checked.

pub mod book;
mod connection;
mod dialogues;
mod driver;
pub mod targets;

use crate::bfd::Up;
use crate::clock::Clock;
use book::{Book, Change, Finding};
use driver::{CheckId, Driver};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use weir_proto::health::Dialogue;
use weir_proto::health::check::{Pace, Report};

pub use connection::tls::{Files as TlsFiles, Own as TlsOwn, Tls, client as tls_client};

/// Reports that may wait for the daemon; past that, checks wait before they go on.
const REPORTS_MAX: usize = 1_024;

/// What a check connects to, how, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// What to say and to hear.
    pub dialogue: Dialogue,
    /// When, and how many outcomes decide.
    pub pace: Pace,
    /// Where the connection comes from.
    pub source: Source,
    /// How TLS is spoken over it, if it is.
    pub tls: Option<Tls>,
    /// Failures that have not taken the server down are logged too.
    pub log_all_failures: bool,
}

/// The near end of a check's connections; the routing table decides what is left open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// Bind to this address.
    pub address: Option<IpAddr>,
    /// Bind to this network interface.
    pub interface: Option<String>,
    /// Bind to this port.
    pub port: Option<u16>,
    /// Firewall mark of what is sent.
    pub mark: Option<u32>,
}

/// The task of a check.
#[derive(Debug)]
struct Running {
    id: CheckId,
    task: AbortHandle,
    suspected: Arc<Notify>,
}

/// Which BFD sessions are up, by name.
type Sessions = watch::Receiver<Up>;

/// The running checks.
#[derive(Debug)]
pub struct Checks {
    book: Book,
    /// The checks that run, and, without a task, those that are suspended.
    running: HashMap<Arc<Target>, Option<Running>>,
    tasks: JoinSet<CheckId>,
    next_id: u64,
    clock: Clock,
    rng: SmallRng,
    muted: Arc<AtomicBool>,
    sessions: Sessions,
    sender: mpsc::Sender<(CheckId, Report)>,
    reports: mpsc::Receiver<(CheckId, Report)>,
}

impl Checks {
    /// No checks yet. `seed` places the first runs.
    pub fn new(clock: Clock, seed: u64) -> Self {
        let (sender, reports) = mpsc::channel(REPORTS_MAX);
        Self {
            book: Book::default(),
            running: HashMap::new(),
            tasks: JoinSet::new(),
            next_id: 0,
            clock,
            rng: SmallRng::seed_from_u64(seed),
            muted: Arc::new(AtomicBool::new(false)),
            sessions: watch::channel(Up::new()).1,
            sender,
            reports,
        }
    }

    /// Checks that start from now on look here for their BFD sessions.
    pub fn watch_sessions(&mut self, sessions: watch::Receiver<Up>) {
        self.sessions = sessions;
    }

    /// What is known of every target.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// While muted, failures do not count: the path that the checks take is known to be broken on this side.
    pub fn mute(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    /// True while failures do not count.
    pub fn is_muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed)
    }

    /// Checks exactly `targets` from now on; those that are checked already go on undisturbed. A check that asks the same
    /// as one that ends, only at another pace, starts from what that one has found.
    pub fn reconcile<'a>(&mut self, targets: impl IntoIterator<Item = &'a Target>) {
        let wanted: HashSet<&Target> = targets.into_iter().collect();
        let new: Vec<(Arc<Target>, Finding)> = wanted
            .iter()
            .filter(|target| !self.running.contains_key(**target))
            .map(|target| (Arc::new((*target).clone()), self.book.past(target)))
            .collect();
        let gone: Vec<_> = self
            .running
            .keys()
            .filter(|target| !wanted.contains(&***target))
            .cloned()
            .collect();
        for target in gone {
            self.stop(&target);
        }
        for (target, past) in new {
            self.start(target, past);
        }
    }

    /// Of the checks there are, lets those run that `wanted` says, and keeps what is known of the others.
    pub fn suspend_unless(&mut self, wanted: impl Fn(&Target) -> bool) {
        let (mut resumed, mut paused) = (Vec::new(), Vec::new());
        for (target, running) in &self.running {
            match (running, wanted(target)) {
                (None, true) => resumed.push(Arc::clone(target)),
                (Some(_), false) => paused.push(Arc::clone(target)),
                (None, false) | (Some(_), true) => {}
            }
        }
        for target in paused {
            if let Some(running) = self.running.get_mut(&target).and_then(Option::take) {
                running.task.abort();
                self.book.suspend(running.id);
            }
        }
        for target in resumed {
            let past = self.book.finding(&target);
            self.start(target, past);
        }
    }

    /// The traffic of this server speaks against it.
    pub fn suspect(&self, target: &Target) {
        if let Some(Some(running)) = self.running.get(target) {
            running.suspected.notify_one();
        }
    }

    /// The next change of verdict. Cancel-safe.
    pub async fn next_change(&mut self) -> Change {
        loop {
            tokio::select! {
                Some((id, report)) = self.reports.recv() => {
                    if let Some(change) = self.book.observe(id, report) {
                        return change;
                    }
                }
                Some(ended) = self.tasks.join_next() => self.on_task_end(&ended),
            }
        }
    }

    fn start(&mut self, target: Arc<Target>, past: Finding) {
        let id = CheckId(self.next_id);
        self.next_id += 1;
        let suspected = Arc::new(Notify::new());
        let driver = Driver {
            id,
            target: Arc::clone(&target),
            clock: self.clock,
            muted: Arc::clone(&self.muted),
            suspected: Arc::clone(&suspected),
            sessions: self.sessions.clone(),
            reports: self.sender.clone(),
        };
        let task = self.tasks.spawn(driver.run(past, self.rng.random()));
        self.book.open(id, Arc::clone(&target), past, self.clock.now());
        let running = Running { id, task, suspected };
        self.running.insert(target, Some(running));
    }

    fn stop(&mut self, target: &Target) {
        match self.running.remove(target) {
            Some(Some(running)) => {
                running.task.abort();
                self.book.close(running.id);
            }
            Some(None) => self.book.forget(target),
            None => {}
        }
    }

    /// A check's task ends only when it is stopped or has panicked; after a panic it starts afresh from its verdict.
    fn on_task_end(&mut self, ended: &Result<CheckId, tokio::task::JoinError>) {
        let Err(error) = ended else { return };
        if !error.is_panic() {
            return;
        }
        let task = error.id();
        let found = self
            .running
            .iter()
            .find(|(_, running)| running.as_ref().is_some_and(|running| running.task.id() == task));
        let Some(target) = found.map(|(target, _)| Arc::clone(target)) else {
            return;
        };
        tracing::error!(server = %target.address, %error, "a health check panicked; it starts again");
        let past = self.book.finding(&target);
        self.stop(&target);
        self.start(target, past);
    }
}

/// The distinct targets of an iterator, in a stable order of first mention.
pub fn distinct(targets: impl IntoIterator<Item = Target>) -> Vec<Target> {
    let mut seen = HashSet::new();
    targets
        .into_iter()
        .filter(|target| seen.insert(target.clone()))
        .collect()
}

#[cfg(test)]
mod reload;
#[cfg(test)]
mod tests;
