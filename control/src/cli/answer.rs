//! What every view does with an answer: read it, keep what was asked for, show it once or again and again.

use std::thread::sleep;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::Watch;
use super::failure::Failure;
use super::output::{Style, print, print_json, start_over};
use crate::api_types::{ApiError, schema};

/// Reads an answer as the type that was asked for.
pub(super) fn typed<T: DeserializeOwned>(answer: &Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|error| Failure::Answer(error.to_string()))
}

/// Asks and shows, once or until interrupted.
pub(super) fn repeat(
    watch: &Watch,
    json: bool,
    mut ask: impl FnMut() -> Result<Value, Failure>,
    mut view: impl FnMut(&Value, Style) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let style = Style::of_stdout();
    loop {
        let answer = ask()?;
        if json {
            print_json(&answer, watch.watch.is_some())?;
        } else {
            let text = view(&answer, style)?;
            if watch.watch.is_some() {
                start_over()?;
            }
            print(&text)?;
        }
        let Some(seconds) = watch.watch else { return Ok(()) };
        sleep(Duration::from_secs(seconds.into()));
    }
}

/// Keeps the entries of `list` whose `key` is `wanted`.
pub(super) fn keep(
    answer: &mut Value,
    list: &str,
    key: &str,
    wanted: Option<&String>,
) -> Result<(), Failure> {
    let Some(wanted) = wanted else { return Ok(()) };
    if let Some(entries) = answer[list].as_array_mut() {
        entries.retain(|entry| entry[key] == wanted.as_str());
        if entries.is_empty() {
            return Err(not_found("service", wanted));
        }
    }
    Ok(())
}

fn not_found(what: &str, name: &str) -> Failure {
    Failure::Refused(ApiError {
        schema: schema::ERROR.to_owned(),
        error: format!("there is no {what} \"{name}\""),
        help: "`weirctl service` lists what there is".to_owned(),
    })
}
