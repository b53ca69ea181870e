//! The kinds that ask this host (`script`, `file`), the one that goes through the path, and `tls`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::bytes;
use crate::health::Defaults;
use crate::reader::{Fields, Problem};
use crate::section::{Key, Section};
use crate::text;

/// A program whose exit status tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ScriptCheck {
    /// The program.
    pub path: PathBuf,
    /// Its arguments; `{address}` and `{port}` stand for the backend's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Who runs it.
    pub user: String,
    /// In which group; `None`: the user's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether exit statuses from 2 on pass and give a weight.
    pub dynamic: bool,
}

/// A file that holds a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct FileCheck {
    /// The file.
    pub path: PathBuf,
    /// The configured weight is moved by the number times this; 0: the number is a fault; `None`: it is the weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<i32>,
    /// The number counts the other way round.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reverse: bool,
}

/// A BFD session that is up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct BfdCheck {
    /// The name of its `[[bfd]]`.
    pub session: String,
}

/// A connection to the virtual address by the way of clients' packets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ThroughCheck {
    /// What is connected to; `None`: the first address of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<SocketAddr>,
}

/// TLS over a check's connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct TlsCheck {
    /// Whether the server's certificate must be trusted, valid and for its name.
    pub verify: bool,
    /// Whose certificates are trusted, a PEM file; `None`: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name told to the server and looked for in its certificate; `None`: the host of the request, if it is a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The check's own certificate and those between it and an authority, a PEM file; `None`: it shows none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The key of the check's own certificate, a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The password of an encrypted key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_password: Option<String>,
    /// Whether the server is told its name.
    pub sni: bool,
    /// Whether a connection must end with TLS's closing alert.
    pub close_notify: bool,
}

pub(crate) static SCRIPT_SECTION: Section = Section {
    header: "check.script",
    meaning: "A program of this host: exit status 0 passes. It runs without a shell, with an empty environment but PATH, and is killed with all it started when the time is up. It and every folder above it must belong to root, be writable by nobody else, and be no symbolic link.",
    keys: &[
        Key {
            name: "path",
            kind: "an absolute path",
            default: None,
            meaning: "the program (required)",
        },
        Key {
            name: "arguments",
            kind: "a list of texts",
            default: Some("[]"),
            meaning: "its arguments; {address} and {port} in them stand for the backend's",
        },
        Key {
            name: "user",
            kind: "a text",
            default: Some("\"nobody\""),
            meaning: "who runs it",
        },
        Key {
            name: "group",
            kind: "a text",
            default: None,
            meaning: "in which group; left out: the user's own",
        },
        Key {
            name: "dynamic",
            kind: "true or false",
            default: Some("false"),
            meaning: "exit statuses from 2 to 255 pass too, and the backend's weight becomes the status less 2",
        },
    ],
};

pub(crate) static FILE_SECTION: Section = Section {
    header: "check.file",
    meaning: "A file of this host that holds one number: the backend's weight from 0 to 65535, or with `multiplier` what its weight is moved by. Without the file, or with anything else in it, the check fails.",
    keys: &[
        Key {
            name: "path",
            kind: "an absolute path",
            default: None,
            meaning: "the file (required)",
        },
        Key {
            name: "multiplier",
            kind: "a whole number from -65535 to 65535",
            default: None,
            meaning: "so many times the number, which may be negative, comes on top of the backend's configured weight; 0: the number is no weight, and the check passes with 0 alone; left out: the number is the weight",
        },
        Key {
            name: "reverse",
            kind: "true or false",
            default: Some("false"),
            meaning: "with `multiplier`: the other way round, so the number is taken off the weight, or the check passes unless it is 0",
        },
    ],
};

pub(crate) static BFD_SECTION: Section = Section {
    header: "check.bfd",
    meaning: "A BFD session is up. When it goes down the check fails at once, whatever `interval_ms` and `fall` say.",
    keys: &[Key {
        name: "session",
        kind: "a text",
        default: None,
        meaning: "the name of its [[bfd]] (required)",
    }],
};

pub(crate) static THROUGH_SECTION: Section = Section {
    header: "check.through",
    meaning: "A TCP connection to the service's address, sent to the backend as clients' packets are: to its MAC with `forward = \"dr\"`, inside its tunnel with `forward = \"tunnel\"`. It fails for a backend that lacks the address or does not take packets out of the tunnel. A tunnel over the other family needs the check's `source_address`.",
    keys: &[Key {
        name: "service",
        kind: "an address and a port",
        default: None,
        meaning: "what is connected to; left out: the first address of the service, which is then one of TCP",
    }],
};

