//! What the path changes in an IP header, for both families: hop limit, addresses, ports, and every checksum they are under.
//!
//! Offsets are those of a [`Meta`](crate::parse::Meta), so nothing here can fail on length unless it says so.
//! Checksums follow RFC 1624. Read first: RFC 791, RFC 8200 §8.1, RFC 768.

use weir_wire::checksum::Delta;

use crate::burst::{Context, Pending};
use crate::family::{Family, Key, V4, V6};
use crate::forward::plain;
use crate::packet::Packet;
use crate::verdict::{DropReason, PortId};

/// A family with its header layout.
pub(crate) trait Ip: Family {
    /// Length of the header without options or extensions.
    const HEADER_LEN: usize;

    /// Takes one off the hop limit.
    ///
    /// # Errors
    /// [`DropReason::TtlExceeded`], and nothing changed, when it would reach 0.
    fn decrement_ttl(data: &mut [u8], l3: usize) -> Result<(), DropReason>;
    /// Type of service or traffic class, ECN included.
    fn tos(data: &[u8], l3: usize) -> u8;
    /// Whether routers must not fragment the packet.
    fn dont_fragment(data: &[u8], l3: usize) -> bool;
    /// Identification of the datagram; 0 where the header has none.
    fn identification(data: &[u8], l3: usize) -> u16;
    /// Writes the addresses, and the header checksum where there is one.
    fn write_pair(data: &mut [u8], l3: usize, old: &Self::Pair, new: &Self::Pair);
    /// How a sum over the addresses changes.
    fn pair_delta(old: &Self::Pair, new: &Self::Pair) -> Delta;
    /// Makes a packet to a server ready in the way of the fast lane, if that can be done; `None` leaves it unchanged.
    fn rewrite_plain<P: Packet>(
        pending: &Pending<Self>,
        packet: &mut P,
        context: &Context<'_>,
    ) -> Option<PortId>;
    /// The address pair of a header.
    fn read_pair(data: &[u8], l3: usize) -> Self::Pair;
}

/// Adds one to the checksum's word for each unit of hop limit taken away (RFC 1624 with m' = m - 0x0100).
#[inline(always)]
fn add_to_checksum(checksum: u16, value: u16) -> u16 {
    let (sum, carry) = checksum.overflowing_add(value);
    let sum = sum + u16::from(carry);
    // Both 0xffff and 0 stand for zero; a header is never all zero, so 0xffff is never right.
    if sum == 0xffff { 0 } else { sum }
}

impl Ip for V4 {
    const HEADER_LEN: usize = 20;

    #[inline(always)]
    fn decrement_ttl(data: &mut [u8], l3: usize) -> Result<(), DropReason> {
        let Some(head) = data.get_mut(l3..).and_then(<[u8]>::first_chunk_mut::<20>) else {
            return Err(DropReason::Truncated);
        };
        if head[8] <= 1 {
            return Err(DropReason::TtlExceeded);
        }
        head[8] -= 1;
        [head[10], head[11]] =
            add_to_checksum(u16::from_be_bytes([head[10], head[11]]), 0x0100).to_be_bytes();
        Ok(())
    }

    #[inline]
    fn tos(data: &[u8], l3: usize) -> u8 {
        data[l3 + 1]
    }

    #[inline]
    fn dont_fragment(data: &[u8], l3: usize) -> bool {
        data[l3 + 6] & 0x40 != 0
    }

    #[inline]
    fn identification(data: &[u8], l3: usize) -> u16 {
        u16::from_be_bytes([data[l3 + 4], data[l3 + 5]])
    }

    #[inline]
    fn write_pair(data: &mut [u8], l3: usize, old: &[u8; 8], new: &[u8; 8]) {
        let Some(head) = data.get_mut(l3..).and_then(<[u8]>::first_chunk_mut::<20>) else {
            return;
        };
        let checksum = u16::from_be_bytes([head[10], head[11]]);
        [head[10], head[11]] = Self::pair_delta(old, new).apply(checksum).to_be_bytes();
        head[12..20].copy_from_slice(new);
    }

    #[inline]
    fn pair_delta(old: &[u8; 8], new: &[u8; 8]) -> Delta {
        Delta::new().bytes(old, new)
    }

    #[inline(always)]
    fn rewrite_plain<P: Packet>(
        pending: &Pending<Self>,
        packet: &mut P,
        context: &Context<'_>,
    ) -> Option<PortId> {
        plain::rewrite_plain(pending, packet, context)
    }

