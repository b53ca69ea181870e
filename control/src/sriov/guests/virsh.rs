//! `virsh`, as an operator would call it. Everything runs through [`Runner`], so that tests see the very commands.

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Something that runs commands.
pub trait Runner {
    /// Runs a program to its end: what it said, or why it failed.
    ///
    /// # Errors
    /// Exit status and error output, or that it could not be run.
    fn run(&mut self, command: &[&str], input: Option<&str>) -> Result<String, VirshError>;
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VirshError {
    /// The program is not installed.
    #[error("there is no {0} here: install it, or name QEMU's monitor socket with --qmp")]
    Missing(String),
    /// It said no.
    #[error("`{command}` failed: {message}")]
    Refused {
        /// The command.
        command: String,
        /// What it said.
        message: String,
    },
    /// It did not end.
    #[error("`{command}` did not end within {seconds} s")]
    TimedOut {
        /// The command.
        command: String,
        /// How long it had.
        seconds: u64,
    },
}

/// Runs commands for real.
#[derive(Debug, Clone, Copy)]
pub struct Commands {
    /// A live migration copies the guest's memory: minutes.
    pub deadline: Duration,
}

impl Runner for Commands {
    fn run(&mut self, command: &[&str], input: Option<&str>) -> Result<String, VirshError> {
        let shown = command.join(" ");
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => VirshError::Missing(command[0].to_owned()),
            _ => VirshError::Refused {
                command: shown.clone(),
                message: error.to_string(),
            },
        };
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .stdin(if input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(text.as_bytes()).map_err(failed)?;
        }
        // Read while it runs: a full pipe would stop it.
        let output = child.stdout.take().map(reader);
        let errors = child.stderr.take().map(reader);
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            if start.elapsed() > self.deadline {
                // It may have ended in between; then there is nothing to kill.
                let _ = child.kill();
                let _ = child.wait();
                return Err(VirshError::TimedOut {
                    command: shown,
                    seconds: self.deadline.as_secs(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let said = |reader: Option<std::thread::JoinHandle<String>>| {
            reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
        };
        let (output, errors) = (said(output), said(errors));
        if status.success() {
            return Ok(output);
        }
        let message = if errors.trim().is_empty() {
            status.to_string()
        } else {
            errors.trim().to_owned()
        };
        Err(VirshError::Refused {
            command: shown,
            message,
        })
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // What cannot be read is not said.
        let _ = pipe.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Whether `virsh` can be called here.
pub fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("virsh"))
        .any(|file: PathBuf| fs::metadata(file).is_ok())
}

fn virsh<'a>(connection: Option<&'a str>, rest: &[&'a str]) -> Vec<&'a str> {
    let mut command = vec!["virsh"];
    if let Some(connection) = connection {
        command.extend(["-c", connection]);
    }
    command.extend(rest);
    command
}

/// Plugs a device into a guest, now if it runs and in any case for its next start.
pub fn attach(
    runner: &mut impl Runner,
    connection: Option<&str>,
    guest: &str,
    device: &str,
) -> Result<(), VirshError> {
    runner
        .run(
            &virsh(
                connection,
                &["attach-device", guest, "/dev/stdin", "--persistent"],
            ),
            Some(device),
        )
        .map(drop)
}

/// Takes a device out of a guest. One that is not there any more is no failure.
pub fn detach(
    runner: &mut impl Runner,
    connection: Option<&str>,
    guest: &str,
    device: &str,
) -> Result<(), VirshError> {
    match runner.run(
        &virsh(
            connection,
            &["detach-device", guest, "/dev/stdin", "--persistent"],
        ),
        Some(device),
    ) {
        Err(VirshError::Refused { message, .. }) if message.contains("not found") => Ok(()),
        other => other.map(drop),
    }
}

/// Moves a running guest to another host. It has no VF now.
pub fn migrate(
    runner: &mut impl Runner,
    connection: Option<&str>,
    guest: &str,
    to: &str,
) -> Result<(), VirshError> {
    let command = ["migrate", guest, to, "--live", "--persistent", "--undefinesource"];
    runner.run(&virsh(connection, &command), None).map(drop)
}

/// Whether a guest runs there.
pub fn is_running(
    runner: &mut impl Runner,
    connection: Option<&str>,
    guest: &str,
) -> Result<bool, VirshError> {
    match runner.run(&virsh(connection, &["domstate", guest]), None) {
        Ok(state) => Ok(state.trim() == "running"),
        Err(VirshError::Refused { message, .. }) if message.contains("failed to get domain") => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says what it is told to say, and keeps what it was asked.
    struct Script(Vec<Result<&'static str, &'static str>>, Vec<String>);

    impl Runner for Script {
        fn run(&mut self, command: &[&str], input: Option<&str>) -> Result<String, VirshError> {
            let line = command.join(" ");
            self.1.push(format!("{line} < {}", input.unwrap_or("nothing")));
            match self.0.remove(0) {
                Ok(said) => Ok(said.to_owned()),
                Err(message) => Err(VirshError::Refused {
                    command: line,
                    message: message.to_owned(),
                }),
            }
        }
    }

    #[test]
    fn the_commands_are_an_operators() {
        let mut script = Script(
            vec![
                Ok(""),
                Err("error: device not found: matching PCI device not found"),
                Ok(""),
            ],
            Vec::new(),
        );
        attach(&mut script, None, "web1", "<x/>").unwrap();
        detach(&mut script, Some("qemu:///system"), "web1", "<x/>").unwrap();
        migrate(&mut script, None, "web1", "qemu+ssh://host2/system").unwrap();
        assert_eq!(
            script.1,
            [
                "virsh attach-device web1 /dev/stdin --persistent < <x/>",
                "virsh -c qemu:///system detach-device web1 /dev/stdin --persistent < <x/>",
                "virsh migrate web1 qemu+ssh://host2/system --live --persistent --undefinesource < nothing",
            ]
        );
    }

    #[test]
    fn a_refusal_is_passed_on_and_a_guest_that_is_not_there_does_not_run() {
        let mut script = Script(
            vec![Err(
                "error: Requested operation is not valid: domain is not running",
            )],
            Vec::new(),
        );
        assert!(detach(&mut script, None, "web1", "<x/>").is_err());
        let mut script = Script(
            vec![
                Ok("running\n"),
                Ok("shut off\n"),
                Err("error: failed to get domain 'web1'"),
                Err("no route"),
            ],
            Vec::new(),
        );
        assert_eq!(is_running(&mut script, None, "web1"), Ok(true));
        assert_eq!(is_running(&mut script, None, "web1"), Ok(false));
        assert_eq!(is_running(&mut script, None, "web1"), Ok(false));
        assert!(is_running(&mut script, None, "web1").is_err());
    }

    #[test]
    fn commands_really_run_with_their_input_and_end_in_time() {
        let mut commands = Commands {
            deadline: Duration::from_secs(20),
        };
        assert_eq!(commands.run(&["cat"], Some("<x/>")), Ok("<x/>".to_owned()));
        let missing = commands.run(&["no-such-program-anywhere"], None);
        assert!(matches!(missing, Err(VirshError::Missing(_))), "{missing:?}");
        let refused = commands.run(&["cat", "/nonexistent"], None);
        assert!(
            matches!(&refused, Err(VirshError::Refused { message, .. }) if message.contains("nonexistent")),
            "{refused:?}"
        );
        commands.deadline = Duration::from_millis(100);
        let slow = commands.run(&["sleep", "60"], None);
        assert!(matches!(slow, Err(VirshError::TimedOut { .. })), "{slow:?}");
    }
}
