//! From the configuration to what is checked.

use super::{Source, Target, distinct};
use std::net::SocketAddr;
use std::time::Duration;
use weir_configs::{Backend, Check, CheckKind, Config};
use weir_proto::health::Dialogue;
use weir_proto::health::check::Pace;
use weir_proto::health::http::Get;

/// What the backend's check checks; `None` without a check.
pub fn target(backend: &Backend) -> Option<Target> {
    let check = backend.check.as_ref()?;
    let address = SocketAddr::new(
        backend.address.ip(),
        check.kind.port().unwrap_or(backend.address.port()),
    );
    Some(Target {
        address,
        dialogue: dialogue(&check.kind, address),
        pace: pace(check),
        source: Source::default(),
    })
}

/// Everything the configuration has checked, each target once.
pub fn targets(config: &Config) -> Vec<Target> {
    distinct(
        config
            .services
            .iter()
            .flat_map(|service| &service.backends)
            .filter_map(target),
    )
}

fn dialogue(kind: &CheckKind, address: SocketAddr) -> Dialogue {
    match kind {
        CheckKind::Tcp(_) => Dialogue::Tcp,
        CheckKind::Http(http) => Dialogue::Http(Get {
            path: http.path.clone(),
            host: http.host.clone().unwrap_or_else(|| host(address)),
            status: http.status.iter().map(|range| range.first..=range.last).collect(),
        }),
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
    let interval = Duration::from_millis(check.interval_ms.into());
    Pace {
        interval,
        jitter: interval * check.jitter_percent.into() / 100,
        timeout: Duration::from_millis(check.timeout_ms.into()),
        rise: check.rise,
        fall: check.fall,
        spread: interval,
    }
}
