//! `[[service]]`: what clients connect to, and how their flows are spread.

use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};
use toml::de::DeValue;

use crate::backend::{self, Backend, Inherited};
use crate::check::{self, Check};
use crate::forward::{self, Forward, Tunnel};
use crate::health::Health;
use crate::ipvs::{self, Ipvs};
use crate::passive;
use crate::pool::{self, Pool};
use crate::reader::{At, Fields};
use crate::scheduler::{Scheduler, SchedulerFlag};
use crate::section::{Key, Section};
use crate::text;
use crate::timeouts::{self, Timeouts};

/// What clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    /// The name people use.
    pub name: String,
    /// Virtual address and port, or several that share backends, persistence and scheduler. One family; never empty.
    /// Port 0: every port (needs persistence).
    pub addresses: Vec<SocketAddr>,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// How a backend is chosen.
    pub scheduler: Scheduler,
    /// Variations of the scheduler.
    pub scheduler_flags: Vec<SchedulerFlag>,
    /// Slots of the table of [`Scheduler::Maglev`], 65537 or 655373; present exactly with that scheduler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maglev_slots: Option<u32>,
    /// How packets get to the backends, unless a backend says otherwise.
    pub forward: Forward,
    /// The outer packet of tunnelled backends, unless a backend says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
    /// A client keeps its backend this many seconds; 0: no persistence.
    pub persistence_timeout_s: u32,
    /// Clients with the same first bits of the address are one client; 32 or 128: each its own.
    pub persistence_prefix: u8,
    /// Every UDP packet is scheduled anew, no flow is kept.
    pub one_packet: bool,
    /// Source addresses towards the backends when `forward` is [`Forward::FullNat`].
    pub local_addresses: Vec<IpAddr>,
    /// What a client gets when no backend can be used.
    pub no_server: NoServer,
    /// Upper bound put on the MSS option of SYN packets; `None`: not touched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss_clamp_bytes: Option<MssClamp>,
    /// 802.1Q tag on the clients' side; `None`: the port's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Switches under IPVS's names: those of `[ipvs]` with the service's own on top.
    pub ipvs: Ipvs,
    /// Timeouts: those of `[timeouts]` with the service's own on top.
    pub timeouts: Timeouts,
    /// How health is watched, unless a backend says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Further checks: all must pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What is made of the servers' health.
    pub pool: Pool,
    /// The servers.
    #[serde(rename = "backend")]
    pub backends: Vec<Backend>,
}

/// The transport protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, protocol 6.
    Tcp,
    /// UDP, protocol 17.
    Udp,
}

impl Protocol {
    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What a client gets when no backend can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoServer {
    /// Silence.
    Drop,
    /// TCP RST, or ICMP port unreachable for UDP.
    Reject,
}

/// Upper bound put on the MSS option of SYN packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MssClamp {
    /// What the tunnel's path leaves.
    Auto,
    /// This many bytes.
    Bytes(u16),
}

impl Serialize for MssClamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Bytes(bytes) => serializer.serialize_u16(*bytes),
        }
    }
}

