//! A million random operations on each scheduler, every answer compared with the oracle's.

use core::net::Ipv6Addr;

use super::oracle::Oracle;
use super::world::World;
use super::*;

const OPERATIONS: u32 = 1_000_000;
const CLIENTS: u32 = 500;
const DESTINATIONS: u32 = 40;

struct Run {
    world: World,
    oracle: Oracle,
    state: State,
    tables: super::super::maglev::Tables,
    rng: Rng,
    /// One operation in this many changes the servers.
    change_one_in: u32,
    /// Servers come more often than they go, or the other way round.
    grows: bool,
    picked: u32,
    refused: u32,
}

impl Run {
    fn new(kind: SchedulerKind, flags: Flags, change_one_in: u32, rng: Rng) -> Self {
        let world = World::new();
        let oracle = Oracle::new(kind, flags, &world);
        let mut tables = maglev_tables();
        let state = State::new(kind, flags, Vec::new(), None, &mut tables).unwrap();
        Self {
            world,
            oracle,
            state,
            tables,
            rng,
            change_one_in,
            grows: true,
            picked: 0,
            refused: 0,
        }
    }

    fn step(&mut self) {
        if self.world.servers.is_empty() {
            return if self.rng.below(2) == 0 {
                self.pick()
            } else {
                self.change_servers()
            };
        }
        if self.rng.below(self.change_one_in) == 0 {
            return self.change_servers();
        }
        match self.rng.below(20) {
            0..10 => self.pick(),
            10..16 => self.with_some_server(World::close),
            16 => self.with_some_server(World::turn),
            17 => self.open_elsewhere(),
            18 => self.peek(),
            _ => self.pass_time(),
        }
    }

    fn pick(&mut self) {
        let input = self.input();
        let expected = self.oracle.pick(&self.world, &input);
        let got = self.state.pick(&input, |slot| self.world.load(slot));
        assert_eq!(got, expected, "{input:?} in {:#?}", self.world);
        self.picked += u32::from(got.is_some());
        self.refused += u32::from(got.is_none());
        if let Some(index) = got {
            let active = self.rng.below(3) > 0;
            self.world.open(index, active);
        }
    }

    /// A look and the pick after it agree; any number of looks changes nothing.
    fn peek(&mut self) {
        let input = self.input();
        let peek = || self.state.peek(&input, |slot| self.world.load(slot));
        let seen = peek();
        assert_eq!(peek(), seen);
        let picked = self.state.pick(&input, |slot| self.world.load(slot));
        assert_eq!(picked, seen, "{input:?}");
        assert_eq!(self.oracle.pick(&self.world, &input), picked, "{input:?}");
        if let Some(index) = picked {
            self.world.open(index, true);
        }
    }

    /// A persistent client: connected without asking the scheduler.
    fn open_elsewhere(&mut self) {
        let index = self.some_index();
        self.state.note_opened(index, |slot| self.world.load(slot));
        self.world.open(index, true);
    }

    fn with_some_server(&mut self, change: impl Fn(&mut World, usize)) {
        let index = self.some_index();
        change(&mut self.world, index);
    }

    fn pass_time(&mut self) {
        let hours = if self.rng.below(2000) == 0 {
            self.rng.below(30)
        } else {
            0
        };
        self.world.now_s += u64::from(self.rng.below(30) + hours * 3600);
    }

    fn change_servers(&mut self) {
        let before = self.world.servers.clone();
        if self.rng.below(40) == 0 {
            self.grows = !self.grows;
        }
        let comes_below = if self.grows { 4 } else { 1 };
        match self.rng.below(10) {
            come if come < comes_below => self.add_server(),
            0..5 if !before.is_empty() => {
                let index = self.some_index();
                self.world.servers.remove(index);
            }
            _ if !before.is_empty() => {
                let index = self.some_index();
                let changed = self.some_server(before[index].slot);
                self.world.update(index, changed);
            }
            _ => self.add_server(),
        }
        self.oracle.changed(&before, &self.world);
        let (kind, flags) = (self.state.kind(), self.state.flags());
        let servers = self.world.servers.clone();
        self.state = State::new(kind, flags, servers, Some(&self.state), &mut self.tables).unwrap();
    }

