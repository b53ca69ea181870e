//! A hand-over of a service by NAT: the servers' gateway is a shared address too, so what clients and what servers say of a
//! connection under way both come to a director that does not know it.

use std::net::Ipv4Addr;

use weir_tests::lab::{Lab, LabError, Node};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, Director};

use super::held;
use super::pair::{INTERVAL, RELAY_MS, VIP};

/// Clients in 192.0.2.0/24, servers in 198.51.100.0/24, both on the one port.
fn config() -> String {
    let (vip, port) = (Ipv4Addr::from(VIP), held::PORT);
    let mut text = format!(
        "[dataplane]\nworkers = [0]\nflows_max = 65_536\nidle = 'adaptive'\nsocket = '{{dir}}/dataplane.sock'\n\
         [control]\nsocket = '{{dir}}/control.sock'\n\
         [[port]]\nname = 'lan'\ndevice = 'af_xdp:veth-lb'\nhost_interface = 'weir0'\n\
         [[port.node]]\nname = 'lb1'\naddresses = ['192.0.2.1/24', '198.51.100.1/24']\n\
         [[port.node]]\nname = 'lb2'\naddresses = ['192.0.2.2/24', '198.51.100.2/24']\n\
         [[vrrp]]\nname = 'VI_1'\nport = 'lan'\nvirtual_router_id = 51\nversion = 3\nadvert_interval_ms = {}\n\
         relay_ms = {RELAY_MS}\n\
         addresses = ['{vip}/24', '198.51.100.100/24']\n\
         [[vrrp.node]]\nname = 'lb1'\npriority = 150\n\
         [[service]]\nname = 'nat'\naddress = '{vip}:{port}'\nscheduler = 'wlc'\nforward = 'nat'\n",
        INTERVAL.as_millis()
    );
    for number in 1..=2 {
        text += &format!("[[service.backend]]\naddress = '198.51.100.1{number}:{port}'\n");
    }
    text
}

fn servers(lab: &mut Lab) -> Result<Vec<Node>, LabError> {
    (1..=2)
        .map(|number| {
            let node = lab.add_node(&format!("rs{number}"), "eth0")?;
            node.ip(&format!("address add 198.51.100.1{number}/24 dev eth0"))?;
            node.ip("route add default via 198.51.100.100")?;
            held::serve(&node)?;
            Ok(node)
        })
        .collect()
}

#[test]
fn a_hand_over_keeps_connections_whose_replies_pass_the_directors() {
    scenario("directors: hand-over by NAT", |lab| {
        let client = lab.add_node("client", "eth0")?;
        client.ip("address add 192.0.2.10/24 dev eth0")?;
        let _servers = servers(lab)?;
        let mut directors = Vec::new();
        for number in 1..=2 {
            let node = lab.add_node(&format!("lb{number}"), "veth-lb")?;
            let config = Config {
                other: Some(config()),
                ..Config::new(2)
            };
            let mut director = Director::new(&node, lab.dir(), config)?;
            director.start_dataplane()?;
            director.start_control()?;
            directors.push(director);
        }
        held::hand_over_and_back(&directors, &client, VIP.into(), |number, address| {
            address == format!("192.0.2.{}", number + 1)
        })
    });
}