pub(crate) static SECTION: Section = Section {
    header: "[[service]]",
    meaning: "What clients connect to, and how their flows are spread.",
    keys: &[
        Key {
            name: "name",
            kind: "a text of 1 to 63 characters a-z A-Z 0-9 - _ .",
            default: None,
            meaning: "required: the name people use",
        },
        Key {
            name: "address",
            kind: "a text",
            default: None,
            meaning: "required unless `addresses` is there: \"192.0.2.100:80\" or \"[2001:db8::100]:80\"; port 0 is every port and needs persistence",
        },
        Key {
            name: "addresses",
            kind: "a list of texts",
            default: None,
            meaning: "several addresses and ports that are one service",
        },
        Key {
            name: "protocol",
            kind: "\"tcp\" or \"udp\"",
            default: Some("\"tcp\""),
            meaning: "transport protocol",
        },
        Key {
            name: "scheduler",
            kind: "a text",
            default: Some("\"wlc\""),
            meaning: "rr, wrr, lc, wlc, sed, nq, dh, sh, mh, lblc, lblcr, fo, ovf, twos as in IPVS, or maglev, which hashes both ends of a flow (with persistence: the client's address) and takes another backend when the hashed one cannot be used",
        },
        Key {
            name: "scheduler_flags",
            kind: "a list of texts",
            default: Some("[]"),
            meaning: "sh-port, sh-fallback with sh; mh-port, mh-fallback with mh: hash the client's port too, take another backend when the hashed one cannot be used",
        },
        Key {
            name: "maglev_slots",
            kind: "65537 or 655373",
            default: None,
            meaning: "slots of the table of scheduler maglev; left out: 65537, which is enough for some hundred backends",
        },
        Key {
            name: "forward",
            kind: "\"dr\", \"tunnel\", \"nat\" or \"fullnat\"",
            default: Some("\"dr\""),
            meaning: "how packets get to the backends",
        },
        Key {
            name: "tunnel",
            kind: "a table",
            default: None,
            meaning: "the outer packet when `forward` is tunnel; left out: ipip",
        },
        Key {
            name: "persistence_timeout_s",
            kind: "a whole number of seconds from 0 to 2678400",
            default: Some("0"),
            meaning: "a client keeps its backend this long; 0: no persistence",
        },
        Key {
            name: "persistence_prefix",
            kind: "a whole number of bits from 1 to 32 (IPv4) or 128 (IPv6)",
            default: None,
            meaning: "clients with the same first bits are one client; left out: each address its own",
        },
        Key {
            name: "persistence_netmask",
            kind: "a text",
            default: None,
            meaning: "the same for IPv4 as a mask, such as \"255.255.255.0\"",
        },
        Key {
            name: "one_packet",
            kind: "true or false",
            default: Some("false"),
            meaning: "every UDP packet is scheduled anew, no flow is kept; with nat and fullnat the way back is kept for `udp_s`, and fullnat takes a local port for every datagram",
        },
        Key {
            name: "local_addresses",
            kind: "a list of texts",
            default: Some("[]"),
            meaning: "source addresses towards the backends, required for fullnat",
        },
        Key {
            name: "no_server",
            kind: "\"drop\" or \"reject\"",
            default: Some("\"drop\""),
            meaning: "what a client gets when no backend can be used, or its flow's backend was removed; reject: TCP RST or ICMP port unreachable",
        },
        Key {
            name: "mss_clamp_bytes",
            kind: "a whole number of bytes from 536 to 9670, or \"auto\"",
            default: None,
            meaning: "upper bound put on the MSS option of the SYN packets that pass: with nat and fullnat both ways; with dr and tunnel only the client's, which bounds what servers send; auto: what the tunnel's path leaves; left out: not touched",
        },
        Key {
            name: "vlan",
            kind: "a whole number from 1 to 4094",
            default: None,
            meaning: "802.1Q tag of what clients send and get: the virtual address lives in that VLAN alone; left out: the port's",
        },
        Key {
            name: "ipvs",
            kind: "a table",
            default: None,
            meaning: "keys of [ipvs], for this service alone",
        },
        Key {
            name: "timeouts",
            kind: "a table",
            default: None,
            meaning: "keys of [timeouts], for this service alone",
        },
        Key {
            name: "check",
            kind: "a table",
            default: None,
            meaning: "how health is watched; left out: backends are always taken for healthy",
        },
        Key {
            name: "checks",
            kind: "a list of tables",
            default: None,
            meaning: "several checks, which must all pass",
        },
        Key {
            name: "pool",
            kind: "a table",
            default: None,
            meaning: "what is made of the backends' health: quorum, sorry server, limits; left out: each key's default",
        },
        Key {
            name: "backend",
            kind: "an array of tables",
            default: None,
            meaning: "the servers, each a [[service.backend]]",
        },
    ],
};

