//! House rules a compiler does not hold: where unsafe code may stand, nothing unfinished, a purpose on top of every file.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders whose code may be unsafe. Everything else forbids it crate by crate.
const UNSAFE_FOLDERS: &[&str] = &["ffi/", "rings/"];
/// Single files, in crates that are otherwise safe, that may be unsafe; each says why on top.
const UNSAFE_FILES: &[&str] = &["dataplane/src/cpu.rs"];
/// Words that mean unfinished work, split so that this file does not contain them itself.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo", "!("),
    ("unimple", "mented!("),
    ("FIX", "ME"),
    ("dbg", "!("),
    ("#[igno", "re"),
];
/// No file may be longer. We aim at 200 to 400 lines; the limit is to come down, never up.
const LINES_MAX: usize = 900;

struct Source {
    /// Relative to the workspace, with forward slashes.
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let folders = [
        "benches",
        "configs",
        "control",
        "dataplane",
        "ffi",
        "proto",
        "rings",
        "tests",
        "wire",
        "fuzz",
    ];
    for folder in folders {
        collect(&root(), &root().join(folder), &mut sources);
    }
    assert!(sources.len() > 50, "only {} source files found", sources.len());
    sources
}

fn collect(root: &Path, dir: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let path = path
                .strip_prefix(root)
                .expect("under the root")
                .to_string_lossy()
                .into_owned();
            sources.push(Source { path, text });
        }
    }
}

/// Lines of code: without comments and without what stands in quotes.
fn code(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    text.lines().enumerate().map(|(number, line)| {
        let line = line.split("//").next().unwrap_or_default();
        (number + 1, line.split('"').step_by(2).collect())
    })
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|part| part == word)
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn unsafe_code_stands_only_where_it_may() {
    let mut problems = Vec::new();
    for source in sources() {
        let fenced = UNSAFE_FOLDERS
            .iter()
            .any(|folder| source.path.starts_with(folder));
        if fenced || UNSAFE_FILES.contains(&source.path.as_str()) {
            continue;
        }
        let found = code(&source.text).find(|(_, line)| has_word(line, "unsafe"));
        problems.extend(found.map(|(line, _)| {
            format!(
                "{}:{line}: unsafe code; it belongs behind a safe interface in ffi/ or rings/",
                source.path
            )
        }));
    }
    report(&problems);
}

#[test]
fn crates_without_unsafe_code_forbid_it() {
    let mut problems = Vec::new();
    for source in sources() {
        let is_root = source.path.ends_with("src/lib.rs")
            || source.path.ends_with("src/main.rs")
            || source.path.contains("/src/bin/");
        let fenced = UNSAFE_FOLDERS
            .iter()
            .any(|folder| source.path.starts_with(folder));
        let partly = UNSAFE_FILES
            .iter()
            .any(|file| file.split('/').next() == source.path.split('/').next());
        let lint = if partly {
            "#![deny(unsafe_code)]"
        } else {
            "#![forbid(unsafe_code)]"
        };
        if is_root
            && !fenced
            && !source.text.contains(lint)
            && !source.text.contains("#![forbid(unsafe_code)]")
        {
            problems.push(format!("{}: add {lint}", source.path));
        }
    }
    report(&problems);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut problems = Vec::new();
    for source in sources() {
        // Hidden lines of documentation examples name what is not the example's business.
        let hidden =
            |line: &str| line.trim_start().starts_with("//! #") || line.trim_start().starts_with("/// #");
        for (number, line) in source.text.lines().enumerate().filter(|(_, line)| !hidden(line)) {
            for (a, b) in UNFINISHED {
                if line.contains(&format!("{a}{b}")) {
                    problems.push(format!("{}:{}: {a}{b}", source.path, number + 1));
                }
            }
        }
    }
    report(&problems);
}

#[test]
fn every_file_says_what_it_is_for_and_stays_readable() {
    let mut problems = Vec::new();
    for source in sources() {
        // Tests may begin with their imports: their file name says what they test.
        let is_tests = source.path.contains("/tests/") || source.path.ends_with("tests.rs");
        if !is_tests && !source.text.starts_with("//!") {
            problems.push(format!(
                "{}: begin with a `//!` line on the file's purpose",
                source.path
            ));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX && !is_tests {
            problems.push(format!(
                "{}: {lines} lines; more than {LINES_MAX}; split it",
                source.path
            ));
        }
    }
    report(&problems);
}
