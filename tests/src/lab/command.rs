//! Short commands, run to their end.

use std::process::{Command, Output, Stdio};

use super::LabError;

/// Runs `program` with `arguments` separated by blanks, and returns what it wrote to standard output.
pub fn run(program: &str, arguments: &str) -> Result<String, LabError> {
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace());
    finish(&mut command)
}

/// Runs a prepared command to its end.
pub(super) fn finish(command: &mut Command) -> Result<String, LabError> {
    let line = line_of(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LabError::Start {
            command: line.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(LabError::Command {
        command: line,
        status: output.status.to_string(),
        output: complaint(&output),
    })
}

/// The command line as a person would type it (quotes left out).
pub(super) fn line_of(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}

fn complaint(output: &Output) -> String {
    let text = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    String::from_utf8_lossy(text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{LabError, run};

    #[test]
    fn output_and_failures_come_back() {
        assert_eq!(run("echo", "two  words").expect("echo"), "two words\n");
        let error = run("ls", "/does/not/exist").expect_err("no such file");
        assert!(matches!(error, LabError::Command { .. }), "{error}");
        let error = run("no-such-program", "").expect_err("no such program");
        assert!(error.to_string().contains("install-deps"), "{error}");
    }
}
