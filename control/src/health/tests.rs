//! Checks against real sockets: good servers, dead ones, hostile ones.

use super::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_proto::health::http::{Get, HEAD_BYTES_MAX};
use weir_proto::health::probe::{Failure, Fault};
use weir_proto::health::{Health, Outcome};

fn pace() -> Pace {
    Pace {
        interval: Duration::from_millis(100),
        jitter: Duration::from_millis(10),
        timeout: Duration::from_millis(300),
        rise: 1,
        fall: 2,
        spread: Duration::from_millis(20),
        retry: None,
        interval_down: None,
        fast_recovery: false,
        fall_first: None,
        flap: None,
    }
}

fn target(address: SocketAddr, dialogue: Dialogue) -> Target {
    Target {
        address,
        dialogue,
        pace: pace(),
        source: Source::default(),
        tls: None,
        log_all_failures: false,
    }
}

fn http() -> Dialogue {
    Dialogue::Http(vec![Get {
        path: "/".into(),
        host: "www.example.net".into(),
        status: vec![200..=200],
        ..Get::default()
    }])
}

/// What a server does with each connection.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Answer(&'static str),
    CloseAtOnce,
    Reset,
    Silent,
    Dribble,
    EndlessHeader,
    Flood,
    Noise,
}

async fn serve(manner: Manner) -> (SocketAddr, AbortHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(converse(stream, manner));
        }
    });
    (address, server.abort_handle())
}

async fn converse(mut stream: TcpStream, manner: Manner) -> std::io::Result<()> {
    let mut request = [0; 1_024];
    match manner {
        Manner::CloseAtOnce => return Ok(()),
        Manner::Reset => return socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
        _ => stream.read(&mut request).await?,
    };
    match manner {
        Manner::Answer(reply) => stream.write_all(reply.as_bytes()).await,
        Manner::Silent => std::future::pending().await,
        Manner::Dribble => loop {
            stream.write_all(b"HTTP/1.1 200 OK\r\nA: ").await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
            stream.write_all(b"b").await?;
            std::future::pending::<()>().await;
        },
        Manner::EndlessHeader => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nA: ").await?;
            loop {
                stream.write_all(&[b'x'; HEAD_BYTES_MAX]).await?;
            }
        }
        Manner::Flood => loop {
            stream.write_all(&[b'H'; 65_536]).await?;
        },
        Manner::Noise => {
            let noise: Vec<u8> = (0..4_096_u32)
                .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect();
            stream.write_all(&noise).await
        }
        Manner::CloseAtOnce | Manner::Reset => Ok(()),
    }
}

/// The first verdict that differs from "up", or the first report that passed.
async fn outcome(target: Target) -> Outcome {
    let mut checks = Checks::new(Clock::start(), 1);
    checks.reconcile([&target]);
    let change = tokio::time::timeout(Duration::from_secs(5), checks.next_change());
    match change.await {
        Ok(change) => change.report.outcome,
        Err(_) => checks.book().record(&target).unwrap().last.unwrap().outcome,
    }
}

#[tokio::test]
async fn servers_that_misbehave_go_down_for_the_right_reason() {
    let table = [
        (Manner::Answer("HTTP/1.1 500 Oh\r\n\r\n"), Failure::Status(500)),
        (Manner::Answer("HTTP/1.1 200 OK\r\n"), Failure::Truncated),
        (Manner::Answer("220 mail ESMTP\r\n"), Failure::NotHttp),
        (Manner::Silent, Failure::AnswerTimeout),
        (Manner::Dribble, Failure::AnswerTimeout),
        (Manner::EndlessHeader, Failure::HeadTooLong),
        (Manner::Flood, Failure::NotHttp),
        (Manner::Noise, Failure::NotHttp),
        (Manner::Reset, Failure::Connection(Fault::Reset)),
    ];
    for (manner, failure) in table {
        let (address, server) = serve(manner).await;
        assert_eq!(
            outcome(target(address, http())).await,
            Outcome::Fail(failure),
            "{manner:?}"
        );
        server.abort();
    }
    let (address, server) = serve(Manner::CloseAtOnce).await;
    let closed = outcome(target(address, http())).await;
    let may = [Failure::Truncated, Failure::Connection(Fault::Reset)].map(Outcome::Fail);
    assert!(
        may.contains(&closed),
        "closing at once shows as an early end or, after our request, as a reset: {closed:?}"
    );
    server.abort();
    let refused = Outcome::Fail(Failure::Connection(Fault::Refused));
    assert_eq!(
        outcome(target(address, Dialogue::Tcp)).await,
        refused,
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_server_that_comes_back_rises() {
    let (address, server) = serve(Manner::Answer("HTTP/1.1 200 OK\r\n\r\n")).await;
    let target = target(address, http());
    let mut checks = Checks::new(Clock::start(), 1);
    checks.reconcile([&target]);
    server.abort();
    let down = tokio::time::timeout(Duration::from_secs(5), checks.next_change())
        .await
        .unwrap();
    assert_eq!(
        (down.report.health, checks.book().finding(&target).health),
        (Health::Down, Health::Down)
    );
    let listener = TcpListener::bind(address).await.unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(converse(stream, Manner::Answer("HTTP/1.0 200 OK\r\n\r\n")));
        }
    });
    let up = tokio::time::timeout(Duration::from_secs(5), checks.next_change())
        .await
        .unwrap();
    assert_eq!(up.report.health, Health::Up);
    let record = checks.book().record(&target).unwrap();
    assert_eq!(
        record
            .history
            .iter()
            .map(|report| report.health)
            .collect::<Vec<_>>(),
        [Health::Down, Health::Up]
    );
    server.abort();
}

