//! Connection thresholds: a server is marked overloaded when its connections reach the upper threshold, and stays so
//! until they fall below the lower one (or three quarters of the upper, if there is no lower).
//!
//! IPVS moves the mark when a connection is bound or unbound. Here it is set when the scheduler hands out the
//! connection that reaches the threshold, and cleared when the scheduler next looks at the server: for new
//! connections that comes to the same, and closing a flow costs nothing here. Workers that pick at the same instant may pass
//! the upper threshold by one connection each.

use weir_rings::sync::{AtomicBool, Ordering::Relaxed};

use super::{Server, State};

#[derive(Debug)]
pub(super) struct Overload {
    /// One mark a server; empty if no server has a threshold.
    marks: Box<[AtomicBool]>,
}

impl Overload {
    pub(super) fn new(servers: &[Server], previous: Option<&State>) -> Self {
        if servers.iter().all(|server| server.upper_threshold == 0) {
            return Self {
                marks: Box::default(),
            };
        }
        let mark = |server| AtomicBool::new(previous.is_some_and(|previous| kept(server, previous)));
        Self {
            marks: servers.iter().map(mark).collect(),
        }
    }

    /// Whether no server has a threshold.
    #[inline]
    pub(super) const fn is_unused(&self) -> bool {
        self.marks.is_empty()
    }

    /// Is the server overloaded, given its connections? Clears the mark if it no longer holds, and if `commit`.
    #[inline]
    pub(super) fn check(&self, index: usize, server: &Server, total: impl Fn() -> u64, commit: bool) -> bool {
        if server.upper_threshold == 0 {
            return false;
        }
        let Some(mark) = self.marks.get(index) else {
            return false;
        };
        let (before, total) = (mark.load(Relaxed), total());
        let still = before && !is_relieved(server, total);
        if commit && still != before {
            mark.store(still, Relaxed);
        }
        still || is_full(server, total)
    }

    /// A connection was given to a server that had `total` before.
    #[inline]
    pub(super) fn note_opened(&self, index: usize, server: &Server, total: impl Fn() -> u64) {
        if server.upper_threshold == 0 {
            return;
        }
        let Some(mark) = self.marks.get(index) else { return };
        let (before, total) = (mark.load(Relaxed), total());
        let now = is_full(server, total + 1) || before && !is_relieved(server, total);
        if now != before {
            mark.store(now, Relaxed);
        }
    }
}

/// At or over the upper threshold.
fn is_full(server: &Server, total: u64) -> bool {
    total >= u64::from(server.upper_threshold)
}

/// Below the lower threshold, or three quarters of the upper one if there is none.
fn is_relieved(server: &Server, total: u64) -> bool {
    let (upper, lower) = (
        u64::from(server.upper_threshold),
        u64::from(server.lower_threshold),
    );
    if lower != 0 {
        total < lower
    } else {
        total * 4 < upper * 3
    }
}

/// The mark of the server before the change, if its thresholds are still the same. A change of thresholds starts
/// afresh: overloaded is then who has as many connections as the new upper one.
fn kept(server: &Server, previous: &State) -> bool {
    let Some(index) = previous.index_of_slot(server.slot) else {
        return false;
    };
    let before = &previous.servers()[index];
    let same =
        (before.upper_threshold, before.lower_threshold) == (server.upper_threshold, server.lower_threshold);
    same && previous
        .overload
        .marks
        .get(index)
        .is_some_and(|mark| mark.load(Relaxed))
}
