//! `weirctl`, the command line of weir.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    weir_control::cli::main()
}
