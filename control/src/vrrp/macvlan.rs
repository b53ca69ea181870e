//! A virtual MAC address on a kernel interface: a macvlan device that has it, there while the addresses are held.
//!
//! Advertisements go out by the interface below, from its own address (keepalived: `vmac_xmit_base`); everything that is
//! said about the shared addresses goes out by the device. Messages: rtnetlink(7), `linux/if_link.h`.

use super::kernel::{Interface, Netlink, REQUEST_ACK, attribute, message};
use std::fs;
use std::io;
use weir_wire::MacAddr;

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const CREATE_EXCLUSIVE: u16 = 0x400 | 0x200;
const UP: u32 = 1;
const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_BELOW: u16 = 5;
const LINK_INFO: u16 = 18;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const MACVLAN_MODE: u16 = 1;
/// Devices on one interface do not speak with each other.
const MODE_PRIVATE: u32 = 1;

/// keepalived's names.
pub(super) fn name(vrid: u8, v6: bool) -> String {
    format!("vrrp{}.{vrid}", if v6 { "6" } else { "" })
}

/// Makes the device on interface `below`, called `below_name`. One that a killed process left makes room.
pub(super) fn create(
    netlink: &Netlink,
    below: u32,
    below_name: &str,
    vrid: u8,
    v6: bool,
) -> io::Result<Interface> {
    let (name, mac) = (name(vrid, v6), MacAddr::virtual_router(vrid, v6));
    delete(netlink, &name)?;
    netlink.exchange(&new_link(&name, below, mac))?;
    // Each answers ARP for what is on it and nothing else: the interface below would give its own MAC address.
    for (interface, key, value) in [
        (name.as_str(), "arp_ignore", "1"),
        (name.as_str(), "accept_local", "1"),
        (name.as_str(), "rp_filter", "0"),
        (below_name, "arp_ignore", "1"),
    ] {
        fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/{key}"), value)?;
    }
    Interface::look(&name).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Removes the device, with the addresses on it; one that is not there is well.
pub(super) fn delete(netlink: &Netlink, name: &str) -> io::Result<()> {
    match Interface::look(name) {
        Some(found) => netlink.exchange(&message(DELETE_LINK, REQUEST_ACK, &header(found.ifindex, 0))),
        None => Ok(()),
    }
}

/// struct ifinfomsg.
fn header(ifindex: u32, flags: u32) -> Vec<u8> {
    [
        &[0; 4][..],
        &ifindex.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &flags.to_ne_bytes(),
    ]
    .concat()
}

fn new_link(name: &str, below: u32, mac: MacAddr) -> Vec<u8> {
    let (mut data, mut info, mut body) = (Vec::new(), Vec::new(), header(0, UP));
    attribute(&mut data, MACVLAN_MODE, &MODE_PRIVATE.to_ne_bytes());
    attribute(&mut info, INFO_KIND, b"macvlan\0");
    attribute(&mut info, INFO_DATA, &data);
    attribute(&mut body, LINK_BELOW, &below.to_ne_bytes());
    attribute(&mut body, LINK_NAME, format!("{name}\0").as_bytes());
    attribute(&mut body, LINK_ADDRESS, &mac.0);
    attribute(&mut body, LINK_INFO, &info);
    message(NEW_LINK, REQUEST_ACK | CREATE_EXCLUSIVE, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_what_the_kernel_reads() {
        let bytes = new_link(&name(51, false), 7, MacAddr::virtual_router(51, false));
        assert_eq!(bytes[..4], u32::try_from(bytes.len()).unwrap().to_ne_bytes());
        assert_eq!(bytes[4..6], NEW_LINK.to_ne_bytes());
        assert_eq!(bytes.len() % 4, 0, "attributes are padded");
        let words = ["vrrp.51\0", "macvlan\0"];
        for word in words {
            assert!(
                bytes.windows(word.len()).any(|part| part == word.as_bytes()),
                "{word}"
            );
        }
        assert!(bytes.windows(6).any(|part| part == [0, 0, 0x5e, 0, 1, 51]));
        assert_eq!(name(9, true), "vrrp6.9");
    }
}