/// Reads one service; `None` when something in it is wrong (and has been reported).
pub(crate) fn read(
    fields: &Fields<'_, '_>,
    health: Health,
    base_ipvs: Ipvs,
    base_timeouts: Timeouts,
) -> Option<Service> {
    let faults_before = fields.context.count();
    let name = fields.required("name", text::name);
    let addresses = read_addresses(fields);
    let protocol = fields
        .word("protocol", &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)])
        .unwrap_or(Protocol::Tcp);
    let scheduler = fields
        .word(
            "scheduler",
            &Scheduler::ALL.map(|scheduler| (scheduler.as_str(), scheduler)),
        )
        .unwrap_or(Scheduler::Wlc);
    let forward = fields.word("forward", &Forward::WORDS).unwrap_or(Forward::Dr);
    let tunnel = fields
        .table("tunnel", &forward::TUNNEL_SECTION)
        .map(|table| forward::read_tunnel(&table));
    let check = fields
        .table("check", &check::SECTION)
        .and_then(|table| check::read(&table, health));
    let checks = check::read_all(fields, health);
    let inherited = Inherited {
        addresses: &addresses,
        health,
        datagrams: protocol == Protocol::Udp,
        forward,
        tunnel,
        check: check.as_ref(),
        checks: &checks,
    };
    let pool = fields.table("pool", &pool::SECTION).map_or_else(
        || Pool::of(health.defaults),
        |table| pool::read(&table, &inherited),
    );
    let backends = read_backends(fields, &inherited);
    let persistence_timeout_s = fields
        .integer("persistence_timeout_s", 0..=2_678_400)
        .unwrap_or(0);
    let service = Service {
        name: name.map_or_else(String::new, |at| at.value),
        persistence_prefix: read_persistence_prefix(
            fields,
            addresses.first().is_none_or(SocketAddr::is_ipv4),
        ),
        protocol,
        scheduler,
        scheduler_flags: read_flags(fields, scheduler),
        forward,
        tunnel: tunnel.or_else(|| (forward == Forward::Tunnel).then_some(Tunnel::Ipip)),
        persistence_timeout_s,
        one_packet: fields.boolean("one_packet").unwrap_or(false),
        local_addresses: read_local_addresses(fields, &addresses),
        no_server: fields
            .word(
                "no_server",
                &[("drop", NoServer::Drop), ("reject", NoServer::Reject)],
            )
            .unwrap_or(NoServer::Drop),
        maglev_slots: read_maglev_slots(fields, scheduler),
        mss_clamp_bytes: read_mss_clamp(fields),
        vlan: fields.integer("vlan", 1..=4094),
        ipvs: fields
            .table("ipvs", &ipvs::SECTION)
            .map_or(base_ipvs, |table| ipvs::read(&table, base_ipvs)),
        timeouts: fields
            .table("timeouts", &timeouts::SECTION)
            .map_or(base_timeouts, |table| timeouts::read(&table, base_timeouts)),
        check,
        checks,
        pool,
        addresses,
        backends,
    };
    check_together(fields, &service);
    (fields.context.count() == faults_before).then_some(service)
}

fn read_addresses(fields: &Fields<'_, '_>) -> Vec<SocketAddr> {
    let one = fields.parsed("address", text::socket_address);
    let many = fields.list("addresses", text::socket_address);
    match (fields.has("address"), fields.has("addresses")) {
        (false, false) => fields.missing("address"),
        (true, true) => fields.context.error(
            fields.span_of("addresses"),
            "both `address` and `addresses`",
            "put all of them into `addresses`",
        ),
        (false, true)
            if many.as_ref().is_some_and(Vec::is_empty)
                && fields.items("addresses").is_some_and(<[_]>::is_empty) =>
        {
            fields.context.error(
                fields.span_of("addresses"),
                "`addresses` is empty",
                "name at least one address and port",
            );
        }
        _ => {}
    }
    let all: Vec<At<SocketAddr>> = one.into_iter().chain(many.unwrap_or_default()).collect();
    for (index, at) in all.iter().enumerate() {
        if all[..index].iter().any(|earlier| earlier.value == at.value) {
            fields.context.error(
                at.span.clone(),
                format!("{} is named twice", at.value),
                "name each address and port once",
            );
        }
        if at.value.is_ipv4() != all[0].value.is_ipv4() {
            let message = format!("{} and {} are of different families", all[0].value, at.value);
            fields.context.error(
                at.span.clone(),
                message,
                "make one service for IPv4 and one for IPv6",
            );
        }
    }
    all.into_iter().map(|at| at.value).collect()
}

fn read_flags(fields: &Fields<'_, '_>, scheduler: Scheduler) -> Vec<SchedulerFlag> {
    let words = SchedulerFlag::ALL.map(|flag| (flag.as_str(), flag));
    let flags = fields
        .list("scheduler_flags", |text| {
            crate::reader::word("scheduler_flags", text, &words)
        })
        .unwrap_or_default();
    for flag in &flags {
        if !flag.value.fits(scheduler) {
            let message = format!(
                "the flag \"{}\" has no meaning for scheduler \"{scheduler}\"",
                flag.value.as_str()
            );
            fields.context.error(
                flag.span.clone(),
                message,
                "sh-port and sh-fallback go with sh; mh-port and mh-fallback with mh; the others have no flags",
            );
        }
    }
    flags.into_iter().map(|flag| flag.value).collect()
}

