//! From the configuration to what is checked.

use super::{Source, Target, distinct};
use std::net::SocketAddr;
use std::time::Duration;
use weir_configs::{Backend, Check, CheckKind, Config};
use weir_proto::health::Dialogue;
use weir_proto::health::check::Pace;
use weir_proto::health::http::Get;
use weir_proto::health::judge::Flap;

/// What the backend's checks check, each in its place.
pub fn of_backend(backend: &Backend) -> impl Iterator<Item = Target> + '_ {
    backend.all_checks().map(|check| target(backend, check))
}

/// What one check of the backend checks.
pub fn target(backend: &Backend, check: &Check) -> Target {
    let address = SocketAddr::new(
        backend.address.ip(),
        check.kind.port().unwrap_or(backend.address.port()),
    );
    Target {
        address,
        dialogue: dialogue(&check.kind, address),
        pace: pace(check),
        source: Source::default(),
        tls: None,
    }
}

/// Everything the configuration has checked, each target once.
pub fn targets(config: &Config) -> Vec<Target> {
    distinct(
        config
            .services
            .iter()
            .flat_map(|service| &service.backends)
            .flat_map(of_backend),
    )
}

fn dialogue(kind: &CheckKind, address: SocketAddr) -> Dialogue {
    match kind {
        CheckKind::Tcp(_) => Dialogue::Tcp,
        CheckKind::Http(http) => Dialogue::Http(vec![Get {
            path: http.path.clone(),
            host: http.host.clone().unwrap_or_else(|| host(address)),
            status: http.status.iter().map(|range| range.first..=range.last).collect(),
            ..Get::default()
        }]),
    }
}

/// RFC 9110 §7.2: the port is left out of `Host` when it is the default one.
fn host(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) if v4.port() == 80 => v4.ip().to_string(),
        SocketAddr::V6(v6) if v6.port() == 80 => format!("[{}]", v6.ip()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address.to_string(),
    }
}

fn pace(check: &Check) -> Pace {
    let interval = milliseconds(check.interval_ms);
    Pace {
        interval,
        jitter: interval * check.jitter_percent.into() / 100,
        timeout: milliseconds(check.timeout_ms),
        rise: check.rise,
        fall: check.fall,
        spread: check.warmup_ms.map_or(interval, milliseconds),
        retry: check.delay_before_retry_ms.map(milliseconds),
        interval_down: check.interval_down_ms.map(milliseconds),
        flap: check.flap.map(|flap| Flap {
            falls: flap.falls,
            window: Duration::from_secs(flap.window_s.into()),
            hold: Duration::from_secs(flap.hold_s.into()),
        }),
    }
}

fn milliseconds(count: u32) -> Duration {
    Duration::from_millis(count.into())
}
