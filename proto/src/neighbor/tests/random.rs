//! Random operations, and what must hold after each of them.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weir_wire::arp::{Operation, Repr};

use super::*;

const STEPS: usize = 60_000;
const ADDRESSES: u16 = 12;

/// What a driver knows from actions alone.
#[derive(Default)]
struct Driver {
    egress: BTreeMap<Key, MacAddr>,
    solicited_at: BTreeMap<Key, Instant>,
}

struct World {
    bench: Bench,
    driver: Driver,
    pinned: BTreeSet<Key>,
    config: Config,
}

fn any_key(rng: &mut StdRng) -> Key {
    let last = rng.random_range(1..=ADDRESSES);
    let key = if rng.random() { key4(last) } else { key6(last) };
    Key {
        port: rng.random_range(1..=2),
        ..key
    }
}

fn any_mac(rng: &mut StdRng) -> MacAddr {
    match rng.random_range(0..20) {
        0 => MacAddr::BROADCAST,
        1 => MacAddr::ZERO,
        2 => OURS,
        3..10 => A,
        _ => MacAddr([2, 0, 0, 0, 0, rng.random_range(0..4)]),
    }
}

fn any_packet(rng: &mut StdRng) -> Input {
    let (sender, target, mac) = (any_key(rng), any_key(rng), any_mac(rng));
    let lladdr = rng.random_bool(0.8).then_some(mac);
    match (sender.ip, target.ip) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let packet = Repr {
                operation: if rng.random() {
                    Operation::Request
                } else {
                    Operation::Reply
                },
                sender_hardware_addr: mac,
                sender_protocol_addr: from,
                target_hardware_addr: OURS,
                target_protocol_addr: if rng.random_bool(0.3) { from } else { to },
            };
            Input::Arp {
                port: sender.port,
                packet,
            }
        }
        (IpAddr::V6(src_addr), IpAddr::V6(target_addr)) if rng.random_bool(0.3) => {
            let message = ndp::Repr::NeighborSolicit { target_addr, lladdr };
            Input::Nd {
                port: sender.port,
                src_addr,
                message,
            }
        }
        (IpAddr::V6(src_addr), _) => {
            let message = ndp::Repr::NeighborAdvert {
                router: rng.random(),
                solicited: rng.random(),
                override_: rng.random(),
                target_addr: src_addr,
                lladdr,
            };
            Input::Nd {
                port: sender.port,
                src_addr,
                message,
            }
        }
        (IpAddr::V4(_), IpAddr::V6(src_addr)) => Input::Nd {
            port: sender.port,
            src_addr,
            message: ndp::Repr::RouterSolicit { lladdr },
        },
    }
}

