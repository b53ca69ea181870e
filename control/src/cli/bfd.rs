//! `weirctl bfd`.

use std::fmt::Write;

use clap::Args;

use super::answer::{repeat, typed};
use super::args::Watch;
use super::client::Client;
use super::failure::Failure;
use super::output::Style;
use super::table::{Cell, Table, Tone};
use crate::api_types::{ApiError, schema};
use crate::bfd::status::{Sessions, Status};

/// Arguments of `weirctl bfd`.
#[derive(Debug, Args)]
pub struct BfdArguments {
    /// Only this session, with everything there is to know about it.
    pub name: Option<String>,
    /// Repetition.
    #[command(flatten)]
    pub watch: Watch,
}

pub(super) fn show(arguments: &BfdArguments, json: bool, client: &Client) -> Result<(), Failure> {
    let ask = || client.get("/v1/bfd", &[]);
    repeat(&arguments.watch, json, ask, |answer, style| {
        let all: Sessions = typed(answer)?;
        let Some(name) = &arguments.name else {
            return Ok(table(&all.sessions, style));
        };
        let found = all.sessions.iter().find(|session| session.name == *name);
        found
            .map(|session| details(session, style))
            .ok_or_else(|| unknown(name))
    })
}

fn unknown(name: &str) -> Failure {
    Failure::Refused(ApiError {
        schema: schema::ERROR.to_owned(),
        error: format!("there is no BFD session \"{name}\""),
        help: "`weirctl bfd` lists what there is".to_owned(),
    })
}

fn tone(state: &str) -> Tone {
    match state {
        "up" => Tone::Good,
        "down" => Tone::Bad,
        _ => Tone::Attention,
    }
}

fn millis(us: u64) -> String {
    format!("{}.{:03} ms", us / 1000, us % 1000)
}

fn table(sessions: &[Status], style: Style) -> String {
    let mut table = Table::new(&[
        "NAME",
        "PEER",
        "STATE",
        "PEER SAYS",
        ">SENDS EVERY",
        ">DETECTS IN",
        "WHY",
    ]);
    for session in sessions {
        let why = match (&session.problem, session.state.as_str()) {
            (Some(problem), _) => problem.as_str(),
            (None, "up") => "-",
            (None, _) => session.diagnostic.as_str(),
        };
        table.row(vec![
            session.name.as_str().into(),
            session.peer.as_str().into(),
            Cell::new(&session.state, tone(&session.state)),
            session.remote_state.as_str().into(),
            millis(session.transmit_interval_us).into(),
            millis(session.detection_time_us).into(),
            why.into(),
        ]);
    }
    table.render(style)
}

fn details(session: &Status, style: Style) -> String {
    let mut text = table(std::slice::from_ref(session), style);
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<16}{value}");
    };
    line(
        "hops",
        if session.multihop { "several" } else { "one" }.to_owned(),
    );
    line("source", session.source.clone().unwrap_or_else(|| "-".to_owned()));
    line(
        "interface",
        session.interface.clone().unwrap_or_else(|| "-".to_owned()),
    );
    line(
        "discriminators",
        format!(
            "{} here, {} there",
            session.local_discriminator, session.remote_discriminator
        ),
    );
    for (name, count) in &session.stats {
        line(name, count.to_string());
    }
    text
}
