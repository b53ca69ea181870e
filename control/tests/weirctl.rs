//! The command as a process: exit status, what goes to which stream, and what is sent to the daemon.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::JoinHandle;

use serde_json::{Value, json};

fn weirctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weirctl"))
        .args(arguments)
        .output()
        .expect("weirctl runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn configs(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../configs")
        .join(file);
    path.to_str().expect("UTF-8").to_owned()
}

/// A daemon that answers one request with a fixed status and body, and tells what it was asked.
struct Daemon {
    _folder: tempfile::TempDir,
    socket: PathBuf,
    thread: JoinHandle<String>,
}

impl Daemon {
    fn answering(status: &'static str, body: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("control.sock");
        let listener = UnixListener::bind(&socket).expect("bound");
        let body = body.to_owned();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let request = read_request(&mut stream);
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(body.as_bytes()))
                .expect("written");
            request
        });
        Self {
            _folder: folder,
            socket,
            thread,
        }
    }

    /// Runs the command against this daemon; the second value is the request.
    fn run(self, arguments: &[&str]) -> (Output, String) {
        let socket = self.socket.to_str().expect("UTF-8");
        let output = weirctl(&[&["--socket", socket], arguments].concat());
        (output, self.thread.join().expect("the daemon"))
    }
}

fn read_request(stream: &mut UnixStream) -> String {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = stream.read(&mut chunk).expect("a request");
        request.extend_from_slice(&chunk[..length]);
        let so_far = String::from_utf8_lossy(&request);
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |n| n.parse().expect("a number"));
            if body.len() >= length {
                return so_far.into_owned();
            }
        }
    }
}

fn view(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/views")
        .join(name);
    std::fs::read_to_string(file).expect("a view")
}

