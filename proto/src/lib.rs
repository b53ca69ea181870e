//! Protocol machines without I/O: time is an argument.