    fn add_server(&mut self) {
        let Some(slot) = self.world.free_slot(&mut self.rng) else {
            return;
        };
        let server = self.some_server(slot);
        let at = self.rng.below(self.world.servers.len() as u32 + 1) as usize;
        self.world.add(at, server);
    }

    fn some_server(&mut self, slot: u32) -> Server {
        let scale = [1, 1, 1, 4, 50][self.rng.below(5) as usize];
        let upper_threshold = if self.rng.below(3) == 0 {
            1 + self.rng.below(20)
        } else {
            0
        };
        let lower_threshold = if upper_threshold > 0 {
            self.rng.below(upper_threshold + 1)
        } else {
            0
        };
        let weight = self.rng.below(6) * scale;
        Server {
            weight,
            upper_threshold,
            lower_threshold,
            ..server(slot, 0)
        }
    }

    fn some_index(&mut self) -> usize {
        self.rng.below(self.world.servers.len() as u32) as usize
    }

    fn input(&mut self) -> PickInput {
        let destination = self.rng.below(DESTINATIONS);
        PickInput {
            client: address(self.rng.below(CLIENTS)),
            client_port: self.rng.next() as u16,
            destination: address(destination),
            destination_port: 80,
            now_s: self.world.now_s as u32,
            random: self.rng.next(),
        }
    }
}

/// One in four is IPv6.
fn address(number: u32) -> IpAddr {
    if number.is_multiple_of(4) {
        let spread = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 32;
        IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | spread))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 + number * 37))
    }
}

/// Prints the seed if the run does not end well.
fn run(kind: SchedulerKind, flags: Flags, change_one_in: u32) {
    struct Seed(u64);
    impl Drop for Seed {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("replay with WEIR_SEED={}", self.0);
            }
        }
    }
    let (rng, seed) = Rng::seeded();
    let _seed = Seed(seed);
    let mut run = Run::new(kind, flags, change_one_in, rng);
    // Chance alone may never leave a run without a server, where changes are rare.
    run.pick();
    assert_eq!(run.refused, 1, "there is no server yet");
    for _ in 0..OPERATIONS {
        run.step();
    }
    assert!(
        run.picked > OPERATIONS / 10,
        "only {} picks found a server",
        run.picked
    );
}

macro_rules! against_the_oracle {
    ($($name:ident: $kind:ident $flags:expr, one change in $changes:literal;)*) => {$(
        #[test]
        fn $name() {
            run(SchedulerKind::$kind, $flags, $changes);
        }
    )*};
}

const PLAIN: Flags = Flags {
    fallback: false,
    port: false,
    large_table: false,
    address_only: false,
};
const FALLBACK: Flags = Flags {
    fallback: true,
    ..PLAIN
};
const PORT_AND_FALLBACK: Flags = Flags {
    port: true,
    ..FALLBACK
};

against_the_oracle! {
    rr: Rr PLAIN, one change in 50;
    wrr: Wrr PLAIN, one change in 50;
    lc: Lc PLAIN, one change in 50;
    wlc: Wlc PLAIN, one change in 50;
    sed: Sed PLAIN, one change in 50;
    nq: Nq PLAIN, one change in 50;
    dh: Dh PLAIN, one change in 50;
    sh: Sh PLAIN, one change in 50;
    sh_port_and_fallback: Sh PORT_AND_FALLBACK, one change in 50;
    mh: Mh PLAIN, one change in 500;
    mh_port_and_fallback: Mh PORT_AND_FALLBACK, one change in 500;
    lblc: Lblc PLAIN, one change in 200;
    lblcr: Lblcr PLAIN, one change in 500;
    fo: Fo PLAIN, one change in 50;
    ovf: Ovf PLAIN, one change in 50;
    twos: Twos PLAIN, one change in 50;
    maglev: Maglev PLAIN, one change in 5000;
    maglev_by_address: Maglev Flags { address_only: true, ..PLAIN }, one change in 10000;
}
