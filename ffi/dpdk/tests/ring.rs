//! net_ring: what is sent comes back on the same port, until the ring is full.

mod support;

use weir_dpdk::{Burst, LcoreId, Port, PortConfig};

#[test]
fn what_a_full_queue_did_not_take_comes_back_in_order() {
    let stage = support::stage(&["net_ring0"]);
    let pool = support::pool(&stage.eal);
    let mut port = Port::open(&stage.eal, "net_ring0").unwrap();
    let (mut rx, mut tx) = support::start(&mut port, &PortConfig::default(), &pool);

    let mut sent = 0;
    let mut burst = Burst::new();
    let rest = loop {
        support::numbered(&pool, &mut burst, sent, 60, 64);
        let taken = tx.burst(&mut burst);
        sent += taken;
        if taken < 60 {
            break 60 - taken;
        }
        assert!(burst.is_empty());
        assert!(sent < 2047, "the ring never filled");
    };
    assert!(rest > 0 && rest < 60, "wanted a partial burst, {rest} were left");
    assert_eq!(burst.len(), rest);
    assert_eq!(pool.available() as usize, pool.size() as usize - sent - rest);
    assert_eq!(tx.burst(&mut burst), 0, "still full");

    // The rest goes once there is room, and everything arrives once, in order.
    let mut got = Burst::new();
    let mut next = 0;
    for _ in 0..1000 {
        tx.burst(&mut burst);
        rx.burst(&mut got);
        for packet in got.drain() {
            assert!(packet.data().len() == 64 && packet.data().iter().all(|byte| *byte == next as u8));
            next += 1;
        }
    }
    assert_eq!(next, sent + rest);
    drop((rx, tx));
    port.stop().unwrap();
    assert_eq!(pool.available(), pool.size());
}

#[test]
fn a_worker_forwards_and_hands_its_queues_back() {
    const PACKETS: usize = 10_000;
    let stage = support::stage(&["net_ring0"]);
    let pool = support::pool(&stage.eal);
    let mut port = Port::open(&stage.eal, "net_ring0").unwrap();
    let (mut rx, mut tx) = support::start(&mut port, &PortConfig::default(), &pool);
    let mut burst = Burst::new();
    support::numbered(&pool, &mut burst, 0, 32, 60);
    let (sender, queues) = std::sync::mpsc::channel();
    let work = move || {
        let mut moved = tx.burst(&mut burst);
        while moved < PACKETS {
            rx.burst(&mut burst);
            for packet in burst.iter_mut() {
                let first = packet.data()[0];
                assert!(packet.trim_front(1));
                packet.append(1).unwrap()[0] = first;
                assert!(packet.headroom() < 1000 || packet.prepend(800).is_some() && packet.trim_back(800));
            }
            moved += tx.burst(&mut burst);
        }
        sender.send((rx, tx)).unwrap();
    };
    stage.eal.launch(LcoreId(1), work).unwrap().join().unwrap();
    let (mut rx, tx) = queues.recv().unwrap();
    let mut burst = Burst::new();
    assert_eq!(rx.burst(&mut burst), 32);
    burst.clear();
    drop((rx, tx));
    port.stop().unwrap();
    assert_eq!(pool.available(), pool.size());
    let stats = port.stats().unwrap();
    assert!(
        stats.tx_packets >= PACKETS as u64 && stats.rx_packets == stats.tx_packets,
        "{stats:?}"
    );
}