#[test]
fn usage_is_2() {
    for arguments in [
        &["frobnicate"][..],
        &["service", "--watch=0"],
        &["explain", "icmp", "a", "b"],
        &["backend", "set", "web"],
    ] {
        let output = weirctl(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_absent_daemon_is_3_and_says_which_socket_and_how_to_start_it() {
    let output = weirctl(&["--socket", "/nonexistent/weir.sock", "status"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(output.stdout.is_empty());
    for part in [
        "/nonexistent/weir.sock",
        "systemctl start weir-control",
        "--socket",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let json: Value =
        serde_json::from_slice(&weirctl(&["--socket", "/nonexistent", "--json", "status"]).stderr)
            .expect("JSON");
    assert_eq!(json["schema"], "weir.error/1");
}

#[test]
fn a_silent_daemon_is_3() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control.sock");
    let _listener = UnixListener::bind(&socket).expect("bound");
    let output = weirctl(&[
        "--socket",
        socket.to_str().expect("UTF-8"),
        "--timeout-s",
        "1",
        "status",
    ]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("no answer within 1 s"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn config_check_needs_no_daemon() {
    let output = weirctl(&[
        "--socket",
        "/nonexistent",
        "config",
        "check",
        &configs("examples/nat.toml"),
    ]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output.stdout).contains("valid: 2 ports, 2 services, 5 backends"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn an_invalid_configuration_is_4_with_place_and_fix() {
    let file = configs("tests/broken/key_misspelt.toml");
    for command in ["check", "diff", "apply"] {
        let output = weirctl(&["--socket", "/nonexistent", "config", command, &file]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{command}: {message}");
        assert!(output.stdout.is_empty());
        assert!(
            message.contains("key_misspelt.toml:9:1") && message.contains("did you mean `scheduler`?"),
            "{message}"
        );
    }
    let output = weirctl(&["--json", "config", "check", &file]);
    let json: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(
        (&json["diagnostics"][0]["line"], &json["diagnostics"][0]["column"]),
        (&json!(9), &json!(1))
    );
}

#[test]
fn two_files_are_compared_without_a_daemon() {
    let (old, new) = (configs("examples/dr.toml"), configs("examples/tunnel.toml"));
    let output = weirctl(&["--socket", "/nonexistent", "config", "diff", &old, &new]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output.stdout).contains("~ service web: forward \"dr\" -> \"tunnel\""),
        "{}",
        text(&output.stdout)
    );
    let json: Value =
        serde_json::from_slice(&weirctl(&["--json", "config", "diff", &old, &old]).stdout).expect("JSON");
    assert_eq!(json["changes"], json!([]));
}

#[test]
fn a_view_is_printed_plain_into_a_pipe() {
    let (output, request) = Daemon::answering("200 OK", &view("services.json")).run(&["service"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), view("services.txt"));
    assert!(request.starts_with("GET /v1/services HTTP/1.1"), "{request}");
}

#[test]
fn json_is_the_answer_itself_also_keys_that_are_not_known_here() {
    let body = view("status.json").replacen('{', "{\"later\": 1,", 1);
    let (output, _) = Daemon::answering("200 OK", &body).run(&["--json", "status"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found, serde_json::from_str::<Value>(&body).expect("JSON"));
}

#[test]
fn one_service_can_be_asked_for() {
    let (output, _) = Daemon::answering("200 OK", &view("services.json")).run(&["service", "dns"]);
    assert!(
        text(&output.stdout).starts_with("dns  udp"),
        "{}",
        text(&output.stdout)
    );
    let (output, _) = Daemon::answering("200 OK", &view("services.json")).run(&["service", "nosuch"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there is no service \"nosuch\""));
}

#[test]
fn flow_filters_are_sent() {
    let arguments = [
        "flow",
        "--client",
        "2001:db8::7",
        "--service",
        "web",
        "--backend",
        "192.0.2.11:80",
        "--limit",
        "5",
    ];
    let (output, request) = Daemon::answering("200 OK", &view("flows.json")).run(&arguments);
    assert_eq!(text(&output.stdout), view("flows.txt"));
    let line = request.lines().next().unwrap_or_default();
    assert_eq!(
        line,
        "GET /v1/flows?client=2001%3Adb8%3A%3A7&service=web&backend=192.0.2.11%3A80&limit=5 HTTP/1.1"
    );
}

#[test]
fn a_weight_is_patched() {
    let body = view("backends.json");
    let (output, request) =
        Daemon::answering("200 OK", &body).run(&["backend", "set", "web", "192.0.2.11:80", "--weight", "5"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(request.starts_with("PATCH /v1/backends HTTP/1.1"), "{request}");
    let (_, sent) = request.split_once("\r\n\r\n").expect("a body");
    let sent: Value = serde_json::from_str(sent).expect("JSON");
    assert_eq!(
        sent,
        json!({"service": "web", "backend": "192.0.2.11:80", "weight": 5, "reset": false})
    );
    let (_, request) = Daemon::answering("200 OK", &body).run(&["backend", "drain", "web", "rs1"]);
    assert!(
        request.ends_with(r#"{"service":"web","backend":"rs1","drain":true,"reset":false}"#),
        "{request}"
    );
}

#[test]
fn a_refusal_is_1_with_the_daemons_words() {
    let body = r#"{"schema":"weir.error/1","error":"no service \"x\"","help":"services: web"}"#;
    let (output, _) = Daemon::answering("404 Not Found", body).run(&["backend", "drain", "x", "y"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "weirctl: no service \"x\"\n  services: web\n"
    );
}

#[test]
fn an_answer_that_makes_no_sense_is_1() {
    for body in ["", "<html>", "[]", r#"{"schema":"weir.services/1"}"#] {
        let (output, _) = Daemon::answering("200 OK", body).run(&["service"]);
        assert_eq!(output.status.code(), Some(1), "{body}");
        assert!(
            text(&output.stderr).contains("does not understand"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn apply_sends_the_text_and_reports_the_generation() {
    let file = configs("examples/dr.toml");
    let body = json!({"schema": "weir.config-result/1", "file": file, "valid": true, "applied": true, "generation": 9, "diagnostics": [],
        "changes": [{"kind": "added", "object": "service web", "needs_restart": false}]});
    let (output, request) = Daemon::answering("200 OK", &body.to_string()).run(&["config", "apply", &file]);
    assert_eq!(
        text(&output.stdout),
        "+ service web\napplied as generation 9\n",
        "{}",
        text(&output.stderr)
    );
    assert!(request.starts_with("POST /v1/config/apply HTTP/1.1"), "{request}");
    let (_, sent) = request.split_once("\r\n\r\n").expect("a body");
    let sent: Value = serde_json::from_str(sent).expect("JSON");
    assert_eq!(sent["text"], std::fs::read_to_string(&file).expect("text"));
}

#[test]
fn a_confirmation_is_sent() {
    let file = configs("examples/dr.toml");
    let refusal =
        r#"{"schema":"weir.error/1","error":"not applied without confirmation","help":"add --confirm"}"#;
    let (output, request) = Daemon::answering("409 Conflict", refusal).run(&["config", "apply", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(request.starts_with("POST /v1/config/apply HTTP/1.1"), "{request}");
    assert!(text(&output.stderr).contains("add --confirm"));
    let (_, request) =
        Daemon::answering("409 Conflict", refusal).run(&["config", "apply", "--confirm", &file]);
    assert!(
        request.starts_with("POST /v1/config/apply?confirm=true HTTP/1.1"),
        "{request}"
    );
}

#[test]
fn a_configuration_the_daemon_finds_invalid_is_4() {
    let fault = json!({"file": "weir.toml", "line": 3, "column": 1, "message": "m", "help": "h", "rendered": "error: m at weir.toml:3:1"});
    let body = json!({"schema": "weir.config-result/1", "file": "weir.toml", "valid": false, "applied": false, "diagnostics": [fault]});
    let daemon = Daemon::answering("422 Unprocessable Entity", &body.to_string());
    let (output, _) = daemon.run(&["config", "apply", &configs("examples/dr.toml")]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        text(&output.stderr).contains("error: m at weir.toml:3:1"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn completion_and_manual_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = weirctl(&["completion", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("neighbor"), "{shell}");
    }
    assert!(text(&weirctl(&["man"]).stdout).contains("weirctl\\-service(8)"));
    let folder = tempfile::tempdir().expect("a folder");
    weirctl(&["man", folder.path().to_str().expect("UTF-8")]);
    assert!(folder.path().join("weirctl-backend-drain.8").exists());
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weirctl"))
        .args(["config", "reference"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("weirctl runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the end");
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}
