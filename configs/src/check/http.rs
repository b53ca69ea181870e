//! `check.http`: what is asked over HTTP, and what passes.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};
use toml::de::DeValue;

use super::bytes;
use crate::health::Defaults;
use crate::reader::{At, Fields, Problem, word};
use crate::section::{Key, Section};

/// HTTP GETs whose answers are as wished.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct HttpCheck {
    /// The first.
    #[serde(flatten)]
    pub url: Url,
    /// Those after it, in order; all must pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Url>,
    /// The version of the requests.
    pub version: HttpVersion,
}

/// One GET.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Url {
    /// Path and query.
    pub path: String,
    /// Statuses that pass.
    pub status: Vec<StatusRange>,
    /// The `Host` header; `None`: the backend's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// An expression that must match in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// One that must not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex_absent: Option<String>,
    /// How both are read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regex_options: Vec<RegexOption>,
    /// The first byte of the body at which a match may begin.
    #[serde(skip_serializing_if = "is_zero")]
    pub regex_offset_min: u32,
    /// The last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex_offset_max: Option<u32>,
    /// MD5 of the body, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// SHA-256 of the body, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Longer bodies fail, where the body counts.
    pub body_bytes_max: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum HttpVersion {
    /// `HTTP/1.0`.
    #[serde(rename = "1.0")]
    V1_0,
    /// `HTTP/1.0` with `Connection: close`.
    #[serde(rename = "1.0C")]
    V1_0Close,
    /// `HTTP/1.1` with `Connection: close`.
    #[serde(rename = "1.1")]
    V1_1,
}

/// An option of a regular expression, by PCRE's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RegexOption {
    /// Upper and lower case are the same.
    Caseless,
    /// A dot stands for line ends too.
    Dotall,
    /// White space and comments in the expression are passed over.
    Extended,
    /// `^` and `$` stand at every line's ends.
    Multiline,
    /// Repetitions take as little as they can.
    Ungreedy,
}

impl RegexOption {
    const WORDS: [(&str, Self); 5] = [
        ("caseless", Self::Caseless),
        ("dotall", Self::Dotall),
        ("extended", Self::Extended),
        ("multiline", Self::Multiline),
        ("ungreedy", Self::Ungreedy),
    ];

    /// What stands before an expression that is read with these options.
    pub fn flags(options: &[Self]) -> String {
        let letters: String = options
            .iter()
            .map(|option| match option {
                Self::Caseless => 'i',
                Self::Dotall => 's',
                Self::Extended => 'x',
                Self::Multiline => 'm',
                Self::Ungreedy => 'U',
            })
            .collect();
        match letters.as_str() {
            "" => letters,
            letters => format!("(?{letters})"),
        }
    }
}

/// What PCRE can and this cannot, in keepalived's list.
const PCRE_ONLY: [&str; 19] = [
    "allow_empty_class",
    "alt_bsux",
    "alt_circumflex",
    "alt_verbnames",
    "auto_callout",
    "dollar_endonly",
    "dupnames",
    "firstline",
    "match_unset_backref",
    "never_backslash_c",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "ucp",
    "use_offset_limit",
    "utf",
];

