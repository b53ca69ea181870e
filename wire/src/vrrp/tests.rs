use super::*;

const SRC: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SRC6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));
const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100));

/// As keepalived 2.2.7 sends it: VRID 51, priority 100, 1 s, password 1111, address 192.0.2.100.
const V2_PASS: [u8; 20] = [
    0x21, 51, 100, 1, 1, 1, 0x15, 0x04, 192, 0, 2, 100, b'1', b'1', b'1', b'1', 0, 0, 0, 0,
];

fn v3(addresses: &[IpAddr], family: Family, kind: ChecksumV3) -> Vec<u8> {
    let repr = Repr {
        vrid: 7,
        priority: 200,
        interval: Interval::CentiSecs(100),
        auth: Auth::None,
        addresses,
        family,
    };
    let mut bytes = vec![0xff; repr.buffer_len()];
    repr.emit(&mut bytes).unwrap();
    let src = if family == Family::V4 { SRC } else { SRC6 };
    Packet::new_unchecked(&mut bytes, family).fill_checksum(src, family.group(), kind);
    bytes
}

#[test]
fn version_2_with_password_is_that_of_rfc_3768() {
    let mut expected = V2_PASS;
    let mut check = Packet::new_unchecked(&mut expected, Family::V4);
    check.fill_checksum(SRC, Family::V4.group(), ChecksumV3::PseudoHeader);
    let repr = Repr {
        vrid: 51,
        priority: 100,
        interval: Interval::Seconds(1),
        auth: Auth::Password(*b"1111\0\0\0\0"),
        addresses: &[VIP],
        family: Family::V4,
    };
    let mut bytes = [0xff; 20];
    repr.emit(&mut bytes).unwrap();
    let mut packet = Packet::new_unchecked(&mut bytes, Family::V4);
    packet.fill_checksum(SRC, Family::V4.group(), ChecksumV3::PseudoHeader);
    assert_eq!(bytes, expected);
    let packet = Packet::new_checked(&bytes, Family::V4).unwrap();
    assert_eq!(
        (
            packet.version(),
            packet.vrid(),
            packet.priority(),
            packet.auth_type()
        ),
        (Version::V2, 51, 100, 1)
    );
    assert_eq!(packet.interval().duration(), Duration::from_secs(1));
    assert_eq!(packet.auth_data(), Some(*b"1111\0\0\0\0"));
    assert_eq!(packet.addresses().collect::<Vec<_>>(), [VIP]);
    assert!(packet.trailer().is_none());
}

#[test]
fn hundred_centiseconds_are_one_second() {
    assert_eq!(Interval::CentiSecs(100).duration(), Duration::from_secs(1));
    assert_eq!(Interval::Seconds(1).duration(), Duration::from_secs(1));
    let millis = Duration::from_millis;
    for (version, duration, interval) in [
        (Version::V3, millis(1000), Some(Interval::CentiSecs(100))),
        (Version::V3, millis(10), Some(Interval::CentiSecs(1))),
        (Version::V3, millis(40_950), Some(Interval::CentiSecs(4095))),
        (Version::V3, millis(40_960), None),
        (Version::V3, millis(15), None),
        (Version::V3, millis(0), None),
        (Version::V2, millis(1000), Some(Interval::Seconds(1))),
        (Version::V2, millis(255_000), Some(Interval::Seconds(255))),
        (Version::V2, millis(256_000), None),
        (Version::V2, millis(1500), None),
    ] {
        assert_eq!(
            Interval::from_duration(version, duration),
            interval,
            "{version:?} {duration:?}"
        );
    }
}

#[test]
fn checksums_of_each_kind_accept_their_own_and_refuse_the_others() {
    let with = v3(&[VIP], Family::V4, ChecksumV3::PseudoHeader);
    let without = v3(&[VIP], Family::V4, ChecksumV3::AsV2);
    let group = Family::V4.group();
    let valid = |bytes: &[u8], kind| {
        Packet::new_checked(bytes, Family::V4)
            .unwrap()
            .checksum_is_valid(SRC, group, kind)
    };
    assert!(valid(&with, ChecksumV3::PseudoHeader) && valid(&without, ChecksumV3::AsV2));
    assert!(!valid(&with, ChecksumV3::AsV2) && !valid(&without, ChecksumV3::PseudoHeader));
    let six = v3(&[VIP6, VIP6], Family::V6, ChecksumV3::AsV2);
    let packet = Packet::new_checked(&six, Family::V6).unwrap();
    assert!(packet.checksum_is_valid(SRC6, Family::V6.group(), ChecksumV3::PseudoHeader));
    assert!(!packet.checksum_is_valid(VIP6, Family::V6.group(), ChecksumV3::PseudoHeader));
    assert!(!packet.checksum_is_valid(SRC, Family::V6.group(), ChecksumV3::PseudoHeader));
}

