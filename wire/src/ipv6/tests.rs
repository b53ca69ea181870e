use proptest::prelude::*;

use super::*;

fn repr() -> Repr {
    Repr {
        src_addr: "2001:db8::1".parse().unwrap(),
        dst_addr: "2001:db8::2".parse().unwrap(),
        next_header: IpProtocol::TCP,
        payload_len: 2,
        hop_limit: 63,
        traffic_class: 0xb8,
        flow_label: 0x12345,
    }
}

fn bytes() -> [u8; 43] {
    let mut bytes = [0; 43];
    bytes[..8].copy_from_slice(&[0x6b, 0x81, 0x23, 0x45, 0x00, 0x02, 0x06, 0x3f]);
    bytes[8..12].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    bytes[23] = 1;
    bytes[24..28].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    bytes[39] = 2;
    bytes[40..].copy_from_slice(&[0xaa, 0xbb, 0xcc]);
    bytes
}

#[test]
fn bytes_and_value_agree() {
    let packet = Packet::new_checked(bytes()).unwrap();
    assert_eq!(Repr::parse(&packet), repr());
    assert_eq!(packet.payload(), [0xaa, 0xbb], "padding is no payload");
    let mut out = [0xff; HEADER_LEN];
    repr().emit(&mut Packet::new_unchecked(&mut out));
    assert_eq!(out, bytes()[..HEADER_LEN]);
}

#[test]
fn each_length_is_checked_at_the_door() {
    for len in 0..42 {
        assert_eq!(
            Packet::new_checked(&bytes()[..len]).err(),
            Some(Error::Truncated),
            "{len} bytes"
        );
    }
    let mut four = bytes();
    four[0] = 0x45;
    assert_eq!(Packet::new_checked(four).err(), Some(Error::BadVersion));
    let mut long = bytes();
    long[5] = 4;
    assert_eq!(Packet::new_checked(long).err(), Some(Error::Truncated));
    assert_eq!(
        Packet::new_header_checked(long).unwrap().payload(),
        [0xaa, 0xbb, 0xcc]
    );
}

#[test]
fn hop_limit_stops_at_zero() {
    let mut bytes = bytes();
    let mut packet = Packet::new_checked(&mut bytes).unwrap();
    packet.set_hop_limit(2);
    assert_eq!([(); 3].map(|()| packet.decrement_hop_limit()), [1, 0, 0]);
}

#[test]
fn solicited_node_groups() {
    // RFC 4291 §2.7.1.
    let address: Ipv6Addr = "4037::01:800:200e:8c6c".parse().unwrap();
    assert_eq!(
        solicited_node(address),
        "ff02::1:ff0e:8c6c".parse::<Ipv6Addr>().unwrap()
    );
}

proptest! {
    #[test]
    fn values_round_trip(
        src: u128, dst: u128, next_header: u8, payload_len in 0u16..200, hop_limit: u8, traffic_class: u8,
        flow_label in 0u32..1 << 20,
    ) {
        let repr = Repr {
            src_addr: src.into(), dst_addr: dst.into(), next_header: IpProtocol(next_header), payload_len, hop_limit,
            traffic_class, flow_label,
        };
        let mut bytes = vec![0xff; repr.buffer_len() + usize::from(payload_len)];
        repr.emit(&mut Packet::new_unchecked(&mut bytes));
        prop_assert_eq!(Repr::parse(&Packet::new_checked(&bytes).unwrap()), repr);
    }
}
