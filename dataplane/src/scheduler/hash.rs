//! The hashes of the schedulers: fixed keys only, so that two directors (and IPVS, for `mh`) agree.
//!
//! Read first: Aumasson and Bernstein, "SipHash"; `lib/siphash.c` of Linux, whose `hsiphash` is SipHash-1-3 cut to
//! 32 bits on 64-bit machines.

use core::net::IpAddr;

use super::PickInput;
use crate::hash::Seed;

/// Any fixed value does, as long as every director has the same.
const TUPLE_KEY: [u64; 2] = [0x7765_6972_2d74_7570, 0x6c65_2d68_6173_6831];

/// Knuth's multiplicative constant, as in `dh` and `sh` of IPVS.
pub(super) const MULTIPLIER: u32 = 2_654_435_761;

const fn sip_round([mut v0, mut v1, mut v2, mut v3]: [u64; 4]) -> [u64; 4] {
    v0 = v0.wrapping_add(v1);
    v1 = v1.rotate_left(13) ^ v0;
    v0 = v0.rotate_left(32);
    v2 = v2.wrapping_add(v3);
    v3 = v3.rotate_left(16) ^ v2;
    v0 = v0.wrapping_add(v3);
    v3 = v3.rotate_left(21) ^ v0;
    v2 = v2.wrapping_add(v1);
    v1 = v1.rotate_left(17) ^ v2;
    v2 = v2.rotate_left(32);
    [v0, v1, v2, v3]
}

const fn absorb(mut v: [u64; 4], word: u64) -> [u64; 4] {
    v[3] ^= word;
    v = sip_round(v);
    v[0] ^= word;
    v
}

/// SipHash-1-3 over whole little-endian words and a last word that already carries the length in its top byte.
fn siphash13(key: [u64; 2], words: &[u64], last: u64) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    for &word in words {
        v = absorb(v, word);
    }
    v = absorb(v, last);
    v[2] ^= 0xff;
    v = sip_round(sip_round(sip_round(v)));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

/// `hsiphash(&value, 4, key)` of a 64-bit little-endian kernel, where the two words of the key are equal.
pub(super) fn hsiphash_u32(value: u32, key: u64) -> u32 {
    siphash13([key, key], &[], 4 << 56 | u64::from(value)) as u32
}

/// The address as one 32-bit number in host order, as IPVS folds it: IPv6 by XOR of its four words.
pub(super) fn fold(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => u32::from(v4),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            let halves = (bits >> 64) as u64 ^ bits as u64;
            (halves >> 32) as u32 ^ halves as u32
        }
    }
}

/// The address as 16 bytes, IPv4 mapped into IPv6.
pub(super) fn words(address: IpAddr) -> [u64; 2] {
    let bits = match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    };
    [(bits >> 64) as u64, bits as u64]
}

/// Client and destination, addresses and ports.
pub(super) fn tuple(input: &PickInput) -> u64 {
    let [client_high, client_low] = words(input.client);
    let [destination_high, destination_low] = words(input.destination);
    let ports = u64::from(input.client_port) << 16 | u64::from(input.destination_port);
    siphash13(
        TUPLE_KEY,
        &[client_high, client_low, destination_high, destination_low],
        36 << 56 | ports,
    )
}

/// Any fixed secret does here too.
const SPREAD: Seed = Seed::fixed(TUPLE_KEY[0]);

/// As [`tuple`], in a tenth of the instructions: for every packet of a flood. With a key that everybody knows neither of them
/// keeps anybody from aiming at a server.
pub(super) fn spread(input: &PickInput) -> u64 {
    match (input.client, input.destination) {
        (IpAddr::V4(client), IpAddr::V4(destination)) => {
            let ([a, b, c, d], [e, f, g, h]) = (client.octets(), destination.octets());
            let ([i, j], [k, l]) = (
                input.client_port.to_be_bytes(),
                input.destination_port.to_be_bytes(),
            );
            spread_v4(
                u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
                u32::from_ne_bytes([i, j, k, l]),
            )
        }
        (client, destination) => {
            let ([a, b], [c, d]) = (words(client), words(destination));
            let ports = u64::from(input.client_port) << 16 | u64::from(input.destination_port);
            SPREAD.long([a, b, c, d], ports)
        }
    }
}

/// The same of both addresses and both ports in memory order. Little-endian words, so that any two machines agree.
#[inline(always)]
pub(super) fn spread_v4(pair: u64, ports: u32) -> u64 {
    SPREAD.short(pair.to_le(), u64::from(ports.to_le()))
}

/// The address alone.
pub(super) fn address(key: [u64; 2], address: IpAddr) -> u64 {
    siphash13(key, &words(address), 16 << 56)
}

/// The client's address alone, with the key of [`tuple`].
pub(super) fn client(input: &PickInput) -> u64 {
    address(TUPLE_KEY, input.client)
}

/// Address and port.
pub(super) fn endpoint(key: [u64; 2], address: IpAddr, port: u16) -> u64 {
    siphash13(key, &words(address), 18 << 56 | u64::from(port))
}

#[cfg(test)]
mod tests {
    use core::hash::Hasher;
    use std::collections::hash_map::DefaultHasher;

    use super::*;

    /// The standard library's hasher is SipHash-1-3 with a key of zeros.
    #[test]
    fn siphash13_is_the_standard_one() {
        for length in [0usize, 4, 8, 12, 16, 20, 36] {
            let bytes: Vec<u8> = (0..length).map(|n| (n * 37 + 11) as u8).collect();
            let mut standard = DefaultHasher::new();
            standard.write(&bytes);
            let whole: Vec<u64> = bytes
                .chunks_exact(8)
                .map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap()))
                .collect();
            let mut last = [0; 8];
            last[..length % 8].copy_from_slice(&bytes[length / 8 * 8..]);
            last[7] = length as u8;
            assert_eq!(
                siphash13([0, 0], &whole, u64::from_le_bytes(last)),
                standard.finish(),
                "{length}"
            );
        }
    }

    #[test]
    fn fold_is_the_kernels() {
        assert_eq!(fold("192.0.2.1".parse().unwrap()), 0xc000_0201);
        assert_eq!(
            fold("2001:db8:0:1:2:3:4:5".parse().unwrap()),
            0x2001_0db8 ^ 1 ^ 0x0002_0003 ^ 0x0004_0005
        );
    }
}
