//! The states of one virtual router: RFC 9568 §6.4. [`Machine::advert`] is its table for advertisements,
//! [`Machine::fires`] the one for timers. What goes beyond the RFC is told in the module's documentation.

use core::cmp::Ordering;
use core::net::IpAddr;
use std::collections::VecDeque;

use weir_wire::MacAddr;
use weir_wire::vrrp::{PRIORITY_OWNER, PRIORITY_STOP, Version};

use super::config::{LowerPriority, Preempt, PriorityZero};
use super::rival::Watch;
use super::timers::{Timers, active_down_interval, skew};
use super::{
    Action, Advert, Config, Input, Order, Peer, Rival, State, Stats, Timer, Tracked, Transition, Why,
};
use crate::time::{Duration, Instant};

/// Transitions remembered.
const TRANSITIONS_MAX: usize = 32;
/// A timer that fires later than an interval, and later than this, was slept through: less is scheduling.
const LATENESS_MIN: Duration = Duration::from_millis(20);

/// How an advertisement compares with what we would send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// Priority 0: its sender stops.
    Stop,
    Lower,
    /// Our priority, but its sender's address is lower (or ours).
    EqualLowerAddress,
    EqualHigherAddress,
    Higher,
}

/// One virtual router.
#[derive(Debug, Clone)]
pub struct Machine {
    config: Config,
    state: State,
    started: bool,
    tracked: Tracked,
    group_fault: Option<String>,
    timers: Timers,
    actions: VecDeque<Action>,
    stats: Stats,
    transitions: VecDeque<Transition>,
    watch: Watch,
    /// Active_Adver_Interval.
    active_interval: Duration,
    /// The active router as last heard, while we are not.
    active: Option<Peer>,
    /// The active router has said that it stops.
    stopped: Option<IpAddr>,
    /// Since when silence is counted.
    silent_since: Instant,
    /// A lower priority was first heard at this time, for `Preempt::After`.
    lower_since: Option<Instant>,
    /// We have listened again after a stall, once is enough.
    rechecked: bool,
    /// When we last advertised, while active.
    advertised_at: Instant,
    /// We have said that we stop and hold the addresses until another advertises.
    handing_over: bool,
    /// We have handed over and leave the other alone, whatever its priority.
    after_hand_over: bool,
    /// Why this member of a group would become active.
    ready: Option<Why>,
}

impl Machine {
    /// A virtual router that has not started. `config` has passed [`Config::check`].
    pub fn new(config: Config) -> Self {
        Self {
            active_interval: config.interval,
            config,
            state: State::Initialize,
            started: false,
            tracked: Tracked::default(),
            group_fault: None,
            timers: Timers::default(),
            actions: VecDeque::new(),
            stats: Stats::default(),
            transitions: VecDeque::new(),
            watch: Watch::default(),
            active: None,
            stopped: None,
            silent_since: Instant::ZERO,
            lower_since: None,
            rechecked: false,
            advertised_at: Instant::ZERO,
            handing_over: false,
            after_hand_over: false,
            ready: None,
        }
    }

