//! What a POP3 server may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;
use weir_proto::health::Dialogue;
use weir_proto::health::preset::{self, Login};

fuzz_target!(|data: &[u8]| {
    let dialogue = Dialogue::Talk(preset::pop(Some(Login {
        user: "u",
        password: "p",
    })));
    run::run(dialogue, data);
});
