//! The kernel's side of a port's tap: link up, MTU, the box's own addresses. Done by `ip`, which every host has.

use std::process::Command;

use ipnet::IpNet;
use weir_wire::MacAddr;

use super::failure::Failure;
use crate::answer::nd::link_local;

/// Brings the tap up with the port's addresses, so that ordinary sockets work on it.
pub fn configure(interface: &str, addresses: &[IpNet], mac: [u8; 6], mtu: u16) -> Result<(), Failure> {
    ip(&["link", "set", "dev", interface, "mtu", &mtu.to_string(), "up"])?;
    if addresses.iter().any(|address| address.addr().is_ipv6()) {
        // The kernel made one of the MAC address that the tap had at first, and nobody on the segment answers for that.
        let own = format!("{}/64", link_local(MacAddr(mac)));
        ip(&["-6", "address", "flush", "dev", interface, "scope", "link"])?;
        ip(&["address", "replace", &own, "dev", interface, "nodad"])?;
    }
    for address in addresses {
        let text = address.to_string();
        // nodad: the address is ours by configuration, and control's sockets need it at once.
        let tail: &[&str] = if address.addr().is_ipv6() { &["nodad"] } else { &[] };
        ip(&[&["address", "replace", &text, "dev", interface], tail].concat())?;
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> Result<(), Failure> {
    let line = format!("ip {}", arguments.join(" "));
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(Failure::system(format!("running {line}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::Command {
        line,
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
