//! Checks that ask this host: programs, files, BFD sessions.

use super::super::Sessions;
use super::complaint;
use super::task::{Event, Line, Task};
use crate::vrrp::program::{self, Account, ProgramError};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use weir_proto::health::local::{FILE_BYTES_MAX, Script};
use weir_proto::health::probe::Fault;

/// Runs a program, at most for `limit`; then it and all it started are killed, also when the check is gone by then.
pub(super) fn script(script: Script, limit: Duration) -> Task {
    Task::start_detached(move |line| async move {
        line.tell(Event::Connected).await;
        let arguments: Vec<&str> = script.arguments.iter().map(String::as_str).collect();
        let account = Account {
            user: &script.user,
            group: script.group.as_deref(),
            keys: ("user", "group"),
        };
        let end = match program::run_as(&script.path, &arguments, account, limit).await {
            Ok(status) => ended(&script.path, status),
            // The run's own deadline is the same.
            Err(ProgramError::TimedOut(_)) => return,
            Err(error) => {
                if complaint::begins(&script.path) {
                    tracing::warn!(program = %script.path.display(), %error, "a check's program is not run");
                }
                Event::Broken(Fault::Local)
            }
        };
        line.tell(end).await;
    })
}

fn ended(path: &Path, status: ExitStatus) -> Event {
    complaint::ends(path);
    match status.code().and_then(|code| u32::try_from(code).ok()) {
        Some(code) => Event::Code(code),
        None => Event::Broken(Fault::Killed),
    }
}

/// Looks whether a BFD session is up.
pub(super) fn session(sessions: Sessions, name: String) -> Task {
    Task::start(move |line: Line| async move {
        line.tell(Event::Connected).await;
        let up = sessions.borrow().get(&name) == Some(&true);
        line.tell(Event::Code(u32::from(up))).await;
    })
}

/// Reads a file.
pub(super) fn file(path: PathBuf) -> Task {
    Task::start(move |line: Line| async move {
        let steps = match content(&path).await {
            Ok(content) => vec![Event::Connected, Event::Read(content), Event::Eof],
            Err(_) => vec![Event::Broken(Fault::File)],
        };
        for step in steps {
            line.tell(step).await;
        }
    })
}

/// No more of a file than shows that it is too long. Only a plain file is opened: a pipe would wait for its writer.
async fn content(path: &Path) -> std::io::Result<Vec<u8>> {
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let file = tokio::fs::File::open(path).await?;
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut content)
        .await?;
    Ok(content)
}