fn regex_options(fields: &Fields<'_, '_>) -> Vec<RegexOption> {
    let option = |text: &str| {
        if PCRE_ONLY.contains(&text) {
            return Err(Problem::new(
                format!("`regex_options` cannot have \"{text}\", which is PCRE's alone"),
                "leave it out: expressions are those of Rust's regex, which knows Unicode and needs no such switch, or has no such thing",
            ));
        }
        word("regex_options", text, &RegexOption::WORDS)
    };
    let mut options: Vec<RegexOption> = fields
        .list("regex_options", option)
        .unwrap_or_default()
        .into_iter()
        .map(|at| at.value)
        .collect();
    options.dedup();
    if !options.is_empty() && !fields.has("regex") && !fields.has("regex_absent") {
        fields.context.error(
            fields.span_of("regex_options"),
            "`regex_options` without an expression",
            "add `regex` or `regex_absent`, or leave it out",
        );
    }
    options
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

const PATH: Key = Key {
    name: "path",
    kind: "a text that begins with /",
    default: Some("\"/\""),
    meaning: "path and query",
};
const STATUSES: Key = Key {
    name: "status",
    kind: "a list of numbers or ranges",
    default: Some("[\"200-299\"]"),
    meaning: "statuses that pass, such as [200, \"300-399\"]",
};
const HOST: Key = Key {
    name: "host",
    kind: "a text",
    default: None,
    meaning: "the Host header (virtual host); left out: the backend's address",
};
const REGEX: Key = Key {
    name: "regex",
    kind: "a regular expression",
    default: None,
    meaning: "must match somewhere in the body; with this, `regex_absent` or a digest the body is read",
};
const REGEX_ABSENT: Key = Key {
    name: "regex_absent",
    kind: "a regular expression",
    default: None,
    meaning: "must not match anywhere in the body",
};
const REGEX_OPTIONS: Key = Key {
    name: "regex_options",
    kind: "a list of texts",
    default: Some("[]"),
    meaning: "how `regex` and `regex_absent` are read, in PCRE's words: caseless, dotall, extended, multiline, ungreedy",
};
const REGEX_OFFSET_MIN: Key = Key {
    name: "regex_offset_min",
    kind: OFFSET,
    default: Some("0"),
    meaning: "where in the body a match may begin at the earliest, in bytes",
};
const REGEX_OFFSET_MAX: Key = Key {
    name: "regex_offset_max",
    kind: OFFSET,
    default: None,
    meaning: "where it may begin at the latest; left out: anywhere",
};
const OFFSET: &str = "a whole number from 0 to 1048576";
const MD5: Key = Key {
    name: "md5",
    kind: "32 hex digits",
    default: None,
    meaning: "the body's MD5, as keepalived's genhash prints it",
};
const SHA256: Key = Key {
    name: "sha256",
    kind: "64 hex digits",
    default: None,
    meaning: "the body's SHA-256, as sha256sum prints it; not together with `md5`",
};
const BODY_BYTES_MAX: Key = Key {
    name: "body_bytes_max",
    kind: "a whole number from 1 to 1048576",
    default: Some("65536"),
    meaning: "a body that is read and longer than this fails",
};

pub(crate) static HTTP_SECTION: Section = Section {
    header: "check.http",
    meaning: "HTTP GETs, each on a connection of its own. With `tls` in the check it is HTTPS.",
    keys: &[
        PATH,
        STATUSES,
        HOST,
        REGEX,
        REGEX_ABSENT,
        REGEX_OPTIONS,
        REGEX_OFFSET_MIN,
        REGEX_OFFSET_MAX,
        MD5,
        SHA256,
        BODY_BYTES_MAX,
        Key {
            name: "version",
            kind: "\"1.0\", \"1.0C\" or \"1.1\"",
            default: Some("\"1.1\""),
            meaning: "version of the requests; 1.0C is 1.0 with `Connection: close`",
        },
        Key {
            name: "also",
            kind: "a list of tables",
            default: None,
            meaning: "further URLs, asked in order in the same run; all must pass",
        },
    ],
};

pub(crate) static ALSO_SECTION: Section = Section {
    header: "check.http.also",
    meaning: "A further URL.",
    keys: &[
        PATH,
        STATUSES,
        HOST,
        REGEX,
        REGEX_ABSENT,
        REGEX_OPTIONS,
        REGEX_OFFSET_MIN,
        REGEX_OFFSET_MAX,
        MD5,
        SHA256,
        BODY_BYTES_MAX,
    ],
};

pub(super) fn read(fields: &Fields<'_, '_>, defaults: Defaults) -> HttpCheck {
    let versions = [
        ("1.0", HttpVersion::V1_0),
        ("1.0C", HttpVersion::V1_0Close),
        ("1.1", HttpVersion::V1_1),
    ];
    let also = if fields.items("also").is_some() {
        fields.tables("also", &ALSO_SECTION)
    } else {
        Vec::new()
    };
    HttpCheck {
        url: url(fields),
        also: also.iter().map(url).collect(),
        version: fields
            .word("version", &versions)
            .unwrap_or(defaults.choose(HttpVersion::V1_1, HttpVersion::V1_0)),
    }
}

fn url(fields: &Fields<'_, '_>) -> Url {
    let text = |at: Option<At<String>>| at.map(|at| at.value);
    if fields.has("md5") && fields.has("sha256") {
        fields.context.error(
            fields.span_of("sha256"),
            "a body has either `md5` or `sha256` to match, not both",
            "leave `md5` out",
        );
    }
    let offset = |name| fields.integer(name, 0..=1 << 20);
    let (regex_offset_min, regex_offset_max) = (
        offset("regex_offset_min").unwrap_or(0),
        offset("regex_offset_max"),
    );
    if regex_offset_max.is_some_and(|max| max < regex_offset_min) {
        fields.context.error(
            fields.span_of("regex_offset_max"),
            "`regex_offset_max` is before `regex_offset_min`: nothing would match",
            "make it as large at least",
        );
    }
    let regex_options = regex_options(fields);
    let regex = |text: &str| {
        bytes::regex(&format!("{}{text}", RegexOption::flags(&regex_options)))?;
        Ok(text.to_owned())
    };
    Url {
        path: text(fields.parsed("path", path)).unwrap_or_else(|| "/".to_owned()),
        status: statuses(fields),
        host: text(fields.parsed("host", host)),
        regex: text(fields.parsed("regex", regex)),
        regex_absent: text(fields.parsed("regex_absent", regex)),
        regex_options,
        regex_offset_min,
        regex_offset_max,
        md5: text(fields.parsed("md5", |text| digest(text, 16))),
        sha256: text(fields.parsed("sha256", |text| digest(text, 32))),
        body_bytes_max: fields.integer("body_bytes_max", 1..=1 << 20).unwrap_or(65_536),
    }
}

fn digest(text: &str, length: usize) -> Result<String, Problem> {
    match bytes::hex(text) {
        Some(digest) if digest.len() == length => Ok(text.to_ascii_lowercase()),
        Some(_) | None => Err(Problem::new(
            format!("\"{}\" is not a digest of {length} bytes", text.escape_debug()),
            format!("write {} hex digits", 2 * length),
        )),
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

pub(super) fn host(text: &str) -> Result<String, Problem> {
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
