//! The function and the plan, by random pairs of configurations: what a reload leaves behind is what a fresh start makes.

use super::*;
use crate::health::book::Finding;
use crate::health::{Target, targets};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use weir_configs::Config;
use weir_proto::health::{Asked, Health};
use weir_proto::time::Instant;
use weir_rings::message::{Command, Forward, PortId, VlanId};

pub(crate) fn seed() -> u64 {
    std::env::var("WEIR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_261_120)
}

fn parse(text: &str) -> Config {
    weir_configs::parse(text, "test.toml").unwrap_or_else(|report| panic!("{report}\n{text}"))
}

const PORTS: &str = r#"
    [[port]]
    name = "lan"
    device = "null"
    addresses = ["192.0.2.2/24", "2001:db8::2/64"]
    [[port]]
    name = "wan"
    device = "ring"
    addresses = ["198.51.100.2/24"]
"#;

/// A random configuration out of a small space, so that two of them have much in common and much not.
pub(crate) fn random_config(rng: &mut SmallRng) -> Config {
    let mut text = String::from(PORTS);
    if rng.random_bool(0.3) {
        text.insert_str(
            0,
            "[timeouts]\npreset = \"dpvs\"\n[ipvs]\nexpire_nodest_conn = true\n",
        );
    }
    if rng.random_bool(0.3) {
        let logs = rng.random_bool(0.5);
        let health = format!("[health]\ndefaults = \"keepalived\"\nlog_all_failures = {logs}\n");
        text.insert_str(0, &health);
    }
    if rng.random_bool(0.5) {
        let gateway = rng.random_range(3..5);
        writeln!(
            text,
            "[[route]]\nto = \"0.0.0.0/0\"\nvia = \"198.51.100.{gateway}\""
        )
        .unwrap();
    }
    if rng.random_bool(0.3) {
        writeln!(
            text,
            "[[neighbor]]\naddress = \"192.0.2.11\"\nmac = \"02:00:00:00:00:0{}\"",
            rng.random_range(1..4)
        )
        .unwrap();
    }
    for name in ["a", "b", "c", "d"] {
        if rng.random_bool(0.7) {
            random_service(rng, name, &mut text);
        }
    }
    parse(&text)
}

fn random_service(rng: &mut SmallRng, name: &str, text: &mut String) {
    let port = 80 + u16::from(name.as_bytes()[0]);
    let vip = rng.random_range(100..102);
    let protocol = ["tcp", "udp"][rng.random_range(0..2)];
    let forward = ["dr", "nat", "fullnat", "tunnel"][rng.random_range(0..4)];
    let scheduler = ["rr", "wrr", "wlc", "maglev"][rng.random_range(0..4)];
    writeln!(
        text,
        "[[service]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\nforward = \"{forward}\""
    )
    .unwrap();
    writeln!(text, "scheduler = \"{scheduler}\"").unwrap();
    let several = rng.random_bool(0.3);
    match several {
        true => writeln!(
            text,
            "addresses = [\"192.0.2.{vip}:{port}\", \"192.0.2.103:{port}\"]"
        )
        .unwrap(),
        false => writeln!(text, "address = \"192.0.2.{vip}:{port}\"").unwrap(),
    }
    if forward == "fullnat" {
        writeln!(
            text,
            "local_addresses = [\"192.0.2.{}\"]",
            rng.random_range(50..52)
        )
        .unwrap();
    }
    if rng.random_bool(0.3) {
        writeln!(text, "persistence_timeout_s = {}", rng.random_range(1..3) * 100).unwrap();
    }
    if rng.random_bool(0.2) {
        writeln!(
            text,
            "timeouts = {{ udp_s = 30 }}\nipvs = {{ expire_nodest_conn = true }}"
        )
        .unwrap();
    }
    if rng.random_bool(0.6) {
        writeln!(
            text,
            "check = {{ tcp = {{}}, interval_ms = {} }}",
            rng.random_range(1..3) * 1_000
        )
        .unwrap();
    }
    if rng.random_bool(0.5) {
        writeln!(text, "pool = {{ {} }}", random_pool(rng, port)).unwrap();
    }
    for server in 11..16 {
        if rng.random_bool(0.6) {
            writeln!(text, "[[service.backend]]\naddress = \"192.0.2.{server}:{port}\"").unwrap();
            writeln!(
                text,
                "weight = {}\ndrain = {}",
                rng.random_range(0..3),
                rng.random_bool(0.1)
            )
            .unwrap();
            for key in ["alpha", "inhibit_on_failure"] {
                if rng.random_bool(0.2) {
                    writeln!(text, "{key} = {}", rng.random_bool(0.5)).unwrap();
                }
            }
        }
    }
}

fn random_pool(rng: &mut SmallRng, port: u16) -> String {
    let quorum = rng.random_range(1..5);
    let mut keys = vec![
        format!("quorum = {quorum}"),
        format!("hysteresis = {}", rng.random_range(0..quorum)),
    ];
    let mut sometimes = |share, key: &str| {
        if rng.random_bool(share) {
            keys.push(key.to_owned());
        }
    };
    sometimes(0.3, "alpha = true");
    sometimes(0.3, "inhibit_on_failure = false");
    sometimes(0.3, "all_failed = \"remove\"");
    sometimes(0.3, "removal_limit = \"50%\"");
    sometimes(0.2, "on_removal = \"cut\"");
    sometimes(
        0.4,
        &format!("sorry_server = {{ address = \"192.0.2.19:{port}\" }}"),
    );
    keys.join(", ")
}

/// A verdict that depends on the target and a salt only, so that it is the same on either side of a comparison.
fn verdict(target: &Target, salt: u64) -> Health {
    let mut hasher = DefaultHasher::new();
    (target, salt).hash(&mut hasher);
    if hasher.finish().is_multiple_of(3) {
        Health::Down
    } else {
        Health::Up
    }
}

fn ports() -> Vec<String> {
    vec!["lan".into(), "wan".into()]
}

fn table(config: &Config, salt: u64, overrides: &Overrides) -> Table {
    let desired = desired(&Inputs {
        ports: &ports(),
        health: &|target| verdict(target, salt).into(),
        overrides,
        drains: &Drains::new(),
        owns: &|_| Holding::ALONE,
        ..Inputs::of(config)
    });
    assert_eq!(desired.problems, Vec::<String>::new());
    desired.table
}

/// Applies as a dataplane would that refuses whatever names a thing that is not there.
fn apply_strictly(table: &mut Table, commands: &[Command], context: &str) {
    for command in commands {
        match command {
            Command::UpsertService(service) => {
                assert!(
                    table.vips.contains_key(&service.key.address),
                    "{context}: {command:?} before its VIP"
                );
            }
            Command::DeleteVip(address) => {
                let used = table.services.keys().any(|key| key.address == *address);
                assert!(
                    !used && table.vips.contains_key(address),
                    "{context}: {command:?}"
                );
            }
            Command::DeleteService(key) => {
                assert!(table.services.contains_key(key), "{context}: {command:?}")
            }
            Command::UpsertBackend(backend) => {
                assert!(
                    table.services.contains_key(&backend.service),
                    "{context}: {command:?} before its service"
                );
            }
            Command::DeleteBackend(service, backend) => {
                assert!(
                    table.backends.contains_key(&(*service, *backend)),
                    "{context}: {command:?}"
                );
            }
            Command::UpsertLocalAddress(local) => {
                let service = local.key.service.unwrap();
                assert!(
                    table.services.contains_key(&service),
                    "{context}: {command:?} before its service"
                );
            }
            Command::DeleteLocalAddress(key) => {
                assert!(table.local_addresses.contains_key(key), "{context}: {command:?}");
            }
            Command::DeleteRoute(prefix) => {
                assert!(table.routes.contains_key(prefix), "{context}: {command:?}")
            }
            Command::DeleteNeighbor(key) => {
                assert!(table.neighbors.contains_key(key), "{context}: {command:?}")
            }
            Command::UpsertVip(_)
            | Command::UpsertRoute(_)
            | Command::UpsertNeighbor(_)
            | Command::Timeouts(_)
            | Command::Announce(_) => {}
        }
        table.apply(command);
    }
}

#[test]
fn a_thousand_reloads_each_leave_what_a_fresh_start_makes() {
    let seed = seed();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut held = Table::default();
    let mut longest = 0;
    for round in 0..1_000 {
        let config = random_config(&mut rng);
        let salt = rng.random_range(0..4);
        let fresh = table(&config, salt, &Overrides::new());
        let plan = held.plan(&fresh);
        longest = longest.max(plan.len());
        apply_strictly(&mut held, &plan, &format!("WEIR_SEED={seed}, round {round}"));
        assert_eq!(held, fresh, "WEIR_SEED={seed}, round {round}");
        assert_eq!(
            held.plan(&fresh),
            vec![],
            "a second reload of the same says nothing"
        );
    }
    assert!(
        longest > 20,
        "the plans were worth testing: at most {longest} commands"
    );
}

#[test]
fn a_full_resync_from_nothing_makes_the_same_table() {
    let seed = seed();
    let mut rng = SmallRng::seed_from_u64(seed ^ 1);
    for round in 0..200 {
        let fresh = table(&random_config(&mut rng), round, &Overrides::new());
        let mut held = Table::default();
        apply_strictly(
            &mut held,
            &Table::default().plan(&fresh),
            &format!("WEIR_SEED={seed}, round {round}"),
        );
        assert_eq!(held, fresh, "WEIR_SEED={seed}, round {round}");
    }
}

const WEB: &str = r#"
    [[service]]
    name = "web"
    address = "192.0.2.100:80"
    forward = "dr"
    check = { tcp = {} }
    [[service.backend]]
    address = "192.0.2.11:80"
    weight = 3
    [[service.backend]]
    address = "192.0.2.12:80"
    weight = 5
"#;

fn web(more: &str) -> Config {
    parse(&format!("{PORTS}{more}{WEB}"))
}

/// (weight, drain) of the backend whose address ends in `octet`; `None` when it is not in the table.
fn held(table: &Table, octet: u8) -> Option<(u16, bool)> {
    let found = table
        .backends
        .iter()
        .find(|((_, key), _)| key.address == std::net::IpAddr::from([192, 0, 2, octet]));
    found.map(|(_, backend)| (backend.weight, backend.drain))
}

fn name(octet: u8) -> BackendName {
    BackendName {
        service: "web".into(),
        backend: ([192, 0, 2, octet], 80).into(),
    }
}

#[test]
fn health_weight_and_drain_decide_what_a_backend_gets() {
    let set = |weight, drain| Override {
        weight,
        drain,
        disable: None,
    };
    // (11 is down, flows of missing servers end, override of 11, what the table says of 11)
    let rows = [
        (false, false, set(None, None), Some((3, false))),
        (true, false, set(None, None), Some((0, true))),
        (true, true, set(None, None), None),
        (false, true, set(None, None), Some((3, false))),
        (false, false, set(Some(9), None), Some((9, false))),
        (false, false, set(Some(0), None), Some((0, false))),
        (false, false, set(None, Some(true)), Some((0, true))),
        (false, false, set(Some(9), Some(true)), Some((0, true))),
        (true, false, set(Some(9), Some(false)), Some((0, true))),
    ];
    for (down, ends, set, expected) in rows {
        let config = web(if ends {
            "[ipvs]\nexpire_nodest_conn = true\n"
        } else {
            ""
        });
        let is_11 = |target: &Target| target.address.ip() == std::net::IpAddr::from([192, 0, 2, 11]);
        let desired = desired(&Inputs {
            ports: &ports(),
            health: &|target| {
                if down && is_11(target) {
                    Health::Down.into()
                } else {
                    Finding::UP
                }
            },
            overrides: &Overrides::from([(name(11), set)]),
            drains: &Drains::new(),
            owns: &|_| Holding::ALONE,
            ..Inputs::of(&config)
        });
        assert_eq!(
            held(&desired.table, 11),
            expected,
            "down {down}, ends {ends}, {set:?}"
        );
        assert_eq!(
            held(&desired.table, 12),
            Some((5, false)),
            "the other backend is left alone"
        );
    }
}

/// What becomes of a server at 192.0.2.11 of which is known what `finding` says.
fn eleven(pool: &str, backend: &str, check: &str, finding: Finding) -> Option<(u16, bool)> {
    let text = format!("{PORTS}{WEB}")
        .replace(
            "check = { tcp = {} }",
            &format!("check = {{ tcp = {{}}{check} }}\npool = {{ {pool} }}"),
        )
        .replace("weight = 3", &format!("weight = 3\n{backend}"));
    let config = parse(&text);
    let desired = desired(&Inputs {
        ports: &ports(),
        health: &|target| match target.address.ip() == std::net::IpAddr::from([192, 0, 2, 11]) {
            true => finding,
            false => Finding::UP,
        },
        owns: &|_| Holding::ALONE,
        ..Inputs::of(&config)
    });
    held(&desired.table, 11)
}

#[test]
fn alpha_is_the_checks_else_the_servers_else_the_pools() {
    let (up, down) = (Some((3, false)), Some((0, true)));
    for (pool, backend, check, expected) in [
        ("", "", "", up),
        ("alpha = true", "", "", down),
        ("alpha = true", "alpha = false", "", up),
        ("", "alpha = true", "", down),
        ("alpha = true", "alpha = true", ", alpha = false", up),
        ("", "alpha = false", ", alpha = true", down),
    ] {
        let found = eleven(pool, backend, check, Finding::UNKNOWN);
        assert_eq!(found, expected, "{pool}; {backend}; {check}");
        let proved = Finding {
            proved: true,
            ..Finding::UNKNOWN
        };
        assert_eq!(
            eleven(pool, backend, check, proved),
            up,
            "{pool}; {backend}; {check}"
        );
    }
}

#[test]
fn a_failed_server_keeps_its_place_as_it_says_itself_else_its_pool() {
    let (quiet, out) = (Some((0, true)), None);
    for (pool, backend, expected) in [
        ("", "", quiet),
        ("", "inhibit_on_failure = false", out),
        ("inhibit_on_failure = false", "", out),
        ("inhibit_on_failure = false", "inhibit_on_failure = true", quiet),
    ] {
        let found = eleven(pool, backend, "", Health::Down.into());
        assert_eq!(found, expected, "{pool}; {backend}");
    }
}

#[test]
fn what_checks_ask_for_moves_the_configured_weight() {
    for (asked, weight) in [
        (Asked::Is(7), 7),
        (Asked::Is(0), 0),
        (Asked::Plus(4), 7),
        (Asked::Plus(-2), 1),
        (Asked::Plus(-9), 0),
        (Asked::Plus(i32::MAX), u16::MAX),
    ] {
        let finding = Finding {
            weight: Some(asked),
            ..Finding::UP
        };
        assert_eq!(eleven("", "", "", finding), Some((weight, false)), "{asked}");
    }
}

#[test]
fn removed_backends_drain_and_come_back_as_configured() {
    let config = web("");
    let gone = weir_configs::Backend {
        address: ([192, 0, 2, 13], 80).into(),
        ..config.services[0].backends[0].clone()
    };
    let drain = |backend: &weir_configs::Backend| Drain {
        backend: backend.clone(),
        since: Instant::ZERO,
        until: Instant::MAX,
    };
    let drains = Drains::from([
        (name(13), drain(&gone)),
        (name(12), drain(&config.services[0].backends[1])),
    ]);
    let inputs = Inputs {
        ports: &ports(),
        overrides: &Overrides::new(),
        drains: &drains,
        owns: &|_| Holding::ALONE,
        ..Inputs::of(&config)
    };
    let table = desired(&inputs).table;
    assert_eq!(held(&table, 13), Some((0, true)));
    assert_eq!(
        held(&table, 12),
        Some((5, false)),
        "configured again: the drain is over"
    );
}

#[test]
fn addresses_of_another_box_are_prepared_but_not_claimed() {
    let config = web("");
    let inputs = Inputs {
        ports: &ports(),
        overrides: &Overrides::new(),
        drains: &Drains::new(),
        owns: &|_| Holding {
            owned: false,
            ..Holding::ALONE
        },
        ..Inputs::of(&config)
    };
    let table = desired(&inputs).table;
    assert!(table.vips.values().all(|vip| !vip.owned));
    assert_eq!(table.backends.len(), 2);
}

#[test]
fn ports_are_named_by_the_dataplanes_order_and_missing_ones_are_told() {
    let config = web("[[route]]\nto = \"0.0.0.0/0\"\nvia = \"198.51.100.1\"\n");
    let compute = |ports: &[String]| {
        desired(&Inputs {
            ports,
            overrides: &Overrides::new(),
            drains: &Drains::new(),
            owns: &|_| Holding::ALONE,
            ..Inputs::of(&config)
        })
    };
    let told = compute(&["wan".into(), "lan".into()]);
    let route = told.table.routes.values().next().unwrap();
    assert_eq!(route.gateways[0].port, Some(PortId(0)));
    let untold = compute(&["lan".into()]);
    assert!(untold.table.routes.is_empty());
    assert!(
        untold.problems[0].contains("no port \"wan\"; restart weir-dataplane"),
        "{:?}",
        untold.problems
    );
}

#[test]
fn services_of_several_addresses_share_one_group_number_that_stays() {
    let group = |others: &str| {
        let text = format!(
            "{PORTS}{others}[[service]]\nname = \"pair\"\naddresses = [\"192.0.2.100:80\", \"192.0.2.100:443\"]\n"
        );
        let table = table(&parse(&text), 0, &Overrides::new());
        let groups: Vec<_> = table
            .services
            .values()
            .filter(|service| service.key.port != 1)
            .map(|s| s.group)
            .collect();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0], groups[1]);
        groups[0].unwrap()
    };
    let alone = group("");
    let other = "[[service]]\nname = \"other\"\naddresses = [\"192.0.2.100:1\", \"192.0.2.101:1\"]\n";
    assert_eq!(group(other), alone, "other services do not change it");
    let single = table(&web(""), 0, &Overrides::new());
    assert!(
        single
            .services
            .values()
            .all(|service| service.group.is_none() && service.forward == Forward::Dr.mode())
    );
}

