//! How long a client that sends through the shared address waits when the active director is killed, at the shortest
//! interval. A measurement that needs a quiet machine: `WEIR_KILLS=100` (`make bench-failover`) asks for a hundred kills.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use weir_tests::lab::{Lab, LabError, Node, wait_until};
use weir_tests::scenario::{binary, scenario};
use weir_tests::stage::{Config, Director, hold_quietly};

use super::pair::PATIENCE;

/// 99 of 100 kills are to cost less than this: three intervals of 10 ms, the skew of 2 ms, and the rest of the way.
const P99_MAX: Duration = Duration::from_millis(60);
const SERVICE: &str = "192.0.2.100:9000";
/// A state that is older has lasted.
const SETTLED: Duration = Duration::from_millis(1500);
/// The client asks this often.
const ASK_EVERY: Duration = Duration::from_millis(1);

fn config(number: u8) -> String {
    format!(
        "[dataplane]\nworkers = [0]\nflows_max = 65_536\nidle = 'adaptive'\nsocket = '{{dir}}/dataplane.sock'\n\
         [control]\nsocket = '{{dir}}/control.sock'\n\
         [[port]]\nname = 'lan'\ndevice = 'af_xdp:veth-lb'\nhost_interface = 'weir0'\naddresses = ['192.0.2.{number}/24']\n\
         [[vrrp]]\nname = 'VI_1'\nport = 'lan'\nvirtual_router_id = 51\nversion = 3\nadvert_interval_ms = 10\n\
         preempt = false\npriority = 200\naddresses = ['192.0.2.100/24']\n\
         [[service]]\nname = 'echo'\naddress = '{SERVICE}'\nprotocol = 'udp'\nscheduler = 'rr'\nforward = 'dr'\n\
         [[service.backend]]\naddress = '192.0.2.11:9000'\n"
    )
}

/// Answers every datagram, from the shared address.
fn echo(node: &Node) -> Result<(), LabError> {
    let bound = node.inside(|| UdpSocket::bind(SERVICE))?;
    let socket = bound.map_err(|source| io("bind the echo service", source))?;
    // Ends with the process of the test.
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            // What is lost is counted by who asked.
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
    Ok(())
}

fn io(what: &str, source: std::io::Error) -> LabError {
    LabError::Io {
        what: what.to_owned(),
        source,
    }
}

/// Asks until it is answered again after `since`, and for a while longer; the longest time without an answer.
///
/// Who kills also waits for the processes' end: in a thread of its own, or the client would wait for that too.
fn outage(
    socket: &UdpSocket,
    kill: impl FnOnce() -> Result<(), LabError> + Send,
) -> Result<Duration, LabError> {
    std::thread::scope(|threads| {
        let mut kill = Some(kill);
        let mut killer = None;
        let outage = ask(socket, || killer = kill.take().map(|kill| threads.spawn(kill)));
        if let Some(Ok(killed)) = killer.map(std::thread::ScopedJoinHandle::join) {
            killed?;
        }
        outage
    })
}

fn ask(socket: &UdpSocket, mut kill: impl FnMut()) -> Result<Duration, LabError> {
    let (mut buffer, mut last, mut longest) = ([0; 64], Instant::now(), Duration::ZERO);
    let start = Instant::now();
    let mut killed = None;
    while start.elapsed() < PATIENCE {
        let _ = socket.send(b"?");
        if socket.recv(&mut buffer).is_ok() {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        match killed {
            None if start.elapsed() > Duration::from_millis(200) => {
                longest = Duration::ZERO;
                kill();
                killed = Some(Instant::now());
            }
            // Long after the take-over, and served.
            Some(at)
                if at.elapsed() > Duration::from_millis(500)
                    && last.elapsed() < Duration::from_millis(50) =>
            {
                return Ok(longest);
            }
            None | Some(_) => {}
        }
    }
    Err(LabError::unexpected("nobody took over"))
}

/// Its state, once that has lasted: for a second after an announcement Linux takes no other one for the same address.
fn state(director: &Director) -> String {
    let shown = director.ctl_json("vrrp").unwrap_or_default();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let since = shown["vrrp"][0]["since_unix_ms"].as_u64().unwrap_or(u64::MAX);
    if now.saturating_sub(SETTLED) < Duration::from_millis(since) {
        return "new".to_owned();
    }
    shown["vrrp"][0]["state"].as_str().unwrap_or_default().to_owned()
}

fn measure(lab: &mut Lab, kills: usize) -> Result<Vec<Duration>, LabError> {
    let client = lab.add_node("client", "eth0")?;
    client.ip("address add 192.0.2.10/24 dev eth0")?;
    let server = lab.add_node("rs1", "eth0")?;
    hold_quietly(&server, "192.0.2.100")?;
    server.ip("address add 192.0.2.11/24 dev eth0")?;
    echo(&server)?;
    let mut directors = Vec::new();
    for number in 1..=2 {
        let node = lab.add_node(&format!("lb{number}"), "veth-lb")?;
        let config = Config {
            other: Some(config(number)),
            ..Config::new(1)
        };
        let mut director = Director::new(&node, lab.dir(), config)?;
        director.start_dataplane()?;
        director.start_control()?;
        directors.push(director);
    }
    let socket = client
        .inside(|| {
            let socket = UdpSocket::bind("192.0.2.10:0")?;
            socket.connect(SERVICE)?;
            socket.set_read_timeout(Some(ASK_EVERY))?;
            Ok(socket)
        })?
        .map_err(|source| io("open the client's socket", source))?;
    let mut outages = Vec::new();
    for _ in 0..kills {
        let active = wait_until("one active director and one backup", PATIENCE, || {
            let states: Vec<String> = directors.iter().map(state).collect();
            match states.iter().position(|state| state == "active") {
                Some(at) if states.iter().any(|state| state == "backup") => Ok(at),
                _ => Err(format!("{states:?}")),
            }
        })?;
        let victim = &mut directors[active];
        outages.push(outage(&socket, || victim.kill())?);
        directors[active].start_dataplane()?;
        directors[active].start_control()?;
    }
    outages.sort_unstable();
    Ok(outages)
}

/// Which build of weir was measured: the folder its programs are in.
fn build() -> String {
    let folder = binary("weir-dataplane")
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned));
    let name = folder.as_deref().and_then(Path::file_name);
    name.unwrap_or_default().to_string_lossy().into_owned()
}

#[test]
fn a_client_waits_for_a_killed_director() {
    let asked = std::env::var("WEIR_KILLS").ok();
    let Some(kills) = asked.and_then(|text| text.parse::<usize>().ok().filter(|kills| *kills > 0)) else {
        eprintln!("NOT RUN: a measurement; `make bench-failover` makes it");
        return;
    };
    scenario("directors: kills at an interval of 10 ms", |lab| {
        let outages = measure(lab, kills)?;
        let at = |percent: usize| outages[(outages.len() * percent).div_ceil(100).max(1) - 1];
        eprintln!(
            "{kills} kills of the active director ({} build): p50 {:.1?}, p99 {:.1?}, max {:.1?}; goal: p99 at most {P99_MAX:?}",
            build(),
            at(50),
            at(99),
            at(100)
        );
        assert!(
            at(99) <= P99_MAX,
            "99 of 100 kills were to cost at most {P99_MAX:?}: {outages:?}"
        );
        Ok(())
    });
}
