//! Who hears of a server's health: its programs, run as somebody who may do nothing, and those who follow events.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_tests::lab::{LabError, Process, run, wait_until};
use weir_tests::scenario::binary;
use weir_tests::stage::{Config, DETECTION, server_address};

use crate::on_stage;

/// A place where anybody may make a folder, and nothing else is.
fn open_place() -> Result<tempfile::TempDir, LabError> {
    let made = tempfile::Builder::new().prefix("weir-notify-").tempdir();
    let opened = made.and_then(|place| {
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777))?;
        Ok(place)
    });
    opened.map_err(|error| LabError::unexpected(format!("make a place for the programs: {error}")))
}

fn wait_for(path: &Path) -> Result<u32, LabError> {
    wait_until(&format!("{} to be there", path.display()), DETECTION, || {
        fs::metadata(path).map(|made| made.uid())
    })
}

#[test]
fn programs_of_a_server_hear_of_it_as_nobody() {
    let place = match open_place() {
        Ok(place) => place,
        Err(error) => panic!("{error}"),
    };
    let file = |name: &str| -> PathBuf { place.path().join(name) };
    let text = Config::new(2).to_toml(Path::new("{dir}"));
    let backend = format!("address = \"{}:80\"\n", server_address(1));
    let program = |key: &str| format!("  {key} = [\"/usr/bin/mkdir\", \"{}\"]\n", file(key).display());
    let told = format!("{backend}{}{}", program("notify_up"), program("notify_down"));
    let config = Config {
        other: Some(
            text.replace(&backend, &told)
                .replace("check = {", "pool = { script_group = \"daemon\" }\ncheck = {"),
        ),
        ..Config::new(2)
    };
    on_stage("programs of a server", 2, config, |lab, stage| {
        let mut follow = Command::new(binary("weirctl")?);
        follow
            .arg("--socket")
            .arg(stage.director.control_socket())
            .args(["events", "--follow"]);
        let mut follow = Process::start("events", &mut follow, &lab.dir().join("events.log"))?;
        assert!(!file("notify_up").exists(), "it was up from the start");
        stage.servers[0].pause()?;
        let owner = wait_for(&file("notify_down"))?;
        assert_ne!(owner, 0, "it ran as root");
        let group = run("stat", &format!("-c %G {}", file("notify_down").display()))?;
        assert_eq!(group.trim(), "daemon");
        assert!(!file("notify_up").exists());
        follow.wait_for_log("is down", DETECTION)?;
        stage.servers[0].resume()?;
        assert_eq!(wait_for(&file("notify_up"))?, owner);
        follow.wait_for_log("is up", DETECTION)?;
        follow.kill()?;
        stage.wait_in_service(2)
    });
}
