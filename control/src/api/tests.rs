//! The API over a real socket, with honest and hostile clients.

use super::*;
use crate::daemon::{Daemon, Options, Request};
use serde_json::Value;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

const CONFIG: &str = r#"
    [[port]]
    name = "lan"
    device = "null"
    addresses = ["192.0.2.2/24"]
    [[service]]
    name = "web"
    address = "192.0.2.100:80"
    forward = "nat"
    check = { http = { path = "/ready" }, interval_ms = 86400000 }
    [[service.backend]]
    address = "192.0.2.11:80"
    name = "one"
    [[service.backend]]
    address = "192.0.2.12:80"
    [[service.backend]]
    address = "192.0.2.12:81"
"#;

struct Bench {
    path: PathBuf,
    requests: Requests,
    stop: Option<oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/control.sock");
        let (daemon, requests) = Daemon::start(Options {
            file: folder.path().join("weir.toml"),
            config: weir_configs::parse(CONFIG, "weir.toml").unwrap(),
            dataplane_socket: folder.path().join("dataplane.sock"),
            seed: 1,
            node: "lvs1".into(),
        })
        .unwrap();
        tokio::spawn(daemon.run());
        let socket = ApiSocket::bind(&path).unwrap();
        let (stop, stopping) = oneshot::channel();
        let server = tokio::spawn({
            let requests = requests.clone();
            async move {
                let stopping = async { drop(stopping.await) };
                serve(&socket, requests, stopping).await.unwrap();
            }
        });
        Self {
            path,
            requests,
            stop: Some(stop),
            server,
            _folder: folder,
        }
    }

    /// Sends bytes, returns everything that comes back.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.path).await.unwrap();
        // A server that has heard enough may hang up before it has read all.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Status and JSON body of a request.
    async fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let answer = self.raw(request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, "").await
    }
}

fn request(text: &str) -> String {
    serde_json::json!({ "file": "new.toml", "text": text }).to_string()
}

