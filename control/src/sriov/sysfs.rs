//! What sysfs says about PFs and VFs, below a root that a test chooses.
//!
//! `sriov_numvfs` is never read: while the kernel waits for a VF that somebody holds, that read hangs, too. The `virtfnN` links say the
//! same at any time. Read first: Documentation/ABI/testing/sysfs-bus-pci, entries sriov_* and virtfnN.

use super::model::{Pf, Vf};
use super::users;
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where sysfs and the vfio devices are.
#[derive(Debug, Clone)]
pub struct Roots {
    /// `/sys`
    pub sys: PathBuf,
    /// `/dev`
    pub dev: PathBuf,
    /// `/proc`
    pub proc: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            sys: "/sys".into(),
            dev: "/dev".into(),
            proc: "/proc".into(),
        }
    }
}

/// Buses whose devices can have VFs.
const BUSES: &[&str] = &["pci", "netdevsim"];
/// Attributes are a page at most.
const ATTRIBUTE_BYTES_MAX: u64 = 4096;
/// More `virtfnN` than any device has are not followed.
const VFS_MAX: u16 = 4096;

impl Roots {
    /// Every PF of the host, in order of its name.
    pub fn pfs(&self) -> Vec<Pf> {
        let mut names: Vec<(PathBuf, String)> = Vec::new();
        for bus in BUSES {
            let devices = self.sys.join("bus").join(bus).join("devices");
            names.extend(
                children(&devices)
                    .into_iter()
                    .map(|name| (devices.join(&name), name)),
            );
        }
        names.sort_by(|one, other| one.1.cmp(&other.1));
        names
            .into_iter()
            .filter(|(path, _)| is_network_pf(path))
            .map(|(path, name)| self.pf(&path, name))
            .collect()
    }

    /// The PF whose device has that name, if it is there.
    pub fn pf_named(&self, device: &str) -> Option<Pf> {
        let path = self.device(device)?;
        path.join("sriov_numvfs")
            .exists()
            .then(|| self.pf(&path, device.to_owned()))
    }

    /// The directory of a device on any bus that can have VFs.
    pub fn device(&self, name: &str) -> Option<PathBuf> {
        if name.contains('/') || name.starts_with('.') {
            return None;
        }
        let path = |bus: &&str| self.sys.join("bus").join(bus).join("devices").join(name);
        BUSES.iter().map(path).find(|path| path.is_dir())
    }

    fn pf(&self, path: &Path, device: String) -> Pf {
        let interface = children(&path.join("net")).into_iter().next();
        let net = interface.as_ref().map(|name| path.join("net").join(name));
        let net_text = |file: &str| net.as_ref().and_then(|net| text(&net.join(file)));
        let flags =
            net_text("flags").and_then(|flags| u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok());
        let mut pf = Pf {
            mac: net_text("address").and_then(|address| address.parse().ok()),
            driver: link_name(&path.join("driver"))
                .or_else(|| path.join("new_port").exists().then(|| "netdevsim".to_owned())),
            numa_node: number(&path.join("numa_node")),
            vfs_max: number(&path.join("sriov_totalvfs")),
            autoprobe: number::<u8>(&path.join("sriov_drivers_autoprobe")).map(|value| value != 0),
            up: flags.is_some_and(|flags| flags & 1 == 1),
            carrier: net_text("carrier").as_deref() == Some("1"),
            vfs: Vec::new(),
            faults: Vec::new(),
            interface,
            device,
        };
        self.read_vfs(path, &mut pf);
        pf
    }

    fn read_vfs(&self, path: &Path, pf: &mut Pf) {
        let index = |name: String| name.strip_prefix("virtfn")?.parse::<u16>().ok();
        let mut indices: Vec<u16> = children(path)
            .into_iter()
            .filter_map(index)
            .filter(|index| *index < VFS_MAX)
            .collect();
        indices.sort_unstable();
        for (place, index) in indices.iter().enumerate() {
            if place != usize::from(*index) {
                pf.faults.push(format!(
                    "VF {place} has no virtfn{place} link: VFs are being made or removed"
                ));
                break;
            }
        }
        for index in indices {
            let link = path.join(format!("virtfn{index}"));
            let address = link_name(&link).filter(|_| link.join(".").exists());
            if address.is_none() {
                pf.faults
                    .push(format!("virtfn{index} leads nowhere: the VF is being removed"));
            }
            let vf = Vf {
                index,
                ..self.vf(address)
            };
            if vf.address.is_some() && link_name(&link.join("physfn")).as_ref() != Some(&pf.device) {
                pf.faults
                    .push(format!("VF {index} does not name {} as its PF", pf.device));
            }
            pf.vfs.push(vf);
        }
    }

    fn vf(&self, address: Option<String>) -> Vf {
        let Some(path) = address.as_deref().and_then(|address| self.device(address)) else {
            return Vf {
                address,
                ..Vf::default()
            };
        };
        let driver = link_name(&path.join("driver"));
        let iommu_group = link_name(&path.join("iommu_group")).and_then(|group| group.parse().ok());
        let passed_on = driver.as_deref() == Some("vfio-pci");
        Vf {
            driver_override: text(&path.join("driver_override"))
                .filter(|only| only != "(null)" && !only.is_empty()),
            interface: children(&path.join("net")).into_iter().next(),
            held: passed_on && iommu_group.is_some_and(|group| self.is_held(&path, group)),
            iommu_group,
            driver,
            address,
            ..Vf::default()
        }
    }

    /// A vfio group can be open once: a second open is EBUSY, also while somebody has one of its devices by iommufd. A kernel without groups
    /// lets anybody open the device's own file; there, who has it open is what counts.
    fn is_held(&self, device: &Path, group: u32) -> bool {
        let path = self.dev.join("vfio").join(group.to_string());
        match rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
            Ok(_) => false,
            Err(rustix::io::Errno::BUSY) => true,
            Err(_) => {
                let files = children(&device.join("vfio-dev"));
                let open =
                    |name: &String| users::is_open(&self.proc, &self.dev.join("vfio/devices").join(name));
                files.iter().any(open)
            }
        }
    }
}

/// Has VFs, or could have, and is a network device.
fn is_network_pf(path: &Path) -> bool {
    let network = text(&path.join("class")).is_none_or(|class| class.starts_with("0x02"));
    network && path.join("sriov_numvfs").exists()
}

/// Names in a directory, sorted; none if there is no such directory.
fn children(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// The last part of where a link leads.
fn link_name(path: &Path) -> Option<String> {
    fs::read_link(path).ok()?.file_name()?.to_str().map(str::to_owned)
}

/// An attribute without the ends of its line; `None` if it cannot be read.
fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path)
        .ok()?
        .take(ATTRIBUTE_BYTES_MAX)
        .read_to_string(&mut text)
        .ok()?;
    Some(text.trim().to_owned())
}

/// A number, unless it is absent or negative (NUMA node -1: there is one only).
fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests;
