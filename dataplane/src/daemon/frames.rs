//! Frames the main thread sends by itself: solicitations, and announcements of a VIP.
//!
//! RFC 826 and RFC 5227 (ARP), RFC 4861 §4.3, §4.4, §7.2 (neighbour discovery).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use weir_wire::{EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv6, ipv6, ndp, vlan};

/// All nodes on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Who sends, and in which VLAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Source MAC.
    pub mac: MacAddr,
    /// 802.1Q tag of the frame.
    pub vlan: Option<u16>,
}

/// Asks who has `target`, all stations or only the one it was last seen at. `from` is one of our addresses of the same
/// family; without one ARP sends a probe (RFC 5227 §1.1).
pub fn solicitation(sender: Sender, from: Option<IpAddr>, target: IpAddr, known: Option<MacAddr>) -> Vec<u8> {
    match target {
        IpAddr::V4(target) => {
            let from = match from {
                Some(IpAddr::V4(from)) => from,
                Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
            };
            arp_frame(sender, known.unwrap_or(MacAddr::BROADCAST), &arp::Repr::request(sender.mac, from, target))
        }
        IpAddr::V6(target) => {
            let from = match from {
                Some(IpAddr::V6(from)) => from,
                Some(IpAddr::V4(_)) | None => link_local(sender.mac),
            };
            let group = ipv6::solicited_node(target);
            let (mac, destination) = match known {
                Some(mac) => (mac, target),
                None => (MacAddr::from_ipv6_multicast(group), group),
            };
            let message = ndp::Repr::NeighborSolicit { target_addr: target, lladdr: Some(sender.mac) };
            ndp_frame(sender, mac, from, destination, &message)
        }
    }
}

/// Tells the whole segment that `address` is at `owner`: a gratuitous ARP request, or an unsolicited advertisement that
/// overrides what is cached.
pub fn announcement(sender: Sender, owner: MacAddr, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => {
            arp_frame(sender, MacAddr::BROADCAST, &arp::Repr::announcement(owner, address))
        }
        IpAddr::V6(address) => {
            let message = ndp::Repr::NeighborAdvert {
                router: false,
                solicited: false,
                override_: true,
                target_addr: address,
                lladdr: Some(owner),
            };
            ndp_frame(sender, MacAddr::from_ipv6_multicast(ALL_NODES), address, ALL_NODES, &message)
        }
    }
}

/// The address a station makes of its MAC (RFC 4291 appendix A).
fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

fn arp_frame(sender: Sender, to: MacAddr, message: &arp::Repr) -> Vec<u8> {
    let (mut frame, start) = framed(sender, to, EtherType::ARP, message.buffer_len());
    message.emit(&mut arp::Packet::new_unchecked(&mut frame[start..]));
    frame
}

fn ndp_frame(sender: Sender, to: MacAddr, src_addr: Ipv6Addr, dst_addr: Ipv6Addr, message: &ndp::Repr) -> Vec<u8> {
    let payload_len = message.buffer_len();
    let (mut frame, start) = framed(sender, to, EtherType::IPV6, ipv6::HEADER_LEN + payload_len);
    let header = ipv6::Repr {
        src_addr,
        dst_addr,
        next_header: IpProtocol::ICMPV6,
        payload_len: u16::try_from(payload_len).unwrap_or(u16::MAX),
        hop_limit: ndp::HOP_LIMIT,
        traffic_class: 0,
        flow_label: 0,
    };
    header.emit(&mut ipv6::Packet::new_unchecked(&mut frame[start..]));
    let payload = &mut frame[start + ipv6::HEADER_LEN..];
    message.emit(&mut icmpv6::Packet::new_unchecked(payload), src_addr, dst_addr);
    frame
}

