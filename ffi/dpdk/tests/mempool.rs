//! Pools and bursts: every packet is somewhere, exactly once.

mod support;

use weir_dpdk::{Burst, HEADROOM};

#[test]
fn packets_come_home_by_every_way_of_dropping_them() {
    let stage = support::stage(&[]);
    let pool = support::pool(&stage.eal);
    assert_eq!((pool.available(), pool.size()), (2047, 2047));

    let packet = pool.alloc().unwrap();
    assert_eq!(
        (packet.total_len(), packet.segments(), packet.headroom()),
        (0, 1, usize::from(HEADROOM))
    );
    assert_eq!(pool.available(), 2046);
    drop(packet);
    assert_eq!(pool.available(), 2047);

    let mut burst = Burst::new();
    assert!(pool.alloc_into(&mut burst, 60));
    assert_eq!((burst.len(), pool.available()), (60, 1987));
    drop(burst.pop());
    assert_eq!(pool.available(), 1988);
    burst.clear();
    assert_eq!((burst.len(), pool.available()), (0, 2047));

    assert!(pool.alloc_into(&mut burst, 10));
    let mut drain = burst.drain();
    assert_eq!(drain.len(), 10);
    let first = drain.next();
    drop(drain);
    assert_eq!((burst.len(), pool.available()), (0, 2046));
    drop(first);
    assert!(pool.alloc_into(&mut burst, 10));
    drop(burst);
    assert_eq!(pool.available(), 2047);
}

#[test]
fn an_empty_pool_and_a_full_burst_give_nothing() {
    let stage = support::stage(&[]);
    let pool = support::pool(&stage.eal);
    let mut held = Vec::new();
    while let Some(packet) = pool.alloc() {
        held.push(packet);
    }
    assert_eq!(held.len(), 2047);
    let mut burst = Burst::new();
    assert!(!pool.alloc_into(&mut burst, 1));
    assert!(burst.is_empty());

    held.truncate(1947);
    assert_eq!(pool.available(), 100);
    assert!(pool.alloc_into(&mut burst, Burst::CAPACITY));
    assert!(burst.is_full());
    assert!(!pool.alloc_into(&mut burst, 1));
    let refused = burst.push(pool.alloc().unwrap()).unwrap_err();
    assert_eq!(pool.available(), 35);
    drop((refused, burst, held));
    assert_eq!(pool.available(), 2047);
}

#[test]
fn packets_freed_on_another_thread_come_home() {
    let stage = support::stage(&[]);
    let pool = support::pool(&stage.eal);
    let mut burst = Burst::new();
    support::numbered(&pool, &mut burst, 0, 50, 60);
    std::thread::scope(|scope| {
        scope.spawn(|| drop(burst));
        scope.spawn(|| drop(pool.alloc().unwrap()));
    });
    assert_eq!(pool.available(), 2047);
}

#[test]
fn a_burst_is_an_ordered_vector() {
    let stage = support::stage(&[]);
    let pool = support::pool(&stage.eal);
    let mut burst = Burst::new();
    support::numbered(&pool, &mut burst, 0, 5, 1);
    let last = burst.pop().unwrap();
    burst.swap(0, 3);
    burst.push(last).unwrap();
    let order: Vec<u8> = burst.drain().map(|packet| packet.data()[0]).collect();
    assert_eq!(order, [3, 1, 2, 0, 4]);
    assert_eq!(pool.available(), pool.size());
}
