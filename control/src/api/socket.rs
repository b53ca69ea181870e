//! The socket file of the API: mode 0660, for root and for the group `weir` where there is one.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The group that may use the API besides root.
const GROUP: &str = "weir";

/// Why the API cannot be served.
#[derive(Debug, Error)]
pub enum BindError {
    /// Somebody serves there.
    #[error(
        "{path}: another weir-control serves there; stop it, or give another path by [control] socket or --socket"
    )]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("{path}: cannot {what}: {source}; check the path and who may write there")]
    Os {
        /// The path.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The bound socket; its file goes with it, unless somebody else has put another one there.
#[derive(Debug)]
pub struct ApiSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of our file.
    identity: (u64, u64),
}

impl ApiSocket {
    /// Binds `path`, in place of a stale socket. Makes the folder when it is missing.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let os = |what| {
            move |source| BindError::Os {
                path: path.to_owned(),
                what,
                source,
            }
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(os("make the folder"))?;
        }
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(os("bind the socket"))?;
        listener.set_nonblocking(true).map_err(os("prepare the socket"))?;
        if let Some(gid) = group_id(GROUP) {
            // Without the right to do so, root alone uses the API.
            let _ = std::os::unix::fs::chown(path, None, Some(gid));
        }
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o660)).map_err(os("protect the socket"))?;
        let identity = identity(path).map_err(os("look at the socket"))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            identity,
        })
    }

    /// The listener for the runtime.
    pub(super) fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.listener.try_clone()?)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ApiSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Best effort: the next start removes a stale file.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Device and inode of the socket at `path`; an error when something else is there.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    if metadata.file_type().is_socket() {
        Ok((metadata.dev(), metadata.ino()))
    } else {
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Removes a socket file that nobody serves. What is no socket stays, although connecting to it is refused as well:
/// `bind` then says that the address is in use.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    if identity(path).is_err() {
        return Ok(());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|source| BindError::Os {
                path: path.to_owned(),
                what: "remove the stale socket",
                source,
            })
        }
        // We may not ask: `bind` says it best.
        Err(_) => Ok(()),
    }
}

/// The number of a group by the system's own file. A group that only a directory service knows is not found; the
/// administrator then gives the socket's folder to it.
fn group_id(name: &str) -> Option<u32> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        found.then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}
