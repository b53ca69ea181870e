//! Checks, pools and maintenance.

use super::time;
use crate::api_types::{self as types, schema};
use crate::daemon::view::{BackendView, View};
use crate::health::book::Record;
use crate::link::Loads;
use crate::publish::{backend_key, service_keys};
use weir_configs::{Backend, Check, Service};
use weir_proto::health::check::Report;
use weir_proto::health::{Health, Outcome};

pub(in crate::api) fn checks(view: &View) -> types::Checks {
    let mut checks = Vec::new();
    for (service, backends) in view.config.services.iter().zip(&view.backends) {
        for (backend, found) in service.backends.iter().zip(backends) {
            for (n, check) in backend.all_checks().enumerate() {
                checks.push(row(view, service, backend, (n, check), found));
            }
            if let Some(rule) = service.pool.passive {
                checks.push(traffic(view, service, backend, rule, found));
            }
        }
    }
    types::Checks {
        schema: schema::CHECKS.into(),
        checks,
    }
}

fn row(
    view: &View,
    service: &Service,
    backend: &Backend,
    (n, check): (usize, &Check),
    found: &BackendView,
) -> types::Check {
    let record = found.records.get(n).and_then(Option::as_ref);
    let last = record.and_then(|record| record.last.as_ref());
    let target = found.standing.targets.get(n);
    let runs = |list: fn(&Record) -> &std::collections::VecDeque<Report>| {
        let reports = record.into_iter().flat_map(list);
        reports.map(|report| run(view, report)).collect()
    };
    types::Check {
        service: service.name.clone(),
        backend: backend.address.to_string(),
        name: backend.name.clone(),
        kind: check.kind.as_str().into(),
        target: target.map_or_else(String::new, |target| target.address.to_string()),
        state: record.map_or("checking", state).into(),
        since: last.and(record).map(|record| time(view, record.since)),
        why: record.map_or_else(String::new, why),
        held_until: last
            .and_then(|report| report.held_until)
            .map(|until| time(view, until)),
        last_run: last.map(|report| time(view, report.at)),
        last_result: last.map(|report| result(report.outcome)),
        last_latency_ms: last.map(|report| report.took.as_secs_f64() * 1_000.0),
        next_run: last
            .filter(|_| record.is_some_and(|record| !record.suspended))
            .map(|report| time(view, report.next)),
        interval_ms: check.interval_ms.into(),
        passes: record.map_or(0, |record| record.passes),
        fails: record.map_or(0, |record| record.failures),
        against: last.map_or(0, |report| report.against),
        needed: last.map_or(0, |report| report.needed),
        skipped: last.map_or(0, |report| report.skipped),
        changes: record.map_or(0, |record| record.changes),
        recent: runs(|record| &record.recent),
        history: runs(|record| &record.history),
    }
}

/// What the traffic shows, as one more check that nobody runs.
fn traffic(
    view: &View,
    service: &Service,
    backend: &Backend,
    rule: weir_configs::Passive,
    found: &BackendView,
) -> types::Check {
    let shown = found.traffic;
    let since = shown.out.map(|(since, _)| time(view, since));
    let until = shown.out.map(|(_, until)| time(view, until));
    let needed = shown.needed.unwrap_or(rule.fall);
    let why = match (shown.out, shown.against) {
        (Some(_), _) => "its connections stayed unanswered".to_owned(),
        (None, 0) => "nothing speaks against it".to_owned(),
        (None, against) => format!("{against} of {needed} signs against it"),
    };
    types::Check {
        service: service.name.clone(),
        backend: backend.address.to_string(),
        name: backend.name.clone(),
        kind: "traffic".into(),
        target: backend.address.to_string(),
        state: if shown.out.is_some() { "down" } else { "up" }.into(),
        since,
        why,
        held_until: until,
        last_run: None,
        last_result: None,
        last_latency_ms: None,
        next_run: None,
        interval_ms: 1_000,
        passes: 0,
        fails: 0,
        against: shown.against,
        needed,
        skipped: 0,
        changes: 0,
        recent: Vec::new(),
        history: Vec::new(),
    }
}

fn state(record: &Record) -> &'static str {
    let known = record.last.is_some() || record.proved;
    match (record.suspended, known, record.health) {
        (true, _, _) => "suspended",
        (false, false, _) => "checking",
        (false, true, Health::Up) => "up",
        (false, true, Health::Down) => "down",
    }
}

fn run(view: &View, report: &Report) -> types::Run {
    types::Run {
        at: time(view, report.at),
        state: report.health.to_string(),
        result: result(report.outcome),
        latency_ms: report.took.as_secs_f64() * 1_000.0,
    }
}

pub(super) fn result(outcome: Outcome) -> String {
    match outcome {
        Outcome::Pass => "passed".into(),
        Outcome::Weight(weight) => format!("passed, weight {weight}"),
        Outcome::Fail(why) => why.to_string(),
    }
}

/// In words: what made it so, and what speaks against it.
fn why(record: &Record) -> String {
    let Some(last) = &record.last else {
        return "no run has ended yet".into();
    };
    let cause = record.history.back().map_or_else(
        || match record.proved {
            true => "its check passes".to_owned(),
            false => "it counts as up until its check has failed often enough".to_owned(),
        },
        |report| match report.outcome {
            Outcome::Fail(why) => why.to_string(),
            Outcome::Pass | Outcome::Weight(_) => "its check passes".to_owned(),
        },
    );
    let held = last
        .held_until
        .filter(|until| record.health == Health::Down && last.at < *until);
    let word = match record.health {
        Health::Up => "failed",
        Health::Down => "passed",
    };
    match (held, last.against) {
        (Some(_), _) => format!("{cause}; it came and went too often and is held back"),
        (None, 0) => cause,
        (None, against) => format!("{cause}; {against} of {} {word} since", last.needed),
    }
}

pub(super) fn pool(view: &View, service: &Service, n: usize) -> Option<types::Pool> {
    let state = view.pools.get(n).copied().flatten()?;
    let sorry = service.pool.sorry_server.as_ref();
    Some(types::Pool {
        quorum_up: state.quorum_up,
        since: time(view, state.since),
        quorum: service.pool.quorum,
        hysteresis: service.pool.hysteresis,
        live_weight: state.live_weight,
        changes: state.changes,
        kept: state.kept as u64,
        held: state.held as u64,
        sorry_server: sorry.map(|sorry| sorry.server.0.address.to_string()),
        sorry_in_use: state.sorry_in_use,
    })
}

pub(in crate::api) fn maintenance(view: &View) -> types::Maintenance {
    let loads = Loads::read(view.session.as_deref());
    let rows = view.maintenance.iter().map(|maintained| {
        let name = &maintained.name;
        let service = view.config.service(&name.service);
        let flows = service.and_then(|service| {
            let mut backends = service.backends.iter();
            let backend = backends.find(|backend| backend.address == name.backend)?;
            let counts = loads.backend(service_keys(service), backend_key(backend));
            Some(counts.active.wrapping_add(counts.inactive))
        });
        types::Maintained {
            service: name.service.clone(),
            backend: name.backend.to_string(),
            since: maintained.since_unix_ms.map(crate::api::rfc3339::text),
            reason: maintained.reason.clone(),
            flows: flows.unwrap_or(0),
        }
    });
    types::Maintenance {
        schema: schema::MAINTENANCE.into(),
        maintenance: rows.collect(),
    }
}
