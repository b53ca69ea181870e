//! From tables to [`Vrrp`].

use std::path::PathBuf;

use super::check::check;
use super::keys::{NODE_SECTION, TRACK_SECTION};
use super::{NotifyOn, Track, Tracked, Vrrp, VrrpAuth, VrrpNode, VrrpRules};
use crate::reader::{At, Fields, Problem};
use crate::text;

fn values<T>(list: Option<Vec<At<T>>>) -> Vec<T> {
    list.unwrap_or_default().into_iter().map(|at| at.value).collect()
}

fn program(text: &str) -> Result<PathBuf, Problem> {
    if text.starts_with('/') && !text.contains('\0') && !text.contains(char::is_whitespace) {
        return Ok(PathBuf::from(text));
    }
    Err(Problem::new(
        format!("\"{}\" is not an absolute path", text.escape_debug()),
        "write the whole path, without arguments: there is no shell to take them apart",
    ))
}

pub(crate) fn read(fields: &Fields<'_, '_>) -> Option<Vrrp> {
    let name = fields.required("name", text::name);
    let addresses = fields.list("addresses", text::interface_address);
    if !fields.has("addresses") {
        fields.missing("addresses");
    }
    if !fields.has("virtual_router_id") {
        fields.missing("virtual_router_id");
    }
    let virtual_router_id = fields.integer("virtual_router_id", 1..=255);
    let (name, addresses) = (name?.value, addresses?);
    let v6 = addresses
        .first()
        .is_some_and(|first| first.value.addr().is_ipv6());
    let default_version = if v6 { 3 } else { 2 };
    let flag = |name, default| fields.boolean(name).unwrap_or(default);
    let millis = |name, default| fields.integer(name, 0..=86_400_000).unwrap_or(default);
    let announce_repeat = fields.integer("announce_repeat", 0..=100).unwrap_or(5);
    let announce_delay_ms = millis("announce_delay_ms", 5000);
    let virtual_mac = flag("virtual_mac", false);
    let vrrp = Vrrp {
        name,
        port: fields.parsed("port", text::name).map(|at| at.value),
        interface: fields
            .parsed("interface", text::interface_name)
            .map(|at| at.value),
        virtual_router_id: virtual_router_id?,
        version: fields.integer("version", 2..=3).unwrap_or(default_version),
        priority: fields.integer("priority", 1..=255).unwrap_or(100),
        advert_interval_ms: fields.integer("advert_interval_ms", 10..=255_000).unwrap_or(1000),
        addresses: addresses.iter().map(|at| at.value).collect(),
        excluded_addresses: values(fields.list("excluded_addresses", text::interface_address)),
        source: fields.parsed("source", text::address).map(|at| at.value),
        unicast_peers: values(fields.list("unicast_peers", text::address)),
        unicast_ttl_min: fields.integer("unicast_ttl_min", 1..=255).unwrap_or(255),
        preempt: flag("preempt", true),
        preempt_delay_ms: millis("preempt_delay_ms", 0),
        startup_delay_ms: millis("startup_delay_ms", 0),
        down_timer_adverts: fields.integer("down_timer_adverts", 1..=100).unwrap_or(3),
        announce_repeat,
        announce_delay_ms,
        announce_refresh_ms: millis("announce_refresh_ms", if virtual_mac { 60_000 } else { 0 }),
        announce_refresh_repeat: fields.integer("announce_refresh_repeat", 1..=100).unwrap_or(1),
        announce_lower_repeat: fields
            .integer("announce_lower_repeat", 0..=100)
            .unwrap_or(announce_repeat),
        announce_lower_delay_ms: millis("announce_lower_delay_ms", announce_delay_ms),
        announce_interval_ms: fields.integer("announce_interval_ms", 0..=10_000).unwrap_or(0),
        virtual_mac,
        accept: flag("accept", true),
        link_up_delay_ms: millis("link_up_delay_ms", 0),
        link_down_delay_ms: millis("link_down_delay_ms", 0),
        relay_ms: fields.integer("relay_ms", 0..=3_600_000).unwrap_or(30_000),
        rules: fields
            .word(
                "rules",
                &[
                    ("weir", VrrpRules::Weir),
                    ("keepalived", VrrpRules::Keepalived),
                    ("rfc9568", VrrpRules::Rfc9568),
                ],
            )
            .unwrap_or(VrrpRules::Weir),
        auth: fields
            .word(
                "auth",
                &[
                    ("none", VrrpAuth::None),
                    ("password", VrrpAuth::Password),
                    ("header", VrrpAuth::Header),
                    ("hmac", VrrpAuth::Hmac),
                ],
            )
            .unwrap_or(VrrpAuth::None),
        auth_file: fields.parsed("auth_file", program).map(|at| at.value),
        auth_key_id: fields.integer("auth_key_id", 1..=255).unwrap_or(1),
        checksum_as_v2: flag("checksum_as_v2", false),
        sync_group: fields.parsed("sync_group", text::name).map(|at| at.value),
        notify: fields.parsed("notify", program).map(|at| at.value),
        notify_on: notify_on(fields),
        notify_fifo: fields.parsed("notify_fifo", program).map(|at| at.value),
        notify_priority_changes: flag("notify_priority_changes", false),
        script_user: fields
            .parsed("script_user", text::name)
            .map_or_else(|| "nobody".to_owned(), |at| at.value),
        tracks: fields
            .tables("track", &TRACK_SECTION)
            .iter()
            .filter_map(read_track)
            .collect(),
        nodes: fields
            .tables("node", &NODE_SECTION)
            .iter()
            .filter_map(read_node)
            .collect(),
    };
    check(fields, &vrrp, &addresses);
    Some(vrrp)
}

