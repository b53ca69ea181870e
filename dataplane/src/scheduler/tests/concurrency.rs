//! Two workers on one state at the same time: together they must do what one would.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

use super::*;

const WORKERS: u32 = 2;

/// Runs `work` on two threads, and adds up the picks per server.
fn together(servers: usize, work: impl Fn(Rng) -> Vec<u32> + Sync) -> Vec<u32> {
    thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || work(Rng(u64::from(worker)))))
            .collect();
        let tallies = workers.into_iter().map(|worker| worker.join().unwrap());
        tallies.fold(vec![0; servers], |sum, tally| {
            sum.iter().zip(tally).map(|(a, b)| a + b).collect()
        })
    })
}

fn tally(state: &State, picks: u32, mut rng: Rng, load: impl Fn(u32) -> Load) -> Vec<u32> {
    let mut tally = vec![0; state.servers().len()];
    for _ in 0..picks {
        let index = state.pick(&input(&mut rng), &load).unwrap();
        tally[index] += 1;
    }
    tally
}

#[test]
fn rr_of_two_workers_is_exactly_even() {
    let state = state(SchedulerKind::Rr, Flags::default(), servers(&[1; 7]));
    let got = together(7, |rng| tally(&state, 350_000, rng, idle));
    assert_eq!(got, [100_000; 7]);
}

#[test]
fn wrr_of_two_workers_is_exactly_by_weight() {
    let state = state(SchedulerKind::Wrr, Flags::default(), servers(&[1, 2, 3, 4]));
    let got = together(4, |rng| tally(&state, 250_000, rng, idle));
    assert_eq!(got, [50_000, 100_000, 150_000, 200_000]);
}

/// Counts are global: what one worker opens the other sees, so no server gets ahead by more than is in flight.
#[test]
fn lc_of_two_workers_levels_all_servers() {
    let state = state(SchedulerKind::Lc, Flags::default(), servers(&[1; 5]));
    let opened: [AtomicU32; 5] = Default::default();
    let load = |slot: u32| Load {
        active: opened[slot as usize].load(Relaxed),
        inactive: 0,
    };
    together(5, |mut rng| {
        for _ in 0..50_000 {
            let index = state.pick(&input(&mut rng), load).unwrap();
            opened[index].fetch_add(1, Relaxed);
        }
        vec![0; 5]
    });
    let opened = opened.map(AtomicU32::into_inner);
    assert_eq!(opened.iter().sum::<u32>(), 100_000);
    let spread = opened.iter().max().unwrap() - opened.iter().min().unwrap();
    assert!(spread <= WORKERS, "{opened:?}");
}

#[test]
fn a_threshold_is_passed_by_at_most_what_is_in_flight() {
    for _ in 0..200 {
        let mut pool = servers(&[1; 3]);
        for server in &mut pool {
            server.upper_threshold = 50;
        }
        let state = state(SchedulerKind::Wlc, Flags::default(), pool);
        let opened: [AtomicU32; 3] = Default::default();
        let load = |slot: u32| Load {
            active: 0,
            inactive: opened[slot as usize].load(Relaxed),
        };
        together(3, |mut rng| {
            while let Some(index) = state.pick(&input(&mut rng), load) {
                opened[index].fetch_add(1, Relaxed);
            }
            vec![0; 3]
        });
        let opened = opened.map(AtomicU32::into_inner);
        assert!(
            opened.iter().all(|count| (50..50 + WORKERS).contains(count)),
            "{opened:?}"
        );
    }
}

/// A reader never sees half of a change: each set written is a run of numbers that starts at its time stamp.
#[test]
fn the_locality_cache_never_shows_half_a_change() {
    const LOOKS: u32 = 50_000;
    let cache = locality::Cache::<8>::new(8);
    let addresses: Vec<IpAddr> = (0..3)
        .map(|number| IpAddr::V4(Ipv4Addr::from_bits(number)))
        .collect();
    let seen = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            // For as long as somebody looks: whichever thread runs first, the other has its turn beside it.
            for change in (0..).take_while(|_| seen.load(Relaxed) < LOOKS) {
                cache.change(addresses[change as usize % 3], 0, |set| {
                    set.replace(change, change);
                    for step in 1..8 {
                        set.insert(change + step, change);
                    }
                });
                thread::yield_now();
            }
        });
        scope.spawn(|| {
            for look in (0..).take_while(|_| seen.load(Relaxed) < LOOKS) {
                let Some(set) = cache.get(addresses[look % 3], 0, true) else {
                    thread::yield_now();
                    continue;
                };
                let expected: Vec<u32> = (0..8).rev().map(|step| set.changed_s + step).collect();
                // It must not leave the writer waiting for it.
                let whole = set.slots() == expected;
                seen.fetch_add(if whole { 1 } else { LOOKS }, Relaxed);
                assert!(whole, "{:?} are not {expected:?}", set.slots());
            }
        });
    });
}
