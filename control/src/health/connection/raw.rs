//! Packets as a client's would arrive at the server, and what the server answers: for the check through the path.
//!
//! Sending leaves MAC addresses and routes to the kernel: a raw socket with a header of its own hands the packet to the
//! neighbour that `sendto` names, whatever its destination (raw(7); Linux sets `FLOWI_FLAG_KNOWN_NH`). Answers are seen
//! by a packet socket before the kernel looks at them, because it takes those from the virtual address for forgeries
//! while this host holds that address. A bound TCP socket keeps the port for the run.

use super::super::{Source, Target};
use super::task::{Event, Line, Task};
use super::{fault, socket};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::UdpSocket;
use weir_proto::health::through::{Carrier, Through};

/// A SYN-ACK with every option there is, or a piece of something longer.
const READ_BYTES: usize = 256;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Raw packets with headers of their own (IPPROTO_RAW).
const PROTOCOL_RAW: i32 = 255;

/// Begins the run.
pub(super) fn start(target: &Target, through: Through) -> Task {
    let (server, source) = (target.address.ip(), target.source.clone());
    Task::start(move |mut line| async move {
        if let Err(error) = exchange(&mut line, server, &source, through).await {
            line.tell(Event::Broken(fault(&error))).await;
        }
    })
}

async fn exchange(line: &mut Line, server: IpAddr, source: &Source, through: Through) -> io::Result<()> {
    let port = Port::reserve(server, source, through.service.is_ipv4())?;
    // Any datagram socket will do: what is used of it is receiving.
    let listener = UdpSocket::from_std(listen(port.near)?.into())?;
    let sender = Sender::open(server, source, through.carrier())?;
    line.tell(Event::Bound(port.near)).await;
    line.tell(Event::Connected).await;
    let mut buffer = [0; READ_BYTES];
    loop {
        tokio::select! {
            packet = line.writes.recv() => match packet {
                Some(packet) => sender.send(&packet)?,
                None => return Ok(()),
            },
            read = listener.recv(&mut buffer) => {
                let count = read?;
                line.tell(Event::Read(buffer[..count].to_vec())).await;
            }
        }
    }
}

/// A TCP port of this host that nothing else uses meanwhile.
struct Port {
    near: SocketAddr,
    _socket: Socket,
}

impl Port {
    /// At the source's address, or the one from which the kernel would reach the server.
    fn reserve(server: IpAddr, source: &Source, ipv4: bool) -> io::Result<Self> {
        let near = match source.address {
            Some(address) => address,
            None => {
                let towards = socket::bound(server, Type::DGRAM, Some(Protocol::UDP), source)?;
                towards.connect(&SocketAddr::new(server, 9).into())?;
                address_of(&towards)?.ip()
            }
        };
        if near.is_ipv4() != ipv4 {
            return Err(io::Error::other(
                "the check needs a source address of the service's family: set `source_address`",
            ));
        }
        let socket = Socket::new(socket::domain(near), Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::new(near, source.port.unwrap_or(0)).into())?;
        Ok(Self {
            near: address_of(&socket)?,
            _socket: socket,
        })
    }
}

fn address_of(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("a socket without an address"))
}

/// Sees the TCP packets that arrive for `near`'s port, on any interface.
fn listen(near: SocketAddr) -> io::Result<Socket> {
    let (ethertype, filter): (u16, Box<[SockFilter]>) = match near {
        SocketAddr::V4(_) => (ETHERTYPE_IPV4, Box::new(filter_v4(near.port()))),
        SocketAddr::V6(_) => (ETHERTYPE_IPV6, Box::new(filter_v6(near.port()))),
    };
    let protocol = Protocol::from(i32::from(ethertype.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
    socket.attach_filter(&filter)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Classic BPF (Linux, `bpf_common.h`), over a packet that begins with its IP header.
mod bpf {
    pub(super) const LOAD_BYTE: u16 = 0x30;
    pub(super) const LOAD_HALF: u16 = 0x28;
    pub(super) const LOAD_HALF_X: u16 = 0x48;
    pub(super) const LOAD_HEADER_LENGTH_X: u16 = 0xb1;
    pub(super) const JUMP_EQUAL: u16 = 0x15;
    pub(super) const RETURN: u16 = 0x06;
}

const TCP: u32 = 6;

/// TCP to `port` in IPv4.
fn filter_v4(port: u16) -> [SockFilter; 7] {
    [
        SockFilter::new(bpf::LOAD_BYTE, 0, 0, 9),
        SockFilter::new(bpf::JUMP_EQUAL, 0, 4, TCP),
        SockFilter::new(bpf::LOAD_HEADER_LENGTH_X, 0, 0, 0),
        SockFilter::new(bpf::LOAD_HALF_X, 0, 0, 2),
        SockFilter::new(bpf::JUMP_EQUAL, 0, 1, port.into()),
        SockFilter::new(bpf::RETURN, 0, 0, u32::MAX),
        SockFilter::new(bpf::RETURN, 0, 0, 0),
    ]
}

/// TCP to `port` in IPv6 without extension headers.
fn filter_v6(port: u16) -> [SockFilter; 6] {
    [
        SockFilter::new(bpf::LOAD_BYTE, 0, 0, 6),
        SockFilter::new(bpf::JUMP_EQUAL, 0, 3, TCP),
        SockFilter::new(bpf::LOAD_HALF, 0, 0, 42),
        SockFilter::new(bpf::JUMP_EQUAL, 0, 1, port.into()),
        SockFilter::new(bpf::RETURN, 0, 0, u32::MAX),
        SockFilter::new(bpf::RETURN, 0, 0, 0),
    ]
}

/// Puts packets on their way to the server.
struct Sender {
    socket: Socket,
    to: SocketAddr,
}

impl Sender {
    fn open(server: IpAddr, source: &Source, carrier: Carrier) -> io::Result<Self> {
        let raw = |protocol| socket::marked(server, Type::RAW, Some(Protocol::from(protocol)), source);
        let (socket, port) = match carrier {
            Carrier::Link => {
                let socket = raw(PROTOCOL_RAW)?;
                match server {
                    IpAddr::V4(_) => socket.set_header_included_v4(true)?,
                    IpAddr::V6(_) => socket.set_header_included_v6(true)?,
                }
                (socket, 0)
            }
            Carrier::Ip(protocol) => (raw(i32::from(protocol))?, 0),
            Carrier::Udp(port) => {
                let socket = socket::marked(server, Type::DGRAM, Some(Protocol::UDP), source)?;
                (socket, port)
            }
        };
        // It only sends.
        socket.set_recv_buffer_size(1)?;
        Ok(Self {
            socket,
            to: SocketAddr::new(server, port),
        })
    }

    fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.socket.send_to(packet, &self.to.into()).map(drop)
    }
}