fn notify_on(fields: &Fields<'_, '_>) -> NotifyOn {
    let path = |name| fields.parsed(name, program).map(|at| at.value);
    NotifyOn {
        master: path("notify_master"),
        backup: path("notify_backup"),
        fault: path("notify_fault"),
        stop: path("notify_stop"),
        deleted: path("notify_deleted"),
        master_rx_lower_pri: path("notify_master_rx_lower_pri"),
    }
}

fn read_track(fields: &Fields<'_, '_>) -> Option<Track> {
    let path = |name| fields.parsed(name, program).map(|at| at.value);
    let word = |name| fields.parsed(name, text::name).map(|at| at.value);
    let interface = fields.parsed("interface", text::interface_name);
    let found: Vec<Tracked> = [
        interface.map(|at| Tracked::Interface(at.value)),
        word("port").map(Tracked::Port),
        path("script").map(Tracked::Script),
        word("process").map(Tracked::Process),
        path("file").map(Tracked::File),
        word("service").map(Tracked::Service),
        fields
            .parsed("gateway", text::address)
            .map(|at| Tracked::Gateway(at.value)),
        word("bfd").map(Tracked::Bfd),
    ]
    .into_iter()
    .flatten()
    .collect();
    let interval_ms = fields.integer("interval_ms", 100..=86_400_000).unwrap_or(1000);
    let Ok([what]) = <[Tracked; 1]>::try_from(found) else {
        fields.context.error(
            fields.span.clone(),
            "[[vrrp.track]] does not name exactly one thing to track",
            "give one of interface, port, script, process, file, service, gateway and bfd; write a [[vrrp.track]] for each",
        );
        return None;
    };
    Some(Track {
        what,
        weight: weight(fields),
        reverse: fields.boolean("reverse").unwrap_or(false),
        interval_ms,
        timeout_ms: fields
            .integer("timeout_ms", 100..=86_400_000)
            .unwrap_or(interval_ms),
        rise: fields.integer("rise", 1..=1000).unwrap_or(1),
        fall: fields.integer("fall", 1..=1000).unwrap_or(1),
    })
}

/// The reader knows no negative numbers: nothing else here has any.
fn weight(fields: &Fields<'_, '_>) -> i16 {
    let Some(value) = fields.get("weight") else {
        return 0;
    };
    let number = value.get_ref().as_integer().and_then(|number| {
        let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
        i16::try_from(parsed)
            .ok()
            .filter(|weight| (-253..=253).contains(weight))
    });
    number.unwrap_or_else(|| {
        fields.context.error(
            value.span(),
            "`weight` is not a number from -253 to 253",
            "use a whole number from -253 to 253, without quotes",
        );
        0
    })
}

fn read_node(fields: &Fields<'_, '_>) -> Option<VrrpNode> {
    Some(VrrpNode {
        name: fields.required("name", text::name)?.value,
        priority: fields.integer("priority", 1..=255),
        source: fields.parsed("source", text::address).map(|at| at.value),
        interface: fields
            .parsed("interface", text::interface_name)
            .map(|at| at.value),
        unicast_peers: fields
            .list("unicast_peers", text::address)
            .map(|list| values(Some(list))),
    })
}
