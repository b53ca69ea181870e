//! What may happen to a bare TCP check, in any order.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    run::check("check_tcp", data);
});
