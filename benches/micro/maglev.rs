//! Building a Maglev table, beside the paper's loop in the same process. Their ratio is the figure; the milliseconds
//! are this machine's.
//!
//! `cargo bench -p weir-benches --bench maglev`

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use weir_benches::maglev::{members, paper};
use weir_dataplane::scheduler::maglev::build;
use weir_rings::message::MaglevSize;

const SIZES: [MaglevSize; 2] = [MaglevSize::Small, MaglevSize::Large];
const COUNTS: [u32; 4] = [10, 100, 1000, 10_000];

fn builds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("maglev_build");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    for size in SIZES {
        for count in COUNTS {
            let members = members(size, count);
            let id = format!("{size}/{count}");
            group.bench_function(BenchmarkId::new("weir", &id), |b| {
                b.iter(|| build(size, black_box(&members)))
            });
            group.bench_function(BenchmarkId::new("paper", &id), |b| {
                b.iter(|| paper(size, black_box(&members)))
            });
        }
    }
    group.finish();
}

fn best_of(runs: u32, mut work: impl FnMut()) -> Duration {
    let timed = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..runs).map(|_| timed(&mut work)).min().unwrap_or_default()
}

/// Both in turns, the best of each: neighbours on the machine disturb both alike.
fn ratios() {
    println!(
        "{:>8} {:>8} {:>10} {:>10} {:>6}",
        "slots", "servers", "weir ms", "paper ms", "ratio"
    );
    for size in SIZES {
        for count in COUNTS {
            let members = members(size, count);
            let (mut ours, mut papers) = (Duration::MAX, Duration::MAX);
            for _ in 0..20 {
                ours = ours.min(best_of(2, || drop(black_box(build(size, black_box(&members))))));
                papers = papers.min(best_of(1, || drop(black_box(paper(size, black_box(&members))))));
            }
            let ratio = ours.as_secs_f64() / papers.as_secs_f64();
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            println!(
                "{:>8} {count:>8} {:>10.2} {:>10.2} {ratio:>6.2}",
                size.slots(),
                ms(ours),
                ms(papers)
            );
        }
    }
}

fn main() {
    ratios();
    let mut criterion = Criterion::default().configure_from_args();
    builds(&mut criterion);
    criterion.final_summary();
}
