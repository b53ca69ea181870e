//! Programs and a pipe that are told of changes, with keepalived's words; a script that is tracked; a gateway.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Directors, FAST, PATIENCE, Pipe, V4, write};
use weir_tests::lab::{LabError, wait_until};
use weir_tests::scenario::scenario;

#[test]
fn programs_and_a_pipe_are_told_as_keepalived_tells_them() {
    scenario("vrrp: notify, pipe, tracked script, gateway", |lab| {
        let directors = Directors::new(lab)?;
        let io = |what: &str| {
            let what = what.to_owned();
            move |error| LabError::Io { what, source: error }
        };
        // Only what nobody but root can change is run; the laboratory's own directory is not such a place.
        let safe = tempfile::Builder::new()
            .prefix("weir-test-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/run")
            .map_err(io("make a folder in /run"))?;
        let told = safe.path().join("told");
        let well = safe.path().join("well");
        write(&told, "", 0o666)?;
        write(&well, "", 0o644)?;
        // The file may be written by anybody whatever the umask of the test.
        let notify = safe.path().join("notify");
        write(
            &notify,
            &format!("#!/bin/sh\necho \"$(id -un) $*\" >> {}\n", told.display()),
            0o755,
        )?;
        let check = safe.path().join("check");
        write(&check, &format!("#!/bin/sh\ntest -e {}\n", well.display()), 0o755)?;
        let fifo = safe.path().join("fifo");
        let mut pipe = Pipe::make(&fifo)?;
        let text = directors.text(100, &FAST, "high")
            + &format!(
                "notify = '{}'\nnotify_fifo = '{}'\n\
                 [[vrrp.track]]\nscript = '{}'\ninterval_ms = 100\ntimeout_ms = 5000\n\
                 [[vrrp.track]]\ngateway = '192.0.2.2'\nweight = 20\ninterval_ms = 100\ntimeout_ms = 1000\n",
                notify.display(),
                fifo.display(),
                check.display()
            );
        let _weir = directors.start_weir(&directors.weir, "high", &text)?;
        directors.only(&directors.weir, V4)?;
        let mut hears = |line: &str| {
            wait_until(&format!("the pipe to say {line}"), PATIENCE, || {
                let heard = pipe.read();
                if heard.contains(line) {
                    Ok(())
                } else {
                    Err(heard.to_owned())
                }
            })
        };
        hears("INSTANCE \"VI_1\" MASTER ")?;
        let priority = |wanted: u64| {
            wait_until(&format!("priority {wanted}"), PATIENCE, || {
                let shown = directors.shown("high").map_err(|error| error.to_string())?;
                match shown[0]["effective_priority"].as_u64() {
                    Some(found) if found == wanted => Ok(()),
                    found => Err(format!("{found:?}")),
                }
            })
        };
        priority(120)?;
        lab.plug(&directors.peer, false)?;
        priority(100)?;
        lab.plug(&directors.peer, true)?;
        priority(120)?;
        fs::remove_file(&well).map_err(io("remove a file"))?;
        hears("INSTANCE \"VI_1\" FAULT ")?;
        write(&well, "", 0o644)?;
        hears("INSTANCE \"VI_1\" BACKUP ")?;
        wait_until("the program to have been told, without rights", PATIENCE, || {
            let text = fs::read_to_string(&told).unwrap_or_default();
            let lines = ["nobody INSTANCE VI_1 MASTER 1", "nobody INSTANCE VI_1 FAULT 1"];
            if lines.iter().all(|line| text.contains(line)) {
                Ok(())
            } else {
                Err(text)
            }
        })?;
        Ok(())
    });
}