pub(crate) static TLS_SECTION: Section = Section {
    header: "check.tls",
    meaning: "TLS over the connections of `tcp`, `http`, `smtp`, `pop`, `imap`, `ftp`, `ldap`, `sip` (over TCP) and `grpc`.",
    keys: &[
        Key {
            name: "verify",
            kind: "true or false",
            default: None,
            meaning: "whether the certificate must be trusted, valid and for its name; left out: when `ca` is given",
        },
        Key {
            name: "ca",
            kind: "an absolute path",
            default: None,
            meaning: "PEM file of those whose certificates are trusted; left out: /etc/ssl/certs/ca-certificates.crt",
        },
        Key {
            name: "name",
            kind: "a host name",
            default: None,
            meaning: "told to the server (SNI) and looked for in its certificate; left out: the `host` of an HTTP check, else none is told and the backend's address is looked for",
        },
        Key {
            name: "certificate",
            kind: "an absolute path",
            default: None,
            meaning: "PEM file of a certificate that the check shows to a server which asks for one; `key` must be given too",
        },
        Key {
            name: "key",
            kind: "an absolute path",
            default: None,
            meaning: "PEM file of the key of `certificate`",
        },
        Key {
            name: "key_password",
            kind: "a text",
            default: None,
            meaning: "the password of an encrypted `key` (PKCS #8, \"BEGIN ENCRYPTED PRIVATE KEY\"); keep the configuration from others' eyes then",
        },
        Key {
            name: "sni",
            kind: "true or false",
            default: Some("true"),
            meaning: "whether the server is told the name; false: the name is looked for in its certificate alone",
        },
        Key {
            name: "close_notify",
            kind: "true or false",
            default: Some("false"),
            meaning: "whether a server fails that ends a connection without TLS's closing alert, which many leave out",
        },
    ],
};

fn absolute(text: &str) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(text);
    if path.is_absolute() && text.len() <= 4_096 && !text.contains('\0') {
        return Ok(path);
    }
    Err(Problem::new(
        format!("\"{}\" is not an absolute path", text.escape_debug()),
        "write the whole path, beginning with /",
    ))
}

pub(super) fn read_script(fields: &Fields<'_, '_>) -> Option<ScriptCheck> {
    let arguments = fields.list("arguments", |text| {
        if text.len() <= 4_096 && !text.contains('\0') {
            return Ok(text.to_owned());
        }
        Err(Problem::new(
            "an argument is too long or has a NUL",
            "write at most 4096 bytes",
        ))
    });
    let user = fields.parsed("user", text::name).map(|at| at.value);
    let group = fields.parsed("group", text::name).map(|at| at.value);
    let dynamic = fields.boolean("dynamic").unwrap_or(false);
    Some(ScriptCheck {
        path: fields.required("path", absolute)?.value,
        arguments: arguments
            .unwrap_or_default()
            .into_iter()
            .map(|at| at.value)
            .collect(),
        user: user.unwrap_or_else(|| "nobody".to_owned()),
        group,
        dynamic,
    })
}

pub(super) fn read_file(fields: &Fields<'_, '_>, defaults: Defaults) -> Option<FileCheck> {
    // That of keepalived's `vrrp_track_file`, which its FILE_CHECK names.
    let multiplier = fields
        .signed("multiplier", -65_535..=65_535)
        .or(defaults.choose(None, Some(1)));
    let reverse = fields.boolean("reverse").unwrap_or(false);
    if reverse && multiplier.is_none() {
        fields.context.error(
            fields.span_of("reverse"),
            "`reverse` without `multiplier`: a weight has no other way round",
            "add `multiplier = 1`, or leave `reverse` out",
        );
    }
    Some(FileCheck {
        path: fields.required("path", absolute)?.value,
        multiplier,
        reverse,
    })
}

pub(super) fn read_bfd(fields: &Fields<'_, '_>) -> Option<BfdCheck> {
    Some(BfdCheck {
        session: fields.required("session", text::name)?.value,
    })
}

pub(super) fn read_through(fields: &Fields<'_, '_>) -> ThroughCheck {
    ThroughCheck {
        service: fields.parsed("service", text::socket_address).map(|at| at.value),
    }
}

pub(super) fn read_tls(fields: &Fields<'_, '_>, defaults: Defaults) -> TlsCheck {
    let ca = fields.parsed("ca", absolute).map(|at| at.value);
    if ca.is_some() && fields.boolean("verify") == Some(false) {
        fields.context.error(
            fields.span_of("ca"),
            "`ca` has no meaning with `verify = false`",
            "leave one of the two out",
        );
    }
    for (one, other) in [("certificate", "key"), ("key", "certificate")] {
        if fields.has(one) && !fields.has(other) {
            fields.context.error(
                fields.span_of(one),
                format!("`{one}` without `{other}`"),
                format!("add `{other} = \"/…\"`, or leave `{one}` out"),
            );
        }
    }
    if fields.has("key_password") && !fields.has("key") {
        fields.context.error(
            fields.span_of("key_password"),
            "`key_password` without `key`",
            "add `key` and `certificate`, or leave it out",
        );
    }
    TlsCheck {
        verify: fields.boolean("verify").unwrap_or(ca.is_some()),
        ca,
        name: fields.parsed("name", server_name).map(|at| at.value),
        certificate: fields.parsed("certificate", absolute).map(|at| at.value),
        key: fields.parsed("key", absolute).map(|at| at.value),
        key_password: fields.parsed("key_password", bytes::line).map(|at| at.value),
        sni: fields
            .boolean("sni")
            .unwrap_or(defaults.choose(true, false) || fields.has("name")),
        close_notify: fields.boolean("close_notify").unwrap_or(false),
    }
}

/// RFC 6066 section 3: a DNS name, no address.
fn server_name(text: &str) -> Result<String, Problem> {
    if is_dns_name(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        format!("\"{}\" is not a host name for TLS", text.escape_debug()),
        "write a name such as \"www.example.com\", without port; leave it out for an address",
    ))
}

/// Whether TLS can be told this name.
pub(super) fn is_dns_name(text: &str) -> bool {
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    bytes::line(text).is_ok()
        && text.split('.').all(good)
        && !text
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .bytes()
            .all(|byte| byte.is_ascii_digit())
}
