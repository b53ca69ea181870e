//! The slot directory: which service or backend the dataplane gave which slot.
//!
//! One line a slot: sequence, generation, then the key. The sequence is odd while the entry changes (a
//! sequence lock), so a reader copies an entry whole or not at all.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::memory::Line;
use crate::message::{BackendKey, Protocol, ServiceKey};
use crate::sync::{Arc, AtomicBool, Ordering, fence};

use super::{Counters, CountersReader};

/// Times a reader tries to copy an entry that keeps changing.
const TRIES: usize = 64;

/// An entry of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceSlot {
    /// Who has the slot.
    pub key: ServiceKey,
    /// The generation that gave it.
    pub generation: u64,
}

/// An entry of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendSlot {
    /// The slot of its service.
    pub service_slot: u32,
    /// Who has the slot.
    pub key: BackendKey,
    /// The generation that gave it.
    pub generation: u64,
}

/// Writes the directory. There is one for a page, and the dataplane's main thread has it.
pub struct Directory {
    page: Counters,
    claimed: Arc<Vec<AtomicBool>>,
}

/// Behind the sequence: generation, names, address high, address low. A free slot has no names.
type Entry = [u64; 4];

impl Directory {
    pub(super) const fn new(page: Counters, claimed: Arc<Vec<AtomicBool>>) -> Self {
        Self { page, claimed }
    }

    /// Names the owner of a service slot. False when there is no such slot.
    pub fn set_service(&self, slot: u32, key: &ServiceKey, generation: u64) -> bool {
        let names = names(family(key.address), key.protocol.code(), key.port, 0);
        let [high, low] = address_words(key.address);
        self.write_service(slot, [generation, names, high, low])
    }

    /// Names the owner of a backend slot. False when there is no such slot.
    pub fn set_backend(&self, slot: u32, service_slot: u32, key: &BackendKey, generation: u64) -> bool {
        let names = names(family(key.address), 0, key.port, service_slot);
        let [high, low] = address_words(key.address);
        self.write_backend(slot, [generation, names, high, low])
    }

    /// Frees a service slot and leaves its counters: flows that outlive the service still count.
    pub fn free_service(&self, slot: u32) -> bool {
        self.write_service(slot, [0; 4])
    }

    /// Frees a backend slot and leaves its counters: flows that outlive the backend still count.
    pub fn free_backend(&self, slot: u32) -> bool {
        self.write_backend(slot, [0; 4])
    }

    /// Frees a service slot and sets its counters to zero. Every worker must have passed a burst boundary since
    /// its tables last named the slot, or a late count survives.
    pub fn clear_service(&self, slot: u32) -> bool {
        self.page.clear_service_lines(slot);
        self.write_service(slot, [0; 4])
    }

    /// Frees a backend slot and sets its counters to zero, as [`clear_service`](Self::clear_service).
    pub fn clear_backend(&self, slot: u32) -> bool {
        self.page.clear_backend_lines(slot);
        self.write_backend(slot, [0; 4])
    }

    fn write_service(&self, slot: u32, entry: Entry) -> bool {
        self.page
            .reader
            .service_entry(slot)
            .map(|line| write(line, entry))
            .is_some()
    }

    fn write_backend(&self, slot: u32, entry: Entry) -> bool {
        self.page
            .reader
            .backend_entry(slot)
            .map(|line| write(line, entry))
            .is_some()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(claim) = self.claimed.last() {
            claim.store(false, Ordering::Release);
        }
    }
}

impl CountersReader {
    /// Who has a service slot; `None` when it is free, changing all the time, or nonsense.
    pub fn service_slot(&self, slot: u32) -> Option<ServiceSlot> {
        let [generation, names, high, low] = read(self.service_entry(slot)?)?;
        let [family, protocol, port_high, port_low, ..] = names.to_be_bytes();
        let key = ServiceKey {
            protocol: Protocol::from_code(protocol)?,
            address: address(family, high, low)?,
            port: u16::from_be_bytes([port_high, port_low]),
        };
        Some(ServiceSlot { key, generation })
    }

    /// Who has a backend slot; `None` when it is free, changing all the time, or nonsense.
    pub fn backend_slot(&self, slot: u32) -> Option<BackendSlot> {
        let [generation, names, high, low] = read(self.backend_entry(slot)?)?;
        let [family, _, port_high, port_low, a, b, c, d] = names.to_be_bytes();
        let key = BackendKey {
            address: address(family, high, low)?,
            port: u16::from_be_bytes([port_high, port_low]),
        };
        Some(BackendSlot {
            service_slot: u32::from_be_bytes([a, b, c, d]),
            key,
            generation,
        })
    }
}

/// Packs a family, protocol, port and service slot; the family is never 0, so the word is not.
const fn names(family: u8, protocol: u8, port: u16, service_slot: u32) -> u64 {
    let [p, q] = port.to_be_bytes();
    let [a, b, c, d] = service_slot.to_be_bytes();
    u64::from_be_bytes([family, protocol, p, q, a, b, c, d])
}

const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 6,
    }
}

fn address_words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(a) => [0, a.to_bits().into()],
        IpAddr::V6(a) => {
            let bits = a.to_bits();
            [(bits >> 64) as u64, bits as u64]
        }
    }
}

fn address(family: u8, high: u64, low: u64) -> Option<IpAddr> {
    match family {
        4 => Some(Ipv4Addr::from_bits(u32::try_from(low).ok()?).into()),
        6 => Some(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()),
        _ => None,
    }
}

fn write(line: &Line, entry: Entry) {
    let [sequence, words @ ..] = &line.0;
    let odd = sequence.get() | 1;
    sequence.set(odd);
    fence(Ordering::Release);
    for (cell, word) in words.iter().zip(entry) {
        cell.set(word);
    }
    sequence.atomic().store(odd.wrapping_add(1), Ordering::Release);
}

fn read(line: &Line) -> Option<Entry> {
    let [sequence, words @ ..] = &line.0;
    for _ in 0..TRIES {
        let before = sequence.get();
        // A relaxed load and a fence, not an acquire load: the page is mapped for reading only.
        fence(Ordering::Acquire);
        let entry: Entry = core::array::from_fn(|i| words[i].get());
        fence(Ordering::Acquire);
        if before & 1 == 0 && sequence.get() == before {
            return (entry[1] != 0).then_some(entry);
        }
    }
    None
}
