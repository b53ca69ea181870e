//! Taking configurations: whole or not at all.

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use weir_rings::message::Event;

#[tokio::test]
async fn many_random_configurations_each_leave_what_a_fresh_start_makes() {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(7);
    let mut rng = SmallRng::seed_from_u64(seed);
    let bench = Bench::start(config(&[1])).await;
    let dataplane = bench.dataplane();
    for round in 0..200 {
        let backends: Vec<u8> = (0..rng.random_range(0..4))
            .map(|_| rng.random_range(0..6))
            .collect();
        // Flows end at once, so that nothing of the old configuration is left to drain.
        let config = config_with(&backends, "[ipvs]\nexpire_nodest_conn = true");
        let applied = bench.propose(&config, true).await;
        assert!(applied.is_ok(), "WEIR_SEED={seed}, round {round}: {applied:?}");
        eventually("the table of a fresh start", || {
            dataplane.table() == fresh(&config)
        })
        .await;
    }
}

#[tokio::test]
async fn what_the_dataplane_refuses_changes_nothing() {
    let old = config(&[2]);
    let bench = Bench::start(old.clone()).await;
    let dataplane = bench.dataplane();
    eventually("the table", || dataplane.table() == fresh(&old)).await;
    dataplane.seen().refuse_vip = Some(101);
    let refused = bench.apply(&config(&[2, 2])).await.unwrap_err();
    assert!(refused.error.contains("raise services_max"), "{refused:?}");
    let view = bench.view().await;
    assert_eq!(*view.config, old);
    assert!(view.last_error.is_some());
    bench.patch("192.0.2.12", Some(9), None).await.unwrap();
    eventually("the old configuration lives on", || {
        backend_weight(&dataplane.table(), 12) == Some(9)
    })
    .await;
    dataplane.seen().refuse_vip = None;
    assert!(
        bench.apply(&config(&[2, 2])).await.is_ok(),
        "it may be tried again"
    );
    assert_eq!(bench.view().await.last_error, None);
}

