//! Configuration spaces and answers of devlink, sound and broken.

use super::*;
use crate::sriov::guests::virsh::VirshError;

/// A configuration space with an AER capability, then the one for SR-IOV.
fn config(vfs: u16, ari: bool) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[0x100..0x104].copy_from_slice(&0x1402_0001_u32.to_le_bytes());
    bytes[0x140..0x144].copy_from_slice(&0x0001_0010_u32.to_le_bytes());
    bytes[0x148] = if ari { 0x10 } else { 0 };
    bytes[0x14e..0x150].copy_from_slice(&vfs.to_le_bytes());
    bytes
}

#[test]
fn the_capability_is_found_and_nonsense_ends() {
    assert_eq!(
        capability(&config(64, true)),
        Some(Capability { vfs: 64, ari: true })
    );
    assert_eq!(
        capability(&config(0, false)),
        Some(Capability { vfs: 0, ari: false })
    );
    let mut circle = config(64, true);
    circle[0x142..0x144].copy_from_slice(&0x1401_u16.to_le_bytes());
    circle[0x140..0x142].copy_from_slice(&3_u16.to_le_bytes());
    for broken in [
        &[][..],
        &[0; 64],
        &config(64, true)[..0x14e],
        &[0; 4096],
        &[0xff; 4096],
        &circle,
    ] {
        assert_eq!(capability(broken), None);
    }
}

struct Devlink(&'static str, &'static str);

impl Runner for Devlink {
    fn run(&mut self, command: &[&str], _: Option<&str>) -> Result<String, VirshError> {
        assert_eq!(
            (command[0], command.last()),
            ("devlink", Some(&"pci/0000:41:00.0"))
        );
        Ok(if command.contains(&"info") { self.0 } else { self.1 }.to_owned())
    }
}

fn pf() -> Pf {
    Pf {
        device: "0000:41:00.0".into(),
        vfs_max: Some(63),
        ..Pf::default()
    }
}

#[test]
fn what_devlink_says() {
    let info = r#"{"info":{"pci/0000:41:00.0":{"driver":"mlx5_core","versions":{"fixed":{"fw.psid":"MT_0000000080"},"running":{"fw.version":"16.35.2000","fw":"16.35.2000"}}}}}"#;
    let parameter = |name: &str, value: &str| {
        format!(
            r#"{{"param":{{"pci/0000:41:00.0":[{{"name":"{name}","type":"generic","values":[{{"cmode":"permanent","value":{value}}}]}}]}}}}"#
        )
    };
    let table = [
        (info, "{}".to_owned(), Grade::Good, "version 16.35.2000"),
        (
            info,
            parameter("enable_sriov", "false"),
            Grade::Bad,
            "version 16.35.2000, SR-IOV off",
        ),
        (
            info,
            parameter("enable_sriov", "true"),
            Grade::Good,
            "version 16.35.2000, SR-IOV on",
        ),
        (
            info,
            parameter("total_vfs", "0"),
            Grade::Bad,
            "version 16.35.2000, set to 0 VFs",
        ),
        (
            "no JSON",
            parameter("total_vfs", "16"),
            Grade::Good,
            "version unknown, set to 16 VFs",
        ),
    ];
    for (info, parameters, grade, found) in table {
        let parameters: &'static str = Box::leak(parameters.into_boxed_str());
        let finding = devlink(&mut Devlink(info, parameters), &pf()).unwrap();
        assert_eq!((finding.grade, finding.found.as_str()), (grade, found));
    }
    for nonsense in ["", "[]", "{}", r#"{"param":{"pci/0000:41:00.0":7}}"#] {
        assert!(
            devlink(&mut Devlink(nonsense, nonsense), &pf()).is_none(),
            "{nonsense}"
        );
    }
}

#[test]
fn a_device_tells_what_it_offers_and_how_it_is_connected() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &[u8]| fs::write(folder.path().join(file), text).unwrap();
    assert!(offered(folder.path(), &pf()).is_none() && link(folder.path(), &pf()).is_none());
    for (vfs, ari, grade) in [
        (64, true, Grade::Good),
        (64, false, Grade::Advice),
        (0, true, Grade::Bad),
    ] {
        write("config", &config(vfs, ari));
        let finding = offered(folder.path(), &pf()).unwrap();
        assert_eq!(finding.grade, grade, "{finding:?}");
        assert!(
            finding.found.starts_with(&format!("offers {vfs} VFs")),
            "{finding:?}"
        );
    }
    write("current_link_width", b"1\n");
    write("max_link_width", b"8\n");
    write("current_link_speed", b"5.0 GT/s PCIe\n");
    write("max_link_speed", b"5.0 GT/s PCIe\n");
    assert_eq!(
        link(folder.path(), &pf()).unwrap().found,
        "PCIe 5 GT/s x1, of 5 GT/s x8"
    );
    write("current_link_width", b"8\n");
    assert!(link(folder.path(), &pf()).is_none());
    // Emulated NICs have a link of width 0 or of unknown speed.
    write("current_link_width", b"0\n");
    assert!(link(folder.path(), &pf()).is_none());
    write("current_link_speed", b"Unknown\n");
    assert!(link(folder.path(), &pf()).is_none());
}
