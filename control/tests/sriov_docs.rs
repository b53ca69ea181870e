//! The page on virtual functions says only what is so: its commands exist, its configuration loads, its figures are the rules'.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use clap::Parser;
use std::path::Path;
use weir_configs::Device;
use weir_control::cli::args::Arguments;
use weir_control::sriov::rules::RULES;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sriov.md");
    std::fs::read_to_string(path).unwrap()
}

/// The blocks of one language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    page.split(&opening)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn there_are_ten_commands_and_they_exist() {
    let blocks = blocks(&page(), "console");
    let commands: Vec<&str> = blocks[0].lines().collect();
    assert_eq!(commands.len(), 10);
    for command in &commands {
        let words: Vec<&str> = command.trim_end_matches(" &").split(' ').collect();
        match words[0] {
            "weirctl" => {
                drop(Arguments::try_parse_from(&words).unwrap_or_else(|error| panic!("{command}: {error}")))
            }
            "weir-control" | "weir-dataplane" => assert_eq!(words[1..], ["--config", "/etc/weir/weir.toml"]),
            other => panic!("{other} is none of ours"),
        }
    }
}

#[test]
fn commands_in_the_text_exist() {
    let page = page();
    let quoted = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| text.starts_with("weirctl "));
    let mut seen = 0;
    for command in quoted {
        Arguments::try_parse_from(command.split(' ')).unwrap_or_else(|error| panic!("{command}: {error}"));
        seen += 1;
    }
    assert!(seen >= 4, "{seen}");
}

#[test]
fn the_configuration_loads() {
    let toml = &blocks(&page(), "toml")[0];
    let config = weir_configs::parse(toml, "docs/sriov.md").unwrap_or_else(|report| panic!("{report}"));
    assert!(matches!(config.ports[0].device, Device::Vf { vf: 0, .. }));
    assert_eq!(config.sriov[0].vf(1).1, Some("web1"));
}

#[test]
fn the_table_has_the_figures_of_the_rules() {
    let page = page();
    for rules in RULES.iter().filter(|rules| rules.driver != "netdevsim") {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| {} |", rules.driver)))
            .unwrap_or_else(|| panic!("{}", rules.driver));
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        if let Some(most) = rules.vfs_max {
            assert!(cells[2].starts_with(&most.to_string()), "{row}");
        }
        if let Some(rates) = rules.max_tx_rate {
            assert!(
                cells[4].starts_with(&format!("{} to {}", rates.low_mbps, rates.high_mbps)),
                "{row}"
            );
        }
        let yes = |has: bool| if has { "yes" } else { "no" };
        assert_eq!(
            cells[5..],
            [yes(rules.min_tx_rate), yes(rules.dot1ad), yes(rules.link_state)],
            "{row}"
        );
    }
}
