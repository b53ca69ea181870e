//! How the workers end together, so that no packet is lost uncounted between them: first nobody receives any more, then
//! what was handed over is processed, then what that left for other workers' queues is sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A packet is handed over at most twice: to its flow's worker, and to the worker that has the queue it leaves by.
const STEPS: usize = 3;
/// How long a worker waits for the others at each step. One that has panicked does not come.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where the workers meet.
#[derive(Debug)]
pub struct Ending {
    workers: usize,
    arrived: [AtomicUsize; STEPS],
}

impl Ending {
    /// For this many workers.
    pub const fn new(workers: usize) -> Self {
        Self {
            workers,
            arrived: [const { AtomicUsize::new(0) }; STEPS],
        }
    }

    /// Runs `empty_inboxes` after each meeting of all workers.
    pub fn together(&self, mut empty_inboxes: impl FnMut()) {
        for arrived in &self.arrived {
            arrived.fetch_add(1, Ordering::AcqRel);
            let start = Instant::now();
            while arrived.load(Ordering::Acquire) < self.workers && start.elapsed() < PATIENCE {
                std::thread::yield_now();
            }
            empty_inboxes();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    #[test]
    fn what_was_handed_over_twice_still_arrives() {
        let ending = Arc::new(Ending::new(2));
        let (a, b) = (channel(), channel());
        let run = |to: Sender<u32>, from: Receiver<u32>, ending: Arc<Ending>, hops: u32| {
            std::thread::spawn(move || {
                to.send(hops).unwrap();
                let mut done = 0;
                ending.together(|| {
                    while let Ok(hops) = from.try_recv() {
                        match hops {
                            0 => done += 1,
                            // The other side may have left only after all packets' last hop.
                            more => to.send(more - 1).unwrap_or(()),
                        }
                    }
                });
                done
            })
        };
        let first = run(b.0, a.1, ending.clone(), 1);
        let second = run(a.0, b.1, ending, 1);
        assert_eq!(first.join().unwrap() + second.join().unwrap(), 2);
    }

    #[test]
    fn a_worker_that_does_not_come_is_not_waited_for_for_ever() {
        let start = Instant::now();
        Ending::new(2).together(|| {});
        assert!(start.elapsed() < PATIENCE * 6);
    }
}
