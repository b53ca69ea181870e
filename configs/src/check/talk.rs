//! `check.tcp` with its steps, and the kinds that are well-known dialogues over TCP.

use serde::Serialize;

use super::bytes;
use crate::health::Defaults;
use crate::reader::Fields;
use crate::section::{Key, Section};

/// A TCP connection that opens, and what is said and heard on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct TcpCheck {
    /// What is said and heard, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<TalkStep>,
    /// Longest answer to one expectation.
    pub reply_bytes_max: u32,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TalkStep {
    /// This is sent.
    Send(String),
    /// So are these bytes, in hex.
    SendHex(String),
    /// This is waited for.
    Expect(String),
    /// So are exactly these bytes next, in hex with wild cards.
    ExpectHex(String),
    /// So is a match of this expression.
    Regex(String),
}

/// A greeting by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct SmtpCheck {
    /// The name after HELO.
    pub helo: String,
}

/// A login, if one is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct LoginCheck {
    /// Who logs in; `None`: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// With what password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// What PostgreSQL is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct PostgresCheck {
    /// Whose session is begun; `None`: only TLS is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// In which database; `None`: the one called as the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

pub(crate) static TCP_SECTION: Section = Section {
    header: "check.tcp",
    meaning: "A TCP connection that opens; with `steps`, a dialogue on it.",
    keys: &[
        Key {
            name: "steps",
            kind: "a list of tables",
            default: None,
            meaning: "what is sent and waited for, in order, such as [{ expect = \"220\" }, { send = \"QUIT\\r\\n\" }]",
        },
        Key {
            name: "reply_bytes_max",
            kind: "a whole number from 1 to 65536",
            default: Some("4096"),
            meaning: "a server that sends more than this without meeting an expectation fails",
        },
    ],
};

pub(crate) static STEP_SECTION: Section = Section {
    header: "check.tcp.steps",
    meaning: "One step: exactly one of the keys. An expectation looks at what came since the one before it was met.",
    keys: &[
        Key {
            name: "send",
            kind: "a text",
            default: None,
            meaning: "send this",
        },
        Key {
            name: "send_hex",
            kind: "bytes in hex",
            default: None,
            meaning: "send these bytes",
        },
        Key {
            name: "expect",
            kind: "a text",
            default: None,
            meaning: "wait for this text, anywhere",
        },
        Key {
            name: "expect_hex",
            kind: "bytes in hex",
            default: None,
            meaning: "the next bytes must be these; ? stands for any digit",
        },
        Key {
            name: "regex",
            kind: "a regular expression",
            default: None,
            meaning: "wait for a match, anywhere",
        },
    ],
};

pub(crate) static SMTP_SECTION: Section = Section {
    header: "check.smtp",
    meaning: "SMTP: 220, HELO, 250, QUIT, 221, as keepalived's SMTP_CHECK.",
    keys: &[Key {
        name: "helo",
        kind: "a text",
        default: Some("\"check.invalid\""),
        meaning: "the name after HELO",
    }],
};

const USER: Key = Key {
    name: "user",
    kind: "a text",
    default: None,
    meaning: "who logs in; left out: nobody does",
};
const PASSWORD: Key = Key {
    name: "password",
    kind: "a text",
    default: None,
    meaning: "with what password; `user` must be given too",
};

pub(crate) static POP_SECTION: Section = Section {
    header: "check.pop",
    meaning: "POP3: a greeting, a login if one is given, QUIT.",
    keys: &[USER, PASSWORD],
};

pub(crate) static IMAP_SECTION: Section = Section {
    header: "check.imap",
    meaning: "IMAP: a greeting, a login if one is given, LOGOUT.",
    keys: &[USER, PASSWORD],
};

pub(crate) static FTP_SECTION: Section = Section {
    header: "check.ftp",
    meaning: "FTP: 220, a login if one is given, QUIT, 221.",
    keys: &[USER, PASSWORD],
};