#[tokio::test]
async fn views_without_a_dataplane_say_so() {
    let bench = Bench::start();
    let (status, body) = bench.get("/v1/status").await;
    assert_eq!((status, &body["schema"]), (200, &"weir.status/1".into()));
    assert_eq!(
        (&body["services"], &body["dataplane"]["connected"]),
        (&1.into(), &false.into())
    );
    assert_eq!(
        body["backends"],
        serde_json::json!({"total": 3, "up": 0, "down": 0, "drained": 0, "checking": 3})
    );
    assert!(
        body["started_at"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{body}"
    );
    let (status, body) = bench.get("/v1/services").await;
    assert_eq!(
        (status, body["services"][0]["backends"].as_array().map(Vec::len)),
        (200, Some(3))
    );
    let (status, body) = bench.get("/v1/config").await;
    assert_eq!(status, 200);
    assert!(weir_configs::parse(body["toml"].as_str().unwrap(), "again").is_ok());
    for path in [
        "/v1/ports",
        "/v1/workers",
        "/v1/neighbors",
        "/v1/flows",
        "/v1/drops",
    ] {
        let (status, body) = bench.get(path).await;
        assert_eq!(
            (status, &body["schema"]),
            (503, &"weir.error/1".into()),
            "{path}: {body}"
        );
        assert!(
            body["help"]
                .as_str()
                .is_some_and(|help| help.contains("weir-dataplane")),
            "{path}: {body}"
        );
    }
}

#[tokio::test]
async fn backends_are_changed_and_shown() {
    let bench = Bench::start();
    let patch = |body: &'static str| bench.call("PATCH", "/v1/backends", body);
    let (status, body) = patch(r#"{"service": "web", "backend": "one", "weight": 7}"#).await;
    assert_eq!(
        (status, &body["backends"][0]["weight"]),
        (200, &7.into()),
        "{body}"
    );
    assert_eq!(body["backends"][0]["weight_override"], 7);
    assert_eq!(body["backends"].as_array().map(Vec::len), Some(1));
    let (_, body) = patch(r#"{"service": "web", "backend": "192.0.2.11", "drain": true}"#).await;
    assert_eq!(
        (&body["backends"][0]["state"], &body["backends"][0]["weight"]),
        (&"draining".into(), &0.into())
    );
    let (_, body) = patch(r#"{"service": "web", "backend": "192.0.2.11:80", "reset": true}"#).await;
    assert_eq!(
        (&body["backends"][0]["state"], &body["backends"][0]["weight"]),
        (&"checking".into(), &1.into())
    );
    for (body, expected) in [
        (r#"{"service": "web", "backend": "192.0.2.12", "weight": 1}"#, 400),
        (r#"{"service": "web", "backend": "192.0.2.99", "weight": 1}"#, 404),
        (r#"{"service": "nope", "backend": "one", "weight": 1}"#, 404),
        (r#"{"service": "web", "backend": "one"}"#, 400),
        (r#"{"service": "web", "backend": "one", "weight": 70000}"#, 400),
        (r#"{"service": "web", "backend": "one", "wait": 1}"#, 400),
        (
            r#"{"service": "web", "backend": "one", "weight": 1, "reset": true}"#,
            400,
        ),
        ("{", 400),
        ("", 400),
    ] {
        let (status, answer) = patch(body).await;
        assert_eq!(
            (status, &answer["schema"]),
            (expected, &"weir.error/1".into()),
            "{body}: {answer}"
        );
    }
}

#[tokio::test]
async fn checks_pools_and_maintenance_are_shown() {
    let bench = Bench::start();
    let (status, body) = bench.get("/v1/checks").await;
    assert_eq!((status, &body["schema"]), (200, &"weir.checks/1".into()));
    let checks = body["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 3, "{body}");
    assert_eq!(checks[0]["name"], "one");
    assert_eq!(
        (&checks[0]["state"], &checks[0]["kind"]),
        (&"checking".into(), &"http".into())
    );
    assert_eq!(checks[2]["target"], "192.0.2.12:81");

    let (status, body) = bench.get("/v1/maintenance").await;
    assert_eq!((status, &body["maintenance"]), (200, &Value::Array(vec![])));
    let unknown = r#"{"backend":"192.0.2.77","on":true}"#;
    let (status, body) = bench.call("POST", "/v1/maintenance", unknown).await;
    assert_eq!(status, 404, "{body}");

    let disable = r#"{"service":"web","backend":"one","disable":true}"#;
    let (status, body) = bench.call("PATCH", "/v1/backends", disable).await;
    assert_eq!(
        (status, &body["backends"][0]["state"]),
        (200, &"disabled".into()),
        "{body}"
    );
    let (_, body) = bench.get("/v1/services").await;
    let pool = &body["services"][0]["pool"];
    assert_eq!(
        (&pool["quorum_up"], &pool["live_weight"]),
        (&true.into(), &2.into()),
        "{body}"
    );
    let (_, events) = bench.get("/v1/events").await;
    assert_eq!(events["events"][0]["kind"], "changed", "{events}");
}

#[tokio::test]
async fn configurations_are_checked_compared_and_applied() {
    let bench = Bench::start();
    let more = format!("{CONFIG}[[service.backend]]\naddress = \"192.0.2.13:80\"\n");
    let (status, body) = bench.call("POST", "/v1/config/check", &request(&more)).await;
    assert_eq!(
        (status, &body["valid"], &body["applied"]),
        (200, &true.into(), &false.into())
    );
    let (status, body) = bench.call("POST", "/v1/config/diff", &request(&more)).await;
    assert_eq!(
        (status, &body["changes"][0]["object"]),
        (200, &"service web backend 192.0.2.13:80".into())
    );
    let (_, before) = bench.get("/v1/backends").await;
    assert_eq!(
        before["backends"].as_array().map(Vec::len),
        Some(3),
        "comparing changes nothing"
    );
    let (status, body) = bench.call("POST", "/v1/config/apply", &request(&more)).await;
    assert_eq!((status, &body["applied"]), (200, &true.into()), "{body}");
    let (_, after) = bench.get("/v1/backends").await;
    assert_eq!(after["backends"].as_array().map(Vec::len), Some(4));
    for path in ["check", "diff", "apply"] {
        let (status, body) = bench
            .call(
                "POST",
                &format!("/v1/config/{path}"),
                &request("[[service]]\nname = 3\n"),
            )
            .await;
        assert_eq!((status, &body["valid"]), (422, &false.into()), "{path}: {body}");
        assert!(
            body["diagnostics"][0]["line"]
                .as_u64()
                .is_some_and(|line| line > 0),
            "{path}: {body}"
        );
    }
    let (status, body) = bench.call("POST", "/v1/config/apply", &request("")).await;
    assert_eq!(status, 409, "{body}");
    assert!(
        body["error"]
            .as_str()
            .is_some_and(|error| error.contains("confirmation")),
        "{body}"
    );
    assert_eq!(
        bench.get("/v1/status").await.1["config"]["last_error"],
        body["error"]
    );
    let (status, _) = bench
        .call("POST", "/v1/config/apply?confirm=true", &request(""))
        .await;
    assert_eq!(
        (status, &bench.get("/v1/status").await.1["services"]),
        (200, &0.into())
    );
}

#[tokio::test]
async fn metrics_are_open_metrics_under_node_exporters_names() {
    let bench = Bench::start();
    // After each request pools are decided.
    bench.get("/v1/status").await;
    let answer = bench
        .raw(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.contains("application/openmetrics-text"), "{answer}");
    assert!(answer.trim_end().ends_with("# EOF"), "{answer}");
    let labels = "local_address=\"192.0.2.100\",local_port=\"80\",remote_address=\"192.0.2.11\",remote_port=\"80\",proto=\"TCP\",local_mark=\"\"";
    for line in [
        format!("weir_backend_weight{{{labels}}} 1"),
        format!("weir_backend_connections_active{{{labels}}} 0"),
        "weir_incoming_packets_total 0".into(),
        "weir_dataplane_connected 0".into(),
        "weir_check_up{service=\"web\",backend=\"192.0.2.11:80\",check=\"0-http\"} 1".into(),
        "weir_check_transitions_total{service=\"web\",backend=\"192.0.2.11:80\",check=\"0-http\"} 0".into(),
        "weir_service_quorum_up{service=\"web\"} 1".into(),
        "weir_service_live_weight{service=\"web\"} 3".into(),
    ] {
        assert!(
            answer.lines().any(|found| found == line),
            "{line} not in\n{answer}"
        );
    }
}

#[tokio::test]
async fn hostile_clients_get_an_answer_or_nothing_and_hurt_nobody() {
    let bench = Bench::start();
    let endless = [b"GET /v1/status HTTP/1.1\r\nA: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    let long_path = format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "a".repeat(100_000)
    );
    let hostile: [&[u8]; 7] = [
        b"",
        b"\0\0\0\0",
        b"GET",
        &endless,
        long_path.as_bytes(),
        b"POST /v1/config/apply HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n",
        b"POST /v1/config/apply HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n\xff\xff\xff\xff\xff",
    ];
    for bytes in hostile {
        let mut stream = UnixStream::connect(&bench.path).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ =
            tokio::time::timeout(std::time::Duration::from_secs(2), stream.read_to_end(&mut answer)).await;
        assert!(
            !answer.starts_with(b"HTTP/1.1 2"),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
        assert_eq!(bench.get("/v1/status").await.0, 200);
    }
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/v2/status"),
        ("DELETE", "/v1/status"),
        ("GET", "/v1/flows?nonsense=1"),
    ] {
        let (status, _) = bench.call(method, path, "").await;
        assert!((400..=405).contains(&status), "{method} {path}: {status}");
    }
}

#[tokio::test]
async fn the_socket_is_protected_unique_and_removed() {
    let mut bench = Bench::start();
    let metadata = std::fs::metadata(&bench.path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    let second = ApiSocket::bind(&bench.path);
    assert!(matches!(second, Err(BindError::InUse { .. })), "{second:?}");
    bench.requests.send(Request::Stop).await.unwrap();
    drop(bench.stop.take());
    (&mut bench.server).await.unwrap();
    assert!(!bench.path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_strangers_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let socket = ApiSocket::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    drop(socket);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "mine",
        "another's file in our place stays"
    );
    let refused = ApiSocket::bind(&path);
    assert!(matches!(refused, Err(BindError::Os { .. })), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[tokio::test]
async fn what_needs_a_restart_is_noted() {
    let bench = Bench::start();
    assert_eq!(bench.get("/v1/status").await.1["notes"], Value::Null);
    let changed = format!("[dataplane]\nflows_max = 5000\n{CONFIG}");
    let (status, _) = bench.call("POST", "/v1/config/apply", &request(&changed)).await;
    assert_eq!(status, 200);
    let (_, body) = bench.get("/v1/status").await;
    assert!(
        body["notes"][0]
            .as_str()
            .is_some_and(|note| note.contains("flows_max")),
        "{body}"
    );
}
