//! What a mail server may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;
use weir_proto::health::Dialogue;
use weir_proto::health::preset;

fuzz_target!(|data: &[u8]| {
    let dialogue = Dialogue::Talk(preset::smtp("h"));
    run::run(dialogue, data);
});
