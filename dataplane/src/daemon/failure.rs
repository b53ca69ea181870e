//! Why the daemon cannot start, each with the way out.

use thiserror::Error;

/// A reason to end, printed once at exit.
#[derive(Debug, Error)]
pub enum Failure {
    /// `huge_pages = "on"` on a machine without enough of them.
    #[error(
        "huge pages: {need_mb} MiB needed, {free_mb} MiB free; reserve some (echo {} > /proc/sys/vm/nr_hugepages) or set huge_pages = \"auto\" in [dataplane]",
        need_mb.div_ceil(2)
    )]
    TooFewHugePages {
        /// MiB that EAL would take.
        need_mb: u64,
        /// MiB that are free.
        free_mb: u64,
    },
    /// `memory_mb` is smaller than the packet pool alone.
    #[error(
        "memory_mb = {memory_mb} cannot hold the {mbufs} packet buffers, which take {pool_mb} MiB; raise memory_mb or lower mbufs in [dataplane]"
    )]
    MemoryBelowPool {
        /// As configured.
        memory_mb: u64,
        /// MiB of the pool.
        pool_mb: u64,
        /// Buffers in the pool.
        mbufs: u32,
    },
    /// A worker is to run on a CPU this machine lacks.
    #[error("workers names CPU {cpu}, but this machine has CPUs 0 to {}; change workers in [dataplane]", online - 1)]
    NoSuchCpu {
        /// As configured.
        cpu: u16,
        /// CPUs online.
        online: u16,
    },
    /// DPDK refused something; its own words say what.
    #[error(transparent)]
    Dpdk(#[from] weir_dpdk::Error),
    /// A port could not be set up.
    #[error("port {port}: {what}")]
    Port {
        /// The port's name in the configuration.
        port: String,
        /// What failed, with the way out.
        what: String,
    },
    /// The socket for control cannot be made.
    #[error("socket for weir-control: {0}")]
    Socket(String),
    /// The counters page cannot be made.
    #[error("counters: {0}; services_max and backends_max in [dataplane] set their size")]
    Counters(String),
    /// A command that sets up the host side failed.
    #[error("`{line}` failed: {message}")]
    Command {
        /// The command.
        line: String,
        /// What it said.
        message: String,
    },
    /// The system refused something.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// The system's answer.
        error: std::io::Error,
    },
}

impl Failure {
    /// A system call that failed while doing `what`.
    pub fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        |error| Self::System { what, error }
    }
}
