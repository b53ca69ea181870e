//! Figures of the speed plan that need no device, measured in this process: cost over the number of flows (G5), inserts and
//! whole connections a second (G7), a flood of SYNs against hits (G8). Slices of what is compared take turns, and the best of
//! each counts: neighbours on the machine disturb all alike.
//!
//! `cargo bench -p weir-benches --bench goals`; takes about 2 GiB for a minute.

use std::time::Instant;

use weir_benches::world::{BURST, World, frame};
use weir_dataplane::family::{Key, V4};
use weir_dataplane::flow::{Entry, Reverse, Table, Tick};
use weir_dataplane::hash::Seed;
use weir_dataplane::parse::tcp_flag::{ACK, FIN, SYN};
use weir_rings::message::{Forward, Tunnel};

/// Turns each measured thing gets.
const TURNS: usize = 25;
/// Bursts of a turn.
const BURSTS: usize = 8_000;
const SIZES: [(&str, usize); 3] = [("1k", 1 << 10), ("1M", 1 << 20), ("10M", 10 << 20)];

/// Numbers below a bound in an order no prefetcher guesses.
struct Random(u64);

impl Random {
    fn clients(&mut self, flows: usize) -> impl Iterator<Item = u32> + '_ {
        std::iter::repeat_with(move || {
            self.0 = self
                .0
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            (((self.0 >> 32) * flows as u64) >> 32) as u32
        })
    }
}

/// Something to be timed: gives the number of things it did.
type Work<'a> = Box<dyn FnMut() -> usize + 'a>;

