//! Requests are spread exactly as the scheduler says, by one worker and by two.

use weir_tests::lab::{LabError, WebServer};
use weir_tests::stage::{CLIENT, Config, Device, Stage, URL};

use crate::{assert_all_good, on_stage};

/// The servers in the order in which they answered `count` requests made one after the other.
fn order(stage: &Stage, count: u32) -> Result<Vec<String>, LabError> {
    let replies = stage.client.get_many(URL, count)?;
    assert_all_good(&replies);
    Ok(replies.into_iter().map(|reply| reply.server).collect())
}

/// Whether `seen` repeats `cycle`, starting anywhere in it.
fn repeats(seen: &[String], cycle: &[&str]) -> bool {
    (0..cycle.len()).any(|start| {
        seen.iter()
            .zip(cycle.iter().cycle().skip(start))
            .all(|(a, b)| a == b)
    })
}

#[test]
fn round_robin_takes_turns() {
    on_stage("round robin", 3, Config::new(3), |_, stage| {
        let seen = order(stage, 30)?;
        assert!(repeats(&seen, &["rs1", "rs2", "rs3"]), "{seen:?}");
        Ok(())
    });
}

#[test]
fn weighted_round_robin_takes_turns_by_weight() {
    // The order of IPVS for 3 : 1 : 2: the weight in play falls 3, 2, 1, and each server with at least that weight has a turn.
    on_stage(
        "weighted round robin",
        3,
        Config::new(3).scheduler("wrr").weights(&[3, 1, 2]),
        |_, stage| {
            let seen = order(stage, 36)?;
            assert!(
                repeats(&seen, &["rs1", "rs1", "rs3", "rs1", "rs2", "rs3"]),
                "{seen:?}"
            );
            Ok(())
        },
    );
}

#[test]
fn two_workers_spread_as_evenly_as_one() {
    on_stage("two workers", 3, Config::new(3).workers(&[0, 1]), |_, stage| {
        let replies = stage.client.get_many(URL, 60)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [20, 20, 20]);
        assert_eq!(stage.client.body(&format!("{URL}1MiB"))?, WebServer::file());
        Ok(())
    });
}

#[test]
fn bodies_and_addresses_arrive_unchanged() {
    on_stage("bodies", 2, Config::new(2), |_, stage| {
        // Both servers.
        for _ in 0..2 {
            assert_eq!(stage.client.body(&format!("{URL}1MiB"))?, WebServer::file());
        }
        let seen = stage.client.body(&format!("{URL}client"))?;
        assert!(
            seen.starts_with(format!("{CLIENT} ").as_bytes()),
            "the server saw {}",
            String::from_utf8_lossy(&seen)
        );
        Ok(())
    });
}

#[test]
fn af_packet_serves_as_af_xdp_does() {
    let config = Config {
        device: Device::AfPacket,
        ..Config::new(3)
    };
    on_stage("af_packet", 3, config, |_, stage| {
        assert!(repeats(&order(stage, 30)?, &["rs1", "rs2", "rs3"]));
        assert_eq!(stage.client.body(&format!("{URL}1MiB"))?, WebServer::file());
        Ok(())
    });
}
