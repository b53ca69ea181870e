//! From a check's configuration to what is said, from where, and over what.

use super::{Source, Tls, TlsFiles, TlsOwn as Own};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use weir_configs::{
    Backend, Check, CheckKind, FileCheck, HttpCheck, HttpVersion, LoginCheck, RegexOption, SipTransport,
    TalkStep, Tunnel, UdpCheck, Url, hex, hex_pattern,
};
use weir_proto::health::Dialogue;
use weir_proto::health::datagram::Datagram;
use weir_proto::health::dns::Query;
use weir_proto::health::http::body::{Body, Digest};
use weir_proto::health::http::{Get, Version};
use weir_proto::health::local::{NumberFile, Says, Script};
use weir_proto::health::pattern::Pattern;
use weir_proto::health::ping::Echo;
use weir_proto::health::preset::{self, Login};
use weir_proto::health::say::Say;
use weir_proto::health::talk::{Expect, Masked, Step, Talk};
use weir_proto::health::through::{Encapsulation, Through};

/// Debian's bundle of authorities, which other systems have too or link there.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Where the check asks.
pub(super) fn address(backend: &Backend, check: &Check) -> SocketAddr {
    SocketAddr::new(
        check.address.unwrap_or(backend.address.ip()),
        check.port.unwrap_or(backend.address.port()),
    )
}

/// Where its probes come from.
pub(super) fn source(check: &Check) -> Source {
    Source {
        address: check.source_address,
        interface: check.source_interface.clone(),
        port: check.source_port,
        mark: check.mark,
    }
}

/// How TLS is spoken with `address`, if it is.
pub(super) fn tls(check: &Check, address: SocketAddr) -> Option<Tls> {
    let tls = check.tls.as_ref()?;
    Some(Tls {
        files: TlsFiles {
            authorities: tls
                .verify
                .then(|| tls.ca.clone().unwrap_or_else(|| PathBuf::from(AUTHORITIES))),
            own: tls
                .certificate
                .clone()
                .zip(tls.key.clone())
                .map(|(certificate, key)| Own {
                    certificate,
                    key,
                    password: tls.key_password.clone(),
                }),
            tells_name: tls.sni,
        },
        name: check.tls_name().map(str::to_owned),
        address: address.ip(),
        close_notify: tls.close_notify,
    })
}

/// What is said.
pub(super) fn dialogue(backend: &Backend, check: &Check, address: SocketAddr) -> Dialogue {
    match &check.kind {
        CheckKind::Tcp(tcp) if tcp.steps.is_empty() => Dialogue::Tcp,
        CheckKind::Tcp(tcp) => Dialogue::Talk(Talk {
            steps: tcp.steps.iter().map(step).collect(),
            reply_bytes_max: bytes(tcp.reply_bytes_max),
        }),
        CheckKind::Http(http) => {
            let secure = check.tls.is_some();
            Dialogue::Http(
                urls(http)
                    .map(|url| get(url, http.version, address, secure))
                    .collect(),
            )
        }
        CheckKind::Smtp(smtp) => Dialogue::Talk(preset::smtp(&smtp.helo)),
        CheckKind::Pop(check) => Dialogue::Talk(preset::pop(login(check))),
        CheckKind::Imap(check) => Dialogue::Talk(preset::imap(login(check))),
        CheckKind::Ftp(check) => Dialogue::Talk(preset::ftp(login(check))),
        CheckKind::Ldap(check) => Dialogue::Talk(preset::ldap(login(check))),
        CheckKind::Mysql(_) => Dialogue::Talk(preset::mysql()),
        CheckKind::Postgres(check) => {
            Dialogue::Talk(preset::postgres(check.user.as_deref(), check.database.as_deref()))
        }
        CheckKind::Sip(sip) => {
            let host = sip.host.clone().unwrap_or_else(|| host(address, None));
            match sip.transport {
                SipTransport::Tcp => Dialogue::Talk(preset::sip(&host)),
                SipTransport::Udp => Dialogue::Udp(preset::sip_datagram(&host)),
            }
        }
        CheckKind::Udp(udp) => Dialogue::Udp(datagram(udp)),
        CheckKind::Dns(dns) => Dialogue::Dns(Query {
            name: dns.name.clone(),
            kind: dns.kind as u16,
            nxdomain: dns.nxdomain,
        }),
        CheckKind::Ping(_) => Dialogue::Ping(match address.ip() {
            IpAddr::V4(_) => Echo::V4,
            IpAddr::V6(_) => Echo::V6,
        }),
        CheckKind::Grpc(grpc) => Dialogue::Grpc(grpc.service.clone()),
        CheckKind::Script(script) => Dialogue::Script(Script {
            path: script.path.clone(),
            arguments: script
                .arguments
                .iter()
                .map(|text| filled(text, backend.address))
                .collect(),
            user: script.user.clone(),
            group: script.group.clone(),
            dynamic: script.dynamic,
        }),
        CheckKind::File(file) => Dialogue::File(NumberFile {
            path: file.path.clone(),
            says: says(file),
        }),
        CheckKind::Bfd(bfd) => Dialogue::Bfd(bfd.session.clone()),
        CheckKind::Through(through) => Dialogue::Through(Through {
            // The configuration fills it in; an address nobody holds answers nothing.
            service: through.service.unwrap_or(backend.address),
            tunnel: backend.tunnel.map(encapsulation),
        }),
    }
}

