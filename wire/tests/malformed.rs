//! A million mutated and truncated packets through every parser and every accessor: none may panic, and what passed a
//! checked door may be written back.
//!
//! `WEIR_SEED` replays a run; a failure prints the seed and the packet's number.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use weir_wire::ndp::{Envelope, HOP_LIMIT, NdpOptions};
use weir_wire::tcp::{Flags, TcpOption};
use weir_wire::{EtherType, IpProtocol, MacAddr, Result};
use weir_wire::{
    arp, ethernet, gre, gue, icmpv4, icmpv6, ip, ipv4, ipv6, ipv6_ext, ndp, tcp, udp, vlan, vxlan,
};

const PACKETS: u64 = 1_000_000;
const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

type Door = fn(&mut [u8]) -> Result<()>;

/// A parser driven to the end, and a packet it accepts.
struct Target {
    name: &'static str,
    door: Door,
    sample: Vec<u8>,
}

fn write<const N: usize>(emit: impl FnOnce(&mut [u8; N])) -> Vec<u8> {
    let mut bytes = [0; N];
    emit(&mut bytes);
    bytes.to_vec()
}

fn ethernet_door(data: &mut [u8]) -> Result<()> {
    let mut frame = ethernet::Frame::new_checked(data)?;
    let repr = ethernet::Repr::parse(&frame);
    repr.emit(&mut frame);
    black_box(frame.payload_mut());
    Ok(())
}

fn vlan_door(data: &mut [u8]) -> Result<()> {
    let mut tag = vlan::Packet::new_checked(data)?;
    black_box((
        tag.vid(),
        tag.priority(),
        tag.drop_eligible(),
        tag.ethertype(),
        tag.payload().len(),
    ));
    tag.set_vid(7);
    tag.set_ethertype(EtherType::IPV4);
    Ok(())
}

fn arp_door(data: &mut [u8]) -> Result<()> {
    let mut packet = arp::Packet::new_checked(data)?;
    let repr = arp::Repr::parse(&packet)?;
    black_box(repr.is_gratuitous());
    repr.reply_from(MacAddr::BROADCAST).emit(&mut packet);
    Ok(())
}

fn ipv4_door(data: &mut [u8]) -> Result<()> {
    let quoted = ipv4::Packet::new_header_checked(&*data)?;
    black_box((
        quoted.payload(),
        quoted.options().count(),
        quoted.verify_checksum(),
    ));
    let mut packet = ipv4::Packet::new_checked(data)?;
    black_box((
        packet.tos(),
        packet.ident(),
        packet.frag_offset(),
        packet.is_fragment(),
        packet.more_frags(),
    ));
    packet.rewrite_src_addr(V4);
    packet.rewrite_dst_addr(V4);
    packet.decrement_ttl();
    packet.fill_checksum();
    black_box(packet.payload_mut());
    black_box(ipv4::Repr::parse(&packet)).map(drop)
}

fn ipv6_door(data: &mut [u8]) -> Result<()> {
    let quoted = ipv6::Packet::new_header_checked(&*data)?;
    black_box(ipv6_ext::walk(quoted.next_header(), quoted.payload()).ok());
    let mut packet = ipv6::Packet::new_checked(data)?;
    let upper = ipv6_ext::walk(packet.next_header(), packet.payload())?;
    black_box((
        &packet.payload()[upper.offset..],
        ip::ports(&packet.payload()[upper.offset..]),
    ));
    packet.set_src_addr(V6);
    packet.decrement_hop_limit();
    black_box((ipv6::Repr::parse(&packet), packet.payload_mut().len()));
    Ok(())
}

fn tcp_door(data: &mut [u8]) -> Result<()> {
    let mut segment = tcp::Packet::new_checked(data)?;
    black_box((
        tcp::Repr::parse(&segment),
        segment.segment_len(),
        segment.urgent_at(),
        segment.mss(),
    ));
    for option in segment.options() {
        black_box(option.and_then(TcpOption::parse).ok());
    }
    segment.clamp_mss(1000);
    segment.fill_checksum(V4.into(), V4.into());
    assert!(segment.verify_checksum(V4.into(), V4.into()));
    Ok(())
}

fn udp_door(data: &mut [u8]) -> Result<()> {
    let quoted = udp::Packet::new_header_checked(&*data)?;
    black_box((quoted.payload(), quoted.verify_checksum(V4.into(), V4.into())));
    let mut datagram = udp::Packet::new_checked(data)?;
    black_box((udp::Repr::parse(&datagram), datagram.payload_mut().len()));
    datagram.fill_checksum(V6.into(), V6.into());
    assert!(datagram.verify_checksum(V6.into(), V6.into()));
    Ok(())
}

