//! SYN floods (G8), and new flows a second (G7).
//!
//! Two floods of one SYN of each of very many clients: one into a table that is full, with a few established connections
//! among them that must not suffer; one into a table with room, where every SYN makes a flow. The latter lasts for the capture's
//! first round only, in the process's first second, and is repeated with new processes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use weir_rings::query::{FlowFilter, Request, Response};
use weir_wire::tcp::Flags;

use super::bench::{Bench, Device, remove};
use super::capture::{FRAME_BYTES, SERVICE_PORT, VIP, client, flows_of_queue, frame, shuffled};
use super::dataplane::{Dataplane, Frames, table_for, tables_mb};
use super::goals::{G7_INSERTS, G8_LOST, G8_RATE};
use super::report::line;
use super::results::{Figure, Results};
use super::service::{Mode, commands};
use super::slice::{Competitor, take_turns, waited_long};
use super::statistics::{Samples, Verdict};
use super::trouble::{Outcome, Trouble};

/// Established connections during the flood, of one client.
const LIVE: u16 = 1000;
const LIVE_CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// One packet in so many is theirs.
const LIVE_EVERY: usize = 100;
/// Room for flows that the flood fills at once.
const FLOWS_MAX: u64 = 131_072;
/// Length of a slice of new flows: a process has time for a dozen of them.
const SLICE: Duration = Duration::from_millis(20);
/// From this share of the table's flows on they count, and up to that one.
const FILL: (f64, f64) = (0.1, 0.95);

fn live(port: u8, number: u16, flags: Flags) -> [u8; FRAME_BYTES] {
    frame(port, (LIVE_CLIENT, 1024 + number), (VIP, SERVICE_PORT), flags)
}

/// SYNs of so many clients in random order, with packets of live connections among them when wanted.
fn flood(clients: u32, with_live: bool) -> impl Iterator<Item = [u8; FRAME_BYTES]> {
    let order = shuffled(flows_of_queue(clients, 0, 1));
    let mut next = (0..LIVE).cycle();
    order.into_iter().enumerate().map(move |(at, flow)| {
        if with_live && at % LIVE_EVERY == 0 {
            live(0, next.next().unwrap_or(0), Flags::ACK)
        } else {
            frame(0, client(flow), (VIP, SERVICE_PORT), Flags::SYN)
        }
    })
}

/// Measures both floods.
pub(crate) fn floods(bench: &Bench, results: &mut Results) -> Outcome<()> {
    let clients: u32 = if bench.quick { 250_000 } else { 1_000_000 };
    println!("\nSYN floods of {clients} clients, DR, one worker");
    full_table(bench, results, clients)?;
    inserts(bench, results, clients)
}

/// The flood against packets of known flows, by turns.
fn full_table(bench: &Bench, results: &mut Results, clients: u32) -> Outcome<()> {
    let cpus = bench.cpus(1);
    let known = bench.device_of_hits(clients, 1)?;
    let device = bench.device("flood", cpus, vec![flood(clients, true)])?;
    bench.provide(&[&known, &device], 2 * tables_mb(clients))?;
    let hits = Dataplane::with_flows(bench, &known, clients, commands(Mode::Dr))?;
    hits.process().pause()?;

    let mut weir = Dataplane::start(bench, &device, FLOWS_MAX, commands(Mode::Dr))?;
    let syns: Frames = Box::new((0..LIVE).map(|number| live(1, number, Flags::SYN)));
    weir.feed(bench, vec![syns])?;
    let before = live_flows(&mut weir)?;
    let resident_mb = weir.process().status_mb("VmRSS");
    weir.process().pause()?;
    let competitors = [Competitor::Weir(vec![&hits]), Competitor::Weir(vec![&weir])];
    let samples = take_turns(&bench.stop, bench.turns, &competitors)?;
    weir.process().resume()?;
    let after = live_flows(&mut weir)?;
    let lost = before
        .iter()
        .filter(|(port, server)| after.get(port) != Some(server))
        .count();
    let missing_before = usize::from(LIVE) - before.len();
    let counts = weir.counts();
    let grown_mb = weir.process().status_mb("VmRSS") - resident_mb;
    let figures = [
        Figure {
            goal: "G8",
            what: format!(
                "SYN flood into a full table ÷ known flows ({} of them)",
                super::rates::in_words(clients)
            ),
            value: samples[0].min() / samples[1].min(),
            unit: "",
            bound: Some(G8_RATE),
            verdict: samples[0].verdict().max(samples[1].verdict()),
            note: format!(
                "{:.2} ÷ {:.2} Mpps; {} flows in the table, {:.0} M forwarded without one; memory grew by {grown_mb:.1} MiB",
                1e3 / samples[1].min(),
                1e3 / samples[0].min(),
                counts.flows,
                counts.flows_refused as f64 / 1e6,
            ),
        },
        Figure {
            goal: "G8",
            what: format!("of {LIVE} established connections, lost or moved by the flood"),
            value: (lost + missing_before) as f64,
            unit: "",
            bound: Some(G8_LOST),
            verdict: Verdict::Quiet,
            note: String::new(),
        },
    ];
    for figure in figures {
        println!("{}", line(&figure));
        results.figures.push(figure);
    }
    remove(&known);
    remove(&device);
    Ok(())
}

