//! Watches neighbours by BFD: the driver of `weir_proto::bfd`.
//!
//! The sessions run on a thread of their own ([`runtime`]): at an interval of 10 ms nothing else may hold them up. What
//! they find reaches virtual routers without a detour ([`crate::vrrp::Tracker`]), and everybody else by a watch:
//! [`Bfd::watch`] gives which sessions are up, by name, and wakes whoever waits when one changes.

mod runtime;
mod session;
mod socket;
pub mod status;

use crate::clock::Clock;
use crate::vrrp::Tracker;
use runtime::{Command, Runtime};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use weir_configs::Config;

/// Which sessions are up, by name. One that is not here yet is not known to be either.
pub type Up = BTreeMap<String, bool>;

/// The handle on the thread.
#[derive(Debug)]
pub struct Bfd {
    node: String,
    commands: std::sync::mpsc::Sender<Command>,
    wake: Arc<OwnedFd>,
    shown: Arc<Mutex<status::Sessions>>,
    up: watch::Receiver<Up>,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn locked(shown: &Mutex<status::Sessions>) -> MutexGuard<'_, status::Sessions> {
    // A reader that panicked has changed nothing.
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bfd {
    /// Starts the thread, without sessions, on the node of this name. `seed` spreads the packets.
    ///
    /// # Errors
    /// The system gives no event descriptor or no thread.
    pub fn start(clock: Clock, node: &str, seed: u64, tracker: Tracker) -> std::io::Result<Self> {
        let wake = Arc::new(rustix::event::eventfd(
            0,
            rustix::event::EventfdFlags::NONBLOCK | rustix::event::EventfdFlags::CLOEXEC,
        )?);
        let (commands, taken) = std::sync::mpsc::channel();
        let (up_sender, up) = watch::channel(Up::new());
        let shown = Arc::new(Mutex::new(status::Sessions::default()));
        let runtime = Runtime::new(
            clock,
            seed,
            taken,
            Arc::clone(&wake),
            up_sender,
            tracker,
            Arc::clone(&shown),
        );
        let thread = std::thread::Builder::new()
            .name("bfd".into())
            .spawn(move || runtime.run())?;
        Ok(Self {
            node: node.to_owned(),
            commands,
            wake,
            shown,
            up,
            thread: Some(thread),
        })
    }

    /// Runs exactly the sessions of this configuration.
    pub fn configure(&self, config: &Config) {
        let sessions = config.bfds.iter().map(|bfd| bfd.on_node(&self.node));
        self.command(Command::Configure(sessions.collect()));
    }

    /// Which sessions are up, now and at every change.
    pub fn watch(&self) -> watch::Receiver<Up> {
        self.up.clone()
    }

    /// Every session as it was at the last change or second.
    pub fn status(&self) -> status::Sessions {
        locked(&self.shown).clone()
    }

    /// Tells every peer that the session is taken down on purpose, and ends the thread.
    pub fn stop(&mut self) {
        self.command(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the BFD thread panicked");
        }
    }

    fn command(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            // Full means that it is awake.
            let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        }
    }
}

impl Drop for Bfd {
    fn drop(&mut self) {
        self.stop();
    }
}
