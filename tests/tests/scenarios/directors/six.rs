//! A hand-over over IPv6, where directors speak from link-local addresses.

use weir_tests::lab::{LabError, Node};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, Director};

use super::held;
use super::pair::{INTERVAL, RELAY_MS};

const VIP: &str = "2001:db8::100";

fn config() -> String {
    let port = held::PORT;
    let mut text = format!(
        "[dataplane]\nworkers = [0]\nflows_max = 65_536\nidle = 'adaptive'\nsocket = '{{dir}}/dataplane.sock'\n\
         [control]\nsocket = '{{dir}}/control.sock'\n\
         [[port]]\nname = 'lan'\ndevice = 'af_xdp:veth-lb'\nhost_interface = 'weir0'\n\
         [[port.node]]\nname = 'lb1'\naddresses = ['2001:db8::1/64']\n\
         [[port.node]]\nname = 'lb2'\naddresses = ['2001:db8::2/64']\n\
         [[vrrp]]\nname = 'VI_6'\nport = 'lan'\nvirtual_router_id = 61\nadvert_interval_ms = {}\n\
         relay_ms = {RELAY_MS}\n\
         addresses = ['{VIP}/64']\n[[vrrp.node]]\nname = 'lb1'\npriority = 150\n\
         [[service]]\nname = 'six'\naddress = '[{VIP}]:{port}'\nscheduler = 'wlc'\nforward = 'dr'\n",
        INTERVAL.as_millis()
    );
    for number in 1..=2 {
        text += &format!("[[service.backend]]\naddress = '[2001:db8::1{number}]:{port}'\n");
    }
    text
}

/// The laboratory begins without IPv6.
fn speak_v6(node: &Node, interface: &str) -> Result<(), LabError> {
    for name in ["all", "default", interface] {
        node.sysctl(&format!("net.ipv6.conf.{name}.accept_dad"), "0")?;
        node.sysctl(&format!("net.ipv6.conf.{name}.disable_ipv6"), "0")?;
    }
    Ok(())
}

#[test]
fn a_hand_over_of_ipv6_loses_nothing_that_is_under_way() {
    scenario("directors: hand-over of IPv6", |lab| {
        let client = lab.add_node("client", "eth0")?;
        speak_v6(&client, "eth0")?;
        client.ip("address add 2001:db8::10/64 dev eth0 nodad")?;
        for number in 1..=2 {
            let node = lab.add_node(&format!("rs{number}"), "eth0")?;
            speak_v6(&node, "eth0")?;
            node.ip(&format!("address add 2001:db8::1{number}/64 dev eth0 nodad"))?;
            node.ip(&format!("address add {VIP}/128 dev lo nodad"))?;
            held::serve(&node)?;
        }
        let mut directors = Vec::new();
        for number in 1..=2 {
            let node = lab.add_node(&format!("lb{number}"), "veth-lb")?;
            speak_v6(&node, "veth-lb")?;
            let config = Config {
                other: Some(config()),
                ..Config::new(2)
            };
            let mut director = Director::new(&node, lab.dir(), config)?;
            director.start_dataplane()?;
            director.start_control()?;
            directors.push(director);
        }
        let vip = VIP
            .parse()
            .map_err(|error| LabError::unexpected(format!("{VIP}: {error}")))?;
        held::hand_over_and_back(&directors, &client, vip, |_, address| {
            address.starts_with("fe80:")
        })
    });
}
