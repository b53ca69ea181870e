//! Every kind of check against real servers: up, down, slow, answering wrong; gone and back.
//!
//! One namespace holds the servers, another `weir-control` without a dataplane: checks need none. Each row of the table is a
//! service with a backend for each server it is tried on; what `weirctl backend` says of each must come to be what the row
//! says. Nothing is required to be so at once, so a slow machine only takes longer.

mod servers;
mod through;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use servers::{
    CLOSED, DNS, ECHO, GRPC, GRPC_SICK, HTTP, HTTPS, HTTPS_UNTRUSTED, MUTE, NONSENSE, POSTGRES, SMTP, Servers,
};
use weir_tests::lab::{Lab, LabError, Process, wait_until};
use weir_tests::scenario::{binary, scenario};

/// How long a verdict may take to show; on a quiet machine it is two seconds.
const VERDICT: Duration = Duration::from_secs(60);

const REFUSED: &str = "connection refused: nothing listens on that port";
const NO_ANSWER: &str = "connected, but no complete answer within the time allowed";
const NO_CONNECTION: &str = "no connection within the time allowed";

/// One check, and what it says of the server at each port.
struct Row {
    name: &'static str,
    protocol: &'static str,
    check: &'static str,
    /// Port, what is said while all servers are up, and while the good ones are down.
    backends: Vec<(u16, &'static str, &'static str)>,
}

/// A check over TCP: of a good server, of none, of a mute one and of one that talks nonsense.
fn tcp(
    name: &'static str,
    check: &'static str,
    good: u16,
    mute: &'static str,
    nonsense: &'static str,
) -> Row {
    Row {
        name,
        protocol: "tcp",
        check,
        backends: vec![
            (good, "passed", REFUSED),
            (CLOSED, REFUSED, REFUSED),
            (MUTE, mute, mute),
            (NONSENSE, nonsense, nonsense),
        ],
    }
}

/// The same over UDP.
fn udp(name: &'static str, check: &'static str, good: u16, nonsense: &'static str) -> Row {
    Row {
        protocol: "udp",
        ..tcp(name, check, good, NO_ANSWER, nonsense)
    }
}

fn rows() -> Vec<Row> {
    let secure = |name, check, port, said| Row {
        name,
        protocol: "tcp",
        check,
        backends: vec![(port, said, REFUSED)],
    };
    let untrusted = "the server's certificate is not trusted for its name";
    let not_http = "the answer is not HTTP/1";
    let other = "the answer is not what is expected";
    vec![
        tcp("tcp", "tcp = {}", HTTP, "passed", "passed"),
        tcp(
            "steps",
            r#"tcp = { steps = [{ send = "GET / HTTP/1.0\r\n\r\n" }, { regex = "^HTTP/1\\.[01] 200" }, { expect = "hello" }], reply_bytes_max = 1024 }"#,
            HTTP,
            NO_ANSWER,
            NO_ANSWER,
        ),
        tcp(
            "http",
            r#"http = { path = "/", regex = "^hello" }"#,
            HTTP,
            NO_ANSWER,
            not_http,
        ),
        tcp(
            "http-urls",
            r#"http = { path = "/", md5 = "b1946ac92492d2347c6235b4d2611184", version = "1.0", also = [
               { path = "/health", regex = "good", regex_absent = "bad" },
               { path = "/host", host = "www.example.net", status = [204] },
               { path = "/broken", status = [503] }] }"#,
            HTTP,
            NO_ANSWER,
            not_http,
        ),
        secure(
            "http-status",
            r#"http = { path = "/broken" }"#,
            HTTP,
            "HTTP status 503",
        ),
        secure(
            "http-digest",
            r#"http = { sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }"#,
            HTTP,
            "the answer's body has another digest",
        ),
        secure(
            "http-regex",
            r#"http = { regex = "^goodbye" }"#,
            HTTP,
            "the answer's body does not match",
        ),
        tcp(
            "https",
            r#"http = { host = "www.example.net", regex = "hello" }, tls = { ca = "{dir}/ca.pem" }"#,
            HTTPS,
            NO_CONNECTION,
            "the TLS handshake failed",
        ),
        secure("https-any", "http = {}, tls = {}", HTTPS_UNTRUSTED, "passed"),
        secure(
            "https-untrusted",
            r#"http = { host = "www.example.net" }, tls = { ca = "{dir}/ca.pem" }"#,
            HTTPS_UNTRUSTED,
            untrusted,
        ),
        secure(
            "https-name",
            r#"http = {}, tls = { ca = "{dir}/ca.pem", name = "other.example.net" }"#,
            HTTPS,
            untrusted,
        ),
        tcp(
            "smtp",
            "smtp = {}",
            SMTP,
            NO_ANSWER,
            "the answer is not SMTP reply",
        ),
        tcp(
            "postgres",
            r#"postgres = { user = "weir" }"#,
            POSTGRES,
            NO_ANSWER,
            "the answer is not PostgreSQL",
        ),
        tcp(
            "grpc",
            "grpc = {}",
            GRPC,
            NO_ANSWER,
            "the server does not speak the protocol of the check",
        ),
        secure(
            "grpc-sick",
            r#"grpc = { service = "shop" }"#,
            GRPC_SICK,
            "gRPC health status 2",
        ),
        udp(
            "dns",
            r#"dns = { name = "www.example.net", type = "A" }"#,
            DNS,
            "the answer is not DNS",
        ),
        udp(
            "udp",
            r#"udp = { send_hex = "01 02", expect_hex = "01 ??" }"#,
            ECHO,
            other,
        ),
        Row {
            name: "udp-silence",
            protocol: "udp",
            check: "udp = {}",
            backends: vec![(MUTE, "passed", "passed"), (CLOSED, REFUSED, REFUSED)],
        },
    ]
}

