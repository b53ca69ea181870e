//! The thread: it waits for sockets, orders and deadlines, feeds the machines and carries out what they ask. Every packet
//! there is comes before any timer fires, as the machines ask.

use super::session::Session;
use super::socket::{Door, From, PACKET_LEN_MAX, Receiver};
use super::status::{SCHEMA, Sessions};
use super::{Up, locked};
use crate::clock::Clock;
use crate::vrrp::Tracker;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use weir_proto::time::Instant;
use weir_wire::bfd::Repr;

/// The status is refreshed this often even without news.
const LOOK: Duration = Duration::from_secs(1);
/// Packets read from one socket before the others have a turn.
const PACKETS_MAX: usize = 4096;

/// Orders to the thread.
#[derive(Debug)]
pub(super) enum Command {
    /// Run exactly these.
    Configure(Vec<weir_configs::Bfd>),
    /// Take everything down and end.
    Stop,
}

/// The thread's state.
pub(super) struct Runtime {
    clock: Clock,
    rng: SmallRng,
    commands: std::sync::mpsc::Receiver<Command>,
    wake: Arc<OwnedFd>,
    up: watch::Sender<Up>,
    tracker: Tracker,
    shown: Arc<Mutex<Sessions>>,
    sessions: Vec<Session>,
    receivers: Vec<Receiver>,
    rejected: BTreeMap<&'static str, u64>,
    show_at: Instant,
}

impl Runtime {
    pub(super) fn new(
        clock: Clock,
        seed: u64,
        commands: std::sync::mpsc::Receiver<Command>,
        wake: Arc<OwnedFd>,
        up: watch::Sender<Up>,
        tracker: Tracker,
        shown: Arc<Mutex<Sessions>>,
    ) -> Self {
        Self {
            clock,
            rng: SmallRng::seed_from_u64(seed),
            commands,
            wake,
            up,
            tracker,
            shown,
            sessions: Vec::new(),
            receivers: Vec::new(),
            rejected: BTreeMap::new(),
            show_at: clock.now(),
        }
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        // Without the right to it, the thread runs as it is.
        if let Err(error) = rustix::process::setpriority_process(None, -20) {
            tracing::debug!(%error, "the BFD thread keeps its priority");
        }
        let mut buffer = [0; PACKET_LEN_MAX];
        loop {
            self.wait();
            self.receive(&mut buffer);
            if !self.take_commands() {
                let now = self.clock.now();
                return self.sessions.iter_mut().for_each(|session| session.stop(now));
            }
            let now = self.clock.now();
            for session in &mut self.sessions {
                session.fire(now);
                session.act(now);
            }
            self.tell(now);
        }
    }

    fn wait(&self) {
        let now = self.clock.now();
        let deadlines = self.sessions.iter().filter_map(Session::deadline);
        let next = deadlines
            .min()
            .map_or(self.show_at, |deadline| deadline.min(self.show_at));
        let left = next - now;
        crate::wait::wait(&self.wake, self.receivers.iter().map(AsFd::as_fd), left);
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        for index in 0..self.receivers.len() {
            for _ in 0..PACKETS_MAX {
                let receiver = &self.receivers[index];
                let (door, received) = (receiver.door, receiver.receive(buffer));
                match received {
                    Ok(Some((from, len))) => self.packet(door, &from, &buffer[..len]),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, "receiving BFD");
                        break;
                    }
                }
            }
        }
    }

    fn packet(&mut self, door: Door, from: &From, bytes: &[u8]) {
        let now = self.clock.now();
        match self.addressee(door, from, bytes) {
            Ok((index, packet)) => {
                self.sessions[index].receive(now, packet);
                self.sessions[index].act(now);
            }
            Err(reason) => *self.rejected.entry(reason).or_default() += 1,
        }
    }

    /// Whose packet it is, or why nobody's.
    fn addressee(&self, door: Door, from: &From, bytes: &[u8]) -> Result<(usize, Repr), &'static str> {
        let packet = Repr::parse(bytes).map_err(weir_wire::bfd::Invalid::name)?;
        let is_for = |session: &Session| session.is_for(door, from, packet.your_discriminator);
        let index = self.sessions.iter().position(is_for).ok_or("no_session")?;
        if self.sessions[index].is_near(from) {
            Ok((index, packet))
        } else {
            Err("ttl_too_low")
        }
    }

    /// False when it is time to stop.
    fn take_commands(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
                Ok(Command::Configure(wanted)) => self.configure(wanted),
            }
        }
    }

    fn configure(&mut self, wanted: Vec<weir_configs::Bfd>) {
        let now = self.clock.now();
        let mut kept = std::mem::take(&mut self.sessions);
        for wanted in wanted {
            match kept.iter().position(|session| session.is_same(&wanted)) {
                Some(at) => {
                    let mut session = kept.swap_remove(at);
                    session.reconfigure(now, wanted);
                    session.act(now);
                    self.sessions.push(session);
                }
                None => {
                    let discriminator = self.discriminator();
                    let seed = self.rng.random();
                    self.sessions
                        .push(Session::new(now, &wanted, discriminator, seed));
                }
            }
        }
        kept.iter_mut().for_each(|gone| gone.stop(now));
        self.open_receivers();
        self.publish();
        self.show_at = now;
    }

    /// A number that no session has.
    fn discriminator(&mut self) -> u32 {
        loop {
            let number: u32 = self.rng.random();
            let taken = self
                .sessions
                .iter()
                .any(|session| session.discriminator() == number);
            if number != 0 && !taken {
                return number;
            }
        }
    }

    fn open_receivers(&mut self) {
        let doors: BTreeSet<Door> = self.sessions.iter().map(Session::door).collect();
        self.receivers.retain(|receiver| doors.contains(&receiver.door));
        for door in doors {
            if self.receivers.iter().any(|receiver| receiver.door == door) {
                continue;
            }
            match Receiver::open(door) {
                Ok(receiver) => self.receivers.push(receiver),
                Err(error) => {
                    tracing::error!(%error, v6 = door.v6, multihop = door.multihop, "no socket for BFD: is another program using its port?")
                }
            }
        }
    }

    /// Tells everybody who tracks a session what is new.
    fn tell(&mut self, now: Instant) {
        let mut news = false;
        for session in &mut self.sessions {
            if let Some(up) = session.news(now) {
                news = true;
                let label = weir_configs::Tracked::Bfd(session.wanted.name.clone()).label();
                self.tracker.track(&label, up);
            }
        }
        if news {
            self.publish();
        }
        if news || now >= self.show_at {
            self.show_at = now + LOOK;
            self.show();
            if self.receivers.len()
                < self
                    .sessions
                    .iter()
                    .map(Session::door)
                    .collect::<BTreeSet<_>>()
                    .len()
            {
                self.open_receivers();
            }
        }
    }

    fn publish(&self) {
        let known = self.sessions.iter();
        let up: Up = known
            .filter_map(|session| Some((session.wanted.name.clone(), session.told()?)))
            .collect();
        self.up.send_if_modified(|before| {
            let news = *before != up;
            *before = up;
            news
        });
    }

    fn show(&self) {
        let rejected = self.rejected.iter();
        *locked(&self.shown) = Sessions {
            schema: SCHEMA.to_owned(),
            sessions: self
                .sessions
                .iter()
                .map(|session| session.status(&self.clock))
                .collect(),
            rejected: rejected
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
        };
    }
}
