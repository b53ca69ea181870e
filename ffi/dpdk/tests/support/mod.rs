//! What every test here starts with: a real EAL without hugepages or PCI devices, and files that go away again.
//!
//! DPDK allows one EAL in a process, so these run under `cargo nextest`, which gives each test a process.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "only tests use this")]

use std::path::PathBuf;

use weir_dpdk::{Burst, Eal, Mempool, MempoolConfig, Port, PortConfig, RxQueue, TxQueue};

/// An EAL with two workers, all on this machine's first allowed CPU, and its runtime folder.
pub(crate) struct Stage {
    pub(crate) eal: Eal,
    _folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // With --no-shconf the EAL leaves an empty folder, or none.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// EAL arguments for a test: nothing shared with another process, nothing of the machine's hardware.
pub(crate) fn arguments(vdevs: &[&str]) -> Vec<String> {
    let cpu = first_cpu();
    let mut arguments: Vec<String> = [
        "--no-huge",
        "--no-pci",
        "--no-shconf",
        "--no-telemetry",
        "-m",
        "64",
        "--log-level=warning",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("--file-prefix=weir-test-{}", std::process::id()));
    arguments.push(format!("--lcores=0@{cpu},1@{cpu},2@{cpu}"));
    arguments.extend(vdevs.iter().map(|vdev| format!("--vdev={vdev}")));
    arguments
}

fn first_cpu() -> usize {
    let mask = rustix::thread::sched_getaffinity(None).unwrap();
    (0..rustix::thread::CpuSet::MAX_CPU)
        .find(|cpu| mask.is_set(*cpu))
        .unwrap()
}

pub(crate) fn stage(vdevs: &[&str]) -> Stage {
    let eal = Eal::init(arguments(vdevs)).expect("run these with cargo nextest: one EAL a process");
    let folder = Folder(PathBuf::from(eal.runtime_dir()));
    Stage { eal, _folder: folder }
}

pub(crate) fn pool(eal: &Eal) -> Mempool {
    Mempool::new(
        eal,
        "packets",
        MempoolConfig {
            mbufs: 2047,
            cache: 64,
            ..MempoolConfig::default()
        },
    )
    .unwrap()
}

/// Starts with one queue each way.
pub(crate) fn start(port: &mut Port, config: &PortConfig, pool: &Mempool) -> (RxQueue, TxQueue) {
    let (mut rx, mut tx) = port.start(config, pool).unwrap();
    assert_eq!((rx.len(), tx.len()), (1, 1));
    (rx.remove(0), tx.remove(0))
}

/// Fills a burst with `count` packets of `len` bytes; each holds its number, from `first` on, in every byte.
pub(crate) fn numbered(pool: &Mempool, burst: &mut Burst, first: usize, count: usize, len: usize) {
    assert!(pool.alloc_into(burst, count), "pool or burst too small");
    let new = burst.len() - count;
    for (number, packet) in (first..).zip(&mut burst[new..]) {
        packet.append(len).unwrap().fill(number as u8);
    }
}

/// A privileged test that cannot run says so, and fails where the run must not skip any.
pub(crate) fn not_run(reason: &str) {
    println!("NOT RUN: {reason}");
    assert!(
        std::env::var_os("WEIR_REQUIRE_PRIVILEGED").is_none_or(|value| value != "1"),
        "WEIR_REQUIRE_PRIVILEGED=1 and this did not run: {reason}"
    );
}