/// Checks that ask no port of the server, each with what it says at first and after a change.
const LOCAL: &[(&str, &str, &str, &str)] = &[
    ("ping", "ping = {}", "passed", "passed"),
    (
        "ping-nobody",
        r#"ping = {}, address = "192.0.2.99""#,
        NO_ANSWER,
        NO_ANSWER,
    ),
    (
        "file",
        r#"file = { path = "{dir}/weight" }"#,
        "passed, weight 7",
        "the answer is not a weight: write one number from 0 to 65535",
    ),
    (
        "file-missing",
        r#"file = { path = "{dir}/no-such" }"#,
        "the file is missing or cannot be read",
        "the file is missing or cannot be read",
    ),
    (
        "script",
        r#"script = { path = "/usr/bin/test", arguments = ["-e", "{dir}/weight"] }"#,
        "passed",
        "passed",
    ),
    (
        "script-fails",
        r#"script = { path = "/usr/bin/test", arguments = ["{port}", "-eq", "81"] }"#,
        "exit status 1",
        "exit status 1",
    ),
    (
        "script-weight",
        r#"script = { path = "/usr/bin/bash", arguments = ["-c", "exit 12"], dynamic = true }"#,
        "passed, weight 10",
        "passed, weight 10",
    ),
    (
        "script-hangs",
        r#"script = { path = "/usr/bin/sleep", arguments = ["60"] }"#,
        NO_ANSWER,
        NO_ANSWER,
    ),
    (
        "script-unsafe",
        r#"script = { path = "{dir}/weight" }"#,
        "this host could not do the check",
        "this host could not do the check",
    ),
];

fn config(dir: &Path) -> String {
    let shown = dir.display();
    let mut text = format!(
        "[dataplane]\nsocket = \"{shown}/dataplane.sock\"\n[control]\nsocket = \"{shown}/control.sock\"\n\
         [[port]]\nname = \"lan\"\ndevice = \"null\"\naddresses = [\"192.0.2.2/24\"]\n"
    );
    let mut number = 0;
    let mut service = |name: &str, protocol: &str, check: &str, ports: &[u16]| {
        number += 1;
        let pace = "interval_ms = 1000, timeout_ms = 900, rise = 1, fall = 1";
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[[service]]\nname = \"{name}\"\naddress = \"198.51.100.{number}:80\"\nprotocol = \"{protocol}\"\n\
             forward = \"nat\"\ncheck = {{ {}, {pace} }}\n",
            check.replace("{dir}", &shown.to_string()).replace('\n', " ")
        );
        for port in ports {
            let _ = write!(text, "[[service.backend]]\naddress = \"192.0.2.11:{port}\"\n");
        }
    };
    for row in rows() {
        let ports: Vec<u16> = row.backends.iter().map(|(port, ..)| *port).collect();
        service(row.name, row.protocol, row.check, &ports);
    }
    for (name, check, ..) in LOCAL {
        service(name, "tcp", check, &[80]);
    }
    text
}

