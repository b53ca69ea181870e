//! What both processes map: segment, rings, counters, messages, hand-over.

pub mod message;
