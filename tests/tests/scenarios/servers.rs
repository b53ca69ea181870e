//! Servers die and return.

mod slow;

use weir_tests::stage::{Config, URL};

use crate::{assert_all_good, on_stage};

#[test]
fn a_stopped_server_is_left_out_and_taken_back() {
    on_stage("server stops", 3, Config::new(3), |_, stage| {
        stage.servers[0].pause()?;
        stage.wait_in_service(2)?;
        let replies = stage.client.get_many(URL, 60)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [0, 30, 30]);

        stage.servers[0].resume()?;
        stage.wait_in_service(3)?;
        let replies = stage.client.get_many(URL, 60)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [20, 20, 20]);
        Ok(())
    });
}

#[test]
fn a_server_that_falls_silent_is_left_out_and_taken_back() {
    on_stage("server falls silent", 2, Config::new(2), |lab, stage| {
        lab.plug(stage.servers[1].node(), false)?;
        stage.wait_in_service(1)?;
        let replies = stage.client.get_many(URL, 20)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [20, 0]);

        lab.plug(stage.servers[1].node(), true)?;
        stage.wait_in_service(2)?;
        let replies = stage.client.get_many(URL, 20)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [10, 10]);
        Ok(())
    });
}