/// Nanoseconds for each thing, the best of the turns, and the middle one.
fn time(works: &mut [Work<'_>]) -> Vec<(f64, f64)> {
    let mut times = vec![Vec::new(); works.len()];
    for _ in 0..TURNS {
        for (work, times) in works.iter_mut().zip(&mut times) {
            let start = Instant::now();
            let things = work();
            times.push(start.elapsed().as_nanos() as f64 / things as f64);
        }
    }
    let sorted = times.into_iter().map(|mut times| {
        times.sort_by(f64::total_cmp);
        (times[0], times[TURNS / 2])
    });
    sorted.collect()
}

/// A worker that knows `flows` flows, its table 85 % full.
fn filled(forward: Forward, flows: usize) -> World {
    let mut world = World::new(forward, flows * 20 / 17);
    for flags in [SYN, ACK] {
        let frame = frame(flags);
        for first in (0..flows as u32).step_by(BURST) {
            assert_eq!(
                world.send(&frame, first..),
                BURST as u64,
                "from {first} of {flows}"
            );
        }
    }
    world
}

fn hits(world: &mut World, random: &mut Random, flows: usize, copy: bool) -> usize {
    let ack = frame(ACK);
    for _ in 0..BURSTS {
        let clients = random.clients(flows);
        let sent = if copy {
            world.copy(&ack, clients)
        } else {
            world.send(&ack, clients)
        };
        assert!(copy || sent == BURST as u64, "every packet is a hit");
    }
    BURSTS * BURST
}

/// G5: the stage over 1k, 1M and 10M flows, what surrounds it taken off.
fn growth() {
    println!(
        "\nG5, ns a packet of the load-balancing stage over the number of flows (best of {TURNS} turns, median in brackets)"
    );
    for (name, forward) in [
        ("DR", Forward::Dr),
        ("IPIP", Forward::Tunnel(Tunnel::Ipip)),
        ("NAT", Forward::Nat),
    ] {
        let mut worlds: Vec<World> = SIZES.iter().map(|(_, flows)| filled(forward, *flows)).collect();
        let mut randoms: Vec<Random> = (1..).map(Random).take(SIZES.len()).collect();
        let (mut bare, mut other) = (World::new(forward, 16), Random(9));
        let mut works: Vec<Work<'_>> = vec![Box::new(|| hits(&mut bare, &mut other, 1 << 10, true))];
        for ((world, random), (_, flows)) in worlds.iter_mut().zip(&mut randoms).zip(SIZES) {
            works.push(Box::new(move || hits(world, random, flows, false)));
        }
        let times = time(&mut works);
        let around = times[0].0;
        print!("{name:>6}");
        for ((size, _), (best, median)) in SIZES.iter().zip(&times[1..]) {
            print!("   {size:>3} {:6.1} ({:6.1})", best - around, median - around);
        }
        println!(
            "   10M / 1k {:.2}  (buffers {around:.1})",
            (times[3].0 - around) / (times[1].0 - around)
        );
    }
}

/// Flows that answer another way.
struct NoReplies;

impl Reverse<V4> for NoReplies {
    fn reverse_key(&self, entry: &Entry<V4>) -> Key<V4> {
        entry.key().reversed()
    }
}

/// G7, the table alone: bucket asked for a burst ahead, as on the path, up to 85 % full.
fn inserts() {
    const FLOWS: usize = 1 << 22;
    let seed = Seed::fixed(5);
    let mut best = f64::INFINITY;
    for turn in 0..4_u32 {
        let mut table = Table::<V4>::new(FLOWS);
        for first in (0..FLOWS as u32 / 20 * 17).step_by(1 << 16) {
            let start = Instant::now();
            for burst in (first..first + (1 << 16)).step_by(BURST) {
                let keys: [(Key<V4>, u64); BURST] = std::array::from_fn(|at| {
                    let client = (burst + at as u32).wrapping_mul(0x9e37_79b1).wrapping_add(turn);
                    let key = Key::of(client.to_be_bytes(), 1024, [192, 0, 2, 100], 80, 6);
                    let hash = key.hash(&seed);
                    table.prefetch_bucket(hash);
                    (key, hash)
                });
                for (key, hash) in keys {
                    let entry = Entry::new(&key, 3, Tick(7));
                    assert!(table.insert_hashed(entry, hash, &seed, &NoReplies).is_ok());
                }
            }
            best = best.min(start.elapsed().as_nanos() as f64 / f64::from(1 << 16));
        }
    }
    println!(
        "\nG7, inserts into the table: {best:.1} ns, {:.2} M/s",
        1e3 / best
    );
}

/// G7, whole connections through NAT, six packets each, both ways, the making of the packets included.
fn lives() {
    const LIVES: usize = 1 << 20;
    const TURN: usize = 1 << 15;
    let mut world = World::new(Forward::Nat, 2 * LIVES);
    let [syn, ack, fin] = [SYN, ACK, FIN | ACK].map(frame);
    let mut best = f64::INFINITY;
    for turn in (0..LIVES as u32).step_by(TURN) {
        let start = Instant::now();
        for first in (turn..turn + TURN as u32).step_by(BURST) {
            let mut sent = world.send(&syn, first..) + world.reply(SYN | ACK) + world.send(&ack, first..);
            sent += world.send(&fin, first..) + world.reply(FIN | ACK) + world.send(&ack, first..);
            assert_eq!(sent, 6 * BURST as u64, "{:?}", world.verdicts());
        }
        best = best.min(start.elapsed().as_nanos() as f64 / TURN as f64);
    }
    println!(
        "G7, whole TCP connections through NAT: {best:.0} ns, {:.2} M/s",
        1e3 / best
    );
}

/// G8: hits, SYNs that make flows, SYNs that find the table full; and whether live flows are still there.
fn flood() {
    const LIVE: usize = 1 << 10;
    const ROOM: usize = 1 << 22;
    let mut hit_world = filled(Forward::Dr, LIVE);
    let mut world = World::new(Forward::Dr, ROOM);
    let (syn, ack) = (frame(SYN), frame(ACK));
    for frame in [&syn, &ack] {
        for first in (0..LIVE as u32).step_by(BURST) {
            world.send(frame, first..);
        }
    }
    let mut full = World::new(Forward::Dr, LIVE);
    for first in (0..LIVE as u32).step_by(BURST) {
        full.send(&syn, first..);
    }
    let mut random = Random(3);
    let (mut next, mut next_full) = (1 << 24, 1 << 24);
    let flood = |world: &mut World, next: &mut u32, bursts: usize| {
        for _ in 0..bursts {
            world.send(&syn, *next..);
            *next += BURST as u32;
        }
        bursts * BURST
    };
    let times = time(&mut [
        Box::new(|| hits(&mut hit_world, &mut random, LIVE, false)),
        Box::new(|| flood(&mut world, &mut next, BURSTS / 2)),
        Box::new(|| flood(&mut full, &mut next_full, BURSTS / 2)),
    ]);
    let alive = (0..LIVE as u32)
        .step_by(BURST)
        .map(|first| world.send(&ack, first..))
        .sum::<u64>();
    println!(
        "G8, ns a packet: hits {:.1}, SYNs that make flows {:.1} ({:.2} of the hits' rate), SYNs with the table full {:.1} ({:.2})",
        times[0].0,
        times[1].0,
        times[0].0 / times[1].0,
        times[2].0,
        times[0].0 / times[2].0
    );
    println!("    of {LIVE} live flows {} were lost", LIVE as u64 - alive);
    assert_eq!(alive, LIVE as u64);
}

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    inserts();
    lives();
    flood();
    growth();
}
