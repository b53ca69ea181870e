//! What only a check through the path can find: a DR server without the virtual address, a tunnel server that does not take
//! packets out; in every mode whose servers hold the address, for both families. A plain check of the same servers passes all
//! the while.

use weir_tests::lab::{Decapsulator, LabError, WebServer};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, Director, hold_quietly};

use super::{NO_ANSWER, Said, wait_for};
use crate::modes::cast::{Family, MODES, Mode, allow_v6, prepare_server, socket};

const PORT: u16 = 80;
const PACE: &str = "interval_ms = 1000, timeout_ms = 900, rise = 1, fall = 1";
/// No server holds this address, and a plain check does not know.
const PLAIN_HOST: u8 = 120;

/// The modes that there is a path to check in.
fn modes() -> impl Iterator<Item = (&'static Mode, Family)> {
    let through = MODES.iter().filter(|mode| mode.on_servers());
    through.flat_map(|mode| Family::BOTH.map(|family| (mode, family)))
}

fn name(mode: &Mode, family: Family) -> String {
    let suffix = if family == Family::V4 { "" } else { "6" };
    format!("{}{suffix}-tcp-{PORT}", mode.name)
}

fn config() -> String {
    let mut text = r#"[dataplane]
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
addresses = ["192.0.2.2/24", "2001:db8::2/64"]
"#
    .to_owned();
    for (mode, family) in modes() {
        // The inner packet needs an address of the service's family, where the server's is of the other.
        let source = if mode.outer(family) == family {
            String::new()
        } else {
            format!("source_address = \"{}\", ", family.near(2))
        };
        let check = format!("check = {{ through = {{}}, {source}{PACE} }}\n\n  [[");
        text += &mode.service(family, "tcp", PORT, 2).replacen("\n  [[", &check, 1);
    }
    for family in Family::BOTH {
        text += &format!(
            "\n[[service]]\nname = \"plain{family:?}\"\naddress = \"{}\"\nforward = \"dr\"\ncheck = {{ tcp = {{}}, {PACE} }}\n",
            socket(&family.near(PLAIN_HOST), PORT)
        );
        for number in 1..=2 {
            let backend = socket(&family.near(10 + number), PORT);
            text += &format!("  [[service.backend]]\n  address = \"{backend}\"\n");
        }
    }
    text
}

/// What is said of both servers by every check: the first is in order.
fn expected(second: &str) -> Vec<Said> {
    let mut all = Vec::new();
    for (number, through) in [(1, "passed"), (2, second)] {
        for (mode, family) in modes() {
            let server = mode.outer(family).near(10 + number);
            all.push((name(mode, family), socket(&server, PORT), through.to_owned()));
        }
        for family in Family::BOTH {
            let server = socket(&family.near(10 + number), PORT);
            all.push((format!("plain{family:?}"), server, "passed".to_owned()));
        }
    }
    all
}

#[test]
fn a_check_through_the_path_finds_what_a_plain_one_cannot() {
    scenario("checks through the path", |lab| {
        let mut servers = Vec::new();
        for number in 1..=2 {
            let node = lab.add_node(&format!("rs{number}"), "eth0")?;
            prepare_server(&node, number)?;
            servers.push(WebServer::start(&node, lab.dir(), PORT)?);
        }
        let (first, second) = (servers[0].node(), servers[1].node());
        let _first_takes_out = Decapsulator::start(first, "eth0")?;
        let dr = &MODES[0];
        second.ip(&format!("address del {}/32 dev lo", dr.vip(Family::V4)))?;
        second.ip(&format!("address del {}/128 dev lo", dr.vip(Family::V6)))?;
        for device in ["vxlan4", "vxlan6"] {
            second.ip(&format!("link set {device} down"))?;
        }

        let node = lab.add_node("lb", "veth-lb")?;
        allow_v6(&node)?;
        node.sysctl("net.ipv6.conf.veth-lb.disable_ipv6", "1")?;
        let config = config();
        let checked = Config {
            other: Some(config.clone()),
            ..Config::new(2)
        };
        let mut director = Director::new(&node, lab.dir(), checked)?;
        director.start_dataplane()?;
        director.start_control()?;
        let checks = director.control_socket();
        wait_for("the second server to be found out", &checks, expected(NO_ANSWER))?;

        hold_quietly(second, &dr.vip(Family::V4))?;
        second.ip(&format!("address add {}/128 dev lo nodad", dr.vip(Family::V6)))?;
        for device in ["vxlan4", "vxlan6"] {
            second.ip(&format!("link set {device} up"))?;
        }
        let _second_takes_out = Decapsulator::start(second, "eth0")?;
        wait_for("the second server to be in order", &checks, expected("passed"))?;

        // Thirty-two checks a second leave no quiet moment to read the accounts in.
        let quiet: Vec<&str> = config
            .lines()
            .filter(|line| !line.starts_with("check = "))
            .collect();
        director.apply(Config {
            other: Some(quiet.join("\n")),
            ..Config::new(2)
        })?;
        let balance = director.settled_balance()?;
        if balance.is_even() && balance.rx > 0 {
            Ok(())
        } else {
            Err(LabError::unexpected(format!("{balance:?}")))
        }
    });
}
