//! What can be wrong with a record.

use thiserror::Error;

/// Why 256 bytes are not a record, or a value cannot be made one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The kind is none we know.
    #[error("record kind {kind} is unknown; are both processes of the same version?")]
    UnknownKind {
        /// The kind as read.
        kind: u16,
    },
    /// Bytes that must be zero are not.
    #[error("reserved bytes are not zero; are both processes of the same version?")]
    ReservedNotZero,
    /// A code that stands for nothing.
    #[error("{field}: {value} is no known code")]
    UnknownCode {
        /// Which field.
        field: &'static str,
        /// The code as read.
        value: u8,
    },
    /// A number outside its bounds.
    #[error("{field}: {value} is out of range")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// The number as read.
        value: u64,
    },
    /// A text that is not UTF-8.
    #[error("the text is not UTF-8")]
    BadText,
    /// Fields that are valid each but not together.
    #[error("{what}")]
    Inconsistent {
        /// What does not fit, and what to do.
        what: &'static str,
    },
}
