//! Pools that keep their head: sorry servers, servers that all fail, limits, drains, maintenance, reloads.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use weir_tests::lab::{LabError, Node, Process, wait_until};
use weir_tests::scenario::{binary, scenario};
use weir_tests::stage::{Config, DETECTION, Director, Stage, URL, VIP, server_address};

use crate::{assert_all_good, on_stage};

/// The usual configuration with `pool` for its service, and what control remembers in the lab's own folder.
fn pooled(servers: u8, pool: &str) -> Config {
    let text = Config::new(servers).to_toml(Path::new("{dir}"));
    let text = text.replace("[control]\n", "[control]\nstate_file = \"{dir}/state.json\"\n");
    let other = Some(text.replace("check = {", &format!("pool = {{ {pool} }}\ncheck = {{")));
    Config {
        other,
        ..Config::new(servers)
    }
}

fn rows(director: &Director, view: &str, list: &str) -> Result<Vec<Value>, LabError> {
    Ok(director.ctl_json(view)?[list]
        .as_array()
        .cloned()
        .unwrap_or_default())
}

/// The backends' states, in their order.
fn states(director: &Director) -> Result<Vec<String>, LabError> {
    let rows = rows(director, "backend", "backends")?;
    let words = rows
        .iter()
        .map(|row| row["state"].as_str().unwrap_or_default().to_owned());
    Ok(words.collect())
}

fn wait_for_states(director: &Director, expected: &[&str]) -> Result<(), LabError> {
    wait_until(&format!("states {expected:?}"), DETECTION, || {
        let found = states(director).map_err(|error| error.to_string())?;
        (found == expected).then_some(()).ok_or(format!("{found:?}"))
    })?;
    wait_published(director)
}

/// Waits until as many backends are in service, and the dataplane has it in force.
fn wait_in_force(stage: &Stage, count: usize) -> Result<(), LabError> {
    stage.wait_in_service(count)?;
    wait_published(&stage.director)
}

fn wait_published(director: &Director) -> Result<(), LabError> {
    wait_until("what control decided to be in force", DETECTION, || {
        let view = director.view().map_err(|error| error.to_string())?;
        view.is_published()
            .then_some(())
            .ok_or_else(|| view.status.to_string())
    })
}

fn pool(director: &Director) -> Result<Value, LabError> {
    Ok(director.ctl_json("service")?["services"][0]["pool"].clone())
}

fn wait_for_event(director: &Director, kind: &str) -> Result<(), LabError> {
    wait_until(&format!("the event {kind}"), DETECTION, || {
        let events = rows(director, "events", "events").map_err(|error| error.to_string())?;
        let happened = events.iter().any(|event| event["kind"] == kind);
        happened.then_some(()).ok_or_else(|| format!("{events:?}"))
    })
}

#[test]
fn a_sorry_server_stands_in_while_there_is_no_quorum() {
    scenario("sorry server", |lab| {
        let (client, servers) = Stage::audience(lab, 3)?;
        let node = lab.add_node("lb", "veth-lb")?;
        let lost = "quorum_down = [\"/usr/bin/mkdir\", \"{dir}/lost\"], script_user = \"root\"";
        let sorry = format!(
            "quorum = 2, sorry_server = {{ address = \"{}:80\" }}, {lost}",
            server_address(3)
        );
        let mut director = Director::new(&node, lab.dir(), pooled(2, &sorry))?;
        director.start_dataplane()?;
        director.start_control()?;
        let mut stage = Stage {
            client,
            servers,
            director,
        };
        wait_in_force(&stage, 2)?;
        let replies = stage.client.get_many(URL, 20)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [10, 10, 0]);

        // One of two is less than the quorum.
        stage.servers[0].pause()?;
        wait_for_states(&stage.director, &["down", "standby"])?;
        stage.wait_serving()?;
        let replies = stage.client.get_many(URL, 10)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [0, 0, 10]);
        assert_eq!(pool(&stage.director)?["sorry_in_use"], true);
        let told = stage.director.control_socket().with_file_name("lost");
        wait_until("the program to have run", DETECTION, || {
            told.is_dir().then_some(()).ok_or("it has not")
        })?;

        stage.servers[0].resume()?;
        wait_in_force(&stage, 2)?;
        let replies = stage.client.get_many(URL, 20)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies)[2], 0);
        assert!(stage.director.settled_balance()?.is_even());
        Ok(())
    });
}

