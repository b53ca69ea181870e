//! Texts that mean addresses, names and paths, each with the fix in its error.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::reader::Problem;

/// A 48-bit Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for MacAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for MacAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(())?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| ())?;
        }
        if parts.next().is_some() {
            Err(())
        } else {
            Ok(Self(octets))
        }
    }
}

/// `ip:port`; the port may be left out and is then `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) address: IpAddr,
    pub(crate) port: Option<u16>,
}

const HOST_PORT_HELP: &str = "write \"192.0.2.100:80\", or \"[2001:db8::100]:80\" for IPv6";

pub(crate) fn host_port(text: &str) -> Result<HostPort, Problem> {
    let found = match (SocketAddr::from_str(text), IpAddr::from_str(text)) {
        (Ok(socket), _) if !has_scope(&socket) => Some(HostPort {
            address: socket.ip(),
            port: Some(socket.port()),
        }),
        (_, Ok(address)) => Some(HostPort { address, port: None }),
        _ => text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .and_then(|inner| inner.parse().ok())
            .map(|address| HostPort { address, port: None }),
    };
    let found = found
        .ok_or_else(|| Problem::new(format!("\"{text}\" is not an address and port"), HOST_PORT_HELP))?;
    unicast(found.address)?;
    Ok(found)
}

fn has_scope(socket: &SocketAddr) -> bool {
    matches!(socket, SocketAddr::V6(six) if six.scope_id() != 0)
}

pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, Problem> {
    let found = host_port(text)?;
    let port = found
        .port
        .ok_or_else(|| Problem::new(format!("\"{text}\" has no port"), HOST_PORT_HELP))?;
    Ok(SocketAddr::new(found.address, port))
}

pub(crate) fn address(text: &str) -> Result<IpAddr, Problem> {
    let found = text.parse().map_err(|_| {
        let help = match text.parse::<SocketAddr>() {
            Ok(socket) => format!("leave the port out: \"{}\"", socket.ip()),
            Err(_) => "write an IPv4 or IPv6 address such as \"192.0.2.1\" or \"2001:db8::1\"; host names are not looked up".to_owned(),
        };
        Problem::new(format!("\"{text}\" is not an IP address"), help)
    })?;
    unicast(found)?;
    Ok(found)
}

fn unicast(address: IpAddr) -> Result<(), Problem> {
    let what = match address {
        IpAddr::V4(four) if four.is_broadcast() => "the broadcast address",
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => "an IPv4 address in IPv6 clothes",
        other if other.is_multicast() => "a multicast address",
        other if other.is_unspecified() => "the unspecified address",
        other if other.is_loopback() => "a loopback address",
        _ => return Ok(()),
    };
    Err(Problem::new(
        format!("{address} is {what}"),
        "write the unicast address that hosts on the wire use",
    ))
}

/// `address/length` as put on an interface: the host bits are kept.
pub(crate) fn interface_address(text: &str) -> Result<IpNet, Problem> {
    let net = prefix(text)?;
    unicast(net.addr())?;
    if net.addr() == net.network() && net.prefix_len() < net.max_prefix_len() - 1 {
        let help = format!(
            "write the port's own address in that network, for example \"{}/{}\"",
            first_host(&net),
            net.prefix_len()
        );
        return Err(Problem::new(
            format!("{net} is the network itself, not an address in it"),
            help,
        ));
    }
    Ok(net)
}

fn first_host(net: &IpNet) -> String {
    net.hosts()
        .next()
        .map_or_else(String::new, |host| host.to_string())
}

/// `network/length` as a route's destination: host bits must be zero.
pub(crate) fn network(text: &str) -> Result<IpNet, Problem> {
    let net = match text {
        "default" => {
            return Err(Problem::new(
                "\"default\" does not say the family",
                "write \"0.0.0.0/0\" or \"::/0\"",
            ));
        }
        text => prefix(text)?,
    };
    if net.addr() == net.network() {
        return Ok(net);
    }
    Err(Problem::new(
        format!("{net} has bits set to the right of /{}", net.prefix_len()),
        format!("write \"{}\"", net.trunc()),
    ))
}

