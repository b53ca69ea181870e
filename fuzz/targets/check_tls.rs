//! What a server may send in its TLS with a health check.
#![no_main]

#[path = "run/tls.rs"]
mod tls;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    tls::check(data);
});