fn read_maglev_slots(fields: &Fields<'_, '_>, scheduler: Scheduler) -> Option<u32> {
    let slots = fields.integer("maglev_slots", 65_537..=655_373).unwrap_or(65_537);
    if !matches!(slots, 65_537 | 655_373) {
        let message = format!("`maglev_slots` cannot be {slots}");
        fields.context.error(
            fields.span_of("maglev_slots"),
            message,
            "use one of the two primes 65537 and 655373",
        );
    }
    if scheduler == Scheduler::Maglev {
        return Some(slots);
    }
    if fields.has("maglev_slots") {
        let message = format!("`maglev_slots` has no meaning for scheduler \"{scheduler}\"");
        fields.context.error(
            fields.span_of("maglev_slots"),
            message,
            "leave it out, or set scheduler = \"maglev\"",
        );
    }
    None
}

fn read_mss_clamp(fields: &Fields<'_, '_>) -> Option<MssClamp> {
    match fields.get("mss_clamp_bytes")?.get_ref() {
        DeValue::String(_) => fields.word("mss_clamp_bytes", &[("auto", MssClamp::Auto)]),
        _ => fields.integer("mss_clamp_bytes", 536..=9670).map(MssClamp::Bytes),
    }
}

fn read_persistence_prefix(fields: &Fields<'_, '_>, ipv4: bool) -> u8 {
    let whole = if ipv4 { 32 } else { 128 };
    let prefix = fields.integer("persistence_prefix", 1..=whole.into());
    let netmask = fields.parsed("persistence_netmask", |text| netmask(text, ipv4));
    for key in ["persistence_prefix", "persistence_netmask"] {
        if fields.has(key) && !fields.has("persistence_timeout_s") {
            fields.context.error(
                fields.span_of(key),
                format!("`{key}` without `persistence_timeout_s`"),
                "add persistence_timeout_s = 300, or leave it out",
            );
        }
    }
    if prefix.is_some() && netmask.is_some() {
        fields.context.error(
            fields.span_of("persistence_netmask"),
            "both `persistence_prefix` and `persistence_netmask`",
            "leave one of the two out",
        );
    }
    prefix.or(netmask.map(|at| at.value)).unwrap_or(whole)
}

fn netmask(text: &str, ipv4: bool) -> Result<u8, crate::reader::Problem> {
    let problem = |help: &str| {
        crate::reader::Problem::new(format!("\"{text}\" is not a netmask for this service"), help)
    };
    if !ipv4 {
        return Err(problem("an IPv6 service takes persistence_prefix = 64"));
    }
    let help = "write a mask such as \"255.255.255.0\", ones first";
    let mask: std::net::Ipv4Addr = text.parse().map_err(|_| problem(help))?;
    match ipnet::ipv4_mask_to_prefix(mask) {
        Ok(prefix) if prefix > 0 => Ok(prefix),
        _ => Err(problem(help)),
    }
}

fn read_local_addresses(fields: &Fields<'_, '_>, vips: &[SocketAddr]) -> Vec<IpAddr> {
    let pool = fields.list("local_addresses", text::address).unwrap_or_default();
    for (index, local) in pool.iter().enumerate() {
        let address = local.value;
        let (message, help) = if pool[..index].iter().any(|earlier| earlier.value == address) {
            (
                format!("local address {address} is named twice"),
                "name each address once",
            )
        } else if vips.iter().any(|vip| vip.ip() == address) {
            (
                format!("{address} is the service's own virtual address"),
                "use addresses of the box that nothing else uses",
            )
        } else if vips.first().is_some_and(|vip| vip.is_ipv4() != address.is_ipv4()) {
            (
                format!("local address {address} is not of the service's family"),
                "use addresses of the same family as the service",
            )
        } else {
            continue;
        };
        fields.context.error(local.span.clone(), message, help);
    }
    pool.into_iter().map(|local| local.value).collect()
}

