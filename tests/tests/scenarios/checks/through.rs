//! What only a check through the path can find: a DR server without the virtual address, a tunnel server that does not take
//! packets out. A plain check of the same servers passes all the while.

use weir_tests::lab::{Decapsulator, LabError};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, Director, Stage, VIP, hold_quietly};

use super::{NO_ANSWER, Said, wait_for};

/// The virtual address of the tunnelled service.
const TUNNELLED: &str = "192.0.2.101";

const CONFIG: &str = r#"
[dataplane]
workers = [0]
flows_max = 65_536
idle = "adaptive"
socket = "{dir}/dataplane.sock"
[control]
socket = "{dir}/control.sock"
[[port]]
name = "lan"
device = "af_packet:veth-lb"
host_interface = "weir0"
addresses = ["192.0.2.2/24"]

[[service]]
name = "dr"
address = "192.0.2.100:80"
forward = "dr"
check = { through = {}, interval_ms = 1000, timeout_ms = 900, rise = 1, fall = 1 }
  [[service.backend]]
  address = "192.0.2.11"
  [[service.backend]]
  address = "192.0.2.12"

[[service]]
name = "tunnel"
address = "192.0.2.101:80"
forward = "tunnel"
check = { through = {}, interval_ms = 1000, timeout_ms = 900, rise = 1, fall = 1 }
  [[service.backend]]
  address = "192.0.2.11"
  [[service.backend]]
  address = "192.0.2.12"

[[service]]
name = "plain"
address = "192.0.2.102:80"
forward = "dr"
check = { tcp = {}, interval_ms = 1000, timeout_ms = 900, rise = 1, fall = 1 }
  [[service.backend]]
  address = "192.0.2.11"
  [[service.backend]]
  address = "192.0.2.12"
"#;

/// What is said of both servers by each of the three checks: the first is in order.
fn expected(second: &str) -> Vec<Said> {
    let said =
        |service: &str, server: &str, said: &str| (service.into(), format!("{server}:80"), said.into());
    vec![
        said("dr", "192.0.2.11", "passed"),
        said("tunnel", "192.0.2.11", "passed"),
        said("plain", "192.0.2.11", "passed"),
        said("dr", "192.0.2.12", second),
        said("tunnel", "192.0.2.12", second),
        said("plain", "192.0.2.12", "passed"),
    ]
}

#[test]
fn a_check_through_the_path_finds_what_a_plain_one_cannot() {
    scenario("checks through the path", |lab| {
        let (_client, servers) = Stage::audience(lab, 2)?;
        let (first, second) = (servers[0].node(), servers[1].node());
        for node in [first, second] {
            hold_quietly(node, TUNNELLED)?;
        }
        second.ip(&format!("address del {VIP}/32 dev lo"))?;
        let _first_takes_out = Decapsulator::start(first, "eth0")?;

        let node = lab.add_node("lb", "veth-lb")?;
        let config = Config {
            other: Some(CONFIG.to_owned()),
            ..Config::new(2)
        };
        let mut director = Director::new(&node, lab.dir(), config)?;
        director.start_dataplane()?;
        director.start_control()?;
        let socket = director.control_socket();
        wait_for("the second server to be found out", &socket, expected(NO_ANSWER))?;

        second.ip(&format!("address add {VIP}/32 dev lo"))?;
        let _second_takes_out = Decapsulator::start(second, "eth0")?;
        wait_for("the second server to be in order", &socket, expected("passed"))?;

        let balance = director.settled_balance()?;
        if balance.is_even() && balance.rx > 0 {
            Ok(())
        } else {
            Err(LabError::unexpected(format!("{balance:?}")))
        }
    });
}
