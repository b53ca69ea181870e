use proptest::prelude::*;

use super::*;

const NEXT_TCP: u8 = 6;

/// An options-like header: next header, and a length of `units` times eight bytes.
fn options(next: u8, units: usize) -> Vec<u8> {
    let mut bytes = vec![0; units * 8];
    bytes[0] = next;
    bytes[1] = (units - 1) as u8;
    bytes
}

fn fragment(next: u8, offset: u16, more: bool) -> Vec<u8> {
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    vec![next, 0xff, high, low, 0xde, 0xad, 0xbe, 0xef]
}

fn authentication(next: u8, words: u8) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(words) * 4];
    bytes[0] = next;
    bytes[1] = words.wrapping_sub(2);
    bytes
}

fn plain(protocol: IpProtocol, offset: usize, extensions: usize) -> Upper {
    Upper {
        protocol,
        offset,
        extensions,
        fragment: None,
        routing: None,
    }
}

#[test]
fn without_extensions_the_upper_layer_starts_at_once() {
    for protocol in [
        IpProtocol::TCP,
        IpProtocol::ICMPV6,
        IpProtocol::ESP,
        IpProtocol::IPV6_NO_NEXT,
        IpProtocol(253),
    ] {
        assert_eq!(walk(protocol, &[]), Ok(plain(protocol, 0, 0)));
    }
}

#[test]
fn every_kind_in_the_order_of_the_rfc() {
    let mut routing = options(44, 3);
    routing[2] = 4; // segment routing
    routing[3] = 1;
    let chain = [
        options(60, 1),
        options(43, 2),
        routing,
        fragment(51, 0, true),
        authentication(60, 6),
        options(NEXT_TCP, 1),
    ];
    let payload = chain.concat();
    let upper = walk(IpProtocol::HOP_BY_HOP, &payload).unwrap();
    assert_eq!(
        (upper.protocol, upper.offset, upper.extensions),
        (IpProtocol::TCP, payload.len(), 6)
    );
    assert_eq!(
        upper.fragment,
        Some(Fragment {
            offset: 0,
            more: true,
            ident: 0xdead_beef
        })
    );
    assert_eq!(
        upper.routing,
        Some(Routing {
            kind: 4,
            segments_left: 1
        })
    );
    assert!(upper.has_header());
}

#[test]
fn behind_a_later_fragment_nothing_is_read() {
    // What follows looks like an endless chain, and is payload.
    let payload = [fragment(60, 1480, false), vec![60, 255, 0, 0]].concat();
    let upper = walk(IpProtocol::IPV6_FRAG, &payload).unwrap();
    assert_eq!((upper.protocol, upper.offset), (IpProtocol::IPV6_OPTS, 8));
    assert_eq!(upper.fragment.map(|fragment| fragment.offset), Some(1480));
    assert!(!upper.has_header());
}

#[test]
fn an_atomic_fragment_is_whole() {
    let upper = walk(IpProtocol::IPV6_FRAG, &fragment(NEXT_TCP, 0, false)).unwrap();
    assert!(upper.fragment.unwrap().is_atomic());
    assert!(upper.has_header());
    assert!(
        !Fragment {
            offset: 0,
            more: true,
            ident: 0
        }
        .is_atomic()
    );
    assert!(
        !Fragment {
            offset: 8,
            more: false,
            ident: 0
        }
        .is_atomic()
    );
}

#[test]
fn what_is_refused() {
    let many = |count: usize| {
        let mut chain = vec![options(60, 1); count - 1];
        chain.push(options(NEXT_TCP, 1));
        chain.concat()
    };
    assert_eq!(
        walk(IpProtocol::IPV6_OPTS, &many(EXTENSIONS_MAX)).map(|upper| upper.extensions),
        Ok(EXTENSIONS_MAX)
    );
    let rows: Vec<(IpProtocol, Vec<u8>, Error)> = vec![
        (
            IpProtocol::IPV6_OPTS,
            many(EXTENSIONS_MAX + 1),
            Error::TooManyExtensions,
        ),
        (
            IpProtocol::IPV6_OPTS,
            [options(0, 1), options(NEXT_TCP, 1)].concat(),
            Error::BadExtensionOrder,
        ),
        (
            IpProtocol::HOP_BY_HOP,
            [options(0, 1), options(NEXT_TCP, 1)].concat(),
            Error::BadExtensionOrder,
        ),
        (IpProtocol::IPV6_OPTS, vec![], Error::Truncated),
        (
            IpProtocol::IPV6_OPTS,
            vec![NEXT_TCP, 0, 0, 0, 0, 0, 0],
            Error::Truncated,
        ),
        (
            IpProtocol::IPV6_OPTS,
            options(NEXT_TCP, 2)[..15].to_vec(),
            Error::Truncated,
        ),
        (
            IpProtocol::IPV6_FRAG,
            vec![NEXT_TCP, 0, 0, 0, 0, 0, 0],
            Error::Truncated,
        ),
        (
            IpProtocol::AH,
            authentication(NEXT_TCP, 2),
            Error::BadHeaderLength,
        ),
        (
            IpProtocol::AH,
            authentication(NEXT_TCP, 6)[..23].to_vec(),
            Error::Truncated,
        ),
    ];
    for (first, payload, error) in rows {
        assert_eq!(walk(first, &payload), Err(error), "{first} {payload:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_end_within_the_bound(first: u8, payload in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(upper) = walk(IpProtocol(first), &payload) {
            prop_assert!(upper.extensions <= EXTENSIONS_MAX);
            prop_assert!(upper.offset <= payload.len());
        }
    }
}
