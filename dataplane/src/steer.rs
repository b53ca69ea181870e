//! Which worker a packet belongs to.
//!
//! A packet from a client belongs to the worker it is received by, where the device spreads by RSS; the worker makes the
//! flow and keeps it. Where one queue feeds all workers, a hash over the client's address and port spreads them.
//! Replies (NAT, FULLNAT) must come to the flow: with a known RSS key and table they are predicted (Toeplitz,
//! as Microsoft's NDIS defines it), otherwise they are handed over by what [`Steering`] and [`OwnerIndex`] say.

use core::net::IpAddr;

use weir_rings::sync::{AtomicU32, Ordering::Relaxed};

use crate::family::{Family, Key};
use crate::hash::{Seed, range};
use crate::verdict::{PortId, WorkerId};

/// How a port spreads what it receives over the workers.
#[derive(Debug, Clone, Default)]
pub enum Rss {
    /// It does not: one worker polls, software spreads.
    #[default]
    None,
    /// It does, in a way that is not known.
    Unknown,
    /// It does, by this key and table.
    Known(Box<Toeplitz>),
}

/// RSS as the device computes it over source address, destination address, source port, destination port.
#[derive(Clone)]
pub struct Toeplitz {
    /// Contribution of every value of every input byte.
    bytes: Box<[[u32; 256]; 36]>,
    /// Worker of each entry of the indirection table.
    reta: Box<[WorkerId]>,
}

impl core::fmt::Debug for Toeplitz {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Toeplitz")
            .field("reta_len", &self.reta.len())
            .finish_non_exhaustive()
    }
}

impl Toeplitz {
    /// From the device's key (40 bytes or more) and table, the table already as workers. `None` for a short key or an
    /// empty table.
    pub fn new(key: &[u8], reta: Vec<WorkerId>) -> Option<Self> {
        if key.len() < 40 || reta.is_empty() {
            return None;
        }
        let window = |bit: usize| {
            (0..32).fold(0u32, |word, i| {
                let at = bit + i;
                word << 1 | u32::from(key[at / 8] >> (7 - at % 8) & 1)
            })
        };
        let mut bytes = Box::new([[0; 256]; 36]);
        for (position, table) in bytes.iter_mut().enumerate() {
            for (value, word) in table.iter_mut().enumerate() {
                *word = (0..8)
                    .filter(|bit| value >> (7 - bit) & 1 == 1)
                    .fold(0, |word, bit| word ^ window(position * 8 + bit));
            }
        }
        Some(Self {
            bytes,
            reta: reta.into(),
        })
    }

    /// The device's hash of a tuple.
    pub fn hash<F: Family>(&self, key: &Key<F>) -> u32 {
        let len = if F::V6 { 16 } else { 4 };
        let (src, dst) = (F::bits(key.src()).to_be_bytes(), F::bits(key.dst()).to_be_bytes());
        let input = src[16 - len..].iter().chain(&dst[16 - len..]).chain(&key.ports);
        self.bytes
            .iter()
            .zip(input)
            .fold(0, |word, (table, &byte)| word ^ table[usize::from(byte)])
    }

    /// The worker whose queue the device puts a packet with this tuple into.
    pub fn worker<F: Family>(&self, key: &Key<F>) -> WorkerId {
        self.reta[self.hash(key) as usize % self.reta.len()]
    }
}

/// What is known of spreading, for all ports.
#[derive(Debug, Clone)]
pub struct Steering {
    workers: u8,
    ports: Vec<Rss>,
    seed: Seed,
}

impl Steering {
    /// For this many workers; `ports` in the order of their ids.
    ///
    /// # Panics
    /// When there is no worker, or a table names one that is not there.
    pub fn new(workers: u8, ports: Vec<Rss>, seed: Seed) -> Self {
        assert!(workers > 0, "at least one worker");
        for port in &ports {
            if let Rss::Known(toeplitz) = port {
                assert!(
                    toeplitz.reta.iter().all(|worker| worker.0 < workers),
                    "a table names a worker that is not there"
                );
            }
        }
        Self { workers, ports, seed }
    }

    /// Number of workers.
    #[inline]
    pub const fn workers(&self) -> u8 {
        self.workers
    }

    /// How a port spreads.
    #[inline]
    pub fn rss(&self, port: PortId) -> &Rss {
        const NONE: Rss = Rss::None;
        self.ports.get(usize::from(port.0)).unwrap_or(&NONE)
    }

    /// Whether some port spreads by itself, so that owners of flows cannot all be computed.
    pub fn needs_index(&self) -> bool {
        self.workers > 1 && self.ports.iter().any(|rss| !matches!(rss, Rss::None))
    }

    /// The worker of a client, where software spreads.
    #[inline]
    pub fn of_client(&self, address: IpAddr, port: u16) -> WorkerId {
        let hash = match address {
            IpAddr::V4(address) => self.seed.short(u64::from(address.to_bits()), u64::from(port)),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                self.seed
                    .long([bits as u64, (bits >> 64) as u64, 0, 0], u64::from(port))
            }
        };
        WorkerId(range(hash as u32, u32::from(self.workers)) as u8)
    }

    /// The worker that owns a local port, where replies cannot be predicted.
    #[inline]
    pub const fn of_local_port(&self, port: u16) -> WorkerId {
        WorkerId((port % self.workers as u16) as u8)
    }

    /// The worker that will receive a reply with this tuple on `port`, if that can be known.
    #[inline]
    pub fn of_reply<F: Family>(&self, port: PortId, reply: &Key<F>) -> Option<WorkerId> {
        match self.rss(port) {
            Rss::Known(toeplitz) => Some(toeplitz.worker(reply)),
            Rss::None | Rss::Unknown => None,
        }
    }
}

