//! Ageing: a bounded number of entries is looked at after each burst, more when there is nothing to do.

use crate::family::Family;

use super::{Entry, Table, Tick};

/// Where the sweep stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sweep {
    next: u32,
}

impl Sweep {
    /// Passes `budget` entries if none of them has been idle for `ticks` or longer. `false`, and nothing changed, when
    /// one has, or when fewer are left before the end.
    #[inline]
    pub fn pass_recent<F: Family>(&mut self, table: &Table<F>, budget: u32, now: Tick, ticks: u32) -> bool {
        let end = self.next.saturating_add(budget);
        if end > table.touched() {
            return false;
        }
        // What `now.since(seen) < ticks` says, by one comparison; free entries were last seen when the clock started.
        let Some(idle) = now.0.checked_sub(ticks) else {
            self.next = end;
            return true;
        };
        let recent = table
            .entries_in(self.next..end)
            .iter()
            .all(|entry| entry.seen.0 > idle || !entry.is_used());
        if recent {
            self.next = end;
        }
        recent
    }

    /// Looks at up to `budget` entries and gives the first that `expired` says is due, to be removed before the sweep
    /// goes on. `budget` is reduced by what was looked at; `None` when it is used up or the table has been passed once.
    pub fn next_due<F: Family>(
        &mut self,
        table: &Table<F>,
        budget: &mut u32,
        expired: impl Fn(&Entry<F>) -> bool,
    ) -> Option<u32> {
        let touched = table.touched();
        *budget = (*budget).min(touched);
        while *budget > 0 {
            *budget -= 1;
            if self.next >= touched {
                self.next = 0;
            }
            let index = self.next;
            self.next += 1;
            let entry = table.entry(index);
            if entry.is_used() && expired(entry) {
                return Some(index);
            }
        }
        None
    }
}
