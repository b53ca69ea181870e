//! One session: the variables of RFC 5880 §6.8.1 under their names in lower case, and what moves them.

use std::collections::VecDeque;

use weir_wire::bfd::{Diagnostic, Micros, Repr, State};

use super::{Action, Config, Input, SLOW_INTERVAL, Stats, Timer};
use crate::sim::Rng;
use crate::time::{Duration, Instant};

/// Detection noticed later than this, and later than the detection time again, was slept through.
const LATENESS_MIN: Duration = Duration::from_millis(20);

/// One end of a session.
#[derive(Debug, Clone)]
pub struct Session {
    config: Config,
    state: State,
    remote_state: State,
    local_discr: u32,
    remote_discr: u32,
    local_diag: Diagnostic,
    /// What we say, and use unless a poll sequence must end first.
    desired_min_tx: Duration,
    required_min_rx: Duration,
    /// What is in force until a poll sequence ends (§6.8.3).
    tx_in_force: Duration,
    rx_in_force: Duration,
    remote_min_rx: Duration,
    remote_min_tx: Duration,
    remote_detect_mult: u8,
    /// The other end wants no periodic packets from us while both are up.
    remote_demand: bool,
    polling: bool,
    transmit_at: Option<Instant>,
    sent_at: Instant,
    detect_at: Option<Instant>,
    rechecked: bool,
    rng: Rng,
    actions: VecDeque<Action>,
    stats: Stats,
}

impl Session {
    /// A session that is down and starts to send at once, unless it is passive. `local_discr` is unique on this box
    /// and not zero; `seed` is for the jitter only.
    pub fn new(now: Instant, config: Config, local_discr: u32, seed: u64) -> Self {
        let idle = config.idle_tx.max(SLOW_INTERVAL);
        Self {
            config,
            state: State::Down,
            remote_state: State::Down,
            local_discr,
            remote_discr: 0,
            local_diag: Diagnostic::NONE,
            desired_min_tx: idle,
            required_min_rx: config.min_rx,
            tx_in_force: idle,
            rx_in_force: config.min_rx,
            // "MUST be initialized to 1" (§6.8.1), in microseconds.
            remote_min_rx: Duration::from_micros(1),
            remote_min_tx: Duration::ZERO,
            remote_detect_mult: 0,
            remote_demand: false,
            polling: false,
            transmit_at: (!config.passive).then_some(now),
            sent_at: now,
            detect_at: None,
            rechecked: false,
            rng: Rng::new(seed),
            actions: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Packet(packet) => self.packet(now, &packet),
            Input::Config(config) => self.reconfigure(now, config),
            Input::AdminDown => {
                if self.state != State::AdminDown {
                    self.enter(now, State::AdminDown, Diagnostic::ADMIN_DOWN);
                    self.send(now, false);
                }
            }
            Input::AdminUp => {
                if self.state == State::AdminDown {
                    self.enter(now, State::Down, Diagnostic::NONE);
                    self.send(now, false);
                }
            }
        }
    }

