use super::{Class, Front, Meta, key4, key6, parse, plain_of, plain4};
use crate::family::Key;
use crate::verdict::DropReason;

/// An Ethernet header, tags, and what follows.
fn frame(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        out.extend([0x81, 0x00]);
        out.extend(tag.to_be_bytes());
    }
    out.extend(ethertype.to_be_bytes());
    out.extend(payload);
    out
}

fn v4(options: usize, fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = (20 + options + payload.len()) as u16;
    let mut out = vec![0x45 + (options / 4) as u8, 0];
    out.extend(len.to_be_bytes());
    out.extend([0, 0]);
    out.extend(fragment.to_be_bytes());
    out.extend([64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2]);
    out.extend(std::iter::repeat_n(1, options));
    out.extend(payload);
    out
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x60, 0, 0, 0];
    out.extend((payload.len() as u16).to_be_bytes());
    out.extend([next, 64]);
    out.extend("2001:db8::1".parse::<core::net::Ipv6Addr>().unwrap().octets());
    out.extend("2001:db8::2".parse::<core::net::Ipv6Addr>().unwrap().octets());
    out.extend(payload);
    out
}

fn tcp(flags: u8) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags];
    out.extend([0; 6]);
    out
}

fn udp(len: u16) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 0, 53];
    out.extend(len.to_be_bytes());
    out.extend([0, 0]);
    out.extend(vec![9; usize::from(len.saturating_sub(8))]);
    out
}

fn outcome(bytes: &[u8]) -> Result<(Class, u16, u16, u32), DropReason> {
    parse(bytes, bytes.len()).map(|meta| (meta.class, meta.l3, meta.l4, meta.end))
}

#[test]
fn offsets_follow_tags_and_options() {
    for tagged in [false, true] {
        let tags: &[u16] = if tagged { &[0xa007] } else { &[] };
        let l3 = if tagged { 18u16 } else { 14 };
        for options in (0..=40).step_by(4) {
            let bytes = frame(tags, 0x0800, &v4(options, 0x4000, 6, &tcp(2)));
            let l4 = l3 + 20 + options as u16;
            assert_eq!(outcome(&bytes), Ok((Class::Flow4, l3, l4, u32::from(l4) + 20)));
            let meta = parse(&bytes, bytes.len()).unwrap();
            assert_eq!(
                (meta.protocol, meta.tcp_flags, meta.vlan_id()),
                (6, 2, tagged.then_some(7))
            );
            let key = Key::new(
                "192.0.2.1".parse().unwrap(),
                0x1234,
                "198.51.100.2".parse().unwrap(),
                80,
                6,
            )
            .unwrap();
            assert_eq!(key4(&bytes, &meta), key);
        }
    }
}

#[test]
fn extension_headers_are_walked() {
    let opts = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let fragment = |next: u8, offset: u16| {
        let [a, b] = offset.to_be_bytes();
        [next, 0, a, b, 0, 0, 0, 1]
    };
    let cases: Vec<(u8, Vec<u8>, Class, u16)> = vec![
        (6, tcp(2), Class::Flow6, 54),
        (0, [&opts(6)[..], &tcp(2)].concat(), Class::Flow6, 62),
        (
            0,
            [&opts(60)[..], &opts(43), &opts(17), &udp(9)].concat(),
            Class::Flow6,
            78,
        ),
        (44, [&fragment(17, 0)[..], &udp(9)].concat(), Class::Flow6, 62),
        (44, [&fragment(17, 1)[..], &udp(9)].concat(), Class::Fragment6, 62),
        (44, [&fragment(17, 8)[..], &[1; 9]].concat(), Class::Fragment6, 62),
        (
            51,
            [&[6, 4, 0, 0][..], &[0; 20], &tcp(2)].concat(),
            Class::Flow6,
            78,
        ),
        (59, vec![], Class::Other6, 54),
        (58, vec![128, 0, 0, 0, 0, 1, 0, 1], Class::Icmp6, 54),
        (1, vec![8, 0, 0, 0, 0, 1, 0, 1], Class::Other6, 54),
    ];
    for (next, payload, class, l4) in cases {
        let bytes = frame(&[], 0x86dd, &v6(next, &payload));
        assert_eq!(outcome(&bytes), Ok((class, 14, l4, bytes.len() as u32)), "{next}");
    }
    let bytes = frame(&[], 0x86dd, &v6(6, &tcp(2)));
    let meta = parse(&bytes, bytes.len()).unwrap();
    let key = Key::new(
        "2001:db8::1".parse().unwrap(),
        0x1234,
        "2001:db8::2".parse().unwrap(),
        80,
        6,
    )
    .unwrap();
    assert_eq!(key6(&bytes, &meta), key);
    let endless = std::iter::repeat_n(opts(0), 20).flatten().collect::<Vec<u8>>();
    assert_eq!(
        outcome(&frame(&[], 0x86dd, &v6(0, &endless))),
        Err(DropReason::BadIpHeader)
    );
}

