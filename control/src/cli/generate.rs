//! Completion scripts and manual pages, made from the command line's own definition.

use std::io;
use std::path::Path;

use clap::CommandFactory;

use super::args::{Arguments, CompletionShell};
use super::failure::Failure;
use super::output::print;

pub(super) fn completion(shell: CompletionShell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        clap_complete::Shell::from(shell),
        &mut Arguments::command(),
        "weirctl",
        &mut script,
    );
    print(&String::from_utf8_lossy(&script))
}

/// Section 8: commands for the system's administrator.
pub(super) fn manual(directory: Option<&Path>) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Local {
        what: "cannot write the manual pages".to_owned(),
        error,
    };
    let mut command = Arguments::command();
    // Gives the commands below their full names: weirctl-service.
    command.build();
    if let Some(directory) = directory {
        std::fs::create_dir_all(directory).map_err(failed)?;
        return pages(&command, directory).map_err(failed);
    }
    print(&String::from_utf8_lossy(&page(command).map_err(failed)?))
}

fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).section("8").render(&mut page)?;
    Ok(page)
}

fn pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    std::fs::write(directory.join(format!("{name}.8")), page(command.clone())?)?;
    let below = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set() && below.get_name() != "help");
    for command in below {
        pages(command, directory)?;
    }
    Ok(())
}
