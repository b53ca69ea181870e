//! The real binary on real DPDK, with virtual devices and ordinary pages: no root, no NIC, no hugepages.

#![cfg(feature = "dpdk")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "daemon/churn.rs"]
mod churn;
#[path = "daemon/devices.rs"]
mod devices;
#[path = "daemon/frames.rs"]
mod frames;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;
use rustix::process::{Pid, Signal, kill_process};
use weir_rings::counters::{CountersReader, WorkerCounts};
use weir_rings::link::{ControlEnd, Output as Told};
use weir_rings::message::{
    self, Backend, BackendKey, Event, Forward, ForwardMode, Neighbor, NeighborKey, Protocol, SchedulerKind,
    Service, ServiceKey, Vip,
};
use weir_rings::query::{FlowFilter, Request, Response};

const PATIENCE: Duration = Duration::from_secs(30);
const VIP: &str = "192.0.2.100";
const SERVERS: [&str; 2] = ["192.0.2.11", "192.0.2.12"];

/// A running dataplane in a directory of its own, killed when dropped.
struct Dataplane {
    child: Child,
    directory: tempfile::TempDir,
}

impl Dataplane {
    /// Starts one whose only port is `device`, in which `{dir}` stands for the directory.
    fn start(device: &str, workers: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::start_for(65_536, device, workers, prepare)
    }

