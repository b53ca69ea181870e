//! The machine a run is made on: what goes beside the figures, and what others took of it meanwhile.

use std::fs;
use std::path::Path;

use rustix::thread::{CpuSet, sched_setaffinity};
use serde::Serialize;

use super::trouble::{Outcome, Trouble};

/// Facts of the machine.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// As the CPU calls itself.
    pub(crate) cpu: String,
    /// Logical CPUs.
    pub(crate) cpus: u16,
    /// Rate of the time stamp counter, in GHz; cycles are its ticks.
    pub(crate) tsc_ghz: f64,
    /// Whether it is a virtual machine.
    pub(crate) is_virtual: bool,
    /// Memory, in MiB.
    pub(crate) memory_mb: u64,
    /// Kernel release.
    pub(crate) kernel: String,
}

impl Machine {
    /// Reads `/proc`.
    pub(crate) fn read() -> Outcome<Self> {
        let cpuinfo = read("/proc/cpuinfo")?;
        let tsc_ghz = tsc_ghz(&cpuinfo)
            .ok_or_else(|| Trouble::Machine("/proc/cpuinfo tells no constant time stamp counter".into()))?;
        Ok(Self {
            cpu: field(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cpus: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count() as u16,
            tsc_ghz,
            is_virtual: cpuinfo.contains(" hypervisor"),
            memory_mb: memory_mb("MemTotal")?,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}

/// The kernel derives BogoMIPS of a constant TSC from its rate: two per MHz.
fn tsc_ghz(cpuinfo: &str) -> Option<f64> {
    if !cpuinfo.contains("constant_tsc") {
        return None;
    }
    let bogomips: f64 = field(cpuinfo, "bogomips")?.parse().ok()?;
    Some(bogomips / 2000.0)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(path).map_err(Trouble::system(format!("reading {path}")))
}

/// A field of `/proc/meminfo`, in MiB.
pub(crate) fn memory_mb(name: &str) -> Outcome<u64> {
    let text = read("/proc/meminfo")?;
    let kb = field(&text, name).and_then(|value| value.strip_suffix(" kB")?.parse::<u64>().ok());
    kb.map(|kb| kb / 1024)
        .ok_or_else(|| Trouble::Machine(format!("/proc/meminfo has no {name}")))
}

/// Keeps this process on one CPU.
pub(crate) fn stay_on(cpu: u16) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(usize::from(cpu));
    sched_setaffinity(None, &set).map_err(Trouble::system("pinning to a CPU"))
}

/// How long a thread was ready to run and did not, in ns: the second number of its `schedstat`. 0 where the kernel does not tell.
pub(crate) fn waited_ns(schedstat: &Path) -> u64 {
    let text = fs::read_to_string(schedstat).unwrap_or_default();
    let waited = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    waited.unwrap_or(0)
}

/// The same of the calling thread.
pub(crate) fn own_wait_ns() -> u64 {
    waited_ns(Path::new("/proc/thread-self/schedstat"))
}

/// CPU time of all CPUs since boot, in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    total: u64,
    stolen: u64,
    busy: u64,
}

impl CpuTime {
    /// Now.
    pub(crate) fn read() -> Outcome<Self> {
        Ok(parse_stat(&read("/proc/stat")?))
    }

    /// Share that the host of a virtual machine gave to others since `self`.
    pub(crate) fn stolen_since(self) -> Outcome<f64> {
        let now = Self::read()?;
        Ok(share(now.stolen - self.stolen, now.total - self.total))
    }

    /// Share that was not idle since `self`.
    pub(crate) fn busy_since(self) -> Outcome<f64> {
        let now = Self::read()?;
        Ok(share(now.busy - self.busy, now.total - self.total))
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The first line: user nice system idle iowait irq softirq steal …; guest time is part of user time.
fn parse_stat(text: &str) -> CpuTime {
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|word| word.parse().ok())
        .collect();
    let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
    let total = ticks.iter().sum();
    CpuTime {
        total,
        stolen: at(7),
        busy: total - at(3) - at(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_the_counter_is_told_by_the_kernel() {
        let text = "processor\t: 0\nflags\t\t: fpu constant_tsc\nbogomips\t: 4599.99\n";
        assert_eq!(tsc_ghz(text).map(|ghz| (ghz * 1000.0).round()), Some(2300.0));
        assert_eq!(tsc_ghz("bogomips\t: 4599.99\n"), None);
    }

    #[test]
    fn cpu_time_counts_steal_and_leaves_guests_out() {
        let time = parse_stat("cpu  100 0 50 800 10 0 0 40 99 0\ncpu0 1 2 3\n");
        assert_eq!((time.total, time.stolen, time.busy), (1000, 40, 190));
    }
}
