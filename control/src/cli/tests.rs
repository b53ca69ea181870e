//! Views from fixed answers against the texts beside them (`control/tests/views`); `WEIR_UPDATE=1` rewrites the texts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{CommandFactory, Parser};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::{Arguments, Command};
use super::client::percent_encoded;
use super::view::{self, ServiceColumns};
use super::{Style, config};
use crate::api_types::{Checks, ConfigResult, Services};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/views")
}

fn answer<T: DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).expect("an answer");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn assert_view(name: &str, found: &str) {
    let file = folder().join(format!("{name}.txt"));
    if std::env::var_os("WEIR_UPDATE").is_some() {
        std::fs::write(&file, found).expect("writable");
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        found, expected,
        "{name}.txt differs; if the new text is right, run once with WEIR_UPDATE=1"
    );
}

/// The view that belongs to an answer, by the answer's schema.
fn view_of(name: &str, style: Style) -> String {
    let value: Value = answer(name);
    match value["schema"].as_str().expect("a schema") {
        "weir.status/1" => view::status(&answer(name), style),
        "weir.services/1" => view::services(&answer(name), &ServiceColumns::Connections, style),
        "weir.backends/1" => view::backends(&answer(name), style),
        "weir.checks/1" => checks(&answer(name), style),
        "weir.maintenance/1" => super::maintenance::table(&answer(name), style),
        "weir.ports/1" => view::ports(&answer(name), style),
        "weir.workers/1" => view::workers(&answer(name), style),
        "weir.neighbors/1" => view::neighbors(&answer(name), style),
        "weir.flows/1" => view::flows(&answer(name), style),
        "weir.drops/1" => view::drops(&answer(name), false, style),
        "weir.explain/1" => view::explain(&answer(name), style),
        other => panic!("{name}: no view for {other}"),
    }
}

/// The table, and below it each check with all that is known of it.
fn checks(answer: &Checks, style: Style) -> String {
    let details = answer
        .checks
        .iter()
        .map(|check| super::check::details(check, style));
    super::check::table(answer, style) + &details.collect::<String>()
}

#[test]
fn every_answer_has_its_view() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("views")
        .filter_map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .to_str()?
                .strip_suffix(".json")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    assert!(names.len() >= 14, "{names:?}");
    for name in names {
        let plain = view_of(&name, Style::Plain);
        assert!(
            !plain.contains('\x1b'),
            "{name}: an escape sequence without colour"
        );
        assert!(
            plain.ends_with('\n') && plain.lines().all(|line| line == line.trim_end()),
            "{name}: stray spaces"
        );
        assert_view(&name, &plain);
        assert_eq!(
            without_escapes(&view_of(&name, Style::Colored)),
            plain,
            "{name}: colour changes the text"
        );
    }
}

fn without_escapes(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| {
        whole + part.split_once('m').expect("the end of a sequence").1
    })
}

#[test]
fn colour_marks_what_is_down() {
    assert!(view_of("backends", Style::Colored).contains("\x1b[1;31mdown\x1b[0m"));
    assert!(view_of("services", Style::Colored).contains("\x1b[32mup\x1b[0m"));
}

#[test]
fn services_show_totals_and_rates() {
    let now: Services = answer("services");
    assert_view(
        "services_stats",
        &view::services(&now, &ServiceColumns::Stats, Style::Plain),
    );
    let mut before = now.clone();
    before.services[0].backends[0].traffic.connections -= 100;
    before.services[0].backends[0].traffic.packets_in -= 9000;
    before.services[0].backends[1].traffic.bytes_in += 1;
    before.services[0].backends.pop();
    let columns = ServiceColumns::Rate {
        before,
        elapsed: Duration::from_millis(2000),
    };
    assert_view("services_rate", &view::services(&now, &columns, Style::Plain));
}

#[test]
fn drops_can_show_reasons_that_never_occurred() {
    assert_view("drops_all", &view::drops(&answer("drops"), true, Style::Plain));
}

#[test]
fn what_was_applied_is_said() {
    let change = |key: &str, needs_restart| weir_configs::Change {
        kind: weir_configs::ChangeKind::Changed,
        object: "service web".to_owned(),
        key: Some(key.to_owned()),
        old: Some("1".to_owned()),
        new: Some("2".to_owned()),
        needs_restart,
    };
    let mut result = ConfigResult {
        schema: String::new(),
        file: "weir.toml".to_owned(),
        valid: true,
        diagnostics: Vec::new(),
        changes: vec![change("weight", false)],
        applied: true,
        generation: Some(8),
    };
    assert_eq!(
        config::view(&result, true),
        "~ service web: weight 1 -> 2\napplied as generation 8\n"
    );
    assert_eq!(config::view(&result, false), "~ service web: weight 1 -> 2\n");
    result.changes.clear();
    assert_eq!(config::view(&result, false), "no difference\n");
    result.changes.push(change("mtu", true));
    assert!(config::view(&result, true).contains("takes effect when the process is started anew"));
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn options_with_a_unit_say_it() {
    fn visit(command: &clap::Command) {
        for option in command.get_arguments() {
            let about = option.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                !about.is_empty(),
                "{} {}: no help",
                command.get_name(),
                option.get_id()
            );
            let value = option
                .get_value_names()
                .unwrap_or_default()
                .first()
                .map(|name| name.to_string());
            match value.as_deref() {
                Some("SECONDS") => assert!(about.contains("second"), "{}: {about}", option.get_id()),
                Some("FLOWS") => assert!(about.contains("flows"), "{}: {about}", option.get_id()),
                Some("WEIGHT") => assert!(about.contains("65535"), "{}: {about}", option.get_id()),
                _ => {}
            }
        }
        command.get_subcommands().for_each(visit);
    }
    let mut command = Arguments::command();
    command.build();
    visit(&command);
}

#[test]
fn watch_takes_seconds_or_one() {
    let watch =
        |line: &str| match Arguments::try_parse_from(line.split(' ')).map(|arguments| arguments.command) {
            Ok(Command::Service(service)) => service.watch.watch,
            other => panic!("{line}: {other:?}"),
        };
    assert_eq!(watch("weirctl service"), None);
    assert_eq!(watch("weirctl service --watch"), Some(1));
    assert_eq!(watch("weirctl service --watch=5"), Some(5));
    assert_eq!(
        watch("weirctl service --watch web"),
        Some(1),
        "web is the service's name"
    );
    assert!(Arguments::try_parse_from(["weirctl", "service", "--watch=0"]).is_err());
}

#[test]
fn queries_are_encoded() {
    assert_eq!(
        percent_encoded("[2001:db8::1]:80"),
        "%5B2001%3Adb8%3A%3A1%5D%3A80"
    );
    assert_eq!(percent_encoded("a b&c=ü"), "a%20b%26c%3D%C3%BC");
    assert_eq!(percent_encoded("web-1_x.y~"), "web-1_x.y~");
}
