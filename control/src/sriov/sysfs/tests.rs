//! Fake trees: an X520 with all its VFs, an X710, an igb, trees that are broken or half gone.

use super::*;
use std::os::unix::fs::symlink;

/// A tree under construction.
struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        for path in [
            "sys/bus/pci/devices",
            "sys/bus/pci/drivers",
            "sys/kernel/iommu_groups",
            "dev/vfio",
        ] {
            fs::create_dir_all(tree.directory.path().join(path)).unwrap();
        }
        tree
    }

    fn roots(&self) -> Roots {
        Roots {
            sys: self.directory.path().join("sys"),
            dev: self.directory.path().join("dev"),
            proc: self.directory.path().join("proc"),
        }
    }

    fn device(&self, address: &str) -> PathBuf {
        self.directory.path().join("sys/bus/pci/devices").join(address)
    }

    fn file(&self, address: &str, name: &str, text: &str) {
        let path = self.device(address).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    fn link(&self, address: &str, name: &str, to: &str) {
        fs::create_dir_all(self.device(address)).unwrap();
        symlink(to, self.device(address).join(name)).unwrap();
    }

    fn pf(&self, address: &str, driver: &str, most: u16, interface: &str) {
        for (name, text) in [
            ("class", "0x020000"),
            ("sriov_numvfs", "0"),
            ("sriov_totalvfs", &most.to_string()),
            ("sriov_drivers_autoprobe", "1"),
            ("numa_node", "1"),
        ] {
            self.file(address, name, text);
        }
        self.file(address, &format!("net/{interface}/address"), "90:e2:ba:00:00:01");
        self.file(address, &format!("net/{interface}/flags"), "0x1003");
        self.file(address, &format!("net/{interface}/carrier"), "1");
        self.link(
            address,
            "driver",
            &format!("../../../../bus/pci/drivers/{driver}"),
        );
    }

    fn vf(&self, pf: &str, index: u16, address: &str, group: u32) {
        self.file(address, "class", "0x020000");
        self.file(address, "driver_override", "(null)");
        self.link(address, "physfn", &format!("../{pf}"));
        self.link(
            address,
            "iommu_group",
            &format!("../../../../kernel/iommu_groups/{group}"),
        );
        self.link(pf, &format!("virtfn{index}"), &format!("../{address}"));
    }
}

/// 63 VFs behind one port: offset 128, stride 2, so over two bus numbers and more.
fn x520(tree: &Tree) {
    tree.pf("0000:41:00.0", "ixgbe", 63, "enp65s0f0");
    for index in 0..63_u16 {
        let routing = 128 + 2 * index;
        let address = format!("0000:41:{:02x}.{}", routing / 8, routing % 8);
        tree.vf("0000:41:00.0", index, &address, 40 + u32::from(index));
    }
}

#[test]
fn an_x520_with_all_its_vfs() {
    let tree = Tree::new();
    x520(&tree);
    let pfs = tree.roots().pfs();
    assert_eq!(pfs.len(), 1, "a VF is no PF");
    let pf = &pfs[0];
    assert_eq!(pf.faults, [""; 0]);
    assert_eq!(
        (pf.vfs_max, pf.numa_node, pf.up, pf.carrier, pf.autoprobe),
        (Some(63), Some(1), true, true, Some(true))
    );
    assert_eq!(
        (pf.driver.as_deref(), pf.interface.as_deref(), pf.vf_count()),
        (Some("ixgbe"), Some("enp65s0f0"), 63)
    );
    assert_eq!(pf.vfs[0].address.as_deref(), Some("0000:41:10.0"));
    assert_eq!(pf.vfs[62].address.as_deref(), Some("0000:41:1f.4"));
    assert_eq!(
        (pf.vfs[62].index, pf.vfs[62].iommu_group, pf.vfs[62].held),
        (62, Some(102), false)
    );
    assert_eq!(pf.vfs[62].driver_override, None, "(null) is none");
}

