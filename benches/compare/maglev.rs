//! Building a Maglev table against the paper's loop (G12), by turns in this process.

use std::hint::black_box;
use std::time::Instant;

use weir_benches::maglev::{members, paper};
use weir_dataplane::scheduler::maglev::build;
use weir_rings::message::MaglevSize;

use super::bench::Bench;
use super::goals::g12;
use super::report::line;
use super::results::{Figure, Results};
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
                ours.push(milliseconds(|| drop(black_box(build(size, black_box(&members))))));
                papers.push(milliseconds(|| drop(black_box(paper(size, black_box(&members))))));
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

fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}