/// A frame with its Ethernet header and tag, room for `payload_len` bytes, and where those begin.
fn framed(sender: Sender, dst_addr: MacAddr, ethertype: EtherType, payload_len: usize) -> (Vec<u8>, usize) {
    let tag_len = if sender.vlan.is_some() { vlan::HEADER_LEN } else { 0 };
    let start = ethernet::HEADER_LEN + tag_len;
    let mut frame = vec![0; start + payload_len];
    let outer = if sender.vlan.is_some() { EtherType::VLAN } else { ethertype };
    ethernet::Repr { dst_addr, src_addr: sender.mac, ethertype: outer }
        .emit(&mut ethernet::Frame::new_unchecked(&mut frame[..]));
    if let Some(vid) = sender.vlan {
        let mut tag = vlan::Packet::new_unchecked(&mut frame[ethernet::HEADER_LEN..]);
        tag.set_tci(vid);
        tag.set_ethertype(ethertype);
    }
    (frame, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Sender = Sender { mac: MacAddr([2, 0, 0, 0, 0, 1]), vlan: None };
    const TAGGED: Sender = Sender { vlan: Some(7), ..US };
    const SERVER: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn arp_of(frame: &[u8], start: usize) -> arp::Repr {
        arp::Repr::parse(&arp::Packet::new_checked(&frame[start..]).unwrap()).unwrap()
    }

    fn ndp_of(frame: &[u8], start: usize) -> (ndp::Envelope, ndp::Repr) {
        let ip = ipv6::Packet::new_checked(&frame[start..]).unwrap();
        let envelope =
            ndp::Envelope { src_addr: ip.src_addr(), dst_addr: ip.dst_addr(), hop_limit: ip.hop_limit() };
        let message = icmpv6::Packet::new_checked(ip.payload()).unwrap();
        (envelope, ndp::Repr::parse(&message, &envelope).unwrap())
    }

    #[test]
    fn arp_asks_everybody_or_the_one_last_seen() {
        let frame = solicitation(US, Some(ip("192.0.2.2")), ip("192.0.2.11"), None);
        assert_eq!(&frame[..14], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6]);
        let expected = arp::Repr::request(US.mac, [192, 0, 2, 2].into(), [192, 0, 2, 11].into());
        assert_eq!(arp_of(&frame, 14), expected);

        let frame = solicitation(TAGGED, None, ip("192.0.2.11"), Some(SERVER));
        assert_eq!(frame[..6], SERVER.0);
        assert_eq!(frame[12..18], [0x81, 0, 0, 7, 8, 6]);
        assert_eq!(arp_of(&frame, 18).sender_protocol_addr, Ipv4Addr::UNSPECIFIED);
    }

    #[test]
    fn neighbour_solicitations_go_to_the_group_or_the_station() {
        let frame = solicitation(US, Some(ip("2001:db8::2")), ip("2001:db8::11"), None);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0, 0, 0x11]);
        let (envelope, message) = ndp_of(&frame, 14);
        assert_eq!(IpAddr::V6(envelope.dst_addr), ip("ff02::1:ff00:11"));
        let asked = ndp::Repr::NeighborSolicit {
            target_addr: "2001:db8::11".parse().unwrap(),
            lladdr: Some(US.mac),
        };
        assert_eq!(message, asked);

        let frame = solicitation(US, None, ip("2001:db8::11"), Some(SERVER));
        assert_eq!(frame[..6], SERVER.0);
        assert_eq!(IpAddr::V6(ndp_of(&frame, 14).0.src_addr), ip("fe80::ff:fe00:1"));
    }

    #[test]
    fn announcements_reach_the_segment_and_name_the_owner() {
        let frame = announcement(US, SERVER, ip("192.0.2.100"));
        assert_eq!(frame[..6], [0xff; 6]);
        assert!(arp_of(&frame, 14).is_gratuitous());
        assert_eq!(arp_of(&frame, 14).sender_hardware_addr, SERVER);

        let frame = announcement(US, SERVER, ip("2001:db8::100"));
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
        let (_, message) = ndp_of(&frame, 14);
        assert!(matches!(
            message,
            ndp::Repr::NeighborAdvert { override_: true, solicited: false, lladdr: Some(SERVER), .. }
        ));
    }
}
