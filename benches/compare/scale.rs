//! Ten thousand services with sixteen servers each (G16): loaded from a file by the real control into the real dataplane.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::bench::Bench;
use super::goals::{G16_LOAD, G16_MEMORY};
use super::process::Process;
use super::report::line;
use super::results::{Figure, Results};
use super::statistics::{Samples, Verdict};
use super::trouble::{Outcome, Trouble};

const SERVICES: u32 = 10_000;
const SERVERS: u32 = 16;

/// Services and servers have addresses of 198.18.0.0/15.
fn configuration(directory: &Path, services: u32) -> String {
    let directory = directory.display();
    let mut text = format!(
        "[dataplane]
workers = [1]
services_max = {services}
backends_max = {}
huge_pages = \"off\"
socket = \"{directory}/dataplane.sock\"

[control]
socket = \"{directory}/control.sock\"

[[port]]
name = \"lan\"
device = \"ring\"
addresses = [\"198.18.0.1/15\"]
",
        services * SERVERS,
    );
    for service in 0..services {
        // 250 addresses of 40 services; servers are shared by services, as they are in life.
        let (address, port) = (service / 40, 8000 + service % 40);
        let _ = write!(
            text,
            "\n[[service]]\nname = \"s{service}\"\naddress = \"198.19.255.{address}:{port}\"\nprotocol = \"tcp\"\n\
             scheduler = \"wrr\"\nforward = \"dr\"\n"
        );
        for server in 0..SERVERS {
            let number = (service * 7 + server) % 1000;
            let _ = write!(
                text,
                "[[service.backend]]\naddress = \"198.18.{}.{}:{port}\"\n",
                1 + number / 250,
                1 + number % 250
            );
        }
    }
    text
}

/// Measures it a few times, each with new processes.
pub(crate) fn scale(bench: &Bench, results: &mut Results) -> Outcome<()> {
    println!("\n{SERVICES} services of {SERVERS} servers, from a file through weir-control");
    let mut loads = Samples::default();
    let mut residents = Samples::default();
    let mut note = String::new();
    for _ in 0..if bench.quick { 2 } else { 4 } {
        let once = load(bench)?;
        loads.push(once.seconds, once.is_disturbed);
        residents.push(once.dataplane_mb.max(once.control_mb), false);
        note = format!(
            "weir-dataplane {:.0} MiB (its flow tables for a million flows included), weir-control {:.0} MiB",
            once.dataplane_mb, once.control_mb
        );
    }
    let figures = [
        Figure {
            goal: "G16",
            what: format!(
                "{SERVICES} services × {SERVERS} servers: from the start of weir-control until published"
            ),
            value: loads.min(),
            unit: "s",
            bound: Some(G16_LOAD),
            verdict: loads.verdict(),
            note: format!("slowest of {}: {:.2} s", loads.len(), loads.max()),
        },
        Figure {
            goal: "G16",
            what: "resident memory of the larger process then".into(),
            value: residents.max(),
            unit: "MiB",
            bound: Some(G16_MEMORY),
            verdict: Verdict::Quiet,
            note,
        },
    ];
    for figure in figures {
        println!("{}", line(&figure));
        results.figures.push(figure);
    }
    Ok(())
}

struct Loaded {
    seconds: f64,
    dataplane_mb: f64,
    control_mb: f64,
    /// Other processes had the CPUs in between.
    is_disturbed: bool,
}

/// Threads of these two wait for each other as well: a tenth of the time is not much.
const WAITED: f64 = 0.1;

fn load(bench: &Bench) -> Outcome<Loaded> {
    let directory =
        tempfile::tempdir_in(bench.directory.path()).map_err(Trouble::system("making a directory"))?;
    let file = directory.path().join("weir.toml");
    fs::write(&file, configuration(directory.path(), SERVICES))
        .map_err(Trouble::system("writing weir.toml"))?;
    let start = |name: &'static str, log: &str| {
        let mut command = Command::new(bench.binary(name));
        command.arg("--config").arg(&file);
        Process::start(name, &mut command, &bench.log(log), Stdio::null())
    };
    let mut dataplane = start("weir-dataplane", "scale-dataplane.log")?;
    let socket = directory.path().join("dataplane.sock");
    dataplane.wait_for(&bench.stop, "its socket", |_| Ok(socket.exists().then_some(())))?;
    bench.stop.sleep(Duration::from_millis(300))?;

    let (begin, waited) = (Instant::now(), dataplane.waited_in_all_ns());
    let mut control = start("weir-control", "scale-control.log")?;
    let wanted = format!("services={SERVICES}");
    let is_published = |line: &str| line.contains("published") && line.contains(&wanted);
    control.wait_for(&bench.stop, "all services are published", |control| {
        Ok(control.log_text().lines().any(is_published).then_some(()))
    })?;
    let elapsed = begin.elapsed();
    let waited = dataplane.waited_in_all_ns() - waited + control.waited_in_all_ns();
    Ok(Loaded {
        seconds: elapsed.as_secs_f64(),
        is_disturbed: waited as f64 > WAITED * elapsed.as_nanos() as f64,
        dataplane_mb: dataplane.status_mb("VmRSS"),
        control_mb: control.status_mb("VmRSS"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_a_configuration_of_that_size() {
        let text = configuration(Path::new("/run/x"), 100);
        let config = weir_configs::parse(&text, "weir.toml").expect("valid");
        assert_eq!(config.services.len(), 100);
        let servers: usize = config.services.iter().map(|service| service.backends.len()).sum();
        assert_eq!(servers, 100 * SERVERS as usize);
    }
}
