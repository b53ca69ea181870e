//! What the targets do with one input, and the dialogues they try. The test `fuzz_seeds` of the crate `tests` includes this file
//! and does the same with every file in `fuzz/seeds`, without a fuzzer.
#![allow(dead_code, reason = "each target uses one function of these")]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use weir_proto::health::datagram::Datagram;
use weir_proto::health::dns::Query;
use weir_proto::health::http::body::{Body, Digest};
use weir_proto::health::http::{Get, HEAD_BYTES_MAX};
use weir_proto::health::local::{NumberFile, Says, Script};
use weir_proto::health::pattern::Pattern;
use weir_proto::health::ping::Echo;
use weir_proto::health::preset::{self, Login};
use weir_proto::health::probe::{Action, Fault, Input, Probe};
use weir_proto::health::talk::{Expect, Masked, REPLY_BYTES_MAX, Step, Talk};
use weir_proto::health::through::{Encapsulation, Through};
use weir_proto::health::{Dialogue, Outcome};
use weir_proto::time::{Duration, Instant};
use weir_rings::message::{Event, Message, RawRecord};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);
/// Answers up to this length end alike however they are cut: no bound of a dialogue over a stream is reached.
const ANY_CUT_BYTES_MAX: usize = 1_024;

/// Datagrams are up to 64 times as long as this.
const DATAGRAM_UNIT_BYTES: usize = 8;

/// Every dialogue by the name of its target.
pub(crate) static CHECKS: LazyLock<BTreeMap<&'static str, Arc<Dialogue>>> = LazyLock::new(|| {
    let checks = streams().into_iter().chain(others());
    checks
        .map(|(name, dialogue)| (name, Arc::new(dialogue)))
        .collect()
});

/// Those whose answer is a stream of bytes.
fn streams() -> Vec<(&'static str, Dialogue)> {
    let login = Some(Login {
        user: "u",
        password: "p",
    });
    let get = |body| {
        Dialogue::Http(vec![Get {
            path: "/".into(),
            host: "h".into(),
            body,
            ..Get::default()
        }])
    };
    let body = Body {
        regex: Some(Pattern::new("(a|b)*c$")),
        // Of "abc".
        digest: Some(Digest::Md5(
            *b"\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72",
        )),
        bytes_max: 4_096,
        ..Body::default()
    };
    let steps = Talk {
        steps: vec![
            Step::Expect(Expect::Text(b"hello".to_vec())),
            Step::Send(b"?"[..].into()),
            Step::Expect(Expect::Regex(Pattern::new("^a+b"))),
            Step::Expect(Expect::Bytes(one_any_three())),
        ],
        reply_bytes_max: REPLY_BYTES_MAX,
    };
    vec![
        ("check_http", get(Body::default())),
        ("check_http_body", get(body)),
        ("check_smtp", Dialogue::Talk(preset::smtp("h"))),
        ("check_pop", Dialogue::Talk(preset::pop(login))),
        ("check_imap", Dialogue::Talk(preset::imap(login))),
        ("check_ftp", Dialogue::Talk(preset::ftp(login))),
        ("check_ldap", Dialogue::Talk(preset::ldap(None))),
        ("check_mysql", Dialogue::Talk(preset::mysql())),
        (
            "check_postgres",
            Dialogue::Talk(preset::postgres(Some("u"), None)),
        ),
        ("check_sip", Dialogue::Talk(preset::sip("h"))),
        ("check_steps", Dialogue::Talk(steps)),
        ("check_grpc", Dialogue::Grpc("s".into())),
        (
            "check_file",
            Dialogue::File(NumberFile {
                path: "/weight".into(),
                says: Says::Weight,
            }),
        ),
    ]
}

/// Those whose answers are datagrams, packets or codes.
fn others() -> Vec<(&'static str, Dialogue)> {
    let datagram = Datagram {
        send: b"?"[..].into(),
        expect: Some(Expect::Bytes(one_any_three())),
        require_reply: true,
        short: false,
        reply_bytes: 1..=255,
    };
    let query = Query {
        name: "www.example.net".into(),
        kind: 6,
        nxdomain: true,
    };
    let script = Script {
        path: "/usr/bin/true".into(),
        arguments: Vec::new(),
        user: "nobody".into(),
        group: None,
        dynamic: true,
    };
    let through = |service: &str, tunnel| {
        Dialogue::Through(Through {
            service: service.parse().expect("an address"),
            tunnel,
        })
    };
    vec![
        ("check_tcp", Dialogue::Tcp),
        ("check_bfd", Dialogue::Bfd("peer".into())),
        ("check_udp", Dialogue::Udp(datagram)),
        ("check_dns", Dialogue::Dns(query)),
        ("check_ping", Dialogue::Ping(Echo::V4)),
        ("check_script", Dialogue::Script(script)),
        ("check_through", through("192.0.2.100:80", None)),
        (
            "check_through_v6",
            through("[2001:db8::100]:80", Some(Encapsulation::Gre { checksum: true })),
        ),
    ]
}

/// The bytes 1, any, 3.
fn one_any_three() -> Vec<Masked> {
    [(1, 0xff), (0, 0), (3, 0xff)]
        .map(|(byte, mask)| Masked { byte, mask })
        .to_vec()
}

