//! Connecting, losing and finding the dataplane; health; runtime changes.

use super::*;
use weir_rings::message::{Command, Event};
use weir_rings::query::Request as Query;

#[tokio::test]
async fn the_whole_table_is_sent_and_later_only_what_changes() {
    let config = config(&[2, 3]);
    let bench = Bench::start(config.clone()).await;
    let dataplane = bench.dataplane();
    eventually("the whole table", || dataplane.table() == fresh(&config)).await;
    let (full, commands) = dataplane.seen().transactions[0].clone();
    assert!(full);
    let announced = commands
        .iter()
        .filter(|command| matches!(command, Command::Announce(_)))
        .count();
    assert_eq!(announced, 2, "addresses that are newly held are announced");
    bench.patch("192.0.2.12", Some(7), None).await.unwrap();
    eventually("the new weight", || {
        backend_weight(&dataplane.table(), 12) == Some(7)
    })
    .await;
    let (full, commands) = dataplane.seen().transactions[1].clone();
    assert!(!full && commands.len() == 1, "{commands:?}");
    bench.patch("192.0.2.12:80", None, None).await.unwrap();
    eventually("the reset", || dataplane.table() == fresh(&config)).await;
    assert_eq!(dataplane.seen().transactions.len(), 3, "nothing is said twice");
}

#[tokio::test]
async fn a_dataplane_that_comes_late_or_again_gets_everything() {
    let config = config(&[2]);
    let bench = Bench::start(config.clone()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let view = bench.view().await;
    assert!(
        view.session.is_none() && view.away.is_some(),
        "control goes on without"
    );
    for round in 0..5 {
        let dataplane = bench.dataplane();
        eventually("the whole table", || dataplane.table() == fresh(&config)).await;
        assert_eq!((dataplane.seen().sessions, round), (1, round));
        drop(dataplane);
        // The link notices by itself; queries meanwhile are told so.
        let until = tokio::time::Instant::now() + Duration::from_secs(5);
        while bench.view().await.session.is_some() {
            assert!(
                tokio::time::Instant::now() < until,
                "the end of the dataplane was not noticed"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let answer = bench.view().await.link.query(Query::Neighbors).await;
        assert_eq!(answer, Err(link::QueryError::NotConnected));
    }
}

#[tokio::test]
async fn control_restarts_and_the_dataplane_loses_no_backend() {
    let config = config(&[3, 3]);
    let mut bench = Bench::start(config.clone()).await;
    let dataplane = bench.dataplane();
    for restart in 1..=5 {
        eventually("the whole table", || {
            dataplane.seen().transactions.len() == restart
        })
        .await;
        assert_eq!(dataplane.table(), fresh(&config));
        let folder = if restart % 2 == 0 {
            bench.stop().await
        } else {
            // As kill -9 does: no goodbye.
            bench.task.abort();
            let _ = bench.task.await;
            bench.folder
        };
        bench = Bench::start_in(folder, config.clone()).await;
    }
    eventually("the last session", || dataplane.seen().transactions.len() == 6).await;
    assert_eq!(
        dataplane.seen().backends_min,
        Some(6),
        "at no moment was a backend missing"
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_server_that_dies_gets_nothing_new_until_it_is_back() {
    let listener = tokio::net::TcpListener::bind(localhost()).await.unwrap();
    let server = listener.local_addr().unwrap();
    let bench = Bench::start(local(server)).await;
    let dataplane = bench.dataplane();
    let weight = || {
        dataplane
            .table()
            .backends
            .values()
            .next()
            .map(|backend| (backend.weight, backend.drain))
    };
    eventually("up at the start", || weight() == Some((1, false))).await;
    drop(listener);
    eventually("down", || weight() == Some((0, true))).await;
    let view = bench.view().await;
    assert_eq!(view.backends[0][0].standing.health, Health::Down);
    let _again = tokio::net::TcpListener::bind(server).await.unwrap();
    eventually("up again", || weight() == Some((1, false))).await;
}

#[tokio::test]
async fn checks_through_the_dataplane_do_not_count_while_it_is_away() {
    let listener = tokio::net::TcpListener::bind(localhost()).await.unwrap();
    let server = listener.local_addr().unwrap();
    drop(listener);
    let mut config = local(server);
    config.ports[0].host_interface = Some("weir0".into());
    let bench = Bench::start(config).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        bench.view().await.backends[0][0].standing.health,
        Health::Up,
        "nobody knows"
    );
    let dataplane = bench.dataplane();
    let weight = || {
        dataplane
            .table()
            .backends
            .values()
            .next()
            .map(|backend| backend.weight)
    };
    eventually("down, now that it counts", || weight() == Some(0)).await;
}

#[tokio::test]
async fn queries_are_answered_or_given_up() {
    let bench = Bench::start(config(&[1])).await;
    let dataplane = bench.dataplane();
    eventually("a session", || dataplane.seen().sessions == 1).await;
    eventually("the table", || !dataplane.seen().transactions.is_empty()).await;
    let link = bench.view().await.link;
    assert!(link.query(Query::Neighbors).await.is_ok());
    assert_eq!(
        link.query(Query::Routes).await,
        Err(link::QueryError::Failed("not in this fake".into()))
    );
    dataplane.seen().silent = true;
    let asked = tokio::time::Instant::now();
    assert_eq!(
        link.query(Query::Neighbors).await,
        Err(link::QueryError::TimedOut)
    );
    assert!(asked.elapsed() < link::QUERY_DEADLINE + Duration::from_millis(500));
    bench.patch("192.0.2.11", Some(3), None).await.unwrap();
    eventually("changes go on", || {
        backend_weight(&dataplane.table(), 11) == Some(3)
    })
    .await;
}

#[tokio::test]
async fn events_of_every_kind_are_taken() {
    let bench = Bench::start(config(&[1])).await;
    let dataplane = bench.dataplane();
    eventually("the table", || !dataplane.seen().transactions.is_empty()).await;
    dataplane.seen().events = vec![
        Event::WorkerPanicked {
            worker: 9,
            message: "boom".into(),
        },
        Event::Lost { events: 3 },
        Event::LinkChanged {
            port: weir_rings::message::PortId(77),
            up: false,
            speed_mbps: 0,
            full_duplex: false,
        },
        Event::Published {
            generation: 999,
            commands: 0,
            services: 0,
            backends: 0,
        },
    ];
    eventually("sent", || dataplane.seen().events.is_empty()).await;
    bench.patch("192.0.2.11", Some(3), None).await.unwrap();
    eventually("life goes on", || {
        backend_weight(&dataplane.table(), 11) == Some(3)
    })
    .await;
}
