use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::{BUCKET_SLOTS, Direction, Entry, Flags, Full, Reverse, Sweep, Table, Tick};
use crate::family::{Family, Key, V4, V6};
use crate::hash::Seed;

/// A server's address and port follow from its slot.
struct Servers;

impl<F: Family> Reverse<F> for Servers {
    fn reverse_key(&self, entry: &Entry<F>) -> Key<F> {
        let server = F::from_bits(0x0a00_0000 + u128::from(entry.backend));
        let key = entry.key();
        Key::of(server, 8000, key.src(), key.src_port(), key.protocol)
    }
}

fn key<F: Family>(client: u32, port: u16, service: u8) -> Key<F> {
    Key::of(
        F::from_bits(u128::from(client)),
        port,
        F::from_bits(0xc000_0264),
        80 + u16::from(service),
        6,
    )
}

fn lookup<F: Family>(table: &Table<F>, key: &Key<F>, seed: &Seed) -> Option<(u32, Direction)> {
    let hash = key.hash(seed);
    let found = table.find(key, hash, &Servers);
    assert_eq!(
        table.confirm(table.candidate(hash), key, hash, &Servers),
        found,
        "the staged lookup agrees"
    );
    found
}

/// A million random operations against a hash map of both tuples.
fn agrees_with_a_map<F: Family>(seed: u64) {
    println!("WEIR_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let hash_seed = Seed::fixed(seed);
    let mut table = Table::<F>::new(700);
    // Forward tuple to (server, has a reverse tuple).
    let mut model: HashMap<(u32, u16, u8), (u32, bool)> = HashMap::new();
    let mut names = Vec::new();
    let mut refused = 0;
    for step in 0..1_000_000u32 {
        let name = (
            rng.random_range(0..40u32),
            rng.random_range(0..40u16),
            rng.random_range(0..2u8),
        );
        let key = key::<F>(name.0, name.1, name.2);
        match rng.random_range(0..4) {
            0 | 1 if !model.contains_key(&name) => {
                // Two services of one client port would share a reverse tuple; only the first has one.
                let server = rng.random_range(0..4) + u32::from(name.2) * 4;
                let reverse = rng.random();
                let mut entry = Entry::new(&key, server, Tick(step));
                entry.flags = entry.flags.set(Flags::REVERSE, reverse);
                match table.insert(entry, &hash_seed, &Servers) {
                    Ok(_) => {
                        model.insert(name, (server, reverse));
                        names.push(name);
                    }
                    Err(Full) => refused += 1,
                }
            }
            2 if !names.is_empty() => {
                let at = rng.random_range(0..names.len());
                let name = names.swap_remove(at);
                model.remove(&name);
                let key = super::tests::key::<F>(name.0, name.1, name.2);
                let (index, _) = lookup(&table, &key, &hash_seed).expect("a flow that is there is found");
                table.remove(index, &hash_seed, &Servers);
            }
            _ => {
                let found =
                    lookup(&table, &key, &hash_seed).map(|(index, way)| (table.entry(index).backend, way));
                let expected = model.get(&name).map(|(server, _)| (*server, Direction::Forward));
                assert_eq!(found, expected, "step {step}");
                if let Some((server, reverse)) = model.get(&name) {
                    let entry = Entry::new(&key, *server, Tick(0));
                    let reply: Key<F> = Servers.reverse_key(&entry);
                    let found = lookup(&table, &reply, &hash_seed);
                    assert_eq!(
                        found.map(|(_, way)| way),
                        reverse.then_some(Direction::Reverse),
                        "step {step}"
                    );
                }
            }
        }
        assert_eq!(table.len(), model.len());
    }
    assert!(refused > 0, "the table was driven to its limit");
    assert_eq!(table.iter().count(), model.len());
}

fn seed(default: u64) -> u64 {
    std::env::var("WEIR_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn v4_agrees_with_a_map() {
    agrees_with_a_map::<V4>(seed(11));
}

#[test]
fn v6_agrees_with_a_map() {
    agrees_with_a_map::<V6>(seed(12));
}

fn fill<F: Family>(flows: usize, flags: Flags) -> (Table<F>, usize) {
    let seed = Seed::fixed(9);
    let mut table = Table::<F>::new(flows);
    let mut placed = 0;
    for flow in 0..flows as u32 {
        let mut entry = Entry::new(&key::<F>(flow, 1000, 0), flow % 16, Tick(0));
        entry.flags = entry.flags.with(flags);
        placed += usize::from(table.insert(entry, &seed, &Servers).is_ok());
    }
    (table, placed)
}

#[test]
fn every_flow_of_one_tuple_finds_a_place() {
    let (table, placed) = fill::<V4>(200_000, Flags::default());
    assert_eq!(placed, 200_000);
    assert_eq!(table.len(), table.capacity());
    let (_, placed) = fill::<V6>(50_000, Flags::default());
    assert_eq!(placed, 50_000);
}

/// Bytes of a table that is filled to 85 % with flows of two tuples each, for each flow that found its places; and what the
/// index of owners adds where several workers share devices that spread by themselves.
fn bytes_per_flow<F: Family>() -> (f64, f64) {
    const CAPACITY: usize = 200_000;
    let seed = Seed::fixed(9);
    let mut table = Table::<F>::new(CAPACITY);
    let wanted = CAPACITY as u32 * 85 / 100;
    for flow in 0..wanted {
        let mut entry = Entry::new(&key::<F>(flow, 1000, 0), flow % 16, Tick(0));
        entry.flags = entry.flags.with(Flags::REVERSE);
        let _ = table.insert(entry, &seed, &Servers);
    }
    let refused = wanted as usize - table.len();
    assert!(refused < 170, "{refused} of {wanted} refused");
    let each = |bytes: usize| bytes as f64 / table.len() as f64;
    (
        each(Table::<F>::bytes_for(table.capacity())),
        each(crate::steer::OwnerIndex::new(CAPACITY).bytes()),
    )
}

#[test]
fn memory_per_flow_is_within_its_bound() {
    let ((v4, index), (v6, _)) = (bytes_per_flow::<V4>(), bytes_per_flow::<V6>());
    println!("bytes per flow at 85 % fill: IPv4 {v4:.1}, IPv6 {v6:.1}; index of owners {index:.1}");
    assert!(v4 <= 64.0 && v6 <= 96.0, "IPv4 {v4:.1}, IPv6 {v6:.1}");
}

#[test]
fn colliding_tuples_fill_two_buckets_and_then_are_refused() {
    let seed = Seed::fixed(1);
    let mut table = Table::<V4>::new(64);
    let mut by_home: HashMap<usize, Vec<Key<V4>>> = HashMap::new();
    let home = |key: &Key<V4>| {
        crate::hash::range((key.hash(&seed) >> 32) as u32, (64 * 2 / BUCKET_SLOTS + 4) as u32) as usize
    };
    for client in 0..2_000 {
        let key = key::<V4>(client, 7, 0);
        by_home.entry(home(&key)).or_default().push(key);
    }
    let crowd = by_home.values().max_by_key(|keys| keys.len()).unwrap();
    let placed: Vec<_> = crowd
        .iter()
        .filter(|key| table.insert(Entry::new(key, 1, Tick(0)), &seed, &Servers).is_ok())
        .collect();
    assert!(placed.len() > BUCKET_SLOTS, "overflow is used");
    for key in &placed {
        assert!(lookup(&table, key, &seed).is_some());
    }
    for key in &placed {
        let (index, _) = lookup(&table, key, &seed).unwrap();
        table.remove(index, &seed, &Servers);
    }
    assert!(table.is_empty() && crowd.iter().all(|key| lookup(&table, key, &seed).is_none()));
}

#[test]
fn the_sweep_is_bounded_and_passes_every_entry() {
    let seed = Seed::fixed(3);
    let (mut table, _) = fill::<V4>(1000, Flags::default());
    let mut rng = StdRng::seed_from_u64(1);
    let live: Vec<u32> = table.iter().map(|(index, _)| index).collect();
    for index in live.choose_multiple(&mut rng, 400) {
        table.touch(*index, Tick(100));
    }
    let mut sweep = Sweep::default();
    let mut removed = 0;
    for _ in 0..100 {
        let mut budget = 10;
        while let Some(index) = sweep.next_due(&table, &mut budget, |entry| Tick(150).since(entry.seen) > 60)
        {
            table.remove(index, &seed, &Servers);
            removed += 1;
        }
    }
    assert_eq!((removed, table.len()), (600, 400));
}

#[test]
fn a_copy_of_another_workers_flow_has_its_reverse_tuple_only() {
    let seed = Seed::fixed(3);
    let mut table = Table::<V4>::new(16);
    let forward = key::<V4>(1, 2, 0);
    let flags = Flags::USED.with(Flags::REMOTE).with(Flags::REVERSE);
    let entry = Entry {
        flags,
        ..Entry::new(&forward, 5, Tick(0))
    };
    let index = table.insert(entry, &seed, &Servers).unwrap();
    let reply: Key<V4> = Servers.reverse_key(&entry);
    assert_eq!(lookup(&table, &forward, &seed), None);
    assert_eq!(lookup(&table, &reply, &seed), Some((index, Direction::Reverse)));
    table.remove(index, &seed, &Servers);
    assert_eq!(lookup(&table, &reply, &seed), None);
}

#[test]
fn ticks_and_seconds_convert() {
    assert_eq!(Tick::from_secs(0), 0);
    for secs in [1, 2, 10, 900, 31 * 24 * 3600] {
        let ticks = Tick::from_secs(secs);
        assert!(
            Tick::to_secs(ticks) >= secs && Tick::to_secs(ticks - 1) < secs,
            "{secs}"
        );
    }
    assert_eq!(Tick(5).since(Tick(9)), 0);
}
