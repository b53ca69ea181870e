//! Pools against servers of this host: sorry servers, servers that all fail, programs, maintenance, reloads.

use super::*;
use crate::daemon::pools::PoolState;
use std::os::unix::fs::PermissionsExt;
use tokio::net::TcpListener;

const SORRY: u8 = 99;

/// A service `s0` with these servers of this host, its `pool` and the rest of the file as given.
fn pooled(top: &str, pool: &str, interval_ms: u32, servers: &[SocketAddr]) -> Config {
    let mut text = format!(
        "{top}\n[[port]]\nname = \"lan\"\ndevice = \"null\"\naddresses = [\"192.0.2.2/24\"]\n\
         [[service]]\nname = \"s0\"\naddress = \"192.0.2.100:80\"\nforward = \"nat\"\n\
         pool = {{ {pool} }}\n\
         check = {{ tcp = {{}}, interval_ms = {interval_ms}, timeout_ms = 50, rise = 1, fall = 2 }}\n"
    );
    for server in 0..servers.len() {
        writeln!(
            text,
            "[[service.backend]]\naddress = \"192.0.2.{}:80\"",
            11 + server
        )
        .unwrap();
    }
    let mut config = weir_configs::parse(&text, "test.toml").unwrap_or_else(|report| panic!("{report}"));
    for (backend, server) in config.services[0].backends.iter_mut().zip(servers) {
        backend.address = *server;
    }
    config
}

/// An address of this process alone: a port that is given up for a while is still free afterwards.
fn own_address() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    ([127, 88, high, low.clamp(1, 254)], 0).into()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(own_address()).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Weight and drain of a server, by its port on this host, or of the sorry server.
fn weight_of(table: &Table, server: SocketAddr) -> Option<(u16, bool)> {
    let mut backends = table.backends.values();
    let found = backends.find(|b| b.key.address == server.ip() && b.key.port == server.port())?;
    Some((found.weight, found.drain))
}

fn sorry() -> SocketAddr {
    ([192, 0, 2, SORRY], 80).into()
}

async fn events(bench: &Bench) -> Vec<crate::vrrp::status::Event> {
    let (reply, answer) = oneshot::channel();
    bench.requests.send(Request::Events(0, reply)).await.unwrap();
    answer.await.unwrap()
}

async fn kinds(bench: &Bench) -> Vec<String> {
    events(bench).await.into_iter().map(|event| event.kind).collect()
}

