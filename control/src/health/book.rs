//! What is known of every checked target: plain data, changed by reports only.

use super::Target;
use super::driver::CheckId;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use weir_proto::health::check::Report;
use weir_proto::health::{Asked, Health, Outcome};
use weir_proto::time::Instant;

/// Changes of verdict remembered per target.
const HISTORY_MAX: usize = 16;
/// Runs remembered per target.
const RECENT_MAX: usize = 16;

/// What the pool has to know of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The verdict.
    pub health: Health,
    /// Since when.
    pub since: Instant,
    /// The verdict was up at some time: at the start it is, before anything is known.
    pub was_up: bool,
    /// A run has passed.
    pub proved: bool,
    /// The weight that the last pass asked for.
    pub weight: Option<Asked>,
}

impl Finding {
    /// Up, with nothing said against it.
    pub const UP: Self = Self {
        health: Health::Up,
        since: Instant::ZERO,
        was_up: true,
        proved: true,
        weight: None,
    };
    /// Nothing is known yet.
    pub const UNKNOWN: Self = Self {
        proved: false,
        ..Self::UP
    };
}

impl From<Health> for Finding {
    fn from(health: Health) -> Self {
        Self { health, ..Self::UP }
    }
}

/// What is known of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The verdict.
    pub health: Health,
    /// Since when.
    pub since: Instant,
    /// The verdict was up at some time.
    pub was_up: bool,
    /// A run has passed.
    pub proved: bool,
    /// The weight that the last pass asked for.
    pub weight: Option<Asked>,
    /// It does not run now; the verdict stays.
    pub suspended: bool,
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
    /// Changes of the verdict.
    pub changes: u64,
    /// The newest changes of verdict, oldest first, at most [`HISTORY_MAX`].
    pub history: VecDeque<Report>,
    /// The newest runs, oldest first, at most [`RECENT_MAX`].
    pub recent: VecDeque<Report>,
}

impl Record {
    /// What is kept of a target's past when its check starts (again).
    pub(super) fn starting(past: Finding, now: Instant) -> Self {
        Self {
            health: past.health,
            since: if past == Finding::UNKNOWN { now } else { past.since },
            was_up: past.was_up,
            proved: past.proved,
            weight: past.weight,
            suspended: false,
            last: None,
            passes: 0,
            failures: 0,
            passes_in_row: 0,
            failures_in_row: 0,
            changes: 0,
            history: VecDeque::new(),
            recent: VecDeque::new(),
        }
    }

    /// What the pool has to know.
    pub fn finding(&self) -> Finding {
        Finding {
            health: self.health,
            since: self.since,
            was_up: self.was_up,
            proved: self.proved,
            weight: self.weight,
        }
    }

    fn count(&mut self, report: &Report) {
        match report.outcome.evidence() {
            Some(true) => {
                self.passes += 1;
                self.passes_in_row = self.passes_in_row.saturating_add(1);
                self.failures_in_row = 0;
            }
            Some(false) => {
                self.failures += 1;
                self.failures_in_row = self.failures_in_row.saturating_add(1);
                self.passes_in_row = 0;
            }
            None => {}
        }
    }
}

/// Something that the pools have to know has just changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Of what.
    pub target: Arc<Target>,
    /// The run that changed it.
    pub report: Report,
    /// It is the verdict; otherwise the weight, or the first pass.
    pub verdict: bool,
}

/// Every target's record.
#[derive(Debug, Default)]
pub struct Book {
    targets: HashMap<CheckId, Arc<Target>>,
    records: HashMap<Arc<Target>, Record>,
}

impl Book {
    /// Begins a record, or goes on with the one there is.
    pub(super) fn open(&mut self, id: CheckId, target: Arc<Target>, past: Finding, now: Instant) {
        self.targets.insert(id, Arc::clone(&target));
        let record = self
            .records
            .entry(target)
            .or_insert_with(|| Record::starting(past, now));
        record.suspended = false;
    }

    /// Ends a record; reports of that check still under way are ignored.
    pub(super) fn close(&mut self, id: CheckId) {
        if let Some(target) = self.targets.remove(&id) {
            self.records.remove(&target);
        }
    }

    /// The check does not run for now; reports still under way are ignored, what is known stays.
    pub(super) fn suspend(&mut self, id: CheckId) {
        if let Some(target) = self.targets.remove(&id)
            && let Some(record) = self.records.get_mut(&target)
        {
            record.suspended = true;
        }
    }

    /// Ends the record of a check that does not run.
    pub(super) fn forget(&mut self, target: &Target) {
        self.records.remove(target);
    }

    /// Takes a report; the change when it is one.
    pub(super) fn observe(&mut self, id: CheckId, report: Report) -> Option<Change> {
        let target = self.targets.get(&id)?;
        let record = self.records.get_mut(target)?;
        let before = record.finding();
        if let Outcome::Fail(why) = report.outcome
            && target.log_all_failures
            && before.health == Health::Up
            && !report.changed
        {
            let (server, so_far, enough) = (target.address, report.against, report.needed);
            tracing::info!(%server, "a check has failed, {so_far} of {enough} in a row: {why}");
        }
        record.last = Some(report);
        push(&mut record.recent, RECENT_MAX, report);
        record.count(&report);
        match report.outcome {
            Outcome::Pass => (record.proved, record.weight) = (true, None),
            Outcome::Weight(weight) => (record.proved, record.weight) = (true, Some(weight)),
            Outcome::Fail(_) => {}
        }
        if report.changed {
            record.health = report.health;
            record.since = report.at;
            record.was_up |= report.health == Health::Up;
            record.changes += 1;
            push(&mut record.history, HISTORY_MAX, report);
        } else if record.proved && !before.proved && record.health == Health::Up {
            record.since = report.at;
        }
        (record.finding() != before).then(|| Change {
            target: Arc::clone(target),
            report,
            verdict: report.changed,
        })
    }

    /// What the pool has to know of `target`. Of one that is not checked yet it is what is known of the same question at
    /// another pace, so that a reload that is still being offered brings no failed server back.
    pub fn finding(&self, target: &Target) -> Finding {
        self.records
            .get(target)
            .map_or_else(|| self.past(target), Record::finding)
    }

    /// What is known of a target that asks the same thing of the same server, however often.
    pub(super) fn past(&self, target: &Target) -> Finding {
        let asks_the_same = |other: &Target| {
            Target {
                pace: target.pace,
                log_all_failures: target.log_all_failures,
                ..other.clone()
            } == *target
        };
        let same = self
            .records
            .iter()
            .filter(|(other, _)| other.address == target.address)
            .find(|(other, _)| asks_the_same(other));
        same.map_or(Finding::UNKNOWN, |(_, record)| record.finding())
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

fn push(list: &mut VecDeque<Report>, most: usize, report: Report) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(report);
}
