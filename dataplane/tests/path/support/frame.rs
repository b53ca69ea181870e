//! Frames as values: what a test sends and what it expects, written by etherparse.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv4Options, Ipv6Header, SingleVlanHeader, TcpHeader,
    UdpHeader, VlanId,
};

use super::{CLIENT_MAC, LAN_MAC};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp(u8),
    Udp,
    /// UDP with checksum 0.
    UdpUnsummed,
}

/// One TCP or UDP frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) dst_mac: [u8; 6],
    pub(crate) src_mac: [u8; 6],
    pub(crate) vlan: Option<u16>,
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) ip_options: Vec<u8>,
    /// IPv6 extension headers by number, eight bytes of padding options each.
    pub(crate) extensions: Vec<u8>,
    /// MSS option in the TCP header.
    pub(crate) mss: Option<u16>,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    fn new(src: &str, dst: &str, transport: Transport) -> Self {
        Self {
            dst_mac: LAN_MAC,
            src_mac: CLIENT_MAC,
            vlan: None,
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            transport,
            ttl: 64,
            tos: 0,
            dont_fragment: true,
            ip_options: Vec::new(),
            extensions: Vec::new(),
            mss: None,
            seq: 1000,
            ack: 0,
            payload: Vec::new(),
        }
    }

    pub(crate) fn tcp(src: &str, dst: &str, flags: u8) -> Self {
        Self::new(src, dst, Transport::Tcp(flags))
    }

    pub(crate) fn udp(src: &str, dst: &str) -> Self {
        Self::new(src, dst, Transport::Udp)
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The same with `len` bytes of payload.
    pub(crate) fn payload(self, len: usize) -> Self {
        self.with(|frame| frame.payload = (0..len).map(|i| (i * 7 + 3) as u8).collect())
    }

    pub(crate) fn macs(self, dst_mac: [u8; 6], src_mac: [u8; 6]) -> Self {
        self.with(|frame| (frame.dst_mac, frame.src_mac) = (dst_mac, src_mac))
    }

    /// The same one hop further.
    pub(crate) fn hop(self) -> Self {
        self.with(|frame| frame.ttl -= 1)
    }

    /// The frame's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = self.link();
        out.extend(self.ip());
        out
    }

    fn link(&self) -> Vec<u8> {
        link(self.dst_mac, self.src_mac, self.vlan, self.dst.ip().is_ipv6())
    }

    /// The IP packet alone.
    pub(crate) fn ip(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let transport = self.transport_bytes();
        let number = match self.transport {
            Transport::Tcp(_) => IpNumber::TCP,
            Transport::Udp | Transport::UdpUnsummed => IpNumber::UDP,
        };
        match (self.src.ip(), self.dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut header = Ipv4Header::new(
                    transport.len() as u16,
                    self.ttl,
                    number,
                    src.octets(),
                    dst.octets(),
                )
                .unwrap();
                header.dscp = (self.tos >> 2).try_into().unwrap();
                header.ecn = (self.tos & 3).try_into().unwrap();
                header.dont_fragment = self.dont_fragment;
                header.identification = if self.dont_fragment { 0 } else { 0x1234 };
                header.options = Ipv4Options::try_from(self.ip_options.as_slice()).unwrap();
                header.total_len = (header.header_len() + transport.len()) as u16;
                header.header_checksum = header.calc_header_checksum();
                header.write_raw(&mut out).unwrap();
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let chain: Vec<u8> = self.extensions.iter().copied().chain([number.0]).collect();
                let header = Ipv6Header {
                    traffic_class: self.tos,
                    flow_label: Default::default(),
                    payload_length: (8 * self.extensions.len() + transport.len()) as u16,
                    next_header: chain[0].into(),
                    hop_limit: self.ttl,
                    source: src.octets(),
                    destination: dst.octets(),
                };
                header.write(&mut out).unwrap();
                for next in &chain[1..] {
                    out.extend([*next, 0, 1, 4, 0, 0, 0, 0]);
                }
            }
            _ => panic!("families differ"),
        }
        out.extend(transport);
        out
    }

    /// Length of transport header and payload.
    pub(crate) fn transport_len(&self) -> usize {
        self.transport_bytes().len()
    }

    fn transport_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.transport {
            Transport::Tcp(flags) => {
                let mut header = TcpHeader::new(self.src.port(), self.dst.port(), self.seq, 4096);
                header.acknowledgment_number = self.ack;
                (header.fin, header.syn) = (flags & FIN != 0, flags & SYN != 0);
                (header.rst, header.ack) = (flags & RST != 0, flags & ACK != 0);
                if let Some(mss) = self.mss {
                    header
                        .set_options(&[etherparse::TcpOptionElement::MaximumSegmentSize(mss)])
                        .unwrap();
                }
                header.checksum = match (self.src.ip(), self.dst.ip()) {
                    (IpAddr::V4(src), IpAddr::V4(dst)) => header
                        .calc_checksum_ipv4_raw(src.octets(), dst.octets(), &self.payload)
                        .unwrap(),
                    (IpAddr::V6(src), IpAddr::V6(dst)) => header
                        .calc_checksum_ipv6_raw(src.octets(), dst.octets(), &self.payload)
                        .unwrap(),
                    _ => panic!("families differ"),
                };
                header.write(&mut out).unwrap();
            }
            Transport::Udp | Transport::UdpUnsummed => {
                let mut header = UdpHeader {
                    source_port: self.src.port(),
                    destination_port: self.dst.port(),
                    length: (8 + self.payload.len()) as u16,
                    checksum: 0,
                };
                if self.transport == Transport::Udp {
                    header.checksum = match (self.src.ip(), self.dst.ip()) {
                        (IpAddr::V4(src), IpAddr::V4(dst)) => header
                            .calc_checksum_ipv4_raw(src.octets(), dst.octets(), &self.payload)
                            .unwrap(),
                        (IpAddr::V6(src), IpAddr::V6(dst)) => header
                            .calc_checksum_ipv6_raw(src.octets(), dst.octets(), &self.payload)
                            .unwrap(),
                        _ => panic!("families differ"),
                    };
                }
                header.write(&mut out).unwrap();
            }
        }
        out.extend(&self.payload);
        out
    }
}

