//! A page on the heap and in shared memory, its directory, and pages that are none.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::Rng;

use super::{Counters, CountersError, CountersReader, LoadCounts, Shape, SignCounts};
use crate::memory::Lines;
use crate::message::{BackendKey, PortId, arbitrary};
use crate::testing::seeded;

const SHAPE: Shape = Shape {
    workers: 2,
    ports: 3,
    reasons: 21,
    services: 5,
    backends: 7,
};

/// Gives every cell of a page a value of its own and finds each where it was put.
fn fill_and_check(page: &Counters, reader: &CountersReader) {
    for w in 0..2_u16 {
        let worker = page.worker(w).expect("a worker");
        let base = 1000 * u64::from(w);
        worker.row().rx_packets().add(base + 1);
        worker.row().out_of_shape().add(base + 2);
        (0..21).for_each(|r| worker.reason(r).add(base + 100 + r as u64));
        (0..3).for_each(|p| {
            worker
                .port(PortId(p))
                .expect("a port")
                .tx_bytes()
                .add(base + u64::from(p))
        });
        (0..5).for_each(|s| {
            worker
                .service(s)
                .expect("a slot")
                .connections()
                .add(base + u64::from(s))
        });
        (0..7).for_each(|b| {
            worker
                .backend(b)
                .expect("a slot")
                .persistent()
                .add(base + u64::from(b));
            let signs = worker.signs(b).expect("a slot");
            signs.answered().add(base + 50 + u64::from(b));
            signs.refused().add(base + 70 + u64::from(b));
        });
    }
    for w in 0..2_u16 {
        let base = 1000 * u64::from(w);
        assert_eq!(
            reader.worker(w).map(|row| (row.rx_packets, row.out_of_shape)),
            Some((base + 1, base + 2))
        );
        (0..21).for_each(|r| assert_eq!(reader.reason(w, r), Some(base + 100 + r as u64)));
        (0..3).for_each(|p| {
            assert_eq!(
                reader.port(w, PortId(p)).map(|c| c.tx_bytes),
                Some(base + u64::from(p))
            );
        });
        (0..5).for_each(|s| {
            assert_eq!(
                reader.service(w, s).map(|c| c.connections),
                Some(base + u64::from(s))
            )
        });
        (0..7).for_each(|b| {
            assert_eq!(
                reader.backend(w, b).map(|c| c.persistent),
                Some(base + u64::from(b))
            )
        });
    }
    assert_eq!(reader.reason_total(20), 120 + 1120);
    assert_eq!(reader.port_total(PortId(2)).tx_bytes, 2 + 1002);
    assert_eq!(reader.service_total(4).connections, 4 + 1004);
    assert_eq!(reader.backend_total(6).persistent, 6 + 1006);
    let signs = reader.signs_total(6);
    assert_eq!(
        (signs.answered, signs.repeated, signs.refused),
        (56 + 1056, 0, 76 + 1076)
    );
    assert_eq!(reader.signs_total(7), SignCounts::default());
    assert_eq!(reader.worker_total().rx_packets, 1 + 1001);
    assert_eq!(reader.worker(2), None);
    assert_eq!(reader.reason(0, 21), None);
    assert_eq!(reader.port(0, PortId(3)), None);
    assert_eq!(reader.service(0, 5), None);
    assert_eq!(reader.backend(1, 7), None);
}

#[test]
fn a_heap_page_counts() {
    let page = Counters::heap(SHAPE).expect("a page");
    fill_and_check(&page, &page.reader());
}

#[test]
fn a_shared_page_is_read_through_its_file_and_written_by_nobody_else() {
    let page = Counters::shared(SHAPE).expect("a page");
    let file = page.file().expect("a file");
    fill_and_check(&page, &CountersReader::attach(&file).expect("attaches"));
    assert!(
        crate::segment::map(&file).is_err(),
        "the peer must not map it for writing"
    );
    assert!(
        rustix::fs::ftruncate(file, 64).is_err(),
        "the peer must not shrink it"
    );
}

#[test]
fn each_handle_is_given_once_at_a_time() {
    let page = Counters::heap(SHAPE).expect("a page");
    let first = page.worker(1);
    assert!(first.is_some() && page.worker(1).is_none() && page.worker(0).is_some());
    drop(first);
    assert!(page.worker(1).is_some() && page.worker(2).is_none());
    let directory = page.directory();
    assert!(directory.is_some() && page.directory().is_none());
    drop(directory);
    assert!(page.directory().is_some());
}

#[test]
fn what_is_out_of_shape_is_counted_as_that() {
    let page = Counters::heap(SHAPE).expect("a page");
    let worker = page.worker(0).expect("a worker");
    worker.reason(21).add(1);
    worker.reason(usize::MAX).add(1);
    assert!(worker.port(PortId(3)).is_none());
    assert!(worker.service(5).is_none());
    assert!(worker.backend(u32::MAX).is_none());
    assert_eq!(page.reader().worker(0).map(|row| row.out_of_shape), Some(5));
}

