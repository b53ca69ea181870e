//! `weir-compare`: the running dataplane against dpdk-testpmd on the same device, and its other figures, with the goals beside them.
//!
//! Read `slice.rs` for the method, `capture.rs` for the packets. `make bench` builds and runs it; as root, for huge pages.
#![forbid(unsafe_code)]

mod bench;
mod capture;
mod dataplane;
mod flood;
mod goals;
mod hugepages;
mod lives;
mod machine;
mod maglev;
mod process;
mod rates;
mod report;
mod results;
mod scale;
mod service;
mod slice;
mod statistics;
mod stop;
mod svg;
mod testpmd;
mod trouble;
mod updates;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};

use bench::{Bench, Turns};
use hugepages::HugePages;
use machine::{CpuTime, Machine};
use results::{Missing, Results};
use service::Mode;
use stop::Stop;
use trouble::{Outcome, Trouble};

/// Measures weir-dataplane against dpdk-testpmd on the same virtual device, by turns on the same CPUs, and writes tables, JSON and a chart.
#[derive(Debug, Parser)]
#[command(name = "weir-compare")]
struct Arguments {
    /// A minute or two: DR alone, no ten million flows, fewer and shorter slices.
    #[arg(long)]
    quick: bool,
    /// Parts to measure; all of them when left out.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Numbers of flows to measure rates with.
    #[arg(long, value_delimiter = ',')]
    flows: Vec<u32>,
    /// Where results go.
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
    /// Write the tables into this file too, between its marks.
    #[arg(long, value_name = "RESULTS.md")]
    record: Option<PathBuf>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Mode × flows × workers against testpmd.
    Rates,
    /// Two workers against one.
    Scaling,
    /// Whole TCP connections.
    Lives,
    /// SYN floods and new flows.
    Floods,
    /// Changes under load.
    Updates,
    /// Ten thousand services.
    Scale,
    /// Maglev builds.
    Maglev,
}

impl Part {
    const ALL: [Self; 7] = [
        Self::Rates,
        Self::Scaling,
        Self::Lives,
        Self::Floods,
        Self::Updates,
        Self::Scale,
        Self::Maglev,
    ];
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("weir-compare: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let start = Instant::now();
    let stop = Stop::on_signals()?;
    let machine = Machine::read()?;
    if machine.cpus < 2 {
        return Err(Trouble::Machine(
            "at least two CPUs are needed: one to be measured, one for the rest".into(),
        ));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Trouble::Machine(
            "huge pages are root's to give: run it as root".into(),
        ));
    }
    fs::create_dir_all(&arguments.output).map_err(Trouble::system("making the output directory"))?;
    let busy_before = busy(&stop)?;
    let stolen = CpuTime::read()?;
    let bench = bench(arguments, machine.clone(), stop)?;
    machine::stay_on(0)?;
    let mut results = Results {
        machine,
        started_unix_s: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
        took_s: 0,
        quick: arguments.quick,
        commit: commit(),
        busy_before,
        stolen: 0.0,
        rates: Vec::new(),
        figures: Vec::new(),
        missing: Vec::new(),
    };
    measure(arguments, &bench, &mut results)?;
    results.took_s = start.elapsed().as_secs();
    results.stolen = stolen.stolen_since()?;
    write(arguments, &results)
}

/// Share of the CPUs that others use now.
fn busy(stop: &Stop) -> Outcome<f64> {
    let before = CpuTime::read()?;
    stop.sleep(Duration::from_secs(1))?;
    let busy = before.busy_since()?;
    if busy > 0.1 {
        println!(
            "{:.0} % of the CPUs is busy with something else: figures will be noisy",
            busy * 100.0
        );
    }
    Ok(busy)
}

fn bench(arguments: &Arguments, machine: Machine, stop: Stop) -> Outcome<Bench> {
    let binaries = std::env::current_exe().map_err(Trouble::system("finding this program"))?;
    Ok(Bench {
        stop,
        machine,
        turns: if arguments.quick {
            Turns::QUICK
        } else {
            Turns::FULL
        },
        quick: arguments.quick,
        pages: HugePages::borrow()?,
        directory: tempfile::Builder::new()
            .prefix("weir-bench-")
            .tempdir()
            .map_err(Trouble::system("making a directory"))?,
        output: arguments.output.clone(),
        binaries: binaries.parent().unwrap_or(Path::new(".")).to_owned(),
    })
}

