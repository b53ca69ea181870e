use super::*;
use crate::sections::SECTIONS;

#[test]
fn every_key_that_is_named_exists() {
    for Word { word, here, note, .. } in WORDS {
        match here {
            Here::Key(header, key) => {
                let section = SECTIONS.iter().find(|section| section.header == *header);
                let section = section.unwrap_or_else(|| panic!("{word}: no section {header}"));
                let known = section.keys.iter().any(|known| known.name == *key);
                assert!(known, "{word}: {header} has no `{key}`");
            }
            Here::Nothing => assert!(!note.is_empty(), "{word}: why is it not there?"),
        }
        // What a note puts into quotes as a key is one too.
        for quoted in note.split('`').skip(1).step_by(2) {
            let name = quoted.split([' ', '=']).next().unwrap_or_default();
            let known = |name: &str| {
                let mut keys = SECTIONS.iter().flat_map(|section| section.keys);
                keys.any(|known| known.name == name) || WORDS.iter().any(|known| known.word == name)
            };
            assert!(
                known(name) || quoted == "weirctl events",
                "{word}: there is no `{name}`"
            );
        }
    }
}

/// What keepalived.conf(5) of 2.2.7 lists for health, word by word, as its manual has them.
const MANUAL: &str = "ha_suspend smtp_alert virtualhost snmp_name alpha omega quorum hysteresis quorum_up quorum_down \
    sorry_server sorry_server_inhibit sorry_server_lvs_method connect_timeout retry delay_before_retry warmup \
    delay_loop inhibit_on_failure weight notify_up notify_down uthreshold lthreshold connect_ip connect_port bindto bind_if \
    bind_port fwmark log_all_failures http_protocol fast_recovery url path digest status_code regex regex_no_match \
    regex_options regex_stack regex_min_offset regex_max_offset enable_sni helo_name type name misc_path misc_timeout \
    misc_dynamic user payload require_reply min_reply_length max_reply_length track_file dynamic password ca \
    certificate key";

#[test]
fn every_word_of_the_manual_is_in_the_table() {
    for word in MANUAL.split_whitespace() {
        assert!(WORDS.iter().any(|known| known.word == word), "{word}");
    }
}

#[test]
fn a_word_of_keepalived_in_a_file_is_answered_with_ours() {
    let file = |check: &str| {
        format!(
            "[[port]]\nname = 'lan'\ndevice = 'null'\naddresses = ['192.0.2.2/24']\n[[service]]\nname = 'a'\n\
             address = '192.0.2.100:80'\ncheck = {{ {check} }}\n"
        )
    };
    for (check, help) in [
        ("tcp = {}, delay_loop = 60", "here it is called `interval_ms`"),
        ("tcp = {}, misc_path = '/bin/true'", "`path` of check.script"),
        ("http = { regex_stack = 3 }", "need no stack"),
        ("http = { digest = 'x' }", "here it is called `md5`"),
        ("http = { sni_name = 'x' }", "`name` of check.tls"),
        ("tcp = {}, smtp_alert = true", "sends no mail"),
    ] {
        let report = crate::parse(&file(check), "x.toml").expect_err(check).to_string();
        assert!(report.contains(help), "{check}: {report}");
    }
}

#[test]
fn keepalived_s_defaults_are_in_force_when_they_are_chosen() {
    let file = |defaults: &str, check: &str, backend: &str| {
        let text = format!(
            "[health]\ndefaults = '{defaults}'\n[[port]]\nname = 'lan'\ndevice = 'null'\naddresses = ['192.0.2.2/24']\n\
             [[service]]\nname = 'a'\naddress = '192.0.2.100:80'\nforward = 'nat'\ncheck = {{ {check} }}\n\
             [[service.backend]]\naddress = '192.0.2.11:80'\n{backend}\n"
        );
        crate::parse(&text, "x.toml").unwrap_or_else(|report| panic!("{report}"))
    };
    // keepalived's words, in seconds: (check, delay_loop, connect_timeout, retry, delay_before_retry).
    for (check, delay_loop, connect_timeout, retry, delay_before_retry) in [
        ("tcp = {}", 60, 5, 1, Some(1)),
        ("http = {}", 60, 5, 1, Some(3)),
        ("http = {}, tls = {}", 60, 5, 1, Some(3)),
        ("smtp = {}", 60, 5, 1, Some(1)),
        ("ping = {}", 60, 5, 1, Some(1)),
        ("udp = {}", 60, 5, 1, Some(1)),
        ("dns = {}", 60, 5, 3, None),
        ("script = { path = '/bin/true' }", 60, 60, 0, Some(1)),
    ] {
        let config = file("keepalived", check, "");
        let found = config.services[0].check.as_ref().expect("a check");
        assert_eq!(found.interval_ms, delay_loop * 1_000, "{check}");
        assert_eq!(found.timeout_ms, connect_timeout * 1_000, "{check}");
        assert_eq!((found.rise, found.fall), (1, retry + 1), "{check}");
        assert_eq!(found.fall_first, Some(1), "{check}");
        assert_eq!(
            found.delay_before_retry_ms,
            delay_before_retry.map(|seconds: u32| seconds * 1_000),
            "{check}"
        );
        assert_eq!((found.jitter_percent, found.warmup_ms), (0, None), "{check}");
        assert_eq!(found.alpha, None);
        let again = crate::parse(&config.to_toml(), "again.toml").expect("valid");
        assert_eq!(again, config, "{check}");
    }
    let pool = &file("keepalived", "tcp = {}", "").services[0].pool;
    assert_eq!(pool.inhibit_on_failure, Some(false));
    assert!(!pool.alpha && !pool.omega && pool.quorum == 1 && pool.hysteresis == 0);
    // Whatever is written holds.
    let own = "tcp = {}, interval_ms = 3000, rise = 4, fall = 5, fall_first = 2, delay_before_retry_ms = 0, jitter_percent = 7";
    let weir = file("weir", &format!("{own}, timeout_ms = 1000"), "").services[0]
        .check
        .clone();
    let keepalived = file("keepalived", &format!("{own}, timeout_ms = 1000"), "").services[0]
        .check
        .clone();
    assert_eq!(weir, keepalived);
    // A timeout that is not written is never above the interval.
    let short = file("keepalived", "tcp = {}, interval_ms = 1000", "");
    assert_eq!(
        short.services[0].check.as_ref().map(|check| check.timeout_ms),
        Some(1_000)
    );
}

#[test]
fn every_example_survives_being_written_out_with_keepalived_s_defaults() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).expect("examples") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a file");
        if text.contains("[health]") {
            continue;
        }
        let text = format!("[health]\ndefaults = 'keepalived'\n{text}");
        let config = crate::parse(&text, "example.toml").unwrap_or_else(|report| panic!("{report}"));
        let again = crate::parse(&config.to_toml(), "again.toml").unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(again, config, "{}", path.display());
        tried += 1;
    }
    assert!(tried > 5, "{tried}");
}
