//! `check = { … }`: how a backend's health is watched. The kind is the key of a table inside, such as `tcp = {}` or
//! `http = { … }`; how often and from where are keys beside it.

pub(crate) mod bytes;
mod datagram;
mod http;
mod local;
mod pace;
mod talk;

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::forward::Forward;
use crate::health::{Defaults, Health};
use crate::reader::Fields;
use crate::section::{Key, Section};
use crate::tempo::{self, Flap};
use crate::text;

pub use datagram::{DnsCheck, DnsType, GrpcCheck, SipCheck, SipTransport, UdpCheck};
pub use http::{HttpCheck, HttpVersion, RegexOption, StatusRange, Url};
pub use local::{BfdCheck, FileCheck, ScriptCheck, ThroughCheck, TlsCheck};
pub use talk::{LoginCheck, PostgresCheck, SmtpCheck, TalkStep, TcpCheck};

pub(crate) use datagram::{DNS_SECTION, GRPC_SECTION, PING_SECTION, SIP_SECTION, UDP_SECTION};
pub(crate) use http::{ALSO_SECTION, HTTP_SECTION};
pub(crate) use local::{BFD_SECTION, FILE_SECTION, SCRIPT_SECTION, THROUGH_SECTION, TLS_SECTION};
pub(crate) use pace::Pace;
pub(crate) use talk::{
    FTP_SECTION, IMAP_SECTION, LDAP_SECTION, MYSQL_SECTION, POP_SECTION, POSTGRES_SECTION, SMTP_SECTION,
    STEP_SECTION, TCP_SECTION,
};

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Check {
    /// What is asked.
    #[serde(flatten)]
    pub kind: CheckKind,
    /// From the start of one probe to the start of the next, in milliseconds.
    pub interval_ms: u32,
    /// A probe without an answer fails after this many milliseconds. Not above `interval_ms`.
    pub timeout_ms: u32,
    /// Passes in a row that bring a backend up.
    pub rise: u32,
    /// Fails in a row that take a backend down.
    pub fall: u32,
    /// The same while it has never passed; `None`: `fall`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fall_first: Option<u32>,
    /// Each interval is longer or shorter by up to this share of itself, at random; the first probe starts within one interval.
    pub jitter_percent: u8,
    /// The first probe starts within this time; `None`: within one interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_ms: Option<u32>,
    /// The next probe after a failure that has not taken the backend down; `None`: the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_before_retry_ms: Option<u32>,
    /// From probe to probe while the backend is down; `None`: the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_down_ms: Option<u32>,
    /// A pass while the backend is down is followed by the next probe at once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fast_recovery: bool,
    /// A backend counts as down until this check passes for the first time; `None`: as the backend or its pool says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<bool>,
    /// Failures are logged that have not taken the backend down.
    pub log_all_failures: bool,
    /// Holds back a backend that flaps; `None`: it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flap: Option<Flap>,
    /// The address that is asked; `None`: the backend's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The port that is asked; `None`: the backend's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where probes come from; `None`: as the routing table says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<IpAddr>,
    /// From which port; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// Over which network interface; `None`: as the routing table says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_interface: Option<String>,
    /// Firewall mark of the probes' packets; `None`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
    /// TLS over the connections; `None`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsCheck>,
}

/// What a health check asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// A TCP connection that opens, and a dialogue on it if one is given.
    Tcp(TcpCheck),
    /// HTTP GETs whose answers are as wished.
    Http(HttpCheck),
    /// SMTP's greeting, HELO and QUIT.
    Smtp(SmtpCheck),
    /// POP3.
    Pop(LoginCheck),
    /// IMAP.
    Imap(LoginCheck),
    /// FTP.
    Ftp(LoginCheck),
    /// An LDAP bind.
    Ldap(LoginCheck),
    /// MySQL's greeting.
    Mysql(Nothing),
    /// PostgreSQL before any login.
    Postgres(PostgresCheck),
    /// SIP's OPTIONS.
    Sip(SipCheck),
    /// A datagram.
    Udp(UdpCheck),
    /// A question to a name server.
    Dns(DnsCheck),
    /// An ICMP echo.
    Ping(Nothing),
    /// gRPC's health service.
    Grpc(GrpcCheck),
    /// A program of this host.
    Script(ScriptCheck),
    /// A number in a file of this host.
    File(FileCheck),
    /// A BFD session that is up.
    Bfd(BfdCheck),
    /// A connection by the way of clients' packets.
    Through(ThroughCheck),
}

