//! What a server of datagrams may answer to a health check.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;
use weir_proto::health::Dialogue;
use weir_proto::health::datagram::Datagram;
use weir_proto::health::talk::Expect;

fuzz_target!(|data: &[u8]| {
    let dialogue = Dialogue::Udp(Datagram {
        send: b"?".to_vec(),
        expect: Some(Expect::Bytes(vec![Some(1), None, Some(3)])),
        require_reply: true,
        reply_bytes: 1..=255,
    });
    run::run(dialogue, data);
});
