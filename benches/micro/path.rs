//! Pieces of the packet path: parse, checksum update, the flow table at 1k, 1M and 10M flows, each mode's rewrite, a ring.
//!
//! `cargo bench -p weir-benches --bench path`

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::world::{BURST, World, frame};
use weir_dataplane::family::{Key, V4};
use weir_dataplane::flow::{Entry, Reverse, Table, Tick};
use weir_dataplane::hash::Seed;
use weir_dataplane::parse::{
    self,
    tcp_flag::{ACK, SYN},
};
use weir_rings::counters::{Counters, Shape};
use weir_rings::message::{Forward, Tunnel, TunnelChecksum};
use weir_rings::ring;
use weir_wire::checksum::{Delta, checksum};

fn quick<'a>(
    criterion: &'a mut Criterion,
    name: &str,
) -> criterion::BenchmarkGroup<'a, criterion::measurement::WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    group
}

fn parse(criterion: &mut Criterion) {
    let mut group = quick(criterion, "parse");
    let plain = frame(ACK);
    let mut options = plain.to_vec();
    options[14] = 0x46;
    options[17] += 4;
    options.splice(34..34, [1; 4]);
    let mut tagged = plain.to_vec();
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    for (name, frame) in [
        ("plain", plain.to_vec()),
        ("options", options),
        ("tagged", tagged),
    ] {
        assert!(parse::parse(&frame, frame.len()).is_ok_and(|meta| meta.class == parse::Class::Flow4));
        group.bench_function(name, |bencher| {
            bencher.iter(|| parse::parse(black_box(&frame), frame.len()));
        });
    }
}

fn checksums(criterion: &mut Criterion) {
    let mut group = quick(criterion, "checksum");
    let bytes = [0x5a; 1500];
    group.bench_function("20 bytes", |bencher| {
        bencher.iter(|| checksum(black_box(&bytes[..20])))
    });
    group.bench_function("1500 bytes", |bencher| {
        bencher.iter(|| checksum(black_box(&bytes)))
    });
    group.bench_function("update", |bencher| {
        bencher.iter(|| {
            let (old, new) = black_box((0xc000_0264_u32, 0xc633_640b_u32));
            Delta::new().u32(old, new).u16(80, 8080).apply(black_box(0x1234))
        });
    });
}

/// Flows that answer another way.
struct NoReplies;

impl Reverse<V4> for NoReplies {
    fn reverse_key(&self, entry: &Entry<V4>) -> Key<V4> {
        entry.key().reversed()
    }
}

/// A client's tuple. The numbers are spread, so that neighbours in number are not neighbours in memory.
fn key(client: u32) -> Key<V4> {
    let address = client.wrapping_mul(0x9e37_79b1);
    Key::of(address.to_be_bytes(), 1024, [192, 0, 2, 100], 80, 6)
}

/// A burst at a time, each stage for all before the next, as on the path.
fn look_up(table: &Table<V4>, seed: &Seed, first: u32) -> usize {
    let keys: [(Key<V4>, u64); BURST] = std::array::from_fn(|at| {
        let key = key(first + at as u32);
        let hash = key.hash(seed);
        table.prefetch_bucket(hash);
        (key, hash)
    });
    let candidates = keys.map(|(_, hash)| table.candidate(hash));
    let found = keys.iter().zip(candidates);
    found
        .filter(|((key, hash), candidate)| table.confirm(*candidate, key, *hash, &NoReplies).is_some())
        .count()
}

