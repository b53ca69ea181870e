//! What packets seen by a check through a tunnel over IPv6 may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    run::check("check_through_v6", data);
});
