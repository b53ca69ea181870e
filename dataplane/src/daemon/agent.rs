//! Applies control's transactions: commands into the builder, one snapshot out, the answer back.

use core::net::IpAddr;
use std::time::Duration;

use tracing::{info, warn};
use weir_rings::link::{DataplaneEnd, Input};
use weir_rings::message::{self, Command, Event, PortId};
use weir_rings::query::{Request, RouteRow};
use weir_rings::snapshot::Publisher;
use weir_rings::transaction::Transaction;
use weir_wire::MacAddr;

use super::relays::Relaying;
use crate::tables::{Builder, HopKey, HopWish, Snapshot};

/// A VIP to announce: on this port, in this VLAN (0 for none), at this MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// The port.
    pub port: PortId,
    /// The VLAN.
    pub vlan: u16,
    /// The VIP.
    pub address: IpAddr,
    /// Where it is.
    pub mac: MacAddr,
}

/// A question of control's, to be answered by [`Agent::end`].
#[derive(Debug)]
pub struct Question {
    /// Goes back with the answer.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// Control's end of the tables.
pub struct Agent {
    /// The link to control.
    pub end: DataplaneEnd,
    builder: Builder,
    publisher: Publisher<Snapshot>,
    announcements: Vec<Announcement>,
}

impl Agent {
    /// Tables as `builder` has them, published through `publisher`.
    pub fn new(end: DataplaneEnd, builder: Builder, publisher: Publisher<Snapshot>) -> Self {
        Self {
            end,
            builder,
            publisher,
            announcements: Vec::new(),
        }
    }

    /// Takes the next thing control sent; a question comes back to the caller.
    pub fn handle(&mut self, input: Input) -> Option<Question> {
        match input {
            Input::Connected(who) => info!(pid = who.pid, uid = who.uid, "control connected"),
            Input::TurnedAway(who) => {
                warn!(
                    pid = who.pid,
                    uid = who.uid,
                    "a user without permission tried to take control"
                )
            }
            Input::Disconnected(why) => {
                info!(%why, "control is gone; forwarding goes on with what is in force");
            }
            Input::Refused(refusal) => {
                warn!(generation = refusal.generation, reason = %refusal.reason, detail = %refusal.detail, "refused a malformed transaction");
            }
            Input::Transaction(transaction) => self.apply(&transaction),
            Input::Query { id, request } => return Some(Question { id, request }),
        }
        None
    }

    fn apply(&mut self, transaction: &Transaction) {
        let generation = transaction.generation;
        self.builder.begin(transaction.full);
        for (index, command) in (0u32..).zip(&transaction.commands) {
            if let Err(refusal) = self.builder.apply(command) {
                warn!(generation, index, %refusal, "refused a transaction");
                self.end
                    .refused(generation, Some(index), refusal.reason, refusal.detail);
                return;
            }
        }
        let passed = self.generation_passed();
        match self.builder.commit(generation, passed) {
            Ok(published) => {
                self.publisher.publish(published.snapshot);
                self.end.published(
                    generation,
                    u32::try_from(transaction.commands.len()).unwrap_or(u32::MAX),
                    published.services,
                    published.backends,
                );
                info!(
                    generation,
                    full = transaction.full,
                    commands = transaction.commands.len(),
                    services = published.services,
                    backends = published.backends,
                    "published"
                );
                for address in published.announce {
                    self.announce(address);
                }
            }
            Err(refusal) => {
                warn!(generation, %refusal, "refused a transaction");
                self.end.refused(generation, None, refusal.reason, refusal.detail);
            }
        }
    }

    /// The newest generation that every worker has taken up.
    fn generation_passed(&mut self) -> u64 {
        if self.publisher.reclaim() == 0 {
            self.publisher.current().generation
        } else {
            0
        }
    }

    /// Frees snapshots that every worker has left.
    pub fn reclaim(&mut self) {
        self.publisher.reclaim();
    }

    /// The tables in force.
    pub fn snapshot(&self) -> &Snapshot {
        self.publisher.current()
    }

    /// The routes in force.
    pub fn route_rows(&self) -> Vec<RouteRow> {
        self.builder.route_rows()
    }

    /// Next hops the neighbour machine should care for, or no longer.
    pub fn drain_wishes(&mut self) -> Vec<HopWish> {
        self.builder.drain_wishes()
    }

    /// What the neighbour machine learned.
    pub fn learned(&mut self, hop: &HopKey, mac: Option<MacAddr>) {
        self.builder.set_neighbor(hop, mac);
    }

