//! Listening, who may connect, and how descriptors cross the socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use thiserror::Error;

/// Descriptors that go with a hello: segment, counters page, bell.
pub(super) const FDS: usize = 3;

/// Who may connect besides root and the dataplane's own user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// A group: it owns the socket file, and a process whose primary group it is may connect.
    pub gid: Option<u32>,
}

impl Access {
    /// True for root, for the dataplane's own user, and for the group.
    pub(super) fn allows(self, who: Credentials, own_uid: u32) -> bool {
        who.uid == 0 || who.uid == own_uid || self.gid == Some(who.gid)
    }
}

/// Who connected, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Process.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
}

/// Why the dataplane cannot listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Somebody listens there.
    #[error("{path}: another dataplane listens there; stop it or give another socket path")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("{path}: cannot {what}: {source}")]
    Os {
        /// The path.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Ring capacities that cannot be.
    #[error("ring capacities must be powers of two up to {}", super::RECORDS_MAX)]
    BadCapacity,
    /// The counters page cannot be handed over.
    #[error("the counters page lives on the heap; make it with Counters::shared")]
    CountersNotShared,
}

/// A listening socket; its file goes with it.
pub(super) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    access: Access,
}

impl Listener {
    pub(super) fn bind(path: &Path, access: Access) -> Result<Self, ListenError> {
        let os = |what| {
            move |source| ListenError::Os {
                path: path.to_owned(),
                what,
                source,
            }
        };
        remove_stale(path)?;
        let socket = UnixListener::bind(path).map_err(os("bind the socket"))?;
        socket.set_nonblocking(true).map_err(os("prepare the socket"))?;
        let listener = Self {
            socket,
            path: path.to_owned(),
            access,
        };
        std::os::unix::fs::chown(path, None, access.gid).map_err(os("give the socket to its group"))?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o660)).map_err(os("protect the socket"))?;
        Ok(listener)
    }

    /// The next connection, if any, with who it is and whether that one may connect.
    pub(super) fn accept(&self) -> Option<(UnixStream, Credentials, bool)> {
        let (stream, _) = self.socket.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
        let (pid, uid, gid) = (
            peer.pid.as_raw_nonzero().get(),
            peer.uid.as_raw(),
            peer.gid.as_raw(),
        );
        let who = Credentials { pid, uid, gid };
        Some((
            stream,
            who,
            self.access.allows(who, rustix::process::geteuid().as_raw()),
        ))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Best effort: a stale file is removed at the next start anyway.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes a socket file that nobody listens on.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    match connect_nonblocking(path) {
        Ok(_) | Err(Errno::AGAIN) => Err(ListenError::InUse {
            path: path.to_owned(),
        }),
        // Connecting to what is no socket is refused too; such a file is somebody's, and stays.
        Err(Errno::CONNREFUSED) if is_socket(path) => {
            std::fs::remove_file(path).map_err(|source| ListenError::Os {
                path: path.to_owned(),
                what: "remove the stale socket",
                source,
            })
        }
        // Nothing there, or nothing a socket: `bind` says it best.
        Err(_) => Ok(()),
    }
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Connects without waiting: `EAGAIN` when the listener's queue is full.
pub(super) fn connect_nonblocking(path: &Path) -> Result<UnixStream, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

/// Sends the first bytes of `line` together with the descriptors. Returns how many bytes went.
pub(super) fn send_with_fds(
    stream: &UnixStream,
    line: &[u8],
    fds: [BorrowedFd<'_>; FDS],
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::NOBUFS);
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(stream, &[IoSlice::new(line)], &mut control, flags)
}

/// Receives bytes and whatever descriptors come with them.
pub(super) fn receive_with_fds(
    stream: &UnixStream,
    bytes: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let got = rustix::net::recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok(got.bytes)
}
