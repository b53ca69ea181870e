//! The table of a measurement, and its place in the results.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use weir_tests::lab::run;
use weir_tests::scenario::binary;

use super::{CASES, FIGURES, Measured, PROGRAMS, late, median, shortest};

const BEGIN: &str = "<!-- take-over: begin -->";
const END: &str = "<!-- take-over: end -->";

fn ms(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1000.0)
}

/// What was measured on what: the build, the version, and how busy the machine was before.
pub(super) fn circumstances(turns: usize) -> String {
    let of_file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let version = run("git", "rev-parse --short HEAD").unwrap_or_default();
    let program = binary("weir-control").ok();
    let build = program
        .as_deref()
        .and_then(Path::parent)
        .and_then(Path::file_name);
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let load = of_file("/proc/loadavg");
    format!(
        "{turns} turns in each case, {} build at {}, Linux {}, {cpus} CPUs, load average {} before.",
        build.unwrap_or_default().to_string_lossy(),
        version.trim(),
        of_file("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default()
    )
}

/// A table of all cases, and what is later than it may be.
pub(super) fn table(all: &[Measured]) -> (String, Vec<String>) {
    let mut text = String::from("| case | protocol |");
    for (figure, _) in FIGURES {
        for program in PROGRAMS {
            // Writing to a String cannot fail.
            let _ = write!(text, " {figure}, {} |", format!("{program:?}").to_lowercase());
        }
    }
    text.push_str("\n|---|---|---|---|---|---|---|---|\n");
    let mut missed = Vec::new();
    for (case, measured) in CASES.iter().zip(all) {
        let _ = write!(text, "| {} | {} |", case.name, ms(case.theory));
        for (_, what) in FIGURES {
            for times in measured {
                let worst = times.iter().map(what).max().unwrap_or_default();
                let (least, middle) = (shortest(times, what), median(times, what));
                let _ = write!(text, " {} ({} to {}) |", ms(middle), ms(least), ms(worst));
            }
        }
        text.push('\n');
        missed.extend(
            late(measured, median)
                .into_iter()
                .map(|late| format!("{}: {late}", case.name)),
        );
    }
    (text, missed)
}

/// Puts a table between the marks of a file.
pub(super) fn write(file: &Path, table: &str) {
    let text = fs::read_to_string(file).expect("the file of results");
    let (before, rest) = text.split_once(BEGIN).expect("the first mark");
    let (_, after) = rest.split_once(END).expect("the second mark");
    let written = fs::write(file, format!("{before}{BEGIN}\n\n{table}\n{END}{after}"));
    written.expect("to write the file of results");
}
