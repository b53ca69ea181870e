//! `[[service.backend]]`: one server of a service.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::check::{self, Check};
use crate::forward::{self, Forward, Tunnel};
use crate::health::Health;
use crate::program;
use crate::reader::{At, Fields};
use crate::section::{Key, Section};
use crate::text::{self, HostPort};

/// One server of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// A name for people; not used to tell backends apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address, and the port packets go to; 0: the port the client used.
    pub address: SocketAddr,
    /// Its share of new flows; 0: none, known flows go on.
    pub weight: u16,
    /// How packets get there: the service's way unless the backend has its own.
    pub forward: Forward,
    /// The outer packet; present exactly when `forward` is [`Forward::Tunnel`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
    /// No new flows while it has this many; 0: no limit.
    pub upper_threshold: u32,
    /// New flows again once it has fewer than this; 0: three quarters of the upper threshold.
    pub lower_threshold: u32,
    /// Takes no new flows, whatever its weight; known flows go on.
    pub drain: bool,
    /// Counts as down until its checks pass for the first time; `None`: as the pool says. A check may say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<bool>,
    /// Keeps its place with weight 0 when it fails; `None`: as the pool says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inhibit_on_failure: Option<bool>,
    /// 802.1Q tag towards it; `None`: the port's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// How its health is watched: the service's check unless the backend has its own; `None`: always taken for healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Further checks: all must pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Program with arguments, run when it comes up; empty: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify_up: Vec<String>,
    /// Program with arguments, run when it goes down; empty: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify_down: Vec<String>,
}

impl Backend {
    /// Everything that must pass.
    pub fn all_checks(&self) -> impl Iterator<Item = &Check> {
        self.check.iter().chain(&self.checks)
    }

    /// The weight it has before health is looked at: 0 while it drains.
    pub fn weight_configured(&self) -> u16 {
        if self.drain { 0 } else { self.weight }
    }
}

pub(crate) static SECTION: Section = Section {
    header: "[[service.backend]]",
    meaning: "One server of the service above it.",
    keys: &[
        Key {
            name: "address",
            kind: "a text",
            default: None,
            meaning: "required: \"192.0.2.11:80\" or \"[2001:db8::11]:80\"; without a port: the service's, or the one the client used when the service has several",
        },
        Key {
            name: "name",
            kind: "a text of 1 to 63 characters a-z A-Z 0-9 - _ .",
            default: None,
            meaning: "a name for people",
        },
        Key {
            name: "weight",
            kind: "a whole number from 0 to 65535",
            default: Some("1"),
            meaning: "its share of new flows; 0: none, known flows go on",
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
            name: "upper_threshold",
            kind: "a whole number of connections from 0 to 4294967295",
            default: Some("0"),
            meaning: "no new flows while it has this many; 0: no limit",
        },
        Key {
            name: "lower_threshold",
            kind: "a whole number of connections from 0 to 4294967295",
            default: Some("0"),
            meaning: "new flows again once it has fewer; 0: three quarters of `upper_threshold`",
        },
        Key {
            name: "drain",
            kind: "true or false",
            default: Some("false"),
            meaning: "takes no new flows, whatever its weight; known flows go on",
        },
        Key {
            name: "alpha",
            kind: "true or false",
            default: None,
            meaning: "down until all of its checks have passed once; left out: the pool's",
        },
        Key {
            name: "inhibit_on_failure",
            kind: "true or false",
            default: None,
            meaning: "whether it keeps its flows when it fails; left out: the pool's",
        },
        Key {
            name: "vlan",
            kind: "a whole number from 1 to 4094",
            default: None,
            meaning: "802.1Q tag of what goes to it; left out: the port's; its health is asked through the kernel, which needs a VLAN interface on `host_interface` for that",
        },
        Key {
            name: "check",
            kind: "a table",
            default: None,
            meaning: "left out: the service's",
        },
        Key {
            name: "checks",
            kind: "a list of tables",
            default: None,
            meaning: "several checks, which must all pass; with either of the two keys none of the service's is taken over",
        },
        Key {
            name: "notify_up",
            kind: "a list of texts",
            default: Some("[]"),
            meaning: "program, by its whole path, and its arguments: run without a shell, as the pool's `script_user`, when the backend comes up by its checks or its traffic",
        },
        Key {
            name: "notify_down",
            kind: "a list of texts",
            default: Some("[]"),
            meaning: "the same for when it goes down",
        },
    ],
};

