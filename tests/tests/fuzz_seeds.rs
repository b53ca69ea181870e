//! What the fuzzer begins with, and what it has found: every file of `fuzz/seeds` goes through its target once, on any compiler.
//!
//! A find becomes a file there, named after what it shows. One seed of each dialogue must pass, so that no target starves at the
//! first line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use weir_rings::message::{RECORD_WORDS, RawRecord};

/// A second's worth.
const TLS_ROUNDS: usize = 2_000;

#[path = "../../fuzz/targets/run/mod.rs"]
mod run;
#[path = "../../fuzz/targets/run/tls.rs"]
mod tls;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The targets by name, and the seeds of each.
fn targets() -> BTreeMap<String, Vec<PathBuf>> {
    let sources = entries(&fuzz().join("targets"))
        .into_iter()
        .filter(|path| path.is_file());
    sources
        .map(|source| {
            let target = name(&source);
            let seeds = entries(&fuzz().join("seeds").join(&target));
            (target, seeds)
        })
        .collect()
}

/// As the target's `Arbitrary` makes them: bytes as they come, zeros where there are none left.
fn record(bytes: &[u8]) -> RawRecord {
    let mut words = [0; RECORD_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
    words
}

fn run_check(target: &str, bytes: &[u8]) -> Option<weir_proto::health::Outcome> {
    match target {
        "check_tls" => tls::check(bytes),
        other => run::check(other, bytes),
    }
}

#[test]
fn every_seed_goes_through_its_target() {
    for (target, seeds) in targets() {
        assert!(!seeds.is_empty(), "{target} has no seed");
        for seed in seeds {
            let bytes = fs::read(&seed).expect("a seed");
            eprintln!("{}", seed.display());
            match target.as_str() {
                "config" => run::config(&String::from_utf8_lossy(&bytes)),
                "ring_record" => run::ring_record(&record(&bytes)),
                check => drop(run_check(check, &bytes)),
            }
        }
    }
}

#[test]
fn every_dialogue_has_a_target_and_an_answer_that_passes() {
    let targets = targets();
    let mut left: Vec<_> = targets.keys().filter(|name| name.starts_with("check_")).collect();
    for check in run::CHECKS.keys().copied().chain(["check_tls"]) {
        let seeds = targets
            .get(check)
            .unwrap_or_else(|| panic!("{check} has no target"));
        left.retain(|target| target.as_str() != check);
        let passes =
            |seed: &PathBuf| run_check(check, &fs::read(seed).expect("a seed")).is_some_and(run::passes);
        assert!(seeds.iter().any(passes), "no seed of {check} passes");
    }
    assert!(left.is_empty(), "no dialogue: {left:?}");
}

#[test]
fn the_manifest_builds_every_target() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("fuzz/Cargo.toml");
    for target in targets().keys() {
        let line = format!("path = \"targets/{target}.rs\"");
        assert!(manifest.contains(&line), "{line} is missing");
    }
}

/// Whole handshakes that are damaged somewhere on the way, of both versions; whatever the place, the run ends by itself.
#[test]
fn damaged_tls_ends_a_run_and_never_the_checker() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or(20_261_120);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut passed = 0;
    for round in 0..TLS_ROUNDS {
        let mut input = vec![rng.random_range(0..0x80)];
        for _ in 0..rng.random_range(0..3) {
            // A server sends less than this.
            let at: u16 = rng.random_range(0..1_400);
            input.extend(at.to_be_bytes());
            input.push(rng.random());
        }
        let changed = input.len() > 1;
        let outcome = std::panic::catch_unwind(|| tls::check(&input));
        let outcome = outcome.unwrap_or_else(|_| panic!("WEIR_SEED={seed}, round {round}: {input:?}"));
        let well = outcome.is_some_and(run::passes);
        assert!(
            well || changed,
            "WEIR_SEED={seed}, round {round}: nothing was changed"
        );
        passed += usize::from(well);
    }
    // Those left as they were, and those changed behind what was sent.
    assert!(
        (TLS_ROUNDS / 4..TLS_ROUNDS / 4 * 3).contains(&passed),
        "{passed} passed"
    );
}
