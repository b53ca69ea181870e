//! The ring against an oracle, against a hostile peer, and, under loom, over every interleaving.

use super::{Consumer, Producer, PushError, lines};
use crate::memory::Lines;

fn pair<const W: usize>(capacity: u32) -> (Producer<W>, Consumer<W>, Lines) {
    let memory = Lines::heap(lines::<W>(capacity));
    let producer = Producer::new(memory.clone(), capacity).expect("a valid ring");
    let consumer = Consumer::new(memory.clone(), capacity).expect("a valid ring");
    (producer, consumer, memory)
}

#[cfg(loom)]
mod model {
    use loom::thread;

    use super::*;

    /// Two words show a torn record; two places show a wrap and a full ring.
    #[test]
    fn loom_records_arrive_whole_in_order_and_none_is_overwritten() {
        loom::model(|| {
            let (mut producer, mut consumer, _memory) = pair::<2>(2);
            let thread = thread::spawn(move || {
                let mut sent = 0;
                for n in 1..=3_u64 {
                    match producer.push(&[n, n]) {
                        Ok(()) => sent += 1,
                        Err(PushError::Full) => break,
                        Err(PushError::Peer(fault)) => panic!("{fault}"),
                    }
                }
                sent
            });
            let mut got = 0;
            for _ in 0..3 {
                if let Some([a, b]) = consumer.pop().expect("an honest peer") {
                    got += 1;
                    assert_eq!((a, b), (got, got));
                }
            }
            let sent = thread.join().expect("producer");
            while let Some(record) = consumer.pop().expect("an honest peer") {
                got += 1;
                assert_eq!(record, [got, got]);
            }
            assert_eq!(got, sent);
        });
    }

    #[test]
    fn loom_a_full_ring_takes_records_again() {
        loom::model(|| {
            let (mut producer, mut consumer, _memory) = pair::<1>(1);
            producer.push(&[1]).expect("room");
            let thread = thread::spawn(move || consumer.pop().expect("an honest peer"));
            let second = producer.push(&[2]);
            assert!(second.is_ok() || second == Err(PushError::Full));
            assert_eq!(thread.join().expect("consumer"), Some([1]));
            assert_eq!(producer.push(&[3]).is_ok(), second.is_err());
        });
    }
}

#[cfg(not(loom))]
mod threads {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::message::RECORD_WORDS;
    use crate::testing::seeded;
    use rand::Rng;

    #[test]
    fn random_pushes_and_pops_match_a_queue() {
        let mut rng = seeded("random_pushes_and_pops_match_a_queue");
        for capacity in [1, 2, 8, 64] {
            let (mut producer, mut consumer, _) = pair::<3>(capacity);
            let mut oracle = VecDeque::new();
            for n in 0..100_000_u64 {
                if rng.random() {
                    let full = oracle.len() == capacity as usize;
                    assert_eq!(
                        producer.push(&[n, !n, n ^ 7]),
                        if full { Err(PushError::Full) } else { Ok(()) }
                    );
                    if !full {
                        oracle.push_back([n, !n, n ^ 7]);
                    }
                } else {
                    assert_eq!(consumer.pop(), Ok(oracle.pop_front()));
                }
            }
        }
    }

    #[test]
    fn bad_sizes_are_no_rings() {
        assert!(Producer::<32>::new(Lines::heap(100), 0).is_none());
        assert!(Producer::<32>::new(Lines::heap(1000), 3).is_none());
        assert!(Consumer::<32>::new(Lines::heap(lines::<32>(4) - 1), 4).is_none());
    }

    /// Every way a counter can lie, for the consumer.
    #[test]
    fn a_consumer_believes_only_what_is_possible() {
        for (produced, believed) in [
            (1, true),
            (4, true),
            (5, false),
            (u64::MAX, false),
            (1 << 63, false),
        ] {
            let (_, mut consumer, memory) = pair::<1>(4);
            memory[super::super::PRODUCED].0[0].set(produced);
            assert_eq!(consumer.pop().is_ok(), believed, "{produced}");
            if !believed {
                memory[super::super::PRODUCED].0[0].set(1);
                assert!(consumer.pop().is_err(), "a fault must stay");
            }
        }
    }

