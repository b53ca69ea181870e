//! The control daemon and weirctl.
