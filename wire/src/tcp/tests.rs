use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

/// A SYN with the options Linux sends: MSS 1460, SACK permitted, timestamps, nop, window scale 7.
const SYN: [u8; 40] = [
    0xc0, 0x00, 0x00, 0x50, 0x01, 0x02, 0x03, 0x04, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0xfa, 0xf0, 0x00,
    0x00, 0x00, 0x00, 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7,
];
const REPR: Repr = Repr {
    src_port: 49152,
    dst_port: 80,
    seq_number: 0x0102_0304,
    ack_number: 0,
    flags: Flags::SYN,
    window_len: 64240,
};

fn segment(options: &[u8], payload: &[u8]) -> Vec<u8> {
    assert!(options.len().is_multiple_of(4));
    let mut bytes = [&[0; HEADER_LEN][..], options, payload].concat();
    let mut packet = Packet::new_unchecked(&mut bytes);
    REPR.emit(&mut packet);
    packet.set_header_len(HEADER_LEN + options.len());
    bytes
}

#[test]
fn bytes_and_value_agree() {
    let packet = Packet::new_checked(SYN).unwrap();
    assert_eq!(Repr::parse(&packet), REPR);
    assert_eq!(packet.header_len(), 40);
    let mut bytes = [0xff; HEADER_LEN];
    REPR.emit(&mut Packet::new_unchecked(&mut bytes));
    assert_eq!(bytes[..12], SYN[..12]);
    assert_eq!(bytes[12..], [0x50, 0x02, 0xfa, 0xf0, 0, 0, 0, 0]);
}

#[test]
fn options_have_their_meaning() {
    let packet = Packet::new_checked(SYN).unwrap();
    let options: Vec<_> = packet.options().map(|raw| TcpOption::parse(raw?)).collect();
    let expected = [
        TcpOption::MaxSegmentSize(1460),
        TcpOption::SackPermitted,
        TcpOption::Timestamps { value: 1, echo: 2 },
        TcpOption::WindowScale(7),
    ];
    assert_eq!(options, expected.map(Ok));
    assert_eq!(packet.mss(), Some((1460, 22)));
}

#[test]
fn malformed_options_are_errors_and_hide_no_panic() {
    let rows: [([u8; 4], Error); 6] = [
        ([2, 3, 0, 0], Error::BadOption),
        ([3, 4, 0, 0], Error::BadOption),
        ([4, 3, 0, 0], Error::BadOption),
        ([5, 4, 0, 0], Error::BadOption),
        ([8, 4, 0, 0], Error::BadOption),
        ([254, 0, 0, 0], Error::BadOption),
    ];
    for (options, error) in rows {
        let bytes = segment(&options, &[]);
        let packet = Packet::new_checked(&bytes).unwrap();
        let first = packet.options().next().unwrap().and_then(TcpOption::parse);
        assert_eq!(first, Err(error), "{options:?}");
        assert_eq!(packet.mss(), None);
    }
    let bytes = segment(&[254, 4, 7, 8], &[]);
    let packet = Packet::new_checked(&bytes).unwrap();
    let first = packet.options().next().unwrap().and_then(TcpOption::parse);
    assert_eq!(
        first,
        Ok(TcpOption::Unknown {
            kind: 254,
            value: &[7, 8]
        })
    );
}

#[test]
fn each_length_is_checked_at_the_door() {
    for len in 0..40 {
        assert_eq!(
            Packet::new_checked(&SYN[..len]).err(),
            Some(Error::Truncated),
            "{len} bytes"
        );
    }
    for words in 0..5u8 {
        let mut bytes = SYN;
        bytes[12] = words << 4;
        assert_eq!(
            Packet::new_checked(bytes).err(),
            Some(Error::BadHeaderLength),
            "{words} words"
        );
    }
}

#[test]
fn flags_print_like_tcpdump_and_know_an_opening() {
    let rows = [
        (Flags::SYN, "S", true),
        (Flags::SYN | Flags::ACK, "S.", false),
        (Flags::SYN | Flags::ECE | Flags::CWR, "SEW", true),
        (Flags::FIN | Flags::ACK, "F.", false),
        (Flags::SYN | Flags::FIN, "FS", false),
        (Flags::RST | Flags::SYN, "SR", false),
        (Flags::default(), "none", false),
    ];
    for (flags, text, opens) in rows {
        assert_eq!((format!("{flags:?}").as_str(), flags.is_open()), (text, opens));
    }
    assert!((Flags::SYN | Flags::ACK).contains(Flags::ACK));
    assert!(!Flags::ACK.contains(Flags::SYN | Flags::ACK));
    assert!(Flags::ACK.intersects(Flags::SYN | Flags::ACK));
}

#[test]
fn sequence_space_counts_syn_and_fin() {
    let mut bytes = segment(&[], &[1, 2, 3]);
    let mut packet = Packet::new_unchecked(&mut bytes);
    for (flags, len) in [(Flags::ACK, 3), (Flags::SYN, 4), (Flags::SYN | Flags::FIN, 5)] {
        packet.set_flags(flags);
        assert_eq!(packet.segment_len(), len);
    }
}

#[test]
fn the_mss_is_lowered_at_any_offset_and_only_if_larger() {
    let (src, dst) = (
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
    );
    let at = [
        [2, 4, 0x05, 0xb4, 1, 1, 1, 0],
        [1, 2, 4, 0x05, 0xb4, 1, 1, 0],
        [1, 1, 1, 2, 4, 0x05, 0xb4, 0],
    ];
    for options in at {
        for (max, clamped) in [(1459, true), (536, true), (0, true), (1460, false), (9000, false)] {
            let mut bytes = segment(&options, &[9]);
            let mut packet = Packet::new_checked(&mut bytes).unwrap();
            packet.fill_checksum(src, dst);
            assert_eq!(packet.clamp_mss(max), clamped, "{options:?} to {max}");
            assert_eq!(packet.mss().unwrap().0, max.min(1460));
            assert!(packet.verify_checksum(src, dst), "{options:?} to {max}");
        }
    }
    let mut bytes = segment(&[], &[]);
    assert!(
        !Packet::new_checked(&mut bytes).unwrap().clamp_mss(0),
        "no option is added"
    );
}

proptest! {
    #[test]
    fn rewriting_equals_recomputing(
        payload in prop::collection::vec(any::<u8>(), 0..40), old: [u32; 2], new: [u32; 2], ports: [u16; 4],
        seq: [u32; 2],
    ) {
        let repr = Repr { src_port: ports[0], dst_port: ports[1], seq_number: seq[0], ..REPR };
        let mut bytes = [&[0; HEADER_LEN][..], &payload].concat();
        let mut packet = Packet::new_unchecked(&mut bytes);
        repr.emit(&mut packet);
        let v4 = |bits: u32| IpAddr::V4(bits.into());
        packet.fill_checksum(v4(old[0]), v4(old[1]));
        packet.set_src_port(ports[2]);
        packet.set_dst_port(ports[3]);
        packet.set_seq_number(seq[1]);
        let delta = Delta::new()
            .ipv4(old[0].into(), new[0].into())
            .ipv4(old[1].into(), new[1].into())
            .u16(ports[0], ports[2])
            .u16(ports[1], ports[3])
            .u32(seq[0], seq[1]);
        packet.update_checksum(delta);
        let updated = packet.checksum();
        packet.fill_checksum(v4(new[0]), v4(new[1]));
        prop_assert_eq!(updated, packet.checksum());
        prop_assert!(!packet.verify_checksum(v4(new[0]), Ipv6Addr::LOCALHOST.into()), "families do not mix");
    }
}
