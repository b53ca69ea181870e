//! The well-known dialogues over TCP as steps of a [`Talk`], and SIP over UDP.

use super::datagram::Datagram;
use super::say::Say;
use super::talk::{Expect, REPLY_BYTES_MAX, Step, Talk};
use super::{ldap, postgres};

/// A name and a password.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// Who.
    pub user: &'a str,
    /// With what secret.
    pub password: &'a str,
}

fn talk(steps: Vec<Step>) -> Talk {
    Talk {
        steps,
        reply_bytes_max: REPLY_BYTES_MAX,
    }
}

fn say(text: impl Into<Vec<u8>>) -> Step {
    Step::Send(Say::Bytes(text.into()))
}

fn smtp_reply(code: u16) -> Step {
    Step::Expect(Expect::Code("SMTP reply", code))
}

fn ftp_reply(code: u16) -> Step {
    Step::Expect(Expect::Code("FTP reply", code))
}

/// keepalived's SMTP_CHECK: 220, HELO, 250, QUIT, 221.
pub fn smtp(helo: &str) -> Talk {
    talk(vec![
        smtp_reply(220),
        say(format!("HELO {helo}\r\n")),
        smtp_reply(250),
        say("QUIT\r\n"),
        smtp_reply(221),
    ])
}

/// RFC 1939: a greeting, a login when one is given, QUIT.
pub fn pop(login: Option<Login<'_>>) -> Talk {
    let good = || {
        Step::Expect(Expect::Line {
            protocol: "a good reply of POP",
            good: &["+OK"],
            after_others: false,
        })
    };
    let mut steps = vec![good()];
    if let Some(Login { user, password }) = login {
        steps.extend([
            say(format!("USER {user}\r\n")),
            good(),
            say(format!("PASS {password}\r\n")),
            good(),
        ]);
    }
    steps.extend([say("QUIT\r\n"), good()]);
    talk(steps)
}

/// RFC 9051: a greeting, a login when one is given, LOGOUT.
pub fn imap(login: Option<Login<'_>>) -> Talk {
    let line = |good, after_others| {
        Step::Expect(Expect::Line {
            protocol: "a good reply of IMAP",
            good,
            after_others,
        })
    };
    let mut steps = vec![line(&["* OK", "* PREAUTH"], false)];
    if let Some(Login { user, password }) = login {
        let (user, password) = (quoted(user), quoted(password));
        steps.extend([
            say(format!("a1 LOGIN {user} {password}\r\n")),
            line(&["a1 OK"], true),
        ]);
    }
    steps.extend([say("a2 LOGOUT\r\n"), line(&["a2 OK"], true)]);
    talk(steps)
}

/// RFC 9051 §4.3: a quoted string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// RFC 959: a greeting, a login when one is given, QUIT.
pub fn ftp(login: Option<Login<'_>>) -> Talk {
    let mut steps = vec![ftp_reply(220)];
    if let Some(Login { user, password }) = login {
        steps.extend([
            say(format!("USER {user}\r\n")),
            ftp_reply(331),
            say(format!("PASS {password}\r\n")),
            ftp_reply(230),
        ]);
    }
    steps.extend([say("QUIT\r\n"), ftp_reply(221)]);
    talk(steps)
}

/// A bind, anonymous without a login, and an unbind.
pub fn ldap(login: Option<Login<'_>>) -> Talk {
    let Login { user, password } = login.unwrap_or(Login {
        user: "",
        password: "",
    });
    talk(vec![
        say(ldap::bind_request(user, password)),
        Step::Expect(Expect::Ldap),
        say(ldap::unbind_request()),
    ])
}

/// The server speaks first.
pub fn mysql() -> Talk {
    talk(vec![Step::Expect(Expect::MySql)])
}

/// SSLRequest without a user, a start-up with one. Its database is the user's name unless another is given.
pub fn postgres(user: Option<&str>, database: Option<&str>) -> Talk {
    match user {
        None => talk(vec![
            say(postgres::ssl_request()),
            Step::Expect(Expect::PostgresSsl),
        ]),
        Some(user) => talk(vec![
            say(postgres::start_request(user, database.unwrap_or(user))),
            Step::Expect(Expect::PostgresStart),
            say(postgres::terminate()),
        ]),
    }
}

/// SIP's OPTIONS over TCP.
pub fn sip(host: &str) -> Talk {
    talk(vec![
        Step::Send(Say::SipOptions {
            transport: "TCP",
            host: host.to_owned(),
        }),
        Step::Expect(Expect::Sip),
    ])
}

/// The same over UDP.
pub fn sip_datagram(host: &str) -> Datagram {
    Datagram {
        send: Say::SipOptions {
            transport: "UDP",
            host: host.to_owned(),
        },
        expect: Some(Expect::Sip),
        require_reply: true,
        short: false,
        reply_bytes: 0..=usize::MAX,
    }
}
