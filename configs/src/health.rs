//! `[health]`: whose defaults the checks and pools of the file have, and how much of them is logged.

use serde::Serialize;

use crate::reader::Fields;
use crate::section::{Key, Section};

/// What holds for every check and pool that says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
pub struct Health {
    /// Whose defaults checks and pools have.
    pub defaults: Defaults,
    /// Failures are logged that have not taken a backend down.
    pub log_all_failures: bool,
}

/// Whose defaults checks and pools have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Defaults {
    /// Those of the tables of the reference page.
    #[default]
    Weir,
    /// Those of keepalived, kind by kind.
    Keepalived,
}

impl Defaults {
    /// The one of two values that goes with these defaults.
    pub(crate) fn choose<T>(self, weir: T, keepalived: T) -> T {
        match self {
            Self::Weir => weir,
            Self::Keepalived => keepalived,
        }
    }
}

pub(crate) static SECTION: Section = Section {
    header: "[health]",
    meaning: "What checks and pools do where they say nothing.",
    keys: &[
        Key {
            name: "defaults",
            kind: "\"weir\" or \"keepalived\"",
            default: Some("\"weir\""),
            meaning: "weir: the defaults of the tables below; keepalived: those of keepalived, which \"keepalived's defaults\" lists: checks are slower, a first failure is enough, a backend that fails or leaves goes with its flows, and goes although all fail. Every key may still be written anywhere; what is no matter of health (`forward`, `persistence_timeout_s`) stays as it is",
        },
        Key {
            name: "log_all_failures",
            kind: "true or false",
            default: Some("false"),
            meaning: "the default of the key of this name in checks",
        },
    ],
};

pub(crate) fn read(fields: &Fields<'_, '_>) -> Health {
    let words = [("weir", Defaults::Weir), ("keepalived", Defaults::Keepalived)];
    Health {
        defaults: fields.word("defaults", &words).unwrap_or_default(),
        log_all_failures: fields.boolean("log_all_failures").unwrap_or(false),
    }
}