fn read_backends(fields: &Fields<'_, '_>, service: &Inherited<'_>) -> Vec<Backend> {
    let tables = fields.tables("backend", &backend::SECTION);
    let read: Vec<_> = tables
        .iter()
        .filter_map(|table| Some((table, backend::read(table, service)?)))
        .collect();
    let mut addresses = std::collections::HashMap::new();
    let mut names = std::collections::HashMap::new();
    for (table, backend) in &read {
        if let Some(first) = addresses.insert(backend.address, table.span_of("address")) {
            let line = fields.context.line_of(&first);
            let message = format!(
                "backend {} is already in this service, at line {line}",
                backend.address
            );
            fields.context.error(
                table.span_of("address"),
                message,
                "remove one of the two, or give it another address or port",
            );
        }
        if let Some(name) = &backend.name
            && let Some(first) = names.insert(name, table.span_of("name"))
        {
            let message = format!(
                "the name \"{name}\" is already a backend's of this service, at line {}",
                fields.context.line_of(&first)
            );
            fields.context.error(
                table.span_of("name"),
                message,
                "give each backend a name of its own, or none",
            );
        }
    }
    read.into_iter().map(|(_, backend)| backend).collect()
}

/// The sorry server is none of the servers it stands in for.
fn check_sorry(fields: &Fields<'_, '_>, service: &Service) {
    let Some(sorry) = &service.pool.sorry_server else {
        return;
    };
    let address = sorry.server.0.address;
    if service.backends.iter().any(|backend| backend.address == address) {
        fields.context.error(
            fields.span_of("pool"),
            format!("the sorry server {address} is also a backend of this service"),
            "name a server that is none of the backends",
        );
    }
}

/// Where `passive` would see nothing, or could be deceived, it is refused.
fn check_passive(fields: &Fields<'_, '_>, service: &Service) {
    let forwards = service.backends.iter().map(|backend| backend.forward);
    let seen = passive::Seen {
        datagrams: service.protocol == Protocol::Udp,
        replies: forwards.chain([service.forward]).all(passive::replies_pass),
        spread: passive::spreads(service.scheduler) && service.persistence_timeout_s == 0,
    };
    if service.pool.passive.is_some()
        && let Err((message, help)) = seen.check()
    {
        fields.context.error(fields.span_of("pool"), message, help);
    }
}

/// Rules between keys of one service.
fn check_together(fields: &Fields<'_, '_>, service: &Service) {
    check_sorry(fields, service);
    check_passive(fields, service);
    let error =
        |key: &str, message: String, help: &str| fields.context.error(fields.span_of(key), message, help);
    if service.one_packet && service.protocol == Protocol::Tcp {
        error(
            "one_packet",
            "`one_packet` needs protocol \"udp\"".to_owned(),
            "leave it out: a TCP connection has to stay on one backend",
        );
    }
    if service.mss_clamp_bytes.is_some() && service.protocol == Protocol::Udp {
        error(
            "mss_clamp_bytes",
            "`mss_clamp_bytes` needs protocol \"tcp\"".to_owned(),
            "leave it out: only TCP has an MSS",
        );
    }
    let port_zero = service.addresses.iter().any(|address| address.port() == 0);
    if port_zero && service.persistence_timeout_s == 0 {
        let key = if fields.has("addresses") {
            "addresses"
        } else {
            "address"
        };
        error(
            key,
            "port 0 (every port) needs persistence".to_owned(),
            "add persistence_timeout_s = 300, or name one port",
        );
    }
    if service.forward != Forward::Tunnel
        && fields.has("tunnel")
        && service.backends.iter().all(|backend| backend.tunnel.is_none())
    {
        let message = format!("`tunnel` has no meaning with forward \"{}\"", service.forward);
        error(
            "tunnel",
            message,
            "leave `tunnel` out, or set forward = \"tunnel\"",
        );
    }
    let fullnat = service.forward == Forward::FullNat
        || service
            .backends
            .iter()
            .map(|backend| backend.forward)
            .chain(
                service
                    .pool
                    .sorry_server
                    .as_ref()
                    .map(|sorry| sorry.server.0.forward),
            )
            .any(|forward| forward == Forward::FullNat);
    if fullnat && !fields.has("local_addresses") {
        error(
            "forward",
            "forward \"fullnat\" needs `local_addresses`".to_owned(),
            "add local_addresses = [\"198.51.100.10\"]: addresses of the box that the backends answer to",
        );
    } else if fullnat && fields.items("local_addresses").is_some_and(<[_]>::is_empty) {
        error(
            "local_addresses",
            "`local_addresses` is empty".to_owned(),
            "name at least one address: it is the source the backends see",
        );
    } else if !fullnat && !service.local_addresses.is_empty() {
        let message = format!(
            "`local_addresses` has no meaning with forward \"{}\"",
            service.forward
        );
        error(
            "local_addresses",
            message,
            "leave it out, or set forward = \"fullnat\"",
        );
    }
}
