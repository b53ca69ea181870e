//! DPDK's own forwarder on the same device: what the device costs without a load balancer.
//!
//! It is told what to do on its standard input; its counters are read from its telemetry socket
//! (`/ethdev/stats`, DPDK's "Telemetry Library").

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType};
use serde::Serialize;

use super::bench::{Bench, Device};
use super::process::{PATIENCE, Process};
use super::trouble::{Outcome, Trouble};

/// The socket's answers are at most this long.
const ANSWER_MAX: usize = 16 << 10;
/// What it writes when it has done what it was told.
const PROMPT: &str = "testpmd> ";
/// How long it may take to change its mode.
const CHANGE: Duration = Duration::from_secs(5);

/// How it forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Writes both MAC addresses.
    Mac,
    /// Exchanges them.
    MacSwap,
}

impl Mode {
    /// As testpmd writes it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Mac => "mac",
            Self::MacSwap => "macswap",
        }
    }
}

/// A running testpmd.
#[derive(Debug)]
pub(crate) struct Testpmd {
    process: Process,
    socket: OwnedFd,
    /// Removed after the process has ended: fields are dropped in this order.
    _runtime: Runtime,
    mode: Mode,
    /// Prompts it must have written: one when it came up, one after each command. Everything else it says is held back in a buffer.
    prompts: usize,
}

impl Testpmd {
    /// Starts it on `device` and waits until it forwards.
    pub(crate) fn start(bench: &Bench, device: &Device) -> Outcome<Self> {
        let prefix = format!("weir-bench-{}", std::process::id());
        let runtime = Runtime(PathBuf::from(format!("/var/run/dpdk/{prefix}")));
        let mut command = Command::new("dpdk-testpmd");
        command.args(arguments(device, &prefix));
        let log = bench.log("testpmd.log");
        let mut process = Process::start("dpdk-testpmd", &mut command, &log, Stdio::piped())?;
        let path = runtime.0.join("dpdk_telemetry.v2");
        let socket = process.wait_for(&bench.stop, "its telemetry socket", |_| Ok(connect(&path)))?;
        let mut testpmd = Self {
            process,
            socket,
            _runtime: runtime,
            mode: Mode::Mac,
            prompts: 1,
        };
        // The first message greets.
        testpmd.receive()?;
        let start = Instant::now();
        while testpmd.packets().unwrap_or(0) == 0 {
            bench.stop.check()?;
            if let Ok(Some(status)) = testpmd.process.child().try_wait() {
                return Err(testpmd.process.trouble(format!("ended: {status}")));
            }
            if start.elapsed() > PATIENCE {
                return Err(testpmd.process.trouble("forwards nothing"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(testpmd)
    }

    /// The process.
    pub(crate) const fn process(&self) -> &Process {
        &self.process
    }

    /// Changes how it forwards; it must be running.
    pub(crate) fn switch(&mut self, mode: Mode) -> Outcome<()> {
        if mode == self.mode {
            return Ok(());
        }
        let text = format!("stop\nset fwd {}\nstart\n", mode.text());
        let stdin = self.process.child().stdin.as_mut();
        let written = stdin.map(|stdin| stdin.write_all(text.as_bytes()));
        if !matches!(written, Some(Ok(()))) {
            return Err(self.process.trouble("takes no commands"));
        }
        self.mode = mode;
        self.prompts += text.lines().count();
        let start = Instant::now();
        while self.process.log_text().matches(PROMPT).count() < self.prompts || !self.grows()? {
            if start.elapsed() > CHANGE {
                return Err(self
                    .process
                    .trouble(format!("does not change to {}", mode.text())));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn grows(&mut self) -> Outcome<bool> {
        let before = self.packets()?;
        std::thread::sleep(Duration::from_millis(2));
        Ok(self.packets()? > before)
    }

    /// Packets sent so far by port 0.
    pub(crate) fn packets(&mut self) -> Outcome<u64> {
        rustix::net::send(&self.socket, b"/ethdev/stats,0", SendFlags::empty())
            .map_err(Trouble::system("asking testpmd's telemetry"))?;
        let answer = self.receive()?;
        let sent = opackets(&answer);
        sent.ok_or_else(|| self.process.trouble(format!("telemetry says {answer}")))
    }

    fn receive(&self) -> Outcome<String> {
        let mut buffer = vec![0; ANSWER_MAX];
        let (len, _) = rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty())
            .map_err(Trouble::system("reading testpmd's telemetry"))?;
        buffer.truncate(len);
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }
}

/// EAL's directory of this process, which a killed EAL leaves behind. Its name is ours alone.
#[derive(Debug)]
struct Runtime(PathBuf);

impl Drop for Runtime {
    fn drop(&mut self) {
        // There is none when EAL did not come that far.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn connect(path: &std::path::Path) -> Option<OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).ok()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path).ok()?).ok()?;
    let timeout = Some(Duration::from_secs(10));
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, timeout).ok()?;
    Some(socket)
}

fn opackets(answer: &str) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_str(answer).ok()?;
    value.get("/ethdev/stats")?.get("opackets")?.as_u64()
}

/// Its command line. The second port is the one weir gets its first packets by; here nothing comes by it.
fn arguments(device: &Device, prefix: &str) -> Vec<String> {
    let lcores = (1..)
        .zip(&device.cpus)
        .fold("0@0".to_owned(), |list, (lcore, cpu)| {
            format!("{list},{lcore}@{cpu}")
        });
    let queues = device.cpus.len();
    let text = format!(
        "--lcores={lcores} --main-lcore=0 --in-memory --file-prefix={prefix} -m {} --no-pci --vdev={} --vdev={} -- \
         -i --auto-start --forward-mode=mac --port-topology=loop --burst=32 --mbuf-size={} --total-num-mbufs={} \
         --nb-cores={queues} --rxq={queues} --txq={queues} --no-flush-rx",
        device.memory_mb(),
        device.traffic(),
        device.empty(),
        super::bench::MBUF_BYTES,
        device.mbufs(),
    );
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_from_telemetry() {
        let answer = r#"{"/ethdev/stats":{"ipackets":7,"opackets":5,"q_ipackets":[7,0]}}"#;
        assert_eq!(opackets(answer), Some(5));
        assert_eq!(opackets("{}"), None);
    }

    #[test]
    fn every_cpu_gets_an_lcore_and_a_queue() {
        let device = Device::of_files(vec![0, 1], "/tmp/x".into(), 1000);
        let line = arguments(&device, "p").join(" ");
        assert!(line.contains("--lcores=0@0,1@0,2@1 "), "{line}");
        assert!(line.contains("--rxq=2 --txq=2"), "{line}");
        assert!(
            line.contains("rx_pcap=/tmp/x/queue0.pcap,rx_pcap=/tmp/x/queue1.pcap,infinite_rx=1"),
            "{line}"
        );
    }
}
