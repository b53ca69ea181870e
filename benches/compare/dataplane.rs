//! The real `weir-dataplane`, told what to do over its rings, and given the first packets of its flows through pipes.
//!
//! A port of its own (net_pcap on a pipe for each queue) brings each flow's SYN once. A worker that reads an empty pipe
//! waits in it; when the writer has closed, the port is at its end and costs a look that finds nothing. testpmd has such
//! a port too.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode};
use weir_rings::counters::{CountersReader, WorkerCounts};
use weir_rings::link::{ConnectError, ControlEnd, Output};
use weir_rings::message::{self, Event};
use weir_rings::query::{Request, Response};
use weir_wire::tcp::Flags;

use super::bench::{Bench, Device, MBUF_BYTES};
use super::capture::{Capture, FRAME_BYTES, SERVICE_PORT, VIP, client, flows_of_queue, frame};
use super::process::{PATIENCE, Process};
use super::service::NETWORKS;
use super::trouble::{Outcome, Trouble};

/// One flow in so many may find no place: both of its buckets can be full before the table is.
const UNPLACED: u64 = 1000;

/// Frames that come once, for one queue.
pub(crate) type Frames = Box<dyn Iterator<Item = [u8; FRAME_BYTES]> + Send>;

/// A running dataplane.
pub(crate) struct Dataplane {
    process: Process,
    end: ControlEnd,
    feeders: Vec<Feeder>,
    /// Packets of the capture.
    lap: u32,
}

impl Dataplane {
    /// Starts one on `device`, with room for `flows_max` flows, and gives it `commands`.
    pub(crate) fn start(
        bench: &Bench,
        device: &Device,
        flows_max: u64,
        commands: Vec<message::Command>,
    ) -> Outcome<Self> {
        let directory = tempfile::tempdir_in(device.directory())
            .map_err(Trouble::system("making a directory"))?
            .keep();
        let pipes: Vec<PathBuf> = (0..device.cpus.len())
            .map(|queue| directory.join(format!("seed{queue}.pipe")))
            .collect();
        let feeders = pipes.iter().map(Feeder::start).collect::<Outcome<Vec<_>>>()?;
        let config = directory.join("weir.toml");
        let socket = directory.join("dataplane.sock");
        let text = configuration(device, flows_max, &pipes, &socket.to_string_lossy());
        fs::write(&config, text).map_err(Trouble::system("writing weir.toml"))?;

        let mut command = Command::new(bench.binary("weir-dataplane"));
        command.arg("--config").arg(&config);
        let log = bench.log("weir-dataplane.log");
        let mut process = Process::start("weir-dataplane", &mut command, &log, Stdio::null())?;
        let mut end = process.wait_for(&bench.stop, "its socket", |_| {
            match ControlEnd::connect(&socket, Duration::from_secs(1)) {
                Ok(end) => Ok(Some(end)),
                Err(error @ ConnectError::Mismatch { .. }) => Err(Trouble::Wrong(error.to_string())),
                Err(_) => Ok(None),
            }
        })?;
        let generation = end.next_generation();
        let told = end
            .commit_and_wait(generation, true, commands, PATIENCE)
            .map_err(|error| process.trouble(error))?;
        if !matches!(told, Event::Published { .. }) {
            return Err(process.trouble(format!("does not publish: {told:?}")));
        }
        Ok(Self {
            process,
            end,
            feeders,
            lap: device.packets,
        })
    }

    /// One with `flows` established flows, as a table 85 % full.
    pub(crate) fn with_flows(
        bench: &Bench,
        device: &Device,
        flows: u32,
        commands: Vec<message::Command>,
    ) -> Outcome<Self> {
        let mut dataplane = Self::start(bench, device, table_for(flows), commands)?;
        let queues = device.cpus.len() as u32;
        let seed_port = device.traffics().len() as u8;
        let syns = (0..queues).map(|queue| -> Frames {
            let frames = flows_of_queue(flows, queue, queues);
            let to = (VIP, SERVICE_PORT + if device.apart { queue as u16 } else { 0 });
            Box::new(frames.map(move |flow| frame(seed_port, client(flow), to, Flags::SYN)))
        });
        dataplane.feed(bench, syns.collect())?;
        let made = dataplane.counts().flows;
        if made + u64::from(flows) / UNPLACED < u64::from(flows) {
            return Err(Trouble::Wrong(format!(
                "of {flows} flows {made} are in the table"
            )));
        }
        Ok(dataplane)
    }

    /// Sends frames by the second port, once; the workers wait in it until then.
    pub(crate) fn begin(&mut self, queues: Vec<Frames>) {
        for (feeder, frames) in self.feeders.iter_mut().zip(queues) {
            feeder.go(frames);
        }
    }

