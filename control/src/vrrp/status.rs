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
}

/// keepalived's number for a state.
pub(crate) fn keepalived_state(word: &str) -> u64 {
    match word {
        "active" => 2,
        "backup" => 1,
        "fault" => 3,
        _ => 0,
    }
}

/// Every virtual router as keepalived's JSON dump has it (its `vrrp_json.c`): same keys, same numbers for states.
pub fn keepalived(vrrps: &[Status]) -> serde_json::Value {
    const STATS: [&str; 14] = [
        "advert_rcvd",
        "advert_sent",
        "become_master",
        "release_master",
        "packet_len_err",
        "advert_interval_err",
        "ip_ttl_err",
        "invalid_type_rcvd",
        "addr_list_err",
        "invalid_authtype",
        "authtype_mismatch",
        "auth_failure",
        "pri_zero_rcvd",
        "pri_zero_sent",
    ];
    // Lengths of time are seconds there, whole milliseconds here.
    let seconds = |millis: u64| millis as f64 / 1000.0;
    let one = |vrrp: &Status| {
        let count = |name: &str| vrrp.stats.get(name).copied().unwrap_or(0);
        let stats: BTreeMap<&str, u64> = STATS.iter().map(|name| (*name, count(name))).collect();
        serde_json::json!({
            "data": {
                "iname": vrrp.name,
                "vrid": vrrp.virtual_router_id,
                "version": vrrp.version,
                "state": keepalived_state(&vrrp.state),
                "wantstate": keepalived_state(&vrrp.state),
                "ifp_ifname": vrrp.interface,
                "base_priority": vrrp.priority,
                "effective_priority": vrrp.effective_priority,
                "master_priority": vrrp.active.as_ref().map_or(0, |active| active.priority),
                "adver_int": seconds(vrrp.advert_interval_ms),
                "master_adver_int": seconds(vrrp.advert_interval_ms),
                "last_transition": seconds(vrrp.since_unix_ms),
                "vipset": vrrp.state == "active",
                "vips": vrrp.addresses,
            },
            "stats": stats,
        })
    };
    vrrps.iter().map(one).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exporters_of_keepalived_find_their_keys() {
        let vrrp = Status {
            name: "VI_1".into(),
            state: "active".into(),
            stats: [("advert_sent".to_owned(), 7)].into(),
            ..Status::default()
        };
        let dump = keepalived(&[vrrp]);
        assert_eq!(dump[0]["data"]["iname"], "VI_1");
        assert_eq!(dump[0]["data"]["state"], 2);
        assert_eq!(dump[0]["stats"]["advert_sent"], 7);
        assert_eq!(
            dump[0]["stats"]["pri_zero_rcvd"], 0,
            "a count that never moved is there too"
        );
        assert_eq!(dump[0]["stats"].as_object().map(serde_json::Map::len), Some(14));
    }
}
