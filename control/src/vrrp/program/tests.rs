use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Instant;

/// Root's own folder, which, unlike /tmp, only root can write; `None` where these tests do not run as root, and say so.
fn folder(name: &str) -> Option<PathBuf> {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let required = std::env::var("WEIR_REQUIRE_PRIVILEGED").as_deref() == Ok("1");
        assert!(!required, "{name} cannot run: needs root");
        eprintln!("NOT RUN: needs root, to own programs that nobody else can change");
    }
    root.then(|| {
        let folder = Path::new("/run").join(format!("weir-test-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    })
}

fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn what_others_can_change_is_refused() {
    let Some(folder) = folder("refused") else { return };
    let good = script(&folder, "good", "exit 0");
    check(&good).unwrap();
    let link = folder.join("link");
    symlink(&good, &link).unwrap();
    assert!(matches!(check(&link), Err(ProgramError::Symlink(_))));
    let open = script(&folder, "open", "exit 0");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o775)).unwrap();
    assert!(matches!(check(&open), Err(ProgramError::Writable(_))));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(check(&good), Err(ProgramError::Writable(_))));
    assert!(matches!(
        check(Path::new("/tmp/anything")),
        Err(ProgramError::Writable(_) | ProgramError::Io(_))
    ));
    fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn programs_run_without_rights_and_die_with_their_children() {
    let Some(folder) = folder("run") else { return };
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let limit = Duration::from_secs(5);
    let unprivileged = script(
        &folder,
        "rights",
        "test \"$(id -u)\" != 0 && test -z \"$HOME\" && test \"$1\" = one",
    );
    assert!(
        run(&unprivileged, &["one"], "nobody", limit)
            .await
            .unwrap()
            .success()
    );
    assert!(
        !run(&unprivileged, &["one two"], "nobody", limit)
            .await
            .unwrap()
            .success()
    );
    assert!(matches!(
        run(&unprivileged, &[], "no-such-user", limit).await,
        Err(ProgramError::NoUser {
            key: "script_user",
            ..
        })
    ));
    let account = |user, group| Account {
        user,
        group,
        keys: ("user", "group"),
    };
    let error = run_as(&unprivileged, &[], account("no-such-user", None), limit).await;
    let told = error.unwrap_err().to_string();
    assert_eq!(
        told,
        "there is no user \"no-such-user\": set `user` to one that exists"
    );
    let in_group = script(
        &folder,
        "group",
        "test \"$(id -gn)\" = daemon && test \"$(id -G | wc -w)\" = 1",
    );
    let ended = run_as(&in_group, &[], account("nobody", Some("daemon")), limit).await;
    assert!(ended.unwrap().success());
    assert!(matches!(
        run_as(&in_group, &[], account("nobody", Some("no-such-group")), limit).await,
        Err(ProgramError::NoGroup { key: "group", .. })
    ));
    // The child holds on to nothing of ours, but must not outlive its parent.
    let slow = script(&folder, "slow", "sleep 987 & sleep 987");
    let start = Instant::now();
    let ended = run(&slow, &[], "nobody", Duration::from_millis(300)).await;
    assert!(matches!(ended, Err(ProgramError::TimedOut(_))), "{ended:?}");
    assert!(start.elapsed() < Duration::from_secs(3));
    let left = std::process::Command::new("pgrep")
        .args(["-fx", "sleep 987"])
        .output()
        .unwrap();
    assert!(left.stdout.is_empty(), "{left:?}");
    fs::remove_dir_all(&folder).unwrap();
}
