//! `weirctl config …`.

use std::path::Path;

use hyper::Method;
use weir_configs::{Change, Config, Report};

use super::answer::typed;
use super::args::ConfigCommand;
use super::client::Client;
use super::failure::Failure;
use super::output::{print, print_json};
use crate::api_types::{ConfigRequest, ConfigResult, RunningConfig, schema};

pub(super) fn run(
    command: &ConfigCommand,
    json: bool,
    client: impl FnOnce() -> Result<Client, Failure>,
) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { file } => check(file, json),
        ConfigCommand::Diff {
            file,
            newer: Some(newer),
        } => {
            let changes = weir_configs::diff(&load(file)?, &load(newer)?);
            tell(&offline(newer, changes), json, false)
        }
        ConfigCommand::Diff { file, newer: None } => send(file, "/v1/config/diff", json, &client()?),
        ConfigCommand::Apply { file, confirm: false } => send(file, "/v1/config/apply", json, &client()?),
        ConfigCommand::Apply { file, confirm: true } => {
            send(file, "/v1/config/apply?confirm=true", json, &client()?)
        }
        ConfigCommand::Show => show(json, &client()?),
        ConfigCommand::Reference => print(&weir_configs::reference()),
    }
}

fn load(file: &Path) -> Result<Config, Failure> {
    weir_configs::load(file).map_err(Failure::Invalid)
}

/// An answer that needed no daemon.
fn offline(file: &Path, changes: Vec<Change>) -> ConfigResult {
    ConfigResult {
        schema: schema::CONFIG_RESULT.to_owned(),
        file: file.display().to_string(),
        valid: true,
        diagnostics: Vec::new(),
        changes,
        applied: false,
        generation: None,
    }
}

fn check(file: &Path, json: bool) -> Result<(), Failure> {
    let config = load(file)?;
    if json {
        return tell(&offline(file, Vec::new()), true, false);
    }
    let backends: usize = config.services.iter().map(|service| service.backends.len()).sum();
    let counts = [
        (config.ports.len(), "port"),
        (config.services.len(), "service"),
        (backends, "backend"),
    ];
    let counted = counts.map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }));
    print(&format!("{}: valid: {}", file.display(), counted.join(", ")))
}

/// Sends a file that is valid here; a daemon of another version may still see it otherwise.
fn send(file: &Path, path: &str, json: bool, client: &Client) -> Result<(), Failure> {
    load(file)?;
    let text = std::fs::read_to_string(file).map_err(|error| Failure::Local {
        what: format!("cannot read {}", file.display()),
        error,
    })?;
    let request = ConfigRequest {
        file: file.display().to_string(),
        text,
    };
    let answer = client.send_json(&Method::POST, path, &request)?;
    let result: ConfigResult = typed(&answer)?;
    if !result.valid {
        return Err(Failure::Invalid(Report {
            diagnostics: result.diagnostics,
        }));
    }
    if json {
        print_json(&answer, false)
    } else {
        tell(&result, false, path.contains("/apply"))
    }
}

fn tell(result: &ConfigResult, json: bool, applying: bool) -> Result<(), Failure> {
    if json {
        let value = serde_json::to_value(result).map_err(|error| Failure::Answer(error.to_string()))?;
        return print_json(&value, false);
    }
    print(&view(result, applying))
}

/// The changes, one a line, and what became of them.
pub(super) fn view(result: &ConfigResult, applying: bool) -> String {
    let mut text: String = result
        .changes
        .iter()
        .map(|change| format!("{change}\n"))
        .collect();
    if result.changes.is_empty() {
        text += "no difference\n";
    }
    if applying {
        let restart = result.changes.iter().any(|change| change.needs_restart);
        text += &match (result.applied, result.generation) {
            (true, Some(generation)) => format!("applied as generation {generation}\n"),
            (true, None) => "applied; the data plane gets it as soon as it is connected\n".to_owned(),
            (false, _) => "not applied\n".to_owned(),
        };
        if result.applied && restart {
            text += "what needs a restart takes effect when the process is started anew\n";
        }
    }
    text
}

fn show(json: bool, client: &Client) -> Result<(), Failure> {
    let answer = client.get("/v1/config", &[])?;
    if json {
        return print_json(&answer, false);
    }
    let running: RunningConfig = typed(&answer)?;
    print(&format!(
        "# from {}, generation {}\n{}",
        running.file, running.generation, running.toml
    ))
}
