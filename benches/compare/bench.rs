//! What every part of a run shares: the directory, the pool of huge pages, the measured device.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_wire::tcp::Flags;

use super::capture::{self, SERVICE_PORT, VIP};
use super::hugepages::HugePages;
use super::machine::{Machine, memory_mb};
use super::stop::Stop;
use super::trouble::{Outcome, Trouble};

/// Room in each packet buffer, on both sides: DPDK's headroom and a frame. The default of 2 KiB would take 24 GiB for ten million packets.
pub(crate) const MBUF_BYTES: u16 = 192;
/// What a buffer takes with its header, the pool's header and the padding between buffers.
const MBUF_FOOTPRINT: u64 = 448;
/// Buffers besides those of the capture.
const MBUFS_SPARE: u32 = 32_768;
/// EAL, rings, devices.
const EAL_MB: u64 = 96;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    /// Slices of each competitor.
    pub(crate) rounds: u32,
    /// Length of one.
    pub(crate) slice: Duration,
    /// Time before a slice for caches to forget the one before.
    pub(crate) settle: Duration,
}

impl Turns {
    /// As the method of the project demands: at least 20 of 50 to 200 ms.
    pub(crate) const FULL: Self = Self {
        rounds: 20,
        slice: Duration::from_millis(100),
        settle: Duration::from_millis(15),
    };
    /// For a first look.
    pub(crate) const QUICK: Self = Self {
        rounds: 8,
        slice: Duration::from_millis(50),
        settle: Duration::from_millis(10),
    };
}

/// One run.
#[derive(Debug)]
pub(crate) struct Bench {
    /// Ends it early.
    pub(crate) stop: Stop,
    /// The machine.
    pub(crate) machine: Machine,
    /// How long and how often.
    pub(crate) turns: Turns,
    /// A minute or two instead of ten.
    pub(crate) quick: bool,
    /// Huge pages.
    pub(crate) pages: HugePages,
    /// Captures and sockets; removed at the end.
    pub(crate) directory: tempfile::TempDir,
    /// Results and logs.
    pub(crate) output: PathBuf,
    /// Where the binaries of the workspace are.
    pub(crate) binaries: PathBuf,
}

impl Bench {
    /// A log file, kept after the run.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.output.join(name)
    }

    /// The path of one of the workspace's binaries.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// The CPUs of `workers` workers: the last ones, so that CPU 0 stays free for everything else as long as it can.
    pub(crate) fn cpus(&self, workers: u16) -> Vec<u16> {
        (self.machine.cpus - workers.min(self.machine.cpus)..self.machine.cpus).collect()
    }

    /// Huge pages for processes with the memory of these devices, and what the flow tables take of ordinary memory.
    pub(crate) fn provide(&self, devices: &[&Device], tables_mb: u64) -> Outcome<()> {
        let need: u64 = devices.iter().map(|device| device.memory_mb()).sum();
        let free = memory_mb("MemAvailable")?;
        let reserve = tables_mb + 512;
        if free < need + reserve {
            return Err(Trouble::Machine(format!(
                "{} MiB of memory wanted, {free} MiB are available",
                need + reserve
            )));
        }
        self.pages.provide(need + 16)
    }

    /// A device that repeats one acknowledgment of each flow for ever.
    pub(crate) fn device_of_hits(&self, flows: u32, workers: u16) -> Outcome<Device> {
        self.repeating(format!("hits-{flows}-{workers}"), flows, workers, false)
    }

    /// The same as a port for each worker, with flows to a service of its own.
    pub(crate) fn ports_of_hits(&self, flows: u32, workers: u16) -> Outcome<Device> {
        self.repeating(format!("ports-{flows}-{workers}"), flows, workers, true)
    }

    fn repeating(&self, name: String, flows: u32, workers: u16, apart: bool) -> Outcome<Device> {
        let queues = u32::from(workers);
        let frames = |queue| {
            let number = if apart { queue as u8 } else { 0 };
            let to = (VIP, SERVICE_PORT + u16::from(number));
            capture::shuffled(capture::flows_of_queue(flows, queue, queues))
                .into_iter()
                .map(move |flow| capture::frame(number, capture::client(flow), to, Flags::ACK))
        };
        let captures = (0..queues).map(frames).collect();
        let device = self.device(&name, self.cpus(workers), captures)?;
        Ok(Device { apart, ..device })
    }

    /// A device with a queue for each CPU, and these frames in each.
    pub(crate) fn device<I>(&self, name: &str, cpus: Vec<u16>, queues: Vec<I>) -> Outcome<Device>
    where
        I: IntoIterator<Item = [u8; capture::FRAME_BYTES]>,
    {
        let directory = self.directory.path().join(name);
        std::fs::create_dir_all(&directory)
            .map_err(Trouble::system(format!("making {}", directory.display())))?;
        let mut device = Device::of_files(cpus, directory, 0);
        for (queue, frames) in queues.into_iter().enumerate() {
            self.stop.check()?;
            device.packets += capture::write_file(&device.file(queue), frames)?;
        }
        capture::write_file(&device.directory.join("empty.pcap"), [])?;
        Ok(device)
    }
}

