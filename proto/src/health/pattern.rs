//! A regular expression as part of a check's identity: compared by its text, compiled at its first use.
//!
//! [`regex`] takes time linear in what it reads, whatever the expression, so no server can make a check slow.

use core::hash::{Hash, Hasher};
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

    /// Whether it matches anywhere in `bytes`.
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.find_end(bytes).is_some()
    }

    /// Where its first match in `bytes` ends.
    pub fn find_end(&self, bytes: &[u8]) -> Option<usize> {
        let compile = || {
            RegexBuilder::new(&self.text)
                .size_limit(COMPILED_BYTES_MAX)
                .build()
                .ok()
        };
        let regex = self.compiled.get_or_init(compile);
        let found = regex.as_ref()?.find(bytes)?;
        Some(found.end())
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
