//! Bringing the dataplane to what is desired: after every message, as far as one transaction at a time allows.

use super::{Daemon, Instant};
use crate::link;
use crate::publish::{Desired, Drains, Inputs, Overrides, Verdict, desired};
use std::sync::Arc;
use std::time::Duration;
use weir_configs::Config;
use weir_rings::message::{Event, PassiveSign};

/// A dataplane that has not acknowledged a transaction after this time is connected to anew.
const ACKNOWLEDGE_MAX: Duration = Duration::from_secs(10);
/// A refused table is tried again after this time: the dataplane may have room by then.
const RETRY: Duration = Duration::from_secs(30);

impl Daemon {
    /// Sends what is due, if the dataplane can take it now.
    pub(super) fn settle(&mut self) {
        if self.dirty {
            self.assess_pools();
        }
        if self.session.is_none() || self.publisher.is_under_way() {
            return;
        }
        if self.candidate.is_some() {
            self.offer_candidate();
        } else if self.dirty {
            self.dirty = false;
            self.publisher.announce(self.vrrp.take_announcements());
            let desired = self.desired();
            for problem in desired
                .problems
                .iter()
                .filter(|problem| !self.problems.contains(problem))
            {
                tracing::warn!("{problem}");
            }
            self.send(&desired);
            self.problems = desired.problems;
        }
    }

    /// What the dataplane should hold by the configuration in force.
    fn desired(&self) -> Desired {
        self.desired_with(&self.in_force.config, &self.overrides_in_force(), &self.drains)
    }

    /// What it should hold by another one.
    pub(super) fn desired_with(&self, config: &Config, overrides: &Overrides, drains: &Drains) -> Desired {
        self.with_inputs(config, overrides, |inputs| desired(&Inputs { drains, ..*inputs }))
    }

    pub(super) fn port_names(&self) -> Vec<String> {
        match &self.session {
            Some(session) => session
                .hello
                .about
                .ports
                .iter()
                .map(|port| port.name.clone())
                .collect(),
            None => self
                .in_force
                .config
                .ports
                .iter()
                .map(|port| port.name.clone())
                .collect(),
        }
    }

    /// Sends what leads to `desired`; false when there is nothing to send.
    pub(super) fn send(&mut self, desired: &Desired) -> bool {
        let Some(sending) = self.publisher.next(&desired.table) else {
            return false;
        };
        tracing::debug!(
            generation = sending.generation,
            full = sending.full,
            commands = sending.commands.len(),
            "sending a transaction"
        );
        self.sent_at = Some(self.clock.now());
        if !self.link.send(sending) {
            self.link.restart("the link does not take transactions");
        }
        true
    }

    pub(super) fn on_link(&mut self, report: link::Report) {
        match report {
            link::Report::Connected(session) => self.on_connected(session),
            link::Report::Away { why, lost } => self.on_away(&why, lost),
            link::Report::Event(event) => self.on_event(event),
            link::Report::Unsent { generation, why } => {
                let reason = weir_rings::message::RefuseReason::TooManyRecords;
                self.on_refused(generation, None, reason, &why);
            }
        }
    }

    fn on_connected(&mut self, session: Arc<link::Session>) {
        let about = &session.hello.about;
        tracing::info!(
            pid = about.pid,
            version = %about.version,
            generation = session.hello.generation,
            "dataplane connected; sending the whole table"
        );
        self.publisher.connected(session.hello.generation);
        // A dataplane that started after this configuration was taken has read it.
        if about.started_unix_s * 1_000 > self.clock.unix_ms(self.in_force.since) {
            self.started_with = Arc::clone(&self.in_force.config);
        }
        self.session = Some(session);
        self.vrrp.track("dataplane", true);
        self.away = None;
        self.sent_at = None;
        self.dirty = true;
        self.mute_checks();
    }

