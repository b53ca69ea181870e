//! Why a packet goes where it goes: the walk of the path, step by step, for a person.
//!
//! It asks the very tables and functions the workers use, and leaves no trace: no cursor moves, no flow is made. What a
//! packet sent a moment later experiences is what is said here. The walk itself is `Path::explain`, on the worker.

use core::net::SocketAddr;

use weir_rings::message::Protocol;
use weir_rings::query::{Explanation, Step};

use crate::verdict::{PortId, Verdict};

/// A packet to explain. A TCP packet is taken to be a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Its protocol.
    pub protocol: Protocol,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it is sent to.
    pub destination: SocketAddr,
    /// The port it arrives by; `None` for the one its destination lives on.
    pub port: Option<PortId>,
}

/// The answer while it grows.
#[derive(Debug, Default)]
pub(crate) struct Story {
    steps: Vec<Step>,
}

impl Story {
    pub(crate) fn say(&mut self, stage: &str, found: impl Into<String>) {
        self.tell(stage, found, Vec::new());
    }

    pub(crate) fn tell(&mut self, stage: &str, found: impl Into<String>, detail: Vec<(String, String)>) {
        self.steps.push(Step {
            stage: stage.to_owned(),
            found: found.into(),
            detail,
        });
    }

    /// Ends with a verdict, under the names of the counters.
    pub(crate) fn end(self, verdict: Verdict) -> Explanation {
        let (kind, reason, hint) = match verdict {
            Verdict::Tx(_) => ("tx", None, None),
            Verdict::Steer(_) => ("steer", None, None),
            Verdict::Punt(reason) => ("punt", Some(reason.name()), Some(reason.hint())),
            Verdict::Drop(reason) => ("drop", Some(reason.name()), Some(reason.hint())),
        };
        Explanation {
            steps: self.steps,
            verdict: kind.to_owned(),
            reason: reason.map(str::to_owned),
            hint: hint.map(str::to_owned),
        }
    }
}

/// One detail of a step.
pub(crate) fn detail(name: &str, value: impl core::fmt::Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}