#[test]
fn the_directory_names_slots_and_clears_them() {
    let mut rng = seeded("the_directory_names_slots_and_clears_them");
    let page = Counters::heap(SHAPE).expect("a page");
    let (directory, reader) = (page.directory().expect("first"), page.reader());
    assert_eq!(reader.service_slots().count() + reader.backend_slots().count(), 0);
    for generation in 1..1000 {
        let (key, slot) = (arbitrary::service_key(&mut rng), rng.random_range(0..5));
        assert!(directory.set_service(slot, &key, generation));
        assert_eq!(
            reader.service_slot(slot).map(|s| (s.key, s.generation)),
            Some((key, generation))
        );
        let (key, slot) = (
            BackendKey {
                address: key.address,
                port: rng.random(),
            },
            rng.random_range(0..7),
        );
        assert!(directory.set_backend(slot, 3, &key, generation));
        let entry = reader.backend_slot(slot).expect("an entry");
        assert_eq!(
            (entry.key, entry.service_slot, entry.generation),
            (key, 3, generation)
        );
    }
    let worker = page.worker(1).expect("a worker");
    worker.backend(4).expect("a slot").packets_in().add(9);
    worker.signs(4).expect("a slot").answered().add(9);
    assert!(directory.clear_backend(4) && directory.clear_service(0));
    assert_eq!(reader.backend_slot(4), None);
    assert_eq!(reader.backend_total(4), LoadCounts::default());
    assert_eq!(reader.signs_total(4), SignCounts::default());
    assert!(!directory.clear_service(5) && !directory.clear_backend(7));
}

/// A reader sees one entry or the other, never a mixture.
#[test]
fn directory_entries_are_never_torn() {
    let page = Counters::heap(SHAPE).expect("a page");
    let (directory, reader) = (page.directory().expect("first"), page.reader());
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let done = done.clone();
        thread::spawn(move || {
            let mut n = 1_u64;
            while !done.load(Ordering::Relaxed) {
                let low = (n % 50_000) as u16;
                let key = BackendKey {
                    address: [198, 18, (low >> 8) as u8, low as u8].into(),
                    port: low,
                };
                directory.set_backend(0, low.into(), &key, low.into());
                n += 1;
                thread::yield_now();
            }
        })
    };
    let (mut seen, end) = (0, Instant::now() + Duration::from_secs(10));
    while seen < 100_000 && Instant::now() < end {
        if let Some(entry) = reader.backend_slot(0) {
            seen += 1;
            let address =
                std::net::IpAddr::from([198, 18, (entry.key.port >> 8) as u8, entry.key.port as u8]);
            assert_eq!(entry.generation, u64::from(entry.key.port));
            assert_eq!(
                (entry.service_slot, entry.key.address),
                (entry.key.port.into(), address)
            );
        }
    }
    done.store(true, Ordering::Relaxed);
    writer.join().expect("writer");
    assert!(seen > 0, "no entry in 10 s");
}

#[test]
fn shapes_have_bounds() {
    let none = Shape { workers: 0, ..SHAPE };
    assert!(
        matches!(Counters::heap(none), Err(CountersError::Shape(e)) if e.to_string().contains("0 workers"))
    );
    let all = Shape {
        workers: u32::MAX,
        ports: u32::MAX,
        reasons: u32::MAX,
        services: u32::MAX,
        backends: u32::MAX,
    };
    assert!(all.bytes().is_err());
    let bytes = Shape {
        services: 0,
        backends: 0,
        ports: 0,
        reasons: 0,
        workers: 1,
    }
    .bytes();
    assert_eq!(bytes.ok(), Some(64 * 3));
}

/// Whatever the header says, attaching is an error or a page inside the mapping.
#[test]
fn hostile_headers_attach_to_nothing_outside_the_mapping() {
    let mut rng = seeded("hostile_headers_attach_to_nothing_outside_the_mapping");
    let good = Counters::heap(SHAPE).expect("a page");
    let words: [u64; 8] = core::array::from_fn(|n| good.reader.lines[0].0[n].get());
    let (mut attached, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let lines = Lines::heap(good.reader.lines.len());
        for (cell, word) in lines[0].0.iter().zip(words) {
            cell.set(word);
        }
        let at = rng.random_range(0..8);
        let value = if rng.random() {
            words[at] ^ 1 << rng.random_range(0..64)
        } else {
            rng.random()
        };
        lines[0].0[at].set(value);
        let Ok(reader) = CountersReader::from_lines(lines) else {
            refused += 1;
            continue;
        };
        attached += 1;
        let shape = reader.shape();
        let last = u16::try_from(shape.workers - 1).expect("bounded");
        assert!(reader.worker(last).is_some());
        assert_eq!(
            reader.backend(last, shape.backends.wrapping_sub(1)).is_some(),
            shape.backends > 0
        );
        assert!(reader.service_slots().chain(None).count() == 0 && reader.backend_slots().count() == 0);
    }
    assert!(
        attached > 0 && refused > 0,
        "{attached} attached, {refused} refused"
    );
}

#[test]
fn other_files_are_refused() {
    let unsealed = rustix::fs::memfd_create(c"test", rustix::fs::MemfdFlags::ALLOW_SEALING).expect("a memfd");
    rustix::fs::ftruncate(&unsealed, 4096).expect("sized");
    assert!(CountersReader::attach(&unsealed).is_err());
    let file = tempfile::tempfile().expect("a file");
    assert!(CountersReader::attach(&file).is_err());
    let (sealed, _lines) = crate::segment::create(c"test", 4).expect("a segment");
    crate::segment::seal(&sealed).expect("sealed");
    let error = CountersReader::attach(&sealed.as_fd())
        .err()
        .expect("no page")
        .to_string();
    assert!(error.contains("magic number"), "{error}");
}