/// net_pcap with a capture for each queue, that both sides open.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    /// A CPU for each queue.
    pub(crate) cpus: Vec<u16>,
    /// Packets of all captures.
    pub(crate) packets: u32,
    /// Each queue is a port of its own: queues of one net_pcap write into each other's cache lines.
    pub(crate) apart: bool,
    directory: PathBuf,
}

impl Device {
    /// Captures that lie in `directory`.
    pub(crate) const fn of_files(cpus: Vec<u16>, directory: PathBuf, packets: u32) -> Self {
        Self {
            cpus,
            packets,
            apart: false,
            directory,
        }
    }

    /// The same captures on other CPUs.
    pub(crate) fn on(&self, cpus: Vec<u16>) -> Self {
        Self { cpus, ..self.clone() }
    }

    /// Where its captures are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn file(&self, queue: usize) -> PathBuf {
        self.directory.join(format!("queue{queue}.pcap"))
    }

    /// EAL's text of the port that repeats the captures. What is sent is counted and dropped by the driver.
    pub(crate) fn traffic(&self) -> String {
        self.repeater(0, 0..self.cpus.len())
    }

    /// The same of every port, should they be several.
    pub(crate) fn traffics(&self) -> Vec<String> {
        if self.apart {
            let queues = 0..self.cpus.len();
            queues
                .map(|queue| self.repeater(queue, queue..queue + 1))
                .collect()
        } else {
            vec![self.traffic()]
        }
    }

    fn repeater(&self, number: usize, queues: Range<usize>) -> String {
        let files: String = queues
            .map(|queue| format!("rx_pcap={},", self.file(queue).display()))
            .collect();
        format!("net_pcap{number},{files}infinite_rx=1")
    }

    /// EAL's text of a second port by which nothing comes.
    pub(crate) fn empty(&self) -> String {
        let file = self.directory.join("empty.pcap");
        let files: Vec<String> = self
            .cpus
            .iter()
            .map(|_| format!("rx_pcap={}", file.display()))
            .collect();
        format!("net_pcap1,{}", files.join(","))
    }

    /// Packet buffers a process needs.
    pub(crate) fn mbufs(&self) -> u32 {
        self.packets + MBUFS_SPARE
    }

    /// Memory for EAL: the buffers, and the rings of the pool and of the driver.
    pub(crate) fn memory_mb(&self) -> u64 {
        let mbufs = u64::from(self.mbufs());
        EAL_MB + (mbufs * MBUF_FOOTPRINT + 2 * 8 * mbufs.next_power_of_two() * 2) / (1 << 20)
    }
}

/// Removes a capture's files when done with: they are large.
pub(crate) fn remove(device: &Device) {
    // The whole directory goes at the end anyway.
    let _ = std::fs::remove_dir_all(device.directory());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_says_what_it_needs() {
        let device = Device::of_files(vec![1], PathBuf::from("/tmp/d"), 1_000_000);
        assert_eq!(
            device.traffic(),
            "net_pcap0,rx_pcap=/tmp/d/queue0.pcap,infinite_rx=1"
        );
        let two = Device {
            apart: true,
            ..device.on(vec![0, 1])
        };
        assert_eq!(
            two.traffics(),
            [
                "net_pcap0,rx_pcap=/tmp/d/queue0.pcap,infinite_rx=1",
                "net_pcap1,rx_pcap=/tmp/d/queue1.pcap,infinite_rx=1"
            ]
        );
        assert_eq!(device.empty(), "net_pcap1,rx_pcap=/tmp/d/empty.pcap");
        assert!((500..700).contains(&device.memory_mb()), "{}", device.memory_mb());
    }
}
