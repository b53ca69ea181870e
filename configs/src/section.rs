//! What a section of the file is: its keys, listed once, for the readers, the "did you mean" and the reference page alike.

/// One key of a section, as the reference page shows it.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// Type, unit and range, for a person.
    pub(crate) kind: &'static str,
    /// The default as it would be written in the file; `None` for a required key or one whose default is in `meaning`.
    pub(crate) default: Option<&'static str>,
    pub(crate) meaning: &'static str,
}

/// One table of the file.
pub(crate) struct Section {
    /// As written in the file: `[[port]]`.
    pub(crate) header: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) keys: &'static [Key],
}