#[test]
fn servers_that_all_fail_at_once_stay_in_service() {
    on_stage("all fail", 2, pooled(2, ""), |lab, stage| {
        for server in &stage.servers {
            lab.plug(server.node(), false)?;
        }
        wait_for_states(&stage.director, &["kept", "kept"])?;
        let pool = pool(&stage.director)?;
        assert_eq!(
            (&pool["kept"], &pool["quorum_up"]),
            (&2.into(), &false.into()),
            "{pool}"
        );
        wait_for_event(&stage.director, "alarm")?;
        let check = stage.director.ctl(&["check", "web", &server_address(1)])?;
        assert!(check.contains("down") && check.contains("last runs"), "{check}");
        for server in &stage.servers {
            lab.plug(server.node(), true)?;
        }
        wait_in_force(stage, 2)?;
        stage.wait_serving()?;
        assert_all_good(&stage.client.get_many(URL, 10)?);
        Ok(())
    });
}

#[test]
fn no_more_servers_go_at_once_than_the_limit_allows() {
    let limit = "removal_limit = 1, removal_interval_ms = 86_400_000";
    on_stage("removal limit", 3, pooled(3, limit), |_, stage| {
        stage.servers[0].pause()?;
        wait_for_states(&stage.director, &["down", "up", "up"])?;
        stage.servers[1].pause()?;
        wait_for_states(&stage.director, &["down", "kept", "up"])?;
        assert_eq!(pool(&stage.director)?["held"], 1);
        stage.servers[0].resume()?;
        // The first one's return lets the second go.
        wait_for_states(&stage.director, &["up", "down", "up"])?;
        stage.servers[1].resume()?;
        wait_in_force(stage, 3)?;
        assert_all_good(&stage.client.get_many(URL, 12)?);
        Ok(())
    });
}

#[test]
fn a_drain_is_followed_to_its_end_while_a_connection_lives() {
    let mut config = pooled(2, "");
    let brief = "timeouts = { tcp_fin_wait_s = 1, tcp_time_wait_s = 1, tcp_close_wait_s = 1, tcp_last_ack_s = 1, tcp_close_s = 1 }";
    config.other = config
        .other
        .map(|text| text.replace("pool = {", &format!("{brief}\npool = {{")));
    on_stage("drain", 2, config, |_, stage| {
        let node = stage.client.node().clone();
        let mut stream = node
            .inside(|| TcpStream::connect((VIP, 80)))?
            .map_err(unexpected)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .map_err(unexpected)?;
        let busy = wait_until("a flow", DETECTION, || {
            let rows = rows(&stage.director, "backend", "backends").map_err(|error| error.to_string())?;
            let busy = rows.iter().find(|row| row["traffic"]["active"] == 1);
            let address = busy.and_then(|row| row["address"].as_str().map(str::to_owned));
            address.ok_or_else(|| "no backend has one".to_owned())
        })?;
        let wait = ["backend", "drain", "web", &busy, "--wait", "--wait-s"];
        let early = stage
            .director
            .ctl(&[&wait[..], &["1"]].concat())
            .unwrap_err()
            .to_string();
        assert!(early.contains("still has 1 flows"), "{early}");

        // The connection goes on, and no new one comes.
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
            .map_err(unexpected)?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).map_err(unexpected)?;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        drop(stream);
        let done = stage.director.ctl(&[&wait[..], &["60"]].concat())?;
        assert!(done.contains("drained"), "{done}");
        wait_for_event(&stage.director, "drained")?;
        let replies = stage.client.get_many(URL, 6)?;
        assert_all_good(&replies);
        assert!(stage.shares(&replies).contains(&0));
        stage.director.ctl(&["backend", "enable", "web", &busy])?;
        wait_in_force(stage, 2)
    });
}

