//! `weir-dataplane`: the packet process.

#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use weir_dataplane::daemon::{self, failure::Failure};

/// The configuration cannot be used. The same number as of weirctl and weir-control.
const EXIT_CONFIG: u8 = 4;

/// Polls the ports and forwards packets to backends.
///
/// Reads [dataplane] and [[port]] of the configuration; services and backends come from weir-control over the socket.
/// Without weir-control it goes on with what it was told last. SIGTERM and SIGINT end it cleanly.
#[derive(Debug, Parser)]
#[command(
    name = "weir-dataplane",
    version,
    after_help = "Exit status: 0 ended by a signal, 1 failed, 2 usage, 4 configuration invalid."
)]
struct Arguments {
    /// The configuration file, shared with weir-control.
    #[arg(short, long, value_name = "FILE", default_value = "/etc/weir/weir.toml")]
    config: PathBuf,
    /// Check the configuration, print what EAL would be told, and end.
    #[arg(long)]
    check: bool,
    /// Unix socket for weir-control; overrides `socket` in [dataplane].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// This node's name, which [[port.node]] goes by, instead of the host's.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `weir_dataplane=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log_level: String,
    /// Further arguments for EAL, after `--`.
    #[arg(last = true, value_name = "EAL ARGUMENTS")]
    eal: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut config = match weir_configs::load(&arguments.config) {
        Ok(config) => config,
        Err(report) => {
            eprint!("{report}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    config = config.on_node(&arguments.node.unwrap_or_else(host));
    if let Some(socket) = arguments.socket {
        config.dataplane.socket = socket;
    }
    if let Err(message) = log_to_stderr(arguments.log_format, &arguments.log_level) {
        eprintln!("weir-dataplane: {message}");
        return ExitCode::from(2);
    }
    let done = if arguments.check {
        check(&config, &arguments.eal)
    } else {
        daemon::run(&config, &arguments.eal)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("weir-dataplane: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn check(config: &weir_configs::Config, eal: &[String]) -> Result<(), Failure> {
    let plan = daemon::eal::plan(
        &config.dataplane,
        &config.ports,
        daemon::eal::Machine::read(),
        eal,
    )?;
    println!("{plan}");
    Ok(())
}

fn log_to_stderr(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| format!("--log-level {filter}: {error}; write for example --log-level debug"))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}
