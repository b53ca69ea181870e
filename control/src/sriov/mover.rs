//! The thread of one move: it asks the manager for the guest's VFs, and runs virsh and ssh itself.
//!
//! The manager stays free meanwhile: libvirt calls its hook while a guest moves, the hook asks weir-control for a reset, and libvirt waits for
//! the hook. A manager that waited for libvirt would never answer.

use super::allocation::Allocation;
use super::guests::virsh::Commands;
use super::manager::{Handle, Reply, Request, SriovError};
use super::migrate::{self, Here};
use std::time::Duration;
use tokio::sync::oneshot;

/// A live migration of a large guest.
const COMMAND_DEADLINE: Duration = Duration::from_secs(600);

/// Moves `guest` to the host `to`, on a thread of its own; what came of it goes to `reply`. The move goes on when nobody waits for that.
pub fn start(manager: Handle, guest: String, to: String, reply: Reply<()>) {
    let run = move || drop(reply.send(move_guest(&manager, &guest, &to)));
    // Without a thread the reply is dropped, and whoever waits is told so.
    drop(
        std::thread::Builder::new()
            .name("sriov-move".to_owned())
            .spawn(run),
    );
}

fn move_guest(manager: &Handle, guest: &str, to: &str) -> Result<(), SriovError> {
    let vfs = ask(manager, |reply| Request::Move(guest.to_owned(), reply))?;
    let mut commands = Commands {
        deadline: COMMAND_DEADLINE,
    };
    let moved = migrate::migrate(
        &mut Ours(manager),
        &mut commands,
        manager.directory(),
        guest,
        to,
        vfs,
    );
    // A manager that is gone knows of no move.
    manager.ask(Request::Moved(guest.to_owned()));
    moved.map_err(SriovError::from)
}

fn ask<T>(manager: &Handle, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, SriovError> {
    let (reply, answer) = oneshot::channel();
    if !manager.ask(request(reply)) {
        return Err(SriovError::Stopping);
    }
    answer.blocking_recv().map_err(|_| SriovError::Stopping)?
}

/// This host's VFs, by its manager.
struct Ours<'a>(&'a Handle);

impl Here for Ours<'_> {
    fn detach(&mut self, vf: &Allocation) -> Result<(), String> {
        ask(self.0, |reply| Request::Take(vf.clone(), reply)).map_err(|error| error.to_string())
    }

    fn attach(&mut self, vf: &Allocation) -> Result<(), String> {
        ask(self.0, |reply| Request::Give(vf.clone(), reply)).map_err(|error| error.to_string())
    }
}
