//! Records of the command ring put together into transactions, whole or not at all.

use crate::message::{Command, Message, RawRecord, Record, RefuseReason, Text};

#[cfg(test)]
mod tests;

/// How far a generation may be above the one before.
pub const GENERATION_STEP_MAX: u64 = 1 << 32;

/// A committed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its generation.
    pub generation: u64,
    /// It replaces everything: what it does not mention goes.
    pub full: bool,
    /// Its commands. Command `n` was record `n + 1`.
    pub commands: Vec<Command>,
}

/// Why a transaction was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its generation.
    pub generation: u64,
    /// The record at fault, Begin = 0; `None` for the whole.
    pub record_index: Option<u32>,
    /// Why.
    pub reason: RefuseReason,
    /// The same for a person, with the fix.
    pub detail: Text,
}

enum State {
    /// Between transactions.
    Idle,
    /// Collecting.
    Open(Transaction),
    /// Behind a record that was refused: everything is ignored up to the next Begin.
    Skipping,
}

/// Puts records together. One for each session.
pub(crate) struct Assembler {
    state: State,
    commands_max: u32,
    /// The last generation taken.
    generation: u64,
    /// A full transaction came in this session: what control believes is what there is.
    synced: bool,
}

impl Assembler {
    /// `generation` is the one in force.
    pub(crate) const fn new(commands_max: u32, generation: u64) -> Self {
        Self {
            state: State::Idle,
            commands_max,
            generation,
            synced: false,
        }
    }

    /// Commands collected so far.
    #[cfg(test)]
    pub(crate) const fn open_commands(&self) -> usize {
        match &self.state {
            State::Open(open) => open.commands.len(),
            State::Idle | State::Skipping => 0,
        }
    }

    /// Takes the next record. The outcome of a transaction comes with its last record, or with its first bad one.
    pub(crate) fn feed(&mut self, raw: &RawRecord) -> Option<Result<Transaction, Refusal>> {
        let message = match Message::decode(raw) {
            Ok(message) => message,
            Err(error) => {
                return self
                    .refuse_open(RefuseReason::BadRecord, error.to_string())
                    .map(Err);
            }
        };
        match (&mut self.state, message.record) {
            (_, Record::Begin { full }) => self.begin(message.generation, message.index, full),
            (State::Skipping, Record::Command(_) | Record::Commit { .. }) => None,
            (State::Idle, Record::Command(_) | Record::Commit { .. }) => {
                let reason = RefuseReason::OutsideTransaction;
                Some(self.refuse(
                    message.generation,
                    Some(message.index),
                    reason,
                    "start with Begin".into(),
                ))
            }
            (State::Open(open), record) => {
                let due = (open.generation, next_index(open));
                if (message.generation, message.index) != due {
                    let (generation, index) = due;
                    let detail = format!("record {index} of generation {generation} was due");
                    return self.refuse_open(RefuseReason::OutOfOrder, detail).map(Err);
                }
                match record {
                    Record::Command(command) => self.command(command),
                    Record::Commit { commands } => self.commit(commands),
                    Record::Begin { .. } => None,
                }
            }
        }
    }

    /// A new transaction; one that was open is dropped.
    fn begin(&mut self, generation: u64, index: u32, full: bool) -> Option<Result<Transaction, Refusal>> {
        let step = generation.wrapping_sub(self.generation);
        if step == 0 || step > GENERATION_STEP_MAX {
            let detail = format!("take a generation above {}", self.generation);
            return Some(self.refuse(generation, Some(0), RefuseReason::BadGeneration, detail));
        }
        if index != 0 {
            let detail = "Begin has index 0".into();
            return Some(self.refuse(generation, Some(index), RefuseReason::OutOfOrder, detail));
        }
        if !full && !self.synced {
            let detail = "send the whole state first".into();
            return Some(self.refuse(generation, Some(0), RefuseReason::FirstNotFull, detail));
        }
        self.state = State::Open(Transaction {
            generation,
            full,
            commands: Vec::new(),
        });
        None
    }

    fn command(&mut self, command: Command) -> Option<Result<Transaction, Refusal>> {
        let State::Open(open) = &mut self.state else {
            return None;
        };
        if open.commands.len() < self.commands_max as usize {
            open.commands.push(command);
            return None;
        }
        let detail = format!("at most {} commands; split the change", self.commands_max);
        self.refuse_open(RefuseReason::TooManyRecords, detail).map(Err)
    }

    fn commit(&mut self, commands: u32) -> Option<Result<Transaction, Refusal>> {
        let State::Open(open) = core::mem::replace(&mut self.state, State::Idle) else {
            return None;
        };
        if open.commands.len() != commands as usize {
            let detail = format!("{} commands came, Commit counts {commands}", open.commands.len());
            return Some(self.refuse(open.generation, None, RefuseReason::WrongCount, detail));
        }
        self.generation = open.generation;
        self.synced |= open.full;
        Some(Ok(open))
    }

    /// Refuses the open transaction at the record due; without one, says so once.
    fn refuse_open(&mut self, reason: RefuseReason, detail: String) -> Option<Refusal> {
        let (generation, index) = match &self.state {
            State::Open(open) => (open.generation, Some(next_index(open))),
            State::Idle => (0, None),
            State::Skipping => return None,
        };
        self.refuse(generation, index, reason, detail).err()
    }

    fn refuse(
        &mut self,
        generation: u64,
        record_index: Option<u32>,
        reason: RefuseReason,
        detail: String,
    ) -> Result<Transaction, Refusal> {
        self.state = State::Skipping;
        Err(Refusal {
            generation,
            record_index,
            reason,
            detail: detail.into(),
        })
    }
}

/// Begin is record 0, the first command record 1. `commands_max` is a `u32` below its maximum.
fn next_index(open: &Transaction) -> u32 {
    u32::try_from(open.commands.len() + 1).unwrap_or(u32::MAX)
}
