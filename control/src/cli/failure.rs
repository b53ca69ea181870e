//! Why a command failed, what to do about it, and the exit status.

use std::io;
use std::path::PathBuf;

use weir_configs::Report;

use crate::api_types::{ApiError, schema};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The daemon said no.
    #[error("{}", with_help(.0))]
    Refused(ApiError),
    /// No answer from the daemon.
    #[error("cannot reach weir-control at {}: {error}\n  {}", .socket.display(), unreachable_help(.error))]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is no valid configuration.
    #[error("{0}")]
    Invalid(Report),
    /// The daemon's answer is not what was asked for.
    #[error(
        "weir-control gave an answer that weirctl does not understand: {0}\n  are both of the same version? compare `weirctl --version` with `weirctl status --json`"
    )]
    Answer(String),
    /// Something on this side.
    #[error("{what}: {error}")]
    Local {
        /// What was tried.
        what: String,
        /// What the system said.
        error: io::Error,
    },
}

fn with_help(refusal: &ApiError) -> String {
    if refusal.help.is_empty() {
        refusal.error.clone()
    } else {
        format!("{}\n  {}", refusal.error, refusal.help)
    }
}

fn unreachable_help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "run as root or as a member of the socket's group",
        io::ErrorKind::TimedOut => {
            "it is running but does not answer: see its log (journalctl -u weir-control)"
        }
        _ => {
            "is it running? start it with `systemctl start weir-control` or `weir-control --config /etc/weir/weir.toml`,\n  \
             or name its socket with --socket (the key `socket` of [control])"
        }
    }
}

impl Failure {
    /// The exit status: 1 refused or failed, 3 not reachable, 4 configuration invalid. (2, wrong usage, is clap's.)
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Answer(_) | Self::Local { .. } => 1,
            Self::Unreachable { .. } => 3,
            Self::Invalid(_) => 4,
        }
    }

    /// Says it on standard error: for a person, or as one JSON object.
    pub(super) fn tell(&self, json: bool) {
        if json {
            eprintln!("{}", self.to_json());
        } else if matches!(self, Self::Invalid(_)) {
            eprintln!("{self}");
        } else {
            eprintln!("weirctl: {self}");
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Refused(refusal) => serde_json::json!(refusal),
            Self::Invalid(report) => {
                serde_json::json!({"schema": schema::ERROR, "error": "the configuration is invalid", "help": "", "diagnostics": report.diagnostics})
            }
            Self::Unreachable { .. } | Self::Answer(_) | Self::Local { .. } => {
                serde_json::json!({"schema": schema::ERROR, "error": self.to_string(), "help": ""})
            }
        }
    }
}