#[tokio::test]
async fn reconciling_keeps_what_is_known_of_unchanged_targets() {
    let (address, server) = serve(Manner::CloseAtOnce).await;
    server.abort();
    let (kept, slower) = (
        target(address, Dialogue::Tcp),
        Target {
            pace: Pace { fall: 9, ..pace() },
            ..target(address, Dialogue::Tcp)
        },
    );
    let mut checks = Checks::new(Clock::start(), 1);
    checks.reconcile([&kept]);
    tokio::time::timeout(Duration::from_secs(5), checks.next_change())
        .await
        .unwrap();
    let before = checks.book().record(&kept).unwrap().clone();
    checks.reconcile([&kept, &slower, &kept]);
    assert_eq!(
        checks.book().record(&kept),
        Some(&before),
        "unchanged: nothing is forgotten"
    );
    assert_eq!(
        checks.book().finding(&slower).health,
        Health::Down,
        "the same question at another pace: what was found still holds"
    );
    let other = target(address, http());
    checks.reconcile([&kept, &slower, &other]);
    assert_eq!(
        checks.book().finding(&other).health,
        Health::Up,
        "another question: starts as configured"
    );
    checks.reconcile([&kept, &slower]);
    assert_eq!(checks.running.len(), 2, "equal targets share a check");
    checks.reconcile([&slower]);
    assert_eq!((checks.book().record(&kept), checks.running.len()), (None, 1));
}

#[tokio::test]
async fn faults_of_this_host_take_no_server_down() {
    let (address, server) = serve(Manner::Answer("HTTP/1.1 200 OK\r\n\r\n")).await;
    let mut unreachable = target(address, Dialogue::Tcp);
    unreachable.source.interface = Some("no-such-if0".into());
    let mut checks = Checks::new(Clock::start(), 1);
    checks.reconcile([&unreachable]);
    let change = tokio::time::timeout(Duration::from_millis(600), checks.next_change()).await;
    assert!(change.is_err(), "{change:?}");
    let last = checks.book().record(&unreachable).unwrap().last.unwrap();
    assert_eq!(last.outcome, Outcome::Fail(Failure::Connection(Fault::Local)));
    server.abort();
}

#[tokio::test]
async fn muted_checks_take_no_server_down() {
    let (address, server) = serve(Manner::Silent).await;
    server.abort();
    let target = target(address, Dialogue::Tcp);
    let mut checks = Checks::new(Clock::start(), 1);
    checks.mute(true);
    checks.reconcile([&target]);
    assert!(
        tokio::time::timeout(Duration::from_millis(600), checks.next_change())
            .await
            .is_err()
    );
    checks.mute(false);
    let change = tokio::time::timeout(Duration::from_secs(5), checks.next_change())
        .await
        .unwrap();
    assert_eq!(change.report.health, Health::Down);
}

/// A check that runs must not be slowed by one that hangs: each has its own time.
#[tokio::test]
async fn a_hundred_hanging_servers_delay_nobody() {
    let (hanging, server) = serve(Manner::Silent).await;
    let (good, good_server) = serve(Manner::Answer("HTTP/1.1 200 OK\r\n\r\n")).await;
    let path = |n: usize| {
        Dialogue::Http(vec![Get {
            path: format!("/{n}"),
            host: "h".into(),
            ..Get::default()
        }])
    };
    let mut targets: Vec<Target> = (0..100).map(|n| target(hanging, path(n))).collect();
    targets.push(target(good, http()));
    let mut checks = Checks::new(Clock::start(), 1);
    checks.reconcile(&targets);
    let until = tokio::time::Instant::now() + Duration::from_millis(1_500);
    while tokio::time::timeout_at(until, checks.next_change()).await.is_ok() {}
    let record = checks.book().record(&targets[100]).unwrap();
    assert!(record.passes >= 10, "one pass each 100 ms: {record:?}");
    assert!(
        record
            .last
            .is_some_and(|Report { took, .. }| took < Duration::from_millis(200))
    );
    server.abort();
    good_server.abort();
}