    /// Every way a counter can lie, for the producer.
    #[test]
    fn a_producer_believes_only_what_is_possible() {
        for (consumed, outcome) in [(0, Some(PushError::Full)), (1, None), (4, None)] {
            let (mut producer, _, memory) = pair::<1>(4);
            (0..4).for_each(|n| producer.push(&[n]).expect("room"));
            memory[super::super::CONSUMED].0[0].set(consumed);
            assert_eq!(producer.push(&[9]).err(), outcome);
        }
        for consumed in [5, u64::MAX, 1 << 63] {
            let (mut producer, _, memory) = pair::<1>(4);
            (0..4).for_each(|n| producer.push(&[n]).expect("room"));
            memory[super::super::CONSUMED].0[0].set(consumed);
            assert!(
                matches!(producer.push(&[9]), Err(PushError::Peer(_))),
                "{consumed}"
            );
        }
    }

    /// A peer writes random words everywhere while both sides work: no fault, no hang, every lie a counted error.
    #[test]
    fn a_scribbling_peer_does_no_harm() {
        const CAPACITY: u32 = 16;
        let memory = Lines::heap(lines::<RECORD_WORDS>(CAPACITY));
        let done = Arc::new(AtomicBool::new(false));
        let scribbler = {
            let (memory, done) = (memory.clone(), done.clone());
            let mut rng = seeded("a_scribbling_peer_does_no_harm");
            thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let line = if rng.random_ratio(1, 4) {
                        rng.random_range(0..4)
                    } else {
                        rng.random_range(0..memory.len())
                    };
                    let value = if rng.random() {
                        rng.random()
                    } else {
                        rng.random_range(0..64)
                    };
                    memory[line].0[rng.random_range(0..8)].set(value);
                }
            })
        };
        let (mut faults, mut records) = (0_u64, 0_u64);
        let end = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < end {
            let mut producer = Producer::<RECORD_WORDS>::new(memory.clone(), CAPACITY).expect("a valid ring");
            let mut consumer = Consumer::<RECORD_WORDS>::new(memory.clone(), CAPACITY).expect("a valid ring");
            for n in 0..200 {
                faults += u64::from(matches!(
                    producer.push(&[n; RECORD_WORDS]),
                    Err(PushError::Peer(_))
                ));
                match consumer.pop() {
                    Ok(Some(record)) => {
                        records += 1;
                        // Whatever it is, decoding is a value or an error.
                        let _ = crate::message::Message::decode(&record);
                        let _ = crate::message::Event::decode(&record);
                    }
                    Ok(None) => {}
                    Err(_) => faults += 1,
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        scribbler.join().expect("scribbler");
        assert!(faults > 0 && records > 0, "{faults} faults, {records} records");
    }

    #[test]
    fn a_million_records_cross_threads_in_order() {
        let (mut producer, mut consumer, _) = pair::<RECORD_WORDS>(1024);
        let sender = thread::spawn(move || {
            for n in 0..1_000_000_u64 {
                while producer.push(&[n; RECORD_WORDS]).is_err() {
                    thread::yield_now();
                }
            }
        });
        let start = Instant::now();
        let mut next = 0;
        while next < 1_000_000 {
            match consumer.pop().expect("an honest peer") {
                Some(record) => {
                    assert_eq!(record, [next; RECORD_WORDS]);
                    next += 1;
                }
                None => thread::yield_now(),
            }
        }
        sender.join().expect("sender");
        let elapsed = start.elapsed();
        assert!(
            elapsed < Duration::from_secs(20),
            "1,000,000 records took {elapsed:?}"
        );
    }
}
