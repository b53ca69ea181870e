//! The main thread: control, neighbours, announcements, questions, and an eye on workers and links.
//!
//! It never waits on a worker. It sleeps until control, a worker or a timer wants something.

use core::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rtrb::Consumer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{error, info, warn};
use weir_dpdk::{Lcore, Link, Mempool};
use weir_proto::time::Instant;
use weir_rings::counters::CountersReader;
use weir_rings::link::Input;
use weir_rings::message::{Event, NeighborKey, NeighborState, PortId, Text, VlanId};

use super::agent::{Agent, Announcement, Question};
use super::claims::Claims;
use super::clock::Clock;
use super::facts::{Devices, PortFacts, WorkerHandle};
use super::macs::VirtualMacs;
use super::mesh::{MainEnds, Outbox, ToMain, ToWorker};
use super::neighbors::{Effect, Neighbors};
use super::plug::{Bench, Plugs};
use super::queries::{Queries, View};
use super::relays::Relays;
use super::watch::Watch;

/// The longest sleep: signals, links and workers are looked at this often.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// Of a port whose device is away.
const NO_LINK: Link = Link {
    up: false,
    speed_mbps: None,
    full_duplex: false,
    autonegotiated: false,
};
/// Items taken from a worker before something else gets its turn.
const ITEMS_PER_WORKER: usize = 256;

/// Everything the main thread has.
pub struct MainThread {
    plugs: Plugs,
    agent: Agent,
    neighbors: Neighbors,
    ends: MainEnds,
    pool: Mempool,
    /// Facts of each port.
    pub ports: Vec<PortFacts>,
    /// The devices, by port.
    pub devices: Vec<Devices>,
    /// The workers, by number.
    pub workers: Vec<WorkerHandle>,
    /// What they count.
    pub counters: CountersReader,
    clock: Clock,
    links: Vec<Option<Link>>,
    links_due: Instant,
    announced_generation: u64,
    claims: Claims,
    relays: Relays,
    macs: VirtualMacs,
    queries: Queries,
    watch: Watch,
}

