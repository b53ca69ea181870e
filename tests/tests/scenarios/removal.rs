//! A server leaves the configuration: its connections are reset at once, or go on as long as the drain lasts. Never silence.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use weir_tests::lab::{LabError, Node, wait_until};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, DETECTION, VIP};

use crate::modes::cast::{Family, Mode};
use crate::on_stage;
use crate::passive::{Scene, ask, both_ways, config, modes};

/// Connections of each mode, two to each server.
const CONNECTIONS: usize = 4;
/// What may pass between the question on a connection whose server is gone and the reset.
const RESET_MAX: Duration = Duration::from_secs(1);

/// The server that goes.
const SECOND: &str = "192.0.2.12";

/// What a client finds out about its connection.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Answered(String),
    Reset,
    Silent,
}

/// A connection that outlives its requests.
struct Connection {
    stream: TcpStream,
    server: String,
}

impl Connection {
    fn open(node: &Node, vip: &str) -> Result<Self, LabError> {
        let stream = node.inside(|| TcpStream::connect(vip))?;
        let stream = stream.map_err(|error| LabError::unexpected(format!("{vip}: {error}")))?;
        let mut connection = Self {
            stream,
            server: String::new(),
        };
        match connection.ask(DETECTION)? {
            Fate::Answered(server) => connection.server = server,
            other => return Err(LabError::unexpected(format!("{vip}: {other:?}"))),
        }
        Ok(connection)
    }

    /// One more request, with an answer that names the server.
    fn ask(&mut self, patience: Duration) -> Result<Fate, LabError> {
        let asked = self
            .stream
            .set_read_timeout(Some(patience))
            .and_then(|()| self.stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"));
        if let Err(error) = asked {
            return fate(&error);
        }
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        // The page is the server's name and a line end.
        while !answer.ends_with(b"\n")
            || !answer.windows(4).any(|four| four == b"\r\n\r\n")
            || answer.ends_with(b"\r\n")
        {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(LabError::unexpected("the server closed the connection")),
                Ok(len) => answer.extend(&buffer[..len]),
                Err(error) => return fate(&error),
            }
        }
        let text = String::from_utf8_lossy(&answer).into_owned();
        let page = text.split("\r\n\r\n").nth(1).unwrap_or_default();
        Ok(Fate::Answered(page.trim().to_owned()))
    }
}

fn fate(error: &std::io::Error) -> Result<Fate, LabError> {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(Fate::Reset),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(Fate::Silent),
        _ => Err(LabError::unexpected(error.to_string())),
    }
}

/// Connections of each mode, to both servers.
fn open_all(scene: &Scene) -> Result<Vec<(&'static Mode, Connection)>, LabError> {
    let mut open = Vec::new();
    for mode in modes() {
        for _ in 0..CONNECTIONS {
            let vip = format!("{}:80", mode.vip(Family::V4));
            open.push((mode, Connection::open(scene.client.node(), &vip)?));
        }
        let to = |server: &str| {
            let mut of_mode = open.iter().filter(|(other, _)| other.name == mode.name);
            of_mode.any(|(_, connection)| connection.server == server)
        };
        assert!(to("rs1") && to("rs2"), "{}: both have some", mode.name);
    }
    Ok(open)
}

#[test]
fn connections_of_a_removed_server_are_reset_within_a_second() {
    scenario("removal: cut", |lab| {
        let mut scene = Scene::start(lab, "on_removal = \"cut\"")?;
        let mut open = open_all(&scene)?;
        scene.director.apply(config("on_removal = \"cut\"", 1))?;
        for (mode, connection) in &mut open {
            let start = Instant::now();
            let fate = connection.ask(RESET_MAX)?;
            let expected = match connection.server.as_str() {
                "rs1" => Fate::Answered("rs1".to_owned()),
                _ => Fate::Reset,
            };
            assert_eq!(fate, expected, "{} to {}", mode.name, connection.server);
            eprintln!(
                "{} to {}: {fate:?} after {:?}",
                mode.name,
                connection.server,
                start.elapsed()
            );
        }
        scene.end()
    });
}

