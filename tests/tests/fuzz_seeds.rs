//! What the fuzzer begins with, and what it has found: every file of `fuzz/seeds` goes through its target once, on any compiler.
//!
//! A find becomes a file there, named after what it shows. One seed of each dialogue must pass, so that no target starves at the
//! first line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use weir_rings::message::{RECORD_WORDS, RawRecord};

#[path = "../../fuzz/targets/run/mod.rs"]
mod run;

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
                check => drop(run::check(check, &bytes)),
            }
        }
    }
}

#[test]
fn every_dialogue_has_a_target_and_an_answer_that_passes() {
    let targets = targets();
    let mut left: Vec<_> = targets.keys().filter(|name| name.starts_with("check_")).collect();
    for check in run::CHECKS.keys() {
        let seeds = targets
            .get(*check)
            .unwrap_or_else(|| panic!("{check} has no target"));
        left.retain(|target| target != check);
        let passes =
            |seed: &PathBuf| run::check(check, &fs::read(seed).expect("a seed")).is_some_and(run::passes);
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
