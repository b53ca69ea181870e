//! The environment abstraction layer: initialised once in a process, cleaned up when its last handle goes.

use core::ffi::c_char;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering, fence};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

use rustix::thread::{sched_getaffinity, sched_setaffinity};
use weir_dpdk_sys as c;

use crate::error::{Errno, Error, Result, string_at};

static INITIALIZED: AtomicBool = AtomicBool::new(false);

/// The initialised EAL. Keep it as long as the program uses DPDK; ports, mempools and lcores hold it too.
///
/// When the last of these handles is dropped, on the thread that called [`Eal::init`] and with every mbuf back in its
/// pool, `rte_eal_cleanup` runs. Otherwise the memory is left for the operating system to take at exit, because
/// somebody may still reach it.
#[derive(Debug)]
pub struct Eal {
    inner: Arc<EalInner>,
}

/// What every handle shares.
#[derive(Debug)]
pub(crate) struct EalInner {
    main_thread: ThreadId,
    state: Mutex<State>,
    /// `rte_eal_remote_launch` tests and sets an lcore's state without a lock.
    pub(crate) launch: Mutex<()>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) pools: Vec<Pool>,
    /// The port that was started with fast free, if any: from then on there is one mempool.
    pub(crate) fast_free_port: Option<String>,
    pub(crate) open_ports: BTreeSet<u16>,
}

/// A created mempool. It is never freed before `rte_eal_cleanup`.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) raw: NonNull<c::rte_mempool>,
    pub(crate) mbufs: u32,
}

// SAFETY: the pointer is used for rte_mempool_avail_count only, which reads counters and may run on any thread.
unsafe impl Send for Pool {}

