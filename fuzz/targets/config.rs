//! Any text as a configuration: it is accepted whole or refused with places and reasons, and what is accepted reads back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(config) = weir_configs::parse(text, "fuzz.toml") {
        let again = weir_configs::parse(&config.to_toml(), "again.toml").expect("what was written is valid");
        assert_eq!(again, config);
    }
});
