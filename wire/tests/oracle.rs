//! Whole frames written by another implementation (etherparse) and read by ours, and the other way round.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{PacketBuilder, SlicedPacket, TcpOptionElement, TransportSlice};
use proptest::prelude::*;
use weir_wire::ethernet::Frame;
use weir_wire::tcp::{Flags, TcpOption};
use weir_wire::{EtherType, IpProtocol, MacAddr, icmpv4, icmpv6, ipv4, ipv6, tcp, udp};

const SRC_MAC: [u8; 6] = [2, 0, 0x5e, 0, 0x53, 1];
const DST_MAC: [u8; 6] = [2, 0, 0x5e, 0, 0x53, 2];

fn ends_v4() -> impl Strategy<Value = (Ipv4Addr, Ipv4Addr)> {
    any::<(u32, u32)>().prop_map(|(src, dst)| (src.into(), dst.into()))
}

fn ends_v6() -> impl Strategy<Value = (Ipv6Addr, Ipv6Addr)> {
    any::<(u128, u128)>().prop_map(|(src, dst)| (src.into(), dst.into()))
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..64)
}

fn l3(bytes: &[u8], ethertype: EtherType) -> &[u8] {
    let frame = Frame::new_checked(bytes).expect("their frame has a header");
    assert_eq!(
        (frame.src_addr(), frame.dst_addr()),
        (MacAddr(SRC_MAC), MacAddr(DST_MAC))
    );
    assert_eq!(frame.ethertype(), ethertype);
    &bytes[14..]
}

