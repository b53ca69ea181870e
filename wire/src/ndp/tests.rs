use super::*;

const MAC: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 1]);
const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
const ASKER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const ROUTER_LL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const fn envelope(src_addr: Ipv6Addr, dst_addr: Ipv6Addr) -> Envelope {
    Envelope {
        src_addr,
        dst_addr,
        hop_limit: HOP_LIMIT,
    }
}

fn write(repr: &Repr, envelope: &Envelope) -> Vec<u8> {
    let mut bytes = vec![0xff; repr.buffer_len()];
    repr.emit(
        &mut icmpv6::Packet::new_unchecked(&mut bytes),
        envelope.src_addr,
        envelope.dst_addr,
    );
    bytes
}

fn read(bytes: &[u8], envelope: &Envelope) -> Result<Repr> {
    Repr::parse(&icmpv6::Packet::new_checked(bytes)?, envelope)
}

/// Reads after putting the checksum right.
fn reread(bytes: &[u8], envelope: &Envelope) -> Result<Repr> {
    let mut bytes = bytes.to_vec();
    let mut packet = icmpv6::Packet::new_checked(&mut bytes)?;
    packet.fill_checksum(envelope.src_addr, envelope.dst_addr);
    read(&bytes, envelope)
}

fn solicit() -> Repr {
    Repr::NeighborSolicit {
        target_addr: TARGET,
        lladdr: Some(MAC),
    }
}

fn advert(solicited: bool) -> Repr {
    Repr::NeighborAdvert {
        router: false,
        solicited,
        override_: true,
        target_addr: TARGET,
        lladdr: Some(MAC),
    }
}

fn router_advert(lladdr: Option<MacAddr>, mtu: Option<u32>) -> Repr {
    Repr::RouterAdvert {
        hop_limit: 64,
        managed: true,
        other: false,
        router_lifetime_s: 1800,
        reachable_time_ms: 30_000,
        retrans_timer_ms: 1000,
        lladdr,
        mtu,
    }
}

#[test]
fn every_message_round_trips() {
    let group = solicited_node(TARGET);
    let rows = [
        (
            Repr::RouterSolicit { lladdr: None },
            envelope(Ipv6Addr::UNSPECIFIED, ALL_NODES),
        ),
        (
            Repr::RouterSolicit { lladdr: Some(MAC) },
            envelope(ASKER, ALL_NODES),
        ),
        (router_advert(None, None), envelope(ROUTER_LL, ALL_NODES)),
        (
            router_advert(Some(MAC), Some(1500)),
            envelope(ROUTER_LL, ALL_NODES),
        ),
        (router_advert(None, Some(9000)), envelope(ROUTER_LL, ASKER)),
        (solicit(), envelope(ASKER, group)),
        (
            Repr::NeighborSolicit {
                target_addr: TARGET,
                lladdr: None,
            },
            envelope(Ipv6Addr::UNSPECIFIED, group),
        ),
        (advert(true), envelope(TARGET, ASKER)),
        (advert(false), envelope(TARGET, ALL_NODES)),
        (
            Repr::NeighborAdvert {
                router: true,
                solicited: true,
                override_: false,
                target_addr: TARGET,
                lladdr: None,
            },
            envelope(TARGET, ASKER),
        ),
    ];
    for (repr, envelope) in rows {
        let bytes = write(&repr, &envelope);
        assert!(bytes.len() <= EMIT_LEN_MAX);
        assert_eq!(read(&bytes, &envelope), Ok(repr));
    }
}

#[test]
fn a_solicitation_has_the_bytes_of_the_rfc() {
    let bytes = write(&solicit(), &envelope(ASKER, solicited_node(TARGET)));
    assert_eq!((bytes.len(), bytes[0], bytes[1]), (32, 135, 0));
    assert_eq!(bytes[4..8], [0; 4]);
    assert_eq!(bytes[8..24], TARGET.octets());
    assert_eq!(bytes[24..], [1, 1, 0x02, 0, 0x5e, 0, 0x53, 1]);
    let bytes = write(&advert(true), &envelope(TARGET, ASKER));
    assert_eq!((bytes[0], bytes[4], bytes[24]), (136, 0x60, 2));
}

