//! What counters show of servers and address pools, for control to hear: servers that leave connections unanswered, and
//! services out of local ports. Looked at by the main thread; the packet path only counts.
//!
//! Only where replies pass (NAT, FULLNAT) do counters tell whether a server answers: with direct return they would have
//! to be guessed from the client's half. A server is silent in a second in which at least [`FLOWS_MIN`] connections were
//! given to it and nothing came back, or nothing but resets, which have no payload and no options.

use std::collections::HashMap;

use weir_proto::time::{Duration, Instant};
use weir_rings::counters::{CountersReader, LoadCounts};
use weir_rings::message::{Backend, Event, ForwardMode, PassiveSign, Protocol};

use crate::tables::{Service, Snapshot};
use crate::verdict::DropReason;

/// Between two looks at servers.
const LOOK: Duration = Duration::from_secs(1);
/// Between two words about local ports.
const PORTS: Duration = Duration::from_secs(10);
/// Fewer unanswered connections than this in one look may be a scanner's or a moody client's.
const FLOWS_MIN: u64 = 3;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub struct Signs {
    looked: Option<Instant>,
    seen: HashMap<u32, Seen>,
    ports_told: Option<Instant>,
    refused: u64,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    counts: LoadCounts,
    /// The last sign told was a bad one.
    silent: bool,
}

impl Signs {
    /// What happened since the last look, if it is time for another.
    pub fn look(&mut self, now: Instant, snapshot: &Snapshot, counters: &CountersReader) -> Vec<Event> {
        if self.looked.is_some_and(|looked| now - looked < LOOK) {
            return Vec::new();
        }
        self.looked = Some(now);
        let mut events = self.passive(snapshot, counters);
        events.extend(self.local_ports(now, snapshot, counters));
        events
    }

    fn passive(&mut self, snapshot: &Snapshot, counters: &CountersReader) -> Vec<Event> {
        let mut events = Vec::new();
        let mut seen = HashMap::new();
        for service in snapshot.services().filter(|service| service.spec.passive_check) {
            for (slot, backend) in service
                .backends
                .iter()
                .filter(|(_, backend)| tells(service, backend))
            {
                let counts = counters.backend_total(*slot);
                let before = self.seen.get(slot).copied();
                let before = before.unwrap_or(Seen {
                    counts,
                    silent: false,
                });
                let sign = sign(&before.counts, &counts, service.spec.key.address.is_ipv6());
                let silent = sign.map_or(before.silent, |sign| sign == PassiveSign::Down);
                // That all is well is told once.
                let told = sign.filter(|sign| *sign == PassiveSign::Down || before.silent);
                events.extend(told.map(|sign| Event::BackendPassive {
                    service: backend.service,
                    backend: backend.key,
                    sign,
                }));
                seen.insert(*slot, Seen { counts, silent });
            }
        }
        self.seen = seen;
        events
    }

    fn local_ports(&mut self, now: Instant, snapshot: &Snapshot, counters: &CountersReader) -> Option<Event> {
        let refused = counters.reason_total(DropReason::NoLocalPort.index());
        let grew = refused.saturating_sub(self.refused);
        let told = self.ports_told.is_some_and(|told| now - told < PORTS);
        if grew == 0 || told {
            return None;
        }
        let fullest = snapshot
            .services()
            .filter(|service| !service.locals.is_empty())
            .max_by_key(|service| fullness(service, snapshot, counters))?;
        self.ports_told = Some(now);
        self.refused = refused;
        Some(Event::LocalPortsExhausted {
            service: fullest.spec.key,
            refused: grew,
        })
    }
}

/// Whether counters show if this server answers.
fn tells(service: &Service, backend: &Backend) -> bool {
    let replies_pass = matches!(backend.forward.mode(), ForwardMode::Nat | ForwardMode::FullNat);
    replies_pass && service.spec.key.protocol == Protocol::Tcp
}

/// What the difference of two counts says, if it says anything.
fn sign(before: &LoadCounts, now: &LoadCounts, ipv6: bool) -> Option<PassiveSign> {
    let connections = now.connections.checked_sub(before.connections)?;
    let packets = now.packets_out.checked_sub(before.packets_out)?;
    let bytes = now.bytes_out.checked_sub(before.bytes_out)?;
    // IP and TCP header without options: a reset, or an acknowledgement of old.
    let bare = if ipv6 { 60 } else { 40 };
    let only_resets = packets <= connections && bytes <= packets * bare;
    match (only_resets, packets) {
        (true, _) if connections >= FLOWS_MIN => Some(PassiveSign::Down),
        (true, _) | (false, 0) => None,
        (false, _) => Some(PassiveSign::Up),
    }
}

/// Flows of the service's fullest server, in thousandths of what its local addresses can have towards one server.
fn fullness(service: &Service, snapshot: &Snapshot, counters: &CountersReader) -> u64 {
    let locals = service
        .locals
        .iter()
        .filter_map(|index| snapshot.local(*index))
        .filter(|local| local.live);
    let ports: u64 = locals
        .map(|local| u64::from(local.port_max.saturating_sub(local.port_min)) + 1)
        .sum();
    let flows = |slot: u32| {
        let counts = counters.backend_total(slot);
        counts.active.wrapping_add(counts.inactive)
    };
    let fullest = service.backends.iter().map(|(slot, _)| flows(*slot)).max();
    fullest.unwrap_or(0).saturating_mul(1_000) / ports.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(connections: u64, packets_out: u64, bytes_out: u64) -> LoadCounts {
        LoadCounts {
            connections,
            packets_out,
            bytes_out,
            ..LoadCounts::default()
        }
    }

    #[test]
    fn a_second_of_silence_or_resets_is_a_bad_sign() {
        let before = counts(100, 1_000, 100_000);
        let more = |connections: u64, packets: u64, bytes: u64| {
            counts(100 + connections, 1_000 + packets, 100_000 + bytes)
        };
        let table = [
            (more(0, 0, 0), None, "nothing happened"),
            (
                more(3, 0, 0),
                Some(PassiveSign::Down),
                "three connections, no answer",
            ),
            (more(2, 0, 0), None, "too few to say"),
            (more(3, 3, 120), Some(PassiveSign::Down), "three resets"),
            (more(3, 3, 180), Some(PassiveSign::Up), "three SYN-ACKs"),
            (more(9, 1, 60), Some(PassiveSign::Up), "one answer is one"),
            (
                more(0, 5, 200),
                Some(PassiveSign::Up),
                "acknowledgements of older connections",
            ),
            (counts(0, 0, 0), None, "the slot has another server now"),
        ];
        for (now, expected, what) in table {
            assert_eq!(sign(&before, &now, false), expected, "{what}");
        }
    }

    #[test]
    fn a_reset_of_ipv6_is_longer() {
        let (before, now) = (counts(0, 0, 0), counts(4, 4, 240));
        assert_eq!(sign(&before, &now, true), Some(PassiveSign::Down));
        assert_eq!(sign(&before, &now, false), Some(PassiveSign::Up));
    }
}
