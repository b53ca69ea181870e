//! Rates against testpmd: mode × flows × workers; and how two workers compare with one (G1, G2, G5, G6).

use std::cell::RefCell;

use super::bench::{Bench, Device, remove};
use super::dataplane::{Dataplane, tables_mb};
use super::goals::{G5, G6};
use super::results::{Figure, Rate, Results, Side};
use super::service::{Mode, commands, commands_by_two_ports};
use super::slice::{Competitor, take_turns};
use super::statistics::{Samples, Verdict};
use super::testpmd::{self, Testpmd};
use super::trouble::Outcome;

/// Processes whose two workers are compared.
const STARTS: u32 = 10;

/// Measures every mode with so many flows and workers.
pub(crate) fn rates(
    bench: &Bench,
    results: &mut Results,
    flows: u32,
    workers: u16,
    modes: &[Mode],
) -> Outcome<()> {
    println!("\n{} flows, {workers} worker(s)", in_words(flows));
    let device = bench.device_of_hits(flows, workers)?;
    bench.provide(&[&device, &device], tables_mb(flows))?;
    let testpmd = RefCell::new(Testpmd::start(bench, &device)?);
    testpmd.borrow().process().pause()?;
    for (index, mode) in modes.iter().enumerate() {
        let weir = Dataplane::with_flows(bench, &device, flows, commands(*mode))?;
        weir.process().pause()?;
        let mut competitors = vec![
            Competitor::Testpmd(&testpmd, testpmd::Mode::Mac),
            Competitor::Weir(vec![&weir]),
        ];
        // Beside the first mode only: it is there to be looked at, nothing is divided by it.
        if index == 0 {
            competitors.push(Competitor::Testpmd(&testpmd, testpmd::Mode::MacSwap));
        }
        let mut samples = take_turns(&bench.stop, bench.turns, &competitors)?.into_iter();
        let mut side = || Side::new(samples.next().unwrap_or_default(), workers, bench.machine.tsc_ghz);
        let rate = Rate {
            mode: *mode,
            flows,
            workers,
            testpmd: side(),
            weir: side(),
        };
        println!(
            "  {:<5} {:6.2} Mpps, testpmd mac {:6.2}: ratio {:.2}; {:.0} cycles a packet, {:.0} of them weir's; {}",
            mode.text(),
            rate.weir.mpps(),
            rate.testpmd.mpps(),
            rate.ratio(),
            rate.weir.cycles,
            rate.added_cycles(),
            rate.verdict().text(),
        );
        results.rates.push(rate);
        if index == 0 {
            results.figures.push(macswap(&side(), flows, workers));
        }
    }
    remove(&device);
    Ok(())
}

fn macswap(side: &Side, flows: u32, workers: u16) -> Figure {
    Figure {
        goal: "–",
        what: format!("testpmd macswap, {} flows, {workers} worker(s)", in_words(flows)),
        value: side.cycles,
        unit: "cycles/packet",
        bound: None,
        verdict: Verdict::of(side.spread),
        note: String::new(),
    }
}

/// 1k, 1M, 10M.
pub(crate) fn in_words(flows: u32) -> String {
    match flows {
        1_000_000.. => format!("{}M", flows / 1_000_000),
        1_000.. => format!("{}k", flows / 1_000),
        _ => flows.to_string(),
    }
}

/// G5, from rates that were measured: how the cost above testpmd grows with the number of flows.
pub(crate) fn growth(results: &mut Results) {
    const FEW: u32 = 1_000;
    const MANY: u32 = 10_000_000;
    let of_mode = |mode: Mode| {
        let (few, many) = (results.rate(mode, FEW, 1)?, results.rate(mode, MANY, 1)?);
        Some(Figure {
            goal: "G5",
            what: format!("{}, cost above testpmd, 10M flows ÷ 1k flows", mode.text()),
            value: many.added_cycles() / few.added_cycles(),
            unit: "",
            bound: Some(G5),
            verdict: few.verdict().max(many.verdict()),
            note: format!("{:.0} ÷ {:.0} cycles", many.added_cycles(), few.added_cycles()),
        })
    };
    let figures: Vec<Figure> = Mode::ALL.into_iter().filter_map(of_mode).collect();
    results.figures.extend(figures);
}

