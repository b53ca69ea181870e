//! What an idle dataplane costs, and that several share the machine.

use std::fs;
use std::thread;
use std::time::Duration;

use weir_tests::lab::{Lab, LabError};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, Director, Stage, URL, hold_quietly};

use crate::{assert_all_good, on_stage};

/// CPU time a process has used, in seconds (proc(5): fields 14 and 15 of `stat`, in ticks of 1/100 s).
fn cpu_seconds(pid: u32) -> Result<f64, LabError> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_err(|error| LabError::unexpected(format!("/proc/{pid}/stat: {error}")))?;
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok());
    Ok(f64::from(ticks.sum::<u32>()) / 100.0)
}

#[test]
fn an_adaptive_worker_sleeps_when_idle_and_wakes_at_once() {
    on_stage("adaptive idle", 2, Config::new(2), |_, stage| {
        let pid = stage.director.dataplane()?.pid();
        thread::sleep(Duration::from_millis(500));
        let before = cpu_seconds(pid)?;
        thread::sleep(Duration::from_secs(3));
        let share = (cpu_seconds(pid)? - before) / 3.0;
        assert!(
            share < 0.5,
            "an idle dataplane used {:.0} % of a CPU",
            share * 100.0
        );
        let reply = stage.client.get(URL)?;
        assert!(
            reply.is_good() && reply.seconds < 0.25,
            "the first request after a rest: {reply:?}"
        );
        Ok(())
    });
}

/// Resident memory of a process in MiB (proc(5): `VmRSS` of `status`, in KiB).
fn resident_mb(pid: u32) -> Result<u64, LabError> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|error| LabError::unexpected(format!("{path}: {error}")))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kb.map(|kb| kb / 1024)
        .ok_or_else(|| LabError::unexpected(format!("{path} has no VmRSS")))
}

#[test]
fn an_idle_control_process_is_small() {
    on_stage("control's memory", 3, Config::new(3), |_, stage| {
        thread::sleep(Duration::from_secs(2));
        let resident = resident_mb(stage.director.control()?.pid())?;
        assert!(resident < 50, "control holds {resident} MiB");
        Ok(())
    });
}

/// A second load balancer beside the first: its own namespace, address, virtual address and sockets.
fn second_director(lab: &mut Lab, stage: &Stage, vip: &str) -> Result<Director, LabError> {
    for server in &stage.servers {
        hold_quietly(server.node(), vip)?;
    }
    let node = lab.add_node("lb2", "veth-lb")?;
    let config = Config {
        address: "192.0.2.3/24".to_owned(),
        vip: vip.to_owned(),
        ..Config::new(2)
    };
    let mut director = Director::new(&node, lab.dir(), config)?;
    director.start_dataplane()?;
    director.start_control()?;
    Ok(director)
}

#[test]
fn two_dataplanes_serve_side_by_side() {
    scenario("two dataplanes", |lab| {
        let mut stage = Stage::start(lab, 2, Config::new(2))?;
        let mut second = second_director(lab, &stage, "192.0.2.101")?;
        let other = "http://192.0.2.101/";
        weir_tests::lab::wait_until("the second to serve", weir_tests::stage::DETECTION, || {
            let reply = stage.client.get(other).map_err(|error| error.to_string())?;
            if reply.is_good() {
                Ok(())
            } else {
                Err(format!("{reply:?}"))
            }
        })?;
        let streams = [
            stage.client.stream(URL, 60, Some(40))?,
            stage.client.stream(other, 60, Some(40))?,
        ];
        for stream in streams {
            assert_all_good(&stream.finish()?);
        }
        // The end of one is nothing to the other.
        stage.director.stop_control()?;
        stage.director.stop_dataplane()?;
        assert_all_good(&stage.client.get_many(other, 20)?);
        assert!(second.settled_balance()?.is_even());
        second.stop_control().map(drop)
    });
}
