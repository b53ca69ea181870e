//! Servers that send without end, a byte at a time, or nothing but resets: the checker lives, and its memory stays flat.

use super::super::super::Tls;
use super::super::tls;
use super::*;
use crate::clock::Clock;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use weir_proto::health::Outcome;
use weir_proto::health::dns::Query;
use weir_proto::health::http::Get;
use weir_proto::health::http::body::Body;
use weir_proto::health::pattern::Pattern;
use weir_proto::health::preset;

/// More than all bounds of all checks here together, and far less than the servers send.
const GROWTH_MAX: u64 = 128 << 20;
const EACH: usize = 10;
/// Reports to be seen of every check, whatever time they take.
const RUNS: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
enum Manner {
    Reset,
    Endless(&'static [u8]),
    Dribble(&'static [u8]),
    /// Hundreds of datagrams for one.
    Flood,
}

async fn serve(manner: Manner) -> SocketAddr {
    if matches!(manner, Manner::Flood) {
        return flood().await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, manner));
        }
    });
    address
}

async fn flood() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut asked = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut asked).await {
            for length in 0..500 {
                // What finds no room is lost, as datagrams are.
                let _ = socket.send_to(&[0xa5; 1_400][..length * 2], from).await;
            }
        }
    });
    address
}

async fn converse(mut stream: TcpStream, manner: Manner) -> std::io::Result<()> {
    match manner {
        Manner::Reset => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
        Manner::Endless(head) => {
            let _ = stream.read(&mut [0; 1_024]).await?;
            stream.write_all(head).await?;
            loop {
                stream.write_all(&[b'1'; 65_536]).await?;
            }
        }
        Manner::Dribble(text) => {
            for byte in text.iter().cycle() {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        }
        Manner::Flood => Ok(()),
    }
}

fn http() -> Dialogue {
    Dialogue::Http(vec![Get {
        path: "/".into(),
        host: "h".into(),
        body: Body {
            regex: Some(Pattern::new("never")),
            ..Body::default()
        },
        ..Get::default()
    }])
}

#[tokio::test]
async fn hostile_servers_neither_fill_memory_nor_end_the_checker() {
    let talk = || Dialogue::Talk(preset::smtp("h"));
    let grpc = || Dialogue::Grpc(String::new());
    let query = Query {
        name: "www.example.net".into(),
        kind: 6,
        nxdomain: true,
    };
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let settings_without_end = b"\0\0\0\x04\0\0\0\0\0";
    let tls = |address: SocketAddr| Tls {
        files: tls::Files::default(),
        name: Some("www.example.net".into()),
        address: address.ip(),
        close_notify: false,
    };
    let table = [
        (Manner::Reset, http(), false),
        (Manner::Endless(b"HTTP/1.1 200 OK\r\nA: "), http(), false),
        (Manner::Endless(b"HTTP/1.1 200 OK\r\n\r\n"), http(), false),
        (
            Manner::Endless(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
            http(),
            false,
        ),
        (Manner::Endless(chunked), http(), false),
        (Manner::Dribble(b"HTTP/1.1 100 Continue\r\n\r\n"), http(), false),
        (Manner::Endless(b"220-"), talk(), false),
        (Manner::Dribble(b"220-x\r\n"), talk(), false),
        (Manner::Reset, talk(), false),
        (Manner::Endless(settings_without_end), grpc(), false),
        (Manner::Dribble(settings_without_end), grpc(), false),
        (Manner::Flood, Dialogue::Dns(query), false),
        (Manner::Reset, http(), true),
        (Manner::Endless(b"\x16\x03\x03\x40\x00"), http(), true),
        (Manner::Dribble(b"\x16\x03\x03\x40\x00"), http(), true),
    ];
    let mut targets = Vec::new();
    for (manner, dialogue, secure) in table {
        for _ in 0..EACH {
            let address = serve(manner).await;
            let mut target = target(address, dialogue.clone(), Duration::from_millis(500));
            target.tls = secure.then(|| tls(address));
            targets.push(target);
        }
    }
    let before = memory("VmRSS:");
    let mut checks = Checks::new(Clock::start(), 1);
    checks.reconcile(&targets);
    let runs = async {
        let mut seen = std::collections::HashMap::new();
        while seen.len() < targets.len() || seen.values().any(|runs| *runs < RUNS) {
            let (id, report) = checks.reports.recv().await.unwrap();
            assert!(matches!(report.outcome, Outcome::Fail(_)), "{report:?}");
            *seen.entry(id).or_insert(0) += 1;
        }
    };
    tokio::time::timeout(PATIENCE, runs)
        .await
        .expect("every check goes on");
    let grown = memory("VmRSS:").saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{} MiB more than before", grown >> 20);
}

/// A TLS 1.3 ServerHello with X25519 and what could follow it.
fn server_hello(rng: &mut SmallRng) -> Vec<u8> {
    let (random, session, share): ([u8; 32], [u8; 32], [u8; 32]) = (rng.random(), rng.random(), rng.random());
    let extensions = [
        &[0, 0x2b, 0, 2, 3, 4, 0, 0x33, 0, 0x24, 0, 0x1d, 0, 0x20][..],
        &share,
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &random,
        &[32],
        &session,
        &[0x13, 1, 0, 0, extensions.len() as u8],
        &extensions,
    ]
    .concat();
    let hello = [&[2, 0, 0, body.len() as u8][..], &body].concat();
    let encrypted: [u8; 32] = rng.random();
    let rest = [&[0x14, 3, 3, 0, 1, 1, 0x17, 3, 3, 0, 32][..], &encrypted].concat();
    [&[0x16, 3, 3, 0, hello.len() as u8][..], &hello, &rest].concat()
}

/// Bytes of a server that breaks off, repeats itself and lies about lengths: an error, never a panic or a session.
#[test]
fn mutated_tls_answers_are_errors() {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(8);
    let mut rng = SmallRng::seed_from_u64(seed);
    let settings = tls::settings(&tls::Files::default(), tls::NO_PROTOCOL).unwrap();
    let before = memory("VmRSS:");
    for round in 0..50_000 {
        let mut bytes = server_hello(&mut rng);
        for _ in 0..rng.random_range(0..5) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] = rng.random(),
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, rng.random()),
                _ => bytes.extend_from_within(at..),
            }
        }
        let name = rustls::pki_types::ServerName::try_from("www.example.net").unwrap();
        let mut client = rustls::ClientConnection::new(settings.clone(), name).unwrap();
        let mut unread = &bytes[..];
        while client.read_tls(&mut unread).is_ok_and(|count| count > 0)
            && client.process_new_packets().is_ok()
        {}
        assert!(client.is_handshaking(), "WEIR_SEED={seed}, round {round}");
    }
    let grown = memory("VmRSS:").saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{} MiB more than before", grown >> 20);
}
