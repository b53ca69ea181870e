//! What can go wrong while a laboratory is built, used or observed.

use std::io;
use std::time::Duration;

/// Why a step in the laboratory did not work. The text is written for the person reading a failed test.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A command could not be started; usually its package is missing.
    #[error("cannot run `{command}`: {source} (scripts/install-deps installs what the laboratory needs)")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// A command ended with a failure.
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status or signal.
        status: String,
        /// What it wrote to standard error, or to standard output when that is empty.
        output: String,
    },
    /// Something awaited did not come.
    #[error("waited {} s in vain for {what}; last seen: {last}", waited.as_secs_f32())]
    Deadline {
        /// What was awaited.
        what: String,
        /// How long.
        waited: Duration,
        /// The last observation.
        last: String,
    },
    /// A file or a process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something was observed that must not be.
    #[error("{0}")]
    Unexpected(String),
}

impl LabError {
    pub(super) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io {
            what: what.into(),
            source: source.into(),
        }
    }

    /// An observation that contradicts what the scenario says.
    pub fn unexpected(what: impl Into<String>) -> Self {
        Self::Unexpected(what.into())
    }
}
