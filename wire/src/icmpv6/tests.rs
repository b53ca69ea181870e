use super::*;

const SRC: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const DST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// (value, type, code, word)
fn rows() -> [(Repr<'static>, u8, u8, u32); 6] {
    let quoted = &[0x60, 0, 0, 0, 0, 20, 6, 64, 9];
    [
        (
            Repr::EchoRequest {
                ident: 1,
                seq_no: 2,
                data: &[1, 2, 3],
            },
            128,
            0,
            0x0001_0002,
        ),
        (
            Repr::EchoReply {
                ident: 1,
                seq_no: 2,
                data: &[],
            },
            129,
            0,
            0x0001_0002,
        ),
        (
            Repr::DstUnreachable {
                code: unreachable::PORT,
                quoted,
            },
            1,
            4,
            0,
        ),
        (Repr::PktTooBig { mtu: 1280, quoted }, 2, 0, 1280),
        (Repr::TimeExceeded { code: 1, quoted }, 3, 1, 0),
        (
            Repr::ParamProblem {
                code: 2,
                pointer: 40,
                quoted,
            },
            4,
            2,
            40,
        ),
    ]
}

#[test]
fn bytes_and_value_agree() {
    for (repr, msg_type, code, word) in rows() {
        let mut bytes = vec![0xff; repr.buffer_len()];
        repr.emit(&mut Packet::new_unchecked(&mut bytes), SRC, DST);
        let packet = Packet::new_checked(&bytes).unwrap();
        assert_eq!(
            (packet.msg_type().0, packet.msg_code(), packet.word()),
            (msg_type, code, word)
        );
        assert_eq!(Repr::parse(&packet, SRC, DST), Ok(repr));
        assert_eq!(
            Repr::parse(&packet, SRC, Ipv6Addr::LOCALHOST),
            Err(Error::BadChecksum)
        );
        assert_eq!(packet.quoted().is_some(), msg_type < 128);
    }
}

#[test]
fn a_reply_is_made_in_place() {
    let request = Repr::EchoRequest {
        ident: 9,
        seq_no: 0xffff,
        data: &[1, 2, 3],
    };
    let mut bytes = vec![0; request.buffer_len()];
    let mut packet = Packet::new_unchecked(&mut bytes);
    request.emit(&mut packet, SRC, DST);
    packet.turn_into_echo_reply();
    let expected = Repr::EchoReply {
        ident: 9,
        seq_no: 0xffff,
        data: &[1, 2, 3],
    };
    assert_eq!(
        Repr::parse(&packet, DST, SRC),
        Ok(expected),
        "swapped addresses sum up the same"
    );
}

#[test]
fn discovery_is_five_types() {
    let types: Vec<u8> = (0..=255).filter(|&value| Message(value).is_ndp()).collect();
    assert_eq!(types, [133, 134, 135, 136, 137]);
}

#[test]
fn what_is_refused() {
    assert_eq!(Packet::new_checked([0; 7]).err(), Some(Error::Truncated));
    let mut mld = [130, 0, 0, 0, 0, 0, 0, 0];
    Packet::new_unchecked(&mut mld).fill_checksum(SRC, DST);
    assert_eq!(
        Repr::parse(&Packet::new_checked(mld).unwrap(), SRC, DST),
        Err(Error::BadType)
    );
}
