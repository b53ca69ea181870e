use super::*;

const BYTES: [u8; PACKET_LEN] = [
    0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, // Ethernet, IPv4, request
    0x02, 0x00, 0x5e, 0x00, 0x53, 0x01, 192, 0, 2, 1, // sender
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 192, 0, 2, 9, // target
];
const SENDER: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 1]);
const ANSWERER: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 9]);

fn request() -> Repr {
    Repr::request(SENDER, Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 9))
}

#[test]
fn bytes_and_value_agree() {
    assert_eq!(Repr::parse(&Packet::new_checked(BYTES).unwrap()), Ok(request()));
    let mut bytes = [0xaa; PACKET_LEN];
    request().emit(&mut Packet::new_unchecked(&mut bytes));
    assert_eq!(bytes, BYTES);
}

#[test]
fn a_reply_swaps_the_ends() {
    let reply = request().reply_from(ANSWERER);
    assert_eq!(reply.operation, Operation::Reply);
    assert_eq!(
        (reply.sender_hardware_addr, reply.target_hardware_addr),
        (ANSWERER, SENDER)
    );
    assert_eq!(reply.sender_protocol_addr, request().target_protocol_addr);
    assert_eq!(reply.target_protocol_addr, request().sender_protocol_addr);
    let mut bytes = [0; PACKET_LEN];
    reply.emit(&mut Packet::new_unchecked(&mut bytes));
    assert_eq!(bytes[7], 2);
    assert_eq!(Repr::parse(&Packet::new_checked(bytes).unwrap()), Ok(reply));
}

#[test]
fn only_talk_about_oneself_is_gratuitous() {
    let address = Ipv4Addr::new(192, 0, 2, 1);
    assert!(Repr::announcement(SENDER, address).is_gratuitous());
    assert!(!request().is_gratuitous());
    // A probe for 0.0.0.0 by 0.0.0.0 announces nothing.
    assert!(!Repr::announcement(SENDER, Ipv4Addr::UNSPECIFIED).is_gratuitous());
}

#[test]
fn each_fixed_field_is_checked() {
    for offset in 0..6 {
        let mut bytes = BYTES;
        bytes[offset] ^= 0x10;
        assert_eq!(
            Packet::new_checked(bytes).err(),
            Some(Error::BadField),
            "byte {offset}"
        );
    }
    let mut bytes = BYTES;
    bytes[7] = 3; // RARP
    assert_eq!(
        Repr::parse(&Packet::new_checked(bytes).unwrap()),
        Err(Error::BadType)
    );
    assert_eq!(Packet::new_checked(&BYTES[..27]).err(), Some(Error::Truncated));
}
