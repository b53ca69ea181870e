//! A configuration damaged at random is loaded or refused, never a panic, and a refusal always names a place inside the file;
//! what is accepted loads as the same configuration after it was written out.
//!
//! `WEIR_SEED` repeats a run.

use std::path::Path;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const ROUNDS: u32 = if cfg!(debug_assertions) { 20_000 } else { 100_000 };

/// Pieces that are likelier to get past the first check than random bytes.
const PIECES: &[&str] = &[
    "0",
    "-1",
    "99999999999999999999",
    "\"\"",
    "true",
    "[]",
    "{}",
    "[[",
    "]]",
    "\n",
    "=",
    ".",
    "\"",
    "'''",
    "ü",
    "\u{0}",
    "\t",
    "#",
    "nan",
    "0x10",
    "1e9",
    "1979-05-27",
    "[service]",
    "[[service.backend]]",
    "address",
    "\"192.0.2.11:0\"",
    "\"::1\"",
    "::",
    "/0",
    "fullnat",
    "vxlan",
];

fn damage(random: &mut SmallRng, text: &mut String, other: &str) {
    let boundary = |text: &str, mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(text, random.random_range(0..=text.len()));
    let end = boundary(text, (start + random.random_range(0..40)).min(text.len())).max(start);
    match random.random_range(0..6) {
        0 => text.replace_range(start..end, ""),
        1 => text.insert_str(start, PIECES[random.random_range(0..PIECES.len())]),
        2 => text.replace_range(start..end, PIECES[random.random_range(0..PIECES.len())]),
        3 => text.insert(start, random.random::<char>()),
        4 => {
            let copy = text[start..end].to_owned();
            let to = boundary(text, random.random_range(0..=text.len()));
            text.insert_str(to, &copy);
        }
        _ => {
            let lines: Vec<&str> = other.lines().collect();
            text.insert_str(start, lines[random.random_range(0..lines.len())]);
        }
    }
}

fn fresh_seed() -> u64 {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    clock.map_or(1, |time| u64::from(time.subsec_nanos()) ^ time.as_secs())
}

#[test]
fn damaged_configurations_never_panic() {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(fresh_seed);
    println!("WEIR_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(folder)
        .expect("examples")
        .map(|entry| entry.expect("entry").path());
    let mut texts: Vec<_> = files
        .map(|file| (file.clone(), std::fs::read_to_string(file).expect("text")))
        .collect();
    texts.sort();
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..ROUNDS {
        let mut text = texts[random.random_range(0..texts.len())].1.clone();
        let other = texts[random.random_range(0..texts.len())].1.clone();
        for _ in 0..random.random_range(1..4) {
            damage(&mut random, &mut text, &other);
        }
        match weir_configs::parse(&text, "damaged.toml") {
            Ok(config) => {
                accepted += 1;
                let again = weir_configs::parse(&config.to_toml(), "written.toml");
                assert_eq!(again.as_ref(), Ok(&config), "WEIR_SEED={seed}: {text}");
            }
            Err(report) => {
                refused += 1;
                assert!(!report.diagnostics.is_empty(), "WEIR_SEED={seed}");
                for fault in &report.diagnostics {
                    let line = text.split('\n').nth(fault.line.wrapping_sub(1));
                    let width = line.map(|line| line.chars().count());
                    let inside = width.is_some_and(|width| (1..=width + 1).contains(&fault.column));
                    assert!(
                        inside,
                        "WEIR_SEED={seed}: {}:{} {}",
                        fault.line, fault.column, fault.message
                    );
                }
            }
        }
    }
    assert!(
        accepted > 0 && refused > 0,
        "{accepted} accepted, {refused} refused"
    );
}
