//! A regular expression as part of a check's identity: compared by its text, compiled at its first use.
//!
//! [`regex`] takes time linear in what it reads, whatever the expression, so no server can make a check slow.

use core::hash::{Hash, Hasher};
use core::ops::RangeInclusive;
use regex::bytes::{Regex, RegexBuilder};
use std::sync::OnceLock;

/// Memory one compiled expression may take, in bytes; the configuration is refused beyond it too.
pub const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A regular expression over bytes.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// The expression `text`. One that does not compile matches nothing.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            compiled: OnceLock::new(),
        }
    }

    /// Whether a match in `bytes` begins at one of these places.
    pub fn begins_in(&self, bytes: &[u8], places: &RangeInclusive<usize>) -> bool {
        let Some(regex) = self.compiled().filter(|_| *places.start() <= bytes.len()) else {
            return false;
        };
        let first = regex.find_at(bytes, *places.start());
        first.is_some_and(|found| places.contains(&found.start()))
    }

    /// Where its first match in `bytes` ends.
    pub fn find_end(&self, bytes: &[u8]) -> Option<usize> {
        Some(self.compiled()?.find(bytes)?.end())
    }

    fn compiled(&self) -> Option<&Regex> {
        let compile = || {
            RegexBuilder::new(&self.text)
                .size_limit(COMPILED_BYTES_MAX)
                .build()
                .ok()
        };
        self.compiled.get_or_init(compile).as_ref()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