fn any_input(rng: &mut StdRng) -> Input {
    let key = any_key(rng);
    match rng.random_range(0..100) {
        0..25 => Input::Wanted(key),
        25..30 => Input::Pin(key),
        30..35 => Input::Unpin(key),
        35..36 => Input::Static { key, mac: A },
        36..39 => Input::Forget(key),
        39..40 => Input::Own { key, mac: OURS },
        40..43 => Input::Disown(key),
        43..50 => Input::Confirmed(key),
        50..51 => Input::LinkDown { port: key.port },
        51..52 => Input::LinkUp { port: key.port },
        _ => any_packet(rng),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let config = Config {
            entries_max: 16,
            incomplete_max: 6,
            own_max: 3,
            ..Config::default()
        };
        let mut bench = Bench::new(config);
        bench.cache = Cache::new(config, seed);
        Self {
            bench,
            driver: Driver::default(),
            pinned: BTreeSet::new(),
            config,
        }
    }

    fn act(&mut self, actions: Vec<Action>, note: &str) {
        for action in actions {
            match action {
                Action::Update { key, mac } => drop(self.driver.egress.insert(key, mac)),
                Action::Fail(key) => drop(self.driver.egress.remove(&key)),
                Action::Conflict { .. } => {}
                Action::Solicit { key, unicast_to } => {
                    let last = self.driver.solicited_at.insert(key, self.bench.now);
                    let rested =
                        last.is_none_or(|at| self.bench.now - at >= self.config.solicit_interval_min);
                    assert!(rested, "{note}: {key:?} solicited too soon");
                    assert!(unicast_to.is_none_or(MacAddr::is_unicast), "{note}: {action:?}");
                }
            }
        }
    }

    fn feed(&mut self, input: Input, note: &str) {
        let actions = self.bench.feed(input);
        match input {
            Input::Pin(key) if self.bench.neighbor(key).is_some() => drop(self.pinned.insert(key)),
            Input::Unpin(key) => drop(self.pinned.remove(&key)),
            _ => {}
        }
        self.act(actions, note);
        self.check(note);
    }

    fn pass(&mut self, time: Duration, note: &str) {
        self.bench.now += time;
        self.bench.cache.handle_timeout(self.bench.now);
        if let Some((deadline, _)) = self.bench.cache.poll_timeout() {
            assert!(deadline > self.bench.now, "{note}: due again at once");
        }
        let actions = self.bench.drain();
        self.act(actions, note);
        self.check(note);
        self.bench.cache.handle_timeout(self.bench.now);
        assert_eq!(self.bench.drain(), [], "{note}: a repeated call acts");
    }

    fn check(&mut self, note: &str) {
        let neighbors: Vec<_> = self.bench.cache.neighbors().collect();
        assert!(
            neighbors.len() <= self.config.entries_max,
            "{note}: {} entries",
            neighbors.len()
        );
        let known: BTreeMap<_, _> = neighbors.iter().filter_map(|n| Some((n.key, n.mac?))).collect();
        assert_eq!(
            known, self.driver.egress,
            "{note}: the driver knows something else"
        );
        for neighbor in &neighbors {
            let unknown = matches!(neighbor.state, State::Incomplete | State::Failed);
            assert_eq!(neighbor.mac.is_none(), unknown, "{note}: {neighbor:?}");
            assert_eq!(
                neighbor.pinned,
                self.pinned.contains(&neighbor.key),
                "{note}: {neighbor:?}"
            );
        }
        let pinned = neighbors.iter().filter(|neighbor| neighbor.pinned).count();
        assert_eq!(pinned, self.pinned.len(), "{note}: a pinned neighbour vanished");
        // An entry that left may be asked for at once when it comes back.
        self.driver
            .solicited_at
            .retain(|key, _| neighbors.iter().any(|neighbor| neighbor.key == *key));
    }
}

#[test]
fn invariants_hold_whatever_happens() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(seed);
    for step in 0..STEPS {
        let note = format!("WEIR_SEED={seed}, step {step}");
        if rng.random_bool(0.4) {
            let millis = [0, 1, 100, 250, 1000, 5000, 70_000][rng.random_range(0..7)];
            world.pass(Duration::from_millis(rng.random_range(0..=millis)), &note);
        } else {
            world.feed(any_input(&mut rng), &note);
        }
    }
    let stats = world.bench.cache.stats();
    for (name, count) in [
        ("solicits_multicast", stats.solicits_multicast),
        ("solicits_unicast", stats.solicits_unicast),
        ("updates", stats.updates),
        ("failures", stats.failures),
        ("conflicts", stats.conflicts),
        ("evictions", stats.evictions),
        ("refused", stats.refused),
        ("invalid", stats.invalid),
    ] {
        assert!(count > 0, "WEIR_SEED={seed}: the walk never met {name}");
    }
}

#[test]
fn left_alone_everything_unpinned_leaves() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(seed);
    for step in 0..2000 {
        world.feed(any_input(&mut rng), &format!("WEIR_SEED={seed}, step {step}"));
    }
    for key in std::mem::take(&mut world.pinned) {
        world.bench.feed(Input::Unpin(key));
    }
    world.bench.run(Duration::from_secs(300));
    let left: Vec<_> = world
        .bench
        .cache
        .neighbors()
        .filter(|neighbor| !neighbor.fixed)
        .collect();
    assert_eq!(left, [], "WEIR_SEED={seed}");
    assert_eq!(world.bench.cache.poll_timeout(), None, "WEIR_SEED={seed}");
}
