//! Workers: one that panics is reported and takes nobody with it.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use weir_dpdk::{Burst, Error, LcoreId};

fn wait_for(what: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(Instant::now() < deadline, "waited 10 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_panicking_worker_is_reported_and_the_other_goes_on() {
    let stage = support::stage(&[]);
    let stop = Arc::new(AtomicBool::new(false));
    let turns = Arc::new(AtomicU64::new(0));
    let steady = {
        let (stop, turns) = (Arc::clone(&stop), Arc::clone(&turns));
        let work = move || {
            while !stop.load(Ordering::Relaxed) {
                turns.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
            }
        };
        stage.eal.launch(LcoreId(1), work).unwrap()
    };
    let mut failing = stage
        .eal
        .launch(LcoreId(2), || panic!("queue {} is gone", 3))
        .unwrap();
    wait_for(|| turns.load(Ordering::Relaxed) > 0);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !failing.is_finished() {
        assert!(Instant::now() < deadline, "waited 10 s");
        std::thread::sleep(Duration::from_millis(1));
    }
    let panic = failing.join().unwrap_err();
    assert_eq!((panic.lcore, panic.message.as_str()), (2, "queue 3 is gone"));

    let after_panic = turns.load(Ordering::Relaxed);
    wait_for(|| turns.load(Ordering::Relaxed) > after_panic);
    stop.store(true, Ordering::Relaxed);
    assert_eq!(steady.join(), Ok(()));
}

#[test]
fn an_lcore_can_be_used_again_after_a_panic() {
    let stage = support::stage(&[]);
    for round in 0..3 {
        let panic = stage
            .eal
            .launch(LcoreId(1), move || panic!("{round}"))
            .unwrap()
            .join()
            .unwrap_err();
        assert_eq!(panic.message, round.to_string());
        let lcore = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&lcore);
        let work = move || {
            seen.store(
                LcoreId::current().map_or(0, |id| u64::from(id.0)),
                Ordering::Relaxed,
            )
        };
        stage.eal.launch(LcoreId(1), work).unwrap().join().unwrap();
        assert_eq!(lcore.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn only_idle_workers_are_accepted() {
    let stage = support::stage(&[]);
    for wrong in [0, 3, 500, u32::MAX] {
        let error = stage.eal.launch(LcoreId(wrong), || ()).unwrap_err();
        assert!(matches!(error, Error::NotAWorker { .. }), "{error}");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let work = move || {
        while !seen.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    };
    let busy = stage.eal.launch(LcoreId(1), work).unwrap();
    let error = stage.eal.launch(LcoreId(1), || ()).unwrap_err();
    assert!(matches!(error, Error::Launch { lcore: 1, .. }), "{error}");
    stop.store(true, Ordering::Relaxed);
    busy.join().unwrap();
}

#[test]
fn packets_a_panicking_worker_held_come_home() {
    let stage = support::stage(&[]);
    let pool = support::pool(&stage.eal);
    let mut burst = Burst::new();
    assert!(pool.alloc_into(&mut burst, 32));
    let work = move || {
        let held = burst;
        panic!("with {} packets in hand", held.len());
    };
    let panic = stage.eal.launch(LcoreId(1), work).unwrap().join().unwrap_err();
    assert_eq!(panic.message, "with 32 packets in hand");
    assert_eq!(pool.available(), pool.size());
}
