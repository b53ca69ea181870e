//! How the threads of VRRP and BFD wait: for a wake-up, for anything to read, or for a deadline.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

/// Returns when `wake` was rung, when one of `sources` can be read, or when `left` has passed.
pub(crate) fn wait<'a>(wake: &'a OwnedFd, sources: impl Iterator<Item = BorrowedFd<'a>>, left: Duration) {
    let timeout = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    let mut fds: Vec<PollFd<'_>> = std::iter::once(wake.as_fd())
        .chain(sources)
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    if let Err(error) = rustix::event::poll(&mut fds, Some(&timeout))
        && error != rustix::io::Errno::INTR
    {
        tracing::error!(%error, "poll");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Nothing there: nobody woke us by it.
    let _ = rustix::io::read(wake, &mut [0; 8]);
}