/// What backends take over from their service.
pub(crate) struct Inherited<'a> {
    pub(crate) addresses: &'a [SocketAddr],
    pub(crate) health: Health,
    /// The service is one of UDP.
    pub(crate) datagrams: bool,
    pub(crate) forward: Forward,
    pub(crate) tunnel: Option<Tunnel>,
    pub(crate) check: Option<&'a Check>,
    pub(crate) checks: &'a [Check],
}

impl Inherited<'_> {
    /// The port of the service, if all its addresses have the same one.
    fn port(&self) -> Option<u16> {
        let first = self.addresses.first()?.port();
        self.addresses
            .iter()
            .all(|address| address.port() == first)
            .then_some(first)
    }

    fn is_ipv4(&self) -> bool {
        self.addresses.first().is_none_or(SocketAddr::is_ipv4)
    }
}

pub(crate) fn read(fields: &Fields<'_, '_>, service: &Inherited<'_>) -> Option<Backend> {
    let name = fields.parsed("name", text::name).map(|at| at.value);
    let own_check = fields
        .table("check", &check::SECTION)
        .and_then(|own| check::read(&own, service.health));
    let own_checks = check::read_all(fields, service.health);
    let upper_threshold = fields
        .integer("upper_threshold", 0..=u64::from(u32::MAX))
        .unwrap_or(0);
    let lower_threshold = fields
        .integer("lower_threshold", 0..=u64::from(u32::MAX))
        .unwrap_or(0);
    let weight = fields.integer("weight", 0..=65_535).unwrap_or(1);
    let drain = fields.boolean("drain").unwrap_or(false);
    let vlan = fields.integer("vlan", 1..=4094);
    check_thresholds(fields, upper_threshold, lower_threshold);
    let (place, host) = read_place(fields, service)?;
    let (mut check, mut checks) = if fields.has("check") || fields.has("checks") {
        (own_check, own_checks)
    } else {
        (service.check.cloned(), service.checks.to_vec())
    };
    for check in check.iter_mut().chain(&mut checks) {
        check_port(fields, check, place.address.port(), &host);
        if let Err((message, help)) = check.settle(
            service.addresses,
            service.datagrams,
            place.forward,
            place.address.ip(),
        ) {
            fields.context.error(host.span.clone(), message, help);
        }
    }
    Some(Backend {
        name,
        weight,
        upper_threshold,
        lower_threshold,
        drain,
        alpha: fields.boolean("alpha"),
        inhibit_on_failure: fields.boolean("inhibit_on_failure"),
        vlan,
        check,
        checks,
        notify_up: program::read(fields, "notify_up"),
        notify_down: program::read(fields, "notify_down"),
        ..place
    })
}

/// Where a server is and how packets get there; the rest as for a server that is only named.
pub(crate) fn read_place(
    fields: &Fields<'_, '_>,
    service: &Inherited<'_>,
) -> Option<(Backend, At<HostPort>)> {
    let forward = fields.word("forward", &Forward::WORDS).unwrap_or(service.forward);
    let own_tunnel = fields
        .table("tunnel", &forward::TUNNEL_SECTION)
        .map(|tunnel| forward::read_tunnel(&tunnel));
    if own_tunnel.is_some() && forward != Forward::Tunnel {
        let message = format!("`tunnel` has no meaning with forward \"{forward}\"");
        fields.context.error(
            fields.span_of("tunnel"),
            message,
            "leave `tunnel` out, or set forward = \"tunnel\"",
        );
    }
    let host = fields.required("address", text::host_port)?;
    let port = read_port(fields, service, forward, &host);
    check_family(fields, service, forward, &host);
    let place = Backend {
        name: None,
        address: SocketAddr::new(host.value.address, port),
        weight: 1,
        forward,
        tunnel: (forward == Forward::Tunnel).then(|| own_tunnel.or(service.tunnel).unwrap_or(Tunnel::Ipip)),
        upper_threshold: 0,
        lower_threshold: 0,
        drain: false,
        alpha: None,
        inhibit_on_failure: None,
        vlan: None,
        check: None,
        checks: Vec::new(),
        notify_up: Vec::new(),
        notify_down: Vec::new(),
    };
    Some((place, host))
}

