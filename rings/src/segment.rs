//! Memory files that two processes map: made, sealed, checked.
//!
//! The maker sizes a memfd and seals it against growing and shrinking, so a mapping of it is backed for ever and
//! no access can raise SIGBUS. The other side maps only a file that carries those seals. Nothing of it is on
//! disk: it is gone with the last descriptor.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use memmap2::MmapOptions;
use rustix::fs::{MemfdFlags, SealFlags};
use thiserror::Error;

use crate::memory::{LINE_LEN, Lines};

/// Longest memory file that is mapped: 1 TiB.
const LEN_MAX: u64 = 1 << 40;

/// Why memory cannot be shared.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// The kernel refused.
    #[error("cannot {what} shared memory: {source}")]
    Os {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file can still change its size under us.
    #[error("shared memory is not sealed against shrinking and growing; the peer is not weir")]
    NotSealed,
    /// The file's size cannot be.
    #[error("shared memory has {len} bytes; the peer is not weir, or of another version")]
    BadLength {
        /// The size.
        len: u64,
    },
}

fn os<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> SegmentError {
    move |source| SegmentError::Os {
        what,
        source: source.into(),
    }
}

/// Makes a sealed memory file of `lines` zeroed cache lines and maps it.
pub(crate) fn create(name: &CStr, lines: usize) -> Result<(OwnedFd, Lines), SegmentError> {
    let len = lines as u64 * LINE_LEN as u64;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create(name, flags).map_err(os("create"))?;
    rustix::fs::ftruncate(&file, len).map_err(os("size"))?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).map_err(os("seal"))?;
    // Touched now: a worker must not meet a page fault, and memory that is not there must be said at start.
    let map = MmapOptions::new().populate().map_raw(&file).map_err(os("map"))?;
    let lines = Lines::mapped(map).ok_or(SegmentError::BadLength { len })?;
    Ok((file, lines))
}

/// Forbids any further change of the seals.
pub(crate) fn seal(file: &OwnedFd) -> Result<(), SegmentError> {
    rustix::fs::fcntl_add_seals(file, SealFlags::SEAL).map_err(os("seal"))
}

/// Forbids any further mapping for writing (those there are stay) and any further change of the seals.
pub(crate) fn seal_read_only(file: &OwnedFd) -> Result<(), SegmentError> {
    rustix::fs::fcntl_add_seals(file, SealFlags::FUTURE_WRITE | SealFlags::SEAL).map_err(os("seal"))
}

/// Maps a peer's memory file for reading and writing.
pub(crate) fn map(file: &impl AsFd) -> Result<Lines, SegmentError> {
    let len = check(file)?;
    let map = MmapOptions::new().map_raw(&file.as_fd()).map_err(os("map"))?;
    Lines::mapped(map).ok_or(SegmentError::BadLength { len })
}

/// Maps a peer's memory file for reading.
pub(crate) fn map_read_only(file: &impl AsFd) -> Result<Lines, SegmentError> {
    let len = check(file)?;
    let map = MmapOptions::new()
        .map_raw_read_only(&file.as_fd())
        .map_err(os("map"))?;
    Lines::mapped(map).ok_or(SegmentError::BadLength { len })
}

/// Length of a file whose size can never change again.
fn check(file: &impl AsFd) -> Result<u64, SegmentError> {
    // Anything but a memfd fails here: other files cannot be sealed.
    let seals = rustix::fs::fcntl_get_seals(file).map_err(os("inspect"))?;
    if !seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL) {
        return Err(SegmentError::NotSealed);
    }
    let stat = rustix::fs::fstat(file).map_err(os("inspect"))?;
    match u64::try_from(stat.st_size) {
        Ok(len) if len > 0 && len <= LEN_MAX && len % LINE_LEN as u64 == 0 => Ok(len),
        other => Err(SegmentError::BadLength {
            len: other.unwrap_or(0),
        }),
    }
}
