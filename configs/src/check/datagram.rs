//! The kinds over datagrams, and those with a protocol stack of their own: UDP, DNS, SIP, gRPC.

use serde::Serialize;

use super::bytes;
use crate::health::Defaults;
use crate::reader::{Fields, Problem};
use crate::section::{Key, Section};

/// A datagram and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct UdpCheck {
    /// What is sent, in hex.
    pub send_hex: String,
    /// So many bytes at random are sent instead; `None`: `send_hex`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_random_bytes: Option<u16>,
    /// What the answer must be, in hex with wild cards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_hex: Option<String>,
    /// An expression that must match in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// An answer that ends before `expect_hex` does passes, if it is right so far.
    pub short_reply: bool,
    /// Whether silence fails.
    pub require_reply: bool,
    /// The shortest answer that passes.
    pub reply_bytes_min: u16,
    /// The longest answer that passes.
    pub reply_bytes_max: u16,
}

/// A question to a name server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct DnsCheck {
    /// The name asked for.
    pub name: String,
    /// The type asked for.
    #[serde(rename = "type")]
    pub kind: DnsType,
    /// Whether "there is no such name" passes.
    pub nxdomain: bool,
}

/// A type of DNS record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are RFC 1035's and its followers'")]
pub enum DnsType {
    A = 1,
    Ns = 2,
    Cname = 5,
    Soa = 6,
    Ptr = 12,
    Mx = 15,
    Txt = 16,
    Aaaa = 28,
    Srv = 33,
    Rrsig = 46,
    Dnskey = 48,
}

const TYPES: [(&str, DnsType); 11] = [
    ("A", DnsType::A),
    ("NS", DnsType::Ns),
    ("CNAME", DnsType::Cname),
    ("SOA", DnsType::Soa),
    ("PTR", DnsType::Ptr),
    ("MX", DnsType::Mx),
    ("TXT", DnsType::Txt),
    ("AAAA", DnsType::Aaaa),
    ("SRV", DnsType::Srv),
    ("RRSIG", DnsType::Rrsig),
    ("DNSKEY", DnsType::Dnskey),
];

/// SIP's OPTIONS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct SipCheck {
    /// Host in the request's address; `None`: the backend's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What it goes over.
    pub transport: SipTransport,
}

/// What SIP goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SipTransport {
    /// A TCP connection.
    Tcp,
    /// A datagram.
    Udp,
}

/// gRPC's health service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct GrpcCheck {
    /// The service asked about; empty: the server as a whole.
    pub service: String,
}

pub(crate) static UDP_SECTION: Section = Section {
    header: "check.udp",
    meaning: "A datagram. \"Port unreachable\" fails at once; silence fails only when an answer is required. Without one `timeout_ms` should be 4000 or more, so that a server without a MAC address shows too.",
    keys: &[
        Key {
            name: "send_hex",
            kind: "bytes in hex",
            default: Some("\"\""),
            meaning: "payload",
        },
        Key {
            name: "send_random_bytes",
            kind: "a whole number from 1 to 1400",
            default: None,
            meaning: "payload of so many bytes at random instead, others at every probe; left out: `send_hex`",
        },
        Key {
            name: "expect_hex",
            kind: "bytes in hex",
            default: None,
            meaning: "the answer must begin with these bytes; ? stands for any digit",
        },
        Key {
            name: "regex",
            kind: "a regular expression",
            default: None,
            meaning: "must match somewhere in the answer",
        },
        Key {
            name: "short_reply",
            kind: "true or false",
            default: Some("false"),
            meaning: "an answer that ends before `expect_hex` does passes if it is right so far",
        },
        Key {
            name: "require_reply",
            kind: "true or false",
            default: None,
            meaning: "whether silence fails; left out: when something is said about the answer",
        },
        Key {
            name: "reply_bytes_min",
            kind: "a whole number from 0 to 4096",
            default: Some("0"),
            meaning: "shorter answers fail",
        },
        Key {
            name: "reply_bytes_max",
            kind: "a whole number from 0 to 4096",
            default: Some("4096"),
            meaning: "longer answers fail",
        },
    ],
};

pub(crate) static DNS_SECTION: Section = Section {
    header: "check.dns",
    meaning: "A question over UDP. Any well-formed answer passes that says NOERROR or, unless `nxdomain` is false, NXDOMAIN.",
    keys: &[
        Key {
            name: "name",
            kind: "a domain name",
            default: Some("\".\""),
            meaning: "the name asked for",
        },
        Key {
            name: "type",
            kind: "\"A\", \"NS\", \"CNAME\", \"SOA\", \"PTR\", \"MX\", \"TXT\", \"AAAA\", \"SRV\", \"RRSIG\" or \"DNSKEY\"",
            default: Some("\"SOA\""),
            meaning: "the type asked for",
        },
        Key {
            name: "nxdomain",
            kind: "true or false",
            default: Some("true"),
            meaning: "whether the answer that there is no such name passes",
        },
    ],
};

