//! Servers without any check: what the traffic itself shows of them, in each mode; and a flood, which shows nothing.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_tests::lab::{Client, Decapsulator, Injector, Lab, LabError, Node, WebServer, wait_until};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, Director};

use crate::modes::cast::{Family, MODES, Mode, add_address, prepare_server};

/// Everything here on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
/// A connection through a living server takes a millisecond.
const KNOCK_MAX: Duration = Duration::from_millis(300);
/// Knocks at once; every other one meets the first server.
const KNOCKS: usize = 24;
/// Where datagrams are answered.
const ECHO: u16 = 5300;

/// One of each way to a server.
pub(crate) fn modes() -> impl Iterator<Item = &'static Mode> {
    MODES
        .iter()
        .filter(|mode| !["ipip-crossed", "gre-checksum"].contains(&mode.name))
}

/// Those by which answers to datagrams pass.
pub(crate) fn both_ways() -> impl Iterator<Item = &'static Mode> {
    modes().filter(|mode| !mode.on_servers())
}

fn tcp_of(mode: &Mode) -> String {
    format!("{}-tcp-80", mode.name)
}

/// One service for each mode, and those for datagrams by NAT and FULLNAT, each with the same servers and no check.
pub(crate) fn config(pool: &str, servers: u8) -> Config {
    let mut text = r#"[dataplane]
workers = [0]
flows_max = 65_536
idle = "adaptive"
socket = "{dir}/dataplane.sock"

[control]
socket = "{dir}/control.sock"

[[port]]
name = "lan"
device = "af_xdp:veth-lb"
host_interface = "weir0"
addresses = ["192.0.2.2/24", "203.0.113.2/24"]
"#
    .to_owned();
    for mode in modes() {
        text += &mode.service(Family::V4, "tcp", 80, servers);
        if !mode.on_servers() {
            text += &mode.service(Family::V4, "udp", ECHO, servers);
        }
    }
    let pool = format!("scheduler = \"rr\"\npool = {{ {pool} }}\n");
    Config {
        other: Some(text.replace("scheduler = \"rr\"\n", &pool)),
        ..Config::new(2)
    }
}

/// A client, two servers without a check, and the services of [`config`].
pub(crate) struct Scene {
    pub(crate) client: Client,
    pub(crate) director: Director,
    servers: Vec<WebServer>,
    _tunnels: Vec<Decapsulator>,
    _echo: Vec<Echo>,
}

impl Scene {
    /// The first server answers no datagrams: its port is closed.
    pub(crate) fn start(lab: &mut Lab, pool: &str) -> Result<Self, LabError> {
        let client = lab.add_node("client", "eth0")?;
        for address in [Family::V4.near(10), Family::V4.far(10)] {
            add_address(&client, "eth0", &address)?;
        }
        let (mut servers, mut tunnels, mut echo) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=2 {
            let node = lab.add_node(&format!("rs{number}"), "eth0")?;
            prepare_server(&node, number)?;
            tunnels.push(Decapsulator::start(&node, "eth0")?);
            servers.push(WebServer::start(&node, lab.dir(), 80)?);
            if number == 2 {
                echo.push(Echo::start(&node)?);
            }
        }
        let node = lab.add_node("lb", "veth-lb")?;
        let mut director = Director::new(&node, lab.dir(), config(pool, 2))?;
        director.start_dataplane()?;
        director.start_control()?;
        let scene = Self {
            client: Client::new(&client, lab.dir()),
            director,
            servers,
            _tunnels: tunnels,
            _echo: echo,
        };
        wait_until("every service to serve", PATIENCE, || {
            let answered = scene.knock_all();
            answered
                .iter()
                .all(|answered| *answered == KNOCKS)
                .then_some(())
                .ok_or_else(|| format!("{answered:?} of {KNOCKS} answered"))
        })?;
        Ok(scene)
    }

    /// Connects to a service many times at once; how often somebody answered.
    fn knock(&self, mode: &Mode) -> usize {
        let address: SocketAddr = match format!("{}:80", mode.vip(Family::V4)).parse() {
            Ok(address) => address,
            Err(_) => return 0,
        };
        let all = || {
            thread::scope(|scope| {
                let knocks: Vec<_> = (0..KNOCKS)
                    .map(|_| {
                        scope.spawn(|| {
                            self.client
                                .node()
                                .inside(|| TcpStream::connect_timeout(&address, KNOCK_MAX))
                        })
                    })
                    .collect();
                let answers = knocks
                    .into_iter()
                    .map(|knock| matches!(knock.join(), Ok(Ok(Ok(_)))));
                answers.filter(|answered| *answered).count()
            })
        };
        all()
    }