fn flows(criterion: &mut Criterion) {
    let seed = Seed::fixed(3);
    for (name, flows) in [("1k", 1_000), ("1M", 1_000_000), ("10M", 10_000_000_u32)] {
        let mut table = Table::<V4>::new(flows as usize * 20 / 17);
        for client in 0..flows {
            let entry = Entry::new(&key(client), 3, Tick(7));
            assert!(table.insert(entry, &seed, &NoReplies).is_ok());
        }
        let mut group = quick(criterion, &format!("flow/{name}"));
        group.throughput(Throughput::Elements(BURST as u64));
        let mut first = 0;
        let mut next = move |bound: u32| {
            first = (first + 7919 * BURST as u32) % (bound - BURST as u32);
            first
        };
        group.bench_function("hit", |bencher| {
            bencher.iter(|| assert_eq!(look_up(&table, &seed, next(flows)), BURST));
        });
        group.bench_function("miss", |bencher| {
            bencher.iter(|| assert_eq!(look_up(&table, &seed, 0x4000_0000 + next(1 << 28)), 0));
        });
        // Made and removed again, so that the table stays as full as it is.
        group.bench_function("insert and remove", |bencher| {
            bencher.iter(|| {
                let first = 0x4000_0000 + next(1 << 28);
                let made: [u32; BURST] = std::array::from_fn(|at| {
                    let entry = Entry::new(&key(first + at as u32), 3, Tick(7));
                    table.insert(entry, &seed, &NoReplies).unwrap_or_default()
                });
                for index in made {
                    table.remove(index, &seed, &NoReplies);
                }
            });
        });
    }
}

/// The whole stage with a burst of hits, for each mode.
fn modes(criterion: &mut Criterion) {
    let mut group = quick(criterion, "rewrite");
    group.throughput(Throughput::Elements(BURST as u64));
    let none = TunnelChecksum::None;
    let modes = [
        ("dr", Forward::Dr),
        ("nat", Forward::Nat),
        ("fullnat", Forward::FullNat),
        ("ipip", Forward::Tunnel(Tunnel::Ipip)),
        ("gre", Forward::Tunnel(Tunnel::Gre { checksum: none })),
        (
            "gue",
            Forward::Tunnel(Tunnel::Gue {
                port: 6080,
                checksum: none,
            }),
        ),
        (
            "vxlan",
            Forward::Tunnel(Tunnel::Vxlan {
                port: 4789,
                vni: 7,
                inner_mac: [2, 0, 0, 0, 0, 7],
            }),
        ),
    ];
    let ack = frame(ACK);
    for (name, forward) in modes {
        let mut world = World::new(forward, 1 << 10);
        world.send(&frame(SYN), 0..);
        world.send(&ack, 0..);
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| assert_eq!(world.send(&ack, 0..), BURST as u64));
        });
    }
    let mut world = World::new(Forward::Dr, 1 << 10);
    group.bench_function("buffers alone", |bencher| bencher.iter(|| world.copy(&ack, 0..)));
}

/// The rings between the two processes: a record in and out again, and a burst of them.
fn rings(criterion: &mut Criterion) {
    let mut group = quick(criterion, "ring");
    let (mut producer, mut consumer) = ring::heap::<16>(1024).expect("a power of two");
    let record = [7; 16];
    for records in [1, 32] {
        group.throughput(Throughput::Elements(records));
        group.bench_function(BenchmarkId::new("push and pop", records), |bencher| {
            bencher.iter(|| {
                for _ in 0..records {
                    assert!(producer.push(black_box(&record)).is_ok());
                }
                for _ in 0..records {
                    assert!(matches!(black_box(consumer.pop()), Ok(Some(_))));
                }
            });
        });
    }
}

/// What workers write for control to read: a counter's addition, and the sum over workers.
fn counters(criterion: &mut Criterion) {
    let mut group = quick(criterion, "counters");
    let shape = Shape {
        workers: 8,
        ports: 2,
        reasons: 64,
        services: 16,
        backends: 64,
    };
    let page = Counters::heap(shape).expect("a small page");
    let (line, reader) = (page.worker(0).expect("the only user"), page.reader());
    group.bench_function("count a packet", |bencher| {
        bencher.iter(|| {
            if let Some(line) = line.backend(black_box(7)) {
                line.packets_in().add(1);
                line.bytes_in().add(60);
            }
        });
    });
    group.bench_function("sum over 8 workers", |bencher| {
        bencher.iter_batched(
            || 7,
            |slot| reader.backend_total(black_box(slot)),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, parse, checksums, flows, modes, rings, counters);
criterion_main!(benches);