fn prefix(text: &str) -> Result<IpNet, Problem> {
    text.parse().map_err(|_| {
        let help = match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => format!("add the prefix length: \"{text}/24\""),
            Ok(IpAddr::V6(_)) => format!("add the prefix length: \"{text}/64\""),
            Err(_) => "write an address and a prefix length such as \"192.0.2.0/24\" or \"2001:db8::/64\""
                .to_owned(),
        };
        Problem::new(format!("\"{text}\" is not an address with a prefix length"), help)
    })
}

pub(crate) fn mac(text: &str) -> Result<MacAddress, Problem> {
    let wrong = || {
        Problem::new(
            format!("\"{text}\" is not a MAC address"),
            "write six pairs of hex digits: \"02:00:00:00:00:01\"",
        )
    };
    let found = MacAddress::from_str(text).map_err(|()| wrong())?;
    if found.0[0] & 1 == 1 || found.0 == [0; 6] {
        return Err(Problem::new(
            format!("{found} is not the address of one host"),
            "write a unicast MAC: the first octet is even, not all zero",
        ));
    }
    Ok(found)
}

/// A name that a person types on a command line.
pub(crate) fn name(text: &str) -> Result<String, Problem> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=63).contains(&text.len()) && text.chars().all(legal) {
        return Ok(text.to_owned());
    }
    let help = "use 1 to 63 of the characters a-z A-Z 0-9 - _ .";
    Err(Problem::new(
        format!("\"{}\" cannot be a name", text.escape_debug()),
        help,
    ))
}

/// A name the kernel accepts for an interface.
pub(crate) fn interface_name(text: &str) -> Result<String, Problem> {
    let legal = |c: char| c.is_ascii_graphic() && c != '/' && c != ':' && c != ',';
    if (1..=15).contains(&text.len()) && text.chars().all(legal) && text != "." && text != ".." {
        return Ok(text.to_owned());
    }
    let help = "an interface name has 1 to 15 characters, without spaces, `/`, `:` and `,`";
    Err(Problem::new(
        format!(
            "\"{}\" cannot be the name of a network interface",
            text.escape_debug()
        ),
        help,
    ))
}

/// The path of a file or folder, from the root.
pub(crate) fn absolute_path(text: &str) -> Result<PathBuf, Problem> {
    if text.starts_with('/') && !text.contains('\0') {
        return Ok(PathBuf::from(text));
    }
    Err(Problem::new(
        format!("\"{}\" is not an absolute path", text.escape_debug()),
        "write the whole path, from /",
    ))
}

/// A Unix socket's path: absolute, and short enough for `sockaddr_un` (108 bytes with the ending NUL).
pub(crate) fn socket_path(text: &str) -> Result<PathBuf, Problem> {
    if !text.starts_with('/') || text.ends_with('/') || text.contains('\0') {
        return Err(Problem::new(
            format!("\"{}\" is not an absolute path", text.escape_debug()),
            "start it with `/`, for example \"/run/weir/dataplane.sock\"",
        ));
    }
    if text.len() > 107 {
        return Err(Problem::new(
            format!("the socket path has {} bytes", text.len()),
            "the kernel allows 107: use a shorter directory",
        ));
    }
    Ok(PathBuf::from(text))
}

/// `dddd:bb:dd.f`, all hex, device below 0x20, function below 8.
pub(crate) fn pci_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let [domain, bus, device, function] = parts[..] else {
        return false;
    };
    let shape = text.matches(':').count() == 2
        && [domain.len(), bus.len(), device.len(), function.len()] == [4, 2, 2, 1];
    let number = |part: &str| {
        if part.bytes().all(|b| b.is_ascii_hexdigit()) {
            u32::from_str_radix(part, 16).ok()
        } else {
            None
        }
    };
    let inside = number(domain).is_some() && number(bus).is_some();
    shape && inside && number(device).is_some_and(|n| n < 0x20) && number(function).is_some_and(|n| n < 8)
}
