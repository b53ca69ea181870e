//! Bytes of the neighbour protocols: actions to Ethernet frames, Ethernet frames to inputs.
//!
//! Frames are untagged; a driver with VLANs adds and removes the tag. Nothing here keeps state.

use core::net::{IpAddr, Ipv6Addr};

use weir_wire::ethernet::{self, Frame};
use weir_wire::ndp::{self, Envelope};
use weir_wire::{Error, EtherType, IpProtocol, MacAddr, Result, arp, icmpv6, ipv6};

use super::Input;

/// Length of the longest frame written here, in bytes: a neighbour solicitation with its option.
pub const FRAME_LEN_MAX: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN + 32;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A frame of the neighbour protocols, ready to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighborFrame {
    bytes: [u8; FRAME_LEN_MAX],
    len: usize,
}

impl NeighborFrame {
    /// The frame, from the destination address on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The frame for [`Action::Solicit`](super::Action::Solicit): asks for `target`, from the station `src_mac` with the
/// address `src_ip`. `None` when the two addresses are not of one family.
pub fn solicit(
    target: IpAddr,
    unicast_to: Option<MacAddr>,
    src_mac: MacAddr,
    src_ip: IpAddr,
) -> Option<NeighborFrame> {
    match (target, src_ip) {
        (IpAddr::V4(target), IpAddr::V4(src)) => {
            let request = arp::Repr::request(src_mac, src, target);
            Some(arp_frame(unicast_to.unwrap_or(MacAddr::BROADCAST), &request))
        }
        (IpAddr::V6(target), IpAddr::V6(src)) => {
            // §7.2.2: multicast goes to the solicited-node group, unicast to the target itself.
            let dst = if unicast_to.is_some() {
                target
            } else {
                ipv6::solicited_node(target)
            };
            let dst_mac = unicast_to.unwrap_or(MacAddr::from_ipv6_multicast(dst));
            let message = ndp::Repr::NeighborSolicit {
                target_addr: target,
                lladdr: Some(src_mac),
            };
            Some(nd_frame(src_mac, dst_mac, src, dst, &message))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

/// Tells everybody that `address` is at `mac`: a gratuitous ARP request (RFC 5227 §3), or an unsolicited neighbour
/// advertisement with override (§7.2.6).
pub fn announce(address: IpAddr, mac: MacAddr, router: bool) -> NeighborFrame {
    match address {
        IpAddr::V4(address) => arp_frame(MacAddr::BROADCAST, &arp::Repr::announcement(mac, address)),
        IpAddr::V6(address) => {
            let message = ndp::Repr::NeighborAdvert {
                router,
                solicited: false,
                override_: true,
                target_addr: address,
                lladdr: Some(mac),
            };
            nd_frame(
                mac,
                MacAddr::from_ipv6_multicast(ALL_NODES),
                address,
                ALL_NODES,
                &message,
            )
        }
    }
}

/// The answer to a neighbour solicitation for an address of ours, as §7.2.4 wants it.
pub fn advertise(
    asker: Ipv6Addr,
    asker_mac: MacAddr,
    address: Ipv6Addr,
    mac: MacAddr,
    router: bool,
) -> NeighborFrame {
    // Somebody without an address yet (duplicate address detection) can only be told with everybody else.
    let unknown = asker.is_unspecified();
    let (dst, dst_mac) = if unknown {
        (ALL_NODES, MacAddr::from_ipv6_multicast(ALL_NODES))
    } else {
        (asker, asker_mac)
    };
    let message = ndp::Repr::NeighborAdvert {
        router,
        solicited: !unknown,
        override_: true,
        target_addr: address,
        lladdr: Some(mac),
    };
    nd_frame(mac, dst_mac, address, dst, &message)
}

/// The input in an Ethernet frame received on `port`: ARP or neighbour discovery, `Ok(None)` if it is neither.
pub fn input(port: u16, frame: &[u8]) -> Result<Option<Input>> {
    let frame = Frame::new_checked(frame)?;
    match frame.ethertype() {
        EtherType::ARP => {
            let packet = arp::Repr::parse(&arp::Packet::new_checked(frame.payload())?)?;
            Ok(Some(Input::Arp { port, packet }))
        }
        EtherType::IPV6 => nd_input(port, frame.payload()),
        EtherType(_) => Ok(None),
    }
}

fn nd_input(port: u16, bytes: &[u8]) -> Result<Option<Input>> {
    let packet = ipv6::Packet::new_checked(bytes)?;
    if packet.next_header() != IpProtocol::ICMPV6 {
        return Ok(None);
    }
    let icmp = icmpv6::Packet::new_checked(packet.payload())?;
    let src_addr = packet.src_addr();
    let envelope = Envelope {
        src_addr,
        dst_addr: packet.dst_addr(),
        hop_limit: packet.hop_limit(),
    };
    match ndp::Repr::parse(&icmp, &envelope) {
        Ok(message) => Ok(Some(Input::Nd {
            port,
            src_addr,
            message,
        })),
        Err(Error::BadType) => Ok(None),
        Err(error) => Err(error),
    }
}

fn ethernet_frame(src: MacAddr, dst: MacAddr, ethertype: EtherType, payload_len: usize) -> NeighborFrame {
    let mut frame = NeighborFrame {
        bytes: [0; FRAME_LEN_MAX],
        len: ethernet::HEADER_LEN + payload_len,
    };
    let header = ethernet::Repr {
        dst_addr: dst,
        src_addr: src,
        ethertype,
    };
    header.emit(&mut Frame::new_unchecked(&mut frame.bytes[..]));
    frame
}

fn arp_frame(dst: MacAddr, packet: &arp::Repr) -> NeighborFrame {
    let mut frame = ethernet_frame(
        packet.sender_hardware_addr,
        dst,
        EtherType::ARP,
        packet.buffer_len(),
    );
    packet.emit(&mut arp::Packet::new_unchecked(
        &mut frame.bytes[ethernet::HEADER_LEN..],
    ));
    frame
}

fn nd_frame(
    src_mac: MacAddr,
    dst_mac: MacAddr,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    message: &ndp::Repr,
) -> NeighborFrame {
    let len = message.buffer_len();
    let mut frame = ethernet_frame(src_mac, dst_mac, EtherType::IPV6, ipv6::HEADER_LEN + len);
    let (header, body) = frame.bytes[ethernet::HEADER_LEN..].split_at_mut(ipv6::HEADER_LEN);
    let repr = ipv6::Repr {
        src_addr: src,
        dst_addr: dst,
        next_header: IpProtocol::ICMPV6,
        payload_len: len as u16,
        hop_limit: ndp::HOP_LIMIT,
        traffic_class: 0,
        flow_label: 0,
    };
    repr.emit(&mut ipv6::Packet::new_unchecked(header));
    message.emit(&mut icmpv6::Packet::new_unchecked(&mut body[..len]), src, dst);
    frame
}
