//! Raw sockets of one virtual router: what it sends and what it hears.
//!
//! One socket receives, bound to the interface and a member of the group; another sends, bound to the source address.
//! For an authentication header the IP header is ours too, because the hash covers it.

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockFilter, Socket, Type};
use std::io::{self, IoSliceMut, Read};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use weir_proto::vrrp::{Auth, Config, Outgoing, Received};
use weir_wire::vrrp::{Family, TTL};
use weir_wire::{IpProtocol, ipv4};

/// Advertisements of a long stall must not be lost: a minute of ten a second from a handful of routers fits.
const RECEIVE_BUFFER_BYTES: usize = 512 * 1024;
/// Internetwork control (RFC 4594), as keepalived sets it.
const TOS: u32 = 0xc0;
/// Longest datagram: 255 IPv6 addresses and everything around them.
pub(super) const DATAGRAM_BYTES_MAX: usize = 8192;

/// The sockets.
#[derive(Debug)]
pub(super) struct Endpoint {
    family: Family,
    ifindex: u32,
    receive: Socket,
    send: Socket,
}

/// A datagram as it came, before any check.
#[derive(Debug)]
pub(super) struct Datagram<'a> {
    pub(super) received: Received<'a>,
}

impl Endpoint {
    /// Opens them on the interface.
    pub(super) fn open(config: &Config, interface: &str, ifindex: u32) -> io::Result<Self> {
        let header = matches!(config.auth, Auth::Header(_));
        let protocol = if header { IpProtocol::AH } else { IpProtocol::VRRP };
        let domain = match config.family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let raw = || -> io::Result<Socket> {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(protocol.0))))?;
            socket.set_nonblocking(true)?;
            socket.bind_device(Some(interface.as_bytes()))?;
            Ok(socket)
        };
        let (receive, send) = (raw()?, raw()?);
        // With many virtual routers on a link, each would otherwise read what is for all the others.
        receive.attach_filter(&only_of(config.vrid, config.family, header))?;
        // Not more than the system allows, and no failure if that is less.
        receive.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        send.set_recv_buffer_size(1)?;
        let multicast = config.unicast_peers.is_empty();
        match config.family {
            Family::V4 => open_v4(&receive, &send, config, ifindex, multicast, header)?,
            Family::V6 => open_v6(&receive, &send, config, ifindex, multicast)?,
        }
        Ok(Self {
            family: config.family,
            ifindex,
            receive,
            send,
        })
    }

    /// The next datagram, if there is one.
    pub(super) fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<Datagram<'a>>> {
        let received = match self.family {
            Family::V4 => self.receive_v4(buffer),
            Family::V6 => self.receive_v6(buffer),
        };
        match received {
            Ok(datagram) => Ok(Some(datagram)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn receive_v4<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Datagram<'a>> {
        let len = (&self.receive).read(buffer)?;
        let bytes = &buffer[..len];
        let malformed = |_| io::Error::from(io::ErrorKind::InvalidData);
        let packet = ipv4::Packet::new_checked(bytes).map_err(malformed)?;
        let (start, end) = (packet.header_len(), usize::from(packet.total_len()));
        Ok(Datagram {
            received: Received {
                src: packet.src_addr().into(),
                dst: packet.dst_addr().into(),
                ttl: packet.ttl(),
                ip_header: &bytes[..start],
                payload: &bytes[start..end],
            },
        })
    }

    fn receive_v6<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Datagram<'a>> {
        let mut control = [0; 128];
        let (len, src, mut dst, mut ttl) = {
            let mut pieces = [IoSliceMut::new(buffer)];
            let message = nix::sys::socket::recvmsg::<SockaddrIn6>(
                self.receive.as_raw_fd(),
                &mut pieces,
                Some(&mut control),
                MsgFlags::MSG_DONTWAIT,
            )?;
            let (mut dst, mut ttl) = (None, None);
            for word in message.cmsgs()? {
                match word {
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        dst = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr))
                    }
                    ControlMessageOwned::Ipv6HopLimit(limit) => ttl = u8::try_from(limit).ok(),
                    _ => {}
                }
            }
            (
                message.bytes,
                message.address.map(|address| address.ip()),
                dst,
                ttl,
            )
        };
        let missing = || io::Error::from(io::ErrorKind::InvalidData);
        let (src, dst) = (src.ok_or_else(missing)?, dst.take().ok_or_else(missing)?);
        Ok(Datagram {
            received: Received {
                src: src.into(),
                dst: dst.into(),
                ttl: ttl.take().ok_or_else(missing)?,
                ip_header: &[],
                payload: &buffer[..len],
            },
        })
    }

    /// Sends a packet.
    pub(super) fn send(&self, outgoing: &Outgoing) -> io::Result<()> {
        let to = match outgoing.to {
            IpAddr::V4(to) => SocketAddr::from((to, 0)),
            IpAddr::V6(to) => SocketAddrV6::new(to, 0, 0, self.ifindex).into(),
        };
        let to = SockAddr::from(to);
        match &outgoing.ip_header {
            Some(header) => self
                .send
                .send_to(&[&header[..], &outgoing.payload].concat(), &to)?,
            None => self.send.send_to(&outgoing.payload, &to)?,
        };
        Ok(())
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receive.as_fd()
    }
}

