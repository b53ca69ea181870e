//! Taking a configuration: whole or not at all, the same way for SIGHUP and for the API.
//!
//! A proposal is compared with what is in force, held against the [guard](super::guard), and then, while the dataplane
//! is connected, offered to it. Only when the dataplane has put it in force does this daemon take it; until then, and
//! when it is refused, everything stays as it was.

use super::{Daemon, InForce, guard};
use crate::health::targets;
use std::sync::Arc;
use tokio::sync::oneshot;
use weir_configs::{Change, Config, diff};

/// A checked configuration that somebody wants in force.
#[derive(Debug)]
pub struct Proposal {
    /// The configuration.
    pub config: Config,
    /// The file it came from, for messages.
    pub file: String,
    /// It may remove a large part of what there is.
    pub confirmed: bool,
}

/// A configuration that has been taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What it changed.
    pub changes: Vec<Change>,
    /// The generation that carries it; `None` while the dataplane is not connected, or when it had nothing to do.
    pub generation: Option<u64>,
}

/// Why a configuration was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub error: String,
    /// What to do about it.
    pub help: String,
}

pub(super) type Reply = oneshot::Sender<Result<Applied, Refused>>;

/// A proposal on its way through the dataplane.
#[derive(Debug)]
pub(super) struct Candidate {
    proposal: Proposal,
    changes: Vec<Change>,
    reply: Option<Reply>,
    offered: bool,
}

impl Daemon {
    /// Reads the file again and proposes what it says.
    pub(super) fn reload(&mut self) {
        tracing::info!(file = %self.options.file.display(), "reloading");
        self.manager.reloading();
        match weir_configs::load(&self.options.file) {
            Ok(config) => {
                let proposal = Proposal {
                    config,
                    file: self.options.file.display().to_string(),
                    confirmed: false,
                };
                self.propose(proposal, None);
            }
            Err(report) => {
                tracing::error!("not reloaded:\n{report}");
                self.last_error = Some(report.to_string());
                self.manager.ready();
            }
        }
    }

    /// Takes a proposal on its way. Without `reply` the log gets the answer.
    pub(super) fn propose(&mut self, proposal: Proposal, reply: Option<Reply>) {
        if self.candidate.is_some() {
            let refused = Refused {
                error: "another configuration is being applied".into(),
                help: "try again when it is done".into(),
            };
            return self.answer(reply, Err(refused));
        }
        if let Some(why) = guard::needs_confirmation(&self.in_force.config, &proposal.config)
            && !proposal.confirmed
        {
            let refused = Refused {
                error: format!("not applied without confirmation: {why}"),
                help: format!(
                    "if that is meant, run: weirctl config apply --confirm {}",
                    proposal.file
                ),
            };
            return self.answer(reply, Err(refused));
        }
        self.candidate = Some(Candidate {
            changes: diff(&self.in_force.config, &proposal.config),
            proposal,
            reply,
            offered: false,
        });
        if self.session.is_none() {
            self.adopt(None);
        }
    }

    /// Sends the candidate to the dataplane, which has nothing else under way.
    pub(super) fn offer_candidate(&mut self) {
        let Some(mut candidate) = self.candidate.take() else {
            return;
        };
        let config = &candidate.proposal.config;
        let overrides = self.with_maintenance(self.overrides_after(config), config);
        let drains = self.drains_after(config, self.clock.now());
        let desired = self.desired_with(config, &overrides, &drains);
        candidate.offered = true;
        self.candidate = Some(candidate);
        if !self.send(&desired) {
            self.adopt(None);
        }
    }

    /// Whether the transaction under way is the candidate's.
    pub(super) fn is_candidate_offered(&self) -> bool {
        self.candidate.as_ref().is_some_and(|candidate| candidate.offered)
    }

    /// The dataplane has put a transaction in force; if it was the candidate's, the candidate is taken.
    pub(super) fn take_candidate(&mut self, generation: u64) {
        if self.is_candidate_offered() {
            self.adopt(Some(generation));
        }
    }

    /// The candidate is out.
    pub(super) fn refuse_candidate(&mut self, why: &str) {
        let Some(candidate) = self.candidate.take() else {
            return;
        };
        let refused = Refused {
            error: format!("not applied: {why}"),
            help: "the configuration from before stays in force".into(),
        };
        self.answer(candidate.reply, Err(refused));
    }

    /// The candidate becomes what is in force.
    fn adopt(&mut self, generation: Option<u64>) {
        let Some(candidate) = self.candidate.take() else {
            return;
        };
        let now = self.clock.now();
        self.overrides = self.overrides_after(&candidate.proposal.config);
        self.drains = self.drains_after(&candidate.proposal.config, now);
        self.in_force = InForce {
            config: Arc::new(candidate.proposal.config),
            file: candidate.proposal.file,
            since: now,
        };
        self.last_error = None;
        self.watch_targets();
        let applied = Applied {
            changes: candidate.changes,
            generation,
        };
        self.answer(candidate.reply, Ok(applied));
    }

    fn answer(&mut self, reply: Option<Reply>, answer: Result<Applied, Refused>) {
        match &answer {
            Ok(applied) => self.log_applied(applied),
            Err(refused) => {
                tracing::error!(help = %refused.help, "{}", refused.error);
                self.last_error = Some(refused.error.clone());
            }
        }
        match reply {
            Some(reply) => drop(reply.send(answer)),
            None => self.manager.ready(),
        }
    }

    fn log_applied(&self, applied: &Applied) {
        let checks = targets::targets(&self.in_force.config).len();
        if !applied.changes.is_empty() {
            let text = format!(
                "{} applied: {} changes",
                self.in_force.file,
                applied.changes.len()
            );
            self.note("config", "config", &text);
        }
        tracing::info!(
            changes = applied.changes.len(),
            checks,
            generation = applied.generation,
            "configuration applied"
        );
        for change in applied.changes.iter().filter(|change| change.needs_restart) {
            tracing::warn!("{change}: restart the process to have it");
        }
    }

    /// What of the configuration in force the running processes do not have yet.
    pub(super) fn restart_pending(&self) -> Vec<Change> {
        let mut changes = diff(&self.started_with, &self.in_force.config);
        changes.retain(|change| change.needs_restart);
        changes
    }
}
