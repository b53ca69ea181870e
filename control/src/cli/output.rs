//! Writing to standard output: JSON or a view, with or without colour, and again and again for `--watch`.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use super::failure::Failure;

/// Whether words are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No escape sequences.
    Plain,
    /// States in colour.
    Colored,
}

impl Style {
    /// Colour on a terminal, unless `NO_COLOR` (no-color.org) or a dumb terminal says otherwise.
    pub(super) fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stdout().is_terminal() && !refused && !dumb {
            Self::Colored
        } else {
            Self::Plain
        }
    }
}

/// Prints `text`, ending the line.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.trim_end_matches('\n').as_bytes())
        .and_then(|()| stdout.write_all(b"\n"));
    match written.and_then(|()| stdout.flush()) {
        // A reader such as `head` that has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::Local {
            what: "cannot write the output".to_owned(),
            error,
        }),
        Ok(()) => Ok(()),
    }
}

/// Prints JSON; when it is repeated, one line each time.
pub(super) fn print_json(value: &Value, one_line: bool) -> Result<(), Failure> {
    let text = if one_line {
        value.to_string()
    } else {
        format!("{value:#}")
    };
    print(&text)
}

/// Clears the terminal before a repetition; without one, an empty line parts the repetitions.
pub(super) fn start_over() -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        print("\x1b[H\x1b[2J\x1b[3J\x1b[H")
    } else {
        print("")
    }
}
