//! Longest-prefix match over a trie of 8-bit strides: one load for a default route, at most four (IPv4) or sixteen.
//!
//! Built anew when a route changes; leaves are pushed down, so a lookup never backtracks.

use core::net::IpAddr;

use weir_rings::message::Prefix;

/// Marks a trie word that leads to another node.
const CHILD: u32 = 1 << 31;

#[derive(Debug, Clone)]
struct Trie {
    /// Words: 0 nothing, [`CHILD`] and a node, else a route's index plus 1.
    nodes: Vec<[u32; 256]>,
}

impl Trie {
    fn new() -> Self {
        Self {
            nodes: vec![[0; 256]],
        }
    }

    /// Prefixes must come in ascending order of length.
    fn insert(&mut self, octets: &[u8], len: usize, value: u32) {
        let mut node = 0;
        let mut depth = 0;
        while len > depth * 8 + 8 {
            let word = self.nodes[node][usize::from(octets[depth])];
            node = if word & CHILD != 0 {
                (word & !CHILD) as usize
            } else {
                let child = self.nodes.len();
                self.nodes.push([word; 256]);
                self.nodes[node][usize::from(octets[depth])] = child as u32 | CHILD;
                child
            };
            depth += 1;
        }
        let span = 1usize << (depth * 8 + 8 - len);
        let first = octets.get(depth).map_or(0, |&octet| usize::from(octet)) & !(span - 1);
        for word in &mut self.nodes[node][first..first + span] {
            *word = value + 1;
        }
    }

    #[inline]
    fn lookup(&self, octets: &[u8]) -> Option<u32> {
        let mut node = 0;
        for &octet in octets {
            let word = self.nodes[node][usize::from(octet)];
            if word & CHILD == 0 {
                return word.checked_sub(1);
            }
            node = (word & !CHILD) as usize;
        }
        None
    }
}

/// Prefixes of both families, each with the index of what it leads to.
#[derive(Debug, Clone)]
pub(super) struct Lpm {
    v4: Trie,
    v6: Trie,
}

impl Lpm {
    /// The trie of these prefixes. Of equal ones the last counts.
    pub(super) fn new(prefixes: &[(Prefix, u32)]) -> Self {
        let mut sorted: Vec<_> = prefixes.iter().collect();
        sorted.sort_by_key(|(prefix, _)| prefix.len());
        let mut lpm = Self {
            v4: Trie::new(),
            v6: Trie::new(),
        };
        for (prefix, value) in sorted {
            let len = usize::from(prefix.len());
            match prefix.address() {
                IpAddr::V4(address) => lpm.v4.insert(&address.octets(), len, *value),
                IpAddr::V6(address) => lpm.v6.insert(&address.octets(), len, *value),
            }
        }
        lpm
    }

    /// What the longest prefix that holds `address` leads to.
    #[inline]
    pub(super) fn lookup(&self, address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => self.v4.lookup(&address.octets()),
            IpAddr::V6(address) => self.v6.lookup(&address.octets()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lpm;
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use weir_rings::message::Prefix;

    fn naive(prefixes: &[(Prefix, u32)], address: IpAddr) -> Option<u32> {
        let mut best: Option<&(Prefix, u32)> = None;
        for candidate in prefixes.iter().filter(|(prefix, _)| prefix.contains(address)) {
            if best.is_none_or(|(prefix, _)| candidate.0.len() >= prefix.len()) {
                best = Some(candidate);
            }
        }
        best.map(|(_, value)| *value)
    }

    #[test]
    fn agrees_with_a_linear_search() {
        let mut rng = StdRng::seed_from_u64(5);
        for _ in 0..50 {
            let mut prefixes = Vec::new();
            for value in 0..rng.random_range(0..40) {
                let (address, bits) = if rng.random() {
                    (
                        IpAddr::V4(Ipv4Addr::new(192, 0, rng.random_range(0..4), rng.random())),
                        32,
                    )
                } else {
                    let low: u16 = rng.random_range(0..4);
                    (
                        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, low, 0, 0, 0, 0, rng.random())),
                        128,
                    )
                };
                prefixes.push((
                    Prefix::containing(address, rng.random_range(0..=bits)).unwrap(),
                    value,
                ));
            }
            prefixes.dedup_by_key(|(prefix, _)| *prefix);
            let lpm = Lpm::new(&prefixes);
            for _ in 0..500 {
                let v4 = IpAddr::V4(Ipv4Addr::new(192, 0, rng.random_range(0..5), rng.random()));
                let v6 = IpAddr::V6(Ipv6Addr::new(
                    0x2001,
                    0xdb8,
                    rng.random_range(0..5),
                    0,
                    0,
                    0,
                    0,
                    rng.random(),
                ));
                for address in [v4, v6] {
                    assert_eq!(
                        lpm.lookup(address),
                        naive(&prefixes, address),
                        "{address} in {prefixes:?}"
                    );
                }
            }
        }
    }
}
