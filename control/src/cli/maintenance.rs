//! `weirctl maintenance`: servers that somebody works on.

use clap::{Args, Subcommand};
use hyper::Method;

use super::answer::{repeat, typed};
use super::args::Watch;
use super::client::Client;
use super::failure::Failure;
use super::output::{Style, print, print_json};
use super::table::Table;
use crate::api_types::{Maintenance, MaintenanceChange};

/// Arguments of `weirctl maintenance`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct MaintenanceArguments {
    /// Repetition.
    #[command(flatten)]
    pub watch: Watch,
    /// Begin or end work on a server.
    #[command(subcommand)]
    pub change: Option<MaintenanceCommand>,
}

/// Begin or end.
#[derive(Debug, Subcommand)]
pub enum MaintenanceCommand {
    /// The server drains from now on, until `off`.
    On {
        /// Which.
        #[command(flatten)]
        which: WhichServer,
        /// What is done, for others to read.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// The work is over.
    Off(WhichServer),
}

/// A server in one service, or in all.
#[derive(Debug, Args)]
pub struct WhichServer {
    /// The backend: its name, `ip:port` or `ip`.
    pub backend: String,
    /// Only in this service; left out: in all.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
}

pub(super) fn run(arguments: &MaintenanceArguments, json: bool, client: &Client) -> Result<(), Failure> {
    let Some(change) = &arguments.change else {
        let ask = || client.get("/v1/maintenance", &[]);
        return repeat(&arguments.watch, json, ask, |answer, style| {
            Ok(table(&typed(answer)?, style))
        });
    };
    let answer = client.send_json(&Method::POST, "/v1/maintenance", &body(change))?;
    if json {
        return print_json(&answer, false);
    }
    print(&table(&typed(&answer)?, Style::of_stdout()))
}

fn body(change: &MaintenanceCommand) -> MaintenanceChange {
    let (which, on, reason) = match change {
        MaintenanceCommand::On { which, reason } => (which, true, reason.clone()),
        MaintenanceCommand::Off(which) => (which, false, String::new()),
    };
    MaintenanceChange {
        service: which.service.clone(),
        backend: which.backend.clone(),
        on,
        reason,
    }
}

pub(super) fn table(answer: &Maintenance, style: Style) -> String {
    if answer.maintenance.is_empty() {
        return "nobody works on a server\n".to_owned();
    }
    let mut table = Table::new(&["SERVICE", "BACKEND", "SINCE", ">FLOWS", "REASON"]);
    for maintained in &answer.maintenance {
        table.row(vec![
            maintained.service.as_str().into(),
            maintained.backend.as_str().into(),
            maintained.since.as_deref().unwrap_or("-").into(),
            maintained.flows.into(),
            maintained.reason.as_str().into(),
        ]);
    }
    table.render(style)
}