proptest! {
    #[test]
    fn their_tcp_over_ipv4(
        (src, dst) in ends_v4(), ports: (u16, u16), seq: u32, ack: u32, window: u16, payload in payload(), mss: u16,
    ) {
        let builder = PacketBuilder::ethernet2(SRC_MAC, DST_MAC)
            .ipv4(src.octets(), dst.octets(), 63)
            .tcp(ports.0, ports.1, seq, window)
            .ack(ack)
            .psh()
            .options(&[TcpOptionElement::Noop, TcpOptionElement::MaximumSegmentSize(mss)])
            .unwrap();
        let mut bytes = Vec::new();
        builder.write(&mut bytes, &payload).unwrap();

        let ip = ipv4::Packet::new_checked(l3(&bytes, EtherType::IPV4)).unwrap();
        prop_assert!(ip.verify_checksum());
        prop_assert_eq!((ip.src_addr(), ip.dst_addr(), ip.ttl(), ip.protocol()), (src, dst, 63, IpProtocol::TCP));
        let segment = tcp::Packet::new_checked(ip.payload()).unwrap();
        prop_assert!(segment.verify_checksum(src.into(), dst.into()));
        prop_assert_eq!(tcp::Repr::parse(&segment), tcp::Repr {
            src_port: ports.0, dst_port: ports.1, seq_number: seq, ack_number: ack, flags: Flags::ACK | Flags::PSH,
            window_len: window,
        });
        let first = segment.options().next().unwrap().and_then(TcpOption::parse);
        prop_assert_eq!(first, Ok(TcpOption::MaxSegmentSize(mss)));
        prop_assert_eq!(segment.payload(), &payload[..]);
    }

    #[test]
    fn their_udp_over_ipv6((src, dst) in ends_v6(), ports: (u16, u16), payload in payload()) {
        let builder = PacketBuilder::ethernet2(SRC_MAC, DST_MAC)
            .ipv6(src.octets(), dst.octets(), 9)
            .udp(ports.0, ports.1);
        let mut bytes = Vec::new();
        builder.write(&mut bytes, &payload).unwrap();

        let ip = ipv6::Packet::new_checked(l3(&bytes, EtherType::IPV6)).unwrap();
        prop_assert_eq!((ip.src_addr(), ip.dst_addr(), ip.hop_limit(), ip.next_header()), (src, dst, 9, IpProtocol::UDP));
        let datagram = udp::Packet::new_checked(ip.payload()).unwrap();
        prop_assert!(datagram.verify_checksum(src.into(), dst.into()));
        prop_assert_eq!((datagram.src_port(), datagram.dst_port(), datagram.payload()), (ports.0, ports.1, &payload[..]));
    }

    #[test]
    fn their_echo_requests(v4 in ends_v4(), v6 in ends_v6(), ident: u16, seq_no: u16, payload in payload()) {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2(SRC_MAC, DST_MAC).ipv4(v4.0.octets(), v4.1.octets(), 64);
        builder.icmpv4_echo_request(ident, seq_no).write(&mut bytes, &payload).unwrap();
        let ip = ipv4::Packet::new_checked(l3(&bytes, EtherType::IPV4)).unwrap();
        let message = icmpv4::Packet::new_checked(ip.payload()).unwrap();
        prop_assert_eq!(icmpv4::Repr::parse(&message), Ok(icmpv4::Repr::EchoRequest { ident, seq_no, data: &payload }));

        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2(SRC_MAC, DST_MAC).ipv6(v6.0.octets(), v6.1.octets(), 64);
        builder.icmpv6_echo_request(ident, seq_no).write(&mut bytes, &payload).unwrap();
        let ip = ipv6::Packet::new_checked(l3(&bytes, EtherType::IPV6)).unwrap();
        let message = icmpv6::Packet::new_checked(ip.payload()).unwrap();
        let expected = icmpv6::Repr::EchoRequest { ident, seq_no, data: &payload };
        prop_assert_eq!(icmpv6::Repr::parse(&message, v6.0, v6.1), Ok(expected));
    }

    #[test]
    fn our_frames_are_read_by_them((src, dst) in ends_v4(), ports: (u16, u16), payload in payload(), over_tcp: bool) {
        let protocol = if over_tcp { IpProtocol::TCP } else { IpProtocol::UDP };
        let l4_len = if over_tcp { tcp::HEADER_LEN } else { udp::HEADER_LEN } + payload.len();
        let header = ipv4::Repr {
            src_addr: src, dst_addr: dst, protocol, payload_len: l4_len as u16, ttl: 64, tos: 0, ident: 1,
            dont_frag: true,
        };
        let mut bytes = vec![0; ipv4::HEADER_LEN + l4_len];
        header.emit(&mut ipv4::Packet::new_unchecked(&mut bytes));
        let l4 = &mut bytes[ipv4::HEADER_LEN..];
        let ends: (IpAddr, IpAddr) = (src.into(), dst.into());
        if over_tcp {
            let mut segment = tcp::Packet::new_unchecked(l4);
            tcp::Repr {
                src_port: ports.0, dst_port: ports.1, seq_number: 7, ack_number: 8, flags: Flags::RST | Flags::ACK,
                window_len: 9,
            }
            .emit(&mut segment);
            segment.payload_mut().copy_from_slice(&payload);
            segment.fill_checksum(ends.0, ends.1);
        } else {
            let mut datagram = udp::Packet::new_unchecked(l4);
            udp::Repr { src_port: ports.0, dst_port: ports.1, payload_len: payload.len() as u16 }.emit(&mut datagram);
            datagram.payload_mut().copy_from_slice(&payload);
            datagram.fill_checksum(ends.0, ends.1);
        }

        let theirs = SlicedPacket::from_ip(&bytes).unwrap();
        let ip = theirs.net.as_ref().and_then(|net| net.ipv4_ref()).unwrap().header().to_header();
        prop_assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        match theirs.transport {
            Some(TransportSlice::Tcp(slice)) => {
                prop_assert!(over_tcp);
                let header = slice.to_header();
                prop_assert_eq!((header.source_port, header.destination_port), ports);
                prop_assert!(header.rst && header.ack && !header.syn);
                prop_assert_eq!(header.checksum, header.calc_checksum_ipv4(&ip, slice.payload()).unwrap());
            }
            Some(TransportSlice::Udp(slice)) => {
                prop_assert!(!over_tcp);
                let header = slice.to_header();
                prop_assert_eq!((header.source_port, header.destination_port), ports);
                prop_assert_eq!(header.checksum, header.calc_checksum_ipv4(&ip, slice.payload()).unwrap());
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
