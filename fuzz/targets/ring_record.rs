//! Any record a hostile peer may put on a ring: refused, or a value that encodes to the same record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_rings::message::{Event, Message, RawRecord};

fuzz_target!(|bytes: RawRecord| {
    if let Ok(message) = Message::decode(&bytes) {
        assert_eq!(message.encode().as_ref(), Ok(&bytes));
    }
    if let Ok(event) = Event::decode(&bytes) {
        assert_eq!(event.encode().as_ref(), Ok(&bytes));
    }
});
