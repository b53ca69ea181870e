//! Two to five routers on a simulated network with loss, delay, duplication, partitions, pauses and crashes.
//!
//! A schedule is a few rounds of trouble, each followed by calm. The claim: from three intervals and a skew after the
//! last fault is gone, and for as long as it stays calm, exactly one router holds the addresses. Two may do so for the
//! time one advertisement takes from one to the other, and no longer; and the advertisement of a router that takes
//! over always goes out before its announcement.
//!
//! A failing schedule prints its seed; `WEIR_SEED=<seed>` runs that one alone.

use super::*;
use crate::sim::{Net, Rng, Weather};

const SCHEDULES: u64 = 12_000;
const INTERVAL: Duration = Duration::from_millis(100);
const CALM: Weather = Weather {
    loss_permille: 0,
    duplicate_permille: 20,
    delay_min: Duration::from_micros(50),
    delay_max: Duration::from_millis(2),
};

struct Router {
    machine: Machine,
    /// Advertisements that wait while it pauses, as in a socket's buffer.
    inbox: Vec<Advert>,
    /// What it missed is lost, as when a whole virtual machine is stopped.
    deaf: bool,
    paused: bool,
    holds: bool,
    /// An announcement came without an advertisement before it.
    out_of_order: bool,
    advertised: bool,
}

struct World {
    now: Instant,
    net: Net<Advert>,
    rng: Rng,
    routers: Vec<Router>,
    /// Since when nobody, and since when several, hold the addresses.
    nobody_since: Option<Instant>,
    several_since: Option<Instant>,
    /// From here on the claim is checked.
    check_from: Instant,
    complaint: Option<String>,
}

