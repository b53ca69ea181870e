//! What a virtual router may depend on besides scripts, gateways and BFD: a process, another interface, a file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Directors, FAST, PATIENCE, V4, write};
use weir_tests::lab::{LabError, Process, wait_until};
use weir_tests::scenario::scenario;

fn io(what: &str) -> impl FnOnce(std::io::Error) -> LabError {
    let what = what.to_owned();
    move |source| LabError::Io { what, source }
}

#[test]
fn a_process_an_interface_and_a_file_are_tracked() {
    scenario("vrrp: tracked process, interface and file", |lab| {
        let directors = Directors::new(lab)?;
        lab.add_cable(&directors.weir, "eth1", "weir1", "br0")?;
        // A name nobody else has; the kernel keeps 15 characters of it.
        let name = format!("weir-t{}", std::process::id());
        let program = directors.dir.join(&name);
        fs::copy("/bin/sleep", &program).map_err(io("copy a program"))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(io("make it run"))?;
        let start = || {
            let mut command = directors.weir.command(&program.to_string_lossy());
            Process::start(&name, command.arg("600"), &directors.dir.join("sleep.log"))
        };
        let file = directors.dir.join("well");
        write(&file, "1\n", 0o644)?;
        let text = directors.text(100, &FAST, "high")
            + &format!(
                "[[vrrp.track]]\nprocess = '{name}'\ninterval_ms = 100\n\
                 [[vrrp.track]]\ninterface = 'eth1'\n\
                 [[vrrp.track]]\nfile = '{}'\nweight = -30\ninterval_ms = 100\n",
                file.display()
            );
        let running = start()?;
        let _weir = directors.start_weir(&directors.weir, "high", &text)?;
        let is = |state: &str, priority: u64, why: &str| {
            wait_until(&format!("{state} with priority {priority}"), PATIENCE, || {
                let shown = directors.shown("high").map_err(|error| error.to_string())?;
                let vrrp = shown.first().cloned().unwrap_or_default();
                let words = vrrp["why"].as_str().unwrap_or_default();
                if vrrp["state"] == state && vrrp["effective_priority"] == priority && words.contains(why) {
                    Ok(())
                } else {
                    Err(vrrp.to_string())
                }
            })
        };
        is("active", 100, "")?;
        directors.only(&directors.weir, V4)?;
        write(&file, "0\n", 0o644)?;
        is("active", 70, "")?;
        write(&file, "1\n", 0o644)?;
        is("active", 100, "")?;
        running.kill()?;
        is("fault", 100, &format!("process {name} is down"))?;
        let _running = start()?;
        is("active", 100, "")?;
        directors.weir.ip("link set eth1 down")?;
        is("fault", 100, "interface eth1 is down")?;
        directors.weir.ip("link set eth1 up")?;
        is("active", 100, "")?;
        directors.only(&directors.weir, V4).map(drop)
    });
}
