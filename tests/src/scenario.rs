//! How a privileged scenario runs, and how it is seen that one did not.
//!
//! A scenario needs root and a few programs. Without them it prints `NOT RUN: <reason>` and passes, unless
//! `WEIR_REQUIRE_PRIVILEGED=1` is set (CI sets it): then it fails. Each outcome is also one line in the file that
//! `WEIR_SCENARIO_LOG` names, so that the runner can say how many ran and fail when none did.

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::lab::{Lab, LabError};

/// The programs every laboratory uses.
const PROGRAMS: &[&str] = &["ip", "ss", "ping", "ethtool", "nginx", "curl", "iperf3"];

/// Runs `body` in a new laboratory; its error fails the test, after the logs of every process have been printed.
///
/// # Panics
/// When the scenario fails, or when it cannot run and `WEIR_REQUIRE_PRIVILEGED=1`.
pub fn scenario(name: &str, body: impl FnOnce(&mut Lab) -> Result<(), LabError>) {
    if let Some(reason) = why_not() {
        record(&format!("NOT RUN {name}: {reason}"));
        assert!(
            env::var("WEIR_REQUIRE_PRIVILEGED").as_deref() != Ok("1"),
            "{name} cannot run: {reason}"
        );
        eprintln!("NOT RUN: {reason}");
        return;
    }
    let mut lab = Lab::new().unwrap_or_else(|error| panic!("{name}: no laboratory: {error}"));
    record(&format!("RAN {name}"));
    if let Err(error) = body(&mut lab) {
        // The lab prints every log while the panic unwinds.
        panic!("{name}: {error}");
    }
}

/// Why a privileged scenario cannot run here, if it cannot.
#[must_use]
pub fn why_not() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root, to make network namespaces".to_owned());
    }
    if let Some(program) = PROGRAMS.iter().find(|program| !on_path(program)) {
        return Some(format!(
            "needs the program {program}; scripts/install-deps installs it"
        ));
    }
    None
}

/// Where a program of this workspace is: in `WEIR_BIN_DIR`, or where the running program was built.
pub fn binary(name: &str) -> Result<PathBuf, LabError> {
    let own = env::current_exe().unwrap_or_default();
    let given = env::var_os("WEIR_BIN_DIR").map(PathBuf::from);
    // Test programs lie in target/<profile>/deps, the others one level up.
    let mut dirs = given
        .iter()
        .map(PathBuf::as_path)
        .chain(own.ancestors().skip(1).take(2));
    dirs.find_map(|dir| Some(dir.join(name)).filter(|path| path.is_file()))
        .ok_or_else(|| {
            LabError::unexpected(format!(
                "the program {name} is not built; `cargo build --bins` builds it"
            ))
        })
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(more)
        .any(|dir| dir.join(program).is_file())
}

fn record(line: &str) {
    let Some(path) = env::var_os("WEIR_SCENARIO_LOG") else {
        return;
    };
    if let Err(error) = append(Path::new(&path), line) {
        eprintln!("cannot note in {}: {error}", Path::new(&path).display());
    }
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    // One write of one line: several test processes append to the same file.
    File::options()
        .create(true)
        .append(true)
        .open(path)?
        .write_all(format!("{line}\n").as_bytes())
}
