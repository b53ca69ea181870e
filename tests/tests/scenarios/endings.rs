//! How a dataplane ends: it gives back everything, and a killed one is in nobody's way.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, Stage, URL};

use crate::{assert_all_good, on_stage};

/// Everything DPDK and weir may leave on a machine outside the lab's directory.
fn traces() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for dir in [
        "/dev/hugepages",
        "/dev/shm",
        "/run/dpdk",
        "/run/weir",
        "/run/netns",
        "/sys/class/net",
    ] {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            names.insert(format!("{dir}/{}", entry.file_name().to_string_lossy()));
        }
    }
    names
}

#[test]
fn sigterm_leaves_nothing_behind() {
    scenario("dataplane ends", |lab| {
        let before = traces();
        let dir = lab.dir().to_owned();
        let mut stage = Stage::start(lab, 2, Config::new(2))?;
        assert_all_good(&stage.client.get_many(URL, 10)?);
        assert!(stage.director.settled_balance()?.is_even());
        let node = stage.director.node().clone();
        let sockets = [stage.director.dataplane_socket(), stage.director.control_socket()];
        assert!(
            node.interfaces()?.contains(&"weir0".to_owned()),
            "the tap is there while it runs"
        );

        let control = stage.director.stop_control()?.expect("control was running");
        let dataplane = stage
            .director
            .stop_dataplane()?
            .expect("the dataplane was running");
        assert!(
            control.success() && dataplane.success(),
            "control {control}, dataplane {dataplane}"
        );

        assert_eq!(node.interfaces()?, ["lo", "veth-lb"]);
        let link = node.run("ip", "-details link show veth-lb")?;
        assert!(!link.contains("xdp"), "an XDP program is still attached: {link}");
        for socket in sockets.iter().map(|path| path.as_path()) {
            assert!(!socket.exists(), "{} is still there", socket.display());
        }
        let left: Vec<String> = traces()
            .difference(&before)
            .filter(|name| !belongs_to_lab(name, &dir))
            .cloned()
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    });
}

/// The lab's own namespaces are still there.
fn belongs_to_lab(name: &str, dir: &Path) -> bool {
    dir.file_name()
        .is_some_and(|lab| name.starts_with(&format!("/run/netns/{}", lab.to_string_lossy())))
}

#[test]
fn a_killed_dataplane_can_be_started_again_at_once() {
    on_stage("dataplane killed", 2, Config::new(2), |_, stage| {
        for _ in 0..3 {
            stage.director.kill_dataplane()?;
            stage.director.start_dataplane()?;
            stage.wait_serving()?;
        }
        let replies = stage.client.get_many(URL, 20)?;
        assert_all_good(&replies);
        assert_eq!(stage.shares(&replies), [10, 10]);
        Ok(())
    });
}