fn router_config(index: usize, rng: &mut Rng, nopreempt: bool) -> Config {
    let priority = [1, 50, 100, 100, 150, 200, 254, 255][rng.below(8) as usize];
    let host = 10 + index as u8;
    Config {
        interval: INTERVAL,
        source: [192, 0, 2, host].into(),
        priority,
        preempt: if nopreempt && priority != 255 {
            Preempt::No
        } else {
            Preempt::Yes
        },
        ..config()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let count = 2 + rng.below(4) as usize;
        let nopreempt = rng.below(3) == 0;
        let mut owners = 0;
        let routers = (0..count)
            .map(|index| {
                let mut config = router_config(index, &mut rng, nopreempt);
                owners += usize::from(config.is_owner());
                if owners > 1 {
                    config.priority = 254;
                }
                Router {
                    machine: Machine::new(config),
                    inbox: Vec::new(),
                    deaf: false,
                    paused: false,
                    holds: false,
                    out_of_order: false,
                    advertised: false,
                }
            })
            .collect();
        let now = Instant::from_secs(100);
        let mut world = Self {
            now,
            net: Net::new(count, CALM, rng.next()),
            rng,
            routers,
            nobody_since: Some(now),
            several_since: None,
            check_from: Instant::MAX,
            complaint: None,
        };
        for index in 0..count {
            world.input(index, Input::Startup);
        }
        world
    }

    fn input(&mut self, index: usize, input: Input) {
        self.routers[index].machine.handle(self.now, input);
        self.act(index);
    }

    fn act(&mut self, index: usize) {
        while let Some(action) = self.routers[index].machine.poll_action() {
            let router = &mut self.routers[index];
            match action {
                Action::SendAdvert { priority } => {
                    router.advertised = true;
                    let config = router.machine.config();
                    let advert = Advert {
                        src: config.source,
                        priority,
                        interval: config.interval,
                        other_addresses: false,
                    };
                    self.net.multicast(self.now, index, &advert);
                }
                Action::Claim => router.holds = true,
                Action::Release => router.holds = false,
                Action::Announce { .. } => router.out_of_order |= !router.advertised,
                Action::Became { .. } => router.advertised = false,
                Action::Rival(_) | Action::Ready(_) | Action::HeardLowerPriority => {}
            }
        }
        self.count_holders();
    }

    fn count_holders(&mut self) {
        let holders = self
            .routers
            .iter()
            .filter(|router| router.holds && !router.paused)
            .count();
        let now = self.now;
        let since = |is: bool, since: Option<Instant>| is.then(|| since.unwrap_or(now));
        self.nobody_since = since(holders == 0, self.nobody_since);
        self.several_since = since(holders > 1, self.several_since);
    }

    fn check(&mut self) {
        let checked = |since: Option<Instant>| {
            since.map_or(Duration::ZERO, |since| self.now - since.max(self.check_from))
        };
        if self.routers.iter().any(|router| router.out_of_order) {
            self.complaint = Some("announced before it advertised".to_owned());
        } else if checked(self.nobody_since) > Duration::ZERO {
            self.complaint = Some("nobody holds the addresses".to_owned());
        } else if checked(self.several_since) > CALM.delay_max {
            self.complaint = Some("several hold the addresses".to_owned());
        }
    }

    /// The next thing that happens up to `end`; `None` when nothing does.
    fn step(&mut self, end: Instant) -> Option<()> {
        let timers = self
            .routers
            .iter()
            .filter(|router| !router.paused)
            .filter_map(|router| router.machine.poll_timeout().map(|(at, _)| at))
            .min();
        let next = [timers, self.net.next_arrival()].into_iter().flatten().min()?;
        if next > end {
            return None;
        }
        self.now = self.now.max(next);
        self.check();
        while let Some(arrival) = self.net.arrivals(self.now) {
            self.receive(arrival.to, arrival.message);
        }
        for index in 0..self.routers.len() {
            if !self.routers[index].paused {
                self.routers[index].machine.handle_timeout(self.now);
                self.act(index);
            }
        }
        Some(())
    }

    fn receive(&mut self, index: usize, advert: Advert) {
        let router = &mut self.routers[index];
        match (router.paused, router.deaf) {
            (false, _) => self.input(index, Input::Advert(advert)),
            (true, true) => {}
            (true, false) if router.inbox.len() < 64 => router.inbox.push(advert),
            (true, false) => {}
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.complaint.is_none() && self.step(end).is_some() {}
        self.now = end;
        self.check();
    }

    fn pause(&mut self, index: usize) {
        self.routers[index].deaf = self.rng.below(2) == 0;
        self.routers[index].paused = true;
        self.count_holders();
    }

    /// Goes on: what waited in the socket comes before the timers.
    fn resume(&mut self, index: usize) {
        self.routers[index].paused = false;
        for advert in core::mem::take(&mut self.routers[index].inbox) {
            self.input(index, Input::Advert(advert));
        }
        self.routers[index].machine.handle_timeout(self.now);
        self.act(index);
    }

    /// Killed without a word, and started again.
    fn crash(&mut self, index: usize) {
        let config = self.routers[index].machine.config().clone();
        self.routers[index].machine = Machine::new(config);
        self.routers[index].holds = false;
        self.routers[index].advertised = false;
        self.count_holders();
        self.input(index, Input::Startup);
    }

    fn trouble(&mut self) {
        let count = self.routers.len() as u64;
        let index = self.rng.below(count) as usize;
        match self.rng.below(7) {
            0 => {
                let loss_permille = 200 + self.rng.below(700) as u16;
                self.net.set_weather(Weather {
                    loss_permille,
                    ..CALM
                });
            }
            1 => self.net.set_weather(Weather {
                delay_max: 3 * INTERVAL,
                duplicate_permille: 300,
                ..CALM
            }),
            2 => {
                for from in 0..self.routers.len() {
                    for to in 0..self.routers.len() {
                        let cut = self.rng.below(2) == 0;
                        self.net.set_cut(from, to, cut);
                    }
                }
            }
            3 | 4 => self.pause(index),
            5 => self.crash(index),
            _ => {
                let input = if self.rng.below(2) == 0 {
                    Input::HandOver
                } else {
                    Input::Resume
                };
                if !self.routers[index].paused {
                    self.input(index, input);
                }
            }
        }
    }

    fn clear(&mut self) {
        self.net.set_weather(CALM);
        self.net.heal();
        for index in 0..self.routers.len() {
            if self.routers[index].paused {
                self.resume(index);
            }
        }
        // What is still under way from the trouble, then three intervals and the longest skew.
        let late = 3 * INTERVAL;
        let down = self
            .routers
            .iter()
            .map(|router| router.machine.active_down_interval())
            .max();
        self.check_from = self.now + late + down.unwrap_or_default() + 2 * CALM.delay_max;
    }
}

/// Runs one schedule; the complaint, if there is one.
fn schedule(seed: u64) -> Option<String> {
    let mut world = World::new(seed);
    for _ in 0..3 {
        world.check_from = Instant::MAX;
        for _ in 0..=world.rng.below(3) {
            world.trouble();
            let time = world.rng.between(Duration::ZERO, 8 * INTERVAL);
            world.run(time);
        }
        world.clear();
        world.run(16 * INTERVAL);
    }
    world.complaint.map(|complaint| {
        let states: Vec<_> = world
            .routers
            .iter()
            .map(|router| {
                (
                    router.machine.config().priority,
                    router.machine.state(),
                    router.holds,
                )
            })
            .collect();
        format!("{complaint} at {:?}: {states:?}", world.now)
    })
}

#[test]
fn after_every_fault_exactly_one_router_holds_the_addresses() {
    let first = seed(0);
    let count = if first == 0 { SCHEDULES } else { 1 };
    for seed in first..first + count {
        if let Some(complaint) = schedule(seed) {
            panic!("WEIR_SEED={seed}: {complaint}");
        }
    }
}

#[test]
fn the_harness_can_fail() {
    // The same world with a router that takes over deaf to everybody is caught.
    let mut world = World::new(1);
    world.run(20 * INTERVAL);
    for from in 0..world.routers.len() {
        for to in 0..world.routers.len() {
            world.net.set_cut(from, to, true);
        }
    }
    world.check_from = world.now;
    world.run(20 * INTERVAL);
    assert_eq!(world.complaint.as_deref(), Some("several hold the addresses"));
}
