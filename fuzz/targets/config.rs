//! Any text as a configuration.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| run::config(text));
