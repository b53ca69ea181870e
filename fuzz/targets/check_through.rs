//! What packets seen by a check through the path may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;
use weir_proto::health::Dialogue;
use weir_proto::health::through::Through;

fuzz_target!(|data: &[u8]| {
    let dialogue = Dialogue::Through(Through {
        service: "192.0.2.100:80".parse().expect("an address"),
        tunnel: None,
    });
    run::run(dialogue, data);
});
