//! `[[vrrp]]`: virtual routers, who share addresses with other directors; what they track; what differs between nodes.
//!
//! One file serves all directors: `[[vrrp.node]]` holds the few values that differ, by the node's name.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Serialize;

use crate::port::Port;
use crate::reader::{At, Fields, Key, Problem, Section};
use crate::text;
use crate::topology::Read;

/// A virtual router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vrrp {
    /// The name people know it by, and scripts get.
    pub name: String,
    /// The port whose host interface it speaks on; the data plane then holds the addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The kernel interface it speaks on, and which then holds the addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Virtual router identifier.
    pub virtual_router_id: u8,
    /// 2 or 3.
    pub version: u8,
    /// Priority before tracking; 255 owns the addresses.
    pub priority: u8,
    /// Advertisement interval.
    pub advert_interval_ms: u32,
    /// Addresses that are advertised and held.
    pub addresses: Vec<IpNet>,
    /// Addresses, of either family, that are held but not advertised.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_addresses: Vec<IpNet>,
    /// Where advertisements come from; `None`: the interface's first address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Peers to speak with instead of the multicast group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unicast_peers: Vec<IpAddr>,
    /// Least TTL of a peer's packet.
    pub unicast_ttl_min: u8,
    /// Take over from a router of lower priority.
    pub preempt: bool,
    /// But not before this long after it was first heard.
    pub preempt_delay_ms: u32,
    /// Wait this long after the start.
    pub startup_delay_ms: u32,
    /// Intervals of silence after which the active router is taken for gone.
    pub down_timer_adverts: u8,
    /// Announcements of each address on becoming active.
    pub announce_repeat: u8,
    /// As many again after this time; 0: not again.
    pub announce_delay_ms: u32,
    /// And one again and again at this interval; 0: never.
    pub announce_refresh_ms: u32,
    /// Whose manners: weir's, keepalived's, or those of RFC 9568 to the letter.
    pub rules: VrrpRules,
    /// How advertisements are authenticated.
    pub auth: VrrpAuth,
    /// File with the password, or with the key in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_file: Option<PathBuf>,
    /// Number of the key.
    pub auth_key_id: u8,
    /// Version 3 over IPv4 without pseudo header in the checksum.
    pub checksum_as_v2: bool,
    /// Virtual routers with the same word here move together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_group: Option<String>,
    /// Program run at each change of state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<PathBuf>,
    /// Pipe each change of state is written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_fifo: Option<PathBuf>,
    /// User the programs run as.
    pub script_user: String,
    /// `[[vrrp.track]]`
    #[serde(rename = "track", skip_serializing_if = "Vec::is_empty")]
    pub tracks: Vec<Track>,
    /// `[[vrrp.node]]`
    #[serde(rename = "node", skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<VrrpNode>,
}

/// Whose manners, where VRRP leaves room or implementations differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VrrpRules {
    /// keepalived's, hardened against floods of priority 0.
    Weir,
    /// keepalived's.
    Keepalived,
    /// RFC 9568 to the letter.
    Rfc9568,
}

/// How advertisements are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VrrpAuth {
    /// Not at all.
    None,
    /// A password in clear; version 2.
    Password,
    /// An authentication header; version 2.
    Header,
    /// A signed trailer, as in keepalived 2.4.
    Hmac,
}

/// Something a virtual router depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Track {
    /// What is tracked; exactly one of these is set.
    #[serde(flatten)]
    pub what: Tracked,
    /// Change of priority; 0: its failure stops the virtual router.
    pub weight: i16,
    /// Up counts as down, and down as up.
    pub reverse: bool,
    /// How often it is looked at.
    pub interval_ms: u32,
    /// How long a script may run.
    pub timeout_ms: u32,
    /// Successes in a row until it is up.
    pub rise: u16,
    /// Failures in a row until it is down.
    pub fall: u16,
}

/// What is tracked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracked {
    /// A kernel interface is up and has a carrier.
    Interface(String),
    /// A port of the data plane has a link.
    Port(String),
    /// A program ends with status 0.
    Script(PathBuf),
    /// A process of this name runs.
    Process(String),
    /// A file exists and does not begin with the number 0.
    File(PathBuf),
    /// A service has a server that takes connections.
    Service(String),
}