/// G6: one process with two workers against two processes with one worker each, on the same two CPUs; the latter share
/// nothing but the machine, so that what the machine does to two busy CPUs cancels out. Each worker has a port of its own: the
/// queues of one net_pcap share cache lines, which is the driver's cost and not a worker's.
///
/// Where a process's pages come to lie makes a few percent, as much as is looked for, and who starts first gets the same ones
/// again and again. All are started anew several times, by turns in the one order and the other, and each is judged by its best start.
pub(crate) fn scaling(bench: &Bench, results: &mut Results, flows: u32) -> Outcome<()> {
    println!(
        "\ntwo workers against two processes, DR, {} flows",
        in_words(flows)
    );
    let both = bench.ports_of_hits(flows, 2)?;
    let one = bench.device_of_hits(flows / 2, 1)?;
    let apart: Vec<Device> = bench.cpus(2).iter().map(|cpu| one.on(vec![*cpu])).collect();
    bench.provide(&[&both, &apart[0], &apart[1]], 2 * tables_mb(flows))?;
    let mut best = vec![Samples::default(); 3];
    for turn in 0..if bench.quick { 1 } else { STARTS } {
        let samples = together_and_apart(bench, flows, &both, &apart, turn % 2 == 0)?;
        println!(
            "  start {}: {:.3}",
            turn + 1,
            2.0 * samples[1].min() / samples[0].min()
        );
        for (best, samples) in best.iter_mut().zip(samples) {
            if samples.min() < best.min() {
                *best = samples;
            }
        }
    }
    let [pair_ns, apart_ns, one_ns] = [0, 1, 2].map(|at| best[at].min());
    let figure = Figure {
        goal: "G6",
        what: format!("DR, {} flows: two workers ÷ one", in_words(flows)),
        value: 2.0 * apart_ns / pair_ns,
        unit: "",
        bound: Some(G6),
        verdict: best[0].verdict().max(best[1].verdict()),
        note: format!(
            "twice the rate of one process with two workers ÷ that of two processes with one; against one worker alone {:.2}",
            one_ns / pair_ns
        ),
    };
    println!(
        "  {:.3} ({}); {}",
        figure.value,
        figure.note,
        figure.verdict.text()
    );
    results.figures.push(figure);
    remove(&both);
    remove(&one);
    Ok(())
}

/// One start: a process with two workers, two processes with one, and one of these alone.
fn together_and_apart(
    bench: &Bench,
    flows: u32,
    both: &Device,
    apart: &[Device],
    pair_first: bool,
) -> Outcome<Vec<Samples>> {
    let start = |device: &Device, flows, commands| -> Outcome<Dataplane> {
        let dataplane = Dataplane::with_flows(bench, device, flows, commands)?;
        dataplane.process().pause()?;
        Ok(dataplane)
    };
    let start_pair = || start(both, flows, commands_by_two_ports());
    let early = if pair_first { Some(start_pair()?) } else { None };
    let first = start(&apart[0], flows / 2, commands(Mode::Dr))?;
    let second = start(&apart[1], flows / 2, commands(Mode::Dr))?;
    let pair = early.map_or_else(start_pair, Ok)?;
    let competitors = [
        Competitor::Weir(vec![&pair]),
        Competitor::Weir(vec![&first, &second]),
        Competitor::Weir(vec![&second]),
    ];
    take_turns(&bench.stop, bench.turns, &competitors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_counts_are_written_short() {
        assert_eq!(
            [500, 1_000, 1_000_000, 10_000_000].map(in_words),
            ["500", "1k", "1M", "10M"]
        );
    }
}
