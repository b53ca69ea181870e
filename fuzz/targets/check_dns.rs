//! What a name server may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;
use weir_proto::health::Dialogue;
use weir_proto::health::dns::Query;

fuzz_target!(|data: &[u8]| {
    let dialogue = Dialogue::Dns(Query {
        name: "www.example.net".into(),
        kind: 6,
    });
    run::run(dialogue, data);
});
