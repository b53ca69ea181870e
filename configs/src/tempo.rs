//! The keys of a check that say how it hurries after a failure and holds back a server that flaps.

use serde::Serialize;

use crate::reader::Fields;
use crate::section::{Key, Section};

/// Holds back a server that flaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Flap {
    /// So many times down…
    pub falls: u32,
    /// …within this time…
    pub window_s: u32,
    /// …and it stays down for this time after its last failure.
    pub hold_s: u32,
}

pub(crate) static FLAP_SECTION: Section = Section {
    header: "check.flap",
    meaning: "Holds back a server that comes and goes.",
    keys: &[
        Key {
            name: "falls",
            kind: "a whole number from 1 to 16",
            default: Some("5"),
            meaning: "a server that went down so many times within `window_s` is held back",
        },
        Key {
            name: "window_s",
            kind: "a whole number of seconds from 1 to 86400",
            default: Some("300"),
            meaning: "see `falls`",
        },
        Key {
            name: "hold_s",
            kind: "a whole number of seconds from 1 to 86400",
            default: Some("60"),
            meaning: "it stays down until no check has failed for this time, whatever passes",
        },
    ],
};

pub(crate) fn read_flap(fields: &Fields<'_, '_>) -> Option<Flap> {
    let table = fields.table("flap", &FLAP_SECTION)?;
    Some(Flap {
        falls: table.integer("falls", 1..=16).unwrap_or(5),
        window_s: table.integer("window_s", 1..=86_400).unwrap_or(300),
        hold_s: table.integer("hold_s", 1..=86_400).unwrap_or(60),
    })
}
