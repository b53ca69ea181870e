//! What VRRP wants of the kernel: addresses on an interface, news about links, and frames that announce addresses.

use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    socket,
};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use weir_proto::neighbor::frame;
use weir_wire::MacAddr;

const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const ERROR: u16 = 2;
pub(super) const REQUEST_ACK: u16 = 0x1 | 0x4;
const CREATE_REPLACE: u16 = 0x400 | 0x100;
const ATTRIBUTE_ADDRESS: u16 = 1;
const ATTRIBUTE_LOCAL: u16 = 2;
const ATTRIBUTE_FLAGS: u16 = 8;
/// A VIP moves between hosts: duplicate address detection would only delay it.
const FLAG_NO_DAD: u32 = 0x2;
/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// A route netlink socket.
#[derive(Debug)]
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    /// For orders, or for news about links and addresses.
    pub(super) fn open(news: bool) -> io::Result<Self> {
        let mut flags = SockFlag::SOCK_CLOEXEC;
        flags.set(SockFlag::SOCK_NONBLOCK, news);
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            flags,
            SockProtocol::NetlinkRoute,
        )?;
        bind(
            fd.as_raw_fd(),
            &NetlinkAddr::new(0, if news { GROUPS } else { 0 }),
        )?;
        Ok(Self(fd))
    }

    /// Whether there was news; it is not read: who wants to know looks at the interface.
    pub(super) fn drain(&self) -> bool {
        let mut buffer = [0; 8192];
        let mut news = false;
        loop {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                // An overrun is news, too.
                Ok(_) | Err(nix::errno::Errno::ENOBUFS) => news = true,
                Err(_) => return news,
            }
        }
    }

    /// Puts an address on an interface; one that is there already is well.
    pub(super) fn add_address(&self, ifindex: u32, address: IpAddr, prefix_len: u8) -> io::Result<()> {
        self.order(
            NEW_ADDRESS,
            REQUEST_ACK | CREATE_REPLACE,
            ifindex,
            address,
            prefix_len,
        )
    }

    /// Takes an address off an interface; one that is not there is well.
    pub(super) fn delete_address(&self, ifindex: u32, address: IpAddr, prefix_len: u8) -> io::Result<()> {
        match self.order(DELETE_ADDRESS, REQUEST_ACK, ifindex, address, prefix_len) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(()),
            result => result,
        }
    }

    fn order(&self, kind: u16, flags: u16, ifindex: u32, address: IpAddr, prefix_len: u8) -> io::Result<()> {
        self.exchange(&address_message(kind, flags, ifindex, address, prefix_len))
    }

    /// Sends an order and reads whether it was carried out.
    pub(super) fn exchange(&self, message: &[u8]) -> io::Result<()> {
        sendto(
            self.0.as_raw_fd(),
            message,
            &NetlinkAddr::new(0, 0),
            MsgFlags::empty(),
        )?;
        let mut answer = [0; 4096];
        let len = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        acknowledged(&answer[..len])
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// struct nlmsghdr, struct ifaddrmsg, attributes; integers in the host's order.
fn address_message(kind: u16, flags: u16, ifindex: u32, address: IpAddr, prefix_len: u8) -> Vec<u8> {
    let (family, bytes) = match address {
        IpAddr::V4(address) => (2u8, address.octets().to_vec()),
        IpAddr::V6(address) => (10u8, address.octets().to_vec()),
    };
    let mut body = vec![family, prefix_len, 0, 0];
    body.extend(ifindex.to_ne_bytes());
    attribute(&mut body, ATTRIBUTE_LOCAL, &bytes);
    attribute(&mut body, ATTRIBUTE_ADDRESS, &bytes);
    if address.is_ipv6() {
        attribute(&mut body, ATTRIBUTE_FLAGS, &FLAG_NO_DAD.to_ne_bytes());
    }
    message(kind, flags, &body)
}

/// struct nlmsghdr and what follows it.
pub(super) fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let head = [
        &len.to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &[0; 8],
    ]
    .concat();
    [&head, body].concat()
}

/// An attribute, padded to four bytes; the padding does not count.
pub(super) fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    body.extend(len.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let kind: [u8; 2] = answer
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(malformed)?;
    let code: [u8; 4] = answer
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(malformed)?;
    match (u16::from_ne_bytes(kind), i32::from_ne_bytes(code)) {
        (ERROR, 0) => Ok(()),
        (ERROR, code) => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(malformed()),
    }
}

/// What there is to know about an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) ifindex: u32,
    pub(crate) mac: MacAddr,
    /// Up, with a carrier.
    pub(crate) up: bool,
}

impl Interface {
    /// Looks at the interface as it is now; `None` if there is none of this name.
    pub(crate) fn look(name: &str) -> Option<Self> {
        let folder = std::path::Path::new("/sys/class/net").join(name);
        let text = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let ifindex = text("ifindex")?.trim().parse().ok()?;
        let flags = u32::from_str_radix(text("flags")?.trim().trim_start_matches("0x"), 16).ok()?;
        let carrier = text("carrier").is_some_and(|carrier| carrier.trim() == "1");
        Some(Self {
            ifindex,
            mac: mac(text("address")?.trim()).unwrap_or(MacAddr::ZERO),
            up: flags & 1 != 0 && carrier,
        })
    }
}

fn mac(text: &str) -> Option<MacAddr> {
    let mut mac = MacAddr::ZERO;
    let mut parts = text.split(':');
    for byte in &mut mac.0 {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    Some(mac)
}

/// The address advertisements come from by default: the first of the family, link-local for IPv6, and none that is
/// shared.
pub(super) fn source_address(interface: &str, v6: bool, shared: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let addresses = nix::ifaddrs::getifaddrs()
        .ok()?
        .filter(|entry| entry.interface_name == interface);
    let mut found = addresses.filter_map(|entry| {
        let address = entry.address?;
        match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), None) if !v6 => Some(IpAddr::V4(v4.ip())),
            (None, Some(address)) if v6 && address.ip().is_unicast_link_local() => {
                Some(IpAddr::V6(address.ip()))
            }
            _ => None,
        }
    });
    found.find(|address| !shared(*address))
}

/// Sends frames on any interface. The socket belongs to no protocol, so that nothing is ever received by it.
#[derive(Debug)]
pub(super) struct Announcer {
    socket: OwnedFd,
    /// How the kernel wants to be told of an interface, by its index.
    links: HashMap<u32, LinkAddr>,
}

impl Announcer {
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(Self {
            socket,
            links: HashMap::new(),
        })
    }

    /// Tells everybody on the link where these addresses are now, each as often as it is named.
    pub(super) fn announce(&mut self, ifindex: u32, mac: MacAddr, addresses: &[IpAddr]) -> io::Result<()> {
        let link = match self.links.get(&ifindex) {
            Some(link) => *link,
            None => {
                let link = link_address(ifindex).ok_or(io::ErrorKind::NotFound)?;
                self.links.insert(ifindex, link);
                link
            }
        };
        for address in addresses {
            let frame = frame::announce(*address, mac, false);
            sendto(self.socket.as_raw_fd(), frame.bytes(), &link, MsgFlags::empty())?;
        }
        Ok(())
    }
}

fn link_address(ifindex: u32) -> Option<LinkAddr> {
    let links = nix::ifaddrs::getifaddrs()
        .ok()?
        .filter_map(|entry| entry.address?.as_link_addr().copied());
    links
        .into_iter()
        .find(|link| u32::try_from(link.ifindex()) == Ok(ifindex))
}

#[cfg(test)]
mod tests;
