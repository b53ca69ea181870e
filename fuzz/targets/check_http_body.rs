//! What an HTTP server whose body counts may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;
use weir_proto::health::Dialogue;
use weir_proto::health::http::Get;
use weir_proto::health::http::body::{Body, Digest};
use weir_proto::health::pattern::Pattern;

fuzz_target!(|data: &[u8]| {
    let dialogue = Dialogue::Http(vec![Get {
        path: "/".into(),
        host: "h".into(),
        body: Body {
            regex: Some(Pattern::new("(a|b)*c$")),
            digest: Some(Digest::Md5([0; 16])),
            bytes_max: 4_096,
            ..Body::default()
        },
        ..Get::default()
    }]);
    run::run(dialogue, data);
});
