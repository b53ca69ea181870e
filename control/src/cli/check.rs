//! `weirctl check`: what health checks find, and why a server is down.

use std::fmt::Write;

use clap::Args;

use super::answer::{keep, repeat, typed};
use super::args::Watch;
use super::client::Client;
use super::failure::Failure;
use super::output::Style;
use super::table::{Cell, Table, Tone};
use crate::api_types::{Check, Checks, Run};

/// Arguments of `weirctl check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Only the checks of this service.
    pub service: Option<String>,
    /// Only the checks of this backend, with all that is known of them: its name, `ip:port` or `ip`.
    #[arg(requires = "service")]
    pub backend: Option<String>,
    /// Repetition.
    #[command(flatten)]
    pub watch: Watch,
}

pub(super) fn show(arguments: &CheckArguments, json: bool, client: &Client) -> Result<(), Failure> {
    let ask = || {
        let mut answer = client.get("/v1/checks", &[])?;
        keep(&mut answer, "checks", "service", arguments.service.as_ref())?;
        if let (Some(wanted), Some(checks)) = (&arguments.backend, answer["checks"].as_array_mut()) {
            checks.retain(|check| {
                let address = check["backend"].as_str().unwrap_or_default();
                let ip = address.rsplit_once(':').map_or(address, |(ip, _)| ip);
                check["name"] == wanted.as_str() || address == wanted || ip.trim_matches(['[', ']']) == wanted
            });
        }
        Ok(answer)
    };
    repeat(&arguments.watch, json, ask, |answer, style| {
        let checks: Checks = typed(answer)?;
        Ok(match arguments.backend {
            Some(_) => checks.checks.iter().map(|check| details(check, style)).collect(),
            None => table(&checks, style),
        })
    })
}

fn tone(state: &str) -> Tone {
    match state {
        "up" => Tone::Good,
        "down" => Tone::Bad,
        _ => Tone::Attention,
    }
}

/// One line a check.
pub(super) fn table(answer: &Checks, style: Style) -> String {
    if answer.checks.is_empty() {
        return "nothing is checked\n".to_owned();
    }
    let mut table = Table::new(&[
        "SERVICE",
        "BACKEND",
        "CHECK",
        "STATE",
        ">LATENCY ms",
        ">FAILED",
        "NEXT RUN",
        "WHY",
    ]);
    for check in &answer.checks {
        table.row(vec![
            check.service.as_str().into(),
            check.backend.as_str().into(),
            kind(check).into(),
            Cell::new(&check.state, tone(&check.state)),
            check
                .last_latency_ms
                .map_or_else(|| "-".to_owned(), |latency| format!("{latency:.1}"))
                .into(),
            check.fails.into(),
            check.next_run.as_deref().unwrap_or("-").into(),
            check.why.as_str().into(),
        ]);
    }
    table.render(style)
}

/// The kind, and what it asks where that is not the backend itself.
fn kind(check: &Check) -> String {
    if check.target == check.backend {
        check.kind.clone()
    } else {
        format!("{} {}", check.kind, check.target)
    }
}

/// Everything that is known of a check.
pub(super) fn details(check: &Check, style: Style) -> String {
    let one = Checks {
        schema: String::new(),
        checks: vec![check.clone()],
    };
    let mut text = table(&one, style);
    let since = check.since.as_deref().unwrap_or("-");
    let last = check.last_result.as_deref().unwrap_or("nothing yet");
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "  since {since}; {} changes; {} runs passed, {} failed, {} left out; every {} ms",
        check.changes, check.passes, check.fails, check.skipped, check.interval_ms
    );
    let _ = writeln!(
        text,
        "  last: {last}; {} of {} against",
        check.against, check.needed
    );
    if let Some(until) = &check.held_until {
        let _ = writeln!(text, "  held back until {until}");
    }
    for (title, runs) in [("changes", &check.history), ("runs", &check.recent)] {
        if runs.is_empty() {
            continue;
        }
        let _ = writeln!(text, "  last {title}");
        for run in runs {
            let _ = writeln!(text, "    {}", line(run));
        }
    }
    text
}

fn line(run: &Run) -> String {
    format!(
        "{}  {:<5} {:>8.1} ms  {}",
        run.at, run.state, run.latency_ms, run.result
    )
}
