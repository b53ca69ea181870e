//! One virtual router on this node: its machine, its sockets, its interface.

use super::announce::Announcing;
use super::around::{Surroundings, is_fault};
use super::day::{self, TimeOfDay};
use super::dump::Settings;
use super::kernel::{Interface, Netlink};
use super::link::Settling;
use super::notify::{Job, Word};
use super::socket::Endpoint;
use super::status::{Active, Change, Next, Relayed, Status, Track};
use super::{Wanted, filter, macvlan, resolve};
use crate::clock::Clock;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use weir_proto::time::Instant;
use weir_proto::vrrp::{Action, Codec, Config, Input, Machine, Reject, State, Tracker, Tracking, Why};

/// What a virtual router of a port depends on, besides what is configured.
const DATAPLANE: &str = "dataplane";

/// One virtual router.
#[derive(Debug)]
pub(super) struct Instance {
    wanted: Wanted,
    link: Option<Interface>,
    endpoint: Option<Endpoint>,
    /// There is one once the interface has an address.
    machine: Option<Machine>,
    codec: Codec,
    /// Since the first advertisement it sent or heard.
    day: Option<TimeOfDay>,
    tracking: Tracking,
    /// Why there is no machine or no socket.
    problem: Option<String>,
    /// Addresses on the kernel interface, with their prefix lengths.
    on_kernel: Vec<(IpAddr, u8)>,
    holding: bool,
    /// The device with the virtual MAC address.
    device: Option<Interface>,
    /// Why the last advertisement could not be sent: told once, not with each.
    unsent: Option<String>,
    /// It has been active, or has heard who is, or was at fault: whether it holds its addresses is decided.
    decided: bool,
    /// Announcements under way.
    announcing: Announcing,
    /// Addresses for the dataplane to announce.
    for_dataplane: Vec<IpAddr>,
    /// Its own interface, and those it tracks, after their delays.
    links: BTreeMap<String, Settling>,
    /// Since it has taken the addresses from a director that lives.
    relay: Option<Relay>,
    /// The priority that the pipe knows.
    told_priority: Option<u8>,
    /// A reload has removed it.
    removed: bool,
}

/// Connections go to the director that held the addresses before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Relay {
    to: IpAddr,
    until: Instant,
}

fn own_link(wanted: &Wanted) -> String {
    format!("interface {}", wanted.interface)
}

fn trackers(wanted: &Wanted) -> Vec<Tracker> {
    let implied = |name: String| Tracker {
        name,
        weight: 0,
        reverse: false,
        up: None,
    };
    let mut trackers = vec![implied(own_link(wanted))];
    if let Some(port) = &wanted.vrrp.port {
        trackers.push(implied(DATAPLANE.to_owned()));
        trackers.push(implied(weir_configs::Tracked::Port(port.clone()).label()));
    }
    if wanted.is_filtered() {
        trackers.push(implied(filter::LABEL.to_owned()));
    }
    trackers.extend(wanted.vrrp.tracks.iter().map(|track| Tracker {
        name: track.what.label(),
        weight: track.weight,
        reverse: track.reverse,
        up: None,
    }));
    trackers
}

