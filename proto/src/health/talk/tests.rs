//! Every preset against what servers say: good, bad, hurried, and byte by byte.

use super::super::preset::{self, Login};
use super::*;

/// Plays `server` in pieces of `size` bytes; everything said to it, and the end if there was one.
fn play(talk: &Talk, server: &[u8], size: usize) -> (Vec<u8>, Option<Progress>) {
    let mut reader = TalkReader::new(7);
    let mut said = Vec::new();
    let mut pieces = server.chunks(size.max(1));
    let mut progress = reader.start(talk);
    loop {
        match progress {
            Progress::More => {}
            Progress::Say(bytes) => said.extend(bytes),
            Progress::Farewell(bytes) => {
                said.extend(bytes);
                return (said, Some(Progress::Pass));
            }
            end @ (Progress::Pass | Progress::Weight(_) | Progress::Fail(_)) => return (said, Some(end)),
        }
        assert!(reader.held() <= talk.reply_bytes_max);
        match pieces.next() {
            Some(piece) => progress = reader.read(talk, piece),
            None => return (said, None),
        }
    }
}

const PASS: Option<Progress> = Some(Progress::Pass);

fn fail(failure: Failure) -> Option<Progress> {
    Some(Progress::Fail(failure))
}

fn not(protocol: &'static str) -> Option<Progress> {
    fail(Failure::NotProtocol(protocol))
}

const LOGIN: Option<Login<'static>> = Some(Login {
    user: "u\"1",
    password: "p",
});

type Case = (&'static str, Talk, &'static [u8], Option<Progress>);

fn text_cases() -> Vec<Case> {
    let (pop, imap) = ("a good reply of POP", "a good reply of IMAP");
    let smtp = || preset::smtp("check.example.net");
    vec![
        ("smtp", smtp(), b"220 mx\r\n250 hello\r\n221 bye\r\n", PASS),
        (
            "smtp of many lines",
            smtp(),
            b"220-a\r\n220-\r\n220 b\r\n250-x\r\n250-SIZE 1\r\n250 ok\r\n221 bye\r\n",
            PASS,
        ),
        ("bare line ends", smtp(), b"220 mx\n250 hello\n221\n", PASS),
        (
            "smtp refuses",
            smtp(),
            b"554 go away\r\n",
            fail(Failure::Code("SMTP reply", 554)),
        ),
        (
            "smtp dislikes helo",
            smtp(),
            b"220 mx\r\n501 what\r\n",
            fail(Failure::Code("SMTP reply", 501)),
        ),
        ("not smtp", smtp(), b"SSH-2.0-x\r\n", not("SMTP reply")),
        ("short line", smtp(), b"22\r\n", not("SMTP reply")),
        ("half a line", smtp(), b"220 m", None),
        ("many lines without end", smtp(), b"220-a\r\n221 b\r\n", None),
        ("ftp", preset::ftp(None), b"220 ftp\r\n221 bye\r\n", PASS),
        (
            "ftp login",
            preset::ftp(LOGIN),
            b"220-hi\r\n 230 no\r\n220 hi\r\n331 pass?\r\n230 in\r\n221 bye\r\n",
            PASS,
        ),
        (
            "ftp login refused",
            preset::ftp(LOGIN),
            b"220 hi\r\n331 pass?\r\n530 no\r\n",
            fail(Failure::Code("FTP reply", 530)),
        ),
        ("pop", preset::pop(None), b"+OK hi\r\n+OK bye\r\n", PASS),
        (
            "pop login",
            preset::pop(LOGIN),
            b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n",
            PASS,
        ),
        ("pop refuses", preset::pop(None), b"-ERR busy\r\n", not(pop)),
        (
            "imap",
            preset::imap(None),
            b"* OK hi\r\n* BYE\r\na2 OK out\r\n",
            PASS,
        ),
        (
            "imap login",
            preset::imap(LOGIN),
            b"* PREAUTH\r\n* CAPABILITY X\r\na1 OK in\r\n* BYE\r\na2 ok\r\n",
            PASS,
        ),
        (
            "imap login refused",
            preset::imap(LOGIN),
            b"* OK\r\na1 NO\r\n",
            not(imap),
        ),
        ("imap busy", preset::imap(None), b"* BYE full\r\n", not(imap)),
        ("sip", preset::sip("h"), b"SIP/2.0 200 OK\r\n\r\n", PASS),
        (
            "sip busy",
            preset::sip("h"),
            b"SIP/2.0 503 no\r\n",
            fail(Failure::Code("SIP status", 503)),
        ),
        ("not sip", preset::sip("h"), b"HTTP/1.1 200\r\n", not("SIP")),
        ("sip of letters", preset::sip("h"), b"SIP/2.0 abc\r\n", not("SIP")),
    ]
}

