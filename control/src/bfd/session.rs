//! One session: its machine, its socket, and what is told of it.

use super::socket::{Door, From, Sender};
use super::status::Status;
use crate::clock::Clock;
use crate::vrrp::Interface;
use std::time::Duration;
use weir_proto::bfd::{Action, Config, Input, Session as Machine, State};
use weir_proto::time::Instant;
use weir_wire::bfd::{Diagnostic, Repr, TTL};

/// How often a socket that could not be opened is tried again.
const REOPEN: Duration = Duration::from_secs(1);
/// A peer that was never heard is down for those who ask, after so many of our packets.
const UNHEARD_PACKETS: u32 = 3;

/// A session with its place in the system.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) wanted: weir_configs::Bfd,
    machine: Machine,
    sender: Option<Sender>,
    open_at: Instant,
    problem: Option<String>,
    since: Instant,
    /// What the others were told: up or not.
    told: Option<bool>,
    /// When one that never came up counts as down.
    unheard_at: Instant,
    unsent: u64,
}

fn machine_config(wanted: &weir_configs::Bfd) -> Config {
    let millis = |value: u32| Duration::from_millis(u64::from(value));
    Config {
        min_tx: millis(wanted.transmit_interval_ms),
        min_rx: millis(wanted.receive_interval_ms),
        detect_mult: wanted.detect_multiplier,
        idle_tx: millis(wanted.idle_interval_ms),
        passive: wanted.passive,
    }
}

impl Session {
    pub(super) fn new(now: Instant, wanted: &weir_configs::Bfd, discriminator: u32, seed: u64) -> Self {
        let config = machine_config(wanted);
        Self {
            machine: Machine::new(now, config, discriminator, seed),
            sender: None,
            open_at: now,
            problem: None,
            since: now,
            told: None,
            unheard_at: now + config.idle_tx * UNHEARD_PACKETS,
            unsent: 0,
            wanted: wanted.clone(),
        }
    }

    pub(super) fn door(&self) -> Door {
        Door {
            v6: self.wanted.peer.is_ipv6(),
            multihop: self.wanted.multihop,
        }
    }

    /// Whether it is this session with other values.
    pub(super) fn is_same(&self, wanted: &weir_configs::Bfd) -> bool {
        let ends = |bfd: &weir_configs::Bfd| {
            let near = (bfd.source, bfd.interface.clone());
            (bfd.name.clone(), bfd.peer, near, bfd.multihop)
        };
        ends(&self.wanted) == ends(wanted)
    }

    pub(super) fn reconfigure(&mut self, now: Instant, wanted: weir_configs::Bfd) {
        if wanted != self.wanted {
            self.machine.handle(now, Input::Config(machine_config(&wanted)));
            self.wanted = wanted;
        }
    }

    pub(super) const fn discriminator(&self) -> u32 {
        self.machine.local_discriminator()
    }

    /// Whether a packet for `your_discriminator` from there is this session's (RFC 5880 §6.8.6, RFC 5881 §3).
    pub(super) fn is_for(&self, door: Door, from: &From, your_discriminator: u32) -> bool {
        let known = your_discriminator == 0 || your_discriminator == self.discriminator();
        known && door == self.door() && from.address == self.wanted.peer && self.is_on_link(from)
    }

    fn is_on_link(&self, from: &From) -> bool {
        let Some(name) = &self.wanted.interface else {
            return true;
        };
        Interface::look(name).is_some_and(|interface| interface.ifindex == from.ifindex)
    }

    /// Whether the packet can have come over no more routers than are allowed.
    pub(super) fn is_near(&self, from: &From) -> bool {
        let least = if self.wanted.multihop {
            self.wanted.ttl_min
        } else {
            TTL
        };
        from.ttl >= least
    }

    pub(super) fn receive(&mut self, now: Instant, packet: Repr) {
        self.machine.handle(now, Input::Packet(packet));
    }

    pub(super) fn fire(&mut self, now: Instant) {
        if self.sender.is_none() && now >= self.open_at {
            self.open(now);
        }
        self.machine.handle_timeout(now);
    }

