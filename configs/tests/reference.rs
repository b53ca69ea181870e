//! The reference page is what the loader's own lists say, and the defaults in it are the ones in force.

use std::path::Path;

use weir_configs::{Config, parse, reference};

#[test]
fn the_page_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
    if std::env::var_os("WEIR_UPDATE").is_some() {
        std::fs::write(&file, reference()).expect("writable");
    }
    let page = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        page == reference(),
        "configs/REFERENCE.md is out of date: run the tests once with WEIR_UPDATE=1"
    );
}

/// Rows of the page: (header, key, default).
fn rows() -> Vec<(String, String, Option<String>)> {
    let (mut header, mut rows) = (String::new(), Vec::new());
    for line in reference().lines() {
        if let Some(title) = line.strip_prefix("## ") {
            header = title.to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
            let default = cells[2]
                .strip_prefix('`')
                .map(|default| default.trim_end_matches('`').to_owned());
            rows.push((header.clone(), cells[0].trim_end_matches('`').to_owned(), default));
        }
    }
    rows
}

const PORT: &str = "[[port]]\nname = 'lan'\ndevice = 'null'\naddresses = ['192.0.2.2/24']\n";
const VRRP: &str =
    "[[vrrp]]\nname = 'VI_1'\ninterface = 'eth0'\nvirtual_router_id = 51\naddresses = ['192.0.2.100/24']\n";
const BFD: &str = "[[bfd]]\nname = 'peer'\npeer = '192.0.2.2'\n";
const SERVICE: &str = "[[service]]\nname = 'web'\naddress = '192.0.2.100:80'\n";
const BACKEND: &str = "[[service.backend]]\naddress = '192.0.2.11:80'\n";

/// A file in which `line` stands in the section of that header; with an empty line, the same file without it.
fn file_with(header: &str, line: &str) -> Option<String> {
    let service =
        |in_service: &str, in_backend: &str| format!("{PORT}{SERVICE}{in_service}\n{BACKEND}{in_backend}\n");
    Some(match header {
        "[dataplane]" | "[control]" | "[health]" | "[timeouts]" | "[ipvs]" => format!("{header}\n{line}\n"),
        "[[port]]" => format!("[[port]]\nname = 'lan'\ndevice = 'null'\n{line}\n"),
        "[[service]]" => service(line, ""),
        "[[service.backend]]" => service("", line),
        "tunnel = { … }" => service(&format!("forward = 'tunnel'\ntunnel = {{ {line} }}"), ""),
        "check = { … }" => service(
            &format!(
                "check = {{ tcp = {{}}{}{line} }}",
                if line.is_empty() { "" } else { ", " }
            ),
            "",
        ),
        "check.http.also" => service(&format!("check = {{ http = {{ also = [{{ {line} }}] }} }}"), ""),
        "check.script" => {
            let comma = if line.is_empty() { "" } else { ", " };
            service(
                &format!("check = {{ script = {{ path = '/bin/check'{comma}{line} }} }}"),
                "",
            )
        }
        "check.file" => {
            let comma = if line.is_empty() { "" } else { ", " };
            service(
                &format!("check = {{ file = {{ path = '/run/weight', multiplier = 1{comma}{line} }} }}"),
                "",
            )
        }
        "check.tls" => service(&format!("check = {{ tcp = {{}}, tls = {{ {line} }} }}"), ""),
        "check.flap" => service(&format!("check = {{ tcp = {{}}, flap = {{ {line} }} }}"), ""),
        "check.tcp" | "check.http" | "check.smtp" | "check.sip" | "check.udp" | "check.dns"
        | "check.grpc" => {
            let kind = header.trim_start_matches("check.");
            service(&format!("check = {{ {kind} = {{ {line} }} }}"), "")
        }
        "pool = { … }" => service(&format!("pool = {{ {line} }}"), ""),
        "pool.passive" => service(
            &format!("forward = 'nat'\npool = {{ passive = {{ {line} }} }}"),
            "",
        ),
        "pool.sorry_server" => {
            let comma = if line.is_empty() { "" } else { ", " };
            let server = format!("address = '192.0.2.99:80'{comma}{line}");
            service(&format!("pool = {{ sorry_server = {{ {server} }} }}"), "")
        }
        "[[sriov]]" => format!("[[sriov]]\npf = 'eth0'\nvfs = 4\n{line}\n"),
        "[[sriov.vf]]" => format!("[[sriov]]\npf = 'eth0'\nvfs = 4\n[[sriov.vf]]\nindex = 1\n{line}\n"),
        "[[vrrp]]" => format!("{VRRP}{line}\n"),
        "[[bfd]]" => format!("{BFD}{line}\n"),
        "[[vrrp.track]]" => format!("{VRRP}[[vrrp.track]]\ninterface = 'eth1'\n{line}\n"),
        _ => return None,
    })
}

fn load(text: &str) -> Config {
    parse(text, "default.toml").unwrap_or_else(|report| panic!("{text}\n{report}"))
}

#[test]
fn writing_a_default_changes_nothing() {
    let mut tried = 0;
    for (header, key, default) in rows() {
        let Some(default) = default else { continue };
        let with = file_with(&header, &format!("{key} = {default}"))
            .unwrap_or_else(|| panic!("no file for {header}"));
        let without = file_with(&header, "").unwrap_or_default();
        assert_eq!(load(&with), load(&without), "{header} {key} = {default}");
        tried += 1;
    }
    assert!(tried > 40, "{tried}");
}
