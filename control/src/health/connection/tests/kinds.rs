//! What single kinds do besides talking: where probes come from, sessions that change, names of every kind.

use super::super::super::targets;
use super::*;
use crate::clock::Clock;
use std::collections::BTreeMap;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use weir_proto::health::datagram::Datagram;
use weir_proto::health::{Health, Outcome};

/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(30);
const OFTEN: Duration = Duration::from_millis(50);

#[tokio::test]
async fn probes_come_from_where_they_are_told() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let datagram = Datagram {
        send: b"?"[..].into(),
        expect: None,
        require_reply: true,
        short: false,
        reply_bytes: 0..=255,
    };
    let mut targets = [
        target(tcp.local_addr().unwrap(), Dialogue::Tcp, OFTEN),
        target(udp.local_addr().unwrap(), Dialogue::Udp(datagram), OFTEN),
    ];
    for target in &mut targets {
        target.source.address = Some("127.0.0.2".parse().unwrap());
        target.source.interface = Some("lo".into());
    }
    let mut checks = Checks::new(Clock::start(), 1);
    checks.reconcile(&targets);
    let seen = async {
        let (_, tcp) = tcp.accept().await.unwrap();
        let (_, udp) = udp.recv_from(&mut [0; 8]).await.unwrap();
        [tcp.ip().to_string(), udp.ip().to_string()]
    };
    let seen = tokio::time::timeout(PATIENCE, seen).await.unwrap();
    assert_eq!(seen, ["127.0.0.2", "127.0.0.2"]);
}

/// The same port again and again, although the last run's connection may linger.
#[tokio::test]
async fn one_port_serves_for_run_after_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // What is free now; nobody else asks for ports of this address.
    let near = TcpListener::bind("127.0.0.3:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut target = target(listener.local_addr().unwrap(), Dialogue::Tcp, OFTEN);
    (target.source.address, target.source.port) = (Some(near.ip()), Some(near.port()));
    let mut checks = Checks::new(Clock::start(), 1);
    checks.reconcile([&target]);
    for run in 0..5 {
        let (server, accepted) = tokio::join!(
            tokio::time::timeout(PATIENCE, checks.reports.recv()),
            tokio::time::timeout(PATIENCE, listener.accept()),
        );
        let report = server.unwrap().unwrap().1;
        assert_eq!(report.outcome, Outcome::Pass, "run {run}");
        assert_eq!(accepted.unwrap().unwrap().1, near, "run {run}");
    }
}

#[tokio::test]
async fn a_session_that_goes_down_is_noticed_at_once() {
    let up = |up| BTreeMap::from([("fabric".to_owned(), up)]);
    let (sender, receiver) = watch::channel(up(true));
    let mut checks = Checks::new(Clock::start(), 1);
    checks.watch_sessions(receiver);
    // The next run by the clock is an hour away, and three failures would be needed.
    let mut slow = target(
        "192.0.2.11:80".parse().unwrap(),
        Dialogue::Bfd("fabric".into()),
        Duration::from_secs(3_600),
    );
    (slow.pace.fall, slow.pace.spread) = (3, Duration::ZERO);
    checks.reconcile([&slow]);
    let first = tokio::time::timeout(PATIENCE, checks.reports.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.1.health, Health::Up);
    sender.send_replace(up(false));
    let second = tokio::time::timeout(PATIENCE, checks.reports.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(second.1.health, Health::Down, "{second:?}");
}

/// A service whose backends are checked in every way there is.
const EVERY_KIND: &str = r#"
[[port]]
name = "lan"
device = "null"
addresses = ["192.0.2.2/24", "2001:db8::2/64"]
[[bfd]]
name = "fabric"
peer = "192.0.2.11"
[[service]]
name = "web"
address = "192.0.2.100:8080"
forward = "tunnel"
tunnel = { type = "gue", port = 6080 }
checks = [
    { tcp = {}, port = 7, mark = 5, source_port = 1234 },
    { tcp = { steps = [{ send_hex = "00" }, { expect_hex = "??" }] } },
    { http = { host = "www.example.net:8443" }, tls = { verify = true }, port = 443 },
    { http = { also = [{ path = "/b" }] }, port = 80 },
    { smtp = {} }, { pop = { user = "u", password = "p" } }, { imap = {} }, { ftp = {} }, { ldap = {} },
    { mysql = {} }, { postgres = {} }, { sip = {} }, { sip = { transport = "udp" } },
    { udp = { expect_hex = "00" } }, { dns = { type = "AAAA" } }, { ping = {}, address = "2001:db8::11" },
    { grpc = { service = "shop" }, tls = { name = "shop.example.net" } },
    { script = { path = "/usr/bin/check", arguments = ["{address}", "{port}"], dynamic = true } },
    { file = { path = "/run/weight" } }, { bfd = { session = "fabric" } }, { through = {} },
]
  [[service.backend]]
  address = "192.0.2.11"
"#;

#[test]
fn every_kind_of_the_configuration_becomes_its_dialogue() {
    let config = weir_configs::parse(EVERY_KIND, "every.toml").unwrap_or_else(|report| panic!("{report}"));
    let found: Vec<Target> = targets::of_backend(&config.services[0].backends[0]).collect();
    let names: Vec<String> = found
        .iter()
        .map(|target| {
            let shown = format!("{:?}", target.dialogue);
            shown.split(['(', ' ']).next().unwrap_or_default().to_owned()
        })
        .collect();
    let talks = ["Talk"; 8];
    let wanted = [
        &["Tcp", "Talk", "Http", "Http"][..],
        &talks,
        &[
            "Udp", "Udp", "Dns", "Ping", "Grpc", "Script", "File", "Bfd", "Through",
        ],
    ]
    .concat();
    assert_eq!(names, wanted);
    assert_eq!(
        (
            found[0].address.port(),
            found[0].source.mark,
            found[0].source.port
        ),
        (7, Some(5), Some(1234))
    );
    let (https, grpc) = (found[2].tls.as_ref().unwrap(), found[16].tls.as_ref().unwrap());
    assert_eq!(https.name.as_deref(), Some("www.example.net"));
    assert!(https.files.authorities.is_some() && grpc.files.authorities.is_none());
    assert_eq!(grpc.name.as_deref(), Some("shop.example.net"));
    match (&found[3].dialogue, &found[17].dialogue, &found[20].dialogue) {
        (Dialogue::Http(gets), Dialogue::Script(script), Dialogue::Through(through)) => {
            assert_eq!((gets.len(), gets[1].host.as_str()), (2, "192.0.2.11"));
            assert_eq!(script.arguments, ["192.0.2.11", "8080"]);
            assert_eq!(through.service, "192.0.2.100:8080".parse().unwrap());
            assert!(through.tunnel.is_some());
        }
        other => panic!("{other:?}"),
    }
}
