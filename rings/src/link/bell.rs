//! The bell: a socket pair of which each process has one end. A byte means "look at the ring".

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

pub(super) struct Bell(OwnedFd);

/// The other end is closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Bell {
    /// Both ends of a bell.
    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        Ok((Self(a), Self(b)))
    }

    /// An end that came over a socket.
    pub(super) const fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Wakes the other side. That it is awake already, or gone, is no error: the socket tells of the latter.
    pub(super) fn ring(&self) {
        // A full buffer means thousands of rings unheard: one more changes nothing.
        let _ = rustix::net::send(&self.0, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }

    /// Forgets rings so far. One read: a peer that rings without end costs one wake-up a round.
    pub(super) fn clear(&self) -> Result<(), Closed> {
        let mut bytes = [0; 4096];
        match rustix::net::recv(&self.0, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Err(Closed),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(_) => Err(Closed),
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
