//! Sockets that begin where the target's [`Source`](super::super::Source) says.

use super::super::Source;
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The domain of `address`.
pub(super) fn domain(address: IpAddr) -> Domain {
    match address {
        IpAddr::V4(_) => Domain::IPV4,
        IpAddr::V6(_) => Domain::IPV6,
    }
}

/// "Any address" of the family of `address`.
fn any(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A socket that does not block, on the source's interface and with its mark.
pub(super) fn marked(
    to: IpAddr,
    kind: Type,
    protocol: Option<Protocol>,
    source: &Source,
) -> io::Result<Socket> {
    let socket = Socket::new(domain(to), kind, protocol)?;
    socket.set_nonblocking(true)?;
    if let Some(interface) = &source.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if let Some(mark) = source.mark {
        socket.set_mark(mark)?;
    }
    Ok(socket)
}

/// The same, bound to the source's address and port where it names them.
pub(super) fn bound(
    to: IpAddr,
    kind: Type,
    protocol: Option<Protocol>,
    source: &Source,
) -> io::Result<Socket> {
    let socket = marked(to, kind, protocol, source)?;
    let near = source.address.filter(|address| !address.is_unspecified());
    if near.is_none() && source.port.is_none() {
        return Ok(socket);
    }
    if source.port.is_some() {
        // The last run's connection may linger.
        socket.set_reuse_address(true)?;
    } else if kind != Type::RAW {
        // The port is chosen when the far end is known, so that thousands of checks share the range of ports.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
    }
    let near = SocketAddr::new(near.unwrap_or_else(|| any(to)), source.port.unwrap_or(0));
    socket.bind(&near.into())?;
    Ok(socket)
}