impl Tracked {
    /// As people see it.
    pub fn label(&self) -> String {
        match self {
            Self::Interface(name) => format!("interface {name}"),
            Self::Port(name) => format!("port {name}"),
            Self::Script(path) => format!("script {}", path.display()),
            Self::Process(name) => format!("process {name}"),
            Self::File(path) => format!("file {}", path.display()),
            Self::Service(name) => format!("service {name}"),
        }
    }
}

/// What is different on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VrrpNode {
    /// The node's name.
    pub name: String,
    /// Its priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Where its advertisements come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Its kernel interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Its peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unicast_peers: Option<Vec<IpAddr>>,
}

impl Vrrp {
    /// The virtual router as it is on the node of this name.
    #[must_use]
    pub fn on_node(&self, node: &str) -> Self {
        let mut vrrp = self.clone();
        vrrp.nodes.clear();
        let Some(node) = self.nodes.iter().find(|candidate| candidate.name == node) else {
            return vrrp;
        };
        vrrp.priority = node.priority.unwrap_or(self.priority);
        vrrp.source = node.source.or(self.source);
        if let Some(interface) = &node.interface {
            vrrp.interface = Some(interface.clone());
        }
        if let Some(peers) = &node.unicast_peers {
            vrrp.unicast_peers.clone_from(peers);
        }
        vrrp
    }

    /// Whether it holds `address` while active.
    pub fn holds(&self, address: IpAddr) -> bool {
        let mut all = self.addresses.iter().chain(&self.excluded_addresses);
        all.any(|held| held.addr() == address)
    }
}

const fn key(
    name: &'static str,
    kind: &'static str,
    default: Option<&'static str>,
    meaning: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        meaning,
    }
}

const NAME: &str = "a text of 1 to 63 characters a-z A-Z 0-9 - _ .";
const MILLISECONDS: &str = "a whole number from 0 to 86400000";

