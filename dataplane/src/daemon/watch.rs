//! Notices in the counters what control should hear of: a drained server, a full flow table, and [`Signs`]. Looked at ten times a second;
//! the packet path only counts.

use std::collections::HashMap;

use weir_proto::time::Instant;
use weir_rings::counters::CountersReader;
use weir_rings::message::{BackendKey, Event, ServiceKey};

use crate::signs::Signs;
use crate::tables::Snapshot;

/// What was told already.
#[derive(Debug, Default)]
pub struct Watch {
    /// The tables `draining` was made from.
    generation: u64,
    /// Draining servers that still had flows, by slot.
    draining: HashMap<u32, (ServiceKey, BackendKey)>,
    /// Flows each worker had refused for want of room.
    refused: Vec<u64>,
    signs: Signs,
}

impl Watch {
    /// What happened since the last look. `flows_max` is what one worker holds.
    pub fn look(
        &mut self,
        now: Instant,
        snapshot: &Snapshot,
        counters: &CountersReader,
        flows_max: u64,
    ) -> Vec<Event> {
        if self.generation != snapshot.generation {
            self.generation = snapshot.generation;
            self.draining = draining(snapshot);
        }
        let mut events = self.drained(counters);
        events.extend(self.full(counters, flows_max));
        events.extend(self.signs.look(now, snapshot, counters));
        events
    }

    fn drained(&mut self, counters: &CountersReader) -> Vec<Event> {
        let empty = |slot: u32| {
            let load = counters.backend_total(slot);
            load.active == 0 && load.inactive == 0
        };
        let done = self.draining.extract_if(|slot, _| empty(*slot));
        done.map(|(_, (service, backend))| Event::BackendDrained { service, backend })
            .collect()
    }

    fn full(&mut self, counters: &CountersReader, flows_max: u64) -> Vec<Event> {
        let now: Vec<u64> = counters
            .workers()
            .map(|worker| counters.worker(worker).map_or(0, |counts| counts.flows_refused))
            .collect();
        let before = core::mem::replace(&mut self.refused, now);
        let grew = |(worker, now): (u16, &u64)| {
            let refused_before = before.get(usize::from(worker)).copied().unwrap_or(0);
            (*now > refused_before).then_some(Event::FlowTableFull { worker, flows_max })
        };
        (0u16..).zip(&self.refused).filter_map(grew).collect()
    }
}

fn draining(snapshot: &Snapshot) -> HashMap<u32, (ServiceKey, BackendKey)> {
    let of_service = |service: &std::sync::Arc<crate::tables::Service>| {
        let draining = service.backends.iter().filter(|(_, backend)| backend.drain);
        draining
            .map(|(slot, backend)| (*slot, (backend.service, backend.key)))
            .collect::<Vec<_>>()
    };
    snapshot.services().flat_map(of_service).collect()
}
