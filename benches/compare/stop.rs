//! SIGINT and SIGTERM end a run in order: processes are killed, huge pages given back, files removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::trouble::{Outcome, Trouble};

/// Whether the run is to end.
#[derive(Debug, Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes the signals over.
    pub(crate) fn on_signals() -> Outcome<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, flag.clone())
                .map_err(Trouble::system("installing a signal handler"))?;
        }
        Ok(Self(flag))
    }

    /// Trouble once a signal has come.
    pub(crate) fn check(&self) -> Outcome<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Trouble::Interrupted),
            false => Ok(()),
        }
    }

    /// Sleeps, unless a signal comes.
    pub(crate) fn sleep(&self, time: Duration) -> Outcome<()> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}
