//! Aligned columns without lines, as `ip` and `ss` print them: easy to read, and to cut with awk.

use super::output::Style;

/// How a cell looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Normal,
    Good,
    Bad,
    Attention,
}

impl Tone {
    fn escape(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[1;31m",
            Self::Attention => "\x1b[33m",
        }
    }
}

/// One cell.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn new(text: impl ToString, tone: Tone) -> Self {
        Self {
            text: text.to_string(),
            tone,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Normal)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            tone: Tone::Normal,
        }
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::new(number, Tone::Normal)
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::new(number, Tone::Normal)
    }
}

/// Colours `text` where colour is wanted.
pub(super) fn paint(text: &str, tone: Tone, style: Style) -> String {
    if style == Style::Plain || tone == Tone::Normal {
        text.to_owned()
    } else {
        format!("{}{text}\x1b[0m", tone.escape())
    }
}

/// Rows under a heading. A heading that begins with `>` aligns its column to the right.
pub(super) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

impl Table {
    pub(super) fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
            indent: 0,
        }
    }

    pub(super) fn indented(mut self, spaces: usize) -> Self {
        self.indent = spaces;
        self
    }

    /// Adds a row; it has as many cells as there are headings.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.headings.len());
        self.rows.push(cells);
    }

    pub(super) fn render(&self, style: Style) -> String {
        let width = |column: usize| {
            let heading = self.headings[column].trim_start_matches('>').chars().count();
            let cells = self.rows.iter().map(|row| row[column].text.chars().count());
            cells.max().unwrap_or(0).max(heading)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let headings: Vec<Cell> = self
            .headings
            .iter()
            .map(|heading| heading.trim_start_matches('>').into())
            .collect();
        let lines = std::iter::once(&headings).chain(&self.rows);
        lines.map(|row| self.line(row, &widths, style)).collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], style: Style) -> String {
        let mut line = " ".repeat(self.indent);
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.text.chars().count());
            let text = paint(&cell.text, cell.tone, style);
            let right = self.headings[column].starts_with('>');
            line += &if right {
                format!("{padding}{text}  ")
            } else {
                format!("{text}{padding}  ")
            };
        }
        format!("{}\n", line.trim_end())
    }
}