async fn pool_state(bench: &Bench) -> PoolState {
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(state) = bench.view().await.pools[0] {
            return state;
        }
        assert!(tokio::time::Instant::now() < until, "never decided");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_sorry_server_stands_in_and_leaves_again() {
    let (listener, server) = listen().await;
    let pool = "sorry_server = { address = \"192.0.2.99:80\" }";
    let bench = Bench::start(pooled("", pool, 50, &[server])).await;
    let dataplane = bench.dataplane();
    eventually("all is well", || {
        let table = dataplane.table();
        (weight_of(&table, server), weight_of(&table, sorry())) == (Some((1, false)), Some((0, true)))
    })
    .await;
    drop(listener);
    eventually("the sorry server alone", || {
        let table = dataplane.table();
        (weight_of(&table, server), weight_of(&table, sorry())) == (Some((0, true)), Some((1, false)))
    })
    .await;
    assert!(pool_state(&bench).await.sorry_in_use);
    let _listener = TcpListener::bind(server).await.unwrap();
    eventually("the server is back", || {
        let table = dataplane.table();
        (weight_of(&table, server), weight_of(&table, sorry())) == (Some((1, false)), Some((0, true)))
    })
    .await;
    let kinds = kinds(&bench).await;
    let quorum: Vec<_> = kinds.iter().filter(|kind| kind.starts_with("quorum")).collect();
    assert_eq!(quorum, ["quorum-down", "quorum-up"]);
}

#[tokio::test]
async fn servers_that_all_fail_at_once_stay_and_an_alarm_is_raised() {
    let (first, one) = listen().await;
    let (second, two) = listen().await;
    let bench = Bench::start(pooled("", "", 50, &[one, two])).await;
    let dataplane = bench.dataplane();
    drop((first, second));
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while pool_state(&bench).await.kept != 2 {
        assert!(
            tokio::time::Instant::now() < until,
            "{:?}",
            bench.view().await.pools
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    eventually("both in service", || {
        let table = dataplane.table();
        (weight_of(&table, one), weight_of(&table, two)) == (Some((1, false)), Some((1, false)))
    })
    .await;
    assert!(!pool_state(&bench).await.quorum_up);
    assert!(kinds(&bench).await.iter().any(|kind| kind == "alarm"));
    let _first = TcpListener::bind(one).await.unwrap();
    eventually("only the one that lives", || {
        let table = dataplane.table();
        (weight_of(&table, one), weight_of(&table, two)) == (Some((1, false)), Some((0, true)))
    })
    .await;
    assert!(kinds(&bench).await.iter().any(|kind| kind == "alarm-over"));
}

#[tokio::test]
async fn with_alpha_a_server_serves_from_its_first_pass_on() {
    // Bound and not listening: connections are refused until it listens.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(own_address()).unwrap();
    let server = socket.local_addr().unwrap();
    let bench = Bench::start(pooled("", "alpha = true", 50, &[server])).await;
    let dataplane = bench.dataplane();
    eventually("published, and not in service", || {
        weight_of(&dataplane.table(), server) == Some((0, true))
    })
    .await;
    assert!(!pool_state(&bench).await.quorum_up);
    let _listener = socket.listen(8).unwrap();
    eventually("in service", || {
        weight_of(&dataplane.table(), server) == Some((1, false))
    })
    .await;
    assert!(pool_state(&bench).await.quorum_up);
}

#[tokio::test]
async fn a_quorum_lost_and_gained_runs_its_programs() {
    let (listener, server) = listen().await;
    let folder = tempfile::tempdir().unwrap();
    // The programs run as nobody when this test is root.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let file = |name: &str| folder.path().join(name);
    let program = |name: &str| format!("[\"/usr/bin/mkdir\", \"{}\"]", file(name).display());
    let pool = format!(
        "omega = true, quorum_down = {}, quorum_up = {}",
        program("down"),
        program("up")
    );
    let bench = Bench::start(pooled("", &pool, 50, &[server])).await;
    drop(listener);
    eventually("the program for its loss", || file("down").exists()).await;
    let _listener = TcpListener::bind(server).await.unwrap();
    eventually("the program for its gain", || file("up").exists()).await;
    // What it made is not this user's to remove, but the folder is.
    std::fs::remove_dir(file("down")).unwrap();
    bench.stop().await;
    assert!(file("down").exists(), "omega: told once more at the end");
}

#[tokio::test]
async fn a_server_that_goes_and_comes_runs_its_programs() {
    let (listener, server) = listen().await;
    let (_second, other) = listen().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let file = |name: &str| folder.path().join(name);
    let program = |name: &str| vec!["/usr/bin/mkdir".to_owned(), file(name).display().to_string()];
    let mut config = pooled("", "omega = true", 50, &[server, other]);
    for (backend, name) in config.services[0].backends.iter_mut().zip(["first", "second"]) {
        backend.notify_up = program(&format!("{name}-up"));
        backend.notify_down = program(&format!("{name}-down"));
    }
    let bench = Bench::start(config.clone()).await;
    drop(listener);
    eventually("the program for its going", || file("first-down").exists()).await;
    // A reload is no news.
    bench.apply(&config).await.unwrap();
    let _listener = TcpListener::bind(server).await.unwrap();
    eventually("the program for its coming", || file("first-up").exists()).await;
    assert!(!file("second-up").exists() && !file("second-down").exists());
    std::fs::remove_dir(file("first-down")).unwrap();
    bench.stop().await;
    for name in ["first-down", "second-down"] {
        assert!(file(name).exists(), "omega: {name} at the end");
    }
    assert!(!file("second-up").exists(), "it was up from the start");
}

#[tokio::test]
async fn a_reload_brings_no_failed_server_back() {
    let (listener, dead) = listen().await;
    let (_second, good) = listen().await;
    let bench = Bench::start(pooled("", "", 50, &[dead, good])).await;
    let dataplane = bench.dataplane();
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    let passed = |view: View| {
        view.backends[0][1].records[0]
            .as_ref()
            .is_some_and(|record| record.proved)
    };
    while !passed(bench.view().await) {
        assert!(tokio::time::Instant::now() < until, "the good one never passed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(listener);
    eventually("the dead one is out", || {
        weight_of(&dataplane.table(), dead) == Some((0, true))
    })
    .await;
    let before = dataplane.seen().transactions.len();
    // Asked at another pace: as slow as to find nothing out before this test is over.
    for config in [
        pooled("", "", 86_400_000, &[dead, good]),
        pooled("", "quorum = 1, alpha = true", 86_400_000, &[dead, good]),
        pooled("", "", 86_400_000, &[dead, good]),
    ] {
        bench.apply(&config).await.unwrap();
        assert_eq!(weight_of(&dataplane.table(), dead), Some((0, true)));
        assert_eq!(weight_of(&dataplane.table(), good), Some((1, false)));
    }
    for (_, commands) in &dataplane.seen().transactions[before..] {
        let revived = commands.iter().any(|command| {
            matches!(command, weir_rings::message::Command::UpsertBackend(backend)
                if backend.key.port == dead.port() && backend.weight > 0)
        });
        assert!(!revived, "never, not for a moment: {commands:?}");
    }
}

fn with_state(folder: &Path) -> String {
    format!(
        "[control]\nstate_file = \"{0}/state.json\"\nmaintenance_dir = \"{0}/maintenance\"\n",
        folder.display()
    )
}

async fn maintain(bench: &Bench, backend: &str, on: bool) -> Result<Vec<BackendName>, MaintenanceError> {
    let (reply, answer) = oneshot::channel();
    let change = MaintenanceChange {
        service: None,
        backend: backend.into(),
        on,
        reason: "new disks".into(),
    };
    bench
        .requests
        .send(Request::Maintain(change, reply))
        .await
        .unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn maintenance_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("maintenance")).unwrap();
    let config = config_with(&[2, 2], &with_state(folder.path()));
    let bench = Bench::start_in(folder, config.clone()).await;
    let unknown = maintain(&bench, "192.0.2.77", true).await;
    assert!(matches!(unknown, Err(MaintenanceError::NoBackend(_))));
    let begun = maintain(&bench, "192.0.2.11", true).await.unwrap();
    assert_eq!(begun.len(), 2, "in both services");
    let folder = bench.stop().await;

    let bench = Bench::start_in(folder, config.clone()).await;
    let dataplane = bench.dataplane();
    eventually("drained from the start", || {
        let table = dataplane.table();
        backend_weight(&table, 11) == Some(0) && backend_weight(&table, 12) == Some(1)
    })
    .await;
    assert_eq!(bench.view().await.maintenance[0].reason, "new disks");
    bench
        .apply(&config_with(&[2, 2, 1], &with_state(bench.folder.path())))
        .await
        .unwrap();
    assert_eq!(
        backend_weight(&dataplane.table(), 11),
        Some(0),
        "reloads leave it alone"
    );
    maintain(&bench, "192.0.2.11", false).await.unwrap();
    eventually("it is over", || backend_weight(&dataplane.table(), 11) == Some(1)).await;
    let file = bench.folder.path().join("maintenance/192.0.2.12");
    write(&file, "");
    eventually("a file drains", || {
        backend_weight(&dataplane.table(), 12) == Some(0)
    })
    .await;
    std::fs::remove_file(&file).unwrap();
    eventually("and its end is the end", || {
        backend_weight(&dataplane.table(), 12) == Some(1)
    })
    .await;
}

#[tokio::test]
async fn maintenance_that_cannot_be_remembered_does_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("file"), "");
    let top = format!(
        "[control]\nstate_file = \"{}/file/state.json\"\n",
        folder.path().display()
    );
    let bench = Bench::start(config_with(&[1], &top)).await;
    let refused = maintain(&bench, "192.0.2.11", true).await;
    assert!(
        matches!(refused, Err(MaintenanceError::File { .. })),
        "{refused:?}"
    );
    assert!(bench.view().await.maintenance.is_empty());
}

#[tokio::test]
async fn a_service_without_local_ports_raises_an_alarm() {
    let (_listener, server) = listen().await;
    let bench = Bench::start(pooled("", "", 86_400_000, &[server])).await;
    let dataplane = bench.dataplane();
    eventually("the table", || weight_of(&dataplane.table(), server).is_some()).await;
    let service = dataplane
        .table()
        .services
        .values()
        .next()
        .map(|service| service.key);
    let exhausted = weir_rings::message::Event::LocalPortsExhausted {
        service: service.unwrap(),
        refused: 7,
    };
    dataplane.seen().events.push(exhausted);
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let events = events(&bench).await;
        if let Some(alarm) = events.iter().find(|event| event.kind == "alarm") {
            assert!(
                alarm.text.contains("7 flows refused") && alarm.text.contains("add local_addresses"),
                "{alarm:?}"
            );
            break;
        }
        assert!(tokio::time::Instant::now() < until, "{events:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn traffic_makes_a_backend_suspect_and_takes_it_out_where_it_may() {
    let pool = |decides: bool| format!("passive = {{ fall = 2, decides = {decides}, hold_s = 86400 }}");
    let (_listener, server) = listen().await;
    let (_second, other) = listen().await;
    let config = |decides| pooled("", &pool(decides), 86_400_000, &[server, other]);
    let bench = Bench::start(config(false)).await;
    let dataplane = bench.dataplane();
    eventually("the table", || {
        weight_of(&dataplane.table(), server) == Some((1, false))
    })
    .await;
    let (service, key) = {
        let table = dataplane.table();
        let (key, _) = table
            .backends
            .iter()
            .find(|(_, b)| b.key.port == server.port())
            .unwrap();
        *key
    };
    let sign = |sign| weir_rings::message::Event::BackendPassive {
        service,
        backend: key,
        sign,
    };
    use weir_rings::message::PassiveSign::{Down, Up};
    let suspicions = || async {
        let kinds = kinds(&bench).await;
        kinds.iter().filter(|kind| *kind == "passive").count()
    };
    dataplane
        .seen()
        .events
        .extend([sign(Down), sign(Up), sign(Down), sign(Down)]);
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while suspicions().await != 1 {
        assert!(tokio::time::Instant::now() < until, "{:?}", events(&bench).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(
        weight_of(&dataplane.table(), server),
        Some((1, false)),
        "its check has the last word"
    );
    bench.apply(&config(true)).await.unwrap();
    dataplane.seen().events.extend([sign(Down), sign(Down)]);
    eventually("taken out", || {
        weight_of(&dataplane.table(), server) == Some((0, true))
    })
    .await;
    assert!(bench.view().await.backends[0][0].traffic.out.is_some());
    // An answer on a flow of before, and it is back at once.
    dataplane.seen().events.push(sign(Up));
    eventually("back", || {
        weight_of(&dataplane.table(), server) == Some((1, false))
    })
    .await;
    assert_eq!(bench.view().await.backends[0][0].traffic.out, None);
}
