//! What can stop a run, with what to do about it.

use std::io;
use std::path::PathBuf;

/// Result of a step.
pub(crate) type Outcome<T> = Result<T, Trouble>;

/// Why a run, or a part of it, ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// SIGINT or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// The machine has not what is needed.
    #[error("{0}")]
    Machine(String),
    /// A system call failed.
    #[error("{doing}: {error}")]
    System {
        /// What was tried.
        doing: String,
        /// How it failed.
        error: io::Error,
    },
    /// A measured process is not as expected.
    #[error("{what}; its log: {log}\n{tail}", log = log.display())]
    Process {
        /// What is wrong.
        what: String,
        /// Where it logs to.
        log: PathBuf,
        /// The end of that.
        tail: String,
    },
    /// The measured thing did something that makes the figure worthless.
    #[error("not a measurement: {0}")]
    Wrong(String),
}

impl Trouble {
    /// For `map_err`.
    pub(crate) fn system<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |error| Self::System {
            doing,
            error: error.into(),
        }
    }
}
