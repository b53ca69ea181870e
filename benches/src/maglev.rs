//! The loop a Maglev build is compared with.

use std::net::{IpAddr, Ipv4Addr};

use weir_dataplane::scheduler::maglev::Member;
use weir_rings::message::MaglevSize;

/// So many servers of weight 1.
pub fn members(size: MaglevSize, count: u32) -> Vec<Member> {
    let address = |number| IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 + number));
    (0..count)
        .map(|number| Member::new(size, address(number), 80, 1))
        .collect()
}

/// Pseudocode 1 of the paper (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", 2016), over a table
/// of 32-bit entries.
pub fn paper(size: MaglevSize, members: &[Member]) -> Vec<i32> {
    let slots = size.slots();
    let mut entry = vec![-1; slots as usize];
    let mut next = vec![0u32; members.len()];
    let mut filled = 0;
    loop {
        for (rank, member) in (0..).zip(members) {
            let place = |step: u32| {
                (u64::from(member.offset) + u64::from(step) * u64::from(member.skip)) % u64::from(slots)
            };
            let mut slot = place(next[rank as usize]);
            while entry[slot as usize] >= 0 {
                next[rank as usize] += 1;
                slot = place(next[rank as usize]);
            }
            entry[slot as usize] = rank;
            next[rank as usize] += 1;
            filled += 1;
            if filled == slots {
                return entry;
            }
        }
    }
}
