//! Sockets of BFD: one to receive for each family and number of hops, one to send for each session.
//!
//! Single hops use UDP port 3784, and only a TTL of 255 shows that there was no router (RFC 5881 §5); others use 4784
//! (RFC 5883). What is sent comes from a port of 49152 or above that the session keeps (RFC 5881 §4).

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use weir_wire::bfd::{TTL, UDP_PORT_MULTIHOP, UDP_PORT_SINGLE_HOP};

/// The port our packets come from: 49152 to 65535.
const SOURCE_PORT_MIN: u16 = 49_152;
/// Ports tried before the system is taken at its word.
const TRIES_MAX: u16 = 64;
/// Longest packet looked at: one with authentication is refused by its flags.
pub(super) const PACKET_LEN_MAX: usize = 128;
/// Internetwork control (RFC 4594).
const TOS: u32 = 0xc0;

/// Where packets of a kind come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Door {
    pub(super) v6: bool,
    pub(super) multihop: bool,
}

impl Door {
    const fn port(self) -> u16 {
        if self.multihop {
            UDP_PORT_MULTIHOP
        } else {
            UDP_PORT_SINGLE_HOP
        }
    }

    const fn domain(self) -> Domain {
        if self.v6 { Domain::IPV6 } else { Domain::IPV4 }
    }

    const fn any(self) -> IpAddr {
        if self.v6 {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        } else {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        }
    }
}

/// A packet with what its session is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct From {
    pub(super) address: IpAddr,
    pub(super) ttl: u8,
    pub(super) ifindex: u32,
}

/// A socket that receives.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) door: Door,
    socket: Socket,
}

impl Receiver {
    pub(super) fn open(door: Door) -> io::Result<Self> {
        let socket = Socket::new(door.domain(), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if door.v6 {
            socket.set_only_v6(true)?;
            socket.set_recv_hoplimit_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        socket.bind(&SockAddr::from(SocketAddr::new(door.any(), door.port())))?;
        Ok(Self { door, socket })
    }

    /// The next packet and its length; `None` when there is none.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(From, usize)>> {
        let mut control = [0; 256];
        let mut pieces = [IoSliceMut::new(buffer)];
        let received = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut pieces,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        );
        let message = match received {
            Err(nix::errno::Errno::EAGAIN) => return Ok(None),
            other => other?,
        };
        let (mut ttl, mut ifindex) = (0, 0);
        for word in message.cmsgs()? {
            match word {
                ControlMessageOwned::Ipv4Ttl(value) | ControlMessageOwned::Ipv6HopLimit(value) => {
                    ttl = u8::try_from(value).unwrap_or(0);
                }
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    ifindex = u32::try_from(info.ipi_ifindex).unwrap_or(0);
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => ifindex = info.ipi6_ifindex,
                _ => {}
            }
        }
        let address = message.address.and_then(|address| {
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        });
        let address = address.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Some((
            From {
                address,
                ttl,
                ifindex,
            },
            message.bytes,
        )))
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket that sends to one peer.
#[derive(Debug)]
pub(super) struct Sender {
    socket: Socket,
    to: SockAddr,
}

impl Sender {
    /// `number` spreads the source ports. `interface` is a name with its index.
    pub(super) fn open(
        door: Door,
        peer: IpAddr,
        source: Option<IpAddr>,
        interface: Option<(&str, u32)>,
        number: u32,
    ) -> io::Result<Self> {
        let socket = Socket::new(door.domain(), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(1)?;
        if door.v6 {
            socket.set_unicast_hops_v6(u32::from(TTL))?;
        } else {
            socket.set_ttl_v4(u32::from(TTL))?;
            socket.set_tos_v4(TOS)?;
        }
        if let Some((name, _)) = interface {
            socket.bind_device(Some(name.as_bytes()))?;
        }
        let scope = interface.map_or(0, |(_, ifindex)| ifindex);
        let at = |address: IpAddr, port: u16| match address {
            IpAddr::V4(address) => SockAddr::from(SocketAddr::from((address, port))),
            IpAddr::V6(address) => SockAddr::from(SocketAddrV6::new(address, port, 0, scope)),
        };
        bind_high(&socket, |port| at(source.unwrap_or(door.any()), port), number)?;
        Ok(Self {
            socket,
            to: at(peer, door.port()),
        })
    }

    pub(super) fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.socket.send_to(packet, &self.to).map(drop)
    }
}

fn bind_high(socket: &Socket, at: impl Fn(u16) -> SockAddr, number: u32) -> io::Result<()> {
    let ports = u32::from(u16::MAX - SOURCE_PORT_MIN) + 1;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for attempt in 0..u32::from(TRIES_MAX) {
        let port = u32::from(SOURCE_PORT_MIN) + number.wrapping_add(attempt * 251) % ports;
        match socket.bind(&at(u16::try_from(port).unwrap_or(SOURCE_PORT_MIN))) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}