pub(crate) static LDAP_SECTION: Section = Section {
    header: "check.ldap",
    meaning: "An LDAP bind, anonymous unless a login is given (`user` is the name bound as).",
    keys: &[USER, PASSWORD],
};

pub(crate) static MYSQL_SECTION: Section = Section {
    header: "check.mysql",
    meaning: "A greeting of MySQL or MariaDB that is no error. The server counts it as an aborted connection: see its `max_connect_errors`.",
    keys: &[],
};

pub(crate) static POSTGRES_SECTION: Section = Section {
    header: "check.postgres",
    meaning: "PostgreSQL: an answer to SSLRequest or, with `user`, to the start of a session. A demand for a password passes; \"starting up\", \"shutting down\" and \"too many connections\" fail.",
    keys: &[
        Key {
            name: "user",
            kind: "a text",
            default: None,
            meaning: "whose session is begun; need not exist; left out: only SSLRequest, which a server that starts up answers too",
        },
        Key {
            name: "database",
            kind: "a text",
            default: None,
            meaning: "in which database; left out: the one called as the user",
        },
    ],
};

pub(super) fn read_tcp(fields: &Fields<'_, '_>) -> TcpCheck {
    let steps = if fields.items("steps").is_some() {
        fields.tables("steps", &STEP_SECTION)
    } else {
        Vec::new()
    };
    TcpCheck {
        steps: steps.iter().filter_map(step).collect(),
        reply_bytes_max: fields.integer("reply_bytes_max", 1..=65_536).unwrap_or(4_096),
    }
}

fn step(fields: &Fields<'_, '_>) -> Option<TalkStep> {
    let given = STEP_SECTION
        .keys
        .iter()
        .filter(|key| fields.has(key.name))
        .count();
    if given != 1 {
        fields.context.error(
            fields.span.clone(),
            format!("a step has {given} of the keys `send`, `send_hex`, `expect`, `expect_hex`, `regex`"),
            "write one table for each step: { send = \"…\" }, { expect = \"…\" }",
        );
        return None;
    }
    let text = |name| fields.string(name).map(|at| at.value.to_owned());
    let parsed = |name, parse: fn(&str) -> _| fields.parsed(name, parse).map(|at| at.value);
    text("send")
        .map(TalkStep::Send)
        .or_else(|| parsed("send_hex", bytes::hex_text).map(TalkStep::SendHex))
        .or_else(|| text("expect").map(TalkStep::Expect))
        .or_else(|| parsed("expect_hex", bytes::hex_pattern_text).map(TalkStep::ExpectHex))
        .or_else(|| parsed("regex", bytes::regex).map(TalkStep::Regex))
}

pub(super) fn read_smtp(fields: &Fields<'_, '_>, defaults: Defaults) -> SmtpCheck {
    let name = defaults.choose("check.invalid", "smtpchecker.keepalived.org");
    SmtpCheck {
        helo: fields
            .parsed("helo", bytes::line)
            .map_or_else(|| name.to_owned(), |at| at.value),
    }
}

pub(super) fn read_login(fields: &Fields<'_, '_>) -> LoginCheck {
    if fields.has("password") && !fields.has("user") {
        fields.context.error(
            fields.span_of("password"),
            "`password` without `user`",
            "add `user = \"…\"`, or leave `password` out",
        );
    }
    LoginCheck {
        user: fields.parsed("user", bytes::line).map(|at| at.value),
        password: fields.parsed("password", bytes::line).map(|at| at.value),
    }
}

pub(super) fn read_postgres(fields: &Fields<'_, '_>) -> PostgresCheck {
    if fields.has("database") && !fields.has("user") {
        fields.context.error(
            fields.span_of("database"),
            "`database` without `user`: no session is begun",
            "add `user = \"…\"`, or leave `database` out",
        );
    }
    PostgresCheck {
        user: fields.parsed("user", bytes::line).map(|at| at.value),
        database: fields.parsed("database", bytes::line).map(|at| at.value),
    }
}
