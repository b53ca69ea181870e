//! What `packaging/` brings: libvirt's hook does what libvirt expects of it, the units are what systemd reads.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(file)
}

/// As libvirt hands it to the hook, with what this guest has of a VF.
fn domain(devices: &str) -> String {
    format!(
        "<domain type='kvm' id='3'>\n  <name>web1</name>\n  <devices>\n    {devices}\n  </devices>\n</domain>\n"
    )
}

/// Runs the hook as libvirt does, with a `weirctl` that notes how it was called and ends with `status`. What the hook ended with, and the call.
fn hook(arguments: &str, xml: &str, status: i32) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let weirctl = folder.path().join("weirctl");
    let called = folder.path().join("called");
    fs::write(
        &weirctl,
        format!("#!/bin/sh\necho \"$*\" >> {}\nexit {status}\n", called.display()),
    )
    .unwrap();
    fs::set_permissions(&weirctl, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let mut child = Command::new("sh")
        .arg(packaging("libvirt/qemu"))
        .args(arguments.split(' '))
        .env("PATH", path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // A hook that is not interested does not read it.
    let _ = child.stdin.take().unwrap().write_all(xml.as_bytes());
    let ended = child.wait().unwrap();
    (
        ended.code(),
        fs::read_to_string(called).unwrap_or_default().trim().to_owned(),
    )
}

#[test]
fn the_hook_resets_before_a_guest_starts_and_after_it_is_gone() {
    let interface =
        domain("<interface type='hostdev' managed='yes'>\n      <mac address='02:00:00:00:0a:01'/>");
    let device = domain("<hostdev mode='subsystem' type='pci' managed='yes'>");
    let plain = domain("<interface type='bridge'>");
    let reset = "sriov reset --if-any web1";
    let table = [
        ("web1 prepare begin -", &interface, 0, 0, reset),
        ("web1 prepare begin -", &device, 0, 0, reset),
        ("web1 release end -", &interface, 0, 0, reset),
        // Nothing of what a guest with a VF would inherit may stay: it does not start then.
        ("web1 prepare begin -", &interface, 2, 2, reset),
        ("web1 prepare begin -", &device, 2, 2, reset),
        // No guest without a VF waits for weir.
        ("web1 prepare begin -", &plain, 2, 0, reset),
        ("web1 release end -", &plain, 0, 0, reset),
        // Too early, too late, or none of our business.
        ("web1 start begin -", &interface, 0, 0, ""),
        ("web1 started begin -", &interface, 0, 0, ""),
        ("web1 stopped end -", &interface, 0, 0, ""),
        ("web1 migrate begin -", &interface, 0, 0, ""),
        ("web1 reconnect begin -", &interface, 0, 0, ""),
        ("web1 attach begin -", &interface, 0, 0, ""),
    ];
    for (arguments, xml, weirctl, ends, call) in table {
        let (ended, called) = hook(arguments, xml, weirctl);
        assert_eq!(
            (ended, called.as_str()),
            (Some(ends), call),
            "{arguments}, weirctl ends with {weirctl}, {xml}"
        );
    }
}

/// `None`, with a word about it, where the program is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let ran = Command::new(program).args(arguments).output();
    if let Err(error) = &ran {
        println!("NOT RUN: {program}: {error}");
    }
    ran.ok()
}

/// With programs of this build in the place of installed ones, for systemd looks whether they are there.
#[test]
fn systemd_reads_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for entry in fs::read_dir(packaging("systemd")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("/usr/bin/weir-control", env!("CARGO_BIN_EXE_weir-control"))
            .replace("/usr/bin/weirctl", env!("CARGO_BIN_EXE_weirctl"))
            .replace("/usr/bin/weir-dataplane", env!("CARGO_BIN_EXE_weir-control"));
        let copy = folder.path().join(path.file_name().unwrap());
        fs::write(&copy, text).unwrap();
        files.push(copy.display().to_string());
    }
    files.sort();
    let mut arguments = vec!["verify", "--man=no"];
    arguments.extend(files.iter().map(String::as_str));
    let Some(output) = run("systemd-analyze", &arguments) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    // Of other units on this machine nothing is said here.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("weir")).collect();
    assert!(ours.is_empty(), "{said}");
    // A mistake is noticed at all.
    let wrong = folder.path().join("weir-wrong.service");
    fs::write(&wrong, "[Service]\nType=sometimes\nExecStart=/nonexistent/weir\n").unwrap();
    let output = run(
        "systemd-analyze",
        &["verify", "--man=no", &wrong.display().to_string()],
    )
    .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("weir-wrong"),
        "{output:?}"
    );
}

/// udevadm has `verify` since version 254.
#[test]
fn udev_reads_the_rule() {
    let rule = packaging("udev/80-weir-vfs.rules");
    let Some(output) = run("udevadm", &["verify", &rule.display().to_string()]) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("Unknown command") {
        println!("NOT RUN: this udevadm has no verify");
        return;
    }
    assert!(output.status.success(), "{said}");
}
