//! Virtual routers as keepalived's JSON dump has them (its `vrrp_json.c`), for exporters made for it: same keys, same
//! numbers for states, the same text for an address. Passwords are left out.

use super::status::Status;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;
use weir_configs::{Vrrp, VrrpAuth, VrrpRules};

/// What of the configuration the dump shows, and our own answers do not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings(Option<Box<Vrrp>>);

impl Settings {
    /// Of this virtual router.
    pub(super) fn of(vrrp: &Vrrp) -> Self {
        Self(Some(Box::new(vrrp.clone())))
    }
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

/// Every virtual router.
pub fn keepalived(vrrps: &[Status]) -> serde_json::Value {
    vrrps.iter().map(one).collect()
}

fn one(vrrp: &Status) -> serde_json::Value {
    let count = |name: &str| vrrp.stats.get(name).copied().unwrap_or(0);
    let stats: BTreeMap<&str, u64> = STATS.iter().map(|name| (*name, count(name))).collect();
    // Lengths of time are seconds there, whole milliseconds here.
    let seconds = |millis: u64| millis as f64 / 1000.0;
    let mut data = serde_json::json!({
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
    });
    if let (Some(data), Some(settings)) = (data.as_object_mut(), &vrrp.settings.0) {
        data.extend(configured(settings, vrrp));
    }
    serde_json::json!({ "data": data, "stats": stats })
}

/// What follows from the configuration.
fn configured(settings: &Vrrp, vrrp: &Status) -> serde_json::Map<String, serde_json::Value> {
    let whole = |millis: u32| Duration::from_millis(millis.into()).as_secs();
    let flag = u64::from;
    let set = if vrrp.state == "active" { " set" } else { "" };
    let shown = |address: &dyn Display| format!("{address} dev {} scope global{set}", vrrp.interface);
    let all: Vec<String> = settings.addresses.iter().map(|net| shown(net)).collect();
    let excluded: Vec<String> = settings.excluded_addresses.iter().map(|net| shown(net)).collect();
    let vmac = if settings.virtual_mac {
        format!("vrrp.{}", vrrp.virtual_router_id)
    } else {
        String::new()
    };
    let values = serde_json::json!({
        "dont_track_primary": 0,
        "skip_check_adv_addr": flag(settings.rules == VrrpRules::Rfc9568),
        "strict_mode": flag(settings.rules == VrrpRules::Rfc9568),
        "vmac_ifname": vmac,
        "garp_delay": whole(settings.announce_delay_ms),
        "garp_refresh": whole(settings.announce_refresh_ms),
        "garp_rep": settings.announce_repeat,
        "garp_refresh_rep": settings.announce_refresh_repeat,
        "garp_lower_prio_delay": whole(settings.announce_lower_delay_ms),
        "garp_lower_prio_rep": settings.announce_lower_repeat,
        "lower_prio_no_advert": 0,
        "higher_prio_send_advert": 0,
        "promote_secondaries": false,
        "accept": flag(settings.accept),
        "nopreempt": !settings.preempt,
        "preempt_delay": whole(settings.preempt_delay_ms),
        "smtp_alert": false,
        "notify_deleted": settings.notify_on.deleted.is_some(),
        "vips": all,
        "auth_type": match settings.auth {
            VrrpAuth::None | VrrpAuth::Hmac => 0,
            VrrpAuth::Password => 1,
            VrrpAuth::Header => 2,
        },
    });
    let mut values = values.as_object().cloned().unwrap_or_default();
    if !excluded.is_empty() {
        values.insert("evips".to_owned(), excluded.into());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that keepalived 2.2.7 writes for a plain virtual router.
    const DATA: &str = "iname dont_track_primary skip_check_adv_addr strict_mode vmac_ifname ifp_ifname master_priority \
        last_transition garp_delay garp_refresh garp_rep garp_refresh_rep garp_lower_prio_delay garp_lower_prio_rep \
        lower_prio_no_advert higher_prio_send_advert vrid base_priority effective_priority vipset promote_secondaries \
        adver_int master_adver_int accept nopreempt preempt_delay state wantstate version smtp_alert notify_deleted vips \
        auth_type";

    #[test]
    fn exporters_of_keepalived_find_their_keys() {
        let text = "[[vrrp]]\nname = 'VI_1'\ninterface = 'eth0'\nvirtual_router_id = 51\n\
                    addresses = ['192.0.2.100/24']\nexcluded_addresses = ['192.0.2.101/24']\n";
        let config = weir_configs::parse(text, "weir.toml").unwrap();
        let vrrp = Status {
            name: "VI_1".into(),
            interface: "eth0".into(),
            state: "active".into(),
            stats: [("advert_sent".to_owned(), 7)].into(),
            settings: Settings::of(&config.vrrps[0]),
            ..Status::default()
        };
        let dump = keepalived(&[vrrp]);
        let data = &dump[0]["data"];
        assert_eq!((&data["iname"], &data["state"]), (&"VI_1".into(), &2.into()));
        for key in DATA.split_whitespace() {
            assert!(data.get(key).is_some(), "{key}");
        }
        assert_eq!(data["vips"][0], "192.0.2.100/24 dev eth0 scope global set");
        assert_eq!(data["evips"][0], "192.0.2.101/24 dev eth0 scope global set");
        assert_eq!((&data["garp_delay"], &data["garp_rep"]), (&5.into(), &5.into()));
        assert_eq!(dump[0]["stats"]["advert_sent"], 7);
        assert_eq!(
            dump[0]["stats"]["pri_zero_rcvd"], 0,
            "a count that never moved is there too"
        );
        assert_eq!(dump[0]["stats"].as_object().map(serde_json::Map::len), Some(14));
    }
}
