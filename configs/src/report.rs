//! What is wrong with a configuration, told so that it can be put right: file, line, column, the line itself with the place
//! underlined, what was expected, and the fix.
//!
//! Lines and columns count from 1; a column counts characters, not bytes.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::{Deserialize, Serialize};

/// One fault of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The file as it was named to the loader.
    pub file: String,
    /// Line, from 1. 0 when the fault is the file itself (it cannot be read).
    pub line: usize,
    /// Column in characters, from 1. 0 when the fault is the file itself.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// All of the above for a person, with the line of the file and a caret.
    pub rendered: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

/// Every fault found in one file, in the order of the file. Never empty when it is an error value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The faults, by line and column.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.diagnostics {
            writeln!(f, "{diagnostic}\n")?;
        }
        let count = self.diagnostics.len();
        write!(
            f,
            "{count} {}; nothing was applied",
            if count == 1 { "error" } else { "errors" }
        )
    }
}

impl std::error::Error for Report {}

impl Report {
    /// A report about the file as a whole, such as one that cannot be opened.
    pub fn about_file(file: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        let (message, help) = (message.into(), help.into());
        let rendered = format!("error: {message}\n --> {file}\n = help: {help}");
        let diagnostic = Diagnostic {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message,
            help,
            rendered,
        };
        Self {
            diagnostics: vec![diagnostic],
        }
    }
}

/// Makes the diagnostic for one place of `source`.
pub(crate) fn diagnose(
    file: &str,
    source: &str,
    span: Range<usize>,
    message: String,
    help: String,
) -> Diagnostic {
    let span = one_line(source, span);
    let (line, column) = line_and_column(source, span.start);
    let snippet = Snippet::source(source)
        .path(file)
        .annotation(AnnotationKind::Primary.span(span));
    let mut group = Level::ERROR.primary_title(message.as_str()).element(snippet);
    if !help.is_empty() {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let rendered = Renderer::plain().render(&[group]);
    Diagnostic {
        file: file.to_owned(),
        line,
        column,
        message,
        help,
        rendered,
    }
}

/// Keeps a span inside the source and on its first line: a whole table as a caret range would bury the point.
fn one_line(source: &str, span: Range<usize>) -> Range<usize> {
    let start = floor_char_boundary(source, span.start);
    let end = floor_char_boundary(source, span.end).max(start);
    let line_end = source[start..]
        .find('\n')
        .map_or(source.len(), |offset| start + offset);
    start..end.min(line_end)
}

fn floor_char_boundary(source: &str, index: usize) -> usize {
    let mut index = index.min(source.len());
    while !source.is_char_boundary(index) {
        index -= 1;
    }
    index
}

fn line_and_column(source: &str, offset: usize) -> (usize, usize) {
    let before = &source[..offset];
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, source[line_start..offset].chars().count() + 1)
}
