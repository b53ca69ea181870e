//! A connection to the virtual address by the way that clients' packets take to one server: with direct return the packet
//! goes to the server's MAC, with a tunnel inside another packet. Only so is it seen that a server lacks the virtual
//! address, or does not take packets out of its tunnel; a check of the server's own address passes all the same.
//!
//! A SYN is sent; a SYN-ACK from the virtual address passes and is answered with a RST, so that the server forgets it
//! (RFC 9293 §3.10.7). Sent are whole IP packets, or what follows the outer IP header; read are whole IP packets.

use super::failure::{Failure, Fault};
use super::reader::Progress;
use std::net::{IpAddr, SocketAddr};
use weir_wire::{EtherType, IpProtocol, MacAddr, ethernet, gre, gue, ipv4, ipv6, tcp, vxlan};

const HOP_LIMIT: u8 = 64;
const WINDOW: u16 = 1_024;

/// What is connected to, and how packets get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Through {
    /// The service's address.
    pub service: SocketAddr,
    /// The outer packet, if there is one.
    pub tunnel: Option<Encapsulation>,
}

/// What stands between the outer IP header and the client's packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// Nothing.
    Ipip,
    /// GRE, with a checksum or without.
    Gre {
        /// Whether there is one.
        checksum: bool,
    },
    /// GUE to this UDP port.
    Gue {
        /// The port.
        port: u16,
    },
    /// VXLAN to this UDP port.
    Vxlan {
        /// The port.
        port: u16,
        /// The network.
        vni: u32,
        /// The server's MAC address in it.
        inner_mac: [u8; 6],
    },
}

/// What the driver puts around what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Nothing: it is a whole IP packet, to be handed to the server's MAC.
    Link,
    /// An IP header with this protocol.
    Ip(u8),
    /// A UDP header to this port.
    Udp(u16),
}

impl Through {
    /// What the driver puts around what is sent.
    pub fn carrier(&self) -> Carrier {
        match self.tunnel {
            None => Carrier::Link,
            Some(Encapsulation::Ipip) if self.service.is_ipv4() => Carrier::Ip(IpProtocol::IPV4.0),
            Some(Encapsulation::Ipip) => Carrier::Ip(IpProtocol::IPV6.0),
            Some(Encapsulation::Gre { .. }) => Carrier::Ip(IpProtocol::GRE.0),
            Some(Encapsulation::Gue { port } | Encapsulation::Vxlan { port, .. }) => Carrier::Udp(port),
        }
    }

    fn wrap(&self, packet: Vec<u8>) -> Vec<u8> {
        let (protocol, ethertype) = if self.service.is_ipv4() {
            (IpProtocol::IPV4, EtherType::IPV4)
        } else {
            (IpProtocol::IPV6, EtherType::IPV6)
        };
        match self.tunnel {
            None | Some(Encapsulation::Ipip) => packet,
            Some(Encapsulation::Gre { checksum }) => {
                let repr = gre::Repr {
                    protocol: ethertype,
                    checksum,
                    key: None,
                    sequence: None,
                };
                let mut bytes = vec![0; repr.buffer_len()];
                bytes.extend(packet);
                let mut header = gre::Packet::new_unchecked(&mut bytes[..]);
                repr.emit(&mut header);
                header.fill_checksum();
                bytes
            }
            Some(Encapsulation::Gue { .. }) => {
                let mut bytes = vec![0; gue::HEADER_LEN];
                let repr = gue::Repr { protocol };
                repr.emit(&mut gue::Packet::new_unchecked(&mut bytes[..]));
                bytes.extend(packet);
                bytes
            }
            Some(Encapsulation::Vxlan { vni, inner_mac, .. }) => {
                let mut bytes = vec![0; vxlan::HEADER_LEN + ethernet::HEADER_LEN];
                vxlan::Repr { vni }.emit(&mut vxlan::Packet::new_unchecked(&mut bytes[..]));
                let frame = ethernet::Repr {
                    dst_addr: MacAddr(inner_mac),
                    // Locally administered, as the dataplane's own.
                    src_addr: MacAddr([0x02, 0, 0, 0, 0, 1]),
                    ethertype,
                };
                frame.emit(&mut ethernet::Frame::new_unchecked(
                    &mut bytes[vxlan::HEADER_LEN..],
                ));
                bytes.extend(packet);
                bytes
            }
        }
    }
}

/// One run's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThroughReader {
    near: Option<SocketAddr>,
    sequence: u32,
}