/// A kind without settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Nothing {}

impl CheckKind {
    /// The name in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Http(_) => "http",
            Self::Smtp(_) => "smtp",
            Self::Pop(_) => "pop",
            Self::Imap(_) => "imap",
            Self::Ftp(_) => "ftp",
            Self::Ldap(_) => "ldap",
            Self::Mysql(_) => "mysql",
            Self::Postgres(_) => "postgres",
            Self::Sip(_) => "sip",
            Self::Udp(_) => "udp",
            Self::Dns(_) => "dns",
            Self::Ping(_) => "ping",
            Self::Grpc(_) => "grpc",
            Self::Script(_) => "script",
            Self::File(_) => "file",
            Self::Bfd(_) => "bfd",
            Self::Through(_) => "through",
        }
    }

    /// Whether it asks a port of the backend.
    pub(crate) fn asks_port(&self) -> bool {
        match self {
            Self::Ping(_) | Self::Script(_) | Self::File(_) | Self::Bfd(_) | Self::Through(_) => false,
            Self::Tcp(_)
            | Self::Http(_)
            | Self::Smtp(_)
            | Self::Pop(_)
            | Self::Imap(_)
            | Self::Ftp(_)
            | Self::Ldap(_)
            | Self::Mysql(_)
            | Self::Postgres(_)
            | Self::Sip(_)
            | Self::Udp(_)
            | Self::Dns(_)
            | Self::Grpc(_) => true,
        }
    }

    fn takes_tls(&self) -> bool {
        match self {
            Self::Tcp(_)
            | Self::Http(_)
            | Self::Smtp(_)
            | Self::Pop(_)
            | Self::Imap(_)
            | Self::Ftp(_)
            | Self::Ldap(_)
            | Self::Grpc(_) => true,
            Self::Sip(sip) => sip.transport == SipTransport::Tcp,
            Self::Mysql(_)
            | Self::Postgres(_)
            | Self::Udp(_)
            | Self::Dns(_)
            | Self::Ping(_)
            | Self::Script(_)
            | Self::File(_)
            | Self::Bfd(_)
            | Self::Through(_) => false,
        }
    }
}

impl Check {
    /// The name that TLS is to tell the server and find in its certificate, if there is one.
    pub fn tls_name(&self) -> Option<&str> {
        let host = match &self.kind {
            CheckKind::Http(http) => http.url.host.as_deref(),
            _ => None,
        };
        let host = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
        let given = self.tls.as_ref().and_then(|tls| tls.name.as_deref());
        given.or(host.filter(|host| local::is_dns_name(host)))
    }

