//! What is known of every checked target: plain data, changed by reports only.

use super::Target;
use super::driver::CheckId;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use weir_proto::health::Health;
use weir_proto::health::check::Report;
use weir_proto::time::Instant;

/// Changes of verdict remembered per target.
const HISTORY_MAX: usize = 16;

/// What is known of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The verdict.
    pub health: Health,
    /// Since when.
    pub since: Instant,
    /// What the last run found; `None` before the first.
    pub last: Option<Report>,
    /// Runs that passed.
    pub passes: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Passes in a row, up to now.
    pub passes_in_row: u32,
    /// Failures in a row, up to now.
    pub failures_in_row: u32,
    /// The newest changes of verdict, oldest first, at most [`HISTORY_MAX`].
    pub history: VecDeque<Report>,
}

/// A verdict that has just changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Of what.
    pub target: Arc<Target>,
    /// The run that changed it.
    pub report: Report,
}

/// Every target's record.
#[derive(Debug, Default)]
pub struct Book {
    targets: HashMap<CheckId, Arc<Target>>,
    records: HashMap<Arc<Target>, Record>,
}

impl Book {
    /// Begins a record.
    pub(super) fn open(&mut self, id: CheckId, target: Arc<Target>, initial: Health, now: Instant) {
        self.targets.insert(id, Arc::clone(&target));
        self.records.insert(
            target,
            Record {
                health: initial,
                since: now,
                last: None,
                passes: 0,
                failures: 0,
                passes_in_row: 0,
                failures_in_row: 0,
                history: VecDeque::new(),
            },
        );
    }

    /// Ends a record; reports of that check still under way are ignored.
    pub(super) fn close(&mut self, id: CheckId) {
        if let Some(target) = self.targets.remove(&id) {
            self.records.remove(&target);
        }
    }

    /// Takes a report; the change when it is one.
    pub(super) fn observe(&mut self, id: CheckId, report: Report) -> Option<Change> {
        let target = self.targets.get(&id)?;
        let record = self.records.get_mut(target)?;
        record.last = Some(report);
        match report.outcome.evidence() {
            Some(true) => {
                record.passes += 1;
                record.passes_in_row = record.passes_in_row.saturating_add(1);
                record.failures_in_row = 0;
            }
            Some(false) => {
                record.failures += 1;
                record.failures_in_row = record.failures_in_row.saturating_add(1);
                record.passes_in_row = 0;
            }
            None => {}
        }
        if !report.changed {
            return None;
        }
        record.health = report.health;
        record.since = report.at;
        if record.history.len() == HISTORY_MAX {
            record.history.pop_front();
        }
        record.history.push_back(report);
        Some(Change {
            target: Arc::clone(target),
            report,
        })
    }

    /// The verdict on `target`; up when it is not checked.
    pub fn health(&self, target: &Target) -> Health {
        self.records
            .get(target)
            .map_or(Health::Up, |record| record.health)
    }

    /// What is known of `target`.
    pub fn record(&self, target: &Target) -> Option<&Record> {
        self.records.get(target)
    }

    /// Every target and its record.
    pub fn iter(&self) -> impl Iterator<Item = (&Target, &Record)> {
        self.records.iter().map(|(target, record)| (&**target, record))
    }
}
