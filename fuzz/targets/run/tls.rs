//! A check's TLS before a server that cannot be trusted: the bytes that a real server sends in a real handshake, changed or cut
//! off at places the input names, or the input itself.
//!
//! The first byte says how: pieces of its low six bits and one; 0x40: TLS 1.2; 0x80: the rest is what the server sends. Otherwise
//! the rest are triples: where in the server's bytes (big-endian), and what is changed there by exclusive or; 0 cuts them off.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, LazyLock};

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion};
use weir_control::health::{Tls, TlsFiles, tls_client};
use weir_proto::health::http::Get;
use weir_proto::health::http::body::Body;
use weir_proto::health::pattern::Pattern;
use weir_proto::health::probe::{Action, Fault, Input, Probe};
use weir_proto::health::{Dialogue, Outcome};
use weir_proto::time::{Duration, Instant};

const NAME: &str = "www.example.net";
/// The server's answer, and its end.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ngood\n";
const TIMEOUT: Duration = Duration::from_secs(1);
/// More flights than any handshake has.
const ROUNDS_MAX: usize = 16;
/// More than a server sends; rustls takes no more than a record at once.
const PLAIN_BYTES_MAX: usize = 1 << 16;

/// A page that says so.
static DIALOGUE: LazyLock<Arc<Dialogue>> = LazyLock::new(|| {
    let body = Body {
        regex: Some(Pattern::new("good")),
        ..Body::default()
    };
    Arc::new(Dialogue::Http(vec![Get {
        path: "/".into(),
        host: NAME.into(),
        body,
        ..Get::default()
    }]))
});

static SERVERS: LazyLock<[Arc<ServerConfig>; 2]> =
    LazyLock::new(|| [&rustls::version::TLS13, &rustls::version::TLS12].map(server));

/// A server with the certificate beside this file, which is its own authority.
fn server(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from(&include_bytes!("server.der")[..]);
    let key = PrivatePkcs8KeyDer::from(&include_bytes!("server.key.der")[..]);
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version it has")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .expect("a key of this certificate");
    Arc::new(config)
}

/// What the server sends, as it arrives.
struct Wire<'a> {
    changes: &'a [u8],
    /// So many bytes were sent before.
    sent: usize,
    cut: bool,
}

impl Wire<'_> {
    fn carry(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let (from, length) = (self.sent, bytes.len());
        self.sent += length;
        for change in self.changes.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([change[0], change[1]]));
            let Some(here) = at.checked_sub(from).filter(|here| *here < bytes.len()) else {
                continue;
            };
            match change[2] {
                0 => {
                    bytes.truncate(here);
                    self.cut = true;
                }
                other => bytes[here] ^= other,
            }
        }
        bytes
    }
}

/// One run of an HTTP check over TLS.
struct Run {
    client: ClientConnection,
    probe: Probe,
    connected: bool,
    outcome: Option<Outcome>,
    plain: usize,
}

impl Run {
    /// Takes what the server sent, as the driver would.
    fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.outcome.is_none() {
            let Ok(_) = self.client.read_tls(&mut bytes) else {
                return self.handle(Input::Broken(Fault::Tls));
            };
            let processed = self.client.process_new_packets().is_ok();
            if !self.connected && !self.client.is_handshaking() {
                self.connected = true;
                self.handle(Input::Connected);
            }
            self.read();
            if !processed {
                return self.handle(Input::Broken(Fault::Tls));
            }
        }
    }

    fn read(&mut self) {
        let mut buffer = [0; 1_024];
        while let Ok(count @ 1..) = self.client.reader().read(&mut buffer) {
            self.plain += count;
            assert!(self.plain <= PLAIN_BYTES_MAX, "more than was sent");
            self.handle(Input::Read(&buffer[..count]));
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.probe.handle(Instant::ZERO, input);
        while let Some(action) = self.probe.poll_action() {
            match action {
                Action::Write(bytes) => drop(self.client.writer().write_all(&bytes)),
                Action::Done(outcome) => assert_eq!(self.outcome.replace(outcome), None, "a run ends once"),
                Action::Connect | Action::Close => {}
            }
        }
    }
}

/// No panic, and one end.
pub(crate) fn check(data: &[u8]) -> Option<Outcome> {
    let (&how, rest) = data.split_first()?;
    let tls = Tls {
        files: TlsFiles::default(),
        name: Some(NAME.to_owned()),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        close_notify: false,
    };
    let mut run = Run {
        client: tls_client(&tls).expect("settings without files"),
        probe: Probe::new(DIALOGUE.clone(), TIMEOUT),
        connected: false,
        outcome: None,
        plain: 0,
    };
    run.handle(Input::Start);
    let pieces = usize::from(how & 0x3f) + 1;
    if how & 0x80 != 0 {
        rest.chunks(pieces).for_each(|piece| run.receive(piece));
    } else {
        let version = usize::from(how & 0x40 != 0);
        speak(&mut run, &SERVERS[version], pieces, rest);
    }
    run.handle(Input::Eof);
    run.probe.handle_timeout(Instant::ZERO + TIMEOUT);
    run.handle(Input::Eof);
    assert!(!run.probe.is_running());
    run.outcome
}

/// A real server's handshake and answer.
fn speak(run: &mut Run, config: &Arc<ServerConfig>, pieces: usize, changes: &[u8]) {
    let mut server = ServerConnection::new(config.clone()).expect("a connection");
    let mut wire = Wire {
        changes,
        sent: 0,
        cut: false,
    };
    let mut answered = false;
    for _ in 0..ROUNDS_MAX {
        let mut bytes = Vec::new();
        while let Ok(1..) = run.client.write_tls(&mut bytes) {}
        let mut asked = &bytes[..];
        // A server that likes nothing it hears says so by an alert, which the client has to bear.
        while !asked.is_empty() && server.read_tls(&mut asked).is_ok() && server.process_new_packets().is_ok()
        {
        }
        let mut request = [0; 1_024];
        if !answered && matches!(server.reader().read(&mut request), Ok(1..)) {
            answered = true;
            let _ = server.writer().write_all(ANSWER);
            server.send_close_notify();
        }
        let mut bytes = Vec::new();
        while let Ok(1..) = server.write_tls(&mut bytes) {}
        if bytes.is_empty() || wire.cut || run.outcome.is_some() {
            return;
        }
        let bytes = wire.carry(bytes);
        bytes.chunks(pieces).for_each(|piece| run.receive(piece));
    }
}