    /// Takes an input. After a stall, advertisements come before [`handle_timeout`](Self::handle_timeout).
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.notice_stall(now);
        match input {
            Input::Startup => self.startup(now),
            Input::Shutdown => self.shutdown(now),
            Input::Advert(advert) => self.advert(now, &advert),
            Input::Rejected(reject) => self.stats.reject(reject),
            Input::Config(config) => self.reconfigure(now, *config),
            Input::Tracked(tracked) => self.track(now, tracked),
            Input::AddressClaimed { address, mac } => self.address_claimed(now, address, mac),
            Input::HandOver => self.hand_over(now),
            Input::Resume => self.after_hand_over = false,
            Input::Order(order) => self.order(now, order),
        }
    }

    /// Fires the timers that are due. Early and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.notice_stall(now);
        while let Some((at, timer)) = self.timers.take_due(now) {
            self.fires(now, timer, at);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and for what.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    /// What is to be done, in order. Drain it after every `handle` and `handle_timeout`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The configuration in force.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The priority after tracking.
    pub fn priority(&self) -> u8 {
        self.tracked.priority(self.config.priority)
    }

    /// The active router, when it is another one.
    pub const fn active(&self) -> Option<Peer> {
        self.active
    }

    /// Active_Adver_Interval.
    pub const fn active_interval(&self) -> Duration {
        self.active_interval
    }

    /// Active_Down_Interval.
    pub fn active_down_interval(&self) -> Duration {
        active_down_interval(
            self.config.version,
            self.priority(),
            self.active_interval,
            self.config.down_timer_adverts,
        )
    }

    /// Skew_Time.
    pub fn skew(&self) -> Duration {
        skew(self.config.version, self.priority(), self.active_interval)
    }

    /// Why it cannot take part, if it cannot.
    pub fn fault(&self) -> Option<&str> {
        self.tracked.fault.as_deref().or(self.group_fault.as_deref())
    }

    /// Another active router, if there is one.
    pub const fn rival(&self) -> Option<Rival> {
        self.watch.rival()
    }

    /// Whether a hand-over is under way.
    pub const fn is_handing_over(&self) -> bool {
        self.handing_over
    }

    /// Whether it was handed over and leaves the other router alone.
    pub const fn is_after_hand_over(&self) -> bool {
        self.after_hand_over
    }

    /// Whether it has told its group that it would become active, and waits for the others.
    pub const fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// Counts.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The last transitions, oldest first.
    pub fn transitions(&self) -> impl ExactSizeIterator<Item = &Transition> {
        self.transitions.iter()
    }

    fn fires(&mut self, now: Instant, timer: Timer, at: Instant) {
        let announcing = self.config.announcing;
        match (self.state, timer) {
            (State::Initialize, Timer::Startup) => self.begin(now, Why::Started),
            (State::Backup, Timer::ActiveDown) => self.active_is_down(now, at),
            (State::Active, Timer::Adver) => self.advertise_in_time(now, at),
            (State::Active, Timer::HandOver) => self.take_back(now),
            (State::Active, Timer::AnnounceAgain) => self.announce(announcing.repeat),
            (State::Active, Timer::AnnounceLower) => self.announce(announcing.lower_priority_repeat),
            (State::Active, Timer::AnnounceRefresh) => {
                self.announce(announcing.refresh_repeat);
                self.timers.set(Timer::AnnounceRefresh, now + announcing.refresh);
            }
            // A change of state stops the timers of the old one.
            (State::Active, Timer::Startup | Timer::ActiveDown)
            | (
                State::Initialize | State::Backup,
                Timer::Adver
                | Timer::HandOver
                | Timer::AnnounceAgain
                | Timer::AnnounceRefresh
                | Timer::AnnounceLower,
            )
            | (State::Initialize, Timer::ActiveDown)
            | (State::Backup, Timer::Startup) => {}
        }
    }

    // ===== start and stop =====

    fn startup(&mut self, now: Instant) {
        if self.started {
            return;
        }
        self.started = true;
        if self.config.startup_delay.is_zero() {
            self.begin(now, Why::Started);
        } else {
            self.timers.set(Timer::Startup, now + self.config.startup_delay);
        }
    }

    /// §6.4.1: leaves Initialize.
    fn begin(&mut self, now: Instant, why: Why) {
        if self.fault().is_some() {
            return;
        }
        if self.priority() == PRIORITY_OWNER && !self.config.grouped {
            self.become_active(now, Why::Owner);
            return;
        }
        self.active_interval = self.config.interval;
        self.active = None;
        self.become_backup(now, why);
        self.wait(now, self.active_down_interval());
        if self.priority() == PRIORITY_OWNER {
            self.get_ready(Why::Owner);
        }
    }

    fn shutdown(&mut self, now: Instant) {
        self.started = false;
        self.stop(now, Why::Stopped);
        self.after_hand_over = false;
    }

    /// To Initialize, from anywhere.
    fn stop(&mut self, now: Instant, why: Why) {
        match self.state {
            State::Initialize => self.timers.stop(Timer::Startup),
            State::Backup => self.enter(now, State::Initialize, why),
            State::Active => {
                self.leave_active(true);
                self.enter(now, State::Initialize, why);
            }
        }
    }

    // ===== advertisements =====

    fn rank(&self, advert: &Advert) -> Rank {
        if advert.priority == PRIORITY_STOP {
            return Rank::Stop;
        }
        match advert.priority.cmp(&self.priority()) {
            Ordering::Less => Rank::Lower,
            Ordering::Greater => Rank::Higher,
            Ordering::Equal if advert.src > self.config.source => Rank::EqualHigherAddress,
            Ordering::Equal => Rank::EqualLowerAddress,
        }
    }

    fn advert(&mut self, now: Instant, advert: &Advert) {
        self.stats.advert_rcvd += 1;
        self.stats.other_addresses += u64::from(advert.other_addresses);
        self.stats.pri_zero_rcvd += u64::from(advert.priority == PRIORITY_STOP);
        self.lower_ours_in_an_owner_clash(advert);
        let rank = self.rank(advert);
        match (self.state, rank) {
            (
                State::Initialize,
                Rank::Stop | Rank::Lower | Rank::EqualLowerAddress | Rank::EqualHigherAddress | Rank::Higher,
            ) => {}
            (State::Backup, Rank::Stop) => self.backup_hears_stop(now, advert),
            (State::Backup, Rank::Lower) => self.backup_hears_lower(now, advert),
            (State::Backup, Rank::EqualLowerAddress | Rank::EqualHigherAddress | Rank::Higher) => {
                self.lower_since = None;
                self.accept(now, advert);
            }
            (State::Active, Rank::Stop) => self.active_hears_stop(now),
            (State::Active, _) if self.handing_over => self.handed_over(now, advert),
            (State::Active, Rank::Lower | Rank::EqualLowerAddress) => self.active_hears_lower(now, advert),
            (State::Active, Rank::EqualHigherAddress) => {
                self.yield_to(now, advert, Why::HigherAddress { address: advert.src });
            }
            (State::Active, Rank::Higher) => {
                let why = Why::HigherPriority {
                    address: advert.src,
                    priority: advert.priority,
                    ours: self.priority(),
                };
                self.yield_to(now, advert, why);
            }
        }
    }

    /// keepalived: two owners are a mistake in the configuration; ours stops claiming to be one.
    fn lower_ours_in_an_owner_clash(&mut self, advert: &Advert) {
        let clash = advert.priority == PRIORITY_OWNER && self.priority() == PRIORITY_OWNER;
        if clash && self.config.rules.owner_clash_lowers && self.state == State::Active {
            self.config.priority = PRIORITY_OWNER - 1;
        }
    }

    /// §6.4.2 (425). See [`PriorityZero`] for where we differ.
    fn backup_hears_stop(&mut self, now: Instant, advert: &Advert) {
        let from_active = self.active.is_none_or(|active| active.address == advert.src);
        let by_skew = now + self.skew();
        let deadline = match self.config.rules.priority_zero {
            PriorityZero::FromAnyone => by_skew,
            PriorityZero::FromActive if !from_active => {
                self.stats.pri_zero_ignored += 1;
                return;
            }
            PriorityZero::FromActive => self
                .timers
                .get(Timer::ActiveDown)
                .map_or(by_skew, |running| running.min(by_skew)),
        };
        if self.ready.is_some() {
            return;
        }
        self.stopped = Some(advert.src);
        self.timers.set(Timer::ActiveDown, deadline);
    }

    /// §6.4.2 (445): a lower priority is accepted without preemption; with it, the timer runs on.
    fn backup_hears_lower(&mut self, now: Instant, advert: &Advert) {
        let wait_over = match self.config.preempt {
            Preempt::Yes => true,
            Preempt::No => false,
            Preempt::After(delay) => {
                let since = *self.lower_since.get_or_insert(now);
                now - since >= delay
            }
        };
        if wait_over && !self.after_hand_over {
            self.remember(now, advert);
        } else {
            self.accept(now, advert);
        }
    }

    fn remember(&mut self, now: Instant, advert: &Advert) {
        self.stopped = None;
        self.active = Some(Peer {
            address: advert.src,
            priority: advert.priority,
            interval: advert.interval,
            heard_at: now,
        });
    }

    /// §6.4.2 (450)-(465).
    fn accept(&mut self, now: Instant, advert: &Advert) {
        self.remember(now, advert);
        self.learn_interval(advert);
        self.rechecked = false;
        self.wait(now, self.active_down_interval());
        if self.ready.take().is_some() {
            self.actions.push_back(Action::Ready(false));
        }
    }

    fn learn_interval(&mut self, advert: &Advert) {
        self.active_interval = match self.config.version {
            Version::V2 => self.config.interval,
            Version::V3 => advert.interval,
        };
    }

    /// §6.4.3 (695).
    fn active_hears_stop(&mut self, now: Instant) {
        if !self.handing_over {
            self.advertise(now);
            self.timers.set(Timer::Adver, now + self.config.interval);
        }
    }

    /// §6.4.3, the last paragraph. Caches may have moved to the other router: keepalived announces again.
    fn active_hears_lower(&mut self, now: Instant, advert: &Advert) {
        let rival = self
            .watch
            .advert(now, advert.src, advert.priority, self.config.interval);
        match self.config.rules.lower_priority {
            LowerPriority::Advertise => self.advertise(now),
            LowerPriority::Discard => {}
        }
        let announcing = self.config.announcing;
        self.announce(announcing.lower_priority_repeat);
        self.set_if_wanted(Timer::AnnounceLower, now, announcing.lower_priority_delay);
        self.actions.push_back(Action::HeardLowerPriority);
        self.report(rival);
    }

    /// §6.4.3 (715)-(750).
    fn yield_to(&mut self, now: Instant, advert: &Advert, why: Why) {
        if self.config.rules.advertise_before_yielding {
            self.advertise(now);
        }
        self.leave_active(false);
        self.become_backup(now, why);
        self.accept(now, advert);
    }

    fn handed_over(&mut self, now: Instant, advert: &Advert) {
        self.leave_active(false);
        self.become_backup(now, Why::HandedOver { address: advert.src });
        self.after_hand_over = true;
        self.accept(now, advert);
    }

    // ===== backup =====

    /// Counts silence from `now` on.
    fn wait(&mut self, now: Instant, interval: Duration) {
        self.silent_since = now;
        self.stopped = None;
        self.timers.set(Timer::ActiveDown, now + interval);
    }

    /// §6.4.2 (360): Active_Down_Timer fires.
    fn active_is_down(&mut self, now: Instant, at: Instant) {
        let late = now - at > self.active_interval.max(LATENESS_MIN);
        if late && !self.rechecked {
            self.rechecked = true;
            self.stats.stall_rechecks += 1;
            self.timers
                .set(Timer::ActiveDown, now + self.active_interval + self.skew());
            return;
        }
        let why = self.why_active(now);
        if self.config.grouped {
            self.get_ready(why);
        } else {
            self.become_active(now, why);
        }
    }

    fn why_active(&self, now: Instant) -> Why {
        if let Some(address) = self.stopped {
            return Why::PeerStopped { address };
        }
        match self.active {
            None => Why::NobodyActive,
            Some(peer) if peer.heard_at > self.silent_since => Why::Preempted {
                peer,
                ours: self.priority(),
            },
            Some(peer) => Why::Silence {
                peer,
                silent_for: now - peer.heard_at,
            },
        }
    }

    fn get_ready(&mut self, why: Why) {
        self.timers.stop(Timer::ActiveDown);
        self.ready = Some(why);
        self.actions.push_back(Action::Ready(true));
    }

    fn become_backup(&mut self, now: Instant, why: Why) {
        self.stopped = None;
        self.lower_since = None;
        self.rechecked = false;
        self.enter(now, State::Backup, why);
    }

    // ===== active =====

    /// §6.4.2 (365)-(400): the advertisement first, then the announcement.
    fn become_active(&mut self, now: Instant, why: Why) {
        let announcing = self.config.announcing;
        self.timers.stop_all();
        self.advertise(now);
        self.actions.push_back(Action::Claim);
        self.announce(announcing.repeat);
        self.timers.set(Timer::Adver, now + self.config.interval);
        self.set_if_wanted(Timer::AnnounceAgain, now, announcing.delay);
        self.set_if_wanted(Timer::AnnounceRefresh, now, announcing.refresh);
        self.stats.become_master += 1;
        self.active = None;
        self.ready = None;
        self.after_hand_over = false;
        self.active_interval = self.config.interval;
        self.enter_keeping_timers(now, State::Active, why);
    }

    fn leave_active(&mut self, say_so: bool) {
        if say_so {
            self.send_stop();
        }
        self.handing_over = false;
        self.stats.release_master += 1;
        self.actions.push_back(Action::Release);
        if self.watch.clear() {
            self.actions.push_back(Action::Rival(None));
        }
    }

    fn advertise(&mut self, now: Instant) {
        self.advertised_at = now;
        self.stats.advert_sent += 1;
        let priority = self.priority();
        self.actions.push_back(Action::SendAdvert { priority });
    }

    fn send_stop(&mut self) {
        self.stats.advert_sent += 1;
        self.stats.pri_zero_sent += 1;
        self.actions.push_back(Action::SendAdvert {
            priority: PRIORITY_STOP,
        });
    }

    /// §6.4.3 (670). The next one is counted from when this one was due, so that lateness does not add up.
    fn advertise_in_time(&mut self, now: Instant, at: Instant) {
        self.advertise(now);
        let interval = self.config.interval;
        let from = if now - at < interval { at } else { now };
        self.timers.set(Timer::Adver, from + interval);
        if self.watch.expire(now, self.active_down_interval()) {
            self.actions.push_back(Action::Rival(None));
        }
    }

    fn announce(&mut self, rounds: u8) {
        if rounds != 0 {
            self.actions.push_back(Action::Announce { rounds });
        }
    }

    fn set_if_wanted(&mut self, timer: Timer, now: Instant, delay: Duration) {
        if !delay.is_zero() {
            self.timers.set(timer, now + delay);
        }
    }

    fn address_claimed(&mut self, now: Instant, address: IpAddr, mac: MacAddr) {
        if self.state == State::Active && !self.handing_over {
            let rival = self.watch.claimed(now, address, mac);
            self.report(rival);
        }
    }

    fn report(&mut self, rival: Option<Rival>) {
        if rival.is_some() {
            self.stats.rivals += 1;
            self.actions.push_back(Action::Rival(rival));
        }
    }

    // ===== hand-over =====

    /// Says "I stop" and holds on. The slowest backup waits a skew of one interval (one second in version 2).
    fn hand_over(&mut self, now: Instant) {
        if self.state != State::Active || self.handing_over {
            return;
        }
        self.handing_over = true;
        self.send_stop();
        self.timers.stop(Timer::Adver);
        let slowest = skew(self.config.version, 0, self.config.interval);
        self.timers
            .set(Timer::HandOver, now + slowest + self.config.interval);
    }

    /// Nobody has taken over.
    fn take_back(&mut self, now: Instant) {
        self.handing_over = false;
        self.advertise(now);
        self.timers.set(Timer::Adver, now + self.config.interval);
    }

    // ===== stalls =====

    fn notice_stall(&mut self, now: Instant) {
        let stalled_for = now - self.advertised_at;
        let stalled = self.state == State::Active
            && !self.handing_over
            && self.priority() != PRIORITY_OWNER
            && stalled_for > self.active_down_interval();
        if stalled {
            self.stats.stall_yields += 1;
            self.leave_active(false);
            self.active = None;
            self.become_backup(now, Why::Stalled { stalled_for });
            self.wait(now, self.config.interval + self.skew());
            self.rechecked = true;
        }
    }

    // ===== configuration, tracking, groups =====

    fn reconfigure(&mut self, now: Instant, config: Config) {
        let before = core::mem::replace(&mut self.config, config);
        match self.state {
            State::Initialize => {}
            State::Backup => {
                if self.config.version == Version::V2 || self.active.is_none() {
                    self.active_interval = self.config.interval;
                }
                self.priority_changed(now);
                if self.priority() == PRIORITY_OWNER && !self.config.grouped && !self.after_hand_over {
                    self.become_active(now, Why::Configured);
                }
            }
            State::Active => self.reconfigure_active(now, &before),
        }
    }

    fn reconfigure_active(&mut self, now: Instant, before: &Config) {
        self.active_interval = self.config.interval;
        if self.config.interval != before.interval && !self.handing_over {
            // At once: peers learn the new interval, and our own idea of a stall starts from it.
            self.advertise(now);
            self.timers.set(Timer::Adver, now + self.config.interval);
        }
        let announcing = self.config.announcing;
        if announcing.refresh != before.announcing.refresh {
            self.timers.stop(Timer::AnnounceRefresh);
            self.set_if_wanted(Timer::AnnounceRefresh, now, announcing.refresh);
        }
        if self.config.addresses != before.addresses {
            if !self.handing_over {
                self.advertise(now);
            }
            self.actions.push_back(Action::Claim);
            self.announce(announcing.repeat);
        }
    }

    fn track(&mut self, now: Instant, tracked: Tracked) {
        let before = self.priority();
        self.tracked = tracked;
        self.fault_changed(now);
        if self.priority() != before {
            self.priority_changed(now);
        }
    }

    /// A backup's wait depends on its priority; the silence already borne counts.
    fn priority_changed(&mut self, now: Instant) {
        if self.state == State::Backup && self.stopped.is_none() && self.ready.is_none() && !self.rechecked {
            let deadline = self.silent_since + self.active_down_interval();
            self.timers.set(Timer::ActiveDown, deadline.max(now));
        }
    }

    fn fault_changed(&mut self, now: Instant) {
        match (self.state, self.fault()) {
            (State::Backup | State::Active, Some(what)) => {
                let what = what.to_owned();
                self.stop(now, Why::Fault { what });
            }
            (State::Initialize, None) if self.started && self.timers.get(Timer::Startup).is_none() => {
                self.begin(now, Why::FaultCleared);
            }
            (State::Initialize, Some(_) | None) | (State::Backup | State::Active, None) => {}
        }
    }

    fn order(&mut self, now: Instant, order: Order) {
        match order {
            Order::Promote => {
                if let (State::Backup, Some(why)) = (self.state, self.ready.take()) {
                    self.become_active(now, why);
                }
            }
            Order::Demote(member) => {
                if self.state == State::Active {
                    self.leave_active(true);
                    self.active = None;
                    self.become_backup(now, Why::Group { member });
                    self.wait(now, self.active_down_interval());
                }
            }
            Order::Fault(member) => {
                self.group_fault = Some(format!("{member} of the group is at fault"));
                self.fault_changed(now);
            }
            Order::FaultCleared => {
                self.group_fault = None;
                self.fault_changed(now);
            }
        }
    }

    // ===== transitions =====

    fn enter(&mut self, now: Instant, state: State, why: Why) {
        self.timers.stop_all();
        if self.ready.take().is_some() {
            self.actions.push_back(Action::Ready(false));
        }
        self.enter_keeping_timers(now, state, why);
    }

    fn enter_keeping_timers(&mut self, now: Instant, state: State, why: Why) {
        if self.transitions.len() == TRANSITIONS_MAX {
            self.transitions.pop_front();
        }
        self.transitions.push_back(Transition {
            at: now,
            from: self.state,
            to: state,
            why: why.clone(),
        });
        self.state = state;
        self.actions.push_back(Action::Became { state, why });
    }
}