    fn open(&mut self, now: Instant) {
        self.open_at = now + REOPEN;
        let interface = match &self.wanted.interface {
            None => None,
            Some(name) => match Interface::look(name) {
                Some(found) => Some((name.as_str(), found.ifindex)),
                None => {
                    self.problem = Some(format!("there is no interface {name}"));
                    return;
                }
            },
        };
        let (peer, source) = (self.wanted.peer, self.wanted.source);
        match Sender::open(self.door(), peer, source, interface, self.discriminator()) {
            Ok(sender) => {
                self.sender = Some(sender);
                self.problem = None;
            }
            Err(error) => self.problem = Some(format!("no socket to {peer}: {error}")),
        }
    }

    /// Carries out what the machine asks. What is not sent is lost, as on any wire; a socket that fails is opened anew.
    pub(super) fn act(&mut self, now: Instant) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Send(packet) => self.send(&packet),
                Action::Became { state, diagnostic } => {
                    self.since = now;
                    let why = diagnostic_text(diagnostic);
                    tracing::info!(bfd = %self.wanted.name, peer = %self.wanted.peer, state = state.name(), why, "bfd");
                }
            }
        }
    }

    fn send(&mut self, packet: &Repr) {
        let sent = self.sender.as_ref().map(|sender| sender.send(&packet.to_bytes()));
        match sent {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                self.unsent += 1;
                // The interface may have gone and come back under another index.
                self.sender = None;
                self.problem = Some(format!("packets to {} are not sent: {error}", self.wanted.peer));
            }
            None => self.unsent += 1,
        }
    }

    /// News for those who track it.
    pub(super) fn news(&mut self, now: Instant) -> Option<bool> {
        let up = self.machine.state() == State::Up;
        let known = up || self.told.is_some() || now >= self.unheard_at;
        if !known || self.told == Some(up) {
            return None;
        }
        self.told = Some(up);
        self.told
    }

    pub(super) const fn told(&self) -> Option<bool> {
        self.told
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let machine = self.machine.poll_timeout().map(|(at, _)| at);
        let open = self.sender.is_none().then_some(self.open_at);
        let unheard = self.told.is_none().then_some(self.unheard_at);
        [machine, open, unheard].into_iter().flatten().min()
    }

    /// Tells the peer that this is on purpose.
    pub(super) fn stop(&mut self, now: Instant) {
        self.machine.handle(now, Input::AdminDown);
        self.act(now);
    }

    pub(super) fn status(&self, clock: &Clock) -> Status {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let stats = self.machine.stats();
        let counts = [
            ("sent", stats.sent),
            ("received", stats.received),
            ("unsent", self.unsent),
            ("wrong_discriminator", stats.wrong_discriminator),
            ("ups", stats.ups),
            ("downs", stats.downs),
            ("stall_rechecks", stats.stall_rechecks),
        ];
        Status {
            name: self.wanted.name.clone(),
            peer: self.wanted.peer.to_string(),
            source: self.wanted.source.map(|source| source.to_string()),
            interface: self.wanted.interface.clone(),
            multihop: self.wanted.multihop,
            state: self.machine.state().name().to_owned(),
            remote_state: self.machine.remote_state().name().to_owned(),
            since_unix_ms: clock.unix_ms(self.since),
            diagnostic: diagnostic_text(self.machine.diagnostic()).to_owned(),
            problem: self.problem.clone(),
            local_discriminator: self.discriminator(),
            remote_discriminator: self.machine.remote_discriminator(),
            transmit_interval_us: micros(self.machine.transmit_interval()),
            detection_time_us: micros(self.machine.detection_time()),
            stats: counts.map(|(name, count)| (name.to_owned(), count)).into(),
        }
    }
}

/// RFC 5880 §4.1, for people.
const fn diagnostic_text(diagnostic: Diagnostic) -> &'static str {
    match diagnostic {
        Diagnostic::NONE => "no reason",
        Diagnostic::TIME_EXPIRED => "the peer was silent for the detection time",
        Diagnostic::NEIGHBOR_DOWN => "the peer said that it is down",
        Diagnostic::ADMIN_DOWN => "taken down by an administrator",
        _ => "a reason that only the peer knows",
    }
}
