//! Many checks from one process: each starts when it is due, none is left out.
//!
//! By default a thousand checks run three times each, and their times are printed and not judged. `WEIR_CHECKS_S=300` runs ten
//! thousand at 5 s for five minutes and judges the times too; `make bench-health` does it optimised, and wants a quiet machine.

use super::*;
use crate::clock::Clock;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use weir_proto::health::Outcome;
use weir_proto::time::Instant;

/// No check may start earlier or later than this.
const LATE_MAX: Duration = Duration::from_millis(100);

/// How long the run without a given length may take; on a quiet machine it is three seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Accepts and closes, on a thread whose CPU time is not the checker's; the port and the thread's id.
fn accept_all() -> (u16, i32) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        sender
            .send(rustix::thread::gettid().as_raw_nonzero().get())
            .unwrap();
        while listener.accept().is_ok() {}
    });
    (port, receiver.recv().unwrap())
}

/// The longest that this machine has held up a thread that only sleeps: what no process on it can do anything about.
fn watch_stalls() -> Arc<AtomicU64> {
    const NAP: Duration = Duration::from_millis(5);
    let longest = Arc::new(AtomicU64::new(0));
    let watched = Arc::downgrade(&longest);
    std::thread::spawn(move || {
        while let Some(longest) = watched.upgrade() {
            let before = std::time::Instant::now();
            std::thread::sleep(NAP);
            let late = u64::try_from(before.elapsed().saturating_sub(NAP).as_nanos()).unwrap();
            longest.fetch_max(late, Ordering::Relaxed);
        }
    });
    longest
}

#[tokio::test]
async fn thousands_of_checks_start_when_they_are_due() {
    let seconds: Option<u64> = std::env::var("WEIR_CHECKS_S")
        .ok()
        .and_then(|text| text.parse().ok());
    let (count, interval, length) = match seconds {
        Some(seconds) => (10_000_u32, Duration::from_secs(5), Duration::from_secs(seconds)),
        None => (1_000, Duration::from_secs(1), PATIENCE),
    };
    let (port, server) = accept_all();
    // Every address of 127.0.0.0/8 is this host's, so that each check has a server of its own.
    let address = |number: u32| SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x7f01_0000 + number)), port);
    let targets: Vec<Target> = (0..count)
        .map(|number| target(address(number), Dialogue::Tcp, interval))
        .collect();
    let stalls = watch_stalls();
    let (cpu_before, served_before) = (cpu(None), cpu(Some(server)));
    let mut checks = Checks::new(Clock::start(), 1);
    checks.reconcile(&targets);

    let begin = tokio::time::Instant::now();
    let end = begin + length;
    let mut firsts: HashMap<_, Instant> = HashMap::new();
    let (mut skipped, mut failed, mut off) = (0, 0_u64, Vec::new());
    while let Ok(Some((id, report))) = tokio::time::timeout_at(end, checks.reports.recv()).await {
        let start = report.at - report.took;
        let first = *firsts.entry(id).or_insert(start);
        let since = start - first;
        let slots = (since.as_nanos() + interval.as_nanos() / 2) / interval.as_nanos();
        let due = interval * u32::try_from(slots).unwrap();
        off.push(since.abs_diff(due));
        failed += u64::from(report.outcome != Outcome::Pass);
        skipped = skipped.max(report.skipped);
        if seconds.is_none() && firsts.len() == targets.len() && off.len() >= 3 * targets.len() {
            break;
        }
    }
    let length = begin.elapsed();
    let used = (cpu(None) - cpu_before).saturating_sub(cpu(Some(server)) - served_before);
    let stall = Duration::from_nanos(stalls.load(Ordering::Relaxed));
    assert_eq!(firsts.len(), targets.len(), "every check has run");
    off.sort_unstable();
    let [p50, p99, latest] = [50, 99, 100].map(|percent| off[(off.len() * percent / 100).min(off.len() - 1)]);
    println!(
        "{count} checks every {interval:?} for {length:.1?}: {} runs, {failed} failed, {skipped} skipped; off their time: \
         p50 {p50:.1?}, p99 {p99:.1?}, at most {latest:.1?} (a sleeping thread: {stall:.1?}); {:.1} % of a CPU, {} MiB resident",
        off.len(),
        100.0 * used.as_secs_f64() / length.as_secs_f64(),
        memory("VmRSS:") >> 20
    );
    if seconds.is_some() {
        assert!(
            latest < LATE_MAX,
            "a check was {latest:?} off its time, {LATE_MAX:?} are allowed; the machine itself held a sleeping thread up for {stall:?}"
        );
        assert_eq!((skipped, failed), (0, 0), "skipped, failed");
    }
}
