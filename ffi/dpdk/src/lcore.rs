//! Worker lcores: threads the EAL made and pinned.
//!
//! `rte_thread_register` is avoided on purpose: it shuts out secondary processes such as dumpcap for good.

use core::any::Any;
use core::ffi::{c_int, c_void};
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, PoisonError};

use weir_dpdk_sys as c;

use crate::eal::{Eal, EalInner};
use crate::error::{Errno, Error, Result};

/// An lcore's number in the EAL; the CPU it is pinned to may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LcoreId(pub u32);

impl LcoreId {
    /// The lcore this thread is, if the EAL made it (or it called `Eal::init`).
    pub fn current() -> Option<Self> {
        // SAFETY: reads a thread-local integer through the shim.
        let id = unsafe { c::weir_lcore_id() };
        (id != c::WEIR_LCORE_ANY).then_some(Self(id))
    }

    /// The CPU this lcore is pinned to (the first, where it has several).
    pub fn cpu(self) -> Option<u32> {
        let id = c_int::try_from(self.0).ok()?;
        // SAFETY: DPDK checks the number and answers -1 for one it does not know.
        let cpu = unsafe { c::rte_lcore_to_cpu_id(id) };
        u32::try_from(cpu).ok()
    }

    /// The NUMA node of this lcore.
    pub fn socket(self) -> u32 {
        // SAFETY: DPDK checks the number.
        unsafe { c::rte_lcore_to_socket_id(self.0) }
    }
}

impl fmt::Display for LcoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lcore {}", self.0)
    }
}

impl Eal {
    /// Lcores that [`Eal::launch`] accepts.
    pub fn workers(&self) -> Vec<LcoreId> {
        workers()
    }

    /// The lcore of the thread that called [`Eal::init`].
    pub fn main_lcore(&self) -> LcoreId {
        // SAFETY: reads a number that is fixed after initialisation.
        LcoreId(unsafe { c::rte_get_main_lcore() })
    }

    /// Runs `work` on a worker lcore. A panic in it ends that worker only and is what [`Lcore::join`] returns.
    pub fn launch(&self, lcore: LcoreId, work: impl FnOnce() + Send + 'static) -> Result<Lcore> {
        launch(self.inner(), lcore, Box::new(work))
    }
}

/// A worker ended by a panic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the worker on lcore {lcore} panicked: {message}")]
pub struct Panic {
    /// Where it ran.
    pub lcore: u32,
    /// What it said.
    pub message: String,
}

/// Something running on a worker lcore. Dropping this lets it run on.
#[derive(Debug)]
pub struct Lcore {
    id: LcoreId,
    done: Receiver<Outcome>,
    early: Option<Outcome>,
}

type Outcome = core::result::Result<(), Panic>;
type Work = Box<dyn FnOnce() + Send>;

impl Lcore {
    /// The lcore.
    pub fn id(&self) -> LcoreId {
        self.id
    }

    /// Whether the work has ended, in whichever way.
    pub fn is_finished(&mut self) -> bool {
        if self.early.is_none() {
            self.early = match self.done.try_recv() {
                Ok(outcome) => Some(outcome),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(Err(self.vanished())),
            };
        }
        self.early.is_some()
    }

    /// Waits, asleep, until the work has ended. The lcore can be used again after that.
    pub fn join(mut self) -> Outcome {
        let outcome = match self.early.take() {
            Some(outcome) => outcome,
            None => self.done.recv().unwrap_or_else(|_| Err(self.vanished())),
        };
        // The thread has a few instructions left; this spins over them only.
        // SAFETY: DPDK checks the number.
        unsafe { c::rte_eal_wait_lcore(self.id.0) };
        outcome
    }

    fn vanished(&self) -> Panic {
        Panic {
            lcore: self.id.0,
            message: "ended without a report".to_owned(),
        }
    }
}

/// What goes to the worker thread.
struct Job {
    work: Work,
    lcore: LcoreId,
    done: SyncSender<Outcome>,
    /// Keeps the EAL's memory mapped while the work may hold mbufs.
    eal: Arc<EalInner>,
}

fn launch(eal: &Arc<EalInner>, lcore: LcoreId, work: Work) -> Result<Lcore> {
    // The main lcore would wait for itself for ever.
    if !workers().contains(&lcore) {
        let workers = workers().into_iter().map(|worker| worker.0).collect();
        return Err(Error::NotAWorker {
            lcore: lcore.0,
            workers,
        });
    }
    let (sender, done) = sync_channel(1);
    let job = Box::into_raw(Box::new(Job {
        work,
        lcore,
        done: sender,
        eal: Arc::clone(eal),
    }));
    let rc = {
        let _one_at_a_time = eal.launch.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: `entry` takes back exactly what is passed here; on success the worker thread owns it.
        unsafe { c::rte_eal_remote_launch(Some(entry), job.cast(), lcore.0) }
    };
    if let Err(errno) = Errno::check(rc) {
        // SAFETY: the launch failed, so the box was not taken and is still ours.
        drop(unsafe { Box::from_raw(job) });
        return Err(Error::Launch {
            lcore: lcore.0,
            errno,
        });
    }
    Ok(Lcore {
        id: lcore,
        done,
        early: None,
    })
}

/// Runs a job on its lcore. No panic may cross into C: that would abort the process.
unsafe extern "C" fn entry(argument: *mut c_void) -> c_int {
    // SAFETY: `launch` passes a Box<Job> and gives it up.
    let Job {
        work,
        lcore,
        done,
        eal,
    } = *unsafe { Box::from_raw(argument.cast::<Job>()) };
    let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panic {
        lcore: lcore.0,
        message: message(&*payload),
    });
    // Before the report, so that whoever joins is not overtaken by this handle.
    drop(eal);
    // Nobody listening is fine: the handle was dropped.
    let _ = done.send(outcome);
    0
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

fn workers() -> Vec<LcoreId> {
    let mut found = Vec::new();
    let mut at = u32::MAX;
    loop {
        // SAFETY: the documented way to walk: from -1, skipping the main lcore, no wrap.
        at = unsafe { c::rte_get_next_lcore(at, 1, 0) };
        // SAFETY: DPDK checks the number; the end of the walk is out of range and so not enabled.
        if unsafe { c::rte_lcore_is_enabled(at) } == 0 {
            return found;
        }
        found.push(LcoreId(at));
    }
}
