use super::*;

const FRAME: [u8; 18] = [
    0x02, 0, 0x5e, 0, 0x53, 1, 0x02, 0, 0x5e, 0, 0x53, 2, 0x86, 0xdd, 0x60, 0, 0, 0,
];
const REPR: Repr = Repr {
    dst_addr: MacAddr([0x02, 0, 0x5e, 0, 0x53, 1]),
    src_addr: MacAddr([0x02, 0, 0x5e, 0, 0x53, 2]),
    ethertype: EtherType::IPV6,
};

#[test]
fn bytes_and_value_agree() {
    let frame = Frame::new_checked(FRAME).unwrap();
    assert_eq!(Repr::parse(&frame), REPR);
    assert_eq!(frame.payload(), [0x60, 0, 0, 0]);
    let mut bytes = [0; HEADER_LEN];
    REPR.emit(&mut Frame::new_unchecked(&mut bytes));
    assert_eq!(bytes, FRAME[..HEADER_LEN]);
}

#[test]
fn thirteen_bytes_are_no_frame() {
    assert_eq!(Frame::new_checked([0; 13]).err(), Some(Error::Truncated));
    assert!(Frame::new_checked([0; 14]).is_ok());
}

#[test]
fn mac_text_round_trips_and_bad_text_is_refused() {
    for text in ["02:00:5e:00:53:01", "ff:ff:ff:ff:ff:ff"] {
        assert_eq!(text.parse::<MacAddr>().unwrap().to_string(), text);
    }
    assert_eq!(
        "02-00-5E-00-53-0A".parse(),
        Ok(MacAddr([2, 0, 0x5e, 0, 0x53, 0x0a]))
    );
    for text in [
        "",
        "02:00:5e:00:53",
        "02:00:5e:00:53:01:02",
        "2:0:5e:0:53:1",
        "02:00:5e:00:53:0g",
        "+2:00:5e:00:53:01",
        "02:00-5e:00-53:01",
    ] {
        assert_eq!(text.parse::<MacAddr>(), Err(BadMacAddr), "{text:?}");
    }
}

#[test]
fn kinds_of_address() {
    let rows = [
        (MacAddr::BROADCAST, false, true, true),
        (MacAddr::ZERO, false, false, false),
        (MacAddr([0x01, 0, 0x5e, 0, 0, 1]), false, true, false),
        (MacAddr([0x02, 0, 0x5e, 0, 0x53, 1]), true, false, true),
        (MacAddr([0x00, 0x1b, 0x21, 0, 0, 1]), true, false, false),
    ];
    for (mac, unicast, multicast, local) in rows {
        assert_eq!(
            (mac.is_unicast(), mac.is_multicast(), mac.is_local()),
            (unicast, multicast, local),
            "{mac}"
        );
    }
}

#[test]
fn groups_map_to_group_addresses() {
    // RFC 1112 §6.4 keeps 23 bits; RFC 2464 §7 keeps 32.
    assert_eq!(
        MacAddr::from_ipv4_multicast(Ipv4Addr::new(239, 129, 0, 18)),
        MacAddr([0x01, 0x00, 0x5e, 0x01, 0, 18])
    );
    assert_eq!(
        MacAddr::from_ipv6_multicast("ff02::1:ff28:9c5a".parse().unwrap()),
        MacAddr([0x33, 0x33, 0xff, 0x28, 0x9c, 0x5a])
    );
}
