//! The configuration: model, strict checking, difference.