#[test]
fn backends_with_equal_checks_share_a_target() {
    let text = format!(
        "{PORTS}{WEB}{}",
        WEB.replace("web", "web2").replace("100:80", "101:80")
    );
    assert_eq!(targets::targets(&parse(&text)).len(), 2);
    let text = format!(
        "{PORTS}{WEB}{}",
        WEB.replace("web", "web2")
            .replace("100:80", "101:80")
            .replace("{ tcp = {} }", "{ tcp = {}, fall = 9 }")
    );
    assert_eq!(targets::targets(&parse(&text)).len(), 4);
}

#[test]
fn vlans_of_services_and_backends_reach_their_records() {
    let tagged = WEB
        .replacen("forward = \"dr\"", "forward = \"dr\"\n    vlan = 10", 1)
        .replacen("weight = 3", "weight = 3\n    vlan = 20", 1);
    let table = table(&parse(&format!("{PORTS}{tagged}")), 1, &Overrides::new());
    let id = |vlan: Option<VlanId>| vlan.map(VlanId::get);
    let of_backends: Vec<_> = table.backends.values().map(|backend| id(backend.vlan)).collect();
    assert_eq!(of_backends, [Some(20), None]);
    assert!(
        table
            .services
            .values()
            .all(|service| id(service.vlan) == Some(10))
    );
    assert!(
        table.vips.values().all(|vip| id(vip.vlan) == Some(10)),
        "it is asked for there"
    );
}
