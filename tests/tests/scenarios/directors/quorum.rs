//! A virtual router that depends on a service: without a server that takes connections it lets the addresses go.

use weir_tests::lab::{LabError, wait_until};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, DETECTION, Director, Stage};

use super::pair::{VIP, config};

const CHECK: &str = "check = { tcp = {}, interval_ms = 500, timeout_ms = 500, rise = 1, fall = 2 }\n";

fn tracking() -> Config {
    let text = config(&[(VIP, "rr", "dr")]);
    let node = "[[vrrp.node]]\n";
    let text = text
        .replace("scheduler = 'rr'\n", &format!("scheduler = 'rr'\n{CHECK}"))
        .replace(node, &format!("[[vrrp.track]]\nservice = 'rr-dr'\n{node}"));
    Config {
        other: Some(text),
        ..Config::new(2)
    }
}

fn wait_for(director: &Director, state: &str) -> Result<String, LabError> {
    wait_until(&format!("lb1 to be {state}"), DETECTION, || {
        let shown = director.ctl_json("vrrp").map_err(|error| error.to_string())?;
        let vrrp = &shown["vrrp"][0];
        if vrrp["state"] == state {
            Ok(vrrp["why"].as_str().unwrap_or_default().to_owned())
        } else {
            Err(vrrp.to_string())
        }
    })
}

#[test]
fn a_service_without_servers_takes_its_virtual_router_down() {
    scenario("directors: a tracked service", |lab| {
        let (_client, mut servers) = Stage::audience(lab, 2)?;
        let node = lab.add_node("lb1", "veth-lb")?;
        let mut director = Director::new(&node, lab.dir(), tracking())?;
        director.start_dataplane()?;
        director.start_control()?;
        wait_for(&director, "active")?;
        servers[0].pause()?;
        servers[1].pause()?;
        let why = wait_for(&director, "fault")?;
        assert!(why.contains("service rr-dr is down"), "{why}");
        servers[0].resume()?;
        wait_for(&director, "active").map(drop)
    });
}
