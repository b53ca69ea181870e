//! From the configuration to what is checked.

use super::{Target, dialogues, distinct};
use std::time::Duration;
use weir_configs::{Backend, Check, Config};
use weir_proto::health::check::Pace;
use weir_proto::health::judge::Flap;

/// What the backend's checks check, each in its place.
pub fn of_backend(backend: &Backend) -> impl Iterator<Item = Target> + '_ {
    backend.all_checks().map(|check| target(backend, check))
}

/// What one check of the backend checks.
pub fn target(backend: &Backend, check: &Check) -> Target {
    let address = dialogues::address(backend, check);
    Target {
        address,
        dialogue: dialogues::dialogue(backend, check, address),
        pace: pace(check),
        source: dialogues::source(check),
        tls: dialogues::tls(check, address),
        log_all_failures: check.log_all_failures,
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

fn pace(check: &Check) -> Pace {
    let interval = milliseconds(check.interval_ms);
    Pace {
        interval,
        jitter: interval * check.jitter_percent.into() / 100,
        timeout: milliseconds(check.timeout_ms),
        rise: check.rise,
        fall: check.fall,
        fall_first: check.fall_first,
        spread: check.warmup_ms.map_or(interval, milliseconds),
        retry: check.delay_before_retry_ms.map(milliseconds),
        fast_recovery: check.fast_recovery,
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
