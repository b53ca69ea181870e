//! What an echo may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;
use weir_proto::health::Dialogue;
use weir_proto::health::ping::Echo;

fuzz_target!(|data: &[u8]| {
    let dialogue = Dialogue::Ping(Echo::V4);
    run::run(dialogue, data);
});
