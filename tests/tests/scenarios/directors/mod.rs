//! Two weir directors that share addresses, without keepalived: what clients of wlc and of maglev (by DR and by tunnel)
//! lose when one of the two fails, that there is never more than one who answers ARP for longer than an interval, and
//! that maglev's long connections survive each time.
//!
//! Waits are for conditions; the only bounds are those a broken director would break by minutes, or those that
//! are widened by how late the machine was.

mod announce;
mod held;
mod kills;
mod nat;
mod pair;
mod quorum;
mod six;
mod split;
mod watch;

use std::time::Duration;

use pair::Pair;
use rustix::process::Signal;
use weir_tests::scenario::scenario;

/// Longer than any timer; nothing changes as long as it lasts.
const LONG: Duration = Duration::from_secs(10);

#[test]
fn a_director_s_processes_die_and_its_addresses_move() {
    in_parallel(&[
        &|| {
            scenario("directors: kill -9 of control", |lab| {
                let mut pair = Pair::start(lab)?;
                pair.moves("kill -9 of control", 1, |pair| pair.directors[0].kill_control())?;
                pair.moves("control is back", 0, |pair| pair.directors[0].start_control())?;
                pair.settle()
            });
        },
        &|| {
            scenario("directors: kill -9 of the data plane", |lab| {
                let mut pair = Pair::start(lab)?;
                pair.moves("kill -9 of the data plane", 1, |pair| {
                    pair.directors[0].kill_dataplane()
                })?;
                pair.moves("the data plane is back", 0, |pair| {
                    pair.directors[0].start_dataplane()
                })?;
                pair.settle()
            });
        },
        &|| {
            scenario("directors: kill -9 of both", |lab| {
                let mut pair = Pair::start(lab)?;
                pair.moves("kill -9 of both", 1, |pair| pair.directors[0].kill())?;
                pair.moves("both are back", 0, |pair| {
                    pair.directors[0].start_dataplane()?;
                    pair.directors[0].start_control()
                })?;
                pair.settle()
            });
        },
    ]);
}

/// Scenarios at the same time, each in a laboratory of its own: most of their time is waiting.
fn in_parallel(scenarios: &[&(dyn Fn() + Sync)]) {
    std::thread::scope(|threads| {
        for scenario in scenarios {
            threads.spawn(scenario);
        }
    });
}

#[test]
fn a_director_is_stopped_and_its_addresses_move() {
    in_parallel(&[
        &|| stop("control", true, false),
        &|| stop("the data plane", false, true),
        &|| stop("both", true, true),
    ]);
}

fn stop(what: &str, control: bool, dataplane: bool) {
    scenario(&format!("directors: SIGSTOP of {what}"), |lab| {
        let mut pair = Pair::start(lab)?;
        let signal = |pair: &mut Pair, signal: Signal| {
            if control {
                pair.directors[0].control()?.signal(signal)?;
            }
            if dataplane {
                pair.directors[0].dataplane()?.signal(signal)?;
            }
            Ok(())
        };
        pair.moves(&format!("SIGSTOP of {what}"), 1, |pair| {
            signal(pair, Signal::STOP)
        })?;
        pair.moves(&format!("{LONG:?} later ({what})"), 1, |_| {
            std::thread::sleep(LONG);
            Ok(())
        })?;
        pair.moves(&format!("SIGCONT of {what}"), 0, |pair| {
            signal(pair, Signal::CONT)
        })?;
        pair.settle()
    });
}

#[test]
fn a_director_is_cut_off_and_its_addresses_move() {
    in_parallel(&[
        &|| {
            scenario("directors: port down", |lab| {
                let mut pair = Pair::start(lab)?;
                pair.moves("port down", 1, |pair| lab.plug(pair.directors[0].node(), false))?;
                pair.moves("port up", 0, |pair| lab.plug(pair.directors[0].node(), true))?;
                pair.settle()
            });
        },
        &|| {
            scenario("directors: partition", |lab| {
                let mut pair = Pair::start(lab)?;
                lab.add_bridge("br1")?;
                pair.moves("partition", 1, |pair| lab.replug(pair.directors[0].node(), "br1"))?;
                pair.wait_state(0, "active")?;
                pair.moves("the partition heals", 0, |pair| {
                    lab.replug(pair.directors[0].node(), "br0")
                })?;
                pair.settle()
            });
        },
    ]);
}

#[test]
fn a_hand_over_loses_nothing_that_is_under_way() {
    scenario("directors: hand-over and back, with requests under way", |lab| {
        let mut pair = Pair::start(lab)?;
        let steps: [(&str, usize, &[&str]); 2] = [
            ("hand-over", 1, &["failover"]),
            ("hand-over back", 0, &["failover", "--resume"]),
        ];
        let mut across = pair.hold()?;
        for (what, to, words) in steps {
            pair.wait_peer_known(to)?;
            let before = pair.relayed(to)?;
            let mut held = pair.hold()?;
            let cost = pair.moves(what, to, |pair| pair.directors[0].ctl(words).map(drop))?;
            assert!(
                cost.losses.iter().all(|losses| losses.lost == 0),
                "{what} loses nothing: {cost:?}"
            );
            // Those of wlc are sent on by the director that has just let the addresses go; those that were under way
            // before the first move come back to where they began.
            for requests in held.iter_mut().chain(&mut across) {
                assert_eq!(requests.lost(), 0, "{what}: a request that was under way is lost");
            }
            assert!(pair.relayed(to)? > before, "{what}: nothing was relayed");
        }
        pair.assert_accounts()
    });
}
