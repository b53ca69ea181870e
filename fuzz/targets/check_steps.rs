//! What a server that is asked step by step may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;
use weir_proto::health::Dialogue;
use weir_proto::health::pattern::Pattern;
use weir_proto::health::talk::{Expect, REPLY_BYTES_MAX, Step, Talk};

fuzz_target!(|data: &[u8]| {
    let dialogue = Dialogue::Talk(Talk {
        steps: vec![
            Step::Expect(Expect::Text(b"hello".to_vec())),
            Step::Send(b"?".to_vec()),
            Step::Expect(Expect::Regex(Pattern::new("^a+b"))),
            Step::Expect(Expect::Bytes(vec![Some(1), None, Some(3)])),
        ],
        reply_bytes_max: REPLY_BYTES_MAX,
    });
    run::run(dialogue, data);
});
