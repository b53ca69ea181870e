//! Changes while traffic flows: configuration, and the control process itself.

use std::thread;
use std::time::Duration;

use weir_tests::lab::{LabError, Reply, Stream};
use weir_tests::stage::{Config, URL};

use crate::{assert_all_good, on_stage};

fn finish_all(streams: Vec<Stream>) -> Result<Vec<Reply>, LabError> {
    let mut replies = Vec::new();
    for stream in streams {
        replies.extend(stream.finish()?);
    }
    Ok(replies)
}

#[test]
fn reloads_under_twenty_streams_fail_no_request() {
    on_stage("reload under traffic", 3, Config::new(3), |_, stage| {
        let streams = stage.client.streams(URL, 20, 60, Some(20))?;
        let base = stage.director.config().clone();
        for round in 0..6 {
            thread::sleep(Duration::from_millis(300));
            let next = match round % 3 {
                0 => base.clone().scheduler("wrr").weights(&[3, 1, 0]),
                1 => base.clone().weights(&[0, 1, 1]),
                _ => base.clone(),
            };
            if round < 3 {
                stage.director.apply(next).map(drop)?
            } else {
                stage.director.apply_by_signal(next)?
            }
        }
        let replies = finish_all(streams)?;
        assert_all_good(&replies);
        assert_eq!(replies.len(), 1200);
        // The last configuration is the first again, and it is in force.
        stage.wait_in_service(3)?;
        let replies = stage.client.get_many(URL, 30)?;
        assert_eq!(stage.shares(&replies), [10, 10, 10]);
        Ok(())
    });
}

#[test]
fn a_bad_configuration_is_refused_whole() {
    on_stage("bad configuration", 2, Config::new(2), |_, stage| {
        let good = stage.director.config().clone();
        let bad = Config {
            scheduler: "wrrr".to_owned(),
            ..good.clone().weights(&[1, 0])
        };
        let error = stage
            .director
            .apply(bad.clone())
            .expect_err("no such scheduler")
            .to_string();
        assert!(
            error.contains("weir.toml:") && error.contains("wrr"),
            "file, line and a suggestion: {error}"
        );
        stage.director.apply_by_signal(bad)?;
        thread::sleep(Duration::from_millis(500));
        let replies = stage.client.get_many(URL, 20)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [10, 10], "nothing of it was applied");
        stage.director.apply(good).map(drop)
    });
}

#[test]
fn killing_control_during_a_stream_fails_no_request() {
    on_stage("control killed", 3, Config::new(3), |_, stage| {
        let stream = stage.client.stream(URL, 250, Some(50))?;
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(700));
            stage.director.kill_control()?;
            thread::sleep(Duration::from_millis(700));
            stage.director.start_control()?;
        }
        assert_all_good(&stream.finish()?);
        stage.wait_in_service(3)?;
        let replies = stage.client.get_many(URL, 30)?;
        assert_all_good(&replies);
        // A table that control publishes meanwhile, with what its checks found, may repeat a turn.
        let shares = stage.shares(&replies);
        assert!(shares.iter().all(|share| (9..=11).contains(share)), "{shares:?}");
        Ok(())
    });
}

#[test]
fn with_control_gone_the_dataplane_goes_on() {
    on_stage("control away", 2, Config::new(2), |_, stage| {
        stage.director.kill_control()?;
        let replies = stage.client.get_many(URL, 40)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [20, 20]);
        // Nothing resolves the virtual address but the dataplane.
        stage.client.node().ip("neighbor flush all")?;
        assert!(stage.client.get(URL)?.is_good());
        stage.director.start_control()
    });
}