fn binary_cases() -> Vec<Case> {
    let ldap = || preset::ldap(None);
    let postgres = || preset::postgres(Some("weir"), None);
    let refusal = |state: &[u8; 5]| fail(Failure::SqlState(*state));
    vec![
        (
            "ldap",
            ldap(),
            b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
            PASS,
        ),
        (
            "ldap long form",
            ldap(),
            b"\x30\x84\0\0\0\x10\x02\x01\x01\x61\x84\0\0\0\x07\x0a\x01\x00\x04\x00\x04\x00",
            PASS,
        ),
        (
            "ldap busy",
            ldap(),
            b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x33\x04\x00\x04\x00",
            fail(Failure::Code("LDAP result", 51)),
        ),
        ("not ldap", ldap(), b"220 hi\r\n", not("LDAP")),
        (
            "another's answer",
            ldap(),
            b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
            not("LDAP"),
        ),
        (
            "ldap of 2 GiB",
            ldap(),
            b"\x30\x84\x7f\xff\xff\xff\x02\x01\x01",
            not("LDAP"),
        ),
        ("indefinite length", ldap(), b"\x30\x80\x02\x01\x01", not("LDAP")),
        ("half of it", ldap(), b"\x30\x0c\x02\x01\x01", None),
        ("mysql", preset::mysql(), b"\x0a\0\0\0\x0a8.0.36\0\x01\x02", PASS),
        (
            "mysql full",
            preset::mysql(),
            b"\x17\0\0\0\xff\x10\x04Too many connections",
            fail(Failure::Code("MySQL error", 1040)),
        ),
        (
            "mysql of another number",
            preset::mysql(),
            b"\x0a\0\0\x01\x0a8.0.36\0\x01\x02",
            not("MySQL"),
        ),
        (
            "mysql without end",
            preset::mysql(),
            b"\xff\xff\xff\0\x0a",
            not("MySQL"),
        ),
        ("half of it", preset::mysql(), b"\x0a\0\0\0\x0a8.0", None),
        ("postgres ssl", preset::postgres(None, None), b"S", PASS),
        ("postgres plain", preset::postgres(None, None), b"N", PASS),
        (
            "not postgres",
            preset::postgres(None, None),
            b"H",
            not("PostgreSQL"),
        ),
        ("postgres asks", postgres(), b"R\0\0\0\x08\0\0\0\x0a", PASS),
        (
            "postgres knows no such user",
            postgres(),
            b"E\0\0\0\x12SFATAL\0C28000\0\0",
            PASS,
        ),
        (
            "postgres starts",
            postgres(),
            b"E\0\0\0\x12SFATAL\0C57P03\0\0",
            refusal(b"57P03"),
        ),
        (
            "postgres is full",
            postgres(),
            b"E\0\0\0\x12SFATAL\0C53300\0\0",
            refusal(b"53300"),
        ),
        (
            "an error of nothing",
            postgres(),
            b"E\0\0\0\x05\0",
            not("PostgreSQL"),
        ),
        (
            "postgres of 2 GiB",
            postgres(),
            b"R\x7f\xff\xff\xff",
            not("PostgreSQL"),
        ),
    ]
}