    #[inline]
    fn read_pair(data: &[u8], l3: usize) -> [u8; 8] {
        let mut pair = [0; 8];
        pair.copy_from_slice(&data[l3 + 12..l3 + 20]);
        pair
    }
}

impl Ip for V6 {
    const HEADER_LEN: usize = 40;

    #[inline(always)]
    fn decrement_ttl(data: &mut [u8], l3: usize) -> Result<(), DropReason> {
        let limit = &mut data[l3 + 7];
        if *limit <= 1 {
            return Err(DropReason::TtlExceeded);
        }
        *limit -= 1;
        Ok(())
    }

    #[inline]
    fn tos(data: &[u8], l3: usize) -> u8 {
        data[l3] << 4 | data[l3 + 1] >> 4
    }

    #[inline]
    fn dont_fragment(_: &[u8], _: usize) -> bool {
        true
    }

    #[inline]
    fn identification(_: &[u8], _: usize) -> u16 {
        0
    }

    #[inline]
    fn write_pair(data: &mut [u8], l3: usize, _: &[u8; 32], new: &[u8; 32]) {
        data[l3 + 8..l3 + 40].copy_from_slice(new);
    }

    #[inline]
    fn pair_delta(old: &[u8; 32], new: &[u8; 32]) -> Delta {
        Delta::new().bytes(old, new)
    }

    #[inline(always)]
    fn rewrite_plain<P: Packet>(_: &Pending<Self>, _: &mut P, _: &Context<'_>) -> Option<PortId> {
        None
    }

    #[inline]
    fn read_pair(data: &[u8], l3: usize) -> [u8; 32] {
        let mut pair = [0; 32];
        pair.copy_from_slice(&data[l3 + 8..l3 + 40]);
        pair
    }
}

/// Where a transport header keeps its checksum.
const fn checksum_at(protocol: u8) -> usize {
    if protocol == 6 { 16 } else { 6 }
}

/// Rewrites a packet's five-tuple from `old` to `new` with its checksums. A transport checksum beyond `end` (a quoted
/// packet, cut short) is left alone; the UDP checksum 0 of IPv4 stays 0.
#[inline]
pub(crate) fn translate<F: Ip>(
    data: &mut [u8],
    l3: usize,
    l4: usize,
    end: usize,
    old: &Key<F>,
    new: &Key<F>,
) {
    F::write_pair(data, l3, &old.pair, &new.pair);
    data[l4..l4 + 4].copy_from_slice(&new.ports);
    let at = l4 + checksum_at(old.protocol);
    if at + 2 > end {
        return;
    }
    let delta = F::pair_delta(&old.pair, &new.pair).and(Delta::new().bytes(&old.ports, &new.ports));
    if let Some([high, low]) = data.get_mut(at..at + 2) {
        let before = u16::from_be_bytes([*high, *low]);
        let after = if old.protocol == 17 {
            delta.apply_udp(before)
        } else {
            delta.apply(before)
        };
        [*high, *low] = after.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::{Ip, add_to_checksum};
    use crate::family::V4;
    use crate::verdict::DropReason;
    use weir_wire::checksum::{Sum, checksum};

    #[test]
    fn hop_limits_and_checksums_go_down_together() {
        for seed in 0..=u16::MAX {
            let [a, b] = seed.to_be_bytes();
            let mut header = [
                0x45, 0, 0, 40, a, b, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, b,
            ];
            let sum = checksum(&header);
            [header[10], header[11]] = sum.to_be_bytes();
            V4::decrement_ttl(&mut header, 0).unwrap();
            assert_eq!(header[8], 63);
            assert!(Sum::new().bytes(&header).is_valid(), "{header:?}");
        }
    }

    #[test]
    fn the_last_hop_is_refused_unchanged() {
        let mut header = [
            0x45, 0, 0, 40, 0, 0, 0x40, 0, 1, 6, 9, 9, 192, 0, 2, 1, 198, 51, 100, 1,
        ];
        let before = header;
        assert_eq!(V4::decrement_ttl(&mut header, 0), Err(DropReason::TtlExceeded));
        assert_eq!(header, before);
    }

    #[test]
    fn a_sum_of_all_ones_is_written_as_zero() {
        assert_eq!(add_to_checksum(0xfeff, 0x0100), 0);
        assert_eq!(add_to_checksum(0xff00, 0x0100), 1);
    }
}