fn measure(arguments: &Arguments, bench: &Bench, results: &mut Results) -> Outcome<()> {
    let parts = if arguments.only.is_empty() {
        &Part::ALL[..]
    } else {
        &arguments.only
    };
    for part in parts {
        let (what, done) = match part {
            Part::Rates => ("rates", all_rates(arguments, bench, results)),
            Part::Scaling => ("two workers", all_scaling(bench, results)),
            Part::Lives => ("whole TCP connections", lives::lives(bench, results)),
            Part::Floods => ("SYN floods", flood::floods(bench, results)),
            Part::Updates => ("changes under load", updates::updates(bench, results)),
            Part::Scale => ("ten thousand services", scale::scale(bench, results)),
            Part::Maglev => ("Maglev builds", maglev::maglev(bench, results)),
        };
        note(results, what, done)?;
        // Between parts nothing of ours runs: what was taken is free again.
        bench.pages.restore();
    }
    Ok(())
}

fn all_rates(arguments: &Arguments, bench: &Bench, results: &mut Results) -> Outcome<()> {
    let (flow_counts, modes): (&[u32], &[Mode]) = match bench.quick {
        true => (&[1_000, 1_000_000], &[Mode::Dr]),
        false => (&[1_000, 1_000_000, 10_000_000], &Mode::ALL),
    };
    let flow_counts = if arguments.flows.is_empty() {
        flow_counts
    } else {
        &arguments.flows
    };
    for workers in [1, 2] {
        for flows in flow_counts {
            let done = rates::rates(bench, results, *flows, workers, modes);
            let what = format!(
                "rates with {} flows and {workers} worker(s)",
                rates::in_words(*flows)
            );
            note(results, &what, done)?;
        }
    }
    rates::growth(results);
    Ok(())
}

fn all_scaling(bench: &Bench, results: &mut Results) -> Outcome<()> {
    for flows in if bench.quick {
        &[1_000][..]
    } else {
        &[1_000, 1_000_000]
    } {
        let done = rates::scaling(bench, results, *flows);
        note(
            results,
            &format!("two workers with {} flows", rates::in_words(*flows)),
            done,
        )?;
    }
    Ok(())
}

/// A part that fails is told and left out; only a signal ends everything.
fn note(results: &mut Results, what: &str, done: Outcome<()>) -> Outcome<()> {
    match done {
        Err(Trouble::Interrupted) => Err(Trouble::Interrupted),
        Err(trouble) => {
            println!("  {what}: not measured: {trouble}");
            results.missing.push(Missing {
                what: what.to_owned(),
                why: trouble.to_string(),
            });
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn commit() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(_) | Err(_) => "no clone".to_owned(),
    }
}

fn write(arguments: &Arguments, results: &Results) -> Outcome<()> {
    let markdown = report::markdown(results);
    let json = serde_json::to_string_pretty(results).map_err(Trouble::system("writing JSON"))?;
    for (name, text) in [
        ("results.md", &markdown),
        ("results.json", &json),
        ("rates.svg", &svg::chart(results)),
    ] {
        let path = arguments.output.join(name);
        fs::write(&path, text).map_err(Trouble::system(format!("writing {}", path.display())))?;
    }
    if let Some(path) = &arguments.record {
        let document =
            fs::read_to_string(path).map_err(Trouble::system(format!("reading {}", path.display())))?;
        let recorded = report::record(&document, &markdown)
            .ok_or_else(|| Trouble::Machine(format!("{} has no marks to write between", path.display())))?;
        fs::write(path, recorded).map_err(Trouble::system(format!("writing {}", path.display())))?;
    }
    println!("\n{markdown}");
    println!(
        "written to {}: results.md, results.json, rates.svg, logs",
        arguments.output.display()
    );
    Ok(())
}
