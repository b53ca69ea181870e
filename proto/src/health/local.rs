//! Checks that ask this host: a program's exit status, a number in a file, a BFD session.

use super::failure::{Asked, Failure};
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
    /// In which group; `None`: the user's own.
    pub group: Option<String>,
    /// Exit statuses from 2 to 255 pass too, and give a weight: the status less 2.
    pub dynamic: bool,
}

impl Script {
    /// Judges an exit status.
    pub fn exit(&self, status: u32) -> Progress {
        match status {
            0 => Progress::Pass,
            2..=255 if self.dynamic => Progress::Weight(Asked::Is((status - 2) as u16)),
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

/// A file that holds a number, and what the number says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NumberFile {
    /// The file.
    pub path: PathBuf,
    /// What its number says.
    pub says: Says,
}

/// What a watched file's number says about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Says {
    /// Its weight.
    Weight,
    /// What its configured weight is moved by: the number times this, as keepalived's FILE_CHECK with a `weight`.
    Moves(i32),
    /// Whether it is well: it is with 0, as keepalived's FILE_CHECK with a `weight` of 0.
    Fault,
    /// The same the other way round: it is with any number but 0.
    Well,
}

impl NumberFile {
    /// Judges the content: a decimal number, with white space around it.
    pub fn read(&self, content: &[u8]) -> Progress {
        let text = core::str::from_utf8(content).unwrap_or_default().trim();
        let number: Option<i32> = text.parse().ok().filter(|_| content.len() <= FILE_BYTES_MAX);
        match (self.says, number) {
            (Says::Weight, number) => match number.map(u16::try_from) {
                Some(Ok(weight)) => Progress::Weight(Asked::Is(weight)),
                Some(Err(_)) | None => {
                    Progress::Fail(Failure::NotProtocol("a weight: write one number from 0 to 65535"))
                }
            },
            (Says::Moves(factor), Some(number)) => {
                Progress::Weight(Asked::Plus(number.saturating_mul(factor)))
            }
            (Says::Fault, Some(0)) => Progress::Pass,
            (Says::Well, Some(number)) if number != 0 => Progress::Pass,
            (Says::Fault | Says::Well, Some(number)) => {
                Progress::Fail(Failure::Code("number in the file", number.unsigned_abs()))
            }
            (Says::Moves(_) | Says::Fault | Says::Well, None) => Progress::Fail(Failure::NotProtocol(
                "a number: write one from -2147483647 to 2147483647",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_number_in_a_file_says() {
        let is = |weight| Progress::Weight(Asked::Is(weight));
        let plus = |more| Progress::Weight(Asked::Plus(more));
        let fault = |number| Progress::Fail(Failure::Code("number in the file", number));
        let table = [
            (Says::Weight, "7\n", Some(is(7))),
            (Says::Weight, "65536", None),
            (Says::Weight, "-1", None),
            (Says::Weight, "", None),
            (Says::Moves(1), " 3 ", Some(plus(3))),
            (Says::Moves(-2), "3", Some(plus(-6))),
            (Says::Moves(1 << 20), "-1000000", Some(plus(i32::MIN))),
            (Says::Moves(1), "three", None),
            (Says::Fault, "0", Some(Progress::Pass)),
            (Says::Fault, "-4", Some(fault(4))),
            (Says::Well, "1", Some(Progress::Pass)),
            (Says::Well, "0", Some(fault(0))),
            (Says::Well, "99999999999", None),
        ];
        for (says, content, wanted) in table {
            let file = NumberFile {
                path: PathBuf::new(),
                says,
            };
            let found = file.read(content.as_bytes());
            match wanted {
                Some(wanted) => assert_eq!(found, wanted, "{says:?} {content:?}"),
                None => assert!(
                    matches!(found, Progress::Fail(Failure::NotProtocol(_))),
                    "{says:?} {content:?}: {found:?}"
                ),
            }
        }
        let long = NumberFile {
            path: PathBuf::new(),
            says: Says::Fault,
        };
        let spaced = format!("{}0", " ".repeat(FILE_BYTES_MAX));
        assert_ne!(long.read(spaced.as_bytes()), Progress::Pass);
    }
}
