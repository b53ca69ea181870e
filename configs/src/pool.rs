//! `pool = { … }`: what a service makes of its backends' health. keepalived's words have keepalived's meaning.

use serde::{Serialize, Serializer};
use toml::de::DeValue;

use crate::backend::{self, Backend, Inherited};
use crate::health::Defaults;
use crate::passive::{self, Passive};
use crate::program;
use crate::reader::{Fields, Problem};
use crate::section::{Key, Section};
use crate::text;

/// What a service makes of its backends' health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Backends count as down until their checks pass for the first time.
    pub alpha: bool,
    /// At its end control runs `quorum_down`, and `notify_down` of backends that are up.
    pub omega: bool,
    /// The sum of weights of live backends that makes a service.
    pub quorum: u32,
    /// How far above `quorum` it must be gained, how far below it is lost.
    pub hysteresis: u32,
    /// Program with arguments, run when the quorum is gained; empty: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quorum_up: Vec<String>,
    /// Program with arguments, run when it is lost; empty: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quorum_down: Vec<String>,
    /// User those programs run as.
    pub script_user: String,
    /// Group they run in; `None`: the user's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_group: Option<String>,
    /// A failed backend keeps its place with weight 0; `None`: unless `expire_nodest_conn` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inhibit_on_failure: Option<bool>,
    /// Checks run only while this node holds the service's address.
    pub ha_suspend: bool,
    /// What becomes of the pool when no backend lives.
    pub all_failed: AllFailed,
    /// Backends that failed within this time before the last one failed at once with it.
    pub all_failed_within_ms: u32,
    /// How many backends may be taken out for their health within `removal_interval_ms`; `None`: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removal_limit: Option<RemovalLimit>,
    /// See `removal_limit`.
    pub removal_interval_ms: u32,
    /// What becomes of the flows of a backend that leaves the configuration; `None`: drain unless `expire_nodest_conn` is
    /// set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_removal: Option<OnRemoval>,
    /// A removed backend that still has flows after this time is cut off.
    pub drain_timeout_s: u32,
    /// What the traffic itself shows about backends; `None`: not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive: Option<Passive>,
    /// Used instead of all backends while there is no quorum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sorry_server: Option<SorryServer>,
}

/// What becomes of a pool when no backend lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AllFailed {
    /// Those that failed at once with the last one stay in service.
    Keep,
    /// None stays.
    Remove,
}

/// What becomes of the flows of a backend that leaves the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRemoval {
    /// They go on until they end or the drain's time is over.
    Drain,
    /// They end at once.
    Cut,
}

/// How many backends may be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalLimit {
    /// So many.
    Backends(u32),
    /// So many of a hundred.
    Percent(u8),
}

impl Serialize for RemovalLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Backends(count) => serializer.serialize_u32(*count),
            Self::Percent(percent) => serializer.collect_str(&format_args!("{percent}%")),
        }
    }
}

/// The stand-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SorryServer {
    /// Keeps its place with weight 0 while it is not needed.
    pub inhibit: bool,
    /// Where it is and how packets get there.
    #[serde(flatten)]
    pub server: SorryBackend,
}

/// A backend without a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SorryBackend(pub Backend);

impl Serialize for SorryBackend {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("address", &self.0.address)?;
        map.serialize_entry("forward", &self.0.forward)?;
        if let Some(tunnel) = &self.0.tunnel {
            map.serialize_entry("tunnel", tunnel)?;
        }
        map.end()
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            alpha: false,
            omega: false,
            quorum: 1,
            hysteresis: 0,
            quorum_up: Vec::new(),
            quorum_down: Vec::new(),
            script_user: "nobody".to_owned(),
            script_group: None,
            inhibit_on_failure: None,
            ha_suspend: false,
            all_failed: AllFailed::Keep,
            all_failed_within_ms: 10_000,
            removal_limit: None,
            removal_interval_ms: 10_000,
            on_removal: None,
            drain_timeout_s: 3_600,
            passive: None,
            sorry_server: None,
        }
    }
}

impl Pool {
    /// What is made of health where nothing is said. keepalived has no pool that is kept although all have failed, and no drain.
    pub(crate) fn of(defaults: Defaults) -> Self {
        match defaults {
            Defaults::Weir => Self::default(),
            Defaults::Keepalived => Self {
                inhibit_on_failure: Some(false),
                all_failed: AllFailed::Remove,
                on_removal: Some(OnRemoval::Cut),
                ..Self::default()
            },
        }
    }
}

