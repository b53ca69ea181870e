//! Actions to bytes and back.

use super::*;

#[test]
fn a_solicitation_is_read_as_what_it_was_written() {
    let rows = [
        (key6(9).ip, None, v6(1).into(), [0x33, 0x33, 0xff, 0, 0, 9]),
        (key6(9).ip, Some(A), v6(1).into(), A.0),
        (key4(9).ip, None, key4(1).ip, [0xff; 6]),
        (key4(9).ip, Some(A), key4(1).ip, A.0),
    ];
    for (target, unicast_to, src, dst_mac) in rows {
        let frame = frame::solicit(target, unicast_to, OURS, src).unwrap();
        assert_eq!(frame.bytes()[..6], dst_mac);
        assert_eq!(frame.bytes()[6..12], OURS.0);
        let read = frame::input(PORT, frame.bytes()).unwrap().unwrap();
        match (read, target, src) {
            (Input::Arp { packet, .. }, IpAddr::V4(target), IpAddr::V4(src)) => {
                assert_eq!(packet, arp::Repr::request(OURS, src, target));
            }
            (
                Input::Nd {
                    src_addr, message, ..
                },
                IpAddr::V6(target),
                IpAddr::V6(src),
            ) => {
                assert_eq!(src_addr, src);
                let expected = ndp::Repr::NeighborSolicit {
                    target_addr: target,
                    lladdr: Some(OURS),
                };
                assert_eq!(message, expected);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(frame::solicit(key4(9).ip, None, OURS, v6(1).into()), None);
}

#[test]
fn an_announcement_moves_a_neighbour_that_knows_us() {
    for key in [key4(1), key6(1)] {
        let mut peer = Bench::new(Config::default());
        peer.feed(Input::Pin(key));
        let input = frame::input(PORT, frame::announce(key.ip, OURS, true).bytes())
            .unwrap()
            .unwrap();
        assert_eq!(peer.feed(input), [Action::Update { key, mac: OURS }]);
        let input = frame::input(PORT, frame::announce(key.ip, B, true).bytes())
            .unwrap()
            .unwrap();
        assert_eq!(peer.feed(input), [Action::Update { key, mac: B }]);
    }
}

#[test]
fn an_answer_is_solicited_unless_the_asker_has_no_address() {
    for (asker, solicited) in [(v6(9), true), (Ipv6Addr::UNSPECIFIED, false)] {
        let frame = frame::advertise(asker, A, v6(1), OURS, false);
        let Some(Input::Nd { message, .. }) = frame::input(PORT, frame.bytes()).unwrap() else {
            panic!()
        };
        let expected = ndp::Repr::NeighborAdvert {
            router: false,
            solicited,
            override_: true,
            target_addr: v6(1),
            lladdr: Some(OURS),
        };
        assert_eq!(message, expected);
        let dst = if solicited { A.0 } else { [0x33, 0x33, 0, 0, 0, 1] };
        assert_eq!(frame.bytes()[..6], dst);
    }
}

#[test]
fn a_message_from_beyond_a_router_is_refused() {
    let mut bytes = frame::announce(v6(1).into(), OURS, false).bytes().to_vec();
    bytes[14 + 7] = 254;
    assert_eq!(frame::input(PORT, &bytes), Err(weir_wire::Error::BadHopLimit));
}

#[test]
fn other_frames_are_nobodys_business() {
    let mut bytes = frame::announce(v6(1).into(), OURS, false).bytes().to_vec();
    bytes[14 + 6] = 17; // UDP
    assert_eq!(frame::input(PORT, &bytes), Ok(None));
    bytes[12..14].copy_from_slice(&[0x08, 0x00]);
    assert_eq!(frame::input(PORT, &bytes), Ok(None));
    assert_eq!(frame::input(PORT, &bytes[..13]), Err(weir_wire::Error::Truncated));
}
