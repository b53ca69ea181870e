//! Is this host fit for SR-IOV and DPDK: IOMMU, vfio and who uses it, huge pages, NUMA, what the firmware leaves of SR-IOV. Reads only.

mod firmware;

use super::guests::virsh::Runner;
use super::sysfs::Roots;
use super::users;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Good,
    /// It works, but something is missing for some uses.
    Advice,
    /// It does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How it stands.
    pub grade: Grade,
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub found: String,
    /// The way out; empty when all is well.
    pub fix: String,
}

fn finding(grade: Grade, what: &str, found: impl Into<String>, fix: &str) -> Finding {
    let fix = if grade == Grade::Good { "" } else { fix };
    Finding {
        grade,
        what: what.to_owned(),
        found: found.into(),
        fix: fix.to_owned(),
    }
}

/// Looks at everything. `runner` is for `devlink`, which is asked where it is installed.
pub fn examine(roots: &Roots, runner: &mut impl Runner) -> Vec<Finding> {
    let mut findings = vec![iommu(roots), vfio(roots), vfio_users(roots), huge_pages(roots)];
    findings.extend(pfs(roots, runner));
    findings
}

fn entries(path: &Path) -> usize {
    fs::read_dir(path).map_or(0, Iterator::count)
}

fn iommu(roots: &Roots) -> Finding {
    let groups = entries(&roots.sys.join("kernel/iommu_groups"));
    let grade = if groups > 0 { Grade::Good } else { Grade::Bad };
    finding(
        grade,
        "IOMMU",
        format!("{groups} groups"),
        "enable VT-d or AMD-Vi in the firmware, and boot with intel_iommu=on iommu=pt; without it no guest gets a VF",
    )
}

fn vfio(roots: &Roots) -> Finding {
    let loaded = roots.sys.join("bus/pci/drivers/vfio-pci").is_dir();
    let grade = if loaded { Grade::Good } else { Grade::Bad };
    finding(
        grade,
        "vfio-pci",
        if loaded { "loaded" } else { "not loaded" },
        "modprobe vfio-pci, and put it into /etc/modules-load.d/weir.conf",
    )
}

/// VFs are held by a group (/dev/vfio/N) or, newer, by iommufd (/dev/iommu and /dev/vfio/devices/vfioN). Without groups only root sees who
/// holds what.
fn vfio_users(roots: &Roots) -> Finding {
    let list = users::of_vfio(&roots.proc, &roots.dev);
    let iommufd = roots.dev.join("iommu").exists();
    let mut found = if iommufd { "groups and iommufd" } else { "groups" }.to_owned();
    if list.is_empty() {
        found += ", nobody uses them";
    }
    for (number, user) in list.iter().enumerate() {
        let before = if number == 0 { "; used by " } else { ", " };
        found += &format!("{before}{} ({})", user.program, user.pid);
    }
    let groups = roots.dev.join("vfio/vfio").exists() || !iommufd;
    let grade = if groups { Grade::Good } else { Grade::Advice };
    finding(
        grade,
        "vfio users",
        found,
        "this kernel has iommufd only (no CONFIG_VFIO_GROUP): DPDK before 24.11 opens no VF here, guests of a recent QEMU do",
    )
}

fn huge_pages(roots: &Roots) -> Finding {
    let sizes = fs::read_dir(roots.sys.join("kernel/mm/hugepages"))
        .into_iter()
        .flatten()
        .flatten();
    let reserved_mb: u64 = sizes
        .filter_map(|size| {
            let name = size.file_name();
            let page_kb: u64 = name
                .to_str()?
                .strip_prefix("hugepages-")?
                .strip_suffix("kB")?
                .parse()
                .ok()?;
            let pages: u64 = fs::read_to_string(size.path().join("nr_hugepages"))
                .ok()?
                .trim()
                .parse()
                .ok()?;
            Some(page_kb * pages / 1024)
        })
        .sum();
    let grade = if reserved_mb >= 256 {
        Grade::Good
    } else {
        Grade::Advice
    };
    finding(
        grade,
        "huge pages",
        format!("{reserved_mb} MiB reserved"),
        "for a NIC at line rate: echo 1024 > /proc/sys/vm/nr_hugepages; weir also runs without",
    )
}