pub(crate) static SECTION: Section = Section {
    header: "[[vrrp]]",
    meaning: "A virtual router: addresses that are shared with other directors, one of which holds them.",
    keys: &[
        key(
            "name",
            NAME,
            None,
            "required: the name scripts and people know it by",
        ),
        key(
            "port",
            NAME,
            None,
            "name of a [[port]] with a host_interface: it speaks there, and the data plane holds the addresses",
        ),
        key(
            "interface",
            "a text of 1 to 15 characters",
            None,
            "kernel interface: it speaks there, and the kernel holds the addresses; instead of port",
        ),
        key(
            "virtual_router_id",
            "a whole number from 1 to 255",
            None,
            "required: the same on all directors that share these addresses, and on nobody else's",
        ),
        key("version", "2 or 3", None, "left out: 2 for IPv4, 3 for IPv6"),
        key(
            "priority",
            "a whole number from 1 to 255",
            Some("100"),
            "the highest holds the addresses; 255 owns them",
        ),
        key(
            "advert_interval_ms",
            "a whole number from 10 to 255000",
            Some("1000"),
            "whole seconds in version 2; tens of ms up to 40950 in version 3",
        ),
        key(
            "addresses",
            "a list of texts",
            None,
            "required: the shared addresses of one family, \"192.0.2.100/24\"",
        ),
        key(
            "excluded_addresses",
            "a list of texts",
            Some("[]"),
            "addresses that are held but not advertised; they may be of the other family",
        ),
        key(
            "source",
            "a text",
            None,
            "address advertisements come from; left out: the interface's first",
        ),
        key(
            "unicast_peers",
            "a list of texts",
            Some("[]"),
            "peers to speak with instead of the multicast group",
        ),
        key(
            "unicast_ttl_min",
            "a whole number from 1 to 255",
            Some("255"),
            "least TTL of a unicast peer's packet; less for peers behind routers",
        ),
        key(
            "preempt",
            "true or false",
            Some("true"),
            "take over from a lower priority",
        ),
        key(
            "preempt_delay_ms",
            MILLISECONDS,
            Some("0"),
            "but only this long after it was first heard",
        ),
        key(
            "startup_delay_ms",
            MILLISECONDS,
            Some("0"),
            "wait this long after the start",
        ),
        key(
            "down_timer_adverts",
            "a whole number from 1 to 100",
            Some("3"),
            "intervals of silence after which the active director is taken for gone",
        ),
        key(
            "announce_repeat",
            "a whole number from 0 to 100",
            Some("5"),
            "gratuitous ARP or neighbour advertisements for each address on becoming active",
        ),
        key(
            "announce_delay_ms",
            MILLISECONDS,
            Some("5000"),
            "as many again after this time; 0: not again",
        ),
        key(
            "announce_refresh_ms",
            MILLISECONDS,
            Some("0"),
            "and one again and again at this interval; 0: never",
        ),
        key(
            "rules",
            "\"weir\", \"keepalived\" or \"rfc9568\"",
            Some("\"weir\""),
            "whose manners, where implementations differ",
        ),
        key(
            "auth",
            "\"none\", \"password\", \"header\" or \"hmac\"",
            Some("\"none\""),
            "keepalived's auth_type PASS, auth_type AH, and auth_hmac",
        ),
        key(
            "auth_file",
            "an absolute path",
            None,
            "file with the password, or with the key of 64 to 128 hexadecimal digits; readable by root only",
        ),
        key(
            "auth_key_id",
            "a whole number from 1 to 255",
            Some("1"),
            "number of the key of auth = \"hmac\"",
        ),
        key(
            "checksum_as_v2",
            "true or false",
            Some("false"),
            "version 3 over IPv4 without the pseudo header, as some old routers do",
        ),
        key(
            "sync_group",
            NAME,
            None,
            "virtual routers with the same word here move together",
        ),
        key(
            "notify",
            "an absolute path",
            None,
            "program run at each change: INSTANCE name MASTER|BACKUP|FAULT|STOP priority",
        ),
        key(
            "notify_fifo",
            "an absolute path",
            None,
            "pipe the same words are written to",
        ),
        key(
            "script_user",
            "a text",
            Some("\"nobody\""),
            "user that programs run as",
        ),
        key("track", "an array of tables", None, "what it depends on"),
        key("node", "an array of tables", None, "what differs on one node"),
    ],
};

pub(crate) static TRACK_SECTION: Section = Section {
    header: "[[vrrp.track]]",
    meaning: "Something the virtual router above it depends on: one of interface, port, script, process, file and service.",
    keys: &[
        key(
            "interface",
            "a text of 1 to 15 characters",
            None,
            "this kernel interface is up and has a carrier",
        ),
        key("port", NAME, None, "this port of the data plane has a link"),
        key(
            "script",
            "an absolute path",
            None,
            "this program ends with status 0; it runs without a shell, and nobody but root may be able to write it",
        ),
        key("process", "a text", None, "a process of this name runs"),
        key(
            "file",
            "an absolute path",
            None,
            "this file exists and does not begin with the number 0",
        ),
        key(
            "service",
            NAME,
            None,
            "this service has a server that takes connections",
        ),
        key(
            "weight",
            "a whole number from -253 to 253",
            Some("0"),
            "added to the priority while up (positive) or while down (negative); 0: stop the virtual router while down",
        ),
        key(
            "reverse",
            "true or false",
            Some("false"),
            "up counts as down, and down as up",
        ),
        key(
            "interval_ms",
            "a whole number from 100 to 86400000",
            Some("1000"),
            "how often it is looked at",
        ),
        key(
            "timeout_ms",
            "a whole number from 100 to 86400000",
            None,
            "how long a script may run; left out: interval_ms",
        ),
        key(
            "rise",
            "a whole number from 1 to 1000",
            Some("1"),
            "successes in a row until it is up",
        ),
        key(
            "fall",
            "a whole number from 1 to 1000",
            Some("1"),
            "failures in a row until it is down",
        ),
    ],
};

