//! The walk-through everybody begins LVS-NAT with: a director with two arms, servers on the inner network whose gateway it
//! is, weights 1 and 3.
//!
//! ```text
//!   client 192.0.2.10 ── br0 ── lb 192.0.2.2 │ 198.18.0.1 ── br1 ──┬── rs1 198.18.0.11, weight 1
//!   2001:db8::10                2001:db8::2  │ 2001:db8:2::1       └── rs2 198.18.0.12, weight 3
//! ```

use weir_tests::lab::{Client, Lab, LabError, WebServer, wait_until};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, DETECTION, Director};

use super::cast::{add_address, allow_v6};
use crate::assert_all_good;

const CONFIG: &str = r#"
[dataplane]
workers = WORKERS
flows_max = 65_536
idle = "adaptive"
socket = "{dir}/dataplane.sock"

[control]
socket = "{dir}/control.sock"

[[port]]
name = "wan"
device = "af_xdp:veth-lb"
host_interface = "weir0"
addresses = ["192.0.2.2/24", "2001:db8::2/64"]

[[port]]
name = "lan"
device = "af_xdp:veth-in"
host_interface = "weir1"
addresses = ["198.18.0.1/24", "2001:db8:2::1/64"]

[[service]]
name = "web"
address = "192.0.2.100:80"
scheduler = "wrr"
forward = "nat"
check = { tcp = {}, interval_ms = 400, timeout_ms = 300 }

  [[service.backend]]
  address = "198.18.0.11:8080"
  weight = 1

  [[service.backend]]
  address = "198.18.0.12:8080"
  weight = 3

[[service]]
name = "web6"
address = "[2001:db8::100]:80"
scheduler = "wrr"
forward = "nat"
check = { http = { path = "/" }, interval_ms = 400, timeout_ms = 300 }

  [[service.backend]]
  address = "[2001:db8:2::11]:8080"
  weight = 1

  [[service.backend]]
  address = "[2001:db8:2::12]:8080"
  weight = 3
"#;

struct Scene {
    client: Client,
    servers: Vec<WebServer>,
    director: Director,
}

fn start(lab: &mut Lab, workers: &[u16]) -> Result<Scene, LabError> {
    lab.add_bridge("br1")?;
    let client = lab.add_node("client", "eth0")?;
    allow_v6(&client)?;
    for address in ["192.0.2.10", "2001:db8::10"] {
        add_address(&client, "eth0", address)?;
    }
    let mut servers = Vec::new();
    for number in 1..=2 {
        let node = lab.add_node_on(&format!("rs{number}"), "eth0", "br1")?;
        allow_v6(&node)?;
        for (address, gateway) in [
            (format!("198.18.0.1{number}"), "198.18.0.1"),
            (format!("2001:db8:2::1{number}"), "2001:db8:2::1"),
        ] {
            add_address(&node, "eth0", &address)?;
            node.ip(&format!("route add default via {gateway}"))?;
        }
        servers.push(WebServer::start(&node, lab.dir(), 8080)?);
    }
    let node = lab.add_node("lb", "veth-lb")?;
    lab.add_cable(&node, "veth-in", "lb-in", "br1")?;
    allow_v6(&node)?;
    for interface in ["veth-lb", "veth-in"] {
        node.sysctl(&format!("net.ipv6.conf.{interface}.disable_ipv6"), "1")?;
    }
    let other = Some(CONFIG.replace("WORKERS", &format!("{workers:?}")));
    let config = Config {
        other,
        ..Config::new(2)
    };
    let mut director = Director::new(&node, lab.dir(), config)?;
    director.start_dataplane()?;
    director.start_control()?;
    wait_until("4 backends in service", DETECTION, || {
        let up = director
            .view()
            .map_err(|error| error.to_string())?
            .backends_in_service();
        if up.len() == 4 {
            Ok(())
        } else {
            Err(format!("in service: {up:?}"))
        }
    })?;
    Ok(Scene {
        client: Client::new(&client, lab.dir()),
        servers,
        director,
    })
}

fn walk_through(name: &str, workers: &[u16]) {
    scenario(name, |lab| {
        let scene = start(lab, workers)?;
        for (vip, client) in [("192.0.2.100", "192.0.2.10"), ("[2001:db8::100]", "2001:db8::10")] {
            let replies = scene.client.get_many(&format!("http://{vip}/"), 40)?;
            assert_all_good(&replies);
            let share = |server| replies.iter().filter(|reply| reply.server == server).count();
            assert_eq!((share("rs1"), share("rs2")), (10, 30), "requests 1 : 3");

            // Whichever server it is, it sees the client's own address.
            for _ in 0..4 {
                let seen = scene.client.body(&format!("http://{vip}/client"))?;
                let seen = String::from_utf8_lossy(&seen).into_owned();
                assert!(seen.starts_with(&format!("{client} ")), "the server saw {seen}");
            }
            let file = WebServer::file();
            assert!(
                scene.client.body(&format!("http://{vip}/1MiB"))? == file,
                "1 MiB came down changed"
            );
            scene.client.put(&format!("http://{vip}/upload/1MiB"), &file)?;
            let arrived = scene
                .servers
                .iter()
                .any(|server| server.uploaded("1MiB").as_deref() == Some(&file[..]));
            assert!(arrived, "1 MiB did not go up unchanged");
        }
        listing(&scene.director)?;
        let balance = scene.director.settled_balance()?;
        assert!(balance.is_even() && balance.rx > 0, "{balance:?}");
        eprintln!("{balance:?}");
        Ok(())
    });
}

/// What `ipvsadm -L -n` shows as `Masq 1` and `Masq 3`.
fn listing(director: &Director) -> Result<(), LabError> {
    let answer = director.ctl_json("backend")?;
    let rows = answer["backends"].as_array().cloned().unwrap_or_default();
    let row = |row: &serde_json::Value| {
        (
            row["address"].as_str().unwrap_or_default().to_owned(),
            row["forward"].as_str().unwrap_or_default().to_owned(),
            row["weight"].as_u64(),
            row["traffic"]["connections"].as_u64() > Some(0),
            row["traffic"]["packets_out"].as_u64() > Some(0),
        )
    };
    let seen: Vec<_> = rows.iter().map(row).collect();
    let wanted = [
        ("198.18.0.11:8080", 1),
        ("198.18.0.12:8080", 3),
        ("[2001:db8:2::11]:8080", 1),
        ("[2001:db8:2::12]:8080", 3),
    ]
    .map(|(address, weight)| (address.to_owned(), "nat".to_owned(), Some(weight), true, true));
    assert_eq!(seen, wanted, "address, mode, weight, traffic both ways");
    Ok(())
}

#[test]
fn nat_with_two_arms_and_weights_with_one_worker() {
    walk_through("NAT with two arms, one worker", &[0]);
}

#[test]
fn nat_with_two_arms_and_weights_with_two_workers() {
    walk_through("NAT with two arms, two workers", &[0, 1]);
}
