//! A server that still answers, but too late for its check: it gets no new connections, keeps those it has, and nothing
//! else follows from it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use weir_tests::lab::{LabError, Node, wait_until};
use weir_tests::stage::{Config, DETECTION, Stage, VIP};

use crate::on_stage;

/// What the check waits for an answer.
const TIMEOUT: Duration = Duration::from_millis(300);

/// Answers every request, after a while.
struct Slow {
    delay_ms: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Slow {
    fn start(node: &Node) -> Result<Self, LabError> {
        let listener = node.inside(|| {
            let listener = TcpListener::bind("0.0.0.0:80")?;
            listener.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(listener)
        })?;
        let listener = listener.map_err(|error| LabError::unexpected(format!("a slow server: {error}")))?;
        let (delay_ms, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (delay, stopped) = (Arc::clone(&delay_ms), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let delay = Arc::clone(&delay);
                        // It ends with its client.
                        thread::spawn(move || answer(stream, &delay));
                    }
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Ok(Self {
            delay_ms,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn answer(mut stream: TcpStream, delay_ms: &AtomicU64) {
    let (mut asked, mut buffer) = (Vec::new(), [0; 1024]);
    let ready = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_read_timeout(Some(Duration::from_secs(60))));
    while ready.is_ok() {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(len) => asked.extend(&buffer[..len]),
        }
        if asked.ends_with(b"\r\n\r\n") {
            asked.clear();
            thread::sleep(Duration::from_millis(delay_ms.load(Relaxed)));
            let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlate\n";
            if stream.write_all(text).is_err() {
                return;
            }
        }
    }
}

fn config() -> Config {
    let text = Config::new(2).to_toml(Path::new("{dir}"));
    let vrrp = format!(
        "[[vrrp]]\nname = 'VI_1'\nport = 'lan'\nvirtual_router_id = 51\nversion = 3\nadvert_interval_ms = 100\n\
         priority = 150\naddresses = ['{VIP}/24']\n"
    );
    Config {
        other: Some(text + "\n" + &vrrp),
        ..Config::new(2)
    }
}

fn vrrp(stage: &Stage) -> Result<Value, LabError> {
    Ok(stage.director.ctl_json("vrrp")?["vrrp"][0].clone())
}

#[test]
fn a_server_that_answers_too_late_is_drained_and_the_address_stays() {
    on_stage("server answers too late", 2, config(), |_, stage| {
        let node = stage.servers[1].node().clone();
        stage.servers[1].pause()?;
        stage.wait_in_service(1)?;
        let slow = Slow::start(&node)?;
        stage.wait_in_service(2)?;
        stage.wait_serving()?;
        let held = vrrp(stage)?;
        assert!(
            held["state"] == "active" && held["since_unix_ms"].is_u64(),
            "{held}"
        );

        // Connections to both; one of them to the server that becomes slow.
        let open = stage.client.node().inside(|| {
            let streams = (0..4).map(|_| TcpStream::connect((VIP, 80)));
            streams.collect::<Result<Vec<_>, _>>()
        })?;
        let mut open = open.map_err(|error| LabError::unexpected(error.to_string()))?;
        slow.delay_ms.store(2 * TIMEOUT.as_millis() as u64, Relaxed);
        stage.wait_in_service(1)?;
        wait_until("only the other one to serve", DETECTION, || {
            let replies = stage
                .client
                .get_many("http://192.0.2.100/", 6)
                .map_err(|error| error.to_string())?;
            let shares = stage.shares(&replies);
            (shares == [6, 0])
                .then_some(())
                .ok_or_else(|| format!("{replies:?}"))
        })?;
        let mut late = 0;
        for stream in &mut open {
            late += usize::from(ask(stream).map_err(|error| LabError::unexpected(error.to_string()))?);
        }
        assert!(late > 0, "its connections go on");
        let now = vrrp(stage)?;
        assert_eq!(
            (&now["state"], &now["since"]),
            (&held["state"], &held["since"]),
            "{now}"
        );

        slow.delay_ms.store(0, Relaxed);
        stage.wait_in_service(2)
    });
}

/// One request on an open connection; whether it was answered by the slow server.
fn ask(stream: &mut TcpStream) -> std::io::Result<bool> {
    stream.set_read_timeout(Some(DETECTION))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    // The page is a name and a line end, behind an empty line.
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend(&buffer[..len]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((_, page)) = text.split_once("\r\n\r\n")
            && page.ends_with('\n')
        {
            return Ok(page == "late\n");
        }
    }
}