impl Eal {
    /// Starts DPDK with these EAL arguments, program name not included: for instance
    /// `["--no-huge", "-m", "256", "--vdev=net_null0", "--lcores=0@0,1@1"]`.
    ///
    /// The EAL pins the thread that initialises it, and threads made later would inherit that; the mask the thread
    /// had before is put back.
    pub fn init<S: AsRef<str>>(arguments: impl IntoIterator<Item = S>) -> Result<Self> {
        let arguments: Vec<String> = arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_owned())
            .collect();
        let mut argv = argv(&arguments)?;
        if INITIALIZED.swap(true, Ordering::SeqCst) {
            return Err(Error::AlreadyInitialized);
        }
        check_version()?;
        let mask = sched_getaffinity(None)?;
        let count = i32::try_from(arguments.len() + 1).unwrap_or(i32::MAX);
        // SAFETY: `argv` holds `count` writable strings that are never freed, then a null; called once.
        let rc = unsafe { c::rte_eal_init(count, argv.as_mut_ptr()) };
        let errno = Errno::last();
        sched_setaffinity(None, &mask)?;
        if rc < 0 {
            return Err(Error::Init { errno, arguments });
        }
        let inner = EalInner {
            main_thread: std::thread::current().id(),
            state: Mutex::default(),
            launch: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Adds a device at run time, with the syntax of `--vdev` or `-a`: `net_tap0,iface=weir0`.
    pub fn probe(&self, device: &str) -> Result<()> {
        let text = c_string("device", device)?;
        // SAFETY: a terminated string that DPDK only reads.
        let rc = unsafe { c::rte_dev_probe(text.as_ptr()) };
        Errno::check(rc).map_err(|errno| Error::Probe {
            device: device.to_owned(),
            errno,
        })?;
        Ok(())
    }

    /// From now on [`Eal::take_removed`] tells of devices that the kernel wants back: a VF whose PF's driver is unloaded or whose number of
    /// VFs changes, a NIC that is pulled out. The kernel waits until the port is closed by [`crate::Port::remove`].
    pub fn watch_removals(&self) -> Result<()> {
        // SAFETY: registers a function of the shim, which outlives everything.
        let rc = unsafe { c::weir_watch_removals() };
        Errno::check(rc).map_err(|errno| Error::Probe {
            device: "removal of any device".to_owned(),
            errno,
        })?;
        Ok(())
    }

    /// Ports whose device is wanted back, as [`crate::Port::id`] numbers them; each is told once.
    pub fn take_removed(&self) -> Vec<u16> {
        // SAFETY: takes a number from an atomic.
        let mut bits = unsafe { c::weir_take_removed() };
        let mut ports = Vec::new();
        while bits != 0 {
            ports.push(bits.trailing_zeros() as u16);
            bits &= bits - 1;
        }
        ports
    }

    /// Whether packet memory is in hugepages.
    pub fn has_hugepages(&self) -> bool {
        // SAFETY: reads a flag that is fixed after initialisation.
        let rc = unsafe { c::rte_eal_has_hugepages() };
        rc != 0
    }

    /// Where the EAL keeps its files, for instance `/run/dpdk/<prefix>`.
    pub fn runtime_dir(&self) -> String {
        runtime_dir()
    }

    pub(crate) fn inner(&self) -> &Arc<EalInner> {
        &self.inner
    }
}

impl EalInner {
    /// The shared books. A panic elsewhere cannot leave them half-written: every change is one call.
    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn every_mbuf_is_home(&self) -> bool {
        self.state()
            .pools
            .iter()
            .all(|pool| available(pool.raw) == pool.mbufs)
    }
}

impl Drop for EalInner {
    fn drop(&mut self) {
        // Three kinds of threads free mbufs: this one, EAL workers, which hold this value while they run, and
        // others, which have no mempool cache and are done with an mbuf once the pool counts it.
        let folder = runtime_dir();
        if std::thread::current().id() == self.main_thread && self.every_mbuf_is_home() {
            fence(Ordering::Acquire);
            // SAFETY: no port, queue, pool handle or running worker is left (each holds this value), no mbuf is out.
            unsafe { c::rte_eal_cleanup() };
        }
        // DPDK leaves it behind, empty unless it shares its configuration with other processes.
        let _ = std::fs::remove_dir(folder);
    }
}

/// Free mbufs of a pool, those in per-lcore caches included.
pub(crate) fn available(pool: NonNull<c::rte_mempool>) -> u32 {
    // SAFETY: pools live until rte_eal_cleanup, and every caller holds the EAL.
    unsafe { c::rte_mempool_avail_count(pool.as_ptr()) }
}

/// The release of the loaded library, for instance `DPDK 22.11.11`.
pub fn dpdk_version() -> String {
    // SAFETY: takes nothing, returns a static string.
    let text = unsafe { c::rte_version() };
    string_at(text)
}

fn runtime_dir() -> String {
    // SAFETY: takes nothing, returns a string that stays.
    let path = unsafe { c::rte_eal_get_runtime_dir() };
    string_at(path)
}

/// The time-stamp counter.
#[inline]
pub fn tsc() -> u64 {
    // SAFETY: reads a CPU register.
    unsafe { c::weir_tsc() }
}

/// Ticks of [`tsc`] per second; 0 before [`Eal::init`].
pub fn tsc_hz() -> u64 {
    // SAFETY: reads a number set at initialisation.
    unsafe { c::rte_get_tsc_hz() }
}

pub(crate) fn c_string(what: &'static str, value: &str) -> Result<CString> {
    CString::new(value).map_err(|_| Error::ZeroByte {
        what,
        value: value.to_owned(),
    })
}

/// Program name, arguments, null. DPDK keeps and permutes the pointers, so the strings are leaked, once.
fn argv(arguments: &[String]) -> Result<Vec<*mut c_char>> {
    let mut strings = vec![c_string("program name", "weir")?];
    for argument in arguments {
        strings.push(c_string("EAL argument", argument)?);
    }
    let mut argv: Vec<*mut c_char> = strings.into_iter().map(CString::into_raw).collect();
    argv.push(core::ptr::null_mut());
    Ok(argv)
}

/// Shared libraries of two releases may both satisfy the linker; layouts are the headers'.
fn check_version() -> Result<()> {
    // SAFETY: takes nothing.
    let year = unsafe { c::rte_version_year() };
    // SAFETY: takes nothing.
    let month = unsafe { c::rte_version_month() };
    if (year, month) == (c::WEIR_BUILT_YEAR, c::WEIR_BUILT_MONTH) {
        return Ok(());
    }
    let built = format!("{}.{:02}", c::WEIR_BUILT_YEAR, c::WEIR_BUILT_MONTH);
    Err(Error::Version {
        built,
        loaded: dpdk_version(),
    })
}