fn urls(http: &HttpCheck) -> impl Iterator<Item = &Url> {
    std::iter::once(&http.url).chain(&http.also)
}

fn get(url: &Url, version: HttpVersion, address: SocketAddr, secure: bool) -> Get {
    let flags = RegexOption::flags(&url.regex_options);
    let pattern = |text: &Option<String>| text.as_ref().map(|text| Pattern::new(format!("{flags}{text}")));
    let md5 = digest(url.md5.as_deref()).map(Digest::Md5);
    let sha256 = digest(url.sha256.as_deref()).map(Digest::Sha256);
    let default_port = if secure { 443 } else { 80 };
    Get {
        path: url.path.clone(),
        host: url
            .host
            .clone()
            .unwrap_or_else(|| host(address, Some(default_port))),
        status: url.status.iter().map(|range| range.first..=range.last).collect(),
        version: match version {
            HttpVersion::V1_0 => Version::V1_0,
            HttpVersion::V1_0Close => Version::V1_0Close,
            HttpVersion::V1_1 => Version::V1_1,
        },
        body: Body {
            regex: pattern(&url.regex),
            regex_absent: pattern(&url.regex_absent),
            match_at: bytes(url.regex_offset_min)..=url.regex_offset_max.map_or(usize::MAX, bytes),
            digest: md5.or(sha256),
            bytes_max: bytes(url.body_bytes_max),
        },
    }
}

fn digest<const LENGTH: usize>(text: Option<&str>) -> Option<[u8; LENGTH]> {
    hex(text?)?.try_into().ok()
}

/// RFC 9110 §7.2: the port is left out of `Host` when it is the default one.
fn host(address: SocketAddr, default_port: Option<u16>) -> String {
    match address {
        SocketAddr::V4(v4) if Some(v4.port()) == default_port => v4.ip().to_string(),
        SocketAddr::V6(v6) if Some(v6.port()) == default_port => format!("[{}]", v6.ip()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address.to_string(),
    }
}

fn step(step: &TalkStep) -> Step {
    match step {
        TalkStep::Send(text) => Step::Send(text.as_bytes().into()),
        TalkStep::SendHex(text) => Step::Send(Say::Bytes(hex(text).unwrap_or_default())),
        TalkStep::Expect(text) => Step::Expect(Expect::Text(text.as_bytes().to_vec())),
        TalkStep::ExpectHex(text) => Step::Expect(masked(text).unwrap_or(Expect::Bytes(Vec::new()))),
        TalkStep::Regex(text) => Step::Expect(Expect::Regex(Pattern::new(text))),
    }
}

fn login(check: &LoginCheck) -> Option<Login<'_>> {
    Some(Login {
        user: check.user.as_deref()?,
        password: check.password.as_deref().unwrap_or_default(),
    })
}

fn datagram(udp: &UdpCheck) -> Datagram {
    let bytes = udp.expect_hex.as_deref().and_then(masked);
    let regex = udp.regex.as_deref().map(|text| Expect::Regex(Pattern::new(text)));
    Datagram {
        send: match udp.send_random_bytes {
            Some(count) => Say::Random(count),
            None => Say::Bytes(hex(&udp.send_hex).unwrap_or_default()),
        },
        expect: bytes.or(regex),
        require_reply: udp.require_reply,
        short: udp.short_reply,
        reply_bytes: udp.reply_bytes_min.into()..=udp.reply_bytes_max.into(),
    }
}

fn says(file: &FileCheck) -> Says {
    match (file.multiplier, file.reverse) {
        (None, _) => Says::Weight,
        (Some(0), false) => Says::Fault,
        (Some(0), true) => Says::Well,
        (Some(factor), false) => Says::Moves(factor),
        (Some(factor), true) => Says::Moves(-factor),
    }
}

fn masked(text: &str) -> Option<Expect> {
    let bytes = hex_pattern(text)?.into_iter();
    Some(Expect::Bytes(
        bytes.map(|(byte, mask)| Masked { byte, mask }).collect(),
    ))
}

fn filled(text: &str, address: SocketAddr) -> String {
    text.replace("{address}", &address.ip().to_string())
        .replace("{port}", &address.port().to_string())
}

fn encapsulation(tunnel: Tunnel) -> Encapsulation {
    match tunnel {
        Tunnel::Ipip => Encapsulation::Ipip,
        Tunnel::Gre { checksum } => Encapsulation::Gre { checksum },
        Tunnel::Gue { port, .. } => Encapsulation::Gue { port },
        Tunnel::Vxlan { port, vni, inner_mac } => Encapsulation::Vxlan {
            port,
            vni,
            inner_mac: inner_mac.0,
        },
    }
}

fn bytes(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
