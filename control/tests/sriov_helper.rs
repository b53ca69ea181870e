//! Writes in a process of their own: errors come back as they are, and a write that does not end holds nothing up.

use rustix::fs::{FileType, Mode};
use std::path::Path;
use std::time::{Duration, Instant};
use weir_control::sriov::apply::HostError;
use weir_control::sriov::helper::Helper;

fn helper(deadline: Duration) -> Helper {
    Helper::with(env!("CARGO_BIN_EXE_weir-control").into(), deadline)
}

#[test]
fn what_is_written_arrives_and_errors_keep_their_number() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sriov_numvfs");
    std::fs::write(&file, "").unwrap();
    let mut helper = helper(Duration::from_secs(20));
    helper.write(&file, "63").unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "63\n");
    for (path, errno) in [
        ("/dev/full", rustix::io::Errno::NOSPC),
        ("/nonexistent", rustix::io::Errno::NOENT),
    ] {
        match helper.write(Path::new(path), "0") {
            Err(HostError::System(error)) => assert_eq!(error.raw_os_error(), Some(errno.raw_os_error())),
            other => panic!("{path}: {other:?}"),
        }
    }
}

/// A pipe that nobody reads from blocks its writer, as `sriov_numvfs` does while somebody holds a VF.
#[test]
fn a_write_that_does_not_end_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("sriov_numvfs");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut helper = helper(Duration::from_millis(300));
    let start = Instant::now();
    assert!(matches!(
        helper.write(&pipe, "0"),
        Err(HostError::TimedOut { .. })
    ));
    assert!(helper.is_busy(&pipe));
    assert!(
        matches!(helper.write(&pipe, "4"), Err(HostError::TimedOut { .. })),
        "a second write would only wait behind the first"
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    // The one who held it lets go.
    assert_eq!(std::fs::read_to_string(&pipe).unwrap(), "0\n");
    let until = Instant::now() + Duration::from_secs(20);
    while helper.is_busy(&pipe) {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
}