/// A connection that is kept open, and the server at its end.
fn keep_open(node: &Node) -> Result<(TcpStream, String), LabError> {
    let mut stream = node
        .inside(|| TcpStream::connect((VIP, 80)))?
        .map_err(unexpected)?;
    stream
        .set_read_timeout(Some(DETECTION))
        .and_then(|()| stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"))
        .map_err(unexpected)?;
    let (mut head, mut piece) = (String::new(), [0; 1_024]);
    // The page is the server's name and a line end.
    while !head.contains("\r\n\r\nrs") || !head.ends_with('\n') {
        let count = stream.read(&mut piece).map_err(unexpected)?;
        head.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    let server = head.lines().last().unwrap_or_default().to_owned();
    Ok((stream, server))
}

#[test]
fn the_progress_of_a_drain_is_told_with_the_time_it_may_take() {
    const FLOWS: usize = 3;
    let mut config = pooled(2, "");
    let brief = "timeouts = { tcp_fin_wait_s = 1, tcp_time_wait_s = 1, tcp_close_wait_s = 1, tcp_last_ack_s = 1, tcp_close_s = 1 }";
    config.other = config
        .other
        .map(|text| text.replace("pool = {", &format!("{brief}\npool = {{")));
    on_stage("drain progress", 2, config, |lab, stage| {
        let mut open = Vec::new();
        for _ in 0..2 * FLOWS {
            open.push(keep_open(stage.client.node())?);
        }
        open.retain(|(_, server)| server == "rs1");
        assert_eq!(open.len(), FLOWS, "round robin");
        let address = format!("{}:80", server_address(1));
        let mut command = std::process::Command::new(binary("weirctl")?);
        command.arg("--socket").arg(stage.director.control_socket());
        command.args([
            "backend", "drain", "web", &address, "--wait", "--wait-s", "120", "--json",
        ]);
        let mut drain = Process::start("weirctl drain", &mut command, &lab.dir().join("drain.log"))?;
        drain.wait_for_log(&format!("\"flows\":{FLOWS}"), DETECTION)?;
        while let Some((stream, _)) = open.pop() {
            drop(stream);
            drain.wait_for_log(&format!("\"flows\":{}", open.len()), DETECTION)?;
        }
        assert!(drain.wait(DETECTION)?.success());
        let told: Vec<Value> = drain
            .log()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let flows: Vec<u64> = told.iter().filter_map(|line| line["flows"].as_u64()).collect();
        assert!(flows.is_sorted_by(|more, fewer| more > fewer), "{flows:?}");
        assert_eq!(told[0]["eta_s"], Value::Null, "one look is no pace");
        assert!(told[1]["eta_s"].is_u64(), "{told:?}");
        // Nobody was turned away meanwhile.
        let replies = stage.client.get_many(URL, 6)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [0, 6]);
        Ok(())
    });
}

#[test]
fn a_file_keeps_a_server_in_maintenance_through_restarts_of_control() {
    let mut config = pooled(2, "");
    config.other = config.other.map(|text| {
        text.replace(
            "[control]\n",
            "[control]\nmaintenance_dir = \"{dir}/maintenance\"\n",
        )
    });
    on_stage("maintenance by file", 2, config, |_, stage| {
        let folder = stage.director.control_socket().with_file_name("maintenance");
        let (first, second) = (
            folder.join(server_address(1)),
            folder.join(format!("{}:80", server_address(2))),
        );
        std::fs::create_dir_all(&folder).map_err(unexpected)?;
        std::fs::write(&first, "").map_err(unexpected)?;
        wait_for_states(&stage.director, &["draining", "up"])?;
        let listed = stage.director.ctl(&["maintenance"])?;
        assert!(listed.contains("there is a file"), "{listed}");

        for by_force in [false, true] {
            match by_force {
                true => stage.director.kill_control()?,
                false => drop(stage.director.stop_control()?),
            }
            stage.director.start_control()?;
            wait_for_states(&stage.director, &["draining", "up"])?;
            let replies = stage.client.get_many(URL, 6)?;
            assert_all_good(&replies);
            assert_eq!(stage.shares(&replies), [0, 6]);
        }

        // What comes and goes while control is away counts too.
        stage.director.stop_control()?;
        std::fs::rename(&first, &second).map_err(unexpected)?;
        stage.director.start_control()?;
        wait_for_states(&stage.director, &["up", "draining"])?;
        std::fs::remove_file(&second).map_err(unexpected)?;
        wait_in_force(stage, 2)
    });
}

#[test]
fn maintenance_outlives_a_restart_of_control() {
    on_stage("maintenance", 2, pooled(2, ""), |_, stage| {
        let first = server_address(1);
        stage
            .director
            .ctl(&["maintenance", "on", &first, "--reason", "new-disks"])?;
        wait_for_states(&stage.director, &["draining", "up"])?;
        stage.director.stop_control()?;
        stage.director.start_control()?;
        let listed = stage.director.ctl(&["maintenance"])?;
        assert!(
            listed.contains(&first) && listed.contains("new-disks"),
            "{listed}"
        );
        wait_in_force(stage, 1)?;
        let replies = stage.client.get_many(URL, 6)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [0, 6]);
        stage.director.ctl(&["maintenance", "off", &first])?;
        wait_in_force(stage, 2)
    });
}

#[test]
fn a_reload_brings_no_failed_server_back() {
    on_stage("reload keeps health", 2, pooled(2, ""), |_, stage| {
        stage.servers[0].pause()?;
        wait_for_states(&stage.director, &["down", "up"])?;
        for fall in [3, 4, 5] {
            let mut config = pooled(2, &format!("quorum = 1, drain_timeout_s = {fall}"));
            let slower = format!("fall = {fall} }}");
            config.other = config.other.map(|text| text.replace("fall = 2 }", &slower));
            stage.director.apply(config)?;
            assert_eq!(states(&stage.director)?, ["down", "up"], "not for a moment");
        }
        let replies = stage.client.get_many(URL, 10)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [0, 10]);
        let running = stage.director.ctl(&["config", "show"])?;
        assert!(running.contains("fall = 5"), "the last one is in force");
        stage.servers[0].resume()?;
        wait_in_force(stage, 2)
    });
}

fn unexpected(error: std::io::Error) -> LabError {
    LabError::unexpected(error.to_string())
}
