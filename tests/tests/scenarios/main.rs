//! Scenarios in network namespaces: real clients, real servers, the real processes.
//!
//! Each needs root; see `weir_tests::scenario` for what happens without. Every scenario with a dataplane ends with its
//! accounts: `rx == tx + punted + Σ drops`.

mod bad_input;
mod changes;
mod checks;
mod directors;
mod endings;
mod idle;
mod laboratory;
mod modes;
mod neighbours;
mod notify;
mod passive;
mod pool;
mod removal;
mod schedulers;
mod servers;
mod suspend;
mod unplugged;
mod vrrp;

use weir_tests::lab::{Lab, LabError, Reply};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, Stage};

/// A scenario with `servers` servers and one running load balancer; checks the accounts at the end.
fn on_stage(
    name: &str,
    servers: u8,
    config: Config,
    body: impl FnOnce(&Lab, &mut Stage) -> Result<(), LabError>,
) {
    scenario(name, |lab| {
        let mut stage = Stage::start(lab, servers, config)?;
        body(lab, &mut stage)?;
        let balance = stage.director.settled_balance()?;
        assert!(balance.is_even() && balance.rx > 0, "{balance:?}");
        Ok(())
    });
}

/// Every request was answered well.
#[track_caller]
fn assert_all_good(replies: &[Reply]) {
    let bad: Vec<_> = replies.iter().filter(|reply| !reply.is_good()).collect();
    assert!(
        bad.is_empty(),
        "{} of {} requests failed: {:?}",
        bad.len(),
        replies.len(),
        &bad[..bad.len().min(5)]
    );
}
