//! Building a Maglev table against the paper's loop (G12), by turns in this process.

use std::hint::black_box;
use std::time::Instant;

use weir_benches::maglev::{members, paper};
use weir_dataplane::scheduler::maglev::build;
use weir_rings::message::MaglevSize;

use super::bench::Bench;
use super::goals::g12;
use super::machine::own_wait_ns;
use super::report::line;
use super::results::{Figure, Results};
use super::slice::waited_long;
use super::statistics::Samples;
use super::trouble::Outcome;

const COUNTS: [u32; 4] = [10, 100, 1000, 10_000];

/// Measures every size and number of servers.
pub(crate) fn maglev(bench: &Bench, results: &mut Results) -> Outcome<()> {
    println!("\nMaglev tables against the paper's loop");
    let rounds = if bench.quick { 6 } else { 20 };
    for size in [MaglevSize::Small, MaglevSize::Large] {
        for count in COUNTS {
            bench.stop.check()?;
            let members = members(size, count);
            let (mut ours, mut papers) = (Samples::default(), Samples::default());
            for _ in 0..rounds {
                timed(&mut ours, || drop(black_box(build(size, black_box(&members)))));
                timed(&mut papers, || drop(black_box(paper(size, black_box(&members)))));
            }
            let figure = Figure {
                goal: "G12",
                what: format!(
                    "Maglev build ÷ paper's loop, {} slots, {count} servers",
                    size.slots()
                ),
                value: ours.min() / papers.min(),
                unit: "",
                bound: Some(g12(count)),
                verdict: ours.verdict().max(papers.verdict()),
                note: format!("{:.2} ÷ {:.2} ms", ours.min(), papers.min()),
            };
            println!("{}", line(&figure));
            results.figures.push(figure);
        }
    }
    Ok(())
}

/// One more sample, in milliseconds.
fn timed(samples: &mut Samples, work: impl FnOnce()) {
    let (waited, start) = (own_wait_ns(), Instant::now());
    work();
    let elapsed = start.elapsed();
    samples.push(
        elapsed.as_secs_f64() * 1e3,
        waited_long(own_wait_ns() - waited, elapsed),
    );
}
