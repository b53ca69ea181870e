//! The daemon against a fake dataplane over real rings, and against real servers on this host.

mod fake;
mod life;
mod pools;
mod reload;

use super::*;
use crate::publish::{Inputs, Table, desired};
use fake::Fake;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use weir_proto::health::Health;

/// A daemon on a runtime of its own, and a folder for its sockets.
struct Bench {
    requests: Requests,
    task: tokio::task::JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn start(config: Config) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config).await
    }

    async fn start_in(folder: tempfile::TempDir, config: Config) -> Self {
        let (daemon, requests) = Daemon::start(Options {
            file: folder.path().join("weir.toml"),
            config,
            dataplane_socket: folder.path().join("dataplane.sock"),
            seed: 1,
            node: "lvs1".into(),
        })
        .unwrap();
        Self {
            requests,
            task: tokio::spawn(daemon.run()),
            folder,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("dataplane.sock")
    }

    fn dataplane(&self) -> Fake {
        Fake::start(&self.socket(), Table::default())
    }

    async fn view(&self) -> View {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::View(reply)).await.unwrap();
        answer.await.unwrap()
    }

    async fn apply(&self, config: &Config) -> Result<Applied, Refused> {
        self.propose(config, false).await
    }

    async fn propose(&self, config: &Config, confirmed: bool) -> Result<Applied, Refused> {
        let (reply, answer) = oneshot::channel();
        let proposal = Box::new(Proposal {
            config: config.clone(),
            file: "applied.toml".into(),
            confirmed,
        });
        self.requests.send(Request::Apply(proposal, reply)).await.unwrap();
        answer.await.unwrap()
    }

    async fn patch(
        &self,
        backend: &str,
        weight: Option<u16>,
        drain: Option<bool>,
    ) -> Result<BackendName, PatchError> {
        let (reply, answer) = oneshot::channel();
        let patch = Patch {
            service: "s0".into(),
            backend: backend.into(),
            weight,
            drain,
            disable: None,
            reset: weight.is_none() && drain.is_none(),
        };
        self.requests.send(Request::Patch(patch, reply)).await.unwrap();
        answer.await.unwrap()
    }

    async fn stop(self) -> tempfile::TempDir {
        self.requests.send(Request::Stop).await.unwrap();
        self.task.await.unwrap();
        self.folder
    }
}

/// Services `s0`, `s1`, … on 192.0.2.100, .101, …, with backends 192.0.2.11, .12, … each.
fn config(backends: &[u8]) -> Config {
    config_with(backends, "")
}

fn config_with(backends: &[u8], top: &str) -> Config {
    let mut text = String::from(top);
    text.push_str("\n[[port]]\nname = \"lan\"\ndevice = \"null\"\naddresses = [\"192.0.2.2/24\"]\n");
    for (n, count) in backends.iter().enumerate() {
        writeln!(
            text,
            "[[service]]\nname = \"s{n}\"\naddress = \"192.0.2.{}:80\"\nforward = \"nat\"",
            100 + n
        )
        .unwrap();
        for server in 0..*count {
            writeln!(
                text,
                "[[service.backend]]\naddress = \"192.0.2.{}:80\"",
                11 + server
            )
            .unwrap();
        }
    }
    weir_configs::parse(&text, "test.toml").unwrap_or_else(|report| panic!("{report}"))
}

/// What a daemon that starts with this configuration makes of it while every server is up.
fn fresh(config: &Config) -> Table {
    let desired = desired(&Inputs {
        ports: &["lan".into(), "wan".into()],
        ..Inputs::of(config)
    });
    desired.table
}

/// Waits until `seen` says so; the panic shows `what`.
async fn eventually(what: &str, mut seen: impl FnMut() -> bool) {
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while !seen() {
        assert!(tokio::time::Instant::now() < until, "never seen: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn backend_weight(table: &Table, octet: u8) -> Option<u16> {
    let address = std::net::IpAddr::from([192, 0, 2, octet]);
    table
        .backends
        .values()
        .find(|backend| backend.key.address == address)
        .map(|backend| backend.weight)
}

/// A configuration whose only backend is a server of this host.
fn local(server: SocketAddr) -> Config {
    let check = "check = { tcp = {}, interval_ms = 50, timeout_ms = 50, rise = 1, fall = 2 }";
    let mut config = config(&[1]);
    let checked = format!(
        "[[port]]\nname = \"lan\"\ndevice = \"null\"\naddresses = [\"192.0.2.2/24\"]\n[[service]]\nname = \"s0\"\naddress = \"192.0.2.100:80\"\nforward = \"nat\"\npool = {{ all_failed = \"remove\" }}\n{check}\n[[service.backend]]\naddress = \"192.0.2.11:80\"\n"
    );
    config.services = weir_configs::parse(&checked, "test.toml").unwrap().services;
    config.services[0].backends[0].address = server;
    config
}

fn localhost() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
