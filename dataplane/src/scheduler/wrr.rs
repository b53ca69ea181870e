//! Weighted round robin as in IPVS: a required weight walks down from the largest weight in steps of their greatest
//! common divisor; each pass over the list takes the servers that reach it.
//!
//! Cursor and required weight share one word that all workers move by compare-and-swap, so the sequence is that of
//! one worker. Passes in which no usable server reaches the required weight are skipped by arithmetic, where the
//! kernel walks them: the answer is the same and one pick costs at most three looks at the list.

use weir_rings::sync::{AtomicU64, Ordering::Relaxed};

use super::{Algorithm, Load, Pool, Server, State, gcd_of};

#[derive(Debug)]
pub(super) struct Cursor {
    mark: AtomicU64,
    /// Step of the required weight: greatest common divisor of the weights, at least 1.
    step: u32,
    /// Where the required weight starts: the largest weight less (step - 1). 0: all servers are quiesced.
    top: u32,
}

/// What moves: `(next, weight)`, the kernel's `cl` and `cw`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    /// One past the server picked last; 0: the head of the list.
    next: u32,
    /// Weight a server must have in this pass.
    required: u32,
}

impl Mark {
    const fn pack(self) -> u64 {
        (self.next as u64) << 32 | self.required as u64
    }

    const fn unpack(word: u64) -> Self {
        Self {
            next: (word >> 32) as u32,
            required: word as u32,
        }
    }
}

impl Cursor {
    pub(super) fn new(servers: &[Server], previous: Option<&State>) -> Self {
        let step = gcd_of(servers.iter().map(|server| server.weight)).max(1);
        let largest = servers.iter().map(|server| server.weight).max().unwrap_or(0);
        let top = largest.saturating_sub(step - 1);
        let before = match previous.map(|previous| &previous.algorithm) {
            Some(Algorithm::Wrr(cursor)) => Mark::unpack(cursor.mark.load(Relaxed)).required,
            _ => 0,
        };
        let required = if before > top || before == 0 {
            top
        } else if step > 1 {
            before / step * step + 1
        } else {
            before
        };
        Self {
            mark: AtomicU64::new(Mark { next: 0, required }.pack()),
            step,
            top,
        }
    }

    pub(super) fn pick<L: Fn(u32) -> Load>(&self, pool: &Pool<'_, L>) -> Option<usize> {
        let mut seen = self.mark.load(Relaxed);
        loop {
            let (chosen, mark) = self.walk(pool, Mark::unpack(seen));
            if !pool.commit || mark.pack() == seen {
                return chosen;
            }
            match self
                .mark
                .compare_exchange_weak(seen, mark.pack(), Relaxed, Relaxed)
            {
                Ok(_) => return chosen,
                Err(current) => seen = current,
            }
        }
    }

    fn walk<L: Fn(u32) -> Load>(&self, pool: &Pool<'_, L>, mark: Mark) -> (Option<usize>, Mark) {
        if self.top == 0 {
            return (None, mark);
        }
        if let Some(found) = reaching(pool, mark.next, mark.required) {
            return found;
        }
        let heaviest = pool
            .usable_indices()
            .map(|index| pool.servers[index].weight)
            .max();
        let Some(heaviest) = heaviest else {
            return (None, self.after_failure(mark));
        };
        let required = self.lowered(mark.required, heaviest);
        reaching(pool, 0, required).unwrap_or((None, mark))
    }

    /// The required weight of the next pass that some usable server reaches.
    const fn lowered(&self, required: u32, heaviest: u32) -> u32 {
        let next = if required > self.step {
            required - self.step
        } else {
            self.top
        };
        let excess = next.saturating_sub(heaviest);
        next.saturating_sub(excess.div_ceil(self.step) * self.step)
    }

    /// Where the kernel's walk stands after it found no usable server.
    const fn after_failure(&self, mark: Mark) -> Mark {
        if mark.next == 0 || mark.required > self.step {
            Mark {
                next: 0,
                required: self.top,
            }
        } else {
            Mark {
                next: mark.next,
                required: 1,
            }
        }
    }
}

/// The first usable server from `start` to the end of the list that reaches the required weight.
fn reaching<L: Fn(u32) -> Load>(
    pool: &Pool<'_, L>,
    start: u32,
    required: u32,
) -> Option<(Option<usize>, Mark)> {
    (start..)
        .zip(pool.servers.iter().skip(start as usize))
        .find(|&(index, server)| server.weight >= required && pool.usable(index as usize))
        .map(|(index, _)| {
            (
                Some(index as usize),
                Mark {
                    next: index + 1,
                    required,
                },
            )
        })
}