#[test]
fn servers_are_understood_however_their_words_are_cut() {
    for (name, talk, server, end) in text_cases().into_iter().chain(binary_cases()) {
        for size in [usize::MAX, 1, 2, 3, 7] {
            assert_eq!(play(&talk, server, size).1, end, "{name}, in pieces of {size}");
        }
    }
}

#[test]
fn what_is_said_is_what_the_protocol_wants() {
    let said = |talk, server: &[u8]| String::from_utf8_lossy(&play(&talk, server, 1).0).into_owned();
    assert_eq!(
        said(preset::smtp("me"), b"220 x\r\n250 x\r\n221 x\r\n"),
        "HELO me\r\nQUIT\r\n"
    );
    assert_eq!(
        said(preset::imap(LOGIN), b"* OK\r\na1 OK\r\na2 OK\r\n"),
        "a1 LOGIN \"u\\\"1\" \"p\"\r\na2 LOGOUT\r\n"
    );
    // The bytes of RFC 4511's anonymous bind as OpenLDAP's client sends it, then its unbind.
    let (bind, _) = play(
        &preset::ldap(None),
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
        9,
    );
    assert_eq!(
        bind,
        b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00\x30\x05\x02\x01\x02\x42\x00"
    );
    let (start, _) = play(&preset::postgres(Some("a"), Some("b")), b"", 1);
    let fields = b"\0\x03\0\0user\0a\0database\0b\0\0";
    assert_eq!(start[4..], fields[..]);
    assert_eq!(start[..4], u32::try_from(start.len()).unwrap().to_be_bytes());
}

#[test]
fn steps_of_ones_own() {
    let talk = |steps: &[Step]| Talk {
        steps: steps.to_vec(),
        reply_bytes_max: 16,
    };
    let send = |text: &str| Step::Send(text.as_bytes().into());
    let text = |text: &str| Step::Expect(Expect::Text(text.into()));
    let regex = |text: &str| Step::Expect(Expect::Regex(Pattern::new(text)));
    let bytes = |bytes: &[(u8, u8)]| {
        let masked = bytes.iter().map(|&(byte, mask)| Masked { byte, mask });
        Step::Expect(Expect::Bytes(masked.collect()))
    };
    let pattern = [(1, 0xff), (0, 0), (0x30, 0xf0)];
    let table: &[(Talk, &[u8], Option<Progress>)] = &[
        (talk(&[]), b"", PASS),
        (talk(&[send("hi")]), b"", PASS),
        (talk(&[send("PING"), text("PONG")]), b"xxPONG", PASS),
        (talk(&[text("a"), text("b")]), b"a b", PASS),
        (talk(&[text("a"), text("a")]), b"a b", None),
        (talk(&[text("")]), b"", PASS),
        (talk(&[regex("^v[0-9]+\\n")]), b"v12\n", PASS),
        (talk(&[regex("^v[0-9]+\\n")]), b"v12", None),
        (talk(&[regex("v[0-9]"), text("v1")]), b"v1 v1", PASS),
        (talk(&[regex("v[0-9]"), text("v1")]), b"v1", None),
        (talk(&[bytes(&pattern)]), &[1, 2, 0x3f, 4], PASS),
        (talk(&[bytes(&pattern)]), &[1, 2, 0x4f], fail(Failure::Unexpected)),
        (talk(&[text("never")]), &[b'x'; 40], fail(Failure::ReplyTooLong)),
        (talk(&[text("never")]), &[b'x'; 15], None),
    ];
    for (number, (talk, server, end)) in table.iter().enumerate() {
        for size in [usize::MAX, 1, 3] {
            assert_eq!(
                play(talk, server, size).1,
                *end,
                "case {number}, in pieces of {size}"
            );
        }
    }
}