const MILLISECONDS: &str = "a whole number of milliseconds from 10 to 86400000";

pub(crate) static SECTION: Section = Section {
    header: "pool = { … }",
    meaning: "What a service makes of its backends' health. Words that keepalived has mean what they mean there.",
    keys: &[
        Key {
            name: "alpha",
            kind: "true or false",
            default: Some("false"),
            meaning: "backends count as down until all of their checks have passed once",
        },
        Key {
            name: "omega",
            kind: "true or false",
            default: Some("false"),
            meaning: "when weir-control stops, run `quorum_down`, and `notify_down` of backends that are up, as keepalived does at shutdown",
        },
        Key {
            name: "quorum",
            kind: "a whole number from 1 to 16777216",
            default: Some("1"),
            meaning: "the sum of the weights of live backends that makes a service",
        },
        Key {
            name: "hysteresis",
            kind: "a whole number below `quorum`",
            default: Some("0"),
            meaning: "the quorum is gained at quorum + hysteresis and lost below quorum - hysteresis",
        },
        Key {
            name: "quorum_up",
            kind: "a list of texts",
            default: Some("[]"),
            meaning: "program, by its whole path, and its arguments: run without a shell when the quorum is gained",
        },
        Key {
            name: "quorum_down",
            kind: "a list of texts",
            default: Some("[]"),
            meaning: "the same for when it is lost",
        },
        Key {
            name: "script_user",
            kind: "a text",
            default: Some("\"nobody\""),
            meaning: "user those programs and the backends' `notify_up` and `notify_down` run as",
        },
        Key {
            name: "script_group",
            kind: "a text",
            default: None,
            meaning: "group they run in; left out: the user's own",
        },
        Key {
            name: "inhibit_on_failure",
            kind: "true or false",
            default: None,
            meaning: "true: a failed backend keeps its flows, and gets no new ones; false: it is removed, and its flows end, as keepalived does unless told otherwise; left out: true, unless `expire_nodest_conn` is set, so that a server that is only slow keeps its clients",
        },
        Key {
            name: "ha_suspend",
            kind: "true or false",
            default: Some("false"),
            meaning: "check the backends only while this node holds the service's address; meanwhile they keep their last state",
        },
        Key {
            name: "all_failed",
            kind: "\"keep\" or \"remove\"",
            default: None,
            meaning: "when no backend lives any more: keep those that failed at once with the last one, and raise an alarm, or remove them all; left out: keep, or remove with a sorry server",
        },
        Key {
            name: "all_failed_within_ms",
            kind: MILLISECONDS,
            default: Some("10000"),
            meaning: "backends that failed within this time before the last one failed at once with it",
        },
        Key {
            name: "removal_limit",
            kind: "a whole number from 1 to 65535, or a text such as \"50%\"",
            default: None,
            meaning: "at most so many backends are taken out for their health within `removal_interval_ms`, at least one; the others that failed stay until then, and an alarm is raised; left out: any number",
        },
        Key {
            name: "removal_interval_ms",
            kind: MILLISECONDS,
            default: Some("10000"),
            meaning: "see `removal_limit`",
        },
        Key {
            name: "on_removal",
            kind: "\"drain\" or \"cut\"",
            default: None,
            meaning: "what becomes of the flows of a backend that leaves the configuration: they go on until they end, or end at once; left out: drain, unless `expire_nodest_conn` is set",
        },
        Key {
            name: "drain_timeout_s",
            kind: "a whole number of seconds from 1 to 2678400",
            default: Some("3600"),
            meaning: "a backend that drains after its removal is cut off after this time",
        },
        Key {
            name: "passive",
            kind: "a table",
            default: None,
            meaning: "what the traffic itself shows about backends; left out: not looked at",
        },
        Key {
            name: "sorry_server",
            kind: "a table",
            default: None,
            meaning: "used instead of all backends while there is no quorum",
        },
    ],
};

