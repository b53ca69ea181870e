//! Against a QEMU that follows a script.

use super::*;
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};

const GREETING: &str =
    r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}, "capabilities": ["oob"]}}"#;
const VF: &str = "0000:41:10.2";

/// What the script says first, then pairs: a part of the command it waits for, and what it answers.
fn qemu(
    script: &'static [(&'static str, &'static [&'static str])],
) -> (tempfile::TempDir, std::path::PathBuf, JoinHandle<()>) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("qmp");
    let listener = UnixListener::bind(&socket).unwrap();
    let played = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        writeln!(reader.get_mut(), "{GREETING}").unwrap();
        for (wanted, answers) in script {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            assert!(line.contains(wanted), "{line} where {wanted} should be");
            for answer in *answers {
                writeln!(reader.get_mut(), "{answer}").unwrap();
            }
        }
        // Stays until the other side leaves.
        let _ = reader.read_line(&mut String::new());
    });
    (directory, socket, played)
}

fn monitor(socket: &Path) -> Result<Monitor, QmpError> {
    Monitor::connect_within(socket, Duration::from_millis(500))
}

const OK: &str = r#"{"return": {}}"#;
const DELETED: &str = r#"{"event": "DEVICE_DELETED", "data": {"device": "weir-vf-0000-41-10-2", "path": "/machine/peripheral/x"}, "timestamp": {"seconds": 1, "microseconds": 2}}"#;
const OTHER: &str = r#"{"event": "DEVICE_DELETED", "data": {"device": "another", "path": "/x"}, "timestamp": {"seconds": 1, "microseconds": 2}}"#;

#[test]
fn a_vf_is_plugged_and_unplugged_when_the_event_comes() {
    let (_directory, socket, played) = qemu(&[
        ("qmp_capabilities", &[OK]),
        (
            r#""host":"0000:41:10.2""#,
            &[r#"{"event": "RTC_CHANGE", "data": {}}"#, OK],
        ),
        ("device_del", &[OK, OTHER, DELETED]),
    ]);
    let mut monitor = monitor(&socket).unwrap();
    monitor.plug(VF).unwrap();
    monitor.unplug(VF).unwrap();
    drop(monitor);
    played.join().unwrap();
}

#[test]
fn an_event_before_the_answer_counts() {
    let (_directory, socket, _played) = qemu(&[("qmp_capabilities", &[OK]), ("device_del", &[DELETED, OK])]);
    monitor(&socket).unwrap().unplug(VF).unwrap();
}

#[test]
fn refusals_and_repetitions() {
    const GONE: &str =
        r#"{"error": {"class": "DeviceNotFound", "desc": "Device 'weir-vf-0000-41-10-2' not found"}}"#;
    const THERE: &str =
        r#"{"error": {"class": "GenericError", "desc": "Duplicate device ID 'weir-vf-0000-41-10-2'"}}"#;
    const BUSY: &str =
        r#"{"error": {"class": "GenericError", "desc": "vfio 0000:41:10.2: group 6 is busy"}}"#;
    let (_directory, socket, _played) = qemu(&[
        ("qmp_capabilities", &[OK]),
        ("device_del", &[GONE]),
        ("device_add", &[THERE]),
        ("device_add", &[BUSY]),
    ]);
    let mut monitor = monitor(&socket).unwrap();
    monitor.unplug(VF).unwrap();
    monitor.plug(VF).unwrap();
    let message = monitor.plug(VF).unwrap_err().to_string();
    assert!(message.contains("group 6 is busy"), "{message}");
}

#[test]
fn a_guest_that_keeps_the_device_and_a_qemu_that_dies() {
    let (_directory, socket, _played) = qemu(&[("qmp_capabilities", &[OK]), ("device_del", &[OK, OTHER])]);
    let error = monitor(&socket).unwrap().unplug(VF).unwrap_err();
    assert!(matches!(error, QmpError::Kept { .. }), "{error}");

    let directory = tempfile::tempdir().unwrap();
    let error = Monitor::connect(&directory.path().join("qmp")).unwrap_err();
    assert!(matches!(error, QmpError::NotRunning(_)), "{error}");
}

#[test]
fn what_is_no_qmp_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("qmp");
    let listener = UnixListener::bind(&socket).unwrap();
    let talker = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        writeln!(stream, "SSH-2.0-OpenSSH").unwrap();
    });
    let error = monitor(&socket).unwrap_err();
    assert!(matches!(error, QmpError::NotQmp(_)), "{error}");
    talker.join().unwrap();
}

#[test]
fn on_a_q35_machine_the_first_empty_root_port_takes_it() {
    const NO: &str =
        r#"{"error": {"class": "GenericError", "desc": "Bus 'pcie.0' does not support hotplugging"}}"#;
    const BUSES: &str = r#"{"return": [{"bus": 0, "devices": [{"slot": 0, "qdev_id": ""}, {"slot": 1, "qdev_id": "full", "pci_bridge": {"bus": {"number": 1}, "devices": [{"slot": 0, "qdev_id": "disk"}]}}, {"slot": 2, "qdev_id": "slot", "pci_bridge": {"bus": {"number": 2}}}]}]}"#;
    let (_directory, socket, _played) = qemu(&[
        ("qmp_capabilities", &[OK]),
        ("device_add", &[NO]),
        ("query-pci", &[BUSES]),
        (r#""bus":"slot""#, &[OK]),
    ]);
    monitor(&socket).unwrap().plug(VF).unwrap();
}