/// Service, port and what the last run said.
type Said = (String, String, String);

/// Everything expected, while the good servers are up or down.
fn expected(up: bool) -> Vec<Said> {
    let mut all = Vec::new();
    for row in rows() {
        for (port, while_up, while_down) in row.backends {
            let said = if up { while_up } else { while_down };
            all.push((row.name.to_owned(), format!("192.0.2.11:{port}"), said.to_owned()));
        }
    }
    for (name, _, first, then) in LOCAL {
        let said = if up { first } else { then };
        all.push(((*name).to_owned(), "192.0.2.11:80".to_owned(), (*said).to_owned()));
    }
    all
}

fn said(socket: &Path) -> Result<Vec<Said>, LabError> {
    let text = servers::weirctl(socket, "backend --json")?;
    let view: Value = serde_json::from_str(&text)
        .map_err(|error| LabError::unexpected(format!("no JSON: {error}: {text}")))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = view["backends"].as_array().into_iter().flatten();
    Ok(rows
        .map(|row| {
            (
                text(&row["service"]),
                text(&row["address"]),
                text(&row["health"]["last_result"]),
            )
        })
        .collect())
}

/// Waits until each of `pending` has been said at least once.
fn wait_for(what: &str, socket: &Path, mut pending: Vec<Said>) -> Result<(), LabError> {
    wait_until(what, VERDICT, || {
        let now = said(socket).map_err(|error| error.to_string())?;
        pending.retain(|one| !now.contains(one));
        if pending.is_empty() {
            return Ok(());
        }
        let others: Vec<_> = now
            .iter()
            .filter(|(service, address, _)| pending.iter().any(|(s, a, _)| s == service && a == address))
            .collect();
        Err(format!("still waiting for {pending:?}, while it says {others:?}"))
    })
}

struct Checker {
    dir: PathBuf,
    _process: Process,
}

impl Checker {
    fn start(lab: &mut Lab, dir: &Path) -> Result<Self, LabError> {
        let node = lab.add_node("lb", "eth0")?;
        node.ip("address add 192.0.2.2/24 dev eth0")?;
        let path = dir.join("weir.toml");
        fs::write(&path, config(dir)).map_err(|error| LabError::unexpected(format!("weir.toml: {error}")))?;
        let mut command = node.command(&binary("weir-control")?.to_string_lossy());
        command.arg("--config").arg(&path);
        Ok(Self {
            dir: dir.to_owned(),
            _process: Process::start("weir-control", &mut command, &dir.join("control.log"))?,
        })
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("control.sock")
    }
}

fn write_weight(dir: &Path, text: &str) -> Result<(), LabError> {
    fs::write(dir.join("weight"), text).map_err(|error| LabError::unexpected(format!("weight: {error}")))
}

#[test]
fn every_kind_of_check_against_real_servers() {
    scenario("checks", |lab| {
        let dir = lab.dir().join("checks");
        let node = lab.add_node("rs1", "eth0")?;
        node.ip("address add 192.0.2.11/24 dev eth0")?;
        // Several checks a second ask closed UDP ports of this one host; by default it says so once a second.
        node.sysctl("net.ipv4.icmp_ratelimit", "0")?;
        Servers::prepare(&node, &dir)?;
        let _bad = servers::bad_servers(&node)?;
        let good = Servers::start(&node, &dir)?;
        write_weight(&dir, "7\n")?;
        let checker = Checker::start(lab, &dir)?;
        wait_for("the first verdicts", &checker.socket(), expected(true))?;

        drop(good);
        write_weight(&dir, "seven\n")?;
        wait_for("the servers to be missed", &checker.socket(), expected(false))?;

        let _good = Servers::start(&node, &dir)?;
        write_weight(&dir, "7\n")?;
        wait_for("the servers to be back", &checker.socket(), expected(true))
    });
}