pub(crate) static NODE_SECTION: Section = Section {
    header: "[[vrrp.node]]",
    meaning: "What is different for the virtual router above it on one node, so that one file serves all directors.",
    keys: &[
        key(
            "name",
            NAME,
            None,
            "required: the node's name: its host name, or what weir-control is given with --node",
        ),
        key("priority", "a whole number from 1 to 255", None, "its priority"),
        key("source", "a text", None, "address its advertisements come from"),
        key(
            "interface",
            "a text of 1 to 15 characters",
            None,
            "its kernel interface",
        ),
        key("unicast_peers", "a list of texts", None, "its peers"),
    ],
};

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
        announce_repeat: fields.integer("announce_repeat", 0..=100).unwrap_or(5),
        announce_delay_ms: millis("announce_delay_ms", 5000),
        announce_refresh_ms: millis("announce_refresh_ms", 0),
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
        notify_fifo: fields.parsed("notify_fifo", program).map(|at| at.value),
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
    ]
    .into_iter()
    .flatten()
    .collect();
    let interval_ms = fields.integer("interval_ms", 100..=86_400_000).unwrap_or(1000);
    let Ok([what]) = <[Tracked; 1]>::try_from(found) else {
        fields.context.error(
            fields.span.clone(),
            "[[vrrp.track]] does not name exactly one thing to track",
            "give one of interface, port, script, process, file and service; write a [[vrrp.track]] for each",
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

/// What one virtual router says that cannot be.
fn check(fields: &Fields<'_, '_>, vrrp: &Vrrp, addresses: &[At<IpNet>]) {
    let fault =
        |key: &str, message: String, help: &str| fields.context.error(fields.span_of(key), message, help);
    let v6 = addresses
        .first()
        .is_some_and(|first| first.value.addr().is_ipv6());
    if let Some(other) = addresses.iter().find(|at| at.value.addr().is_ipv6() != v6) {
        let message = format!("{} is not of the family of the first address", other.value);
        let help = "move it to `excluded_addresses`, or make a [[vrrp]] for each family";
        fields.context.error(other.span.clone(), message, help);
    }
    if !(1..=255).contains(&addresses.len()) {
        let message = format!("`addresses` has {} entries", addresses.len());
        fault(
            "addresses",
            message,
            "advertise 1 to 255, and hold the others as `excluded_addresses`",
        );
    }
    match (&vrrp.port, &vrrp.interface) {
        (Some(_), None) | (None, Some(_)) => {}
        (None, None) if vrrp.nodes.iter().all(|node| node.interface.is_some()) && !vrrp.nodes.is_empty() => {}
        (None, None) => fault(
            "name",
            format!("[[vrrp]] {} has neither `port` nor `interface`", vrrp.name),
            "add port = \"NAME\" when the data plane holds the addresses, interface = \"NAME\" when the kernel does",
        ),
        (Some(_), Some(_)) => fault(
            "interface",
            format!("[[vrrp]] {} has both `port` and `interface`", vrrp.name),
            "leave one of the two out",
        ),
    }
    let (unit, max) = if vrrp.version == 2 {
        (1000, 255_000)
    } else {
        (10, 40_950)
    };
    if !vrrp.advert_interval_ms.is_multiple_of(unit) || vrrp.advert_interval_ms > max {
        let message = format!(
            "version {} cannot have an interval of {} ms",
            vrrp.version, vrrp.advert_interval_ms
        );
        fault(
            "advert_interval_ms",
            message,
            "version 2 has whole seconds, version 3 tens of ms up to 40950: set version = 3 for less than a second",
        );
    }
    if vrrp.version == 2 && v6 {
        fault("version", "version 2 has no IPv6".to_owned(), "use version = 3");
    }
    let other_family = |address: &IpAddr| address.is_ipv6() != v6;
    if vrrp.source.as_ref().is_some_and(other_family) {
        fault(
            "source",
            "`source` is not of the family of the addresses".to_owned(),
            "give an address of the same family",
        );
    }
    if vrrp.unicast_peers.iter().any(other_family) {
        fault(
            "unicast_peers",
            "a peer is not of the family of the addresses".to_owned(),
            "give addresses of the same family",
        );
    }
    if vrrp.version == 3 && matches!(vrrp.auth, VrrpAuth::Password | VrrpAuth::Header) {
        fault(
            "auth",
            "version 3 has no passwords and no authentication headers".to_owned(),
            "use auth = \"hmac\", or version = 2",
        );
    }
    if (vrrp.auth == VrrpAuth::None) != vrrp.auth_file.is_none() {
        fault(
            "auth",
            "`auth` and `auth_file` go together".to_owned(),
            "give both, or neither",
        );
    }
    if vrrp.priority == 255 && (!vrrp.preempt || vrrp.preempt_delay_ms != 0) {
        fault(
            "priority",
            "the owner of the addresses (255) always takes over at once".to_owned(),
            "lower the priority, or leave `preempt` and `preempt_delay_ms` out",
        );
    }
    if !vrrp.preempt && vrrp.preempt_delay_ms != 0 {
        fault(
            "preempt_delay_ms",
            "there is no delay without preemption".to_owned(),
            "leave `preempt_delay_ms` or `preempt = false` out",
        );
    }
}

/// What several sections say together that cannot be.
pub(crate) fn check_all(vrrps: &[Read<'_, '_, Vrrp>], ports: &[Port], services: &[String]) {
    let mut seen: Vec<&Vrrp> = Vec::new();
    for read in vrrps {
        let (Some(vrrp), fields) = (&read.value, &read.fields) else {
            continue;
        };
        let fault =
            |key: &str, message: String, help: &str| fields.context.error(fields.span_of(key), message, help);
        if let Some(name) = &vrrp.port {
            match ports.iter().find(|port| &port.name == name) {
                None => fault(
                    "port",
                    format!("there is no [[port]] \"{name}\""),
                    "name one of the ports of this file",
                ),
                Some(port) if port.host_interface.is_none() => fault(
                    "port",
                    format!("port \"{name}\" has no host_interface to speak VRRP on"),
                    "add host_interface = \"NAME\" to the port",
                ),
                Some(_) => {}
            }
        }
        for track in &vrrp.tracks {
            match &track.what {
                Tracked::Port(name) if !ports.iter().any(|port| &port.name == name) => {
                    fault(
                        "track",
                        format!("there is no [[port]] \"{name}\" to track"),
                        "name one of the ports of this file",
                    );
                }
                Tracked::Service(name) if !services.contains(name) => {
                    fault(
                        "track",
                        format!("there is no [[service]] \"{name}\" to track"),
                        "name one of the services of this file",
                    );
                }
                Tracked::Interface(_)
                | Tracked::Port(_)
                | Tracked::Script(_)
                | Tracked::Process(_)
                | Tracked::File(_)
                | Tracked::Service(_) => {}
            }
        }
        check_pair(fields, vrrp, &seen);
        seen.push(vrrp);
    }
}

fn check_pair(fields: &Fields<'_, '_>, vrrp: &Vrrp, seen: &[&Vrrp]) {
    let family = |vrrp: &Vrrp| vrrp.addresses.first().is_some_and(|first| first.addr().is_ipv6());
    for other in seen {
        if other.name == vrrp.name {
            let message = format!("there are two [[vrrp]] \"{}\"", vrrp.name);
            fields
                .context
                .error(fields.span_of("name"), message, "give each a name of its own");
        }
        let same_link = (&other.port, &other.interface) == (&vrrp.port, &vrrp.interface);
        if same_link && other.virtual_router_id == vrrp.virtual_router_id && family(other) == family(vrrp) {
            let message = format!(
                "[[vrrp]] \"{}\" has this virtual_router_id on the same link",
                other.name
            );
            fields.context.error(
                fields.span_of("virtual_router_id"),
                message,
                "use another number from 1 to 255",
            );
        }
        if let Some(shared) = vrrp.addresses.iter().find(|address| other.holds(address.addr())) {
            let message = format!("[[vrrp]] \"{}\" holds {} too", other.name, shared.addr());
            fields.context.error(
                fields.span_of("addresses"),
                message,
                "an address belongs to one virtual router",
            );
        }
    }
}