#[test]
fn datagrams_for_a_removed_server_go_to_another_at_once() {
    scenario("removal: datagrams", |lab| {
        let mut scene = Scene::start(lab, "on_removal = \"cut\"")?;
        let _echo = scene.let_first_answer()?;
        let mut open = Vec::new();
        for mode in both_ways() {
            let ports = scene.ports(mode)?;
            let answered = ask(&ports, DETECTION)?;
            assert_eq!(answered, ports.len(), "{}: by both servers", mode.name);
            open.push((mode, ports));
        }
        scene.director.apply(config("on_removal = \"cut\"", 1))?;
        for (mode, ports) in &open {
            let answered = ask(ports, RESET_MAX)?;
            assert_eq!(answered, ports.len(), "{}: by the one that is left", mode.name);
        }
        scene.end()
    });
}

#[test]
fn connections_of_a_removed_server_go_on_until_the_drain_is_over() {
    scenario("removal: drain", |lab| {
        let pool = "on_removal = \"drain\", drain_timeout_s = 3";
        let mut scene = Scene::start(lab, pool)?;
        let mut open = open_all(&scene)?;
        scene.director.apply(config(pool, 1))?;
        let start = Instant::now();
        for (mode, connection) in &mut open {
            let fate = connection.ask(DETECTION)?;
            // On a machine that was away for so long it is over already.
            if start.elapsed() < Duration::from_secs(2) {
                let expected = Fate::Answered(connection.server.clone());
                assert_eq!(fate, expected, "{} to {}", mode.name, connection.server);
            }
        }
        wait_until("the drains to be over", DETECTION, || {
            let events = scene
                .director
                .ctl(&["events"])
                .map_err(|error| error.to_string())?;
            let cut = events.matches("its flows are cut").count();
            (cut == modes().count()).then_some(()).ok_or(events)
        })?;
        for (mode, connection) in open
            .iter_mut()
            .filter(|(_, connection)| connection.server == "rs2")
        {
            wait_until(&format!("{} to be reset", mode.name), DETECTION, || {
                match connection.ask(RESET_MAX).map_err(|error| error.to_string())? {
                    Fate::Reset => Ok(()),
                    // The table without it may not be in force yet.
                    other => Err(format!("{other:?}")),
                }
            })?;
        }
        scene.end()
    });
}

#[test]
fn a_disabled_server_has_its_connections_reset_and_comes_back() {
    scenario("removal: disable", |lab| {
        let scene = Scene::start(lab, "")?;
        let mut open = open_all(&scene)?;
        for mode in modes() {
            let service = format!("{}-tcp-80", mode.name);
            scene.director.ctl(&["backend", "disable", &service, SECOND])?;
        }
        scene.wait_published()?;
        for (mode, connection) in &mut open {
            let fate = connection.ask(RESET_MAX)?;
            let expected = match connection.server.as_str() {
                "rs1" => Fate::Answered("rs1".to_owned()),
                _ => Fate::Reset,
            };
            assert_eq!(fate, expected, "{} to {}", mode.name, connection.server);
        }
        for mode in modes() {
            let service = format!("{}-tcp-80", mode.name);
            scene.director.ctl(&["backend", "enable", &service, SECOND])?;
        }
        scene.wait_published()?;
        open_all(&scene)?;
        scene.end()
    });
}

#[test]
fn connections_of_a_failed_server_that_is_not_to_keep_its_place_are_reset() {
    let text = Config::new(2).to_toml(Path::new("{dir}"));
    let config = Config {
        other: Some(text.replace("check = {", "pool = { inhibit_on_failure = false }\ncheck = {")),
        ..Config::new(2)
    };
    on_stage("removal: failure", 2, config, |lab, stage| {
        let vip = format!("{VIP}:80");
        let mut open = Vec::new();
        for _ in 0..CONNECTIONS {
            open.push(Connection::open(stage.client.node(), &vip)?);
        }
        lab.plug(stage.servers[1].node(), false)?;
        stage.wait_in_service(1)?;
        let to_it = open.iter_mut().filter(|connection| connection.server == "rs2");
        let mut resets = 0;
        for connection in to_it {
            wait_until("a reset", DETECTION, || {
                match connection.ask(RESET_MAX).map_err(|error| error.to_string())? {
                    Fate::Reset => Ok(()),
                    // The table without the server may not be in force yet.
                    other => Err(format!("{other:?}")),
                }
            })?;
            resets += 1;
        }
        assert!(resets > 0, "it had some");
        lab.plug(stage.servers[1].node(), true)?;
        stage.wait_in_service(2)
    });
}
