//! The command line: every view, every option, with units in the help.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

/// Where control listens unless told otherwise.
pub const SOCKET_DEFAULT: &str = "/run/weir/control.sock";
/// Where the configuration is unless told otherwise.
pub const CONFIG_DEFAULT: &str = "/etc/weir/weir.toml";

const EXIT_STATUS: &str = "Exit status:
  0  done
  1  refused or failed
  2  wrong usage
  3  weir-control cannot be reached
  4  the configuration is invalid

Examples:
  weirctl service --watch                       services, backends and connections, again every second
  weirctl backend set web 192.0.2.11:80 --weight 5
  weirctl flow --client 198.51.100.7            flows of one client
  weirctl explain tcp 198.51.100.7:40000 192.0.2.100:80
  weirctl config check /etc/weir/weir.toml      needs no daemon";

/// See and steer weir, the layer-4 load balancer.
#[derive(Debug, Parser)]
#[command(name = "weirctl", version, after_help = EXIT_STATUS, propagate_version = true)]
pub struct Arguments {
    /// Unix socket of weir-control.
    #[arg(long, global = true, value_name = "PATH", default_value = SOCKET_DEFAULT, value_hint = ValueHint::FilePath)]
    pub socket: PathBuf,

    /// Print JSON: one object with a `schema` key.
    #[arg(long, global = true)]
    pub json: bool,

    /// How long to wait for weir-control, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub timeout_s: u32,

    /// What to see or do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to see or do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Everything at a glance: processes, configuration, backends, packets.
    Status(Watch),
    /// Services with their backends and connections.
    #[command(visible_alias = "services")]
    Service(ServiceArguments),
    /// Backends: state, weight, health check. Also set a weight, drain, undo.
    #[command(visible_alias = "backends")]
    Backend(BackendArguments),
    /// Health checks: last results, latency, next run, why a server is down.
    #[command(visible_alias = "checks")]
    Check(CheckArguments),
    /// Servers that somebody works on: they drain until the work is over, across restarts of weir-control.
    Maintenance(MaintenanceArguments),
    /// Ports: device, link, packets and bytes.
    #[command(visible_alias = "ports")]
    Port(Watch),
    /// Workers: CPU, packets by verdict, flows.
    #[command(visible_alias = "workers")]
    Worker(Watch),
    /// Neighbours: IP and MAC addresses, state.
    #[command(visible_alias = "neighbors", visible_alias = "neigh")]
    Neighbor(Watch),
    /// Flows: client, virtual address, backend, state.
    #[command(visible_alias = "flows")]
    Flow(FlowArguments),
    /// Packets that were dropped, given to the host or relayed to another director, by named reason.
    Drops(DropsArguments),
    /// Check, compare, apply or show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Walk a packet through the tables and say what would happen to it.
    Explain(ExplainArguments),
    /// Virtual functions (SR-IOV): what is, what should be, which guest has which.
    #[command(subcommand)]
    Sriov(SriovCommand),
    /// Say what this host lacks for SR-IOV and DPDK, with the fix. Needs no daemon and changes nothing.
    Doctor,
    /// Virtual routers: who holds the shared addresses, and why. With a name: timers, counts, last changes.
    Vrrp(VrrpArguments),
    /// Hand shared addresses over to a backup without losing a packet, and leave them there.
    Failover(FailoverArguments),
    /// BFD sessions: which neighbours are there, and how fast their loss is noticed.
    Bfd(BfdArguments),
    /// What happened to servers, services, virtual routers and the configuration, oldest first.
    Events(EventsArguments),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Install, for example:\n  weirctl completion bash > /usr/share/bash-completion/completions/weirctl"
    )]
    Completion {
        /// The shell.
        shell: CompletionShell,
    },
    /// Print the manual page, or write all of them into a directory.
    #[command(hide = true)]
    Man {
        /// Write `weirctl.8`, `weirctl-service.8` and so on here.
        #[arg(value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
        directory: Option<PathBuf>,
    },
}

/// Repetition.
#[derive(Debug, Clone, Copy, Args)]
pub struct Watch {
    /// Show again every so many seconds (1 if no number is given) until interrupted.
    #[arg(long, short = 'w', value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", require_equals = true,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub watch: Option<u32>,
}

/// Arguments of `weirctl service`.
#[derive(Debug, Args)]
pub struct ServiceArguments {
    /// Only this service.
    pub name: Option<String>,
    /// Show totals since the data plane started: connections, packets, bytes.
    #[arg(long)]
    pub stats: bool,
    /// Show rates per second: connections, packets, bytes; measured over one second, or between two repetitions.
    #[arg(long, conflicts_with = "stats")]
    pub rate: bool,
    /// Repetition.
    #[command(flatten)]
    pub watch: Watch,
}

