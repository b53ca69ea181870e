//! `[control]`: the control daemon's own socket and log.

use std::path::PathBuf;

use serde::Serialize;

use crate::reader::Fields;
use crate::section::{Key, Section};
use crate::text;

/// The settings of `weir-control` as a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Control {
    /// Where `weirctl` meets control.
    pub socket: PathBuf,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The least grave message that is logged.
    pub log_level: LogLevel,
    /// Whether `[[sriov]]` is made so, or only compared with what is.
    pub sriov: SriovMode,
    /// What control remembers from one start to the next: backends in maintenance.
    pub state_file: PathBuf,
    /// A file in it named after a server drains that server; `None`: not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance_dir: Option<PathBuf>,
}

/// What control does about `[[sriov]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SriovMode {
    /// Makes the VFs as they should be, and keeps them so.
    Manage,
    /// Reads and shows what differs; never writes.
    Observe,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person.
    Text,
    /// One JSON object per line.
    Json,
}

/// The least grave message that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something looks wrong.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What an engineer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word of the configuration file, which is also `tracing`'s.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/weir/control.sock"),
            log_format: LogFormat::Text,
            log_level: LogLevel::Info,
            sriov: SriovMode::Manage,
            state_file: PathBuf::from("/var/lib/weir/control.json"),
            maintenance_dir: None,
        }
    }
}

pub(crate) static SECTION: Section = Section {
    header: "[control]",
    meaning: "The control process: its socket and its log.",
    keys: &[
        Key {
            name: "socket",
            kind: "an absolute path",
            default: Some("\"/run/weir/control.sock\""),
            meaning: "Unix socket of the API that weirctl uses",
        },
        Key {
            name: "log_format",
            kind: "\"text\" or \"json\"",
            default: Some("\"text\""),
            meaning: "log lines for a person, or one JSON object per line",
        },
        Key {
            name: "log_level",
            kind: "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
            default: Some("\"info\""),
            meaning: "the least grave message that is logged",
        },
        Key {
            name: "sriov",
            kind: "\"manage\" or \"observe\"",
            default: Some("\"manage\""),
            meaning: "observe: VFs are read and compared with [[sriov]], nothing is ever written",
        },
        Key {
            name: "state_file",
            kind: "an absolute path",
            default: Some("\"/var/lib/weir/control.json\""),
            meaning: "what control remembers from one start to the next: backends in maintenance",
        },
        Key {
            name: "maintenance_dir",
            kind: "an absolute path",
            default: None,
            meaning: "a file in this folder named after a server (192.0.2.11, 192.0.2.11:80 or a backend's name) drains it in every service while the file is there; left out: not looked at",
        },
    ],
};

pub(crate) fn read(fields: &Fields<'_, '_>) -> Control {
    let default = Control::default();
    let levels = [
        LogLevel::Error,
        LogLevel::Warn,
        LogLevel::Info,
        LogLevel::Debug,
        LogLevel::Trace,
    ]
    .map(|level| (level.as_str(), level));
    Control {
        socket: fields
            .parsed("socket", text::socket_path)
            .map_or(default.socket, |at| at.value),
        log_format: fields
            .word(
                "log_format",
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            )
            .unwrap_or(default.log_format),
        log_level: fields.word("log_level", &levels).unwrap_or(default.log_level),
        state_file: fields
            .parsed("state_file", text::absolute_path)
            .map_or(default.state_file, |at| at.value),
        maintenance_dir: fields
            .parsed("maintenance_dir", text::absolute_path)
            .map(|at| at.value),
        sriov: fields
            .word(
                "sriov",
                &[("manage", SriovMode::Manage), ("observe", SriovMode::Observe)],
            )
            .unwrap_or(default.sriov),
    }
}
