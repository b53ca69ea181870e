//! The daemon's log: to standard error, for a person or as one JSON object per line.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use weir_configs::LogFormat;

/// Environment variable that overrides the level, in `tracing`'s notation (`debug`, `weir_control::link=trace`).
pub const LEVEL_VARIABLE: &str = "WEIR_LOG";

/// Starts logging at `level`.
pub fn start(format: LogFormat, level: &str) -> Result<(), TryInitError> {
    let filter = EnvFilter::try_from_env(LEVEL_VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let registry = tracing_subscriber::registry().with(filter);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Under systemd's journal the time stands beside each line already.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false);
    match (format, journal) {
        (LogFormat::Json, _) => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
        (LogFormat::Text, true) => registry.with(layer.with_ansi(false).without_time()).try_init(),
        (LogFormat::Text, false) => registry.with(layer.with_ansi(colour)).try_init(),
    }
}