fn icmpv4_door(data: &mut [u8]) -> Result<()> {
    let mut message = icmpv4::Packet::new_checked(data)?;
    black_box((message.quoted(), message.next_hop_mtu(), message.is_frag_needed()));
    message.fill_checksum();
    let parsed = icmpv4::Repr::parse(&message).map(|repr| repr.buffer_len());
    message.turn_into_echo_reply();
    parsed.map(drop)
}

fn icmpv6_door(data: &mut [u8]) -> Result<()> {
    let mut message = icmpv6::Packet::new_checked(data)?;
    black_box((
        message.quoted(),
        message.pkt_too_big_mtu(),
        message.msg_type().is_ndp(),
    ));
    message.fill_checksum(V6, V6);
    let parsed = icmpv6::Repr::parse(&message, V6, V6).map(|repr| repr.buffer_len());
    message.turn_into_echo_reply();
    parsed.map(drop)
}

/// The checksum is put right first, so that mutations reach the rules behind it.
fn ndp_door(data: &mut [u8]) -> Result<()> {
    let mut message = icmpv6::Packet::new_checked(&mut *data)?;
    let src_addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    message.fill_checksum(src_addr, V6);
    let envelope = Envelope {
        src_addr,
        dst_addr: V6,
        hop_limit: HOP_LIMIT,
    };
    black_box(NdpOptions::new(message.payload()).count());
    let repr = ndp::Repr::parse(&message, &envelope)?;
    let mut out = vec![0; repr.buffer_len()];
    let mut written = icmpv6::Packet::new_unchecked(&mut out);
    repr.emit(&mut written, src_addr, V6);
    assert_eq!(ndp::Repr::parse(&written, &envelope), Ok(repr));
    Ok(())
}

fn gre_door(data: &mut [u8]) -> Result<()> {
    let mut packet = gre::Packet::new_checked(data)?;
    black_box((packet.key(), packet.sequence(), packet.payload().len()));
    packet.fill_checksum();
    let repr = gre::Repr::parse(&packet)?;
    assert_eq!(repr.buffer_len(), packet.header_len());
    repr.emit(&mut packet);
    Ok(())
}

fn gue_door(data: &mut [u8]) -> Result<()> {
    let packet = gue::Packet::new_checked(data)?;
    black_box((packet.payload(), packet.flags(), packet.is_control()));
    gue::Repr::parse(&packet).map(drop)
}

fn vxlan_door(data: &mut [u8]) -> Result<()> {
    let mut packet = vxlan::Packet::new_checked(data)?;
    black_box(packet.payload());
    vxlan::Repr::parse(&packet).emit(&mut packet);
    Ok(())
}

fn ndp_sample(repr: ndp::Repr) -> Vec<u8> {
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut icmpv6::Packet::new_unchecked(&mut bytes), V6, V6);
    bytes
}