#[test]
fn an_x710_and_an_igb_beside_devices_that_are_no_nics() {
    let tree = Tree::new();
    tree.pf("0000:81:00.1", "i40e", 64, "enp129s0f1");
    tree.vf("0000:81:00.1", 0, "0000:81:0a.0", 9);
    tree.link("0000:81:0a.0", "driver", "../../../../bus/pci/drivers/vfio-pci");
    tree.file("0000:81:0a.0", "driver_override", "vfio-pci");
    tree.pf("0000:01:00.0", "igb", 7, "eth0");
    tree.file("0000:01:00.0", "numa_node", "-1");
    tree.file("0000:05:00.0", "class", "0x010802");
    tree.file("0000:05:00.0", "sriov_numvfs", "0");
    tree.file("0000:06:00.0", "class", "0x020000");
    let pfs = tree.roots().pfs();
    let names: Vec<_> = pfs.iter().map(|pf| pf.device.as_str()).collect();
    assert_eq!(
        names,
        ["0000:01:00.0", "0000:81:00.1"],
        "an NVMe disk with SR-IOV and a NIC without are no PFs here"
    );
    assert_eq!((pfs[0].numa_node, pfs[0].vfs_max), (None, Some(7)));
    let vf = &pfs[1].vfs[0];
    assert_eq!(
        (vf.driver.as_deref(), vf.driver_override.as_deref()),
        (Some("vfio-pci"), Some("vfio-pci"))
    );
}

#[test]
fn half_removed_trees_are_told_of_and_read_on() {
    let tree = Tree::new();
    x520(&tree);
    fs::remove_dir_all(tree.device("0000:41:10.2")).unwrap();
    fs::remove_file(tree.device("0000:41:00.0").join("virtfn5")).unwrap();
    fs::remove_file(tree.device("0000:41:10.0").join("physfn")).unwrap();
    let pf = tree.roots().pf_named("0000:41:00.0").unwrap();
    assert_eq!(pf.vf_count(), 62);
    assert_eq!(pf.vfs[1].address, None);
    let faults = pf.faults.join("\n");
    for part in [
        "virtfn1 leads nowhere",
        "VF 5 has no virtfn5",
        "VF 0 does not name",
    ] {
        assert!(faults.contains(part), "{part} in {faults}");
    }
}

#[test]
fn nothing_and_nonsense() {
    let tree = Tree::new();
    assert!(tree.roots().pfs().is_empty());
    assert!(
        Roots {
            sys: "/nonexistent".into(),
            dev: "/nonexistent".into(),
            proc: "/nonexistent".into()
        }
        .pfs()
        .is_empty()
    );
    for name in ["0000:01:00.0", "..", "../../../etc", ""] {
        assert!(tree.roots().pf_named(name).is_none(), "{name}");
    }
    tree.file("0000:01:00.0", "sriov_numvfs", "many");
    tree.file("0000:01:00.0", "sriov_totalvfs", "lots");
    tree.file("0000:01:00.0", "virtfnX/class", "?");
    let pf = &tree.roots().pfs()[0];
    assert_eq!(
        (
            pf.vfs_max,
            pf.driver.as_ref(),
            pf.interface.as_ref(),
            pf.vf_count()
        ),
        (None, None, None, 0)
    );
}

/// A kernel with iommufd and without vfio's groups: the open file is all there is to see.
#[test]
fn a_vf_that_is_held_by_iommufd_alone() {
    let tree = Tree::new();
    tree.pf("0000:81:00.1", "i40e", 64, "enp129s0f1");
    tree.vf("0000:81:00.1", 0, "0000:81:0a.0", 9);
    tree.link("0000:81:0a.0", "driver", "../../../../bus/pci/drivers/vfio-pci");
    tree.file("0000:81:0a.0", "vfio-dev/vfio3/dev", "511:3");
    let roots = tree.roots();
    let held = || roots.pfs()[0].vfs[0].held;
    assert!(!held());
    let descriptors = roots.proc.join("4711/fd");
    fs::create_dir_all(&descriptors).unwrap();
    symlink(roots.dev.join("vfio/devices/vfio30"), descriptors.join("7")).unwrap();
    assert!(!held(), "another device");
    symlink(roots.dev.join("vfio/devices/vfio3"), descriptors.join("8")).unwrap();
    assert!(held());
    fs::write(roots.dev.join("vfio/9"), "").unwrap();
    assert!(!held(), "with a group that can be opened, nobody has its devices");
}
