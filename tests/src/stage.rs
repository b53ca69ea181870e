//! The usual scene: one client, one load balancer, several web servers, one virtual address, all on one bridge.
//!
//! ```text
//!   client ──┐
//!            ├── bridge ──┬── lb    weir-dataplane on veth-lb, weir-control; kernel tap weir0
//!            │            ├── rs1   nginx, virtual address on lo
//!            │            └── rs2   ...
//! ```

mod config;
mod director;
mod view;

pub use config::{Backend, Config, Device};
pub use director::Director;
pub use view::{Balance, View};

use crate::lab::{Client, Lab, LabError, Node, WebServer, wait_until};
use std::time::Duration;

/// Where the service of the scene is found.
pub const VIP: &str = "192.0.2.100";
/// Its page that names the server.
pub const URL: &str = "http://192.0.2.100/";
/// The client's own address.
pub const CLIENT: &str = "192.0.2.10";

/// How long a change of a server's health may take to show.
pub const DETECTION: Duration = Duration::from_secs(15);

/// Everybody on stage.
#[derive(Debug)]
pub struct Stage {
    /// Sends the requests.
    pub client: Client,
    /// Answer them.
    pub servers: Vec<WebServer>,
    /// Stands between.
    pub director: Director,
}

impl Stage {
    /// A client and `servers` web servers called rs1, rs2, ... at 192.0.2.11, .12, ..., each with the virtual address.
    pub fn audience(lab: &mut Lab, servers: u8) -> Result<(Client, Vec<WebServer>), LabError> {
        let client = lab.add_node("client", "eth0")?;
        client.ip(&format!("address add {CLIENT}/24 dev eth0"))?;
        let mut running = Vec::new();
        for number in 1..=servers {
            let node = lab.add_node(&format!("rs{number}"), "eth0")?;
            hold_quietly(&node, VIP)?;
            node.ip(&format!("address add {}/24 dev eth0", server_address(number)))?;
            running.push(WebServer::start(&node, lab.dir(), 80)?);
        }
        Ok((Client::new(&client, lab.dir()), running))
    }

    /// The whole scene with weir running and every backend of `config` in service.
    pub fn start(lab: &mut Lab, servers: u8, config: Config) -> Result<Self, LabError> {
        let (client, running) = Self::audience(lab, servers)?;
        let node = lab.add_node("lb", "veth-lb")?;
        let mut director = Director::new(&node, lab.dir(), config)?;
        director.start_dataplane()?;
        director.start_control()?;
        let stage = Self {
            client,
            servers: running,
            director,
        };
        stage.wait_in_service(servers.into())?;
        Ok(stage)
    }

    /// Waits until exactly `count` backends of the service get new connections.
    pub fn wait_in_service(&self, count: usize) -> Result<(), LabError> {
        wait_until(&format!("{count} backends in service"), DETECTION, || {
            let view = self.director.view().map_err(|error| error.to_string())?;
            let up = view.backends_in_service();
            if up.len() == count {
                Ok(())
            } else {
                Err(format!("in service: {up:?}"))
            }
        })
    }

    /// Waits until a request is answered, after something that may cost some.
    pub fn wait_serving(&self) -> Result<(), LabError> {
        wait_until("a good answer", DETECTION, || {
            let reply = self.client.get(URL).map_err(|error| error.to_string())?;
            if reply.is_good() {
                Ok(())
            } else {
                Err(format!("{reply:?}"))
            }
        })
    }

    /// Lets servers and load balancer run on after this value is gone.
    pub fn leave_running(self) {
        self.servers.into_iter().for_each(WebServer::leave_running);
        self.director.leave_running();
    }

    /// How many of `replies` each server gave, in the servers' order.
    pub fn shares(&self, replies: &[crate::lab::Reply]) -> Vec<usize> {
        let count = |server: &WebServer| {
            replies
                .iter()
                .filter(|reply| reply.server == server.name())
                .count()
        };
        self.servers.iter().map(count).collect()
    }
}

/// The address of server number `number`.
#[must_use]
pub fn server_address(number: u8) -> String {
    format!("192.0.2.{}", 10 + number)
}

/// Puts `address` on a server's loopback without a word about it on the wire: the server takes packets for it and neither
/// answers ARP for it nor asks with it. The order matters: the sysctls come first.
pub fn hold_quietly(server: &Node, address: &str) -> Result<(), LabError> {
    for interface in ["all", "eth0"] {
        server.sysctl(&format!("net.ipv4.conf.{interface}.arp_ignore"), "1")?;
        server.sysctl(&format!("net.ipv4.conf.{interface}.arp_announce"), "2")?;
    }
    server.ip(&format!("address add {address}/32 dev lo"))
}