    /// Fills in what depends on the service and the backend: what a check through the path connects to.
    ///
    /// # Errors
    /// Why such a check cannot be made of the backend at `server`, and what to do.
    pub(crate) fn settle(
        &mut self,
        services: &[SocketAddr],
        datagrams: bool,
        forward: Forward,
        server: IpAddr,
    ) -> Result<(), (&'static str, &'static str)> {
        let asked = match &mut self.kind {
            CheckKind::Through(_) if !forward.keeps_destination() => {
                return Err((
                    "a `through` check is for forward \"dr\" and \"tunnel\"",
                    "use `tcp = {}`: with nat and fullnat it goes the same way as clients' packets",
                ));
            }
            CheckKind::Through(through) if datagrams && through.service.is_none() => {
                return Err((
                    "a `through` check opens a TCP connection, and this service is one of UDP",
                    "name an address and TCP port of the same servers: `through = { service = \"…\" }`",
                ));
            }
            CheckKind::Through(through) => {
                through.service = through.service.or_else(|| services.first().copied());
                through.service.map_or(server, |service| service.ip())
            }
            _ => self.address.unwrap_or(server),
        };
        match self.source_address {
            Some(source) if source.is_ipv4() != asked.is_ipv4() => Err((
                "the check's `source_address` is of another family than the address it asks",
                "name one of the same family, or leave it out",
            )),
            None if matches!(self.kind, CheckKind::Through(_)) && asked.is_ipv4() != server.is_ipv4() => {
                Err((
                    "a `through` check of a tunnel over the other family does not know where to come from",
                    "set `source_address` to an address of this host in the service's family",
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}

const MILLISECONDS: &str = "a whole number of milliseconds from 10 to 86400000";

pub(crate) static SECTION: Section = Section {
    header: "check = { … }",
    meaning: "How health is watched: for all backends of a service, or for one backend. Exactly one of the kinds, which are the keys from `tcp` to `through`.",
    keys: &[
        Key {
            name: "tcp",
            kind: "a table",
            default: None,
            meaning: "pass when a TCP connection opens, and a dialogue on it goes well",
        },
        Key {
            name: "http",
            kind: "a table",
            default: None,
            meaning: "pass when HTTP GETs are answered as wished",
        },
        Key {
            name: "smtp",
            kind: "a table",
            default: None,
            meaning: "ask a mail server",
        },
        Key {
            name: "pop",
            kind: "a table",
            default: None,
            meaning: "ask a POP3 server",
        },
        Key {
            name: "imap",
            kind: "a table",
            default: None,
            meaning: "ask an IMAP server",
        },
        Key {
            name: "ftp",
            kind: "a table",
            default: None,
            meaning: "ask an FTP server",
        },
        Key {
            name: "ldap",
            kind: "a table",
            default: None,
            meaning: "bind to an LDAP server",
        },
        Key {
            name: "mysql",
            kind: "a table",
            default: None,
            meaning: "wait for the greeting of a MySQL or MariaDB server",
        },
        Key {
            name: "postgres",
            kind: "a table",
            default: None,
            meaning: "ask a PostgreSQL server",
        },
        Key {
            name: "sip",
            kind: "a table",
            default: None,
            meaning: "send OPTIONS to a SIP server",
        },
        Key {
            name: "udp",
            kind: "a table",
            default: None,
            meaning: "send a datagram",
        },
        Key {
            name: "dns",
            kind: "a table",
            default: None,
            meaning: "ask a name server",
        },
        Key {
            name: "ping",
            kind: "a table",
            default: None,
            meaning: "send an ICMP echo",
        },
        Key {
            name: "grpc",
            kind: "a table",
            default: None,
            meaning: "ask gRPC's health service",
        },
        Key {
            name: "script",
            kind: "a table",
            default: None,
            meaning: "run a program of this host",
        },
        Key {
            name: "file",
            kind: "a table",
            default: None,
            meaning: "read a weight from a file of this host",
        },
        Key {
            name: "bfd",
            kind: "a table",
            default: None,
            meaning: "look at a BFD session",
        },
        Key {
            name: "through",
            kind: "a table",
            default: None,
            meaning: "connect to the service's address by the way of clients' packets",
        },
        Key {
            name: "interval_ms",
            kind: MILLISECONDS,
            default: Some("2000"),
            meaning: "from the start of one probe to the start of the next",
        },
        Key {
            name: "timeout_ms",
            kind: MILLISECONDS,
            default: Some("1000"),
            meaning: "a probe without an answer fails after this time; at most `interval_ms`",
        },
        Key {
            name: "rise",
            kind: "a whole number from 1 to 1000",
            default: Some("2"),
            meaning: "passes in a row that bring a backend up",
        },
        Key {
            name: "fall",
            kind: "a whole number from 1 to 1000",
            default: Some("3"),
            meaning: "fails in a row that take a backend down",
        },
        Key {
            name: "fall_first",
            kind: "a whole number from 1 to 1000",
            default: None,
            meaning: "the same for a backend of which no probe has passed yet; left out: `fall`",
        },
        Key {
            name: "jitter_percent",
            kind: "a whole number from 0 to 50",
            default: Some("10"),
            meaning: "each interval is longer or shorter by up to this share, at random; the first probe starts within one interval",
        },
        Key {
            name: "warmup_ms",
            kind: "a whole number of milliseconds from 0 to 86400000",
            default: None,
            meaning: "the first probe starts at a random time within this one, with 0 at once; left out: `interval_ms`",
        },
        Key {
            name: "delay_before_retry_ms",
            kind: "a whole number of milliseconds from 0 to 86400000",
            default: None,
            meaning: "after a failure that has not yet taken the backend down the next probe starts so long after it, be that sooner or later than `interval_ms`; left out: when it is due",
        },
        Key {
            name: "interval_down_ms",
            kind: MILLISECONDS,
            default: None,
            meaning: "from one probe to the next while the backend is down, if that is sooner; left out: `interval_ms`",
        },
        Key {
            name: "fast_recovery",
            kind: "true or false",
            default: Some("false"),
            meaning: "a pass while the backend is down is followed by the next probe at once, until `rise` of them have brought it up",
        },
        Key {
            name: "alpha",
            kind: "true or false",
            default: None,
            meaning: "the backend is down until this check has passed once; left out: as the backend or its pool says",
        },
        Key {
            name: "log_all_failures",
            kind: "true or false",
            default: None,
            meaning: "failures are logged that have not (yet) taken the backend down; left out: as [health] says, which is false; `weirctl check` shows the last ones in any case",
        },
        Key {
            name: "flap",
            kind: "a table",
            default: None,
            meaning: "holds back a backend that comes and goes; left out: it may",
        },
        Key {
            name: "address",
            kind: "an address",
            default: None,
            meaning: "what is asked instead of the backend's own address",
        },
        Key {
            name: "port",
            kind: "a whole number from 1 to 65535",
            default: None,
            meaning: "what is asked instead of the backend's own port",
        },
        Key {
            name: "source_address",
            kind: "an address",
            default: None,
            meaning: "probes come from here; left out: as the routing table says",
        },
        Key {
            name: "source_port",
            kind: "a whole number from 1 to 65535",
            default: None,
            meaning: "probes come from this port; left out: any",
        },
        Key {
            name: "source_interface",
            kind: "an interface's name",
            default: None,
            meaning: "probes go over this interface; left out: as the routing table says",
        },
        Key {
            name: "mark",
            kind: "a whole number from 1 to 4294967295",
            default: None,
            meaning: "firewall mark of the probes' packets",
        },
        Key {
            name: "tls",
            kind: "a table",
            default: None,
            meaning: "speak TLS over the connections; `tls = {}` takes any certificate, as keepalived does",
        },
    ],
};

pub(crate) fn read(fields: &Fields<'_, '_>, health: Health) -> Option<Check> {
    let kind = read_kind(fields, health.defaults);
    let pace = Pace::of(health.defaults, kind.as_ref().map_or("", CheckKind::as_str));
    let interval_ms = fields
        .integer("interval_ms", 10..=86_400_000)
        .unwrap_or(pace.interval_ms);
    let timeout_ms = fields
        .integer("timeout_ms", 10..=86_400_000)
        .unwrap_or(interval_ms.min(pace.timeout_ms));
    if timeout_ms > interval_ms {
        let message = format!("`timeout_ms` {timeout_ms} is longer than `interval_ms` {interval_ms}");
        fields.context.error(
            fields.span_of("timeout_ms"),
            message,
            "a probe must end before the next begins: lower `timeout_ms` or raise `interval_ms`",
        );
    }
    let kind = kind?;
    let tls = fields
        .table("tls", &TLS_SECTION)
        .map(|tls| local::read_tls(&tls, health.defaults));
    refuse_unused(fields, &kind);
    Some(Check {
        kind,
        interval_ms,
        timeout_ms,
        rise: fields.integer("rise", 1..=1000).unwrap_or(pace.rise),
        fall: fields.integer("fall", 1..=1000).unwrap_or(pace.fall),
        fall_first: fields.integer("fall_first", 1..=1000).or(pace.fall_first),
        jitter_percent: fields
            .integer("jitter_percent", 0..=50)
            .unwrap_or(pace.jitter_percent),
        warmup_ms: fields.integer("warmup_ms", 0..=86_400_000),
        delay_before_retry_ms: fields
            .integer("delay_before_retry_ms", 0..=86_400_000)
            .or(pace.delay_before_retry_ms),
        interval_down_ms: fields.integer("interval_down_ms", 10..=86_400_000),
        fast_recovery: fields.boolean("fast_recovery").unwrap_or(false),
        alpha: fields.boolean("alpha"),
        log_all_failures: fields
            .boolean("log_all_failures")
            .unwrap_or(health.log_all_failures),
        flap: tempo::read_flap(fields),
        address: fields.parsed("address", text::address).map(|at| at.value),
        port: fields.integer("port", 1..=65_535),
        source_address: fields.parsed("source_address", text::address).map(|at| at.value),
        source_port: fields.integer("source_port", 1..=65_535),
        source_interface: fields
            .parsed("source_interface", text::interface_name)
            .map(|at| at.value),
        mark: fields.integer("mark", 1..=u64::from(u32::MAX)),
        tls,
    })
}

type ReadKind = fn(&Fields<'_, '_>, Defaults) -> Option<CheckKind>;

/// The kinds, by their keys.
const KINDS: [(&str, &Section, ReadKind); 18] = [
    ("tcp", &TCP_SECTION, |table, _| {
        Some(CheckKind::Tcp(talk::read_tcp(table)))
    }),
    ("http", &HTTP_SECTION, |table, defaults| {
        Some(CheckKind::Http(http::read(table, defaults)))
    }),
    ("smtp", &SMTP_SECTION, |table, defaults| {
        Some(CheckKind::Smtp(talk::read_smtp(table, defaults)))
    }),
    ("pop", &POP_SECTION, |table, _| {
        Some(CheckKind::Pop(talk::read_login(table)))
    }),
    ("imap", &IMAP_SECTION, |table, _| {
        Some(CheckKind::Imap(talk::read_login(table)))
    }),
    ("ftp", &FTP_SECTION, |table, _| {
        Some(CheckKind::Ftp(talk::read_login(table)))
    }),
    ("ldap", &LDAP_SECTION, |table, _| {
        Some(CheckKind::Ldap(talk::read_login(table)))
    }),
    ("mysql", &MYSQL_SECTION, |_, _| Some(CheckKind::Mysql(Nothing {}))),
    ("postgres", &POSTGRES_SECTION, |table, _| {
        Some(CheckKind::Postgres(talk::read_postgres(table)))
    }),
    ("sip", &SIP_SECTION, |table, _| {
        Some(CheckKind::Sip(datagram::read_sip(table)))
    }),
    ("udp", &UDP_SECTION, |table, defaults| {
        Some(CheckKind::Udp(datagram::read_udp(table, defaults)))
    }),
    ("dns", &DNS_SECTION, |table, defaults| {
        Some(CheckKind::Dns(datagram::read_dns(table, defaults)))
    }),
    ("ping", &PING_SECTION, |_, _| Some(CheckKind::Ping(Nothing {}))),
    ("grpc", &GRPC_SECTION, |table, _| {
        Some(CheckKind::Grpc(datagram::read_grpc(table)))
    }),
    ("script", &SCRIPT_SECTION, |table, _| {
        local::read_script(table).map(CheckKind::Script)
    }),
    ("file", &FILE_SECTION, |table, defaults| {
        local::read_file(table, defaults).map(CheckKind::File)
    }),
    ("bfd", &BFD_SECTION, |table, _| {
        local::read_bfd(table).map(CheckKind::Bfd)
    }),
    ("through", &THROUGH_SECTION, |table, _| {
        Some(CheckKind::Through(local::read_through(table)))
    }),
];

fn read_kind(fields: &Fields<'_, '_>, defaults: Defaults) -> Option<CheckKind> {
    let given: Vec<_> = KINDS.iter().filter(|(name, ..)| fields.has(name)).collect();
    match given[..] {
        [(name, section, read)] => read(&fields.table(name, section)?, defaults),
        [] => {
            let names: Vec<_> = KINDS.iter().map(|(name, ..)| *name).collect();
            fields.context.error(
                fields.span.clone(),
                "the check does not say what to ask",
                format!("add `tcp = {{}}`, or another of {}", names.join(", ")),
            );
            None
        }
        [(first, ..), (second, ..), ..] => {
            fields.context.error(
                fields.span_of(second),
                format!("a check is either `{first}` or `{second}`, not both"),
                "leave one of the two out, or write two checks: checks = [{ … }, { … }]",
            );
            None
        }
    }
}

/// The key `checks`: a list of checks.
pub(crate) fn read_all(fields: &Fields<'_, '_>, health: Health) -> Vec<Check> {
    if fields.items("checks").is_none() {
        return Vec::new();
    }
    let tables = fields.tables("checks", &SECTION);
    tables.iter().filter_map(|table| read(table, health)).collect()
}

/// Keys that would say nothing beside this kind are refused, so that nobody relies on them.
fn refuse_unused(fields: &Fields<'_, '_>, kind: &CheckKind) {
    let refuse = |keys: &[&str], why: &str| {
        for key in keys.iter().filter(|key| fields.has(key)) {
            fields.context.error(
                fields.span_of(key),
                format!("`{key}` has no meaning for the check `{}`", kind.as_str()),
                format!("leave it out: {why}"),
            );
        }
    };
    match kind {
        CheckKind::Script(_) | CheckKind::File(_) | CheckKind::Bfd(_) => refuse(
            &[
                "address",
                "port",
                "source_address",
                "source_port",
                "source_interface",
                "mark",
            ],
            "nothing is sent",
        ),
        CheckKind::Through(_) => refuse(&["address", "port"], "set its `service`, if it is another"),
        CheckKind::Ping(_) => refuse(&["port", "source_port"], "an echo has no ports"),
        _ => {}
    }
    if !kind.takes_tls() {
        refuse(&["tls"], "it does not go over TLS");
    }
}
