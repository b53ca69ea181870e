//! Directors that never hear each other's advertisements although everybody hears both: wrong unicast peers here, a
//! switch that filters multicast elsewhere. Both hold the addresses, as any two of VRRP would; each sees the other
//! by ARP and says so, and the first advertisement that arrives ends it.

use weir_tests::lab::{Lab, LabError, wait_until};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, Director, Stage};

use super::pair::{PATIENCE, VIP, config};

/// The directors are at .1 and .2.
fn with_peer(peer: u8) -> Config {
    let keys = format!("unicast_peers = ['192.0.2.{peer}']\nannounce_refresh_ms = 500\n");
    let text = config(&[(VIP, "maglev", "dr")]);
    Config {
        other: Some(text.replace("priority = 100\n", &format!("priority = 100\n{keys}"))),
        ..Config::new(2)
    }
}

fn metrics(director: &Director) -> Result<String, LabError> {
    let socket = director.control_socket();
    director.node().run(
        "curl",
        &format!("-s --unix-socket {} http://weir/metrics", socket.display()),
    )
}

/// Waits until both directors have these states, and see another active one or do not.
fn wait_for(directors: &[Director], states: [&str; 2], rival: bool) -> Result<(), LabError> {
    wait_until(&format!("{states:?}, two active: {rival}"), PATIENCE, || {
        let mut seen = Vec::new();
        for director in directors {
            let shown = director.ctl_json("vrrp").map_err(|error| error.to_string())?;
            let vrrp = &shown["vrrp"][0];
            seen.push((vrrp["state"].clone(), vrrp["rival"].clone()));
        }
        let good = |((state, found), wanted): (&(_, serde_json::Value), &str)| {
            *state == *wanted && found.as_str().is_some_and(|text| text.contains("claims")) == rival
        };
        if seen.iter().zip(states).all(good) {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })
}

fn start(lab: &mut Lab) -> Result<Vec<Director>, LabError> {
    (1..=2)
        .map(|number| {
            let node = lab.add_node(&format!("lb{number}"), "veth-lb")?;
            let mut director = Director::new(&node, lab.dir(), with_peer(99))?;
            director.start_dataplane()?;
            director.start_control()?;
            Ok(director)
        })
        .collect()
}

#[test]
fn two_that_do_not_hear_each_other_are_both_active_and_say_so() {
    scenario("directors: advertisements that never arrive", |lab| {
        let (_client, _servers) = Stage::audience(lab, 2)?;
        let mut directors = start(lab)?;
        wait_for(&directors, ["active", "active"], true)?;
        for director in &directors {
            let shown = director.ctl(&["vrrp"])?;
            assert!(shown.contains("two active routers"), "{shown}");
            let metrics = metrics(director)?;
            for line in [
                "weir_vrrp_rival{vrrp=\"VI_1\"} 1",
                "weir_vrrp_state{vrrp=\"VI_1\"} 2",
            ] {
                assert!(
                    metrics.lines().any(|found| found == line),
                    "{line} not in\n{metrics}"
                );
            }
        }
        for (director, number) in directors.iter_mut().zip(1..) {
            director.apply(with_peer(3 - number))?;
        }
        wait_for(&directors, ["active", "backup"], false)?;
        let metrics = metrics(&directors[1])?;
        assert!(metrics.contains("weir_vrrp_rival{vrrp=\"VI_1\"} 0"), "{metrics}");
        Ok(())
    });
}
