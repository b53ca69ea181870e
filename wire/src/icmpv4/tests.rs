use super::*;

const QUOTED: [u8; 28] = [
    0x45, 0, 5, 0xdc, 0, 1, 0x40, 0, 63, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1, 0, 80, 0xc0, 0, 1, 2, 3, 4,
];

/// (value, first eight bytes without the checksum)
fn rows() -> [(Repr<'static>, [u8; 8]); 4] {
    [
        (
            Repr::EchoRequest {
                ident: 0x1234,
                seq_no: 7,
                data: &[1, 2, 3],
            },
            [8, 0, 0, 0, 0x12, 0x34, 0, 7],
        ),
        (
            Repr::EchoReply {
                ident: 0x1234,
                seq_no: 7,
                data: &[],
            },
            [0, 0, 0, 0, 0x12, 0x34, 0, 7],
        ),
        (
            Repr::DstUnreachable {
                code: unreachable::FRAG_NEEDED,
                next_hop_mtu: 1400,
                quoted: &QUOTED,
            },
            [3, 4, 0, 0, 0, 0, 0x05, 0x78],
        ),
        (
            Repr::TimeExceeded {
                code: 0,
                quoted: &QUOTED,
            },
            [11, 0, 0, 0, 0, 0, 0, 0],
        ),
    ]
}

#[test]
fn bytes_and_value_agree() {
    for (repr, head) in rows() {
        let mut bytes = vec![0xff; repr.buffer_len()];
        repr.emit(&mut Packet::new_unchecked(&mut bytes));
        let packet = Packet::new_checked(&bytes).unwrap();
        assert!(packet.verify_checksum());
        assert_eq!(Repr::parse(&packet), Ok(repr));
        assert_eq!((&bytes[..2], &bytes[4..8]), (&head[..2], &head[4..]));
    }
}

#[test]
fn a_known_echo_request_has_its_known_checksum() {
    // 0x0800 + 0x0001 + 0x0001 complemented.
    let mut bytes = [8, 0, 0, 0, 0, 1, 0, 1];
    let mut packet = Packet::new_unchecked(&mut bytes);
    packet.fill_checksum();
    assert_eq!(packet.checksum(), 0xf7fd);
}

#[test]
fn only_errors_quote() {
    let quotes = |msg_type: u8| {
        Packet::new_checked([msg_type, 0, 0, 0, 0, 0, 0, 0, 9])
            .unwrap()
            .quoted()
            .is_some()
    };
    let errors: Vec<u8> = (0..=255).filter(|&msg_type| quotes(msg_type)).collect();
    assert_eq!(errors, [3, 4, 5, 11, 12]);
}

#[test]
fn a_reply_is_made_in_place() {
    for data in [&[1u8, 2, 3][..], &[]] {
        let request = Repr::EchoRequest {
            ident: 9,
            seq_no: 0xffff,
            data,
        };
        let mut bytes = vec![0; request.buffer_len()];
        let mut packet = Packet::new_unchecked(&mut bytes);
        request.emit(&mut packet);
        packet.turn_into_echo_reply();
        assert_eq!(
            Repr::parse(&packet),
            Ok(Repr::EchoReply {
                ident: 9,
                seq_no: 0xffff,
                data
            })
        );
    }
}

#[test]
fn what_is_refused() {
    assert_eq!(Packet::new_checked([0; 7]).err(), Some(Error::Truncated));
    assert_eq!(
        Repr::parse(&Packet::new_checked([8, 0, 0, 0, 0, 0, 0, 0]).unwrap()),
        Err(Error::BadChecksum)
    );
    let mut timestamp = [13, 0, 0, 0, 0, 0, 0, 0];
    Packet::new_unchecked(&mut timestamp).fill_checksum();
    assert_eq!(
        Repr::parse(&Packet::new_checked(timestamp).unwrap()),
        Err(Error::BadType)
    );
}