    /// The same at every service at once, in the order of the modes.
    fn knock_all(&self) -> Vec<usize> {
        thread::scope(|scope| {
            let knocks: Vec<_> = modes().map(|mode| scope.spawn(|| self.knock(mode))).collect();
            knocks
                .into_iter()
                .map(|knock| knock.join().unwrap_or(0))
                .collect()
        })
    }

    /// Sends a datagram from each of many ports; how often somebody answered.
    fn ask(&self, mode: &Mode) -> Result<usize, LabError> {
        ask(&self.ports(mode)?, Duration::from_millis(50))
    }

    /// Many ports of the client, each with a flow to the service to come.
    pub(crate) fn ports(&self, mode: &Mode) -> Result<Vec<UdpSocket>, LabError> {
        let address = format!("{}:{ECHO}", mode.vip(Family::V4));
        let open = || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect(&address)?;
            Ok(socket)
        };
        let opened: std::io::Result<Vec<UdpSocket>> = self
            .client
            .node()
            .inside(|| (0..KNOCKS).map(|_| open()).collect())?;
        opened.map_err(|error| LabError::unexpected(format!("ask by datagrams: {error}")))
    }

    /// Has the first server answer datagrams too, for as long as the value lives.
    pub(crate) fn let_first_answer(&self) -> Result<Echo, LabError> {
        Echo::start(self.servers[0].node())
    }

    fn states(&self, service: &str) -> Result<Vec<String>, LabError> {
        let answer = self.director.ctl_json("backend")?;
        let rows = answer["backends"].as_array().into_iter().flatten();
        let rows = rows.filter(|row| row["service"] == service);
        let word = |row: &Value| row["state"].as_str().unwrap_or_default().to_owned();
        Ok(rows.map(word).collect())
    }

    /// What control said of the traffic of a service's backends.
    fn said(&self, service: &str) -> Result<Vec<String>, LabError> {
        let answer = self.director.ctl_json("events")?;
        let rows = answer["events"].as_array().into_iter().flatten();
        let rows = rows.filter(|row| row["kind"] == "passive");
        let texts = rows.filter_map(|row| row["text"].as_str());
        Ok(texts
            .filter(|text| text.contains(&format!("backend {service} ")))
            .map(str::to_owned)
            .collect())
    }

    /// Waits, while clients come, until the first server of each of `services` is in this state.
    fn wait_first(&self, services: &[String], state: &str) -> Result<(), LabError> {
        for service in services {
            wait_until(&format!("rs1 of {service} to be {state}"), PATIENCE, || {
                self.come().map_err(|error| error.to_string())?;
                let states = self.states(service).map_err(|error| error.to_string())?;
                (states == [state, "up"]).then_some(()).ok_or_else(|| {
                    let said = self.said(service).unwrap_or_default();
                    format!("{states:?}, {said:?}")
                })
            })?;
        }
        Ok(())
    }

    /// Clients of every service.
    fn come(&self) -> Result<(), LabError> {
        self.knock_all();
        both_ways().try_for_each(|mode| self.ask(mode).map(drop))
    }

    /// Waits until the dataplane has what control decided.
    pub(crate) fn wait_published(&self) -> Result<(), LabError> {
        wait_until("what control decided to be in force", PATIENCE, || {
            let view = self.director.view().map_err(|error| error.to_string())?;
            view.is_published()
                .then_some(())
                .ok_or_else(|| view.status.to_string())
        })
    }

    pub(crate) fn end(&self) -> Result<(), LabError> {
        let balance = self.director.settled_balance()?;
        assert!(balance.is_even() && balance.rx > 0, "{balance:?}");
        Ok(())
    }
}

/// Sends a datagram from each port; how many are answered in time.
pub(crate) fn ask(ports: &[UdpSocket], patience: Duration) -> Result<usize, LabError> {
    let answers = || {
        for port in ports {
            port.set_read_timeout(Some(patience))?;
            port.send(b"anybody there?")?;
        }
        let answers = ports.iter().map(|port| port.recv(&mut [0; 64]).is_ok());
        Ok::<_, std::io::Error>(answers.filter(|answered| *answered).count())
    };
    answers().map_err(|error| LabError::unexpected(format!("ask by datagrams: {error}")))
}