pub(crate) static SIP_SECTION: Section = Section {
    header: "check.sip",
    meaning: "SIP: OPTIONS is answered with 200.",
    keys: &[
        Key {
            name: "host",
            kind: "a text",
            default: None,
            meaning: "host in the request; left out: the backend's address",
        },
        Key {
            name: "transport",
            kind: "\"tcp\" or \"udp\"",
            default: Some("\"tcp\""),
            meaning: "what it goes over",
        },
    ],
};

pub(crate) static GRPC_SECTION: Section = Section {
    header: "check.grpc",
    meaning: "gRPC's health service (grpc.health.v1) says SERVING. Over HTTP/2, with `tls` in the check over TLS.",
    keys: &[Key {
        name: "service",
        kind: "a text",
        default: Some("\"\""),
        meaning: "the service asked about; empty: the server as a whole",
    }],
};

pub(crate) static PING_SECTION: Section = Section {
    header: "check.ping",
    meaning: "An ICMP echo is answered.",
    keys: &[],
};

pub(super) fn read_udp(fields: &Fields<'_, '_>, defaults: Defaults) -> UdpCheck {
    let text = |name, parse: fn(&str) -> _| fields.parsed(name, parse).map(|at| at.value);
    if fields.has("expect_hex") && fields.has("regex") {
        fields.context.error(
            fields.span_of("regex"),
            "an answer has either `expect_hex` or `regex` to match, not both",
            "leave one of the two out",
        );
    }
    let send_hex = text("send_hex", bytes::hex_text).unwrap_or_default();
    if !send_hex.is_empty() && fields.has("send_random_bytes") {
        fields.context.error(
            fields.span_of("send_random_bytes"),
            "a datagram is either `send_hex` or `send_random_bytes`, not both",
            "leave one of the two out",
        );
    }
    let random = fields.integer("send_random_bytes", 1..=1_400);
    // keepalived's UDP_BUFSIZE.
    let random_default = defaults
        .choose(None, Some(32))
        .filter(|_| !fields.has("send_hex"));
    let speaks = fields.has("expect_hex") || fields.has("regex");
    let require_reply = fields.boolean("require_reply").unwrap_or(speaks);
    UdpCheck {
        send_hex,
        send_random_bytes: random.or(random_default),
        expect_hex: text("expect_hex", bytes::hex_pattern_text),
        regex: text("regex", bytes::regex),
        short_reply: fields
            .boolean("short_reply")
            .unwrap_or(defaults.choose(false, true)),
        require_reply,
        reply_bytes_min: fields.integer("reply_bytes_min", 0..=4_096).unwrap_or(0),
        reply_bytes_max: fields
            .integer("reply_bytes_max", 0..=4_096)
            .unwrap_or(defaults.choose(4_096, if require_reply { 255 } else { 4_096 })),
    }
}

pub(super) fn read_dns(fields: &Fields<'_, '_>, defaults: Defaults) -> DnsCheck {
    DnsCheck {
        name: fields
            .parsed("name", domain)
            .map_or_else(|| ".".to_owned(), |at| at.value),
        kind: fields.word("type", &TYPES).unwrap_or(DnsType::Soa),
        nxdomain: fields.boolean("nxdomain").unwrap_or(defaults.choose(true, false)),
    }
}

/// RFC 1035 section 2.3.4: labels of 63 bytes, names of 255 with their lengths.
fn domain(text: &str) -> Result<String, Problem> {
    let labels = text.strip_suffix('.').unwrap_or(text);
    let good = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    if text == "." || (labels.len() <= 253 && labels.split('.').all(good)) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        format!("\"{}\" is not a domain name", text.escape_debug()),
        "write a name such as \"www.example.com\", or \".\" for the root",
    ))
}

pub(super) fn read_sip(fields: &Fields<'_, '_>) -> SipCheck {
    let transports = [("tcp", SipTransport::Tcp), ("udp", SipTransport::Udp)];
    SipCheck {
        host: fields.parsed("host", super::http::host).map(|at| at.value),
        transport: fields.word("transport", &transports).unwrap_or(SipTransport::Tcp),
    }
}

pub(super) fn read_grpc(fields: &Fields<'_, '_>) -> GrpcCheck {
    let service = fields.parsed("service", |text| match text {
        "" => Ok(String::new()),
        text => bytes::line(text),
    });
    GrpcCheck {
        service: service.map(|at| at.value).unwrap_or_default(),
    }
}
