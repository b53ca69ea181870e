//! Is this host fit for SR-IOV and DPDK: IOMMU, vfio, huge pages, NUMA, what the firmware leaves of SR-IOV. Reads only.

use super::sysfs::Roots;
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

/// Looks at everything.
pub fn examine(roots: &Roots) -> Vec<Finding> {
    let mut findings = vec![iommu(roots), vfio(roots), huge_pages(roots)];
    findings.extend(pfs(roots));
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

fn pfs(roots: &Roots) -> Vec<Finding> {
    let pfs = roots.pfs();
    if pfs.is_empty() {
        return vec![finding(
            Grade::Advice,
            "NICs with SR-IOV",
            "none",
            "enable SR-IOV in the firmware and in the NIC's own setup; X520, X710 and their successors have it",
        )];
    }
    let one = |pf: super::model::Pf| {
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
    };
    pfs.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_host_is_told_what_it_lacks_and_a_fit_one_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots {
            sys: directory.path().join("sys"),
            dev: directory.path().join("dev"),
        };
        let bare = examine(&roots);
        assert_eq!(
            bare.iter().map(|finding| finding.grade).collect::<Vec<_>>(),
            [Grade::Bad, Grade::Bad, Grade::Advice, Grade::Advice]
        );
        assert!(bare.iter().all(|finding| !finding.fix.is_empty()));
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
        let fit = examine(&roots);
        assert!(
            fit[..3]
                .iter()
                .all(|finding| finding.grade == Grade::Good && finding.fix.is_empty()),
            "{fit:?}"
        );
    }
}