    /// The same with room for this many flows.
    fn start_for(flows_max: u32, device: &str, workers: &str, prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let config = config(directory.path(), device, workers);
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("65536", &flows_max.to_string())).unwrap();
        // A file: a pipe that nobody reads fills up, and a process that logs waits for its reader.
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let child = command(&config).stderr(log).spawn().unwrap();
        Self { child, directory }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("dataplane.sock")
    }

    fn connect(&self) -> ControlEnd {
        let start = Instant::now();
        loop {
            match ControlEnd::connect(&self.socket(), Duration::from_secs(1)) {
                Ok(end) => return end,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, and everything it wrote.
    fn stop(mut self) -> Output {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        let stderr = fs::read(self.directory.path().join("log")).unwrap();
        assert!(!self.socket().exists(), "the socket is left behind");
        Output {
            status,
            stdout: Vec::new(),
            stderr,
        }
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        // Ended already, in a test that passes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-dataplane"));
    command.arg("--config").arg(config);
    command
}

fn config(directory: &Path, device: &str, workers: &str) -> PathBuf {
    let device = device.replace("{dir}", directory.to_str().unwrap());
    let socket = directory.join("dataplane.sock");
    let path = directory.join("weir.toml");
    let text = format!(
        "[dataplane]\nworkers = {workers}\nflows_max = 65536\nhuge_pages = \"off\"\nsocket = {socket:?}\n\
         [[port]]\nname = \"lan\"\ndevice = {device:?}\naddresses = [\"192.0.2.2/24\"]\n"
    );
    fs::write(&path, text).unwrap();
    path
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A capture of SYNs to port 80 of the VIP from `clients` ports.
fn write_capture(path: &Path, clients: u16) {
    write_syns(path, (0..clients).map(|client| (10_000 + client, 80)));
}

/// The MAC net_pcap gives its port.
const PORT_MAC: [u8; 6] = [0x02, 0x70, 0x63, 0x61, 0x70, 0x00];

/// A capture of SYNs to the VIP, each from one port to another.
fn write_syns(path: &Path, ports: impl Iterator<Item = (u16, u16)>) {
    let syn = |(from, to)| {
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], PORT_MAC)
            .ipv4([192, 0, 2, 10], [192, 0, 2, 100], 64)
            .tcp(from, to, 1, 1024)
            .syn();
        let mut frame = Vec::new();
        builder.write(&mut frame, &[]).unwrap();
        frame
    };
    write_frames(path, ports.map(syn));
}

/// A capture of these frames.
fn write_frames(path: &Path, frames: impl Iterator<Item = Vec<u8>>) {
    const FILE_HEADER: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1];
    let mut bytes: Vec<u8> = FILE_HEADER.iter().flat_map(|word| word.to_ne_bytes()).collect();
    for frame in frames {
        let len = u32::try_from(frame.len()).unwrap();
        for word in [0, 0, len, len] {
            bytes.extend(u32::to_ne_bytes(word));
        }
        bytes.extend(frame);
    }
    fs::write(path, bytes).unwrap();
}

/// The frames of a capture. One that is still being written may end in half a frame.
fn frames_of(capture: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = capture.get(24..).unwrap_or_default();
    std::iter::from_fn(move || {
        let len = u32::from_ne_bytes(rest.get(8..12)?.try_into().ok()?) as usize;
        let frame = rest.get(16..16 + len)?;
        rest = &rest[16 + len..];
        Some(frame)
    })
}

/// A service with two servers whose MACs are known.
fn commands() -> Vec<message::Command> {
    let key = ServiceKey {
        protocol: Protocol::Tcp,
        address: ip(VIP),
        port: 80,
    };
    let service = Service::new(key, SchedulerKind::Rr, ForwardMode::Dr);
    let mut commands = vec![
        message::Command::UpsertVip(Vip::owned(ip(VIP))),
        message::Command::UpsertService(service),
    ];
    for (last, server) in (1u8..).zip(SERVERS) {
        let key_of = BackendKey {
            address: ip(server),
            port: 80,
        };
        commands.push(message::Command::UpsertBackend(Backend::new(
            key,
            key_of,
            Forward::Dr,
        )));
        let neighbor = NeighborKey {
            address: ip(server),
            port: None,
            vlan: None,
        };
        commands.push(message::Command::UpsertNeighbor(Neighbor {
            key: neighbor,
            mac: [2, 0, 0, 0, 1, last],
        }));
    }
    commands
}

fn wait_for(what: &str, counters: &CountersReader, mut seen: impl FnMut() -> bool) {
    let start = Instant::now();
    while !seen() {
        assert!(
            start.elapsed() < PATIENCE,
            "never saw: {what}; {:#?}",
            counters.worker_total()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn assert_conserved(counters: &CountersReader) {
    let WorkerCounts {
        rx_packets,
        tx_packets,
        punted,
        dropped,
        steered_in,
        steered_out,
        ..
    } = counters.worker_total();
    let each: Vec<_> = counters
        .workers()
        .filter_map(|worker| counters.worker(worker))
        .collect();
    assert_eq!(steered_in, steered_out, "what was handed over arrived: {each:#?}");
    assert_eq!(
        rx_packets,
        tx_packets + punted + dropped,
        "rx == tx + punted + dropped: {each:#?}"
    );
}

fn ask(end: &mut ControlEnd, request: Request) -> Response {
    let id = end.query(request).unwrap();
    let start = Instant::now();
    loop {
        end.poll();
        while let Some(told) = end.next_output() {
            if let Told::Answer { id: answered, answer } = told
                && answered == id
            {
                return answer.unwrap();
            }
        }
        assert!(start.elapsed() < PATIENCE, "no answer");
        end.wait(Duration::from_millis(50));
    }
}

/// Floods the VIP from a capture without end; every packet must be accounted for when the process has ended.
fn balance(workers: &str) {
    let device = "vdev:net_pcap0,rx_pcap={dir}/in.pcap,infinite_rx=1,tx_pcap=/dev/null";
    let dataplane = Dataplane::start(device, workers, |directory| {
        write_capture(&directory.join("in.pcap"), 64)
    });
    let mut end = dataplane.connect();
    let counters = end.counters().clone();
    let told = end
        .commit_and_wait(end.next_generation(), true, commands(), PATIENCE)
        .unwrap();
    assert!(
        matches!(
            told,
            Event::Published {
                services: 1,
                backends: 2,
                ..
            }
        ),
        "{told:?}"
    );

    wait_for("all flows", &counters, || counters.worker_total().flows >= 64);
    wait_for("packets to the servers", &counters, || {
        counters.worker_total().tx_packets > 10_000
    });
    let Response::Flows { rows, more } = ask(
        &mut end,
        Request::Flows {
            filter: FlowFilter::default(),
            limit: 100,
        },
    ) else {
        panic!("not flows")
    };
    assert!(rows.len() == 64 && !more, "{rows:#?}");
    let to_first = rows
        .iter()
        .filter(|row| row.backend.ip() == ip(SERVERS[0]))
        .count();
    assert_eq!(to_first, 32, "round robin over all workers");

    let asked = |source: &str| Request::Explain {
        protocol: Protocol::Tcp,
        source: source.parse().unwrap(),
        destination: format!("{VIP}:80").parse().unwrap(),
        port: None,
    };
    for source in ["192.0.2.10:10001", "192.0.2.10:10002", "192.0.2.33:5"] {
        let Response::Explain(story) = ask(&mut end, asked(source)) else {
            panic!("no explanation")
        };
        assert_eq!(story.verdict, "tx", "{story:?}");
        let egress = story.steps.iter().find(|step| step.stage == "egress").unwrap();
        let names: Vec<&str> = egress.detail.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["source_mac", "port", "worker", "queue"], "{story:?}");
    }

    let output = dataplane.stop();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_conserved(&counters);
}

#[test]
fn one_worker_balances_and_accounts_for_every_packet() {
    balance("[0]");
}

#[test]
fn two_workers_hand_over_and_account_for_every_packet() {
    balance("[0, 1]");
}

#[test]
fn forwarding_goes_on_without_control_and_a_new_control_finds_the_flows() {
    let device = "vdev:net_pcap0,rx_pcap={dir}/in.pcap,infinite_rx=1,tx_pcap=/dev/null";
    let dataplane = Dataplane::start(device, "[0]", |directory| {
        write_capture(&directory.join("in.pcap"), 16)
    });
    let mut end = dataplane.connect();
    end.commit_and_wait(end.next_generation(), true, commands(), PATIENCE)
        .unwrap();
    let counters = end.counters().clone();
    wait_for("all flows", &counters, || counters.worker_total().flows == 16);
    drop(end);

    let before = counters.worker_total().tx_packets;
    wait_for("packets without control", &counters, || {
        counters.worker_total().tx_packets > before + 1000
    });
    let mut end = dataplane.connect();
    assert!(end.hello().generation > 0);
    end.commit_and_wait(end.next_generation(), true, commands(), PATIENCE)
        .unwrap();
    assert_eq!(counters.worker_total().flows_created, 16, "no flow moved");
    assert!(dataplane.stop().status.success());
    assert_conserved(&counters);
}

#[test]
fn check_prints_the_plan_and_starts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let output = command(&config(directory.path(), "null", "[0]"))
        .arg("--check")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("--vdev=net_null0") && text.contains("--no-huge"),
        "{text}"
    );
}

#[test]
fn a_bad_configuration_ends_with_4_and_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let output = command(&config(directory.path(), "nul", "[0]")).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(text.contains("weir.toml:8") && text.contains("null"), "{text}");
}

#[test]
fn a_cpu_that_is_not_there_is_refused_before_eal_starts() {
    let directory = tempfile::tempdir().unwrap();
    let output = command(&config(directory.path(), "null", "[1000]"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("CPU 1000") && text.contains("workers"), "{text}");
}
