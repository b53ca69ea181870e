//! Checks that ask this host: a program's exit status, a number in a file, a BFD session.

use super::failure::Failure;
use super::reader::Progress;
use std::path::PathBuf;

/// A program that says how a server is, as keepalived's MISC_CHECK: 0 passes, all else fails, unless `dynamic`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Script {
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Who runs it.
    pub user: String,
    /// Exit statuses from 2 to 255 pass too, and give a weight: the status less 2.
    pub dynamic: bool,
}

impl Script {
    /// Judges an exit status.
    pub fn exit(&self, status: u32) -> Progress {
        match status {
            0 => Progress::Pass,
            2..=255 if self.dynamic => Progress::Weight((status - 2) as u16),
            _ => Progress::Fail(Failure::Code("exit status", status)),
        }
    }
}

/// Judges a session: 1 when it is up.
pub fn session(up: u32) -> Progress {
    match up {
        1 => Progress::Pass,
        _ => Progress::Fail(Failure::SessionDown),
    }
}

/// Longest content of a watched file; more is no number.
pub const FILE_BYTES_MAX: usize = 64;

/// The weight that a watched file gives: a decimal number, with white space around it.
pub fn weight(content: &[u8]) -> Progress {
    let text = core::str::from_utf8(content).unwrap_or_default().trim();
    match text.parse() {
        Ok(weight) if content.len() <= FILE_BYTES_MAX => Progress::Weight(weight),
        Ok(_) | Err(_) => Progress::Fail(Failure::NotProtocol("a weight: write one number from 0 to 65535")),
    }
}
