//! The usual scene: one client, one load balancer, several web servers, one virtual address, all on one bridge.

use crate::lab::{LabError, Node};

/// Puts `address` on a server's loopback without a word about it on the wire: the server takes packets for it and neither
/// answers ARP for it nor asks with it. The order matters: the sysctls come first.
pub fn hold_quietly(server: &Node, address: &str) -> Result<(), LabError> {
    for interface in ["all", "eth0"] {
        server.sysctl(&format!("net.ipv4.conf.{interface}.arp_ignore"), "1")?;
        server.sysctl(&format!("net.ipv4.conf.{interface}.arp_announce"), "2")?;
    }
    server.ip(&format!("address add {address}/32 dev lo"))
}
