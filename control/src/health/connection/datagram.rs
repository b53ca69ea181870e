//! Connected datagram sockets: UDP, and ICMP echo by a ping socket or, where those are not allowed, a raw one.

use super::super::Target;
use super::socket;
use socket2::{Protocol, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket as StdUdpSocket};
use tokio::net::UdpSocket;
use weir_proto::health::ping::Echo;

/// A socket and the datagram still to be sent over it.
pub(in crate::health) struct Datagrams {
    socket: UdpSocket,
    unsent: Option<Vec<u8>>,
    /// The kernel hands over the IPv4 header too.
    with_header: bool,
}

/// Opens a UDP socket to `target`.
pub(super) fn udp(target: &Target) -> io::Result<Datagrams> {
    let socket = socket::bound(
        target.address.ip(),
        Type::DGRAM,
        Some(Protocol::UDP),
        &target.source,
    )?;
    connected(socket, target.address, false)
}

/// Opens an ICMP socket to `target`.
pub(super) fn echo(target: &Target, echo: Echo) -> io::Result<Datagrams> {
    let (to, protocol) = match echo {
        Echo::V4 => (target.address.ip(), Protocol::ICMPV4),
        Echo::V6 => (target.address.ip(), Protocol::ICMPV6),
    };
    let address = SocketAddr::new(to, 0);
    // The sysctl net.ipv4.ping_group_range says who may have the first kind, CAP_NET_RAW who may have the second.
    match socket::bound(to, Type::DGRAM, Some(protocol), &target.source) {
        Ok(socket) => connected(socket, address, false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let socket = socket::bound(to, Type::RAW, Some(protocol), &target.source)?;
            connected(socket, address, echo == Echo::V4)
        }
        Err(error) => Err(error),
    }
}

fn connected(socket: socket2::Socket, to: SocketAddr, with_header: bool) -> io::Result<Datagrams> {
    socket.connect(&to.into())?;
    Ok(Datagrams {
        // Any datagram socket will do: what is used of it is send and receive.
        socket: UdpSocket::from_std(StdUdpSocket::from(socket))?,
        unsent: None,
        with_header,
    })
}

impl Datagrams {
    pub(super) fn write(&mut self, bytes: Vec<u8>) {
        self.unsent = Some(bytes);
    }

    /// Sends what is unsent, then receives one datagram, its IPv4 header left off.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(bytes) = &self.unsent {
            self.socket.send(bytes).await?;
            self.unsent = None;
        }
        let count = self.socket.recv(buffer).await?;
        if !self.with_header {
            return Ok(count);
        }
        let header = buffer
            .first()
            .map_or(0, |first| usize::from(first & 0x0f) * 4)
            .min(count);
        buffer.copy_within(header..count, 0);
        Ok(count - header)
    }
}
