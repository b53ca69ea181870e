//! Publication and reclamation, with threads and, under loom, with every interleaving.

#[cfg(loom)]
mod model {
    use loom::cell::UnsafeCell;
    use loom::thread;

    use super::super::{Publisher, Reader};
    use crate::sync::Arc;

    /// A value loom watches: reading it after it was freed, or while it is, fails the model.
    struct Watched {
        cell: UnsafeCell<u32>,
    }

    // SAFETY: the cell is written by the destructor alone, and that nobody reads it then is what loom is to prove.
    unsafe impl Sync for Watched {}

    impl Watched {
        fn new(value: u32) -> Self {
            Self {
                cell: UnsafeCell::new(value),
            }
        }

        fn get(&self) -> u32 {
            // SAFETY: the only writer is the destructor, which must not run while this value is read; loom checks it.
            self.cell.with(|p| unsafe { *p })
        }
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            // SAFETY: as above, from the other side.
            self.cell.with_mut(|p| unsafe { *p = u32::MAX });
        }
    }

    fn read_twice(reader: &mut Reader<Watched>) {
        let first = reader.get();
        reader.refresh();
        let second = reader.get();
        assert!(first <= second && second <= 2, "went from {first} to {second}");
    }

    #[test]
    fn loom_publication_is_in_order_and_nothing_is_freed_in_use() {
        loom::model(|| {
            let mut publisher = Publisher::new(Watched::new(0));
            let mut reader = publisher.reader();
            let thread = thread::spawn(move || {
                read_twice(&mut reader);
                reader.refresh();
                assert!(reader.get() <= 2);
            });
            publisher.publish(Watched::new(1));
            publisher.publish(Watched::new(2));
            publisher.reclaim();
            thread.join().expect("reader");
            assert_eq!(publisher.reclaim(), 0);
        });
    }

    #[test]
    fn loom_two_readers_pass_on_their_own() {
        loom::model(|| {
            let mut publisher = Publisher::new(Watched::new(0));
            let threads = [publisher.reader(), publisher.reader()].map(|mut reader| {
                thread::spawn(move || {
                    reader.refresh();
                    assert!(reader.get() <= 1);
                })
            });
            publisher.publish(Watched::new(1));
            for thread in threads {
                thread.join().expect("reader");
            }
            assert_eq!(publisher.reclaim(), 0);
        });
    }

    #[test]
    fn loom_a_reader_comes_back_from_offline() {
        loom::model(|| {
            let mut publisher = Publisher::new(Watched::new(0));
            let mut reader = publisher.reader();
            let thread = thread::spawn(move || {
                reader.offline(thread::yield_now);
                let value = reader.get();
                reader.refresh();
                assert!(value <= reader.get());
            });
            publisher.publish(Watched::new(1));
            publisher.publish(Watched::new(2));
            thread.join().expect("reader");
            assert_eq!(publisher.reclaim(), 0);
        });
    }

    #[test]
    fn loom_an_offline_reader_blocks_nothing() {
        loom::model(|| {
            let mut publisher = Publisher::new(Watched::new(0));
            let mut reader = publisher.reader();
            reader.offline(|| assert_eq!(publisher.publish(Watched::new(1)), 0));
            assert_eq!(reader.get(), 1);
        });
    }

    #[test]
    fn loom_the_last_one_out_frees() {
        loom::model(|| {
            let alive = Arc::new(());
            let mut publisher = Publisher::new(alive.clone());
            let reader = publisher.reader();
            publisher.publish(alive.clone());
            let thread = thread::spawn(move || drop(reader));
            drop(publisher);
            thread.join().expect("reader");
            assert_eq!(Arc::strong_count(&alive), 1);
        });
    }
}

#[cfg(not(loom))]
mod threads {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    use super::super::Publisher;

    /// Two numbers that are equal as long as the value is alive, and a count of those alive.
    struct Pair {
        a: u64,
        b: u64,
        alive: Arc<AtomicUsize>,
    }

    impl Pair {
        fn new(n: u64, alive: &Arc<AtomicUsize>) -> Self {
            alive.fetch_add(1, Ordering::Relaxed);
            Self {
                a: n,
                b: n,
                alive: alive.clone(),
            }
        }
    }

    impl Drop for Pair {
        fn drop(&mut self) {
            self.b = u64::MAX;
            self.alive.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn readers_see_whole_values_in_order_and_all_are_freed() {
        let alive = Arc::new(AtomicUsize::new(0));
        let done = Arc::new(AtomicBool::new(false));
        let mut publisher = Publisher::new(Pair::new(0, &alive));
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let (mut reader, done) = (publisher.reader(), done.clone());
                thread::spawn(move || {
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        if n == 0 {
                            reader.offline(thread::yield_now);
                        } else {
                            reader.refresh();
                        }
                        assert_eq!(reader.a, reader.b);
                        assert!(reader.a >= last);
                        last = reader.a;
                        thread::yield_now();
                    }
                })
            })
            .collect();
        for n in 1..20_000 {
            publisher.publish(Pair::new(n, &alive));
        }
        done.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|t| t.join().expect("reader"));
        assert_eq!(publisher.reclaim(), 0);
        assert_eq!(alive.load(Ordering::Relaxed), 1);
        drop(publisher);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_reader_that_does_not_refresh_keeps_what_it_holds() {
        let alive = Arc::new(AtomicUsize::new(0));
        let mut publisher = Publisher::new(Pair::new(0, &alive));
        let mut reader = publisher.reader();
        assert_eq!(publisher.publish(Pair::new(1, &alive)), 1);
        assert_eq!(publisher.publish(Pair::new(2, &alive)), 2);
        assert_eq!((reader.a, reader.b), (0, 0));
        assert!(reader.refresh());
        assert!(!reader.refresh());
        assert_eq!(reader.a, 2);
        assert_eq!(publisher.reclaim(), 0);
        drop(reader);
        assert_eq!(publisher.reclaim(), 0);
        assert_eq!(publisher.readers(), 0);
        assert_eq!(publisher.current().a, 2);
    }

    #[test]
    fn readers_outlive_the_publisher() {
        let alive = Arc::new(AtomicUsize::new(0));
        let mut publisher = Publisher::new(Pair::new(0, &alive));
        let reader = publisher.reader();
        publisher.publish(Pair::new(1, &alive));
        drop(publisher);
        assert_eq!((reader.a, reader.b), (0, 0));
        drop(reader);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_panic_while_offline_leaves_a_usable_reader() {
        let alive = Arc::new(AtomicUsize::new(0));
        let mut publisher = Publisher::new(Pair::new(0, &alive));
        let mut reader = publisher.reader();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            reader.offline(|| {
                publisher.publish(Pair::new(1, &alive));
                panic!("on purpose")
            })
        }));
        assert!(outcome.is_err());
        assert_eq!((reader.a, reader.b), (1, 1));
    }
}