impl Instance {
    pub(super) fn new(wanted: &Wanted) -> Self {
        let mut tracking = Tracking::new(trackers(wanted));
        // Nothing is claimed before a dataplane is there to claim it in.
        tracking.set(DATAPLANE, false);
        // Nor before the filter is.
        tracking.set(filter::LABEL, false);
        Self {
            wanted: wanted.clone(),
            link: None,
            endpoint: None,
            machine: None,
            codec: Codec::new(),
            day: None,
            tracking,
            problem: None,
            on_kernel: Vec::new(),
            holding: false,
            device: None,
            unsent: None,
            decided: false,
            announcing: Announcing::default(),
            for_dataplane: Vec::new(),
            links: BTreeMap::new(),
            relay: None,
            told_priority: None,
            removed: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.wanted.vrrp.name
    }

    pub(super) fn group(&self) -> Option<&str> {
        self.wanted.vrrp.sync_group.as_deref()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    pub(super) fn state(&self) -> State {
        self.machine.as_ref().map_or(State::Initialize, Machine::state)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.machine.as_ref().is_some_and(Machine::is_ready)
    }

    pub(super) fn own_fault(&self) -> bool {
        is_fault(&self.tracking.tracked())
    }

    pub(super) fn holds(&self, address: IpAddr) -> bool {
        self.wanted.vrrp.holds(address)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let machine = self.machine.as_ref().and_then(Machine::poll_timeout);
        let links = self.links.values().filter_map(Settling::deadline);
        let relay = self.relay.map(|relay| relay.until);
        let others = self.announcing.deadline().into_iter().chain(links).chain(relay);
        machine.map(|(at, _)| at).into_iter().chain(others).min()
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.machine.as_mut()?.poll_action()
    }

    pub(super) fn input(&mut self, now: Instant, input: Input) {
        if let Some(machine) = &mut self.machine {
            machine.handle(now, input);
        }
    }

    pub(super) fn fire(&mut self, now: Instant, around: &Surroundings) {
        if let Some(machine) = &mut self.machine {
            machine.handle_timeout(now);
        }
        self.relay.take_if(|relay| relay.until <= now);
        self.tell_priority(around);
        self.settle_links(now);
        self.announce_due(now, around);
    }

    /// Whether the dataplane is to hold its addresses; `None` while that is not decided.
    pub(super) fn dataplane_holds(&self) -> Option<bool> {
        self.wanted.vrrp.port.as_ref()?;
        if self.holding {
            return Some(true);
        }
        self.decided.then_some(false)
    }

    /// The director that holds its addresses, or held them before and lives; and for how long connections that only that one
    /// knows are relayed to it, in ms.
    pub(super) fn peer(&self) -> Option<(IpAddr, u32)> {
        let vrrp = &self.wanted.vrrp;
        vrrp.port.as_ref()?;
        let machine = self.machine.as_ref()?;
        match machine.state() {
            State::Initialize => None,
            State::Backup if vrrp.relay_ms == 0 => None,
            State::Backup => machine.active().map(|active| (active.address, 0)),
            State::Active => {
                let relay = self.relay?;
                Some((relay.to, vrrp.relay_ms))
            }
        }
    }

    /// A change of state begins a relay, or ends it.
    fn set_relay(&mut self, now: Instant, state: State, why: &Why) {
        let vrrp = &self.wanted.vrrp;
        let before = why.living_predecessor();
        let wanted = state == State::Active && vrrp.port.is_some() && vrrp.relay_ms != 0;
        self.relay = before.filter(|_| wanted).map(|to| Relay {
            to,
            until: now + Duration::from_millis(vrrp.relay_ms.into()),
        });
    }

    /// A virtual router that has just started knows nothing: the dataplane may have held the addresses all along, and
    /// goes on until another director is heard, or this one is at fault for a reason of its own.
    fn decide(&mut self) {
        let heard = self
            .machine
            .as_ref()
            .is_some_and(|machine| machine.active().is_some());
        let tracked = self.tracking.trackers().iter();
        let fault = tracked
            .filter(|tracker| tracker.weight == 0 && tracker.name != DATAPLANE)
            .any(|tracker| tracker.up == Some(tracker.reverse));
        self.decided |= self.holding || heard || fault;
    }

    pub(super) fn port_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.all_addresses().into_iter().map(|(address, _)| address)
    }

    /// Addresses for the dataplane to announce since the last call.
    pub(super) fn take_announcements(&mut self) -> Vec<IpAddr> {
        self.decide();
        std::mem::take(&mut self.for_dataplane)
    }

    fn all_addresses(&self) -> Vec<(IpAddr, u8)> {
        let vrrp = &self.wanted.vrrp;
        let all = vrrp.addresses.iter().chain(&vrrp.excluded_addresses);
        all.map(|net| (net.addr(), net.prefix_len())).collect()
    }

    // ===== configuration and interface =====

    /// Whether `wanted` is this virtual router with other values: what it is known by on the wire is the same.
    pub(super) fn is_same_router(&self, wanted: &Wanted) -> bool {
        let identity = |wanted: &Wanted| {
            let vrrp = &wanted.vrrp;
            let v6 = vrrp.addresses.first().is_some_and(|first| first.addr().is_ipv6());
            let place = (wanted.interface.clone(), vrrp.port.clone(), vrrp.source);
            (
                vrrp.name.clone(),
                vrrp.virtual_router_id,
                vrrp.version,
                v6,
                place,
                vrrp.auth,
                vrrp.unicast_peers.is_empty(),
            )
        };
        identity(&self.wanted) == identity(wanted)
    }

    pub(super) fn reconfigure(&mut self, now: Instant, wanted: Wanted, around: &Surroundings) {
        let filtered = wanted.is_filtered();
        if self.wanted.vrrp.tracks != wanted.vrrp.tracks || self.wanted.is_filtered() != filtered {
            let before = std::mem::replace(&mut self.tracking, Tracking::new(trackers(&wanted)));
            for known in before.trackers() {
                if let Some(up) = known.up {
                    self.tracking.set(&known.name, up);
                }
            }
        }
        self.wanted = wanted;
        self.relay.take_if(|_| self.wanted.vrrp.relay_ms == 0);
        let Some(machine) = &mut self.machine else { return };
        match resolve::resolve(&self.wanted.vrrp, &self.wanted.interface) {
            Ok(config) if config == *machine.config() => {}
            Ok(config) => machine.handle(now, Input::Config(Box::new(config))),
            Err(problem) => around.event(
                now,
                self.name(),
                "error",
                format!("keeps its configuration: {problem}"),
            ),
        }
        self.input(now, Input::Tracked(self.tracking.tracked()));
        if self.holding {
            self.hold(now, true, around);
        }
    }

    /// Looks at the interface, and opens what is not open yet.
    pub(super) fn look(&mut self, now: Instant, around: &Surroundings) {
        let found = Interface::look(&self.wanted.interface);
        let replaced = match (&self.link, &found) {
            (Some(before), Some(after)) => before.ifindex != after.ifindex,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if replaced {
            self.endpoint = None;
        }
        self.link = found;
        let up = self.link.as_ref().is_some_and(|link| link.up);
        if up && self.endpoint.is_none() {
            self.open(now, around);
        }
        let usable = up && self.endpoint.is_some();
        self.link_seen(now, own_link(&self.wanted), usable);
        for track in self.wanted.vrrp.tracks.clone() {
            if let weir_configs::Tracked::Interface(name) = &track.what {
                let up = Interface::look(name).is_some_and(|interface| interface.up);
                self.link_seen(now, track.what.label(), up);
            }
        }
        self.settle_links(now);
        if self
            .machine
            .as_ref()
            .is_some_and(|machine| machine.state() == State::Initialize)
        {
            self.input(now, Input::Startup);
        }
    }

    fn link_seen(&mut self, now: Instant, name: String, up: bool) {
        let millis = |value: u32| Duration::from_millis(u64::from(value));
        let vrrp = &self.wanted.vrrp;
        let delay = millis(if up {
            vrrp.link_up_delay_ms
        } else {
            vrrp.link_down_delay_ms
        });
        self.links.entry(name).or_default().seen(now, up, delay);
    }

    /// Tells the machine of links whose state has lasted.
    fn settle_links(&mut self, now: Instant) {
        let settled: Vec<(String, bool)> = self
            .links
            .iter_mut()
            .filter_map(|(name, link)| Some((name.clone(), link.settled(now)?)))
            .collect();
        for (name, up) in settled {
            self.track(now, &name, up);
        }
    }

    fn open(&mut self, now: Instant, around: &Surroundings) {
        let Some(link) = &self.link else { return };
        let opened = self.resolved().and_then(|config| {
            let endpoint = Endpoint::open(&config, &self.wanted.interface, link.ifindex);
            Ok((
                config,
                endpoint.map_err(|error| format!("no socket on {}: {error}", self.wanted.interface))?,
            ))
        });
        match opened {
            Ok((config, endpoint)) => {
                self.endpoint = Some(endpoint);
                self.problem = None;
                let tracked = self.tracking.tracked();
                let machine = self.machine.get_or_insert_with(|| Machine::new(config));
                machine.handle(now, Input::Tracked(tracked));
                self.clean_up(now, around);
            }
            Err(problem) if self.problem.as_ref() == Some(&problem) => {}
            Err(problem) => {
                around.event(now, self.name(), "error", problem.clone());
                self.problem = Some(problem);
            }
        }
    }

    fn resolved(&self) -> Result<Config, String> {
        match &self.machine {
            Some(machine) => Ok(machine.config().clone()),
            None => resolve::resolve(&self.wanted.vrrp, &self.wanted.interface),
        }
    }

    pub(super) fn track(&mut self, now: Instant, name: &str, up: bool) {
        if self.tracking.set(name, up) {
            let tracked = self.tracking.tracked();
            self.input(now, Input::Tracked(tracked));
        }
    }

    // ===== datagrams =====

    /// Reads one datagram; false when there is none.
    pub(super) fn receive(&mut self, now: Instant, buffer: &mut [u8], around: &Surroundings) -> bool {
        let (Some(endpoint), Some(machine)) = (&self.endpoint, &mut self.machine) else {
            return false;
        };
        let day = self
            .day
            .get_or_insert_with(|| TimeOfDay::new(now, day::of_system()));
        let input = match endpoint.receive(buffer) {
            Ok(None) => return false,
            Ok(Some(datagram)) => {
                let mut read = self.codec.read(machine.config(), day.at(now), &datagram.received);
                let system = day::of_system();
                if read == Err(Reject::Stale) && day.differs(now, system) {
                    let again = self.codec.read(machine.config(), system, &datagram.received);
                    if again.is_ok() {
                        *day = TimeOfDay::new(now, system);
                        read = again;
                        let text = "the system's clock has been set; advertisements are signed by it now";
                        around.event(now, &self.wanted.vrrp.name, "clock", text.to_owned());
                    }
                }
                match read {
                    Ok(advert) => Input::Advert(advert),
                    Err(reject) => Input::Rejected(reject),
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Input::Rejected(Reject::Length),
            Err(error) => {
                tracing::debug!(%error, vrrp = %self.wanted.vrrp.name, "receiving");
                return false;
            }
        };
        machine.handle(now, input);
        true
    }

    // ===== actions =====

    pub(super) fn perform(&mut self, now: Instant, action: Action, around: &Surroundings) {
        match action {
            Action::SendAdvert { priority } => self.send(now, priority),
            Action::Claim => self.hold(now, true, around),
            Action::Release => self.hold(now, false, around),
            Action::Announce { rounds } => self.announce(now, rounds, around),
            Action::Became { state, why } => {
                self.set_relay(now, state, &why);
                self.became(now, state, &why.to_string(), around);
            }
            Action::Rival(Some(rival)) => around.event(now, self.name(), "rival", rival.to_string()),
            Action::Rival(None) => around.event(
                now,
                self.name(),
                "rival",
                "no other active router any more".into(),
            ),
            Action::HeardLowerPriority => self.tell(Word::MasterRxLowerPri, around),
            Action::Ready(_) => {}
        }
    }

    fn send(&mut self, now: Instant, priority: u8) {
        let (Some(endpoint), Some(machine)) = (&self.endpoint, &self.machine) else {
            return;
        };
        let mut unsent = None;
        let day = self
            .day
            .get_or_insert_with(|| TimeOfDay::new(now, day::of_system()));
        for outgoing in self.codec.write(machine.config(), day.at(now), priority) {
            if let Err(error) = endpoint.send(&outgoing) {
                unsent = Some(format!("advertisements to {} are not sent: {error}", outgoing.to));
            }
        }
        if unsent != self.unsent {
            match &unsent {
                Some(problem) => tracing::warn!(vrrp = %self.wanted.vrrp.name, "{problem}"),
                None => tracing::info!(vrrp = %self.wanted.vrrp.name, "advertisements are sent again"),
            }
            self.unsent = unsent;
        }
    }

    /// On a port, the daemon tells the dataplane; on a kernel interface, the addresses move here.
    fn hold(&mut self, now: Instant, hold: bool, around: &Surroundings) {
        self.holding = hold;
        if self.wanted.vrrp.port.is_some() {
            return;
        }
        let (Some(netlink), Some(link)) = (&around.netlink, self.link.clone()) else {
            return;
        };
        let place = match self.place(netlink, &link, hold) {
            Ok(place) => place,
            Err(error) => {
                let text = format!("no virtual MAC address on {}: {error}", self.wanted.interface);
                return around.event(now, self.name(), "error", text);
            }
        };
        let wanted = if hold { self.all_addresses() } else { Vec::new() };
        for (address, prefix_len) in self.on_kernel.iter().filter(|held| !wanted.contains(held)) {
            if let Err(error) = netlink.delete_address(place.ifindex, *address, *prefix_len) {
                let text = format!("{address} stays on {}: {error}", self.wanted.interface);
                around.event(now, self.name(), "error", text);
            }
        }
        for (address, prefix_len) in &wanted {
            if let Err(error) = netlink.add_address(place.ifindex, *address, *prefix_len) {
                let text = format!("{address} is not on {}: {error}", self.wanted.interface);
                around.event(now, self.name(), "error", text);
            }
        }
        self.on_kernel = wanted;
    }

    /// Where the addresses are: on the interface, or on a device above it that has the virtual MAC address and is
    /// there only while they are held.
    fn place(&mut self, netlink: &Netlink, link: &Interface, hold: bool) -> std::io::Result<Interface> {
        let vrrp = &self.wanted.vrrp;
        if !vrrp.virtual_mac {
            return Ok(link.clone());
        }
        let v6 = vrrp.addresses.first().is_some_and(|first| first.addr().is_ipv6());
        if let (Some(device), true) = (&self.device, hold) {
            return Ok(device.clone());
        }
        // Addresses go with the device.
        self.on_kernel.clear();
        self.device = None;
        if !hold {
            macvlan::delete(netlink, &macvlan::name(vrrp.virtual_router_id, v6))?;
            return Ok(link.clone());
        }
        let interface = &self.wanted.interface;
        let device = macvlan::create(netlink, link.ifindex, interface, vrrp.virtual_router_id, v6)?;
        self.device = Some(device.clone());
        Ok(device)
    }

    /// A process that was killed may have left the addresses: a backup does not have them.
    fn clean_up(&mut self, now: Instant, around: &Surroundings) {
        if !self.holding && self.wanted.vrrp.port.is_none() {
            self.on_kernel = self.all_addresses();
            self.hold(now, false, around);
        }
    }

    fn announce(&mut self, now: Instant, rounds: u8, around: &Surroundings) {
        let interval = Duration::from_millis(u64::from(self.wanted.vrrp.announce_interval_ms));
        let addresses: Vec<IpAddr> = self.port_addresses().collect();
        self.announcing.start(now, &addresses, rounds, interval);
        self.announce_due(now, around);
    }

    /// Announces what is due: through the dataplane, or on the kernel interface.
    fn announce_due(&mut self, now: Instant, around: &Surroundings) {
        let due = self.announcing.take_due(now);
        if due.is_empty() || !self.holding {
            return;
        }
        if self.wanted.vrrp.port.is_some() {
            self.for_dataplane.extend(due);
            return;
        }
        let Some(link) = self.device.as_ref().or(self.link.as_ref()) else {
            return;
        };
        let Some(announcer) = &around.announcer else {
            return;
        };
        if let Err(error) = announcer.borrow_mut().announce(link.ifindex, link.mac, &due) {
            tracing::warn!(vrrp = self.name(), %error, "addresses not announced");
        }
    }

    fn became(&self, now: Instant, state: State, why: &str, around: &Surroundings) {
        around.event(now, self.name(), self.state_word(), why.to_owned());
        if !self.removed {
            self.tell(Word::of(state, self.is_at_fault()), around);
        }
    }

    fn priority(&self) -> u8 {
        let own = self.wanted.vrrp.priority;
        self.machine.as_ref().map_or(own, Machine::priority)
    }

    /// Has programs and the pipe told.
    fn tell(&self, word: Word, around: &Surroundings) {
        around.tell(Job::of_instance(&self.wanted.vrrp, word, self.priority()));
    }

    /// What its group's new state is told by.
    pub(super) fn job_of_group(&self, word: Word) -> Option<Job> {
        Job::of_group(&self.wanted.vrrp, self.group().unwrap_or_default(), word)
    }

    /// keepalived's word for its state now.
    pub(super) fn keepalived_word(&self) -> Word {
        Word::of(self.state(), self.is_at_fault())
    }

    /// Has the pipe told of another priority than it was told last.
    pub(super) fn tell_priority(&mut self, around: &Surroundings) {
        let priority = self.priority();
        let Some(before) = self.told_priority.replace(priority) else {
            return;
        };
        if before != priority {
            let word = match self.state() {
                State::Active => Word::MasterPriority,
                State::Initialize | State::Backup => Word::BackupPriority,
            };
            self.tell(word, around);
        }
    }

    /// A reload has removed it.
    pub(super) fn remove(&mut self, now: Instant, around: &Surroundings) {
        self.removed = true;
        self.stop(now, around);
        self.tell(Word::of_removed(&self.wanted.vrrp), around);
    }

    /// Says "I stop" if active, and lets everything go.
    pub(super) fn stop(&mut self, now: Instant, around: &Surroundings) {
        self.input(now, Input::Shutdown);
        while let Some(action) = self.poll_action() {
            self.perform(now, action, around);
        }
        self.endpoint = None;
    }

    // ===== for people =====

    fn is_at_fault(&self) -> bool {
        self.machine
            .as_ref()
            .is_none_or(|machine| machine.fault().is_some())
    }

    fn state_word(&self) -> &'static str {
        match (self.state(), self.is_at_fault()) {
            (State::Active, _) => "active",
            (State::Backup, _) => "backup",
            (State::Initialize, true) => "fault",
            (State::Initialize, false) => "stopped",
        }
    }

    pub(super) fn status(&self, now: Instant, clock: &Clock) -> Status {
        let vrrp = &self.wanted.vrrp;
        let trackers = self.tracking.trackers().iter();
        let mut status = Status {
            name: vrrp.name.clone(),
            interface: self.wanted.interface.clone(),
            virtual_router_id: vrrp.virtual_router_id,
            version: vrrp.version,
            state: self.state_word().to_owned(),
            why: self.problem.clone().unwrap_or_default(),
            priority: vrrp.priority,
            effective_priority: vrrp.priority,
            addresses: self
                .all_addresses()
                .iter()
                .map(|(address, len)| format!("{address}/{len}"))
                .collect(),
            tracks: trackers
                .map(|tracker| Track {
                    name: tracker.name.clone(),
                    weight: tracker.weight,
                    up: tracker.up,
                })
                .collect(),
            settings: Settings::of(vrrp),
            ..Status::default()
        };
        if let Some(machine) = &self.machine {
            fill(&mut status, machine, now, clock);
        }
        status.relay = self.relay.map(|relay| Relayed {
            to: relay.to.to_string(),
            left_ms: u64::try_from((relay.until - now).as_millis()).unwrap_or(u64::MAX),
        });
        status
    }
}

fn fill(status: &mut Status, machine: &Machine, now: Instant, clock: &Clock) {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let last = machine.transitions().last();
    status.since_unix_ms = last.map_or(0, |change| clock.unix_ms(change.at));
    status.why = match (machine.state(), machine.fault(), last) {
        (State::Initialize, Some(fault), _) => fault.to_owned(),
        (_, _, Some(change)) => change.why.to_string(),
        (_, _, None) => "not started".to_owned(),
    };
    status.effective_priority = machine.priority();
    status.source = machine.config().source.to_string();
    status.active = machine
        .active()
        .filter(|_| machine.state() == State::Backup)
        .map(|peer| Active {
            address: peer.address.to_string(),
            priority: peer.priority,
            heard_unix_ms: clock.unix_ms(peer.heard_at),
        });
    status.advert_interval_ms = micros(machine.active_interval()) / 1000;
    status.active_down_us = micros(machine.active_down_interval());
    status.next = machine.poll_timeout().map(|(at, timer)| Next {
        timer: format!("{timer:?}"),
        in_us: micros(at - now),
    });
    status.rival = machine.rival().map(|rival| rival.to_string());
    status.handed_over = machine.is_after_hand_over();
    status.stats = stats(machine);
    status.transitions = machine
        .transitions()
        .map(|change| Change {
            unix_ms: clock.unix_ms(change.at),
            from: change.from.name().to_owned(),
            to: change.to.name().to_owned(),
            why: change.why.to_string(),
        })
        .collect();
}

fn stats(machine: &Machine) -> BTreeMap<String, u64> {
    let stats = machine.stats();
    let own = [
        ("advert_rcvd", stats.advert_rcvd),
        ("advert_sent", stats.advert_sent),
        ("become_master", stats.become_master),
        ("release_master", stats.release_master),
        ("pri_zero_rcvd", stats.pri_zero_rcvd),
        ("pri_zero_sent", stats.pri_zero_sent),
        ("pri_zero_ignored", stats.pri_zero_ignored),
        ("other_addresses", stats.other_addresses),
        ("stall_rechecks", stats.stall_rechecks),
        ("stall_yields", stats.stall_yields),
        ("rivals", stats.rivals),
    ];
    let rejects = stats.rejects().map(|(reject, count)| (reject.name(), count));
    own.into_iter()
        .chain(rejects)
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

#[cfg(test)]
mod tests;
