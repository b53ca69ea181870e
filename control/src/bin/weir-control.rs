//! `weir-control`: the control daemon. See `weir_control::daemon` for what it does; this file starts and stops it.

#![forbid(unsafe_code)]

use clap::{Parser, ValueEnum};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use weir_configs::{Config, LogFormat};
use weir_control::api::{self, ApiSocket};
use weir_control::daemon::{Daemon, Options, Request, Requests};
use weir_control::logs;
use weir_control::sriov;

/// Could not start, or could not go on.
const EXIT_FAILED: u8 = 1;
/// The configuration is not valid.
const EXIT_CONFIG: u8 = 4;

/// weir's control daemon: checks the backends' health, tells the dataplane what to do, and serves weirctl.
///
/// It may be stopped and started at any time: the dataplane goes on forwarding by what it was told last.
#[derive(Debug, Parser)]
#[command(name = "weir-control", version, after_help = AFTER_HELP)]
struct Arguments {
    /// The configuration file, the same as weir-dataplane's
    #[arg(short, long, value_name = "FILE", default_value = "/etc/weir/weir.toml")]
    config: PathBuf,

    /// Check the configuration and exit: 0 when it is valid, 4 when it is not
    #[arg(long)]
    check: bool,

    /// Unix socket of the API, instead of the one in [control]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Unix socket of the dataplane, instead of the one in [dataplane]
    #[arg(long, value_name = "PATH")]
    dataplane_socket: Option<PathBuf>,

    /// This node's name, which [[vrrp.node]] goes by, instead of the host's
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// Log lines for a person, or one JSON object per line; instead of [control] log_format
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<Format>,

    /// The least grave message that is logged, instead of [control] log_level
    #[arg(long, value_name = "LEVEL", value_parser = ["error", "warn", "info", "debug", "trace"])]
    log_level: Option<String>,
}

const AFTER_HELP: &str = "\
Signals:
  HUP         read the configuration again; it is applied whole or refused whole
  TERM, INT   stop; forwarding is not touched

Environment:
  WEIR_LOG    log filter, such as `debug` or `weir_control::link=trace`; wins over the level

Exit status:
  0 stopped in an orderly way, 1 failed, 2 wrong arguments, 4 configuration not valid";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    if let Some(status) = sriov::helper::run_if_asked() {
        return status;
    }
    let arguments = Arguments::parse();
    let config = match weir_configs::load(&arguments.config) {
        Ok(config) => config,
        Err(report) => {
            eprintln!("{report}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if arguments.check {
        println!(
            "{}: valid, {} services",
            arguments.config.display(),
            config.services.len()
        );
        return ExitCode::SUCCESS;
    }
    match run(arguments, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

type AnyError = Box<dyn std::error::Error>;

fn run(arguments: Arguments, config: Config) -> Result<(), AnyError> {
    let format = match arguments.log_format {
        Some(Format::Text) => LogFormat::Text,
        Some(Format::Json) => LogFormat::Json,
        None => config.control.log_format,
    };
    let level = arguments
        .log_level
        .as_deref()
        .unwrap_or(config.control.log_level.as_str());
    logs::start(format, level)?;
    raise_file_limit();
    // One thread is enough: everything here waits for sockets and clocks.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(arguments, config))
}

async fn serve(arguments: Arguments, config: Config) -> Result<(), AnyError> {
    let stop = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let reload = signal(SignalKind::hangup())?;
    let socket = ApiSocket::bind(&arguments.socket.unwrap_or_else(|| config.control.socket.clone()))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %arguments.config.display(),
        api = %socket.path().display(),
        "weir-control starts"
    );
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let sriov_config = std::sync::Arc::new(config.clone());
    let (daemon, requests) = Daemon::start(Options {
        node: arguments.node.unwrap_or(host),
        file: arguments.config,
        dataplane_socket: arguments
            .dataplane_socket
            .unwrap_or_else(|| config.dataplane.socket.clone()),
        config,
        seed: RandomState::new().hash_one(std::process::id()),
    })?;
    let (stopped, stopping) = oneshot::channel::<()>();
    tokio::spawn(pass_signals(stop, reload, requests.clone()));
    let paths = api::router(requests.clone()).merge(sriov_paths(sriov_config, requests.clone()));
    let api = tokio::spawn(async move {
        let stopping = async {
            // Sent or dropped: either way the daemon has ended.
            let _ = stopping.await;
        };
        api::serve_paths(&socket, paths, stopping).await
    });
    daemon.run().await;
    drop(stopped);
    // A client that holds its connection open does not hold up the end.
    match tokio::time::timeout(std::time::Duration::from_secs(1), api).await {
        Ok(ended) => ended??,
        Err(_) => tracing::debug!("an API connection was open at the end"),
    }
    tracing::info!("weir-control has stopped; forwarding goes on");
    Ok(())
}

/// The paths for virtual functions. A host whose devices cannot be read still balances.
fn sriov_paths(config: std::sync::Arc<Config>, requests: Requests) -> axum::Router {
    match sriov::manager::start(config) {
        Ok(handle) => {
            tokio::spawn(sriov::api::follow(requests.clone(), handle.clone()));
            sriov::api::router(requests, handle)
        }
        Err(error) => {
            tracing::error!(%error, "virtual functions are not managed");
            axum::Router::new()
        }
    }
}

/// Hands signals to the daemon, the stop for as long as it takes.
async fn pass_signals([mut terminate, mut interrupt]: [Signal; 2], mut reload: Signal, requests: Requests) {
    loop {
        let request = tokio::select! {
            _ = terminate.recv() => Request::Stop,
            _ = interrupt.recv() => Request::Stop,
            _ = reload.recv() => Request::Reload,
        };
        if requests.send(request).await.is_err() {
            return;
        }
    }
}

/// Every check under way holds a socket: the soft limit of 1024 would be the first thing to run out.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
