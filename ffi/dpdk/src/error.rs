//! Errors: what was tried, what DPDK answered, what to do about it.

use core::ffi::{CStr, c_char, c_int};
use core::fmt;

use weir_dpdk_sys as c;

/// A result of this crate.
pub type Result<T> = core::result::Result<T, Error>;

/// A positive error number of the C library or of DPDK.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    pub(crate) const INVALID: Self = Self(22);
    pub(crate) const NOT_SUPPORTED: Self = Self(95);
    const NO_SYSTEM_CALL: Self = Self(38);

    /// The calling thread's `rte_errno`.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local integer through the shim.
        Self(unsafe { c::weir_errno() })
    }

    /// The error in a DPDK return value, where negative means failure.
    pub(crate) fn check(rc: c_int) -> core::result::Result<c_int, Self> {
        if rc < 0 { Err(Self(-rc)) } else { Ok(rc) }
    }

    /// Whether the driver just cannot do this.
    pub fn is_unsupported(self) -> bool {
        self == Self::NOT_SUPPORTED || self == Self::NO_SYSTEM_CALL
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: always returns a valid string, in a buffer of the calling thread.
        let text = unsafe { c::rte_strerror(self.0) };
        write!(f, "{} (errno {})", string_at(text), self.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Copies a C string; null reads as empty.
pub(crate) fn string_at(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: every caller passes a pointer DPDK documents as a terminated string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Why a call failed, and what helps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument holds a zero byte.
    #[error("{what} {value:?} holds a zero byte; remove it")]
    ZeroByte {
        /// Which argument.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// `Eal::init` was called before in this process.
    #[error("the EAL was already initialised; DPDK allows that once in a process, so start a new one")]
    AlreadyInitialized,
    /// `rte_eal_init` refused.
    #[error(
        "EAL initialisation failed: {errno}; EAL arguments were {arguments:?}; its own message is on stderr above. \
         Without hugepages use --no-huge -m <MiB>; without permission run as root or with CAP_NET_ADMIN and CAP_IPC_LOCK"
    )]
    Init {
        /// DPDK's answer.
        errno: Errno,
        /// As given.
        arguments: Vec<String>,
    },
    /// The loaded library is of another release than the headers this was built with.
    #[error(
        "built with DPDK {built} but the loaded library is {loaded:?}; \
         rebuild weir on this system or install the libdpdk it was built for"
    )]
    Version {
        /// Year and month of the headers.
        built: String,
        /// What `rte_version` says.
        loaded: String,
    },
    /// The calling thread's CPU mask could not be read or put back.
    #[error("cannot keep the calling thread's CPU mask: {0}; check the cpuset this process runs in")]
    Affinity(#[from] rustix::io::Errno),
    /// `rte_dev_probe` refused a device.
    #[error(
        "cannot add device {device:?}: {errno}; check its arguments and that the driver's package is installed"
    )]
    Probe {
        /// The device string.
        device: String,
        /// DPDK's answer.
        errno: Errno,
    },
    /// Not a worker lcore of this EAL.
    #[error("lcore {lcore} is not a worker of this EAL; workers are {workers:?}; add it with -l or --lcores")]
    NotAWorker {
        /// The one asked for.
        lcore: u32,
        /// Those there are.
        workers: Vec<u32>,
    },
    /// The lcore runs something already, or cannot be reached.
    #[error("cannot launch on lcore {lcore}: {errno}; join what runs there first")]
    Launch {
        /// The lcore.
        lcore: u32,
        /// DPDK's answer.
        errno: Errno,
    },
    /// `rte_pktmbuf_pool_create` refused.
    #[error("cannot create mempool {name:?} ({mbufs} mbufs, {bytes} bytes of buffers): {errno}; {hint}")]
    Mempool {
        /// Its name.
        name: String,
        /// Buffers asked for.
        mbufs: u32,
        /// Their size.
        bytes: u64,
        /// DPDK's answer.
        errno: Errno,
        /// What to do.
        hint: &'static str,
    },
    /// A running port relies on there being one mempool.
    #[error(
        "mempool {name:?} would be the second, and port {port} was started with fast free, which allows one; \
         create every mempool before starting a port, or start the port with fast_free: false"
    )]
    FastFree {
        /// The mempool.
        name: String,
        /// The port.
        port: String,
    },
    /// No port of that name.
    #[error(
        "no port {name:?}; ports are {known:?}; add it with --vdev, or bind the PCI device to vfio-pci and allow it with -a"
    )]
    NoPort {
        /// The one asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// Another handle to this port lives.
    #[error("port {0} is open already; a port has one owner, so drop the other handle first")]
    PortOpen(String),
    /// Queues of the port are alive, so it cannot be stopped or configured.
    #[error("port {0} has queues in use; drop every RxQueue and TxQueue first")]
    QueuesInUse(String),
    /// `start` on a started port.
    #[error("port {0} is started; stop it first")]
    Started(String),
    /// A setting is outside what the device offers.
    #[error("port {port}: {what} {wanted} is not possible, the device allows {min} to {max}; {hint}")]
    Range {
        /// The port.
        port: String,
        /// Which setting.
        what: &'static str,
        /// The value asked for.
        wanted: u64,
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
        /// What to do.
        hint: &'static str,
    },
    /// Any other call on a port.
    #[error("port {port}: cannot {action}: {errno}; {hint}")]
    Port {
        /// The port.
        port: String,
        /// What was tried.
        action: &'static str,
        /// DPDK's answer.
        errno: Errno,
        /// What to do.
        hint: &'static str,
    },
}

impl Error {
    /// Whether the device or driver just cannot do what was asked.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Port { errno, .. } if errno.is_unsupported())
    }
}
