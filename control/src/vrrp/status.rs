//! What is shown of VRRP: by the API, by weirctl, and to programs that follow events.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name and version of the answer about virtual routers.
pub const SCHEMA: &str = "weir.vrrp/1";
/// Name and version of the answer about events.
pub const EVENTS_SCHEMA: &str = "weir.events/1";

/// Every virtual router.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Vrrps {
    /// [`SCHEMA`].
    pub schema: String,
    /// In the order of the configuration.
    pub vrrp: Vec<Status>,
}

/// A virtual router.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The interface it speaks on.
    pub interface: String,
    /// Virtual router identifier.
    pub virtual_router_id: u8,
    /// 2 or 3.
    pub version: u8,
    /// `active`, `backup`, `fault` or `stopped`.
    pub state: String,
    /// Why it is what it is.
    pub why: String,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// Configured priority.
    pub priority: u8,
    /// Priority after tracking.
    pub effective_priority: u8,
    /// Where its advertisements come from.
    pub source: String,
    /// Shared addresses.
    pub addresses: Vec<String>,
    /// The active router, when it is another one.
    pub active: Option<Active>,
    /// Advertisement interval that counts now.
    pub advert_interval_ms: u64,
    /// Silence after which the active router is taken for gone, in microseconds.
    pub active_down_us: u64,
    /// What is due next, and in how many microseconds.
    pub next: Option<Next>,
    /// Another active router beside us.
    pub rival: Option<String>,
    /// It was handed over and leaves the other alone until told otherwise.
    pub handed_over: bool,
    /// Connections that are unknown here go to the director that held the addresses before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Relayed>,
    /// What it depends on.
    pub tracks: Vec<Track>,
    /// Counts, under keepalived's names.
    pub stats: BTreeMap<String, u64>,
    /// The last changes of state, oldest first.
    pub transitions: Vec<Change>,
    /// What only keepalived's JSON shows.
    #[serde(skip)]
    pub settings: super::dump::Settings,
}

/// The active router.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Active {
    /// Its address.
    pub address: String,
    /// Its priority.
    pub priority: u8,
    /// When it was last heard, in milliseconds since 1970.
    pub heard_unix_ms: u64,
}

/// Where connections go that only the director knows which held the addresses before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Relayed {
    /// That director.
    pub to: String,
    /// For how much longer.
    pub left_ms: u64,
}

/// A timer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Next {
    /// Which.
    pub timer: String,
    /// When, in microseconds from the answer.
    pub in_us: u64,
}

/// Something tracked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Track {
    /// What.
    pub name: String,
    /// Its weight; 0: its failure is a fault.
    pub weight: i16,
    /// Whether it is up; nothing while that is not known.
    pub up: Option<bool>,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Change {
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// From.
    pub from: String,
    /// To.
    pub to: String,
    /// Why.
    pub why: String,
}

/// Events, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Events {
    /// [`EVENTS_SCHEMA`].
    pub schema: String,
    /// Those asked for that are still remembered.
    pub events: Vec<Event>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Event {
    /// Its number; the next event has the next one.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Which virtual router; empty when it is about something else.
    pub vrrp: String,
    /// Which service or backend; absent when it is about a virtual router.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// Of a virtual router `active`, `backup`, `fault`, `stopped`, `rival`, `clock` or `error`; of others `up`, `down`, `weight`,
    /// `quorum-up`, `quorum-down`, `alarm`, `alarm-over`, `drained`, `maintenance`, `changed` or `config`.
    pub kind: String,
    /// What people read.
    pub text: String,
}

/// A request to hand over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOver {
    /// Which virtual router; left out: all.
    #[serde(default)]
    pub name: Option<String>,
    /// Take part in elections again instead.
    #[serde(default)]
    pub resume: bool,
}