#[test]
fn every_message_must_come_from_this_link() {
    let rows = [
        (Repr::RouterSolicit { lladdr: None }, envelope(ASKER, ALL_NODES)),
        (router_advert(None, None), envelope(ROUTER_LL, ALL_NODES)),
        (solicit(), envelope(ASKER, TARGET)),
        (advert(true), envelope(TARGET, ASKER)),
    ];
    for (repr, envelope) in rows {
        let bytes = write(&repr, &envelope);
        for hop_limit in [0, 1, 64, 254] {
            assert_eq!(
                read(
                    &bytes,
                    &Envelope {
                        hop_limit,
                        ..envelope
                    }
                ),
                Err(Error::BadHopLimit)
            );
        }
        let mut coded = bytes.clone();
        coded[1] = 1;
        assert_eq!(reread(&coded, &envelope), Err(Error::BadField));
        let mut broken = bytes.clone();
        broken[7] ^= 1;
        assert_eq!(read(&broken, &envelope), Err(Error::BadChecksum));
    }
}

#[test]
fn addresses_must_fit_the_message() {
    let anybody = Ipv6Addr::UNSPECIFIED;
    let group = Repr::NeighborSolicit {
        target_addr: ALL_NODES,
        lladdr: None,
    };
    let nameless = Repr::NeighborSolicit {
        target_addr: TARGET,
        lladdr: None,
    };
    let rows = [
        (
            router_advert(None, None),
            envelope(ASKER, ALL_NODES),
            Error::BadAddress,
        ),
        (group, envelope(ASKER, TARGET), Error::BadAddress),
        (nameless, envelope(anybody, TARGET), Error::BadAddress),
        (
            solicit(),
            envelope(anybody, solicited_node(TARGET)),
            Error::BadOption,
        ),
        (
            Repr::RouterSolicit { lladdr: Some(MAC) },
            envelope(anybody, ALL_NODES),
            Error::BadOption,
        ),
        (advert(true), envelope(TARGET, ALL_NODES), Error::BadField),
    ];
    for (repr, envelope, error) in rows {
        assert_eq!(
            read(&write(&repr, &envelope), &envelope),
            Err(error),
            "{repr:?} {envelope:?}"
        );
    }
}

#[test]
fn options_are_checked_and_strange_ones_passed_over() {
    let envelope = envelope(ASKER, TARGET);
    let plain = write(
        &Repr::NeighborSolicit {
            target_addr: TARGET,
            lladdr: None,
        },
        &envelope,
    );
    let with = |options: &[u8]| reread(&[&plain[..], options].concat(), &envelope);
    let rows: [(&[u8], Result<Repr>); 7] = [
        (&[1, 0, 0, 0, 0, 0, 0, 0], Err(Error::BadOption)), // no length
        (&[1, 2, 0, 0, 0, 0, 0, 0], Err(Error::BadOption)), // beyond the end
        (&[1], Err(Error::BadOption)),                      // no room for a length
        (&[1, 1, 2, 0, 0x5e], Err(Error::BadOption)),       // cut
        (&[3, 1, 0, 0, 0, 0, 0, 0], Err(Error::BadOption)), // prefix of the wrong length
        (
            &[14, 1, 9, 9, 9, 9, 9, 9, 1, 1, 2, 0, 0x5e, 0, 0x53, 1],
            Ok(solicit()),
        ), // nonce, then address
        (
            &[2, 1, 2, 0, 0x5e, 0, 0x53, 1],
            Ok(Repr::NeighborSolicit {
                target_addr: TARGET,
                lladdr: None,
            }),
        ),
    ];
    for (options, expected) in rows {
        assert_eq!(with(options), expected, "{options:02x?}");
    }
    assert_eq!(reread(&plain[..23], &envelope), Err(Error::Truncated));
}

#[test]
fn a_prefix_is_read() {
    let mut option = [0; 32];
    option[..4].copy_from_slice(&[3, 4, 64, 0xc0]);
    option[4..12].copy_from_slice(&[0, 0, 0, 60, 0, 0, 0, 30]);
    option[16..20].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    let expected = PrefixInfo {
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime_s: 60,
        preferred_lifetime_s: 30,
        prefix: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
    };
    assert_eq!(
        NdpOptions::new(&option).collect::<Vec<_>>(),
        [Ok(NdpOption::Prefix(expected))]
    );
}