/// An Ethernet header.
pub(crate) fn link(dst_mac: [u8; 6], src_mac: [u8; 6], vlan: Option<u16>, v6: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let ether_type = if v6 { EtherType::IPV6 } else { EtherType::IPV4 };
    let outer = if vlan.is_some() {
        EtherType::VLAN_TAGGED_FRAME
    } else {
        ether_type
    };
    Ethernet2Header {
        source: src_mac,
        destination: dst_mac,
        ether_type: outer,
    }
    .write(&mut out)
    .unwrap();
    if let Some(id) = vlan {
        let header = SingleVlanHeader {
            pcp: Default::default(),
            drop_eligible_indicator: false,
            vlan_id: VlanId::try_new(id).unwrap(),
            ether_type,
        };
        header.write(&mut out).unwrap();
    }
    out
}

/// An ICMP or ICMPv6 frame with this type, code, second word and payload.
#[allow(clippy::too_many_arguments, reason = "the fields of one header")]
pub(crate) fn icmp(
    dst_mac: [u8; 6],
    src: IpAddr,
    dst: IpAddr,
    ttl: u8,
    kind: u8,
    code: u8,
    word: [u8; 4],
    payload: &[u8],
) -> Vec<u8> {
    let mut out = link(dst_mac, CLIENT_MAC, None, dst.is_ipv6());
    let mut message = vec![kind, code, 0, 0];
    message.extend(word);
    message.extend(payload);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let sum = super::check::sum(&[&message]);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            let header = Ipv4Header::new(
                message.len() as u16,
                ttl,
                IpNumber::ICMP,
                src.octets(),
                dst.octets(),
            )
            .unwrap();
            header.write(&mut out).unwrap();
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let pseudo = [
                &src.octets()[..],
                &dst.octets(),
                &(message.len() as u32).to_be_bytes(),
                &[0, 0, 0, 58],
            ]
            .concat();
            let sum = super::check::sum(&[&pseudo, &message]);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            let header = Ipv6Header {
                traffic_class: 0,
                flow_label: Default::default(),
                payload_length: message.len() as u16,
                next_header: IpNumber::IPV6_ICMP,
                hop_limit: ttl,
                source: src.octets(),
                destination: dst.octets(),
            };
            header.write(&mut out).unwrap();
        }
        _ => panic!("families differ"),
    }
    out.extend(message);
    out
}
