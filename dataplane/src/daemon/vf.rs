//! Finds the PCI address of a port given as a virtual function. weir-control has made and bound it; only sysfs knows where
//! it is (`Documentation/PCI/pci-iov-howto.rst`: `virtfnN` of a physical function leads to its function N).

use std::fs;
use std::path::{Path, PathBuf};

use weir_configs::{Device, PfName, Port};

use super::failure::Failure;

/// The ports with every virtual function replaced by its PCI device.
pub fn resolve(sysfs: &Path, ports: &[Port]) -> Result<Vec<Port>, Failure> {
    ports
        .iter()
        .map(|port| {
            Ok(Port {
                device: device(sysfs, port)?,
                ..port.clone()
            })
        })
        .collect()
}

fn device(sysfs: &Path, port: &Port) -> Result<Device, Failure> {
    let Device::Vf { pf, vf } = &port.device else {
        return Ok(port.device.clone());
    };
    let folder = pf_folder(sysfs, pf);
    let target = folder.and_then(|folder| fs::read_link(folder.join(format!("virtfn{vf}"))).ok());
    let address = target
        .as_deref()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    match address {
        Some(address) => Ok(Device::Pci {
            address: address.to_owned(),
            arguments: String::new(),
        }),
        None => Err(Failure::Port {
            port: port.name.clone(),
            what: format!(
                "there is no VF {vf} of {pf}; weirctl sriov list shows those there are, start weir-control first"
            ),
        }),
    }
}

fn pf_folder(sysfs: &Path, pf: &PfName) -> Option<PathBuf> {
    let interfaces = sysfs.join("class/net");
    match pf {
        PfName::Pci(address) => Some(sysfs.join("bus/pci/devices").join(address)),
        PfName::Interface(name) => Some(interfaces.join(name).join("device")),
        PfName::Mac(mac) => {
            let wanted = mac.to_string();
            let has_it = |folder: &PathBuf| {
                fs::read_to_string(folder.join("address"))
                    .is_ok_and(|text| text.trim().eq_ignore_ascii_case(&wanted))
                    && folder.join("device/sriov_numvfs").exists()
            };
            let folders = fs::read_dir(interfaces).ok()?.flatten().map(|entry| entry.path());
            folders
                .into_iter()
                .find(has_it)
                .map(|folder| folder.join("device"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn port(device: Device) -> Port {
        Port {
            name: "lan".into(),
            device,
            host_interface: None,
            addresses: Vec::new(),
            mtu: 1500,
            vlan: None,
            queues: None,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            promiscuous: false,
            nodes: Vec::new(),
        }
    }

    /// A physical function with two virtual ones.
    fn tree() -> PathBuf {
        let root = std::env::temp_dir().join(format!(
            "weir-vf-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let pf = root.join("bus/pci/devices/0000:01:00.0");
        let net = root.join("class/net/eth0");
        fs::create_dir_all(&pf).unwrap();
        fs::create_dir_all(&net).unwrap();
        fs::write(pf.join("sriov_numvfs"), "2\n").unwrap();
        fs::write(net.join("address"), "02:00:00:00:00:01\n").unwrap();
        symlink("../../../bus/pci/devices/0000:01:00.0", net.join("device")).unwrap();
        symlink("../0000:01:10.0", pf.join("virtfn0")).unwrap();
        symlink("../0000:01:10.2", pf.join("virtfn1")).unwrap();
        root
    }

    #[test]
    fn a_function_is_found_by_every_name_of_its_parent() {
        let root = tree();
        let names = [
            PfName::Pci("0000:01:00.0".into()),
            PfName::Interface("eth0".into()),
            PfName::Mac("02:00:00:00:00:01".parse().unwrap()),
        ];
        for pf in names {
            let ports = resolve(&root, &[port(Device::Vf { pf, vf: 1 })]).unwrap();
            assert_eq!(
                ports[0].device,
                Device::Pci {
                    address: "0000:01:10.2".into(),
                    arguments: String::new()
                }
            );
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn one_that_is_not_there_is_named() {
        let root = tree();
        for pf in [PfName::Interface("eth0".into()), PfName::Interface("eth9".into())] {
            let error = resolve(&root, &[port(Device::Vf { pf, vf: 2 })])
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("no VF 2 of eth") && error.contains("port lan"),
                "{error}"
            );
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn other_devices_stay() {
        assert_eq!(
            resolve(Path::new("/nowhere"), &[port(Device::Null)]).unwrap()[0].device,
            Device::Null
        );
    }
}
