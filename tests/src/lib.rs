//! Laboratories in network namespaces, and the scenarios that run in them.
