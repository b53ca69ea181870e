use proptest::prelude::*;

use super::*;

/// RFC 1071 §1 word for word: add 16-bit big-endian words, end-around carry.
fn naive_sum(data: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in data.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[test]
fn rfc_1071_example() {
    let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(Sum::new().bytes(&data).folded(), 0xddf2);
    assert_eq!(checksum(&data), !0xddf2);
}

#[test]
fn rfc_1624_example() {
    // §4: checksum 0xdd2f, a field goes from 0x5555 to 0x3285; equation 3 gives 0x0000, where RFC 1141 gave 0xffff.
    assert_eq!(update_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
}

#[test]
fn udp_zero_means_none() {
    assert_eq!(Delta::new().u16(1, 2).apply_udp(0), 0);
    assert_eq!(Delta::new().u16(0x5555, 0x3285).apply_udp(0xdd2f), 0xffff);
    assert_eq!(Sum::new().word(0xffff).finish_udp(), 0xffff);
    assert_eq!(Sum::new().word(0xfffe).finish_udp(), 1);
    // A 0xffff on the wire stands for 0 and takes further changes like 0.
    let delta = Delta::new().u16(7, 9);
    assert_eq!(delta.apply_udp(0xffff), delta.apply(0));
}

#[test]
fn pseudo_headers_are_those_of_the_rfc() {
    let (src, dst) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 2));
    let bytes = [192, 0, 2, 1, 198, 51, 100, 2, 0, 17, 0x12, 0x34];
    assert_eq!(
        pseudo_v4(src, dst, IpProtocol::UDP, 0x1234).folded(),
        naive_sum(&bytes)
    );

    let src: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let dst: Ipv6Addr = "2001:db8:ffff::2".parse().unwrap();
    let mut bytes = [0; 40];
    bytes[..16].copy_from_slice(&src.octets());
    bytes[16..32].copy_from_slice(&dst.octets());
    bytes[32..36].copy_from_slice(&0x0001_2345u32.to_be_bytes());
    bytes[39] = 58;
    assert_eq!(
        pseudo_v6(src, dst, IpProtocol::ICMPV6, 0x0001_2345).folded(),
        naive_sum(&bytes)
    );
    assert_eq!(
        pseudo(src.into(), Ipv4Addr::LOCALHOST.into(), IpProtocol::TCP, 20),
        None
    );
}

#[test]
fn changes_of_loaded_words_are_those_of_values() {
    let words = [
        0u16, 1, 0x00ff, 0x0100, 0x7fff, 0xc000, 0xfeff, 0xff00, 0xfffe, 0xffff,
    ];
    let pairs = words.iter().flat_map(|&a| words.iter().map(move |&b| (a, b)));
    for (old_high, old_low) in pairs.clone() {
        for (new_high, new_low) in pairs.clone() {
            let value = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
            let (old, new) = (value(old_high, old_low), value(new_high, new_low));
            let (old_port, new_port) = (old_low, new_high);
            let delta = Delta::new().u32(old, new);
            let both = delta.u16(old_port, new_port);
            let loaded = Loaded::u32(old.to_be(), new.to_be());
            let loaded_both = loaded.and_u16(old_port.to_be(), new_port.to_be());
            for before in words {
                let by_words = |change: Loaded| u16::from_be(change.apply(before.to_be()));
                assert_eq!(
                    by_words(loaded),
                    delta.apply(before),
                    "{old:x} {new:x} {before:x}"
                );
                assert_eq!(
                    by_words(loaded_both),
                    both.apply(before),
                    "{old:x} {new:x} {before:x}"
                );
                let udp = u16::from_be(loaded_both.apply_udp(before.to_be()));
                assert_eq!(udp, both.apply_udp(before), "{old:x} {new:x} {before:x}");
            }
        }
    }
}

#[test]
fn a_full_buffer_of_ones_does_not_overflow() {
    let data = vec![0xff; 1 << 20];
    assert_eq!(Sum::new().bytes(&data).folded(), 0xffff);
    assert_eq!(Sum::new().bytes(&data[1..]).folded(), naive_sum(&data[1..]));
}

proptest! {
    #[test]
    fn a_sum_with_its_carries_folds_like_bytes(words: [u16; 4], upper in 0..=0xfffcu16) {
        let sum = u32::from(upper) << 16;
        let sum = words.iter().fold(sum, |sum, &word| sum + u32::from(word));
        let bytes: Vec<u8> = words.iter().chain([&upper]).flat_map(|word| word.to_be_bytes()).collect();
        prop_assert_eq!(checksum_of(sum), checksum(&bytes));
    }

    #[test]
    fn sum_equals_the_naive_one_at_any_split(
        data in prop::collection::vec(any::<u8>(), 0..200), a in 0usize..200, b in 0usize..200,
    ) {
        let (a, b) = (a.min(data.len()), b.min(data.len()));
        let (a, b) = (a.min(b), a.max(b));
        let sum = Sum::new().bytes(&data[..a]).bytes(&data[a..b]).bytes(&data[b..]);
        prop_assert_eq!(sum.folded(), naive_sum(&data));
    }

    /// Any mix of field changes at any alignment, applied at once or one after another, equals the full sum.
    #[test]
    fn incremental_equals_recomputed(
        mut data in prop::collection::vec(any::<u8>(), 48..120),
        word in any::<u16>(), odd_word in any::<u16>(), double in any::<u32>(), quad in any::<u128>(),
    ) {
        data[47] |= 1; // all-zero data, which no packet is, has two representations of its sum
        let old_checksum = checksum(&data);
        let get = |range: core::ops::Range<usize>| -> u128 {
            data[range].iter().fold(0, |value, &byte| value << 8 | u128::from(byte))
        };
        let word_change = Delta::new().u16(get(0..2) as u16, word);
        let odd_change = Delta::new().u16_at_odd(get(5..7) as u16, odd_word);
        let double_change = Delta::new().u32(get(8..12) as u32, double);
        let quad_change = Delta::new().u128(get(16..32), quad);
        data[0..2].copy_from_slice(&word.to_be_bytes());
        data[5..7].copy_from_slice(&odd_word.to_be_bytes());
        data[8..12].copy_from_slice(&double.to_be_bytes());
        data[16..32].copy_from_slice(&quad.to_be_bytes());

        let expected = checksum(&data);
        let at_once = word_change.and(odd_change).and(double_change).and(quad_change);
        prop_assert_eq!(at_once.apply(old_checksum), expected);
        let one_by_one = [quad_change, word_change, double_change, odd_change];
        prop_assert_eq!(one_by_one.iter().fold(old_checksum, |sum, change| change.apply(sum)), expected);
    }

    #[test]
    fn byte_strings_change_like_the_words_they_hold(
        old in prop::collection::vec(any::<u8>(), 0..40), new in prop::collection::vec(any::<u8>(), 0..40),
        head in prop::collection::vec(any::<u8>(), 2..10),
    ) {
        let head = &head[..head.len() / 2 * 2];
        let whole = |middle: &[u8]| Sum::new().word(6).bytes(head).bytes(middle).finish();
        prop_assert_eq!(Delta::new().bytes(&old, &new).apply(whole(&old)), whole(&new));
    }
}