/// Answers datagrams.
pub(crate) struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start(node: &Node) -> Result<Self, LabError> {
        let socket = node.inside(|| {
            let socket = UdpSocket::bind(("0.0.0.0", ECHO))?;
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            Ok::<_, std::io::Error>(socket)
        })?;
        let socket = socket.map_err(|error| LabError::unexpected(format!("answer datagrams: {error}")))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 64];
            while !stopped.load(Relaxed) {
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    // Who has gone away needs no answer.
                    let _ = socket.send_to(&buffer[..len], from);
                }
            }
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn a_silent_server_is_taken_out_by_its_traffic_and_comes_back() {
    scenario("passive: a silent server", |lab| {
        let scene = Scene::start(
            lab,
            "passive = { fall = 2, decides = true, hold_s = 2, hold_max_s = 4 }",
        )?;
        let services: Vec<String> = modes().map(tcp_of).collect();
        // Nobody listens on rs1's port: it says so, and control hears it.
        for mode in both_ways() {
            let service = format!("{}-udp-{ECHO}", mode.name);
            wait_until("a server without datagrams to be out", PATIENCE, || {
                scene.ask(mode).map_err(|error| error.to_string())?;
                let said = scene.said(&service).map_err(|error| error.to_string())?;
                let out = said.iter().any(|text| text.contains("it is out for 2 s"));
                out.then_some(()).ok_or_else(|| format!("{service}: {said:?}"))
            })?;
        }
        for service in &services {
            assert_eq!(
                scene.said(service)?,
                Vec::<String>::new(),
                "{service}: all is well"
            );
        }

        let node = scene.servers[0].node();
        node.run("nft", "add table inet silent")?;
        node.run(
            "nft",
            "add chain inet silent in { type filter hook input priority 0 ; }",
        )?;
        node.run("nft", "add rule inet silent in tcp dport 80 drop")?;
        scene.wait_first(&services, "down")?;
        let why = scene.director.ctl(&["check", &services[0]])?;
        assert!(why.contains("traffic"), "{why}");
        // It is tried again, fails again, and stays out for longer.
        for service in &services {
            wait_until(&format!("{service} to wait longer"), PATIENCE, || {
                scene.come().map_err(|error| error.to_string())?;
                let said = scene.said(service).map_err(|error| error.to_string())?;
                let longer = said.iter().any(|text| text.contains("it is out for 4 s"));
                longer.then_some(()).ok_or_else(|| format!("{said:?}"))
            })?;
        }

        node.run("nft", "delete table inet silent")?;
        let _echo = Echo::start(node)?;
        scene.wait_first(&services, "up")?;
        wait_until("all to be answered", PATIENCE, || {
            let mut answered = scene.knock_all();
            for mode in both_ways() {
                answered.push(scene.ask(mode).map_err(|error| error.to_string())?);
            }
            let all = answered.iter().all(|answered| *answered == KNOCKS);
            all.then_some(()).ok_or_else(|| format!("{answered:?}"))
        })?;
        scene.end()
    });
}

/// SYNs from addresses that do not exist, to every service by turns.
struct Flood {
    injector: Injector,
    balancer: [u8; 6],
    sent: u32,
}

impl Flood {
    fn send(&mut self) -> Result<(), LabError> {
        for mode in modes() {
            self.sent += 1;
            let vip = mode.vip(Family::V4);
            let vip: std::net::Ipv4Addr = vip.parse().map_err(|_| LabError::unexpected(vip))?;
            let frame = syn(self.balancer, self.sent, vip);
            self.injector.send(&frame)?;
        }
        Ok(())
    }
}

/// A SYN of its own source for each number, from 198.18.0.0/15.
fn syn(to: [u8; 6], number: u32, vip: std::net::Ipv4Addr) -> Vec<u8> {
    let [_, high, middle, low] = number.to_be_bytes();
    let source = [198, 18 + (high & 1), middle, low];
    let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 10], to)
        .ipv4(source, vip.octets(), 64)
        .tcp(1024 + (number % 50_000) as u16, 80, number, 64_240)
        .syn();
    let mut frame = Vec::with_capacity(builder.size(0));
    // Writing to memory cannot fail.
    let _ = builder.write(&mut frame, &[]);
    frame
}

#[test]
fn a_flood_of_syns_takes_no_server_out() {
    scenario("passive: a flood", |lab| {
        // One sign is enough here.
        let scene = Scene::start(lab, "passive = { fall = 1, decides = true, hold_s = 60 }")?;
        let mut flood = Flood {
            injector: Injector::open(scene.client.node(), "eth0")?,
            balancer: scene.director.node().mac("veth-lb")?,
            sent: 0,
        };
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            // Between them few clients: more or fewer of them meet each server.
            for _ in 0..500 {
                flood.send()?;
            }
            for mode in modes() {
                let reply = scene.client.get(&mode.url(Family::V4, ""))?;
                assert!(reply.is_good(), "{}: {reply:?}", mode.name);
            }
        }
        let opened = scene.director.ctl_json("status")?;
        for mode in modes() {
            let service = tcp_of(mode);
            assert_eq!(scene.said(&service)?, Vec::<String>::new(), "{service}: {opened}");
            assert_eq!(scene.states(&service)?, ["up", "up"], "{service}");
        }
        assert!(flood.sent > 3_000, "only {} SYNs", flood.sent);
        eprintln!("{} SYNs, each from an address of its own", flood.sent);
        scene.end()
    });
}
