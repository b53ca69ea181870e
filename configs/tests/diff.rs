//! Differences are said in words, and JSON carries the same.

use weir_configs::{Config, diff, parse};

const BASE: &str = r#"
[[port]]
name = "lan"
device = "null"
addresses = ["192.0.2.2/24"]
[[route]]
to = "0.0.0.0/0"
via = "192.0.2.1"
[[service]]
name = "web"
address = "192.0.2.100:80"
scheduler = "wlc"
check = { http = { path = "/" } }
  [[service.backend]]
  address = "192.0.2.11:80"
  [[service.backend]]
  address = "192.0.2.12:80"
"#;

fn load(text: &str) -> Config {
    parse(text, "text").unwrap_or_else(|report| panic!("{report}"))
}

/// Differences after replacing `from` by `to` in the base, one line each.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(BASE.contains(from));
    diff(&load(BASE), &load(&BASE.replace(from, to)))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn each_difference_is_one_line() {
    let backend = "  [[service.backend]]\n  address = \"192.0.2.12:80\"\n";
    let table: [(&str, &str, &[&str]); 10] = [
        ("wlc", "wrr", &["~ service web: scheduler \"wlc\" -> \"wrr\""]),
        (
            "192.0.2.12:80\"",
            "192.0.2.12:80\"\nweight = 3",
            &["~ service web backend 192.0.2.12:80: weight 1 -> 3"],
        ),
        (
            "192.0.2.12:80\"",
            "192.0.2.12:80\"\nvlan = 20",
            &["~ service web backend 192.0.2.12:80: vlan (none) -> 20"],
        ),
        (
            "scheduler = \"wlc\"",
            "scheduler = \"wlc\"\nvlan = 10",
            &["~ service web: vlan (none) -> 10"],
        ),
        (backend, "", &["- service web backend 192.0.2.12:80"]),
        (
            "192.0.2.12:80",
            "192.0.2.13:80",
            &[
                "- service web backend 192.0.2.12:80",
                "+ service web backend 192.0.2.13:80",
            ],
        ),
        (
            "name = \"web\"",
            "name = \"www\"",
            &["- service web", "+ service www"],
        ),
        (
            "via = \"192.0.2.1\"",
            "via = \"192.0.2.254\"",
            &["~ route 0.0.0.0/0: via [\"192.0.2.1\"] -> [\"192.0.2.254\"]"],
        ),
        (
            "device = \"null\"",
            "device = \"null\"\nmtu = 9000",
            &["~ port lan: mtu 1500 -> 9000  (needs a restart)"],
        ),
        (
            "[[port]]",
            "[dataplane]\nworkers = [1, 2]\n[[port]]",
            &["~ dataplane: workers [0] -> [1, 2]  (needs a restart)"],
        ),
    ];
    for (from, to, lines) in table {
        assert_eq!(changed(from, to), lines);
    }
}

#[test]
fn order_of_backends_is_a_difference() {
    let (first, second) = ("192.0.2.11:80", "192.0.2.12:80");
    let swapped = BASE
        .replace(first, "X")
        .replace(second, first)
        .replace('X', second);
    let changes = diff(&load(BASE), &load(&swapped));
    assert_eq!(changes.len(), 1);
    assert_eq!(
        changes[0].to_string(),
        "~ service web backends: order 192.0.2.11:80, 192.0.2.12:80 -> 192.0.2.12:80, 192.0.2.11:80"
    );
}

#[test]
fn inherited_values_are_said_once() {
    let check = changed("path = \"/\"", "path = \"/health\"");
    assert_eq!(check, ["~ service web: check.http.path \"/\" -> \"/health\""]);
    let timeouts = changed("[[port]]", "[timeouts]\nudp_s = 60\n[[port]]");
    assert_eq!(timeouts, ["~ timeouts: udp_s 300 -> 60"]);
    let own = changed(
        "scheduler = \"wlc\"",
        "scheduler = \"wlc\"\ntimeouts = { udp_s = 60 }",
    );
    assert_eq!(own, ["~ service web: timeouts.udp_s 300 -> 60"]);
    let backend = changed("192.0.2.12:80\"", "192.0.2.12:80\"\ncheck = { tcp = {} }");
    assert_eq!(backend.len(), 2, "tcp instead of http: {backend:?}");
    assert_eq!(
        backend[0],
        "~ service web backend 192.0.2.12:80: check.http { body_bytes_max = 65536, path = \"/\", status = [\"200-299\"], version = \"1.1\" } -> (none)"
    );
}

#[test]
fn json_has_the_same() {
    let changes = diff(&load(BASE), &load(&BASE.replace("wlc", "rr")));
    let json = serde_json::to_value(&changes).expect("serialisable");
    let expected = serde_json::json!([{
        "kind": "changed", "object": "service web", "key": "scheduler",
        "old": "\"wlc\"", "new": "\"rr\"", "needs_restart": false
    }]);
    assert_eq!(json, expected);
}
