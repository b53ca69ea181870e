//! Every file in `tests/broken` is refused, with exactly the faults its head announces, each at its place and with its fix.
//!
//! A head line reads `# expect: LINE:COLUMN part of the message|part of the help`. `WEIR_UPDATE=1` corrects the places, not the words.

use std::fs;
use std::path::{Path, PathBuf};

struct Expectation {
    place: String,
    message: String,
    help: String,
}

fn expectations(text: &str) -> Vec<Expectation> {
    let heads = text.lines().filter_map(|line| line.strip_prefix("# expect: "));
    heads
        .map(|head| {
            let (place, words) = head.split_once(' ').expect("a place and words");
            let (message, help) = words.split_once('|').expect("message|help");
            Expectation {
                place: place.to_owned(),
                message: message.to_owned(),
                help: help.to_owned(),
            }
        })
        .collect()
}

fn broken_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("tests/broken")
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    files
}

#[test]
fn every_broken_file_is_refused_with_place_and_fix() {
    let files = broken_files();
    assert!(files.len() >= 30, "only {} broken files", files.len());
    let mut wrong = String::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("readable");
        let name = file.file_name().expect("name").to_string_lossy().into_owned();
        let expected = expectations(&text);
        assert!(!expected.is_empty(), "{name} has no `# expect:` line");
        let Err(report) = weir_configs::parse(&text, &name) else {
            wrong += &format!("{name} was accepted\n");
            continue;
        };
        let found: Vec<_> = report
            .diagnostics
            .iter()
            .map(|fault| format!("{}:{}", fault.line, fault.column))
            .collect();
        let matches = expected.len() == report.diagnostics.len()
            && expected.iter().zip(&report.diagnostics).all(|(expected, fault)| {
                fault.message.contains(&expected.message) && fault.help.contains(&expected.help)
            });
        let places = expected
            .iter()
            .zip(&found)
            .all(|(expected, found)| expected.place == *found);
        if matches && !places && std::env::var_os("WEIR_UPDATE").is_some() {
            update(file, &text, &found);
        } else if !matches || !places {
            wrong += &format!("{name}, found at {}:\n{report}\n\n", found.join(" "));
        }
        for fault in &report.diagnostics {
            assert_eq!(fault.file, name);
            assert!(!fault.help.is_empty(), "{name}: no fix in: {}", fault.message);
            assert!(
                fault
                    .rendered
                    .contains(&format!("{name}:{}:{}", fault.line, fault.column)),
                "{}",
                fault.rendered
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn update(file: &Path, text: &str, found: &[String]) {
    let mut places = found.iter();
    let line = |line: &str| match line
        .strip_prefix("# expect: ")
        .and_then(|head| head.split_once(' '))
    {
        Some((_, words)) => format!("# expect: {} {words}\n", places.next().expect("a place")),
        None => format!("{line}\n"),
    };
    fs::write(file, text.lines().map(line).collect::<String>()).expect("writable");
}
