//! `weirctl`: what an operator asks and tells the control daemon.
//!
//! Data goes to standard output, messages to standard error. Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 the daemon cannot
//! be reached, 4 the configuration is invalid.

mod answer;
pub mod args;
mod bfd;
pub mod check;
mod client;
mod config;
mod drain;
mod failure;
mod generate;
pub mod maintenance;
mod output;
mod run;
mod sriov;
mod table;
pub mod view;
mod vrrp;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Parser;

pub use output::Style;

/// Runs `weirctl` with the process's arguments.
pub fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    match run::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell(arguments.json);
            ExitCode::from(failure.code())
        }
    }
}