    /// Sends frames by the second port, once, and waits until all were taken up.
    pub(crate) fn feed(&mut self, bench: &Bench, queues: Vec<Frames>) -> Outcome<()> {
        self.begin(queues);
        let start = Instant::now();
        while self.feeders.iter().any(|feeder| !feeder.is_done()) {
            bench.stop.sleep(Duration::from_millis(10))?;
            if start.elapsed() > PATIENCE {
                return Err(self.process.trouble("does not read its first packets"));
            }
        }
        // What the pipes still hold is read within a blink; then a lap brings every flow to its established state.
        bench.stop.sleep(Duration::from_millis(50))?;
        let lap = u64::from(self.lap);
        let before = self.counts().rx_packets;
        while self.counts().rx_packets < before + lap {
            bench.stop.sleep(Duration::from_millis(10))?;
            if start.elapsed() > PATIENCE {
                return Err(self.process.trouble("receives nothing"));
            }
        }
        Ok(())
    }

    /// The process.
    pub(crate) const fn process(&self) -> &Process {
        &self.process
    }

    /// Its end of the rings.
    pub(crate) const fn end(&mut self) -> &mut ControlEnd {
        &mut self.end
    }

    /// Its counters.
    pub(crate) const fn counters(&self) -> &CountersReader {
        self.end.counters()
    }

    /// Its counters, all workers together.
    pub(crate) fn counts(&self) -> WorkerCounts {
        self.counters().worker_total()
    }

    /// Asks a question.
    pub(crate) fn ask(&mut self, request: Request) -> Outcome<Response> {
        let id = self
            .end
            .query(request)
            .map_err(|error| self.process.trouble(error))?;
        let start = Instant::now();
        loop {
            self.end.poll();
            while let Some(told) = self.end.next_output() {
                match told {
                    Output::Answer { id: answered, answer } if answered == id => {
                        return answer.map_err(|error| self.process.trouble(error));
                    }
                    Output::Answer { .. } | Output::Event(_) => {}
                    Output::Closed(why) => return Err(self.process.trouble(why)),
                }
            }
            if start.elapsed() > PATIENCE {
                return Err(self.process.trouble("does not answer"));
            }
            self.end.wait(Duration::from_millis(20));
        }
    }
}

/// A table for `flows` flows of all workers is filled to 85 %.
pub(crate) fn table_for(flows: u32) -> u64 {
    (u64::from(flows) * 100 / 85).max(1024)
}

/// MiB that flow tables for so many flows take, roughly: IPv4, and a quarter as many of IPv6.
pub(crate) fn tables_mb(flows: u32) -> u64 {
    table_for(flows) * 128 / (1 << 20)
}

fn configuration(device: &Device, flows_max: u64, pipes: &[PathBuf], socket: &str) -> String {
    let queues = device.cpus.len();
    let traffics = device.traffics();
    let pipes: Vec<String> = pipes
        .iter()
        .map(|pipe| format!("rx_pcap={}", pipe.display()))
        .collect();
    let lan: String = traffics
        .iter()
        .zip(NETWORKS)
        .enumerate()
        .map(|(number, (traffic, network))| {
            format!(
                "
[[port]]
name = \"lan{number}\"
device = \"vdev:{traffic}\"
addresses = [\"{network}.2/24\"]
queues = {}
",
                queues / traffics.len()
            )
        })
        .collect();
    format!(
        "[dataplane]
workers = {cpus:?}
flows_max = {flows_max}
services_max = 64
backends_max = 1024
idle = \"busy\"
huge_pages = \"on\"
memory_mb = {memory_mb}
mbufs = {mbufs}
mbuf_bytes = {MBUF_BYTES}
socket = {socket:?}
seed = 1
{lan}
[[port]]
name = \"first\"
device = \"vdev:net_pcap{seed},{pipes}\"
addresses = [\"203.0.113.2/24\"]
queues = {queues}
",
        cpus = device.cpus,
        memory_mb = device.memory_mb(),
        mbufs = device.mbufs(),
        seed = traffics.len(),
        pipes = pipes.join(","),
    )
}

/// Writes the frames of one queue into its pipe, on a thread of its own.
#[derive(Debug)]
struct Feeder {
    frames: Option<mpsc::Sender<Frames>>,
    thread: Option<JoinHandle<()>>,
}

impl Feeder {
    /// Makes the pipe. Its header is written as soon as the dataplane opens it, the frames when they are given.
    fn start(pipe: &PathBuf) -> Outcome<Self> {
        rustix::fs::mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .map_err(Trouble::system(format!("making {}", pipe.display())))?;
        let (sender, receiver) = mpsc::channel::<Frames>();
        let pipe = pipe.clone();
        let thread = std::thread::spawn(move || {
            let Ok(file) = File::options().write(true).open(pipe) else {
                return;
            };
            let Ok(mut capture) = Capture::new(BufWriter::with_capacity(1 << 16, file)) else {
                return;
            };
            let Ok(frames) = receiver.recv() else { return };
            for frame in frames {
                // The reader was killed: the run says why.
                if capture.push(&frame).is_err() {
                    return;
                }
            }
            let _ = capture.end();
        });
        Ok(Self {
            frames: Some(sender),
            thread: Some(thread),
        })
    }

    fn go(&mut self, frames: Frames) {
        // The thread is gone only when its pipe is; that is noticed by what does not arrive.
        let _ = self.frames.take().map(|sender| sender.send(frames));
    }

    fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}