/// One run against one hostile answer, cut into pieces by its first byte: no panic, one end, bounded memory, and over a stream
/// the same end as in one piece.
pub(crate) fn check(name: &str, data: &[u8]) -> Option<Outcome> {
    let dialogue = &CHECKS[name];
    let (&cut, answer) = data.split_first()?;
    let stream = matches!(
        **dialogue,
        Dialogue::Http(_) | Dialogue::Talk(_) | Dialogue::Grpc(_) | Dialogue::File(_)
    );
    let piece_bytes = (usize::from(cut & 0x3f) + 1) * if stream { 1 } else { DATAGRAM_UNIT_BYTES };
    let outcome = run(dialogue, cut, piece_bytes, answer);
    if stream && answer.len() <= ANY_CUT_BYTES_MAX {
        let whole = run(dialogue, cut, ANY_CUT_BYTES_MAX, answer);
        assert_eq!(whole, outcome, "in pieces of {piece_bytes} bytes");
    }
    any_order(dialogue, answer);
    Some(outcome)
}

/// The same bytes as what happens to a probe, in whatever order: no panic, a deadline as long as a run is under way, and one end
/// for each beginning.
fn any_order(dialogue: &Arc<Dialogue>, mut happens: &[u8]) {
    let mut probe = Probe::new(dialogue.clone(), TIMEOUT);
    let (mut now, mut begun, mut ended) = (Instant::ZERO, 0_u32, 0);
    let faults = [Fault::Refused, Fault::Reset, Fault::Tls, Fault::Local];
    while let Some((&what, rest)) = happens.split_first() {
        let count = usize::from(what >> 3).min(rest.len());
        let running = probe.is_running();
        happens = rest;
        match what & 7 {
            0 => probe.handle(now, Input::Start),
            1 => probe.handle(now, Input::Connected),
            2 => {
                happens = &rest[count..];
                probe.handle(now, Input::Read(&rest[..count]));
            }
            3 => probe.handle(now, Input::Code((what >> 3).into())),
            4 => probe.handle(now, Input::Eof),
            5 => probe.handle(now, Input::Broken(faults[usize::from(what >> 3) % faults.len()])),
            6 => probe.handle(now, Input::Bound("192.0.2.2:40000".parse().expect("an address"))),
            _ => {
                now += Duration::from_millis(100) * (what >> 3).into();
                probe.handle_timeout(now);
            }
        }
        begun += u32::from(!running && probe.is_running());
        while let Some(action) = probe.poll_action() {
            ended += u32::from(matches!(action, Action::Done(_)));
        }
        assert_eq!(probe.poll_timeout().is_some(), probe.is_running());
        assert_eq!(
            begun,
            ended + u32::from(probe.is_running()),
            "one end for each beginning"
        );
    }
}

/// Whether the server is well.
pub(crate) fn passes(outcome: Outcome) -> bool {
    outcome.evidence() == Some(true)
}

fn run(dialogue: &Arc<Dialogue>, cut: u8, piece_bytes: usize, answer: &[u8]) -> Outcome {
    let mut probe = Probe::new(dialogue.clone(), TIMEOUT);
    let near = match &**dialogue {
        Dialogue::Through(through) if through.service.is_ipv6() => "[2001:db8::2]:40000",
        _ => "192.0.2.2:40000",
    };
    let now = Instant::ZERO;
    probe.handle(now, Input::Start);
    probe.handle(now, Input::Bound(near.parse().expect("an address")));
    probe.handle(now, Input::Connected);
    if cut & 0x80 != 0 {
        probe.handle(now, Input::Code(200));
    }
    for piece in answer.chunks(piece_bytes) {
        probe.handle(now, Input::Read(piece));
        assert!(probe.held() <= HEAD_BYTES_MAX);
    }
    if cut & 0x40 != 0 {
        let code = answer.first().copied().unwrap_or_default();
        let well = u32::from(matches!(**dialogue, Dialogue::Bfd(_)));
        probe.handle(now, Input::Code(if code < 0x80 { well } else { code.into() }));
        probe.handle(now, Input::Eof);
    }
    probe.handle_timeout(now + TIMEOUT);
    let mut outcome = None;
    while let Some(action) = probe.poll_action() {
        if let Action::Done(done) = action {
            assert_eq!(outcome.replace(done), None, "a run ends once");
        }
    }
    assert!(!probe.is_running());
    outcome.expect("a run ends by its deadline")
}

/// A configuration is accepted whole or refused with places and reasons, and what is accepted reads back the same.
pub(crate) fn config(text: &str) {
    if let Ok(config) = weir_configs::parse(text, "fuzz.toml") {
        let again = weir_configs::parse(&config.to_toml(), "again.toml").expect("what was written is valid");
        assert_eq!(again, config);
    }
}

/// A record on a ring is refused, or a value that encodes to the same record.
pub(crate) fn ring_record(bytes: &RawRecord) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(message.encode().as_ref(), Ok(bytes));
    }
    if let Ok(event) = Event::decode(bytes) {
        assert_eq!(event.encode().as_ref(), Ok(bytes));
    }
}
