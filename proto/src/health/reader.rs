//! What every dialogue shares: how the reading of an answer goes on.

use super::failure::{Asked, Failure, Outcome};

/// Where a run stands after what the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The answer is not complete.
    More,
    /// Say this, and read on.
    Say(Vec<u8>),
    /// The dialogue has come to its good end.
    Pass,
    /// So it has; this is said before the connection closes.
    Farewell(Vec<u8>),
    /// So it has, and this is the server's weight now.
    Weight(Asked),
    /// The answer is wrong.
    Fail(Failure),
}

impl Progress {
    /// The end of the run, if this is one.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::More | Self::Say(_) => None,
            Self::Pass | Self::Farewell(_) => Some(Outcome::Pass),
            Self::Weight(weight) => Some(Outcome::Weight(*weight)),
            Self::Fail(failure) => Some(Outcome::Fail(*failure)),
        }
    }
}

/// How far an expectation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// More bytes are needed.
    More,
    /// Met, by this many bytes.
    Met(usize),
    /// Cannot be met any more.
    Never(Failure),
}
