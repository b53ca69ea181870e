//! What both processes map, and how they talk: memory that is shared with a peer who may be wrong, hostile, or
//! killed at any instruction.
//!
//! | module | what |
//! |---|---|
//! | [`link`] | the two ends: hand-over of descriptors, transactions, events, queries |
//! | [`message`] | typed commands and events, and the records they travel in |
//! | [`transaction`] | records put together, whole or refused |
//! | [`ring`] | a ring of records for one producer and one consumer |
//! | [`segment`] | sealed memory files |
//! | [`counters`] | counters that one process writes and the other reads in place |
//! | [`hello`], [`query`] | what goes over the socket as lines of JSON |
//! | [`snapshot`] | publication of tables to workers inside the dataplane, with reclamation |
//! | [`sync`] | the atomics, std's or loom's |
//!
//! # The two ends
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::{Duration, Instant};
//! use weir_rings::counters::Counters;
//! use weir_rings::link::{Access, ControlEnd, DataplaneEnd, Input, Limits, Output};
//! # fn about() -> weir_rings::hello::About { unimplemented!() }
//! # fn commands() -> Vec<weir_rings::message::Command> { unimplemented!() }
//! # fn dataplane() -> Result<(), Box<dyn std::error::Error>> {
//!
//! // Dataplane, main thread.
//! let about = about();
//! let counters = Counters::shared(about.shape)?;
//! let path = Path::new("/run/weir/dataplane.sock");
//! let mut end = DataplaneEnd::bind(path, Access::default(), Limits::default(), about, &counters)?;
//! let start = Instant::now();
//! loop {
//!     end.poll(start.elapsed());
//!     while let Some(input) = end.next_input() {
//!         match input {
//!             Input::Transaction(t) => end.published(t.generation, t.commands.len() as u32, 0, 0),
//!             Input::Query { id, .. } => end.answer(id, Err("not known".into()))?,
//!             Input::Connected(_) | Input::TurnedAway(_) | Input::Disconnected(_) | Input::Refused(_) => {}
//!         }
//!     }
//!     end.wait(Duration::from_millis(100));
//! }
//! # }
//! # fn control() -> Result<(), Box<dyn std::error::Error>> {
//!
//! // Control.
//! let mut end = ControlEnd::connect(Path::new("/run/weir/dataplane.sock"), Duration::from_secs(5))?;
//! end.commit(end.next_generation(), true, commands())?;
//! while end.closed().is_none() {
//!     end.poll();
//!     while let Some(output) = end.next_output() {
//!         match output {
//!             Output::Event(event) => println!("{event:?}"),
//!             Output::Answer { id, answer } => println!("{id}: {answer:?}"),
//!             Output::Closed(why) => println!("{why}"),
//!         }
//!     }
//!     end.wait(Duration::from_secs(1));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Rules
//!
//! - Memory a peer may write is seen as atomic words and nothing else ([`sync`], private module `memory`); what is
//!   read is copied first and checked then.
//! - No call waits for the peer, loops over what the peer says, or allocates by what the peer says beyond a stated
//!   bound.
//! - A connection's segment is made for it and goes with it. A file of any other origin, size or seal is not mapped.
//! - `unsafe` is in `memory` (addresses into lines) and `snapshot` (nodes that readers hold), nowhere else.
//!
//! # What is proved, and what is not
//!
//! loom runs the ring and the snapshot over every interleaving of small cases
//! (`RUSTFLAGS="--cfg loom" cargo test -p weir-rings --release --lib loom`). It does not prove:
//!
//! - anything about two processes: there the same code runs on a mapping, and the tests of [`link`] kill one of
//!   them at random moments and let the other scribble over everything;
//! - larger rings, longer records, more readers than the models have;
//! - the sequence lock of the slot directory and the counters, which use relaxed words and fences and are tested
//!   with threads only;
//! - hardware orders weaker than the C++ model, or a compiler that breaks it;
//! - progress: that a loop ends is argued by its bound, not modelled.

/// Version of everything laid out in shared memory. Raise it with any change of layout or meaning.
const LAYOUT_VERSION: u64 = 4;

/// What the two processes must agree on: layout version, record and line sizes, byte order.
pub const ABI: u64 = LAYOUT_VERSION << 32
    | (message::RECORD_LEN as u64) << 16
    | (memory::LINE_LEN as u64) << 8
    | (cfg!(target_endian = "big") as u64);

pub mod counters;
pub mod hello;
#[cfg(not(loom))]
pub mod link;
mod memory;
pub mod message;
pub mod query;
pub mod ring;
#[cfg(not(loom))]
pub mod segment;
pub mod snapshot;
pub mod sync;
#[cfg(all(test, not(loom)))]
mod testing;
#[cfg(not(loom))]
pub mod transaction;