/// The server of each live connection.
fn live_flows(weir: &mut Dataplane) -> Outcome<BTreeMap<u16, IpAddr>> {
    let filter = FlowFilter {
        client: Some(LIVE_CLIENT.into()),
        ..FlowFilter::default()
    };
    let answer = weir.ask(Request::Flows {
        filter,
        limit: u32::from(LIVE) * 2,
    })?;
    let Response::Flows { rows, .. } = answer else {
        return Err(Trouble::Wrong(format!("asked for flows, told {answer:?}")));
    };
    Ok(rows
        .into_iter()
        .map(|row| (row.client.port(), row.backend.ip()))
        .collect())
}

/// A new flow for every packet.
fn inserts(bench: &Bench, results: &mut Results, clients: u32) -> Outcome<()> {
    let device: Device = bench.device("inserts", bench.cpus(1), vec![flood(clients, false)])?;
    bench.provide(&[&device], tables_mb(clients))?;
    let mut samples = Samples::default();
    for _ in 0..if bench.quick { 2 } else { 5 } {
        first_round(bench, &device, clients, &mut samples)?;
    }
    if samples.len() == 0 {
        return Err(Trouble::Wrong(
            "the first round of the capture was over before it was looked at".into(),
        ));
    }
    let ns = samples.min();
    let figure = Figure {
        goal: "G7",
        what: format!(
            "new flows by SYN, DR, {} in the table, one worker",
            super::rates::in_words(clients)
        ),
        value: 1e3 / ns,
        unit: "M/s",
        bound: Some(G7_INSERTS),
        verdict: samples.verdict(),
        note: format!(
            "{:.0} cycles each in the running process, device included; the goal is for the table alone",
            ns * bench.machine.tsc_ghz
        ),
    };
    println!("{}", line(&figure));
    results.figures.push(figure);
    remove(&device);
    Ok(())
}

/// Starts a process and takes slices of nanoseconds for a new flow while its table fills.
fn first_round(bench: &Bench, device: &Device, clients: u32, samples: &mut Samples) -> Outcome<()> {
    let mut weir = Dataplane::start(bench, device, table_for(clients), commands(Mode::Dr))?;
    weir.begin(vec![Box::new(core::iter::empty())]);
    let begin = Instant::now();
    loop {
        bench.stop.check()?;
        let (first, waited, start) = (weir.counts(), weir.process().waited_ns(), Instant::now());
        std::thread::sleep(SLICE);
        let (last, waited, elapsed) = (
            weir.counts(),
            weir.process().waited_ns() - waited,
            start.elapsed(),
        );
        let fill = |made: u64| made as f64 / f64::from(clients);
        if fill(last.flows_created) > FILL.1 {
            return Ok(());
        }
        if begin.elapsed() > super::process::PATIENCE {
            return Err(Trouble::Wrong(format!(
                "only {} of {clients} flows are made",
                last.flows_created
            )));
        }
        if fill(first.flows_created) < FILL.0 {
            continue;
        }
        let (made, received) = (
            last.flows_created - first.flows_created,
            last.rx_packets - first.rx_packets,
        );
        // The process did not get the CPU at all.
        if received == 0 {
            continue;
        }
        if made == 0 || received.abs_diff(made) > received / 50 + 128 {
            return Err(Trouble::Wrong(format!("{received} SYNs made {made} flows")));
        }
        let ns = elapsed.as_nanos() as f64 / made as f64;
        samples.push(ns, waited_long(waited, elapsed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flood_has_live_packets_among_its_syns() {
        let frames: Vec<_> = flood(1000, true).collect();
        let of_live = |frame: &&[u8; FRAME_BYTES]| frame[26..30] == LIVE_CLIENT.octets();
        assert_eq!(frames.iter().filter(of_live).count(), 10);
        let is_syn = |frame: &&[u8; FRAME_BYTES]| frame[47] == Flags::SYN.0;
        assert_eq!(frames.iter().filter(is_syn).count(), 990);
        assert_eq!(
            flood(1000, false)
                .filter(|frame| frame[47] == Flags::SYN.0)
                .count(),
            1000
        );
    }
}
