//! Connection thresholds: a server is marked overloaded when its connections reach the upper threshold, and stays so
//! until they fall below the lower one (or three quarters of the upper, if there is no lower).
//!
//! IPVS moves the mark when a connection is bound or unbound. Here it is set when the scheduler hands out the
//! connection that reaches the threshold, and cleared when the scheduler next looks at the server: for new
//! connections the two are the same, and closing a flow costs nothing. Workers that pick at the same instant may pass
//! the upper threshold by one connection each.

use super::{Server, State};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

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

    /// Is the server overloaded, given its connections? Moves the mark if `commit`.
    pub(super) fn check(&self, index: usize, server: &Server, total: impl Fn() -> u64, commit: bool) -> bool {
        if server.upper_threshold == 0 {
            return false;
        }
        let Some(mark) = self.marks.get(index) else {
            return false;
        };
        let before = mark.load(Relaxed);
        let now = after(server, total(), before);
        if commit && now != before {
            mark.store(now, Relaxed);
        }
        now
    }

    /// A connection was given to the server, which makes `total` of them.
    pub(super) fn note_opened(&self, index: usize, server: &Server, total: impl Fn() -> u64) {
        if server.upper_threshold == 0 || total() < u64::from(server.upper_threshold) {
            return;
        }
        if let Some(mark) = self.marks.get(index) {
            mark.store(true, Relaxed);
        }
    }
}

/// The mark of a server with `total` connections that had the mark `before`.
fn after(server: &Server, total: u64, before: bool) -> bool {
    let (upper, lower) = (
        u64::from(server.upper_threshold),
        u64::from(server.lower_threshold),
    );
    if total >= upper {
        return true;
    }
    let cleared = if lower != 0 {
        total < lower
    } else {
        total * 4 < upper * 3
    };
    before && !cleared
}

/// Does the mark survive the change? Not if the upper threshold is gone or higher than before.
fn kept(server: &Server, previous: &State) -> bool {
    let Some(index) = previous.index_of_slot(server.slot) else {
        return false;
    };
    let before = &previous.servers()[index];
    let lifted = server.upper_threshold == 0 || server.upper_threshold > before.upper_threshold;
    !lifted
        && previous
            .overload
            .marks
            .get(index)
            .is_some_and(|mark| mark.load(Relaxed))
}
