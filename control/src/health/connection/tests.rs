//! Checks over real sockets: hostile servers of every shape, and thousands of checks at once.

mod hostile;
mod kinds;
mod scale;

use super::super::{Checks, Source, Target};
use std::net::SocketAddr;
use std::time::Duration;
use weir_proto::health::Dialogue;
use weir_proto::health::check::Pace;

/// A check of `address` every `interval`.
fn target(address: SocketAddr, dialogue: Dialogue, interval: Duration) -> Target {
    Target {
        address,
        dialogue,
        pace: Pace {
            interval,
            jitter: Duration::ZERO,
            timeout: interval,
            rise: 1,
            fall: 1,
            spread: interval,
            retry: None,
            interval_down: None,
            fast_recovery: false,
            fall_first: None,
            flap: None,
        },
        source: Source::default(),
        tls: None,
        log_all_failures: false,
    }
}

/// A line of `/proc/self/status`, in bytes.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    let kib: u64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    kib * 1_024
}

/// CPU time of a thread, or of the whole process.
fn cpu(task: Option<i32>) -> Duration {
    let path = match task {
        Some(task) => format!("/proc/self/task/{task}/stat"),
        None => "/proc/self/stat".to_owned(),
    };
    let stat = std::fs::read_to_string(path).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // Fields 14 and 15 of proc(5), in ticks of 10 ms.
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}
