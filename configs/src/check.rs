//! `check = { … }`: how a backend's health is watched. The kind is the key of a table inside: `tcp = {}` or `http = { … }`.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};
use toml::de::DeValue;

use crate::reader::{Fields, Key, Problem, Section};
use crate::tempo::{self, Flap};

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
    /// Holds back a backend that flaps; `None`: it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flap: Option<Flap>,
}

/// What a health check asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// A TCP connection that opens.
    Tcp(TcpCheck),
    /// An HTTP/1.1 GET whose status is as wished.
    Http(HttpCheck),
}

impl CheckKind {
    /// The name in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Http(_) => "http",
        }
    }

    /// The port that is asked, if it is not the backend's.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(tcp) => tcp.port,
            Self::Http(http) => http.port,
        }
    }
}

/// A TCP connection that opens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct TcpCheck {
    /// Port to connect to; `None`: the backend's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// An HTTP/1.1 GET whose status is as wished.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct HttpCheck {
    /// Path and query.
    pub path: String,
    /// Statuses that pass.
    pub status: Vec<StatusRange>,
    /// The `Host` header; `None`: the backend's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port to connect to; `None`: the backend's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// HTTP statuses from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusRange {
    /// The lowest status that passes.
    pub first: u16,
    /// The highest status that passes.
    pub last: u16,
}

