use core::net::{IpAddr, Ipv4Addr};

use weir_wire::vrrp::Version;

use super::auth::Password;
use super::*;

mod announcing;
mod codec;
mod election;
mod group;
mod hand_over;
mod reload;
mod simulation;
mod stall;
mod table;
mod timing;
mod tracking;

/// Ours is 192.0.2.2: .1 is lower, .3 is higher.
const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const LOWER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const HIGHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));
const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);

/// Version 3, VRID 7, priority 100, 1 s, announcements on becoming active only.
fn config() -> Config {
    Config {
        version: Version::V3,
        announcing: Announcing {
            repeat: 1,
            delay: Duration::ZERO,
            lower_priority_repeat: 0,
            lower_priority_delay: Duration::ZERO,
            ..Announcing::default()
        },
        ..Config::new(7, OURS, vec![VIP])
    }
}

fn advert(src: IpAddr, priority: u8) -> Input {
    Input::Advert(Advert {
        src,
        priority,
        interval: SECOND,
        other_addresses: false,
    })
}

/// A machine and its clock.
struct Bench {
    machine: Machine,
    now: Instant,
}

impl Bench {
    fn new(config: Config) -> Self {
        config.check().unwrap();
        Self {
            machine: Machine::new(config),
            now: Instant::from_secs(1000),
        }
    }

    fn backup(config: Config) -> Self {
        let mut bench = Self::new(config);
        bench.input(Input::Startup);
        assert_eq!(bench.machine.state(), State::Backup);
        bench
    }

    fn active(config: Config) -> Self {
        let mut bench = Self::backup(config);
        bench.fire();
        assert_eq!(bench.machine.state(), State::Active);
        bench
    }

    fn drain(&mut self) -> Vec<Action> {
        core::iter::from_fn(|| self.machine.poll_action()).collect()
    }

    fn input(&mut self, input: Input) -> Vec<Action> {
        self.machine.handle(self.now, input);
        self.drain()
    }

    /// To the next deadline, which must exist, and over it.
    fn fire(&mut self) -> Vec<Action> {
        let (at, _) = self.machine.poll_timeout().unwrap();
        self.now = self.now.max(at);
        self.machine.handle_timeout(self.now);
        self.drain()
    }

    /// Lets time pass, timers firing when due.
    fn pass(&mut self, duration: Duration) -> Vec<Action> {
        let end = self.now + duration;
        let mut actions = Vec::new();
        while let Some((at, _)) = self.machine.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            actions.extend(self.drain());
        }
        self.now = end;
        actions
    }

    fn next(&self) -> Option<(Duration, Timer)> {
        self.machine
            .poll_timeout()
            .map(|(at, timer)| (at - self.now, timer))
    }
}

/// Actions without the reasons of transitions.
fn short(actions: &[Action]) -> Vec<&'static str> {
    actions
        .iter()
        .map(|action| match action {
            Action::SendAdvert { priority: 0 } => "stop",
            Action::SendAdvert { .. } => "advert",
            Action::Claim => "claim",
            Action::Release => "release",
            Action::Announce { .. } => "announce",
            Action::Became { state, .. } => state.name(),
            Action::Rival(Some(_)) => "rival",
            Action::Rival(None) => "no rival",
            Action::Ready(true) => "ready",
            Action::Ready(false) => "not ready",
            Action::HeardLowerPriority => "lower",
        })
        .collect()
}

/// `WEIR_SEED`, or the seed the test runs with by itself.
fn seed(default: u64) -> u64 {
    let given = std::env::var("WEIR_SEED");
    given.ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