    fn on_away(&mut self, why: &str, lost: bool) {
        if lost {
            tracing::warn!(
                reason = why,
                "dataplane disconnected; it keeps forwarding by its last state if it lives"
            );
        } else {
            tracing::warn!(reason = why, "dataplane not there; trying again until it is");
        }
        self.publisher.disconnected();
        self.session = None;
        self.vrrp.track("dataplane", false);
        self.sent_at = None;
        self.away = Some(why.to_owned());
        self.mute_checks();
        self.refuse_candidate("the dataplane went away while the configuration was offered to it");
        // There is nothing to wait for: the daemon does its part, and says what is missing.
        self.manager.ready();
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Published {
                generation,
                commands,
                services,
                backends,
            } => {
                if self.publisher.published(generation) == Some(Verdict::Published) {
                    tracing::info!(generation, commands, services, backends, "published");
                    self.sent_at = None;
                    self.retry_at = None;
                    self.take_candidate(generation);
                    self.manager.ready();
                }
            }
            Event::Refused {
                generation,
                record_index,
                reason,
                detail,
            } => self.on_refused(generation, record_index, reason, detail.as_str()),
            Event::BackendDrained { service, backend } => self.on_drained(service, backend),
            Event::Lost { events } => {
                tracing::warn!(events, "the dataplane's events were lost: control was too slow")
            }
            Event::WorkerPanicked { worker, message } => {
                tracing::error!(worker, %message, "a worker of the dataplane panicked; the others go on");
            }
            Event::AddressConflict { address, mac, .. } => {
                self.vrrp.address_claimed(address, weir_wire::MacAddr(mac));
                if let Some(vip) = self.publisher.vip(address).filter(|vip| vip.shared) {
                    self.publisher.assert(vip);
                    self.dirty = true;
                }
                let mac = weir_rings::hello::mac_text::format(mac);
                tracing::error!(%address, %mac, "somebody else claims an address of ours; find that host");
            }
            Event::LinkChanged {
                port, up, speed_mbps, ..
            } => {
                let port = self.port_name(port);
                self.vrrp.track(&format!("port {port}"), up);
                tracing::warn!(%port, up, speed_mbps, "link changed");
            }
            Event::LocalPortsExhausted { service, refused } => {
                let text = format!(
                    "{refused} flows refused: {service} has no local address and port left; add local_addresses"
                );
                self.note(&service.to_string(), "alarm", &text);
            }
            Event::FlowTableFull { worker, flows_max } => {
                tracing::warn!(worker, flows_max, "flow table full; raise [dataplane] flows_max");
            }
            Event::NeighborChanged { neighbor, state, .. } => {
                tracing::debug!(address = %neighbor.address, %state, "neighbour changed");
            }
            Event::BackendPassive {
                service,
                backend,
                sign,
            } => self.on_passive(service, backend, sign == PassiveSign::Up),
        }
    }

    fn port_name(&self, port: weir_rings::message::PortId) -> String {
        let names = self.session.as_ref().map(|session| &session.hello.about.ports);
        let found = names.and_then(|ports| ports.get(usize::from(port.0)));
        found.map_or_else(|| port.0.to_string(), |port| port.name.clone())
    }

    fn on_refused(
        &mut self,
        generation: u64,
        record: Option<u32>,
        reason: weir_rings::message::RefuseReason,
        detail: &str,
    ) {
        let Some(Verdict::Refused(refusal)) = self.publisher.refused(generation, record, reason, detail)
        else {
            return;
        };
        let command = refusal.command.as_ref().map(|command| format!("{command:?}"));
        tracing::error!(generation, %reason, detail, command, "the dataplane refused a transaction; its old state stays");
        self.sent_at = None;
        self.retry_at = Some(self.clock.now() + RETRY);
        let why = format!("the dataplane refused it ({reason}): {detail}");
        if self.is_candidate_offered() {
            self.refuse_candidate(&why);
            self.dirty = true;
        } else {
            self.last_error = Some(why);
        }
        self.manager.ready();
    }

    /// A dataplane that does not answer is connected to anew; a refused table is tried again after a while.
    pub(super) fn watch_acknowledgement(&mut self, now: Instant) {
        if self.sent_at.is_some_and(|sent| now - sent > ACKNOWLEDGE_MAX) {
            self.sent_at = None;
            self.link.restart("it did not acknowledge a transaction in time");
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.publisher.retry();
            self.dirty = true;
        }
    }
}
