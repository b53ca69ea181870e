//! Generated bindings to libdpdk and one hand-written shim.
