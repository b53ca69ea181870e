//! What a gRPC health service may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;
use weir_proto::health::Dialogue;

fuzz_target!(|data: &[u8]| {
    let dialogue = Dialogue::Grpc("s".into());
    run::run(dialogue, data);
});