/// Arguments of `weirctl backend`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackendArguments {
    /// Only the backends of this service.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Repetition.
    #[command(flatten)]
    pub watch: Watch,
    /// Change one backend until `reset`, a change of it in the configuration, or a restart of weir-control.
    #[command(subcommand)]
    pub change: Option<BackendChange>,
}

/// A change of one backend at run time.
#[derive(Debug, Subcommand)]
pub enum BackendChange {
    /// Set the weight: the share of new flows.
    Set {
        /// Which backend.
        #[command(flatten)]
        which: WhichBackend,
        /// The weight, from 0 (no new flows, known flows go on) to 65535.
        #[arg(long, short = 'w', value_name = "WEIGHT")]
        weight: u16,
    },
    /// Take no new flows; known flows go on.
    Drain {
        /// Which backend.
        #[command(flatten)]
        which: WhichBackend,
        /// Show how many flows are left, and when they may be gone, until there are none.
        #[arg(long)]
        wait: bool,
        /// Give up waiting after this many seconds; the backend drains on.
        #[arg(long, value_name = "SECONDS", requires = "wait", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=2_678_400))]
        wait_s: u32,
    },
    /// Take new flows again, after `drain`.
    Undrain(WhichBackend),
    /// Out at once: no new flows, and those it has end.
    Disable(WhichBackend),
    /// In again, after `disable` or `drain`.
    Enable(WhichBackend),
    /// Forget run-time changes: as the configuration says.
    Reset(WhichBackend),
}

/// A backend of a service.
#[derive(Debug, Args)]
pub struct WhichBackend {
    /// The service's name.
    pub service: String,
    /// The backend: `ip:port`, its name, or `ip` where only one backend has it.
    pub backend: String,
}

/// Arguments of `weirctl flow`.
#[derive(Debug, Args)]
pub struct FlowArguments {
    /// Only flows of this client address.
    #[arg(long, value_name = "IP")]
    pub client: Option<IpAddr>,
    /// Only flows of this service.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Only flows to this backend: `ip` or `ip:port`.
    #[arg(long, value_name = "BACKEND")]
    pub backend: Option<String>,
    /// At most this many flows.
    #[arg(long, short = 'n', value_name = "FLOWS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Repetition.
    #[command(flatten)]
    pub watch: Watch,
}

/// Arguments of `weirctl drops`.
#[derive(Debug, Args)]
pub struct DropsArguments {
    /// Also the reasons that never occurred.
    #[arg(long, short = 'a')]
    pub all: bool,
    /// Repetition.
    #[command(flatten)]
    pub watch: Watch,
}

/// What to do with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say everything that is wrong with a file. Needs no daemon and changes nothing.
    Check {
        /// The file.
        #[arg(default_value = CONFIG_DEFAULT, value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Say what a file would change.
    Diff {
        /// The file.
        #[arg(default_value = CONFIG_DEFAULT, value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// A newer file to compare it with, in place of the daemon: needs no daemon.
        #[arg(value_hint = ValueHint::FilePath)]
        newer: Option<PathBuf>,
    },
    /// Make weir-control use a file from now on: whole, or not at all.
    Apply {
        /// The file.
        #[arg(default_value = CONFIG_DEFAULT, value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Also when it removes more than half of the virtual addresses or backends.
        #[arg(long)]
        confirm: bool,
    },
    /// Show the running configuration with every default.
    Show,
    /// Print the reference of the file: every section, key, unit, default. Needs no daemon.
    Reference,
}

/// Arguments of `weirctl explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// Transport protocol.
    pub protocol: TransportProtocol,
    /// Source of the packet, such as 198.51.100.7:40000 or [2001:db8::7]:40000.
    pub src: std::net::SocketAddr,
    /// Destination of the packet, such as 192.0.2.100:80.
    pub dst: std::net::SocketAddr,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TransportProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl TransportProtocol {
    /// The word the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A shell that can complete.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum CompletionShell {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

impl From<CompletionShell> for Shell {
    fn from(shell: CompletionShell) -> Self {
        match shell {
            CompletionShell::Bash => Self::Bash,
            CompletionShell::Zsh => Self::Zsh,
            CompletionShell::Fish => Self::Fish,
        }
    }
}

pub use super::bfd::BfdArguments;
pub use super::check::CheckArguments;
pub use super::maintenance::MaintenanceArguments;
pub use super::sriov::SriovCommand;
pub use super::vrrp::{EventsArguments, FailoverArguments, VrrpArguments};
