//! Problems of this host with a file (a program that is not run, authorities that cannot be read) are told in the log when
//! they begin, not at every run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

/// More files than any configuration names.
const FILES_MAX: usize = 1_024;
static OPEN: LazyLock<Mutex<BTreeSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// True when the problem with `file` has just begun.
pub(super) fn begins(file: &Path) -> bool {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.len() < FILES_MAX && open.insert(file.to_owned())
}

/// There is none any more.
pub(super) fn ends(file: &Path) {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(file);
}
