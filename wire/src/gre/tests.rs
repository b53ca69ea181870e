use super::*;

#[test]
fn every_set_of_optional_fields_round_trips() {
    let payload = [0x45, 0, 1, 2, 3];
    for set in 0..8u8 {
        let repr = Repr {
            protocol: EtherType::IPV4,
            checksum: set & 1 != 0,
            key: (set & 2 != 0).then_some(0xdead_beef),
            sequence: (set & 4 != 0).then_some(7),
        };
        let mut bytes = vec![0xaa; repr.buffer_len()];
        bytes.extend(payload);
        let mut packet = Packet::new_unchecked(&mut bytes);
        repr.emit(&mut packet);
        packet.fill_checksum();
        let packet = Packet::new_checked(&bytes).unwrap();
        assert_eq!(Repr::parse(&packet), Ok(repr));
        assert_eq!(
            (packet.header_len(), packet.payload()),
            (repr.buffer_len(), &payload[..])
        );
    }
}

#[test]
fn layout_is_that_of_rfc_2890() {
    let repr = Repr {
        protocol: EtherType::BRIDGED,
        checksum: true,
        key: Some(0x0102_0304),
        sequence: Some(0x0506_0708),
    };
    let mut bytes = [0xff; HEADER_LEN_MAX];
    repr.emit(&mut Packet::new_unchecked(&mut bytes));
    assert_eq!(
        bytes,
        [0xb0, 0x00, 0x65, 0x58, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    );
}

#[test]
fn what_is_refused() {
    let rows: [(&[u8], Error); 6] = [
        (&[0, 0, 8], Error::Truncated),
        (&[0x20, 0, 8, 0, 1, 2, 3], Error::Truncated),
        (&[0x20, 1, 8, 0, 1, 2, 3, 4], Error::BadVersion), // PPTP
        (&[0x40, 0, 8, 0], Error::BadField),
        (&[0x08, 0, 8, 0], Error::BadField),
        (&[0x04, 0, 8, 0], Error::BadField),
    ];
    for (bytes, error) in rows {
        assert_eq!(Packet::new_checked(bytes).err(), Some(error), "{bytes:02x?}");
    }
    let packet = Packet::new_checked([0x80, 0, 8, 0, 0x12, 0x34, 0, 0, 0x45]).unwrap();
    assert_eq!(Repr::parse(&packet), Err(Error::BadChecksum));
}