#[test]
fn classes_are_told_apart() {
    let cases: Vec<(Vec<u8>, Result<Class, DropReason>)> = vec![
        (frame(&[], 0x0806, &[0; 28]), Ok(Class::Arp)),
        (frame(&[], 0x88cc, &[0; 28]), Ok(Class::OtherEthertype)),
        (
            frame(&[5, 6], 0x0800, &v4(0, 0, 6, &tcp(2))),
            Ok(Class::OtherEthertype),
        ),
        (
            frame(&[], 0x0800, &v4(0, 0x2000, 6, &tcp(2))),
            Ok(Class::Fragment4),
        ),
        (
            frame(&[], 0x0800, &v4(0, 0x0001, 6, &tcp(2))),
            Ok(Class::Fragment4),
        ),
        (
            frame(&[], 0x0800, &v4(0, 0, 1, &[8, 0, 0, 0, 0, 1, 0, 1])),
            Ok(Class::Icmp4),
        ),
        (
            frame(&[], 0x0800, &v4(0, 0, 1, &[8, 0, 0])),
            Err(DropReason::BadTransport),
        ),
        (frame(&[], 0x0800, &v4(0, 0, 112, &[0; 20])), Ok(Class::Other4)),
        (
            frame(&[], 0x0800, &v4(0, 0, 17, &udp(7))),
            Err(DropReason::BadTransport),
        ),
        (
            frame(&[], 0x0800, &v4(0, 0, 17, &[0; 7])),
            Err(DropReason::BadTransport),
        ),
        (frame(&[], 0x0800, &v4(0, 0, 17, &udp(8))), Ok(Class::Flow4)),
        (
            frame(&[], 0x0800, &v4(0, 0, 6, &tcp(2)[..19])),
            Err(DropReason::BadTransport),
        ),
        (
            frame(&[], 0x86dd, &v4(0, 0, 6, &tcp(2))),
            Err(DropReason::BadIpHeader),
        ),
        (
            frame(&[], 0x86dd, &v6(6, &tcp(2))[..39]),
            Err(DropReason::Truncated),
        ),
        (frame(&[], 0x86dd, &[0x45; 60]), Err(DropReason::BadIpHeader)),
        (frame(&[], 0x8100, &[0, 5]), Err(DropReason::Truncated)),
    ];
    for (bytes, expected) in cases {
        assert_eq!(
            parse(&bytes, bytes.len()).map(|meta| meta.class),
            expected,
            "{bytes:02x?}"
        );
    }
}

/// The shortcut for plain packets must say exactly what the general way says.
#[test]
fn the_shortcut_agrees_with_the_general_way() {
    let mut state = 7u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let (mut plain, mut of_one) = (0, 0);
    for _ in 0..200_000 {
        let payload = if next() % 2 == 0 {
            tcp(next() as u8)
        } else {
            udp(8 + (next() % 20) as u16)
        };
        let protocol = if payload.len() == 20 { 6 } else { 17 };
        let mut bytes = frame(&[], 0x0800, &v4(0, 0x4000, protocol, &payload));
        bytes.extend(vec![0; (next() % 40) as usize]);
        for _ in 0..next() % 3 {
            let at = 12 + (next() % 40) as usize;
            if at < bytes.len() {
                bytes[at] = next() as u8;
            }
        }
        let (fast, general) = (parse(&bytes, bytes.len()), super::parse_any(&bytes, bytes.len()));
        assert_eq!(fast, general, "{bytes:02x?}");
        if let Some(head) = bytes.first_chunk()
            && let Some(mac) = head.first_chunk()
            && Front::of(*mac).is_of(head)
        {
            let lens = [
                plain_of::<6>(head, bytes.len()),
                plain_of::<17>(head, bytes.len()),
            ];
            for (len, protocol) in lens.into_iter().zip([6, 17]) {
                let Some(ip_len) = len else { continue };
                let plain = plain4(head, bytes.len()).map(|plain| (plain.ip_len, plain.tail >> 32));
                assert_eq!(plain, Some((ip_len, protocol)), "{bytes:02x?}");
                of_one += 1;
            }
        }
        plain += u32::from(matches!(
            fast,
            Ok(Meta {
                class: Class::Flow4,
                ..
            })
        ));
    }
    assert!(of_one > 40_000 && of_one <= plain, "{plain}, {of_one}");
}

#[test]
fn headers_may_not_lie_in_a_second_segment() {
    let bytes = frame(&[], 0x0800, &v4(0, 0, 6, &[&tcp(2)[..], &[0; 100]].concat()));
    for first in 0..bytes.len() {
        let result = parse(&bytes[..first], bytes.len());
        assert_eq!(result.is_ok(), first >= 54, "{first}: {result:?}");
    }
}
