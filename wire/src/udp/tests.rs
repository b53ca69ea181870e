use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const BYTES: [u8; 13] = [
    0x30, 0x39, 0x00, 0x35, 0x00, 0x0b, 0x00, 0x00, 1, 2, 3, 0xff, 0xff,
];
const REPR: Repr = Repr {
    src_port: 12345,
    dst_port: 53,
    payload_len: 3,
};

#[test]
fn bytes_and_value_agree() {
    let packet = Packet::new_checked(BYTES).unwrap();
    assert_eq!(Repr::parse(&packet), REPR);
    assert_eq!(packet.payload(), [1, 2, 3], "padding is no payload");
    let mut bytes = [0xff; HEADER_LEN];
    REPR.emit(&mut Packet::new_unchecked(&mut bytes));
    assert_eq!(bytes, BYTES[..HEADER_LEN]);
}

#[test]
fn each_length_is_checked_at_the_door() {
    for len in 0..11 {
        assert_eq!(
            Packet::new_checked(&BYTES[..len]).err(),
            Some(Error::Truncated),
            "{len} bytes"
        );
    }
    for len in 0..8 {
        let mut bytes = BYTES;
        bytes[5] = len;
        assert_eq!(
            Packet::new_checked(bytes).err(),
            Some(Error::BadTotalLength),
            "length {len}"
        );
    }
    assert_eq!(Packet::new_header_checked(&BYTES[..9]).unwrap().payload(), [1]);
}

#[test]
fn no_checksum_is_allowed_over_ipv4_only() {
    let packet = Packet::new_checked(BYTES).unwrap();
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    assert!(packet.verify_checksum(v4, v4));
    assert!(!packet.verify_checksum(v6, v6));
    assert!(!packet.verify_checksum(v4, v6));
    let mut bytes = BYTES;
    let mut packet = Packet::new_unchecked(&mut bytes);
    packet.update_checksum(Delta::new().u16(1, 2));
    assert_eq!(packet.checksum(), 0, "none stays none");
}

proptest! {
    /// A rewrite of both ends keeps the checksum equal to a fresh one, for any payload length, and never writes 0.
    #[test]
    fn rewriting_equals_recomputing(
        payload in prop::collection::vec(any::<u8>(), 0..40),
        old in any::<(u128, u128)>(), new in any::<(u128, u128)>(), ports in any::<[u16; 4]>(),
    ) {
        let repr = Repr { src_port: ports[0], dst_port: ports[1], payload_len: payload.len() as u16 };
        let mut bytes = vec![0; repr.buffer_len() + payload.len()];
        let mut packet = Packet::new_unchecked(&mut bytes);
        repr.emit(&mut packet);
        packet.payload_mut().copy_from_slice(&payload);
        packet.fill_checksum(Ipv6Addr::from(old.0).into(), Ipv6Addr::from(old.1).into());

        packet.set_src_port(ports[2]);
        packet.set_dst_port(ports[3]);
        let delta = Delta::new().u128(old.0, new.0).u128(old.1, new.1).u16(ports[0], ports[2]).u16(ports[1], ports[3]);
        packet.update_checksum(delta);
        let (src, dst) = (Ipv6Addr::from(new.0).into(), Ipv6Addr::from(new.1).into());
        prop_assert!(packet.verify_checksum(src, dst));
        let updated = packet.checksum();
        packet.fill_checksum(src, dst);
        prop_assert_eq!(updated, packet.checksum());
        prop_assert_ne!(updated, 0);
    }
}
