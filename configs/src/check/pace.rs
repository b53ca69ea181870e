//! How often a check runs and how many outcomes decide, where it does not say: weir's way for every kind, or keepalived's, which
//! depends on the kind.
//!
//! keepalived's are those of its 2.2.7, in seconds and in its words: `check/check_api.c` (`retry` 1, `delay_before_retry` 1),
//! `check/check_http.c` (`delay_before_retry` 3), `check/check_dns.c` (`retry` 3, `delay_before_retry` of a `delay_loop`),
//! `check/check_misc.c` (`retry` 0, `misc_timeout` of a `delay_loop`), `check/check_data.c` (`delay_loop` 60, `connect_timeout` 5,
//! `warmup` of a `delay_loop`; the first failure is enough). A scenario compares them with what keepalived itself says.

use crate::health::Defaults;

/// What a check does that says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) interval_ms: u32,
    /// At most the interval in force.
    pub(crate) timeout_ms: u32,
    pub(crate) rise: u32,
    pub(crate) fall: u32,
    /// Before a first pass; `None`: as later.
    pub(crate) fall_first: Option<u32>,
    pub(crate) jitter_percent: u8,
    /// `None`: the interval.
    pub(crate) delay_before_retry_ms: Option<u32>,
}

const WEIR: Pace = Pace {
    interval_ms: 2_000,
    timeout_ms: 1_000,
    rise: 2,
    fall: 3,
    fall_first: None,
    jitter_percent: 10,
    delay_before_retry_ms: None,
};

/// keepalived's `retry` is of the failures after the first.
const KEEPALIVED: Pace = Pace {
    interval_ms: 60_000,
    timeout_ms: 5_000,
    rise: 1,
    fall: 2,
    fall_first: Some(1),
    jitter_percent: 0,
    delay_before_retry_ms: Some(1_000),
};

/// What keepalived is told of by the kernel, weir looks at.
const LOOKED_AT: Pace = Pace {
    interval_ms: 1_000,
    timeout_ms: 1_000,
    fall: 1,
    delay_before_retry_ms: None,
    ..KEEPALIVED
};

impl Pace {
    /// That of a check of the kind of this name.
    pub(crate) fn of(defaults: Defaults, kind: &str) -> Self {
        match (defaults, kind) {
            (Defaults::Weir, _) => WEIR,
            (Defaults::Keepalived, "http") => Self {
                delay_before_retry_ms: Some(3_000),
                ..KEEPALIVED
            },
            (Defaults::Keepalived, "dns") => Self {
                fall: 4,
                delay_before_retry_ms: None,
                ..KEEPALIVED
            },
            (Defaults::Keepalived, "script") => Self {
                fall: 1,
                timeout_ms: u32::MAX,
                ..KEEPALIVED
            },
            (Defaults::Keepalived, "file" | "bfd") => LOOKED_AT,
            (Defaults::Keepalived, _) => KEEPALIVED,
        }
    }
}