impl StatusRange {
    /// Whether `status` passes.
    pub fn contains(&self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Serialize for StatusRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const MILLISECONDS: &str = "a whole number of milliseconds from 10 to 86400000";

pub(crate) static SECTION: Section = Section {
    header: "check = { … }",
    meaning: "How health is watched: for all backends of a service, or for one backend. Exactly one of `tcp` and `http`.",
    keys: &[
        Key {
            name: "tcp",
            kind: "a table",
            default: None,
            meaning: "pass when a TCP connection opens",
        },
        Key {
            name: "http",
            kind: "a table",
            default: None,
            meaning: "pass when an HTTP/1.1 GET is answered with a status of the list",
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
            name: "jitter_percent",
            kind: "a whole number from 0 to 50",
            default: Some("10"),
            meaning: "each interval is longer or shorter by up to this share, at random; the first probe starts within one interval",
        },
        Key {
            name: "warmup_ms",
            kind: MILLISECONDS,
            default: None,
            meaning: "the first probe starts at a random time within this one; left out: `interval_ms`",
        },
        Key {
            name: "delay_before_retry_ms",
            kind: MILLISECONDS,
            default: None,
            meaning: "after a failure that has not yet taken the backend down the next probe starts so soon; left out: when it is due anyway",
        },
        Key {
            name: "interval_down_ms",
            kind: MILLISECONDS,
            default: None,
            meaning: "from one probe to the next while the backend is down, if that is sooner; left out: `interval_ms`",
        },
        Key {
            name: "flap",
            kind: "a table",
            default: None,
            meaning: "holds back a backend that comes and goes; left out: it may",
        },
    ],
};

pub(crate) static TCP_SECTION: Section = Section {
    header: "check.tcp",
    meaning: "A TCP connection that opens.",
    keys: &[Key {
        name: "port",
        kind: "a whole number from 1 to 65535",
        default: None,
        meaning: "port to connect to; left out: the backend's",
    }],
};

pub(crate) static HTTP_SECTION: Section = Section {
    header: "check.http",
    meaning: "An HTTP/1.1 GET.",
    keys: &[
        Key {
            name: "path",
            kind: "a text that begins with /",
            default: Some("\"/\""),
            meaning: "path and query",
        },
        Key {
            name: "status",
            kind: "a list of numbers or ranges",
            default: Some("[\"200-299\"]"),
            meaning: "statuses that pass, such as [200, \"300-399\"]",
        },
        Key {
            name: "host",
            kind: "a text",
            default: None,
            meaning: "the Host header; left out: the backend's address",
        },
        Key {
            name: "port",
            kind: "a whole number from 1 to 65535",
            default: None,
            meaning: "port to connect to; left out: the backend's",
        },
    ],
};

pub(crate) fn read(fields: &Fields<'_, '_>) -> Option<Check> {
    let tcp = fields
        .table("tcp", &TCP_SECTION)
        .map(|tcp| CheckKind::Tcp(TcpCheck { port: port(&tcp) }));
    let http = fields
        .table("http", &HTTP_SECTION)
        .map(|http| CheckKind::Http(read_http(&http)));
    let interval_ms = fields.integer("interval_ms", 10..=86_400_000).unwrap_or(2000);
    let timeout_ms = fields
        .integer("timeout_ms", 10..=86_400_000)
        .unwrap_or(interval_ms.min(1000));
    if timeout_ms > interval_ms {
        let message = format!("`timeout_ms` {timeout_ms} is longer than `interval_ms` {interval_ms}");
        fields.context.error(
            fields.span_of("timeout_ms"),
            message,
            "a probe must end before the next begins: lower `timeout_ms` or raise `interval_ms`",
        );
    }
    let kind = match (tcp, http) {
        (Some(tcp), None) => tcp,
        (None, Some(http)) => http,
        (Some(_), Some(_)) => {
            fields.context.error(
                fields.span_of("http"),
                "a check is either `tcp` or `http`, not both",
                "leave one of the two out",
            );
            return None;
        }
        (None, None) => {
            if !fields.has("tcp") && !fields.has("http") {
                fields.context.error(
                    fields.span.clone(),
                    "the check does not say what to ask",
                    "add `tcp = {}`, or `http = { path = \"/\" }`",
                );
            }
            return None;
        }
    };
    Some(Check {
        kind,
        interval_ms,
        timeout_ms,
        rise: fields.integer("rise", 1..=1000).unwrap_or(2),
        fall: fields.integer("fall", 1..=1000).unwrap_or(3),
        jitter_percent: fields.integer("jitter_percent", 0..=50).unwrap_or(10),
        warmup_ms: fields.integer("warmup_ms", 10..=86_400_000),
        delay_before_retry_ms: fields.integer("delay_before_retry_ms", 10..=86_400_000),
        interval_down_ms: fields.integer("interval_down_ms", 10..=86_400_000),
        flap: tempo::read_flap(fields),
    })
}

fn port(fields: &Fields<'_, '_>) -> Option<u16> {
    fields.integer("port", 1..=65_535)
}

fn read_http(fields: &Fields<'_, '_>) -> HttpCheck {
    HttpCheck {
        path: fields
            .parsed("path", path)
            .map_or_else(|| "/".to_owned(), |at| at.value),
        status: statuses(fields),
        host: fields.parsed("host", host).map(|at| at.value),
        port: port(fields),
    }
}

/// RFC 9112 section 3.2.1: origin form, without the characters that would end the request line.
fn path(text: &str) -> Result<String, Problem> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= 1024 {
        return Ok(text.to_owned());
    }
    let help = "write a path such as \"/health\"; spaces and others as %20";
    Err(Problem::new(
        format!("\"{}\" is not the path of a request", text.escape_debug()),
        help,
    ))
}

fn host(text: &str) -> Result<String, Problem> {
    if !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !text.contains('/')
    {
        return Ok(text.to_owned());
    }
    let help = "write the name alone, such as \"www.example.com\" or \"www.example.com:8080\"";
    Err(Problem::new(
        format!("\"{}\" is not a host name", text.escape_debug()),
        help,
    ))
}

const STATUS: RangeInclusive<u16> = 100..=599;

fn statuses(fields: &Fields<'_, '_>) -> Vec<StatusRange> {
    let Some(items) = fields.items("status") else {
        return vec![StatusRange {
            first: 200,
            last: 299,
        }];
    };
    if items.is_empty() {
        fields.context.error(
            fields.span_of("status"),
            "`status` is empty: no answer would pass",
            "name one, for example status = [200]",
        );
    }
    let read = items.iter().filter_map(|item| match item.get_ref() {
        DeValue::Integer(number) => match number
            .as_str()
            .parse()
            .ok()
            .filter(|status| STATUS.contains(status))
        {
            Some(status) => Some(StatusRange {
                first: status,
                last: status,
            }),
            None => {
                fields.context.error(
                    item.span(),
                    format!("{number} is not an HTTP status"),
                    "use a number from 100 to 599",
                );
                None
            }
        },
        _ => fields.item("status", item, status_range).map(|at| at.value),
    });
    read.collect()
}

fn status_range(text: &str) -> Result<StatusRange, Problem> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |part: &str| {
        part.trim()
            .parse::<u16>()
            .ok()
            .filter(|status| STATUS.contains(status))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(StatusRange { first, last }),
        _ => Err(Problem::new(
            format!("\"{text}\" is not a range of HTTP statuses"),
            "write \"200-299\", with numbers from 100 to 599",
        )),
    }
}
