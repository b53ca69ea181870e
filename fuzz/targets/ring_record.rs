//! Any record a hostile peer may put on a ring.
#![no_main]

mod run;

use libfuzzer_sys::fuzz_target;
use weir_rings::message::RawRecord;

fuzz_target!(|bytes: RawRecord| run::ring_record(&bytes));