fn pfs(roots: &Roots, runner: &mut impl Runner) -> Vec<Finding> {
    let pfs = roots.pfs();
    if pfs.is_empty() {
        return vec![finding(
            Grade::Advice,
            "NICs with SR-IOV",
            "none",
            "enable SR-IOV in the firmware and in the NIC's own setup; X520, X710 and their successors have it",
        )];
    }
    let mut findings = Vec::new();
    for pf in pfs {
        findings.push(of_pf(&pf));
        findings.extend(firmware::of_pf(roots, runner, &pf));
    }
    findings
}

fn of_pf(pf: &super::model::Pf) -> Finding {
    let most = pf.vfs_max.unwrap_or(0);
    let place = pf
        .numa_node
        .map_or_else(String::new, |node| format!(", NUMA node {node}"));
    let found = format!(
        "{}, up to {most} VFs, {} now{place}",
        pf.driver.as_deref().unwrap_or("no driver"),
        pf.vf_count()
    );
    let (grade, fix) = match (&pf.interface, most, pf.faults.first()) {
        (_, _, Some(fault)) => (Grade::Bad, fault.clone()),
        (None, _, _) => (
            Grade::Bad,
            "bind the PF to its kernel driver: its VFs are set through it".to_owned(),
        ),
        (_, 0, _) if pf.device.contains(':') => (
            Grade::Bad,
            "the firmware leaves no VFs: enable SR-IOV in the NIC's setup".to_owned(),
        ),
        (_, _, None) if !pf.carrier => (
            Grade::Advice,
            "no link: ixgbe and igb take no rate limits until there is one".to_owned(),
        ),
        (_, _, None) => (Grade::Good, String::new()),
    };
    finding(grade, &format!("PF {}", pf.title()), found, &fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sriov::guests::virsh::VirshError;

    struct NoDevlink;

    impl Runner for NoDevlink {
        fn run(&mut self, command: &[&str], _: Option<&str>) -> Result<String, VirshError> {
            Err(VirshError::Missing(command[0].to_owned()))
        }
    }

    #[test]
    fn a_bare_host_is_told_what_it_lacks_and_a_fit_one_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots {
            sys: directory.path().join("sys"),
            dev: directory.path().join("dev"),
            proc: directory.path().join("proc"),
        };
        let bare = examine(&roots, &mut NoDevlink);
        assert_eq!(
            bare.iter().map(|finding| finding.grade).collect::<Vec<_>>(),
            [Grade::Bad, Grade::Bad, Grade::Good, Grade::Advice, Grade::Advice]
        );
        assert!(
            bare.iter()
                .all(|finding| finding.fix.is_empty() == (finding.grade == Grade::Good))
        );
        for path in [
            "kernel/iommu_groups/6",
            "bus/pci/drivers/vfio-pci",
            "kernel/mm/hugepages/hugepages-2048kB",
        ] {
            fs::create_dir_all(roots.sys.join(path)).unwrap();
        }
        fs::write(
            roots
                .sys
                .join("kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"),
            "512\n",
        )
        .unwrap();
        let fit = examine(&roots, &mut NoDevlink);
        assert!(
            fit[..4]
                .iter()
                .all(|finding| finding.grade == Grade::Good && finding.fix.is_empty()),
            "{fit:?}"
        );
    }

    #[test]
    fn users_of_iommufd_are_named_and_a_kernel_without_groups_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots {
            sys: directory.path().join("sys"),
            dev: directory.path().join("dev"),
            proc: directory.path().join("proc"),
        };
        let process = roots.proc.join("4711");
        fs::create_dir_all(process.join("fd")).unwrap();
        fs::create_dir_all(&roots.dev).unwrap();
        fs::write(roots.dev.join("iommu"), "").unwrap();
        fs::write(process.join("comm"), "qemu-system-x86\n").unwrap();
        std::os::unix::fs::symlink(roots.dev.join("iommu"), process.join("fd/9")).unwrap();
        let found = vfio_users(&roots);
        assert_eq!(found.grade, Grade::Advice);
        assert_eq!(found.found, "groups and iommufd; used by qemu-system-x86 (4711)");
        fs::create_dir_all(roots.dev.join("vfio/vfio")).unwrap();
        assert_eq!(vfio_users(&roots).grade, Grade::Good);
    }
}
