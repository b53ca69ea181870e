//! What counters show of servers and address pools, for control to hear: servers that leave connections unanswered, and
//! services out of local ports. Looked at by the main thread; the packet path only counts.
//!
//! The rule is [`weir_proto::health::passive`]. Looks are a second apart; where one shows too little, what it showed is
//! kept for the next.

use std::collections::HashMap;

use weir_proto::health::passive::{Sign, Tally, View, sign};
use weir_proto::time::{Duration, Instant};
use weir_rings::counters::CountersReader;
use weir_rings::message::{Backend, Event, ForwardMode, PassiveSign, Protocol};

use crate::tables::{Service, Snapshot};
use crate::verdict::DropReason;

/// Between two looks at servers.
const LOOK: Duration = Duration::from_secs(1);
/// Between two words about local ports.
const PORTS: Duration = Duration::from_secs(10);
/// What was seen longer ago than so many looks says nothing of today: a half-open connection is given up by then.
const LOOKS_MAX: u32 = 60;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub struct Signs {
    looked: Option<Instant>,
    seen: HashMap<u32, Seen>,
    ports_told: Option<Instant>,
    refused: u64,
}

/// A server under observation.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Its counts at the last look.
    counts: Tally,
    /// What it has shown since its last sign.
    own: Tally,
    /// What the others of its service have shown in that time.
    others: Tally,
    /// Looks since then.
    looks: u32,
    /// The last sign told was a bad one.
    silent: bool,
}

impl Seen {
    /// One more look: what it and the others have shown since the one before.
    fn look(&mut self, view: View, own: Tally, others: Tally) -> Option<Sign> {
        if self.looks == LOOKS_MAX {
            self.forget();
        }
        self.looks += 1;
        (self.own, self.others) = (self.own.plus(own), self.others.plus(others));
        let sign = sign(view, &self.own, &self.others)?;
        self.forget();
        // That all is well is told once.
        let told = sign == Sign::Bad || self.silent;
        self.silent = sign == Sign::Bad;
        told.then_some(sign)
    }

    fn forget(&mut self) {
        (self.own, self.others, self.looks) = (Tally::default(), Tally::default(), 0);
    }
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
            for view in [View::Replies, View::Handshakes, View::Datagrams] {
                self.compare(service, view, counters, &mut seen, &mut events);
            }
        }
        self.seen = seen;
        events
    }

    /// Looks at those servers of a service that show the same, and may be compared.
    fn compare(
        &self,
        service: &Service,
        view: View,
        counters: &CountersReader,
        seen: &mut HashMap<u32, Seen>,
        events: &mut Vec<Event>,
    ) {
        let alike = service
            .backends
            .iter()
            .filter(|(_, backend)| view_of(service, backend) == view);
        let looks: Vec<(u32, &Backend, Seen, Tally)> = alike
            .map(|(slot, backend)| {
                let counts = tally(*slot, counters);
                let before = self.seen.get(slot).copied();
                let before = before.unwrap_or(Seen {
                    counts,
                    ..Seen::default()
                });
                (
                    *slot,
                    backend,
                    Seen { counts, ..before },
                    counts.since(before.counts),
                )
            })
            .collect();
        let all = looks
            .iter()
            .fold(Tally::default(), |all, (.., shown)| all.plus(*shown));
        for (slot, backend, mut state, shown) in looks {
            let told = state.look(view, shown, all.since(shown));
            events.extend(told.map(|sign| Event::BackendPassive {
                service: backend.service,
                backend: backend.key,
                sign: match sign {
                    Sign::Good => PassiveSign::Up,
                    Sign::Bad => PassiveSign::Down,
                },
            }));
            seen.insert(slot, state);
        }
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

/// What can be seen of this server's answers.
fn view_of(service: &Service, backend: &Backend) -> View {
    let replies_pass = matches!(backend.forward.mode(), ForwardMode::Nat | ForwardMode::FullNat);
    match service.spec.key.protocol {
        Protocol::Udp => View::Datagrams,
        Protocol::Tcp if replies_pass => View::Replies,
        Protocol::Tcp => View::Handshakes,
    }
}

fn tally(slot: u32, counters: &CountersReader) -> Tally {
    let (load, signs) = (counters.backend_total(slot), counters.signs_total(slot));
    Tally {
        opened: load.connections,
        answered: signs.answered,
        refused: signs.refused,
        packets: load.packets_out,
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

    const fn shown(opened: u64, answered: u64) -> Tally {
        Tally {
            opened,
            answered,
            refused: 0,
            packets: 0,
        }
    }

    #[test]
    fn looks_add_up_until_they_say_something() {
        let mut seen = Seen::default();
        for look in 0..4 {
            assert_eq!(
                seen.look(View::Handshakes, shown(2, 0), shown(2, 2)),
                None,
                "{look}"
            );
        }
        let bad = Some(Sign::Bad);
        assert_eq!(seen.look(View::Handshakes, shown(2, 0), shown(2, 2)), bad);
        assert_eq!(
            seen.look(View::Handshakes, shown(2, 0), shown(2, 2)),
            None,
            "anew"
        );
        let good = seen.look(View::Handshakes, shown(1, 1), shown(2, 2));
        assert_eq!(good, Some(Sign::Good));
        let again = seen.look(View::Handshakes, shown(1, 1), shown(2, 2));
        assert_eq!(again, None, "told already");
    }

    #[test]
    fn what_is_long_past_says_nothing() {
        let mut seen = Seen::default();
        assert_eq!(seen.look(View::Replies, shown(2, 0), shown(2, 2)), None);
        for _ in 1..LOOKS_MAX {
            assert_eq!(seen.look(View::Replies, shown(0, 0), shown(9, 9)), None);
        }
        assert_eq!(seen.look(View::Replies, shown(2, 0), shown(2, 2)), None);
        assert_eq!(
            seen.look(View::Replies, shown(2, 0), shown(2, 2)),
            Some(Sign::Bad)
        );
    }
}
