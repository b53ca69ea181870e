//! What an HTTP server may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;
use weir_proto::health::Dialogue;
use weir_proto::health::http::Get;

fuzz_target!(|data: &[u8]| {
    let dialogue = Dialogue::Http(vec![Get {
        path: "/".into(),
        host: "h".into(),
        ..Get::default()
    }]);
    run::run(dialogue, data);
});
