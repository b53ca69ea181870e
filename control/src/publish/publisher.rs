//! Which table is in force in the dataplane, which transaction is under way, and what to send next.
//!
//! One transaction is under way at a time; what changes meanwhile goes into the next one. The first of a session is
//! full, the others carry differences. A refused table is not sent again until something changes: the dataplane would
//! only refuse it again.

use super::Table;
use std::net::IpAddr;
use weir_rings::message::{Command, RefuseReason, Vip};

/// Most announcements that wait for a transaction; those past it are only a repetition less.
const EXTRA_MAX: usize = 4096;

/// A transaction to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// Its generation.
    pub generation: u64,
    /// Replaces everything.
    pub full: bool,
    /// What it says.
    pub commands: Vec<Command>,
}

/// What the dataplane said about a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// In force.
    Published,
    /// Not in force; what was before still is.
    Refused(Refusal),
}

/// Why a transaction was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its generation.
    pub generation: u64,
    /// The dataplane's reason.
    pub reason: RefuseReason,
    /// For a person, with the fix.
    pub detail: String,
    /// The command at fault, when it is one.
    pub command: Option<Command>,
}

#[derive(Debug)]
struct UnderWay {
    generation: u64,
    table: Table,
    /// What was sent, to name the command at fault.
    commands: Vec<Command>,
}

/// The state of publication towards one dataplane.
#[derive(Debug, Default)]
pub struct Publisher {
    generation: u64,
    connected: bool,
    in_force: Option<Table>,
    in_force_generation: Option<u64>,
    under_way: Option<UnderWay>,
    refused: Option<Table>,
    refusal: Option<Refusal>,
    /// Commands that change nothing in the table and go with the next transaction: announcements.
    extra: Vec<Command>,
}

impl Publisher {
    /// Has addresses announced that are held, with the next transaction.
    pub fn announce(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        let room = EXTRA_MAX.saturating_sub(self.extra.len());
        self.extra
            .extend(addresses.into_iter().take(room).map(Command::Announce));
    }

    /// Says anew, with the next transaction, that `vip` is as it is: a dataplane that has heard somebody else claim it
    /// takes that for a sign of life.
    pub fn assert(&mut self, vip: Vip) {
        if self.extra.len() < EXTRA_MAX {
            self.extra.push(Command::UpsertVip(vip));
        }
    }

    /// The record of an address in the table in force.
    pub fn vip(&self, address: IpAddr) -> Option<Vip> {
        self.in_force.as_ref()?.vips.get(&address).copied()
    }

    /// What goes with the plan: only what is still true of the table, and no announcement twice.
    fn take_extra(&mut self, desired: &Table, plan: &[Command]) -> Vec<Command> {
        let mut planned: Vec<IpAddr> = plan
            .iter()
            .filter_map(|command| match command {
                Command::Announce(address) => Some(*address),
                _ => None,
            })
            .collect();
        let mut extra = std::mem::take(&mut self.extra);
        extra.retain(|command| match command {
            Command::Announce(address) => {
                if let Some(at) = planned.iter().position(|planned| planned == address) {
                    planned.swap_remove(at);
                    return false;
                }
                desired.vips.get(address).is_some_and(|vip| vip.owned)
            }
            Command::UpsertVip(vip) => desired.vips.get(&vip.address) == Some(vip),
            _ => false,
        });
        extra
    }

    /// A session begins with a dataplane whose last generation is `generation`.
    pub fn connected(&mut self, generation: u64) {
        *self = Self {
            generation: self.generation.max(generation),
            in_force_generation: (generation > 0).then_some(generation),
            connected: true,
            ..Self::default()
        };
    }

    /// The session is over.
    pub fn disconnected(&mut self) {
        *self = Self {
            generation: self.generation,
            ..Self::default()
        };
    }

    /// The transaction that brings the dataplane to `desired`; `None` when there is nothing to send now.
    #[must_use]
    pub fn next(&mut self, desired: &Table) -> Option<Sending> {
        if !self.connected || self.under_way.is_some() || self.refused.as_ref() == Some(desired) {
            return None;
        }
        let full = self.in_force.is_none();
        let commands = match &self.in_force {
            Some(table) => table.plan(desired),
            None => Table::default().plan(desired),
        };
        let extra = self.take_extra(desired, &commands);
        if !full && commands.is_empty() && extra.is_empty() {
            self.refused = None;
            self.refusal = None;
            return None;
        }
        let commands = [commands, extra].concat();
        self.generation += 1;
        self.under_way = Some(UnderWay {
            generation: self.generation,
            table: desired.clone(),
            commands: commands.clone(),
        });
        Some(Sending {
            generation: self.generation,
            full,
            commands,
        })
    }

    /// The dataplane has put `generation` in force.
    pub fn published(&mut self, generation: u64) -> Option<Verdict> {
        let done = self
            .under_way
            .take_if(|under_way| under_way.generation == generation)?;
        self.in_force = Some(done.table);
        self.in_force_generation = Some(generation);
        self.refused = None;
        self.refusal = None;
        Some(Verdict::Published)
    }

    /// The dataplane has refused `generation`.
    pub fn refused(
        &mut self,
        generation: u64,
        record_index: Option<u32>,
        reason: RefuseReason,
        detail: &str,
    ) -> Option<Verdict> {
        let done = self
            .under_way
            .take_if(|under_way| under_way.generation == generation)?;
        // Record 0 is Begin.
        let at = record_index.and_then(|index| usize::try_from(index).ok()?.checked_sub(1));
        let refusal = Refusal {
            generation,
            reason,
            detail: detail.to_owned(),
            command: at.and_then(|at| done.commands.into_iter().nth(at)),
        };
        self.refused = Some(done.table);
        self.refusal = Some(refusal.clone());
        Some(Verdict::Refused(refusal))
    }

    /// Lets a refused table be tried again: the dataplane may have room by now.
    pub fn retry(&mut self) {
        self.refused = None;
    }

    /// True from the first publication of the session on.
    pub fn is_in_force(&self) -> bool {
        self.in_force.is_some()
    }

    /// True while a transaction awaits its acknowledgement.
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The table in force, once there is one.
    pub fn table(&self) -> Option<&Table> {
        self.in_force.as_ref()
    }

    /// The last refusal that still stands.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// The generation in force, as far as the dataplane has said.
    pub fn published_generation(&self) -> Option<u64> {
        self.in_force_generation
    }

    /// The last generation sent or seen.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests;
