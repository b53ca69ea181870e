//! Sums every checksum of a frame again, tunnels and quoted packets included, with etherparse's parser and a naive sum.

use std::net::IpAddr;

use etherparse::{IpNumber, NetSlice, SlicedPacket, TransportSlice};

/// The Internet checksum of pieces of even length but for the last, two bytes at a time as RFC 1071 words it.
pub(crate) fn sum(pieces: &[&[u8]]) -> u16 {
    let mut total = 0u32;
    for piece in pieces {
        for pair in piece.chunks(2) {
            total += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// Panics when a checksum or length of the frame is wrong.
pub(crate) fn frame(bytes: &[u8]) {
    let packet = SlicedPacket::from_ethernet(bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
    sliced(&packet, bytes);
}

/// The same for an IP packet without a link header.
pub(crate) fn ip(bytes: &[u8]) {
    let packet = SlicedPacket::from_ip(bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
    sliced(&packet, bytes);
}

fn sliced(packet: &SlicedPacket<'_>, bytes: &[u8]) {
    let (src, dst, payload, number): (IpAddr, IpAddr, &[u8], IpNumber) = match &packet.net {
        Some(NetSlice::Ipv4(v4)) => {
            let header = v4.header().to_header();
            assert_eq!(
                header.calc_header_checksum(),
                header.header_checksum,
                "IPv4 header of {bytes:02x?}"
            );
            let payload = v4.payload();
            (
                header.source.into(),
                header.destination.into(),
                payload.payload,
                payload.ip_number,
            )
        }
        Some(NetSlice::Ipv6(v6)) => {
            let header = v6.header().to_header();
            let payload = v6.payload();
            (
                header.source.into(),
                header.destination.into(),
                payload.payload,
                payload.ip_number,
            )
        }
        Some(NetSlice::Arp(_)) | None => return,
    };
    match &packet.transport {
        Some(TransportSlice::Tcp(_)) => {
            assert_eq!(transport_sum(src, dst, 6, payload), 0, "TCP of {bytes:02x?}")
        }
        Some(TransportSlice::Udp(udp)) => {
            if udp.checksum() != 0 {
                assert_eq!(transport_sum(src, dst, 17, payload), 0, "UDP of {bytes:02x?}");
            }
            inner_of_udp(udp.destination_port(), udp.payload());
        }
        Some(TransportSlice::Icmpv4(_)) => assert_eq!(sum(&[payload]), 0, "ICMP of {bytes:02x?}"),
        Some(TransportSlice::Icmpv6(_)) => {
            assert_eq!(transport_sum(src, dst, 58, payload), 0, "ICMPv6 of {bytes:02x?}")
        }
        Some(TransportSlice::Igmp(_)) => {}
        None => match number {
            IpNumber::IPV4 | IpNumber::IPV6 => ip(payload),
            IpNumber::GRE => {
                let checksummed = payload[0] & 0x80 != 0;
                if checksummed {
                    assert_eq!(sum(&[payload]), 0, "GRE of {bytes:02x?}");
                }
                ip(&payload[if checksummed { 8 } else { 4 }..]);
            }
            _ => {}
        },
    }
}

fn inner_of_udp(port: u16, payload: &[u8]) {
    match port {
        6080 => ip(&payload[4..]),
        4789 => frame(&payload[8..]),
        _ => {}
    }
}

fn transport_sum(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let len = (payload.len() as u32).to_be_bytes();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            sum(&[&src.octets(), &dst.octets(), &[0, protocol], &len[2..], payload])
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            sum(&[&src.octets(), &dst.octets(), &len, &[0, 0, 0, protocol], payload])
        }
        _ => unreachable!("families differ"),
    }
}