impl MainThread {
    /// Over running workers.
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, from the place where everything is made"
    )]
    pub fn new(
        plugs: Plugs,
        agent: Agent,
        neighbors: Neighbors,
        ends: MainEnds,
        pool: Mempool,
        ports: Vec<PortFacts>,
        devices: Vec<Devices>,
        workers: Vec<WorkerHandle>,
        clock: Clock,
        counters: CountersReader,
    ) -> Self {
        Self {
            plugs,
            agent,
            neighbors,
            ends,
            pool,
            links: vec![None; ports.len()],
            ports,
            devices,
            workers,
            counters,
            clock,
            links_due: Instant::from_nanos(0),
            // No transaction has this number: own addresses are told at the first turn.
            announced_generation: u64::MAX,
            claims: Claims::default(),
            relays: Relays::default(),
            macs: VirtualMacs::default(),
            queries: Queries::default(),
            watch: Watch::default(),
        }
    }

    /// Runs until `stop`.
    pub fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let now = self.clock.now();
            self.hear_control(now);
            self.hear_workers(now);
            self.care_for_neighbors(now);
            self.give_up_on_control(now);
            self.end_relays(now);
            if now >= self.links_due {
                self.links_due = now + SLEEP_MAX;
                self.look_at_workers();
                self.look_at_devices(now);
                self.look_at_links(now);
                self.agent.reclaim();
                self.look_at_counters(now);
            }
            self.ends.outboxes.iter_mut().for_each(Outbox::flush);
            self.sleep(now);
        }
    }

    /// Waits for the workers, which have been told to stop, and lets go of everything.
    pub fn end(mut self) {
        for outbox in &self.ends.outboxes {
            outbox.wake();
        }
        for worker in &mut self.workers {
            if let Some(Err(panic)) = worker.lcore.take().map(Lcore::join) {
                error!(%panic, "a worker had panicked");
            }
        }
        // What is left in the rings goes back to the pool before ports and EAL are closed.
        drop(self.ends);
    }

    fn hear_control(&mut self, now: Instant) {
        self.agent.end.poll(Duration::from_nanos(now.as_nanos()));
        while let Some(input) = self.agent.end.next_input() {
            if matches!(input, Input::Transaction(_)) {
                self.claims.answered();
            }
            if let Some(question) = self.agent.handle(input) {
                self.ask(now, question);
            }
        }
        for (id, response) in self.queries.timed_out(now) {
            self.answer(id, response);
        }
        for wish in self.agent.drain_wishes() {
            self.neighbors.wish(now, wish);
        }
        let generation = self.agent.snapshot().generation;
        if generation != self.announced_generation {
            self.announced_generation = generation;
            self.set_own(now);
        }
        for Announcement {
            port,
            vlan,
            address,
            mac,
        } in self.agent.take_announcements()
        {
            let effect = self.neighbors.announcement(port, vlan, address, mac);
            self.carry_out(now, effect);
        }
    }

    fn set_own(&mut self, now: Instant) {
        let devices = self.devices.iter_mut().filter_map(|(device, _)| device.as_mut());
        self.macs.set(self.agent.snapshot().virtual_macs(), devices);
        self.neighbors
            .set_own(now, self.agent.held_addresses().into_iter());
        self.relays.set(now, self.agent.relaying());
    }

    /// Relays are over in time, also while control is not there.
    fn end_relays(&mut self, now: Instant) {
        for address in self.relays.due(now) {
            self.agent.end_relay(address);
            self.relays.set(now, self.agent.relaying());
        }
    }

    /// Lets shared addresses go that another director has claimed while control gives no sign of life.
    fn give_up_on_control(&mut self, now: Instant) {
        let due = self.claims.take_due(now);
        if due.is_empty() {
            return;
        }
        self.agent.end.give_up();
        for address in due {
            self.let_go(now, address);
        }
    }

    fn let_go(&mut self, now: Instant, address: IpAddr) {
        if self.agent.let_go(address) {
            warn!(%address, "another director holds it now, and control is not there to say otherwise: let go");
            self.set_own(now);
        }
    }

    fn hear_workers(&mut self, now: Instant) {
        for worker in 0..self.ends.inboxes.len() {
            for _ in 0..ITEMS_PER_WORKER {
                match self.ends.inboxes[worker].pop() {
                    Ok(item) => self.receive(now, item),
                    Err(rtrb::PopError::Empty) => break,
                }
            }
        }
    }

    fn receive(&mut self, now: Instant, item: ToMain) {
        match item {
            ToMain::Punted(_, port, packet) => {
                self.neighbors.received(now, port, packet.data());
                let Some(facts) = self.ports.get(usize::from(port.0)) else {
                    return;
                };
                if facts.has_host {
                    let owner = facts.owner;
                    // The kernel asks again for what does not fit.
                    let _ = self.ends.outboxes[owner].push(ToWorker::ToHost(port, packet));
                }
            }
            ToMain::Wanted(hop) => {
                self.agent.want_hop(hop);
                self.neighbors.wanted(now, &hop);
            }
            ToMain::Explained(id, explanation) => {
                if let Some((id, response)) = self.queries.explained(id, *explanation) {
                    self.answer(id, response);
                }
            }
            ToMain::Flows(answer) => {
                if let Some((id, response)) = self.queries.flows_arrived(*answer, self.agent.snapshot()) {
                    self.answer(id, response);
                }
            }
        }
    }

    fn care_for_neighbors(&mut self, now: Instant) {
        for wish in self.agent.drain_wishes() {
            self.neighbors.wish(now, wish);
        }
        self.neighbors.tick(now);
        while let Some(effect) = self.neighbors.poll() {
            self.carry_out(now, effect);
        }
    }

    fn carry_out(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::Send(port, frame) => self.send(port, &frame),
            Effect::Learned(hop, mac) => {
                self.agent.learned(&hop, mac);
                self.agent.tell(&Event::NeighborChanged {
                    neighbor: NeighborKey {
                        address: hop.address,
                        port: Some(hop.port),
                        vlan: VlanId::new(hop.vlan),
                    },
                    state: if mac.is_some() {
                        NeighborState::Reachable
                    } else {
                        NeighborState::Failed
                    },
                    mac: mac.map(|mac| mac.0),
                });
                if mac.is_none() {
                    self.agent.drop_hop(&hop);
                }
            }
            // An announcement of our own, which another port on the same segment has heard.
            Effect::Conflict(_, mac) if self.ports.iter().any(|port| port.mac == mac.0) => {}
            Effect::Conflict(hop, mac) => {
                warn!(address = %hop.address, %mac, "somebody else claims an address of ours");
                self.agent.tell(&Event::AddressConflict {
                    address: hop.address,
                    mac: mac.0,
                    port: hop.port,
                    vlan: VlanId::new(hop.vlan),
                });
                if !self.agent.end.connected() {
                    self.let_go(now, hop.address);
                } else if self.agent.shares(hop.address) {
                    self.claims.add(now, hop.address);
                }
            }
        }
    }

    /// Sends a frame by the worker that has the port's queue. Lost when pool or ring are exhausted: solicitations and
    /// announcements are repeated by their machines.
    fn send(&mut self, port: PortId, frame: &[u8]) {
        let Some(facts) = self.ports.get(usize::from(port.0)) else {
            return;
        };
        let Some(mut packet) = self.pool.alloc() else {
            return;
        };
        let Some(room) = packet.append(frame.len()) else {
            return;
        };
        room.copy_from_slice(frame);
        let _ = self.ends.outboxes[facts.owner].push(ToWorker::Originate(port, packet));
    }

    fn look_at_workers(&mut self) {
        for (number, worker) in (0u16..).zip(&mut self.workers) {
            if !worker.has_ended() {
                continue;
            }
            let Some(Err(panic)) = worker.lcore.take().map(Lcore::join) else {
                continue;
            };
            error!(worker = number, %panic, "a worker has ended; the others go on, its queues are no longer polled");
            worker.panic = Some(panic.message.clone());
            self.agent.tell(&Event::WorkerPanicked {
                worker: number,
                message: Text::new(panic.message),
            });
        }
    }

    fn look_at_counters(&mut self, now: Instant) {
        let flows_max = self.workers.first().map_or(0, |worker| worker.flows_max);
        for event in self
            .watch
            .look(now, self.agent.snapshot(), &self.counters, flows_max)
        {
            self.agent.tell(&event);
        }
    }

    /// A device that is taken away is let go of by everybody, then closed; one that came back is opened.
    fn look_at_devices(&mut self, now: Instant) {
        let mut bench = Bench {
            devices: &mut self.devices,
            facts: &self.ports,
            pool: &self.pool,
            outboxes: &mut self.ends.outboxes,
        };
        if self.plugs.look(now, &mut bench) {
            self.macs = VirtualMacs::default();
            self.set_own(now);
        }
    }

    fn look_at_links(&mut self, now: Instant) {
        for (number, (device, _)) in (0u16..).zip(&self.devices) {
            let link = match device {
                Some(device) if !self.plugs.is_away(usize::from(number)) => device.link(),
                Some(_) | None => Ok(NO_LINK),
            };
            let Ok(link) = link else { continue };
            let before = self.links[usize::from(number)].replace(link);
            if before.is_some_and(|before| before.up == link.up) {
                continue;
            }
            let port = PortId(number);
            if before.is_some() || !link.up {
                info!(port = self.ports[usize::from(number)].name, up = link.up, "link");
                self.neighbors.link_changed(now, port, link.up);
                self.agent.tell(&Event::LinkChanged {
                    port,
                    up: link.up,
                    speed_mbps: link.speed_mbps.unwrap_or(0),
                    full_duplex: link.full_duplex,
                });
            }
        }
    }

    fn sleep(&self, now: Instant) {
        if self.agent.end.has_more() {
            return;
        }
        let deadlines = [
            self.neighbors.deadline(),
            self.claims.deadline(),
            self.relays.deadline(),
        ];
        let deadline = deadlines
            .into_iter()
            .flatten()
            .min()
            .map(|deadline| deadline.saturating_duration_since(now));
        let longest = deadline.unwrap_or(SLEEP_MAX).min(SLEEP_MAX);
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(longest.subsec_nanos()),
        };
        let nothing_waits = || self.ends.inboxes.iter().all(Consumer::is_empty);
        self.ends.doorbell.sleep_on(nothing_waits, |bell| {
            let mut watched = vec![PollFd::from_borrowed_fd(bell, PollFlags::IN)];
            self.agent.end.poll_fds(&mut watched);
            // Interrupted by a signal or not, everything is looked at next.
            let _ = poll(&mut watched, Some(&timeout));
        });
    }

    fn ask(&mut self, now: Instant, question: Question) {
        let Self {
            queries,
            agent,
            neighbors,
            ends,
            ..
        } = self;
        let view = View {
            agent,
            neighbors,
            ports: &self.ports,
            devices: &self.devices,
            workers: &self.workers,
            counters: &self.counters,
        };
        if let Some(response) = queries.ask(now, question.id, question.request, &view, &mut ends.outboxes) {
            self.answer(question.id, response);
        }
    }

    fn answer(&mut self, id: u64, response: Result<weir_rings::query::Response, String>) {
        // Whoever asked may be gone.
        let _ = self.agent.end.answer(id, response);
    }
}
