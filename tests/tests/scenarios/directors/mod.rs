//! Two weir directors that share addresses, without keepalived: what a client loses when one of them fails, and that
//! there is never more than one who answers ARP for long.
//!
//! Waits are for conditions; the only bounds are those a broken director would break by minutes.

mod announce;
mod kills;
mod pair;
mod watch;

use std::time::Duration;

use pair::{Pair, TUNNEL_VIP, VIP};
use rustix::process::Signal;
use watch::LongFlows;
use weir_tests::lab::LabError;
use weir_tests::scenario::scenario;

/// Connections through each of DR and tunnel.
const LONG_FLOWS: usize = 500;

#[test]
fn a_director_s_processes_die_and_its_addresses_move() {
    scenario(
        "directors: wlc, kill -9 of control, of the data plane, of both",
        |lab| {
            let mut pair = Pair::start(lab, "wlc")?;
            pair.moves("kill -9 of control", 1, |pair| pair.directors[0].kill_control())?;
            pair.moves("control is back", 0, |pair| pair.directors[0].start_control())?;
            pair.settle()?;
            pair.moves("kill -9 of the data plane", 1, |pair| {
                pair.directors[0].kill_dataplane()
            })?;
            pair.moves("the data plane is back", 0, |pair| {
                pair.directors[0].start_dataplane()
            })?;
            pair.settle()?;
            pair.moves("kill -9 of both", 1, |pair| {
                pair.directors[0].kill_control()?;
                pair.directors[0].kill_dataplane()
            })?;
            pair.moves("both are back", 0, |pair| {
                pair.directors[0].start_dataplane()?;
                pair.directors[0].start_control()
            })?;
            Ok(())
        },
    );
}

#[test]
fn a_director_is_stopped_or_cut_off_and_its_addresses_move() {
    scenario(
        "directors: wlc, SIGSTOP of control, port down, partition",
        |lab| {
            let mut pair = Pair::start(lab, "wlc")?;
            pair.moves("SIGSTOP of control", 1, |pair| {
                pair.signal_control(0, Signal::STOP)
            })?;
            // Longer than any timer of VRRP; nothing changes as long as it lasts.
            pair.moves("10 s later", 1, |_| {
                std::thread::sleep(Duration::from_secs(9));
                Ok(())
            })?;
            pair.moves("SIGCONT", 0, |pair| pair.signal_control(0, Signal::CONT))?;
            pair.settle()?;
            pair.moves("port down", 1, |pair| lab.plug(pair.directors[0].node(), false))?;
            pair.moves("port up", 0, |pair| lab.plug(pair.directors[0].node(), true))?;
            pair.settle()?;
            lab.add_bridge("br1")?;
            pair.moves("partition", 1, |pair| lab.replug(pair.directors[0].node(), "br1"))?;
            pair.wait_state(0, "active")?;
            pair.moves("the partition heals", 0, |pair| {
                lab.replug(pair.directors[0].node(), "br0")
            })?;
            pair.settle()
        },
    );
}

#[test]
fn with_maglev_long_connections_survive_every_move() {
    scenario(
        "directors: maglev, hand-over and kill -9 under long connections",
        |lab| {
            let mut pair = Pair::start(lab, "maglev")?;
            let mut flows = Vec::new();
            for vip in [VIP, TUNNEL_VIP] {
                flows.push(LongFlows::open(&pair.client, (vip, 80).into(), LONG_FLOWS)?);
            }
            let mut check = |when: &str| {
                let alive: usize = flows.iter_mut().map(LongFlows::alive).sum();
                eprintln!("{when}: {alive} of {} connections live", 2 * LONG_FLOWS);
                assert!(
                    alive * 1000 >= 2 * LONG_FLOWS * 999,
                    "{when}: only {alive} of {} connections live",
                    2 * LONG_FLOWS
                );
            };
            let cost = pair.moves("hand-over", 1, |pair| {
                pair.directors[0].ctl(&["failover"]).map(drop)
            })?;
            assert_eq!(cost.losses.lost, 0, "a hand-over loses nothing: {cost:?}");
            check("after the hand-over");
            let cost = pair.moves("hand-over back", 0, resume)?;
            assert_eq!(cost.losses.lost, 0, "nor does the way back: {cost:?}");
            check("after the way back");
            pair.settle()?;
            pair.moves("kill -9 of both", 1, |pair| {
                pair.directors[0].kill_control()?;
                pair.directors[0].kill_dataplane()
            })?;
            check("after kill -9 of both");
            Ok(())
        },
    );
}

fn resume(pair: &mut Pair) -> Result<(), LabError> {
    pair.directors[0].ctl(&["failover", "--resume"]).map(drop)
}