    /// Fires what is due. Early and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(at) = self.detect_at.filter(|at| *at <= now) {
            self.silence(now, at);
        }
        if self.transmit_at.is_some_and(|at| at <= now) {
            self.send(now, false);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and for what.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        [
            (self.transmit_at, Timer::Transmit),
            (self.detect_at, Timer::Detect),
        ]
        .into_iter()
        .filter_map(|(at, timer)| Some((at?, timer)))
        .min()
    }

    /// What is to be done, in order. Drain it after every `handle` and `handle_timeout`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The state of the other end, as it said last.
    pub const fn remote_state(&self) -> State {
        self.remote_state
    }

    /// Why it last left the Up state.
    pub const fn diagnostic(&self) -> Diagnostic {
        self.local_diag
    }

    /// Our discriminator.
    pub const fn local_discriminator(&self) -> u32 {
        self.local_discr
    }

    /// The other end's discriminator; 0 while unknown.
    pub const fn remote_discriminator(&self) -> u32 {
        self.remote_discr
    }

    /// Counts.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How often we send now, before jitter (§6.8.2): what both ends can bear.
    pub fn transmit_interval(&self) -> Duration {
        self.tx_in_force.max(self.remote_min_rx)
    }

    /// How long the other end may be silent (§6.8.4): its multiplier times what both ends agreed on.
    pub fn detection_time(&self) -> Duration {
        self.rx_in_force
            .max(self.remote_min_tx)
            .saturating_mul(u32::from(self.remote_detect_mult))
    }

    // ===== receiving =====

    /// §6.8.6, from where the session is found.
    fn packet(&mut self, now: Instant, packet: &Repr) {
        if packet.your_discriminator != 0 && packet.your_discriminator != self.local_discr {
            self.stats.wrong_discriminator += 1;
            return;
        }
        self.stats.received += 1;
        self.learn(packet);
        if packet.final_ && self.polling {
            self.end_poll();
        }
        if self.state == State::AdminDown {
            return;
        }
        if self.transmit_at.is_none() {
            self.schedule(now);
        }
        self.transition(now, packet.state);
        self.rechecked = false;
        self.detect_at = Some(now + self.detection_time());
        if packet.poll {
            self.send(now, true);
        }
        self.reschedule_sooner(now);
    }

    fn learn(&mut self, packet: &Repr) {
        self.remote_discr = packet.my_discriminator;
        self.remote_state = packet.state;
        self.remote_demand = packet.demand;
        self.remote_min_rx = packet.required_min_rx.duration();
        self.remote_min_tx = packet.desired_min_tx.duration();
        self.remote_detect_mult = packet.detect_mult;
    }

    /// The table in §6.8.6; rows are our state, columns the state received.
    fn transition(&mut self, now: Instant, received: State) {
        let (state, diagnostic) = match (self.state, received) {
            (State::Down, State::Down) => (State::Init, self.local_diag),
            (State::Down, State::Init) => (State::Up, Diagnostic::NONE),
            (State::Init, State::Init | State::Up) => (State::Up, Diagnostic::NONE),
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                (State::Down, Diagnostic::NEIGHBOR_DOWN)
            }
            (State::AdminDown, State::AdminDown | State::Down | State::Init | State::Up)
            | (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => return,
        };
        self.enter(now, state, diagnostic);
    }

    // ===== states and timers =====

    fn enter(&mut self, now: Instant, state: State, diagnostic: Diagnostic) {
        let was = core::mem::replace(&mut self.state, state);
        self.local_diag = diagnostic;
        self.stats.ups += u64::from(state == State::Up);
        self.stats.downs += u64::from(was == State::Up && state != State::Up);
        self.actions.push_back(Action::Became { state, diagnostic });
        if matches!(state, State::Down | State::AdminDown) {
            self.detect_at = None;
        }
        self.set_intervals(self.config);
        self.schedule(now);
    }

    /// §6.8.4: the detection time has passed. §6.8.1: the discriminator is forgotten with it.
    fn silence(&mut self, now: Instant, at: Instant) {
        let late = now - at > self.detection_time().max(LATENESS_MIN);
        if late && !self.rechecked {
            self.rechecked = true;
            self.stats.stall_rechecks += 1;
            self.detect_at = Some(now + self.detection_time());
            return;
        }
        self.detect_at = None;
        self.remote_discr = 0;
        if matches!(self.state, State::Init | State::Up) {
            self.enter(now, State::Down, Diagnostic::TIME_EXPIRED);
            self.send(now, false);
        }
        if self.config.passive {
            self.transmit_at = None;
        }
    }

    fn reconfigure(&mut self, now: Instant, config: Config) {
        self.config = config;
        self.set_intervals(config);
        self.reschedule_sooner(now);
    }

    /// §6.8.3. While up, a slower transmission and a faster reception wait for the end of a poll sequence: the other
    /// end must know before we change.
    fn set_intervals(&mut self, config: Config) {
        let desired = match self.state {
            State::Up => config.min_tx,
            State::AdminDown | State::Down | State::Init => config.idle_tx.max(SLOW_INTERVAL),
        };
        let changed = desired != self.desired_min_tx || config.min_rx != self.required_min_rx;
        self.desired_min_tx = desired;
        self.required_min_rx = config.min_rx;
        let up = self.state == State::Up;
        if !up || desired < self.tx_in_force {
            self.tx_in_force = desired;
        }
        if !up || config.min_rx > self.rx_in_force {
            self.rx_in_force = config.min_rx;
        }
        self.polling = up && (self.polling || changed);
    }

    const fn end_poll(&mut self) {
        self.polling = false;
        self.tx_in_force = self.desired_min_tx;
        self.rx_in_force = self.required_min_rx;
    }

    // ===== sending =====

    /// §6.8.7: the interval less up to a quarter at random, and at least a tenth when one loss ends the session.
    fn jittered(&mut self) -> Duration {
        let interval = self.transmit_interval();
        let spread_percent: u64 = if self.config.detect_mult == 1 { 15 } else { 25 };
        let extra = self.rng.below(spread_percent * 1000 + 1);
        interval.saturating_mul(75_000 + u32::try_from(extra).unwrap_or(0)) / 100_000
    }

    /// Whether packets are sent periodically (§6.8.7): not to one who wants none or does not listen, not by a passive
    /// end that does not know the other.
    const fn sends(&self) -> bool {
        let wanted = !self.remote_min_rx.is_zero();
        let demanded = self.remote_demand
            && matches!((self.state, self.remote_state), (State::Up, State::Up))
            && !self.polling;
        wanted && !demanded && !(self.config.passive && self.remote_discr == 0)
    }

    fn schedule(&mut self, now: Instant) {
        self.transmit_at = if self.sends() {
            Some(now + self.jittered())
        } else {
            None
        };
    }

    /// The interval has become shorter: do not wait for the old one to pass.
    fn reschedule_sooner(&mut self, now: Instant) {
        if !self.sends() {
            self.transmit_at = None;
            return;
        }
        let soonest = (self.sent_at + self.jittered()).max(now);
        self.transmit_at = Some(self.transmit_at.map_or(soonest, |at| at.min(soonest)));
    }

    fn send(&mut self, now: Instant, final_: bool) {
        let packet = Repr {
            diagnostic: self.local_diag,
            state: self.state,
            // "MUST NOT set Poll and Final both" (§6.5).
            poll: self.polling && !final_,
            final_,
            control_plane_independent: false,
            demand: false,
            detect_mult: self.config.detect_mult,
            my_discriminator: self.local_discr,
            your_discriminator: self.remote_discr,
            desired_min_tx: Micros::from_duration(self.desired_min_tx),
            required_min_rx: Micros::from_duration(self.required_min_rx),
            required_min_echo_rx: Micros(0),
        };
        self.stats.sent += 1;
        self.actions.push_back(Action::Send(packet));
        // An answer to a poll does not count as a periodic packet.
        if !final_ {
            self.sent_at = now;
            self.schedule(now);
        }
    }
}
