//! A server at the other end of every way, and packets that are none of ours.

use super::*;

const NEAR: &str = "192.0.2.2:40000";

fn through(tunnel: Option<Encapsulation>) -> Through {
    Through {
        service: "192.0.2.100:80".parse().unwrap(),
        tunnel,
    }
}

fn started(through: &Through, near: &str) -> (ThroughReader, Vec<u8>) {
    match ThroughReader::start(through, 0x1234_5678_9abc_def0, near.parse().ok()) {
        (reader, Progress::Say(packet)) => (reader, packet),
        other => panic!("{other:?}"),
    }
}

/// What the service answers to `packet`.
fn answer(packet: &[u8], flags: tcp::Flags) -> Vec<u8> {
    let (syn, from, to) = segment(packet).unwrap();
    let server = ThroughReader {
        near: Some(to),
        sequence: 0,
    };
    let back = Through {
        service: from,
        tunnel: None,
    };
    let mut reply = server.segment(&back, flags, 77).unwrap();
    let at = if from.is_ipv4() { 20 } else { 40 };
    let mut view = tcp::Packet::new_unchecked(&mut reply[at..]);
    view.set_ack_number(syn.seq_number.wrapping_add(1));
    view.fill_checksum(to.ip(), from.ip());
    reply
}

const SYN_ACK: tcp::Flags = tcp::Flags(0x12);
const RST_ACK: tcp::Flags = tcp::Flags(0x14);

#[test]
fn a_syn_ack_passes_and_is_reset_and_a_reset_fails() {
    for (service, near) in [
        ("192.0.2.100:80", NEAR),
        ("[2001:db8::100]:80", "[2001:db8::2]:40000"),
    ] {
        let through = Through {
            service: service.parse().unwrap(),
            tunnel: None,
        };
        let (mut reader, syn) = started(&through, near);
        let (sent, from, to) = segment(&syn).unwrap();
        assert_eq!(
            (sent.flags, from, to),
            (tcp::Flags::SYN, near.parse().unwrap(), through.service)
        );
        let Progress::Farewell(reset) = reader.read(&through, &answer(&syn, SYN_ACK)) else {
            panic!("no farewell");
        };
        let (reset, ..) = segment(&reset).unwrap();
        assert_eq!(
            (reset.flags, reset.seq_number),
            (tcp::Flags::RST, sent.seq_number.wrapping_add(1))
        );
        let refused = Progress::Fail(Failure::Connection(Fault::Refused));
        assert_eq!(reader.read(&through, &answer(&syn, RST_ACK)), refused);
    }
}

#[test]
fn what_is_no_answer_to_this_syn_is_passed_over() {
    let through = through(None);
    let (mut reader, syn) = started(&through, NEAR);
    let good = answer(&syn, SYN_ACK);
    let changed = |at: usize| {
        let mut packet = good.clone();
        packet[at] ^= 1;
        packet
    };
    // Source and destination address, both ports, the acknowledgment.
    for at in [15, 19, 21, 23, 31] {
        assert_eq!(reader.read(&through, &changed(at)), Progress::More, "byte {at}");
    }
    for length in 0..good.len() {
        assert_eq!(
            reader.read(&through, &good[..length]),
            Progress::More,
            "{length} bytes"
        );
    }
    assert_eq!(
        reader.read(&through, &answer(&syn, tcp::Flags::ACK)),
        Progress::More
    );
}

#[test]
fn each_tunnel_has_its_own_wrapping() {
    let (_, plain) = started(&through(None), NEAR);
    let table: &[(Encapsulation, Carrier, &[u8])] = &[
        (Encapsulation::Ipip, Carrier::Ip(4), &[]),
        (
            Encapsulation::Gre { checksum: false },
            Carrier::Ip(47),
            &[0, 0, 8, 0],
        ),
        (
            Encapsulation::Gue { port: 6080 },
            Carrier::Udp(6080),
            &[0, 4, 0, 0],
        ),
        (
            Encapsulation::Vxlan {
                port: 4789,
                vni: 7,
                inner_mac: [2, 0, 0, 0, 0, 9],
            },
            Carrier::Udp(4789),
            &[8, 0, 0, 0, 0, 0, 7, 0, 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0],
        ),
    ];
    for (tunnel, carrier, front) in table {
        let through = through(Some(*tunnel));
        let (_, sent) = started(&through, NEAR);
        assert_eq!(
            (through.carrier(), &sent[..]),
            (*carrier, &[*front, &plain].concat()[..])
        );
    }
    let (_, summed) = started(&through(Some(Encapsulation::Gre { checksum: true })), NEAR);
    assert!(gre::Packet::new_checked(&summed[..]).unwrap().verify_checksum());
}

#[test]
fn without_an_address_of_the_family_it_is_this_side_that_fails() {
    let local = Progress::Fail(Failure::Connection(Fault::Local));
    for near in [None, "[2001:db8::2]:1".parse().ok()] {
        assert_eq!(ThroughReader::start(&through(None), 1, near).1, local);
    }
}
