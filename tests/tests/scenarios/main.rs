//! Scenarios in network namespaces: real clients, real servers, the real processes.