/// Places in one line of the index.
const PLACES: usize = 16;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU32; PLACES]);

/// Who owns a tuple, for packets that arrive at another worker than the flow's: a read-mostly table of hints.
///
/// A place is 24 bits of the tuple's hash and the worker plus 1. A wrong hint (one in a million lookups) hands a packet to
/// a worker that does not know it either, where it is dropped by name.
#[derive(Debug)]
pub struct OwnerIndex {
    lines: Box<[Line]>,
}

impl OwnerIndex {
    /// For this many flows of two tuples each; 0 makes an index that stays empty.
    pub fn new(flows: usize) -> Self {
        let lines = if flows == 0 {
            0
        } else {
            (flows * 4).div_ceil(PLACES)
        };
        Self {
            lines: (0..lines).map(|_| Line::default()).collect(),
        }
    }

    /// Bytes it takes.
    pub const fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    fn line(&self, hash: u64) -> Option<&Line> {
        self.lines
            .get(range((hash >> 8) as u32, self.lines.len() as u32) as usize)
    }

    const fn place(hash: u64, worker: WorkerId) -> u32 {
        (hash >> 40) as u32 & 0xff_ffff | (worker.0 as u32 + 1) << 24
    }

    /// Notes an owner. Lost when the line is full: then the tuple is found by its owner only.
    #[inline]
    pub fn insert(&self, hash: u64, worker: WorkerId) {
        if !self.lines.is_empty() {
            self.insert_somewhere(hash, worker);
        }
    }

    fn insert_somewhere(&self, hash: u64, worker: WorkerId) {
        let Some(Line(places)) = self.line(hash) else {
            return;
        };
        let value = Self::place(hash, worker);
        for place in places {
            if place.load(Relaxed) == 0 && place.compare_exchange(0, value, Relaxed, Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Takes a note back.
    pub fn remove(&self, hash: u64, worker: WorkerId) {
        let Some(Line(places)) = self.line(hash) else {
            return;
        };
        let value = Self::place(hash, worker);
        for place in places {
            if place.load(Relaxed) == value && place.compare_exchange(value, 0, Relaxed, Relaxed).is_ok() {
                return;
            }
        }
    }

    /// The noted owner.
    pub fn find(&self, hash: u64) -> Option<WorkerId> {
        let Line(places) = self.line(hash)?;
        let tag = (hash >> 40) as u32 & 0xff_ffff;
        places.iter().find_map(|place| {
            let value = place.load(Relaxed);
            let worker = (value >> 24).checked_sub(1)?;
            (value & 0xff_ffff == tag).then_some(WorkerId(worker as u8))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{OwnerIndex, Rss, Steering, Toeplitz};
    use crate::family::{Key, V4, V6};
    use crate::hash::Seed;
    use crate::verdict::{PortId, WorkerId};

    /// The key and vectors of Microsoft's "Verifying the RSS Hash Calculation".
    const KEY: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    #[test]
    fn toeplitz_matches_the_published_vectors() {
        let toeplitz = Toeplitz::new(&KEY, vec![WorkerId(0)]).unwrap();
        let v4 = |src: &str, sport, dst: &str, dport| {
            toeplitz
                .hash(&Key::<V4>::new(src.parse().unwrap(), sport, dst.parse().unwrap(), dport, 6).unwrap())
        };
        assert_eq!(v4("66.9.149.187", 2794, "161.142.100.80", 1766), 0x51cc_c178);
        assert_eq!(v4("199.92.111.2", 14230, "65.69.140.83", 4739), 0xc626_b0ea);
        let v6 = Key::<V6>::new(
            "3ffe:2501:200:1fff::7".parse().unwrap(),
            2794,
            "3ffe:2501:200:3::1".parse().unwrap(),
            1766,
            6,
        );
        assert_eq!(toeplitz.hash(&v6.unwrap()), 0x4020_7d3d);
    }

    #[test]
    fn short_keys_and_empty_tables_are_refused() {
        assert!(Toeplitz::new(&KEY[..39], vec![WorkerId(0)]).is_none());
        assert!(Toeplitz::new(&KEY, vec![]).is_none());
    }

    #[test]
    fn owners_are_found_until_removed() {
        let index = OwnerIndex::new(1000);
        let seed = Seed::fixed(1);
        let hash = |i: u64| seed.short(i, 0);
        for i in 0..1000 {
            index.insert(hash(i), WorkerId((i % 3) as u8));
        }
        for i in 0..1000 {
            assert_eq!(index.find(hash(i)), Some(WorkerId((i % 3) as u8)), "{i}");
            index.remove(hash(i), WorkerId((i % 3) as u8));
            assert_eq!(index.find(hash(i)), None, "{i}");
        }
        assert_eq!(OwnerIndex::new(0).find(1), None);
    }

    #[test]
    fn software_spreads_evenly() {
        let steering = Steering::new(4, vec![Rss::None], Seed::fixed(2));
        let mut load = [0; 4];
        for port in 0..40_000u16 {
            load[usize::from(steering.of_client("192.0.2.7".parse().unwrap(), port).0)] += 1;
        }
        assert!(load.iter().all(|n| (9_500..10_500).contains(n)), "{load:?}");
        assert!(!steering.needs_index() && matches!(steering.rss(PortId(9)), Rss::None));
    }
}