impl ThroughReader {
    /// Begins, from `near`; `token` gives the sequence number.
    pub fn start(through: &Through, token: u64, near: Option<SocketAddr>) -> (Self, Progress) {
        let reader = Self {
            near,
            sequence: (token ^ (token >> 32)) as u32,
        };
        let syn = reader.segment(through, tcp::Flags::SYN, reader.sequence);
        let progress = match syn {
            Some(packet) => Progress::Say(through.wrap(packet)),
            None => Progress::Fail(Failure::Connection(Fault::Local)),
        };
        (reader, progress)
    }

    /// Takes an IP packet that was seen; what does not answer the SYN is passed over.
    pub fn read(&mut self, through: &Through, packet: &[u8]) -> Progress {
        let Some((segment, from, to)) = segment(packet) else {
            return Progress::More;
        };
        let acknowledges =
            segment.flags.contains(tcp::Flags::ACK) && segment.ack_number == self.sequence.wrapping_add(1);
        if from != through.service || Some(to) != self.near || !acknowledges {
            return Progress::More;
        }
        if segment.flags.contains(tcp::Flags::RST) {
            return Progress::Fail(Failure::Connection(Fault::Refused));
        }
        if !segment.flags.contains(tcp::Flags::SYN) {
            return Progress::More;
        }
        match self.segment(through, tcp::Flags::RST, segment.ack_number) {
            Some(packet) => Progress::Farewell(through.wrap(packet)),
            None => Progress::Pass,
        }
    }

    /// A segment without payload to the service as an IP packet; `None` without an address of the service's family.
    fn segment(&self, through: &Through, flags: tcp::Flags, seq_number: u32) -> Option<Vec<u8>> {
        let near = self.near?;
        let repr = tcp::Repr {
            src_port: near.port(),
            dst_port: through.service.port(),
            seq_number,
            ack_number: 0,
            flags,
            window_len: WINDOW,
        };
        let mut segment = vec![0; repr.buffer_len()];
        let mut view = tcp::Packet::new_unchecked(&mut segment[..]);
        repr.emit(&mut view);
        view.fill_checksum(near.ip(), through.service.ip());
        let mut packet = match (near.ip(), through.service.ip()) {
            (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
                let mut header = vec![0; ipv4::HEADER_LEN];
                let repr = ipv4::Repr {
                    src_addr,
                    dst_addr,
                    protocol: IpProtocol::TCP,
                    payload_len: segment.len() as u16,
                    ttl: HOP_LIMIT,
                    tos: 0,
                    ident: 0,
                    dont_frag: true,
                };
                repr.emit(&mut ipv4::Packet::new_unchecked(&mut header[..]));
                header
            }
            (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
                let mut header = vec![0; ipv6::HEADER_LEN];
                let repr = ipv6::Repr {
                    src_addr,
                    dst_addr,
                    next_header: IpProtocol::TCP,
                    payload_len: segment.len() as u16,
                    hop_limit: HOP_LIMIT,
                    traffic_class: 0,
                    flow_label: 0,
                };
                repr.emit(&mut ipv6::Packet::new_unchecked(&mut header[..]));
                header
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        packet.append(&mut segment);
        Some(packet)
    }
}

/// The TCP segment in an IP packet, and its two ends.
fn segment(packet: &[u8]) -> Option<(tcp::Repr, SocketAddr, SocketAddr)> {
    let (from, to, payload): (IpAddr, IpAddr, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let header = ipv4::Packet::new_checked(packet).ok()?;
            if header.protocol() != IpProtocol::TCP || header.is_fragment() {
                return None;
            }
            let payload = packet.get(header.header_len()..usize::from(header.total_len()))?;
            (header.src_addr().into(), header.dst_addr().into(), payload)
        }
        6 => {
            let header = ipv6::Packet::new_checked(packet).ok()?;
            if header.next_header() != IpProtocol::TCP {
                return None;
            }
            let payload = packet.get(ipv6::HEADER_LEN..header.total_len())?;
            (header.src_addr().into(), header.dst_addr().into(), payload)
        }
        _ => return None,
    };
    let view = tcp::Packet::new_checked(payload).ok()?;
    let repr = tcp::Repr::parse(&view);
    Some((
        repr,
        SocketAddr::new(from, repr.src_port),
        SocketAddr::new(to, repr.dst_port),
    ))
}

#[cfg(test)]
mod tests;