fn targets() -> Vec<Target> {
    let mac = MacAddr([2, 0, 0x5e, 0, 0x53, 1]);
    let ip4 = ipv4::Repr {
        src_addr: V4,
        dst_addr: V4,
        protocol: IpProtocol::UDP,
        payload_len: 20,
        ttl: 64,
        tos: 0,
        ident: 0,
        dont_frag: false,
    };
    let ip6 = ipv6::Repr {
        src_addr: V6,
        dst_addr: V6,
        next_header: IpProtocol::IPV6_OPTS,
        payload_len: 40,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
    };
    let segment = tcp::Repr {
        src_port: 1,
        dst_port: 2,
        seq_number: 3,
        ack_number: 4,
        flags: Flags::SYN,
        window_len: 5,
    };
    let frame = ethernet::Repr {
        dst_addr: mac,
        src_addr: mac,
        ethertype: EtherType::IPV4,
    };
    let router_advert = ndp::Repr::RouterAdvert {
        hop_limit: 64,
        managed: false,
        other: false,
        router_lifetime_s: 1,
        reachable_time_ms: 2,
        retrans_timer_ms: 3,
        lladdr: Some(mac),
        mtu: Some(1500),
    };
    let target = |name, door, sample| Target { name, door, sample };
    vec![
        target(
            "ethernet",
            ethernet_door as Door,
            write::<20>(|b| frame.emit(&mut ethernet::Frame::new_unchecked(b))),
        ),
        target("vlan", vlan_door, vec![0, 7, 8, 0, 0x45]),
        target(
            "arp",
            arp_door,
            write::<28>(|b| arp::Repr::announcement(mac, V4).emit(&mut arp::Packet::new_unchecked(b))),
        ),
        target(
            "ipv4",
            ipv4_door,
            write::<44>(|b| {
                let mut packet = ipv4::Packet::new_unchecked(&mut b[..]);
                ip4.emit(&mut packet);
                packet.set_header_len(24);
                b[20..24].copy_from_slice(&[7, 3, 4, 0]);
            }),
        ),
        target(
            "ipv6",
            ipv6_door,
            write::<80>(|b| {
                ip6.emit(&mut ipv6::Packet::new_unchecked(&mut b[..]));
                b[40..42].copy_from_slice(&[43, 0]);
                b[48..52].copy_from_slice(&[44, 0, 4, 0]);
                b[56..60].copy_from_slice(&[6, 0, 0, 1]);
            }),
        ),
        target(
            "tcp",
            tcp_door,
            write::<44>(|b| {
                let mut packet = tcp::Packet::new_unchecked(&mut b[..]);
                segment.emit(&mut packet);
                packet.set_header_len(40);
                b[20..40].copy_from_slice(&[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7]);
            }),
        ),
        target(
            "udp",
            udp_door,
            write::<13>(|b| {
                udp::Repr {
                    src_port: 1,
                    dst_port: 2,
                    payload_len: 5,
                }
                .emit(&mut udp::Packet::new_unchecked(b));
            }),
        ),
        target(
            "icmpv4",
            icmpv4_door,
            [&[3, 4, 0, 0, 0, 0, 5, 120][..], &[0x45; 28]].concat(),
        ),
        target(
            "icmpv6",
            icmpv6_door,
            [&[2, 0, 0, 0, 0, 0, 5, 0][..], &[0x60; 48]].concat(),
        ),
        target(
            "ndp ns",
            ndp_door,
            ndp_sample(ndp::Repr::NeighborSolicit {
                target_addr: V6,
                lladdr: Some(mac),
            }),
        ),
        target("ndp ra", ndp_door, ndp_sample(router_advert)),
        target(
            "gre",
            gre_door,
            write::<20>(|b| {
                let repr = gre::Repr {
                    protocol: EtherType::IPV4,
                    checksum: true,
                    key: Some(1),
                    sequence: Some(2),
                };
                repr.emit(&mut gre::Packet::new_unchecked(b));
            }),
        ),
        target("gue", gue_door, vec![0, 4, 0, 0, 0x45]),
        target("vxlan", vxlan_door, vec![8, 0, 0, 0, 0, 0, 7, 0, 1]),
    ]
}

/// Flips bits, sets bytes to the values that break length arithmetic, cuts, and lengthens.
fn mutate(rng: &mut SmallRng, packet: &mut Vec<u8>) {
    for _ in 0..rng.random_range(0..4) {
        let Some(last) = packet.len().checked_sub(1) else {
            return;
        };
        // The front of a packet holds most of the lengths.
        let end = if rng.random() { last } else { last.min(7) };
        let at = rng.random_range(0..=end);
        match rng.random_range(0..6) {
            0 => packet[at] ^= 1 << rng.random_range(0..8),
            1 => packet[at] = [0, 1, 0x0f, 0x40, 0x4f, 0x7f, 0x80, 0xff][rng.random_range(0..8)],
            2 => packet[at] = rng.random(),
            3 => packet[at] = packet[at].wrapping_add(if rng.random() { 1 } else { 255 }),
            4 => packet.truncate(at),
            _ => packet.extend_from_within(..=at),
        }
    }
}

#[test]
fn a_million_mutations_panic_nowhere() {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0x5eed);
    let mut rng = SmallRng::seed_from_u64(seed);
    let targets = targets();
    let mut passed = vec![0u64; targets.len()];
    let mut refused = vec![0u64; targets.len()];
    for target in &targets {
        assert_eq!(
            (target.door)(&mut target.sample.clone()),
            Ok(()),
            "{}",
            target.name
        );
    }
    let mut packet = Vec::new();
    for number in 0..PACKETS {
        let index = (number % targets.len() as u64) as usize;
        packet.clear();
        packet.extend_from_slice(&targets[index].sample);
        mutate(&mut rng, &mut packet);
        let original = packet.clone();
        match catch_unwind(AssertUnwindSafe(|| (targets[index].door)(&mut packet))) {
            Ok(Ok(())) => passed[index] += 1,
            Ok(Err(_)) => refused[index] += 1,
            Err(_) => panic!(
                "WEIR_SEED={seed}: {} panics at packet {number}: {original:02x?}",
                targets[index].name
            ),
        }
    }
    for (index, target) in targets.iter().enumerate() {
        assert!(
            passed[index] > 1000,
            "{}: mutations never get past the door",
            target.name
        );
        assert!(refused[index] > 1000, "{}: mutations never break it", target.name);
    }
}

#[test]
fn pure_noise_panics_nowhere() {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0x5eed);
    let mut rng = SmallRng::seed_from_u64(seed);
    let targets = targets();
    for _ in 0..200_000 {
        let mut packet = vec![0u8; rng.random_range(0..96)];
        rng.fill(&mut packet[..]);
        for target in &targets {
            let _ = black_box((target.door)(&mut packet.clone()));
        }
    }
}