#[tokio::test]
async fn a_configuration_refused_at_connecting_is_reported_and_retried_when_it_changes() {
    let bench = Bench::start(config(&[2, 2])).await;
    let dataplane = bench.dataplane();
    dataplane.seen().refuse_vip = Some(101);
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    while bench.view().await.last_error.is_none() && dataplane.seen().transactions.is_empty() {
        assert!(
            tokio::time::Instant::now() < until,
            "neither refused nor published"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(bench.apply(&config(&[2])).await.is_ok());
    eventually("the smaller table", || dataplane.table() == fresh(&config(&[2]))).await;
}

#[tokio::test]
async fn taking_much_away_needs_a_confirmation() {
    let old = config(&[4]);
    let bench = Bench::start(old.clone()).await;
    let dataplane = bench.dataplane();
    eventually("the table", || dataplane.table() == fresh(&old)).await;
    for less in [config(&[1]), config(&[]), config(&[0])] {
        let refused = bench.apply(&less).await.unwrap_err();
        assert!(
            refused.error.contains("not applied without confirmation"),
            "{refused:?}"
        );
        assert!(refused.help.contains("--confirm"), "{refused:?}");
        assert_eq!(dataplane.table(), fresh(&old));
    }
    bench.propose(&config(&[]), true).await.unwrap();
    eventually("an empty table, as confirmed", || {
        dataplane.table() == fresh(&config(&[]))
    })
    .await;
}

#[tokio::test]
async fn without_a_dataplane_a_configuration_is_taken_and_sent_later() {
    let bench = Bench::start(config(&[1])).await;
    let new = config(&[2, 2]);
    let applied = bench.apply(&new).await.unwrap();
    assert_eq!(applied.generation, None);
    let dataplane = bench.dataplane();
    eventually("the new table", || dataplane.table() == fresh(&new)).await;
}

#[tokio::test]
async fn broken_files_change_nothing_at_sighup() {
    let old = config(&[2]);
    let bench = Bench::start(old.clone()).await;
    let dataplane = bench.dataplane();
    eventually("the table", || dataplane.table() == fresh(&old)).await;
    let file = bench.folder.path().join("weir.toml");
    for broken in ["", "[[service", "[[service]]\nname = 1", "\0\0\0"] {
        write(&file, broken);
        bench.requests.send(Request::Reload).await.unwrap();
        let view = bench.view().await;
        assert_eq!(*view.config, old, "{broken:?}");
        assert!(view.last_error.is_some(), "{broken:?}");
    }
    std::fs::remove_file(&file).unwrap();
    bench.requests.send(Request::Reload).await.unwrap();
    assert_eq!(*bench.view().await.config, old);
    write(&file, &config(&[2, 1]).to_toml());
    bench.requests.send(Request::Reload).await.unwrap();
    eventually("the good file", || dataplane.table() == fresh(&config(&[2, 1]))).await;
    assert_eq!(dataplane.seen().transactions.len(), 2);
}

#[tokio::test]
async fn overrides_outlive_reloads_that_leave_their_backend_alone() {
    let bench = Bench::start(config(&[2])).await;
    let dataplane = bench.dataplane();
    bench.patch("192.0.2.11", Some(5), None).await.unwrap();
    bench.patch("192.0.2.12:80", None, Some(true)).await.unwrap();
    eventually("both", || {
        let table = dataplane.table();
        (backend_weight(&table, 11), backend_weight(&table, 12)) == (Some(5), Some(0))
    })
    .await;
    bench.apply(&config(&[3, 1])).await.unwrap();
    let table = dataplane.table();
    assert_eq!(
        (backend_weight(&table, 11), backend_weight(&table, 12)),
        (Some(5), Some(0))
    );
    assert_eq!(
        bench.view().await.backends[0][0].set.weight,
        Some(5),
        "and they are shown"
    );
    let mut reweighed = config(&[3, 1]);
    reweighed.services[0].backends[0].weight = 8;
    bench.apply(&reweighed).await.unwrap();
    assert_eq!(
        backend_weight(&dataplane.table(), 11),
        Some(8),
        "the configuration has the last word"
    );
    assert_eq!(bench.view().await.backends[0][0].set.weight, None);
}

#[tokio::test]
async fn removed_backends_keep_their_flows_until_they_end() {
    let bench = Bench::start(config(&[3])).await;
    let dataplane = bench.dataplane();
    eventually("the table", || dataplane.table() == fresh(&config(&[3]))).await;
    // The dataplane counts a flow of .13 and none of .12.
    let table = dataplane.table();
    let ((service, key), _) = table.backends.iter().nth(2).unwrap();
    let directory = dataplane.counters.directory().unwrap();
    directory.set_service(0, service, 1);
    directory.set_backend(0, 0, key, 1);
    let worker = dataplane.counters.worker(0).unwrap();
    worker.backend(0).unwrap().active().add(1);
    bench.apply(&config(&[2])).await.unwrap();
    let held = dataplane.table();
    assert_eq!(held.backends.len(), 3);
    assert!(held.backends[&(*service, *key)].drain, "no new flows");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(dataplane.table().backends.len(), 3, "it waits for the flow");
    dataplane.seen().events.push(Event::BackendDrained {
        service: *service,
        backend: *key,
    });
    eventually("gone", || dataplane.table() == fresh(&config(&[2]))).await;
    bench.propose(&config(&[1]), true).await.unwrap();
    assert_eq!(
        dataplane.table(),
        fresh(&config(&[1])),
        "one without flows goes at once"
    );
}

#[tokio::test]
async fn unknown_backends_cannot_be_changed() {
    let bench = Bench::start(config(&[2])).await;
    let none = bench.patch("192.0.2.99", Some(1), None).await;
    assert!(matches!(none, Err(PatchError::NoBackend { .. })), "{none:?}");
    let nonsense = bench.patch("", Some(1), None).await;
    assert!(
        matches!(nonsense, Err(PatchError::NoBackend { .. })),
        "{nonsense:?}"
    );
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_taken() {
    let bench = Bench::start(config(&[1])).await;
    let mut new = config(&[1, 1]);
    new.dataplane.flows_max = 5_000;
    let applied = bench.apply(&new).await.unwrap();
    assert!(
        applied.changes.iter().any(|change| change.needs_restart),
        "{:?}",
        applied.changes
    );
    let pending = bench.view().await.restart_pending;
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].key.as_deref(), Some("flows_max"));
    assert_eq!(bench.view().await.config.services.len(), 2);
}