pub(crate) static SORRY_SECTION: Section = Section {
    header: "pool.sorry_server",
    meaning: "The server used instead of all others while there is no quorum. It is not checked.",
    keys: &[
        Key {
            name: "address",
            kind: "a text",
            default: None,
            meaning: "required: \"192.0.2.99:80\"; without a port: the service's",
        },
        Key {
            name: "forward",
            kind: "\"dr\", \"tunnel\", \"nat\" or \"fullnat\"",
            default: None,
            meaning: "left out: the service's",
        },
        Key {
            name: "tunnel",
            kind: "a table",
            default: None,
            meaning: "left out: the service's",
        },
        Key {
            name: "inhibit",
            kind: "true or false",
            default: Some("true"),
            meaning: "its flows go on when it is no longer needed; false: they end",
        },
    ],
};

pub(crate) fn read(fields: &Fields<'_, '_>, service: &Inherited<'_>) -> Pool {
    let default = Pool::of(service.health.defaults);
    let sorry_server = fields
        .table("sorry_server", &SORRY_SECTION)
        .and_then(|table| read_sorry(&table, service));
    let all_failed = fields.word(
        "all_failed",
        &[("keep", AllFailed::Keep), ("remove", AllFailed::Remove)],
    );
    let quorum = fields.integer("quorum", 1..=1 << 24).unwrap_or(default.quorum);
    let hysteresis = fields
        .integer("hysteresis", 0..=1 << 24)
        .unwrap_or(default.hysteresis);
    if hysteresis >= quorum {
        fields.context.error(
            fields.span_of("hysteresis"),
            format!("`hysteresis` {hysteresis} is not below `quorum` {quorum}"),
            "make it smaller: a quorum at or below zero could not be lost",
        );
    }
    Pool {
        alpha: fields.boolean("alpha").unwrap_or(default.alpha),
        omega: fields.boolean("omega").unwrap_or(default.omega),
        quorum,
        hysteresis,
        quorum_up: program::read(fields, "quorum_up"),
        quorum_down: program::read(fields, "quorum_down"),
        script_user: fields
            .parsed("script_user", text::name)
            .map_or(default.script_user, |at| at.value),
        script_group: fields.parsed("script_group", text::name).map(|at| at.value),
        inhibit_on_failure: fields
            .boolean("inhibit_on_failure")
            .or(default.inhibit_on_failure),
        ha_suspend: fields.boolean("ha_suspend").unwrap_or(default.ha_suspend),
        all_failed: all_failed.unwrap_or(match sorry_server {
            Some(_) => AllFailed::Remove,
            None => default.all_failed,
        }),
        all_failed_within_ms: milliseconds(fields, "all_failed_within_ms", default.all_failed_within_ms),
        removal_limit: read_limit(fields),
        removal_interval_ms: milliseconds(fields, "removal_interval_ms", default.removal_interval_ms),
        on_removal: fields
            .word(
                "on_removal",
                &[("drain", OnRemoval::Drain), ("cut", OnRemoval::Cut)],
            )
            .or(default.on_removal),
        drain_timeout_s: fields
            .integer("drain_timeout_s", 1..=2_678_400)
            .unwrap_or(default.drain_timeout_s),
        passive: fields
            .table("passive", &passive::SECTION)
            .map(|table| passive::read(&table)),
        sorry_server,
    }
}

fn milliseconds(fields: &Fields<'_, '_>, name: &str, default: u32) -> u32 {
    fields.integer(name, 10..=86_400_000).unwrap_or(default)
}

fn read_sorry(fields: &Fields<'_, '_>, service: &Inherited<'_>) -> Option<SorryServer> {
    Some(SorryServer {
        inhibit: fields
            .boolean("inhibit")
            .unwrap_or(service.health.defaults.choose(true, false)),
        server: SorryBackend(backend::read_place(fields, service)?.0),
    })
}

fn read_limit(fields: &Fields<'_, '_>) -> Option<RemovalLimit> {
    match fields.get("removal_limit")?.get_ref() {
        DeValue::String(_) => fields
            .parsed("removal_limit", percent)
            .map(|at| RemovalLimit::Percent(at.value)),
        _ => fields
            .integer("removal_limit", 1..=65_535)
            .map(RemovalLimit::Backends),
    }
}

fn percent(text: &str) -> Result<u8, Problem> {
    let number = text
        .strip_suffix('%')
        .and_then(|number| number.parse::<u8>().ok());
    number
        .filter(|percent| (1..=100).contains(percent))
        .ok_or_else(|| {
            Problem::new(
                format!("\"{}\" is not a share of the pool", text.escape_debug()),
                "write \"1%\" to \"100%\", or a number of backends without quotes",
            )
        })
}
