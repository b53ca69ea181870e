use proptest::prelude::*;

use super::*;

/// A header, a byte of payload and one of padding.
const BYTES: [u8; 22] = [
    0x45, 0x00, 0x00, 0x15, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0xa3, 0xdb, 192, 0, 2, 1, 192, 0, 2, 199,
    0xaa, 0xbb,
];

fn repr() -> Repr {
    Repr {
        src_addr: Ipv4Addr::new(192, 0, 2, 1),
        dst_addr: Ipv4Addr::new(192, 0, 2, 199),
        protocol: IpProtocol::UDP,
        payload_len: 1,
        ttl: 64,
        tos: 0,
        ident: 0x1234,
        dont_frag: true,
    }
}

/// A header of `words` 32-bit words with a right checksum.
fn with_options(words: usize, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; words * 4 + 4];
    let mut packet = Packet::new_unchecked(&mut bytes);
    repr().emit(&mut packet);
    packet.set_header_len(words * 4);
    packet.set_total_len(words as u16 * 4 + 4);
    packet.buffer[field::OPTIONS..field::OPTIONS + options.len()].copy_from_slice(options);
    packet.fill_checksum();
    bytes
}

#[test]
fn bytes_and_value_agree() {
    let packet = Packet::new_checked(BYTES).unwrap();
    assert_eq!(Repr::parse(&packet), Ok(repr()));
    assert_eq!(packet.payload(), [0xaa], "padding is no payload");
    let mut bytes = [0xff; HEADER_LEN];
    repr().emit(&mut Packet::new_unchecked(&mut bytes));
    assert_eq!(bytes, BYTES[..HEADER_LEN]);
}

#[test]
fn the_checksum_everybody_shows_is_right() {
    let header = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0,
        0xa8, 0x00, 0xc7,
    ];
    assert!(Packet::new_header_checked(header).unwrap().verify_checksum());
}

#[test]
fn each_length_is_checked_at_the_door() {
    let rows: [(usize, u8, Error); 8] = [
        (0, 0x55, Error::BadVersion),
        (0, 0x65, Error::BadVersion),
        (0, 0x44, Error::BadHeaderLength),
        (0, 0x40, Error::BadHeaderLength),
        (0, 0x4f, Error::Truncated),    // header of 60 in 22 bytes
        (3, 19, Error::BadTotalLength), // shorter than the header
        (3, 23, Error::Truncated),      // longer than the buffer
        (2, 0xff, Error::Truncated),
    ];
    for (offset, value, error) in rows {
        let mut bytes = BYTES;
        bytes[offset] = value;
        assert_eq!(
            Packet::new_checked(bytes).err(),
            Some(error),
            "byte {offset} = {value:#x}"
        );
    }
    for len in 0..HEADER_LEN {
        assert_eq!(
            Packet::new_checked(&BYTES[..len]).err(),
            Some(Error::Truncated),
            "{len} bytes"
        );
    }
}

#[test]
fn a_quoted_packet_may_be_cut() {
    let mut bytes = BYTES;
    bytes[2] = 0x05;
    let packet = Packet::new_header_checked(&bytes).unwrap();
    assert_eq!(packet.payload(), [0xaa, 0xbb]);
    assert_eq!(Packet::new_checked(&bytes).err(), Some(Error::Truncated));
}

#[test]
fn options_are_walked_and_bad_ones_end_the_walk() {
    let record_route = [0x01, 0x07, 0x07, 0x04, 0, 0, 0, 0];
    let bytes = with_options(7, &record_route);
    let packet = Packet::new_checked(&bytes).unwrap();
    assert!(packet.verify_checksum());
    let options: Vec<_> = packet.options().collect();
    assert_eq!(
        options,
        [Ok(crate::RawOption {
            kind: 7,
            offset: 1,
            value: &[4, 0, 0, 0, 0]
        })]
    );

    for bad in [[7, 1, 0, 0], [7, 0, 0, 0], [7, 5, 0, 0], [1, 1, 1, 7]] {
        let bytes = with_options(6, &bad);
        let packet = Packet::new_checked(&bytes).unwrap();
        let options: Vec<_> = packet.options().collect();
        assert_eq!(options, [Err(Error::BadOption)], "{bad:?}");
    }
    // What follows end-of-list is not looked at.
    let bytes = with_options(6, &[0, 7, 1, 0]);
    assert_eq!(Packet::new_checked(&bytes).unwrap().options().count(), 0);
}

#[test]
fn fragment_fields() {
    let mut bytes = BYTES;
    let mut packet = Packet::new_unchecked(&mut bytes);
    let rows = [
        (true, false, 0, false),
        (false, true, 0, true),
        (false, false, 1480, true),
        (false, true, 65_528, true),
    ];
    for (dont_frag, more_frags, offset, is_fragment) in rows {
        packet.set_fragment(dont_frag, more_frags, offset);
        assert_eq!((packet.dont_frag(), packet.more_frags()), (dont_frag, more_frags));
        assert_eq!(
            (packet.frag_offset(), packet.is_fragment()),
            (offset, is_fragment)
        );
        packet.fill_checksum();
        assert_eq!(Repr::parse(&packet).is_err(), is_fragment);
    }
}

#[test]
fn ttl_stops_at_zero() {
    let mut bytes = BYTES;
    let mut packet = Packet::new_checked(&mut bytes).unwrap();
    packet.set_ttl(2);
    packet.fill_checksum();
    assert_eq!(
        [
            packet.decrement_ttl(),
            packet.decrement_ttl(),
            packet.decrement_ttl()
        ],
        [1, 0, 0]
    );
    assert!(packet.verify_checksum());
}

proptest! {
    #[test]
    fn values_round_trip(
        src in any::<u32>(), dst in any::<u32>(), protocol: u8, payload_len in 0u16..200,
        ttl: u8, tos: u8, ident: u16, dont_frag: bool,
    ) {
        let repr = Repr {
            src_addr: src.into(), dst_addr: dst.into(), protocol: IpProtocol(protocol), payload_len, ttl, tos, ident,
            dont_frag,
        };
        let mut bytes = vec![0xff; repr.buffer_len() + usize::from(payload_len)];
        repr.emit(&mut Packet::new_unchecked(&mut bytes));
        prop_assert_eq!(Repr::parse(&Packet::new_checked(&bytes).unwrap()), Ok(repr));
    }

    /// Rewriting keeps the checksum equal to a fresh one, with any options.
    #[test]
    fn rewriting_equals_recomputing(
        words in 5usize..=15, options in prop::collection::vec(any::<u8>(), 40), src: u32, dst: u32, ttl: u8,
    ) {
        let mut bytes = with_options(words, &options[..(words - 5) * 4]);
        let mut packet = Packet::new_checked(&mut bytes).unwrap();
        packet.set_ttl(ttl);
        packet.fill_checksum();
        packet.rewrite_src_addr(src.into());
        packet.rewrite_dst_addr(dst.into());
        packet.decrement_ttl();
        let updated = packet.checksum();
        packet.fill_checksum();
        prop_assert_eq!(updated, packet.checksum());
    }
}
