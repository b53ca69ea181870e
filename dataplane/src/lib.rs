//! The packet path, and the daemon around it.