    /// A worker needs a next hop that has no record yet.
    pub fn want_hop(&mut self, hop: HopKey) {
        if let Some((_, true)) = self.builder.want_hop(hop) {
            self.publisher.publish(self.builder.snapshot());
        }
    }

    /// Nobody answers for a next hop that only a worker needed.
    pub fn drop_hop(&mut self, hop: &HopKey) {
        if self.builder.drop_hop(hop) {
            self.publisher.publish(self.builder.snapshot());
        }
    }

    /// VIPs to announce since the last call.
    pub fn take_announcements(&mut self) -> Vec<Announcement> {
        core::mem::take(&mut self.announcements)
    }

    /// Tells control, if it is there. What it misses it learns by its first questions.
    pub fn tell(&mut self, event: &Event) {
        let _ = self.end.send(event);
    }

    /// Every address we hold, on each port it is held on, and its MAC there.
    pub fn held_addresses(&self) -> Vec<(PortId, IpAddr, MacAddr)> {
        let snapshot = self.snapshot();
        let vips = snapshot.vips().filter(|vip| vip.owned);
        let held =
            vips.flat_map(|vip| places(snapshot, vip).map(|place| (place.port, place.address, place.mac)));
        let own = (0u16..).zip(snapshot.ports()).flat_map(|(id, port)| {
            port.addresses
                .iter()
                .map(move |(address, _)| (PortId(id), *address, port.mac))
        });
        held.chain(own).collect()
    }

    /// Whether other directors share `address`, which is held here now.
    pub fn shares(&self, address: IpAddr) -> bool {
        self.shared(address).is_some()
    }

    fn shared(&self, address: IpAddr) -> Option<message::Vip> {
        let mut vips = self.snapshot().vips();
        vips.find(|vip| vip.address == address && vip.owned && vip.shared)
            .copied()
    }

    /// Ceases to hold a shared address; the tables' generation stays control's. Whether it was held.
    pub fn let_go(&mut self, address: IpAddr) -> bool {
        let held = self.shared(address);
        held.is_some_and(|vip| {
            self.set_vip(message::Vip {
                owned: false,
                keep: false,
                relay_ms: 0,
                ..vip
            })
        })
    }

    /// The shared addresses held here whose connections another director knows.
    pub fn relaying(&self) -> impl Iterator<Item = Relaying> {
        let vips = self
            .snapshot()
            .vips()
            .filter(|vip| vip.owned && vip.relay_ms != 0);
        vips.filter_map(|vip| {
            let lasts = Duration::from_millis(vip.relay_ms.into());
            Some((vip.address, vip.peer?, lasts))
        })
    }

    /// Relays no connections of this address any more.
    pub fn end_relay(&mut self, address: IpAddr) {
        if let Some(vip) = self.shared(address) {
            self.set_vip(message::Vip { relay_ms: 0, ..vip });
        }
    }

    /// Changes an address without control. Whether it was possible.
    fn set_vip(&mut self, vip: message::Vip) -> bool {
        let generation = self.snapshot().generation;
        self.builder.begin(false);
        let passed = self.generation_passed();
        let changed = self
            .builder
            .apply(&Command::UpsertVip(vip))
            .and_then(|()| self.builder.commit(generation, passed));
        match changed {
            Ok(published) => {
                self.publisher.publish(published.snapshot);
                true
            }
            Err(refusal) => {
                warn!(address = %vip.address, %refusal, "a shared address could not be changed");
                false
            }
        }
    }

    fn announce(&mut self, address: IpAddr) {
        let snapshot = self.publisher.current();
        let vip = snapshot.vips().find(|vip| vip.address == address && vip.owned);
        self.announcements
            .extend(vip.into_iter().flat_map(|vip| places(snapshot, vip)));
    }
}

/// The ports a VIP is held on.
fn places<'a>(snapshot: &'a Snapshot, vip: &'a message::Vip) -> impl Iterator<Item = Announcement> + 'a {
    let ports = (0u16..).zip(snapshot.ports());
    ports
        .filter(|(id, _)| vip.port.is_none_or(|own| own.0 == *id))
        .map(|(id, port)| Announcement {
            port: PortId(id),
            vlan: vip.vlan.or(port.vlan).map_or(0, |vlan| vlan.get()),
            address: vip.address,
            mac: vip.mac.map_or(port.mac, MacAddr),
        })
}
