//! Answers of the API as text for a person. Pure: an answer in, text out.

mod explain;
mod flow;
mod plane;
mod service;
mod status;

pub use explain::explain;
pub use flow::{drops, flows};
pub use plane::{neighbors, ports, workers};
pub use service::{ServiceColumns, backends, services};
pub use status::status;