/// A filter of the kernel (bpf(4)) that passes packets of one virtual router. The identifier is the second byte behind
/// the IPv4 header, which is read too, and behind the authentication header of 24 bytes; IPv6's header is not read.
fn only_of(vrid: u8, family: Family, header: bool) -> [SockFilter; 5] {
    const LOAD_HEADER_LEN: u16 = 0xb1; // ldx 4 * ([0] & 0x0f)
    const LOAD_NOTHING: u16 = 0x01; // ldx #0
    const LOAD_BYTE: u16 = 0x50; // ldb [x + k]
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let skipped = match family {
        Family::V4 => SockFilter::new(LOAD_HEADER_LEN, 0, 0, 0),
        Family::V6 => SockFilter::new(LOAD_NOTHING, 0, 0, 0),
    };
    let at = if header { 24 + 1 } else { 1 };
    [
        skipped,
        SockFilter::new(LOAD_BYTE, 0, 0, at),
        SockFilter::new(IF_EQUAL, 0, 1, u32::from(vrid)),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

fn open_v4(
    receive: &Socket,
    send: &Socket,
    config: &Config,
    ifindex: u32,
    multicast: bool,
    header: bool,
) -> io::Result<()> {
    let IpAddr::V4(source) = config.source else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if multicast {
        receive.join_multicast_v4_n(
            &weir_wire::vrrp::GROUP_V4,
            &InterfaceIndexOrAddress::Index(ifindex),
        )?;
        send.set_multicast_if_v4(&source)?;
        send.set_multicast_loop_v4(false)?;
        send.set_multicast_ttl_v4(u32::from(TTL))?;
    }
    send.set_ttl_v4(u32::from(TTL))?;
    send.set_tos_v4(TOS)?;
    send.set_header_included_v4(header)?;
    send.bind(&SocketAddr::from((source, 0)).into())
}

fn open_v6(
    receive: &Socket,
    send: &Socket,
    config: &Config,
    ifindex: u32,
    multicast: bool,
) -> io::Result<()> {
    let IpAddr::V6(source) = config.source else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    receive.set_recv_hoplimit_v6(true)?;
    nix::sys::socket::setsockopt(&receive, nix::sys::socket::sockopt::Ipv6RecvPacketInfo, &true)?;
    if multicast {
        receive.join_multicast_v6(&weir_wire::vrrp::GROUP_V6, ifindex)?;
        send.set_multicast_if_v6(ifindex)?;
        send.set_multicast_loop_v6(false)?;
        send.set_multicast_hops_v6(u32::from(TTL))?;
    }
    send.set_unicast_hops_v6(u32::from(TTL))?;
    send.bind(&SocketAddr::from(SocketAddrV6::new(source, 0, 0, ifindex)).into())
}