fn check_thresholds(fields: &Fields<'_, '_>, upper: u32, lower: u32) {
    if lower > 0 && upper == 0 {
        fields.context.error(
            fields.span_of("lower_threshold"),
            "`lower_threshold` without `upper_threshold`",
            "set `upper_threshold` too, or leave both out",
        );
    } else if lower > 0 && lower >= upper {
        let message = format!("`lower_threshold` {lower} is not below `upper_threshold` {upper}");
        fields.context.error(
            fields.span_of("lower_threshold"),
            message,
            "make it smaller, or leave it out for three quarters of the upper one",
        );
    }
}

/// The backend's port, checked against what the mode can do: DR and tunnels leave the client's port as it is.
fn read_port(fields: &Fields<'_, '_>, service: &Inherited<'_>, forward: Forward, host: &At<HostPort>) -> u16 {
    let service_port = service.port();
    let port = host.value.port.unwrap_or(service_port.unwrap_or(0));
    let address = written(host.value.address);
    if !forward.keeps_destination() || service.addresses.is_empty() {
        return port;
    }
    match service_port {
        Some(wanted) if wanted != port => {
            let message = format!(
                "port {port} differs from the service's port {wanted}, and forward \"{forward}\" cannot change it"
            );
            let fix = if wanted == 0 {
                format!("write \"{}\"", host.value.address)
            } else {
                format!("write \"{address}:{wanted}\"")
            };
            fields.context.error(
                host.span.clone(),
                message,
                format!("{fix}, or set forward = \"nat\" or \"fullnat\""),
            );
        }
        None if port != 0 => {
            let message = format!(
                "the service has several ports, and forward \"{forward}\" cannot change them to {port}"
            );
            fields.context.error(
                host.span.clone(),
                message,
                format!("leave the port out: \"{}\"", host.value.address),
            );
        }
        _ => {}
    }
    port
}

fn written(address: IpAddr) -> String {
    match address {
        IpAddr::V4(four) => four.to_string(),
        IpAddr::V6(six) => format!("[{six}]"),
    }
}

fn check_family(fields: &Fields<'_, '_>, service: &Inherited<'_>, forward: Forward, host: &At<HostPort>) {
    if service.addresses.is_empty()
        || forward == Forward::Tunnel
        || service.is_ipv4() == host.value.address.is_ipv4()
    {
        return;
    }
    let (wanted, found) = if service.is_ipv4() {
        ("IPv4", "IPv6")
    } else {
        ("IPv6", "IPv4")
    };
    let message = format!(
        "the service is {wanted} but the backend {} is {found}",
        host.value.address
    );
    fields.context.error(
        host.span.clone(),
        message,
        format!("name an {wanted} backend, or set forward = \"tunnel\", which may cross families"),
    );
}

fn check_port(fields: &Fields<'_, '_>, check: &Check, port: u16, host: &At<HostPort>) {
    if port == 0 && check.port.is_none() && check.kind.asks_port() {
        let kind = check.kind.as_str();
        let message = format!(
            "the {kind} check of {} does not know which port to ask",
            host.value.address
        );
        fields.context.error(
            host.span.clone(),
            message,
            format!("add the port to the check: check = {{ {kind} = {{ … }}, port = 80 }}"),
        );
    }
}
