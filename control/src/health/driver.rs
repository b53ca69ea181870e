//! The task of one check: moves bytes and time between a socket and the machine, and decides nothing.

use super::book::Finding;
use super::connection::Connection;
use super::{Sessions, Target};
use crate::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, mpsc};
use weir_proto::health::Dialogue;
use weir_proto::health::check::{Action, Check, Report};

/// Names one run of one check's task; a check that is stopped and started again gets a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CheckId(pub(super) u64);

/// What a task needs.
pub(super) struct Driver {
    pub(super) id: CheckId,
    pub(super) target: Arc<Target>,
    pub(super) clock: Clock,
    pub(super) muted: Arc<AtomicBool>,
    /// Told when the server's traffic speaks against it.
    pub(super) suspected: Arc<Notify>,
    /// Which BFD sessions are up.
    pub(super) sessions: Sessions,
    pub(super) reports: mpsc::Sender<(CheckId, Report)>,
}

impl Driver {
    /// Runs the check until the task is aborted or nobody listens any more.
    pub(super) async fn run(self, past: Finding, draw: u64) -> CheckId {
        let dialogue = Arc::new(self.target.dialogue.clone());
        let mut check = Check::new(self.clock.now(), dialogue, self.target.pace, past.health, draw);
        if past.proved {
            check = check.with_proof();
        }
        let mut connection = Connection::Closed;
        let on_session = matches!(self.target.dialogue, Dialogue::Bfd(_));
        let mut sessions = self.sessions.clone();
        while self.perform(&mut check, &mut connection).await {
            let (deadline, _why) = check.poll_timeout();
            tokio::select! {
                input = connection.next() => {
                    check.mute(self.muted.load(Ordering::Relaxed));
                    check.handle(self.clock.now(), input);
                }
                () = self.suspected.notified() => check.suspect(self.clock.now()),
                Ok(()) = sessions.changed(), if on_session => check.suspect(self.clock.now()),
                () = tokio::time::sleep_until(self.clock.runtime(deadline)) => {
                    check.mute(self.muted.load(Ordering::Relaxed));
                    check.handle_timeout(self.clock.now());
                }
            }
        }
        self.id
    }

    /// Performs all actions; false when nobody takes the reports.
    async fn perform(&self, check: &mut Check, connection: &mut Connection) -> bool {
        while let Some(action) = check.poll_action() {
            match action {
                Action::Connect => *connection = Connection::open(&self.target, &self.sessions),
                Action::Write(bytes) => connection.write(bytes),
                Action::Close => *connection = Connection::Closed,
                Action::Report(report) => {
                    if self.reports.send((self.id, report)).await.is_err() {
                        return false;
                    }
                }
            }
        }
        true
    }
}
