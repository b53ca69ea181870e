//! Hostile servers: a million mutated answers over all dialogues. The probe ends every run, and what it holds stays
//! within its bound.

use super::*;
use crate::health::http::body::{Body, Digest};
use crate::health::http::{Get, HEAD_BYTES_MAX};
use crate::health::local::{NumberFile, Says, Script};
use crate::health::pattern::Pattern;
use crate::health::ping::Echo;
use crate::health::talk::{REPLY_BYTES_MAX, Talk};
use crate::health::through::Through;
use crate::health::{datagram, dns, preset};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const TIMEOUT: Duration = Duration::from_millis(500);
/// Answers in all, over all dialogues.
const ANSWERS: usize = 1_000_000;
const BODY_BYTES_MAX: usize = 2_048;
/// The most that any dialogue may hold.
const HELD_MAX: usize = HEAD_BYTES_MAX;

/// Each dialogue with good answers to start the mutations from.
fn dialogues() -> Vec<(Dialogue, Vec<&'static [u8]>)> {
    let get = |body| {
        Dialogue::Http(vec![Get {
            path: "/".into(),
            host: "h".into(),
            body,
            ..Get::default()
        }])
    };
    let regex = Body {
        regex: Some(Pattern::new("(a|b)*c$")),
        bytes_max: BODY_BYTES_MAX,
        ..Body::default()
    };
    let digest = Body {
        digest: Some(Digest::Md5([0; 16])),
        bytes_max: BODY_BYTES_MAX,
        ..Body::default()
    };
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: v\r\n\r\n";
    let talk = |talk: Talk, answer: &'static [u8]| (Dialogue::Talk(talk), vec![answer]);
    let login = Some(preset::Login {
        user: "u",
        password: "p",
    });
    let question = dns::Query {
        name: "www.example.net".into(),
        kind: 6,
        nxdomain: true,
    };
    let any = datagram::Datagram {
        send: b"?"[..].into(),
        expect: None,
        require_reply: true,
        short: false,
        reply_bytes: 1..=255,
    };
    let script = Script {
        path: "/bin/true".into(),
        arguments: vec![],
        user: "nobody".into(),
        group: None,
        dynamic: true,
    };
    let through = Through {
        service: "192.0.2.100:80".parse().unwrap(),
        tunnel: None,
    };
    vec![
        (get(Body::default()), vec![b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]),
        (get(regex), vec![chunked, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nababc"]),
        (get(digest), vec![chunked]),
        talk(preset::smtp("h"), b"220-a\r\n220 b\r\n250-x\r\n250 y\r\n221 z\r\n"),
        talk(preset::ftp(login), b"220 a\r\n331 x\r\n230 y\r\n221 z\r\n"),
        talk(preset::pop(login), b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n"),
        talk(preset::imap(login), b"* OK hi\r\n* X\r\na1 OK\r\n* BYE\r\na2 OK\r\n"),
        talk(preset::ldap(None), b"\x30\x84\0\0\0\x10\x02\x01\x01\x61\x84\0\0\0\x07\x0a\x01\x00\x04\x00\x04\x00"),
        talk(preset::mysql(), b"\x0a\0\0\0\x0a8.0.36\0\x01\x02"),
        talk(preset::postgres(None, None), b"S"),
        talk(preset::postgres(Some("u"), None), b"E\0\0\0\x12SFATAL\0C57P03\0\0"),
        talk(preset::sip("h"), b"SIP/2.0 200 OK\r\n\r\n"),
        (Dialogue::Udp(any), vec![b"!"]),
        (
            Dialogue::Dns(question),
            vec![b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0\x03www\x07example\x03net\0\0\x06\0\x01\xc0\x0c\0\x06\0\x01\0\0\0\x01\0\x16\xc0\x10\xc0\x10\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05"],
        ),
        (Dialogue::Ping(Echo::V4), vec![b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0"]),
        (Dialogue::Grpc("s".into()), vec![b"\0\0\0\0\x02\x08\x01"]),
        (Dialogue::Script(script), vec![b""]),
        (Dialogue::File(NumberFile { path: "/x".into(), says: Says::Weight }), vec![b" 12\n"]),
        (Dialogue::Bfd("b".into()), vec![b""]),
        (Dialogue::Through(through), vec![b"\x45\0\0\x28\0\0\x40\0\x40\x06\0\0\xc0\0\x02\x64\xc0\0\x02\x02\0\x50\x9c\x40\0\0\0\x01\0\0\0\x02\x50\x12\x04\0\0\0\0\0"]),
    ]
}

fn mutate(rng: &mut SmallRng, answers: &[&[u8]]) -> Vec<u8> {
    let mut bytes = answers[rng.random_range(0..answers.len())].to_vec();
    for _ in 0..rng.random_range(0..4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, rng.random()),
            4 => {
                let copied = bytes[at..].to_vec();
                bytes.extend(copied);
            }
            _ => bytes.extend((0..rng.random_range(0..64)).map(|_| rng.random::<u8>())),
        }
    }
    // Now and then something without end.
    if rng.random_range(0..1_000) == 0 {
        let filler = rng.random();
        bytes.resize(bytes.len() + HEAD_BYTES_MAX, filler);
    }
    bytes
}

/// One run against one answer; true when it passed.
fn run(probe: &mut Probe, rng: &mut SmallRng, now: Instant, answer: &[u8]) -> Option<Outcome> {
    probe.handle(now, Input::Start);
    probe.handle(now, Input::Bound("192.0.2.2:40000".parse().unwrap()));
    probe.handle(now, Input::Connected);
    if rng.random() {
        probe.handle(
            now,
            Input::Code([0, 1, 2, 200, 255, u32::MAX][rng.random_range(0..6)]),
        );
    }
    let size = [1, 7, 100, usize::MAX][rng.random_range(0..4)];
    for piece in answer.chunks(size.min(answer.len().max(1)).max(answer.len() / 64).max(1)) {
        probe.handle(now, Input::Read(piece));
        assert!(probe.held() <= HELD_MAX);
    }
    if rng.random() {
        probe.handle(now, Input::Code(rng.random_range(0..4)));
        probe.handle(now, Input::Eof);
    }
    probe.handle_timeout(now + TIMEOUT);
    assert!(!probe.is_running(), "a run must end by its deadline");
    let mut outcome = None;
    while let Some(action) = probe.poll_action() {
        if let Action::Done(done) = action {
            assert!(outcome.replace(done).is_none(), "a run ends once");
        }
    }
    outcome
}

#[test]
fn a_million_hostile_answers_to_all_dialogues() {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(6);
    let mut rng = SmallRng::seed_from_u64(seed);
    let dialogues = dialogues();
    let each = ANSWERS.div_ceil(dialogues.len());
    const { assert!(HELD_MAX >= REPLY_BYTES_MAX && HELD_MAX >= BODY_BYTES_MAX) };
    for (dialogue, answers) in &dialogues {
        let mut probe = Probe::new(Arc::new(dialogue.clone()), TIMEOUT);
        let mut fails = 0;
        for number in 0..each as u64 {
            let answer = mutate(&mut rng, answers);
            // The same token each time, so that answers can be right.
            let now = Instant::from_nanos(if number % 2 == 0 { 0 } else { number });
            match run(&mut probe, &mut rng, now, &answer) {
                Some(Outcome::Pass | Outcome::Weight(_)) => {}
                Some(Outcome::Fail(_)) => fails += 1,
                None => panic!("a run without an outcome: {dialogue:?}, seed {seed}"),
            }
        }
        assert!(fails > 0, "{dialogue:?}, seed {seed}: nothing failed");
    }
}
