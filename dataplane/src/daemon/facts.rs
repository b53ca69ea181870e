//! What the main thread knows of ports and workers, and answers questions with.

use weir_dpdk::{Lcore, Port};

/// What the main thread knows of a port.
#[derive(Debug, Clone)]
pub struct PortFacts {
    /// Its name.
    pub name: String,
    /// The device as configured.
    pub device: String,
    /// Its MAC.
    pub mac: [u8; 6],
    /// The worker that has its first queue and its tap.
    pub owner: usize,
    /// It has a tap.
    pub has_host: bool,
    /// Worker of each queue.
    pub queues: Vec<usize>,
}

/// A worker as seen from here.
#[derive(Debug)]
pub struct WorkerHandle {
    /// While it runs.
    pub(super) lcore: Option<Lcore>,
    /// What it died of.
    pub panic: Option<String>,
    /// The CPU it is pinned to.
    pub cpu: u32,
    /// `busy` or `adaptive`.
    pub idle: &'static str,
    /// Flows its tables hold, both families.
    pub flows_max: u64,
}

impl WorkerHandle {
    /// A running worker.
    pub const fn new(lcore: Lcore, cpu: u32, idle: &'static str, flows_max: u64) -> Self {
        Self {
            lcore: Some(lcore),
            panic: None,
            cpu,
            idle,
            flows_max,
        }
    }

    /// Whether it ended since it was last asked.
    pub fn has_ended(&mut self) -> bool {
        self.lcore.as_mut().is_some_and(Lcore::is_finished)
    }

    /// Whether it still runs.
    pub const fn is_running(&self) -> bool {
        self.lcore.is_some()
    }
}

/// A port's device, while it is there, and its tap's.
pub type Devices = (Option<Port>, Option<Port>);
