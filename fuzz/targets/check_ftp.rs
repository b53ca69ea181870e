//! What an FTP server may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    run::check("check_ftp", data);
});