#[test]
fn the_trailer_is_outside_the_checksum_of_ipv4_and_inside_that_of_ipv6() {
    let trailer = hmac::Trailer {
        scheme: hmac::SCHEME_SHA256,
        key_id: 9,
        reserved: 0,
        sequence: 0x0102_0304_0506_0708,
        hmac: [0xaa; hmac::HMAC_LEN],
    };
    for (family, vip, src, covered) in [(Family::V4, VIP, SRC, false), (Family::V6, VIP6, SRC6, true)] {
        let mut bytes = v3(&[vip], family, ChecksumV3::PseudoHeader);
        bytes.extend(trailer.to_bytes());
        let mut packet = Packet::new_unchecked(&mut bytes, family);
        packet.fill_checksum(src, family.group(), ChecksumV3::PseudoHeader);
        let packet = Packet::new_checked(&bytes, family).unwrap();
        assert_eq!(packet.trailer(), Some(trailer));
        *bytes.last_mut().unwrap() ^= 1;
        let packet = Packet::new_checked(&bytes, family).unwrap();
        let valid = packet.checksum_is_valid(src, family.group(), ChecksumV3::PseudoHeader);
        assert_eq!(valid, !covered, "{family:?}");
    }
}

#[test]
fn malformed_packets_are_refused_by_name() {
    let good = v3(&[VIP], Family::V4, ChecksumV3::PseudoHeader);
    let change = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    let longer = |by: usize| {
        let mut bytes = good.clone();
        bytes.resize(good.len() + by, 0);
        bytes
    };
    for (what, bytes, family, error) in [
        ("empty", vec![], Family::V4, Error::Truncated),
        ("7 bytes", good[..7].to_vec(), Family::V4, Error::Truncated),
        ("version 1", change(0, 0x11), Family::V4, Error::BadVersion),
        ("version 4", change(0, 0x41), Family::V4, Error::BadVersion),
        (
            "version 2 over IPv6",
            change(0, 0x21),
            Family::V6,
            Error::BadVersion,
        ),
        ("type 2", change(0, 0x32), Family::V4, Error::BadType),
        ("count 255", change(3, 255), Family::V4, Error::Truncated),
        ("count 0", change(3, 0), Family::V4, Error::BadTotalLength),
        ("v4 read as v6", good.clone(), Family::V6, Error::Truncated),
        ("one byte more", longer(1), Family::V4, Error::BadTotalLength),
        ("half a trailer", longer(14), Family::V4, Error::BadTotalLength),
    ] {
        assert_eq!(Packet::new_checked(&bytes, family).err(), Some(error), "{what}");
    }
}

#[test]
fn up_to_255_addresses_fit() {
    let many = vec![VIP6; 256];
    let bytes = v3(&many[..255], Family::V6, ChecksumV3::PseudoHeader);
    let packet = Packet::new_checked(&bytes, Family::V6).unwrap();
    assert_eq!(packet.addresses().len(), 255);
    let repr = Repr {
        vrid: 1,
        priority: 1,
        interval: Interval::CentiSecs(1),
        auth: Auth::None,
        addresses: &many,
        family: Family::V6,
    };
    assert_eq!(repr.emit(&mut vec![0; repr.buffer_len()]), Err(Error::BadField));
    let mixed = Repr {
        addresses: &[VIP],
        ..repr
    };
    assert_eq!(mixed.emit(&mut vec![0; mixed.buffer_len()]), Err(Error::BadField));
}

#[test]
fn authentication_headers_round_trip() {
    let header = ah::Header {
        spi: Ipv4Addr::new(192, 0, 2, 1),
        sequence: 0x0102_0304,
        hmac: [7; ah::HMAC_LEN],
    };
    let bytes = header.to_bytes();
    assert_eq!(bytes[..8], [112, 4, 0, 0, 192, 0, 2, 1]);
    assert_eq!(ah::Header::parse(&bytes), Ok(header));
    assert_eq!(ah::Header::parse(&bytes[..23]), Err(Error::Truncated));
    let mut other = bytes;
    other[0] = 6;
    assert_eq!(ah::Header::parse(&other), Err(Error::BadField));
}

#[test]
fn signed_pieces_skip_checksum_and_hmac() {
    let mut bytes = v3(&[VIP], Family::V4, ChecksumV3::PseudoHeader);
    bytes.extend([9; hmac::TRAILER_LEN]);
    let [head, zeros, rest, end] = hmac::signed_pieces(&bytes).unwrap();
    assert_eq!((head.len(), zeros, end), (6, &[0, 0][..], &[0; 16][..]));
    assert_eq!(rest.len(), bytes.len() - 8 - hmac::HMAC_LEN);
    assert!(hmac::signed_pieces(&[0; 20]).is_none());
    assert_eq!(
        hmac::pseudo_header(Version::V3, 7, SRC)[..8],
        [4, 3, 7, 0, 192, 0, 2, 1]
    );
}
