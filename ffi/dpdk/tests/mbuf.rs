//! Mbufs against a model: a vector of bytes with a fixed room before and behind.

mod support;

use weir_dpdk::{HEADROOM, Mbuf};

/// splitmix64; a seed is replayed with `WEIR_SEED`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Mostly small, now and then past every bound.
    fn size(&mut self) -> usize {
        match self.next() % 16 {
            0 => 65_536 + (self.next() % 1000) as usize,
            1 => 65_535,
            2 => (self.next() % 4096) as usize,
            _ => (self.next() % 200) as usize,
        }
    }
}

struct Model {
    head: usize,
    data: Vec<u8>,
    tail: usize,
}

fn step(packet: &mut Mbuf, model: &mut Model, random: &mut Random) {
    let n = random.size();
    let fill = random.next() as u8;
    match random.next() % 5 {
        0 => {
            let grown = packet.prepend(n).map(|new| new.fill(fill)).is_some();
            assert_eq!(grown, n <= model.head, "prepend {n}");
            if grown {
                model.head -= n;
                model.data.splice(0..0, std::iter::repeat_n(fill, n));
            }
        }
        1 => {
            let grown = packet.append(n).map(|new| new.fill(fill)).is_some();
            assert_eq!(grown, n <= model.tail, "append {n}");
            if grown {
                model.tail -= n;
                model.data.resize(model.data.len() + n, fill);
            }
        }
        2 => {
            let trimmed = packet.trim_front(n);
            assert_eq!(trimmed, n <= model.data.len(), "trim_front {n}");
            if trimmed {
                model.head += n;
                model.data.drain(..n);
            }
        }
        3 => {
            let cut = packet.truncate(n);
            assert_eq!(cut, n <= model.data.len(), "truncate {n}");
            if cut {
                model.tail += model.data.len() - n;
                model.data.truncate(n);
            }
        }
        _ => {
            let trimmed = packet.trim_back(n);
            assert_eq!(trimmed, n <= model.data.len(), "trim_back {n}");
            if trimmed {
                model.tail += n;
                model.data.truncate(model.data.len() - n);
            }
        }
    }
    assert_eq!(packet.data(), model.data);
    assert_eq!(packet.total_len(), model.data.len());
    assert_eq!((packet.headroom(), packet.tailroom()), (model.head, model.tail));
}

#[test]
fn every_change_is_bounded() {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0x0077_6569_7200);
    println!("WEIR_SEED={seed}");
    let mut random = Random(seed);
    let stage = support::stage(&[]);
    let pool = support::pool(&stage.eal);
    for _ in 0..200 {
        let mut packet = pool.alloc().unwrap();
        let room = usize::from(pool.buffer_bytes() - HEADROOM);
        let mut model = Model {
            head: HEADROOM.into(),
            data: Vec::new(),
            tail: room,
        };
        for _ in 0..200 {
            step(&mut packet, &mut model, &mut random);
        }
    }
    assert_eq!(pool.available(), pool.size());
}

#[test]
fn the_edges_exactly() {
    let stage = support::stage(&[]);
    let pool = support::pool(&stage.eal);
    let mut packet = pool.alloc().unwrap();
    let (head, tail) = (packet.headroom(), packet.tailroom());
    assert!(packet.append(tail + 1).is_none());
    assert_eq!(packet.append(tail).unwrap().len(), tail);
    assert!(packet.append(1).is_none());
    assert!(packet.prepend(head + 1).is_none());
    assert_eq!(packet.prepend(head).unwrap().len(), head);
    assert!(packet.prepend(1).is_none());
    assert_eq!(packet.prepend(0).unwrap().len(), 0);
    assert!(!packet.trim_front(head + tail + 1));
    assert!(!packet.trim_back(usize::MAX));
    assert!(packet.trim_front(head + tail));
    assert_eq!(packet.data(), []);
    assert!(!packet.trim_back(1));
    assert_eq!((packet.rss_hash(), packet.vlan_tci()), (None, None));
}
