use super::*;
use std::fmt::Write as _;

/// Services on ports 1.. with so many backends each.
fn config(backends: &[usize]) -> Config {
    let mut text =
        String::from("[[port]]\nname = \"p\"\ndevice = \"null\"\naddresses = [\"192.0.2.2/24\"]\n");
    for (n, count) in backends.iter().enumerate() {
        let port = n + 1;
        writeln!(
            text,
            "[[service]]\nname = \"s{n}\"\naddress = \"192.0.2.100:{port}\""
        )
        .unwrap();
        for server in 0..*count {
            writeln!(
                text,
                "[[service.backend]]\naddress = \"192.0.2.{}:{port}\"",
                10 + server
            )
            .unwrap();
        }
    }
    weir_configs::parse(&text, "test.toml").unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn more_than_half_needs_a_confirmation() {
    let table: &[(&[usize], &[usize], Option<&str>)] = &[
        (&[], &[], None),
        (&[], &[2, 2], None),
        (&[2, 2], &[2, 2, 9], None),
        (&[4], &[2], None),
        (&[4], &[1], Some("it removes 3 of 4 backends")),
        (&[1, 1], &[1], None),
        (&[1, 1, 1], &[1], Some("it removes 2 of 3 virtual addresses")),
        (&[2], &[], Some("it removes 1 of 1 virtual addresses")),
        (&[3], &[0], Some("it removes 3 of 3 backends")),
        (&[1, 9], &[1], Some("it removes 9 of 10 backends")),
    ];
    for (old, new, expected) in table {
        assert_eq!(
            needs_confirmation(&config(old), &config(new)).as_deref(),
            *expected,
            "{old:?} to {new:?}"
        );
    }
}

#[test]
fn renaming_services_removes_nothing() {
    let old = config(&[2, 2]);
    let mut new = old.clone();
    for service in &mut new.services {
        service.name.insert(0, 'x');
    }
    assert_eq!(needs_confirmation(&old, &new), None);
}

#[test]
fn moving_every_backend_elsewhere_needs_a_confirmation() {
    let old = config(&[4]);
    let mut new = old.clone();
    for backend in &mut new.services[0].backends {
        backend.address.set_port(9);
    }
    assert_eq!(
        needs_confirmation(&old, &new).as_deref(),
        Some("it removes 4 of 4 backends")
    );
}
