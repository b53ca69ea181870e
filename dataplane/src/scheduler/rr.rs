//! Round robin: the cursor moves to the next usable server, in list order. Weights other than 0 do not matter.
//!
//! One cursor for all workers, moved by compare-and-swap: however many pick at once, the sequence of answers is that
//! of one worker.

use weir_rings::sync::{AtomicU32, Ordering::Relaxed};

use super::{Algorithm, Load, Pool, State, index_of_slot};

/// One past the server picked last; 0: none yet, start at the head of the list.
#[derive(Debug)]
pub(super) struct Cursor(AtomicU32);

impl Cursor {
    pub(super) fn new(by_slot: &[(u32, u32)], previous: Option<&State>) -> Self {
        Self(AtomicU32::new(
            previous.map_or(0, |previous| carried(by_slot, previous)),
        ))
    }

    pub(super) fn pick<L: Fn(u32) -> Load>(&self, pool: &Pool<'_, L>) -> Option<usize> {
        let mut cursor = self.0.load(Relaxed);
        loop {
            let chosen = next_usable(pool, cursor as usize)?;
            if !pool.commit {
                return Some(chosen);
            }
            let moved = u32::try_from(chosen + 1).ok()?;
            match self.0.compare_exchange_weak(cursor, moved, Relaxed, Relaxed) {
                Ok(_) => return Some(chosen),
                Err(seen) => cursor = seen,
            }
        }
    }

    /// The next of so many servers that can all be used. Without others a store does where there would be a locked
    /// instruction, which waits for every store before it.
    #[inline(always)]
    pub(super) fn step(&self, servers: usize, alone: bool) -> usize {
        let mut cursor = self.0.load(Relaxed);
        loop {
            let chosen = if cursor as usize >= servers { 0 } else { cursor };
            if alone {
                self.0.store(chosen + 1, Relaxed);
                return chosen as usize;
            }
            match self.0.compare_exchange_weak(cursor, chosen + 1, Relaxed, Relaxed) {
                Ok(_) => return chosen as usize,
                Err(seen) => cursor = seen,
            }
        }
    }
}

fn next_usable<L: Fn(u32) -> Load>(pool: &Pool<'_, L>, start: usize) -> Option<usize> {
    let start = start.min(pool.servers.len());
    let usable = |index: &usize| pool.usable(*index);
    (start..pool.servers.len())
        .find(usable)
        .or_else(|| (0..start).find(usable))
}

/// The cursor on the same server as before or, if that is gone, on the nearest one before it that is not.
fn carried(by_slot: &[(u32, u32)], previous: &State) -> u32 {
    let Algorithm::Rr(cursor) = &previous.algorithm else {
        return 0;
    };
    let passed = (cursor.0.load(Relaxed) as usize).min(previous.servers.len());
    let still_here = |index: &usize| index_of_slot(by_slot, previous.servers[*index].slot);
    let carried = (0..passed).rev().find_map(|index| still_here(&index));
    carried
        .and_then(|index| u32::try_from(index + 1).ok())
        .unwrap_or(0)
}
