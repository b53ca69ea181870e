//! Every scheduler against a naive one.
