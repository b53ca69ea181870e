//! What a NIC's firmware and slot leave of it: VFs in its configuration space, ARI, the PCIe link, and what `devlink` says.
//!
//! Read first: PCI Express Base Specification, "Single Root I/O Virtualization Extended Capability"; the kernel's
//! Documentation/networking/devlink/devlink-params.rst (`enable_sriov`, `total_vfs`).

use super::{Finding, Grade, finding};
use crate::sriov::guests::virsh::Runner;
use crate::sriov::model::Pf;
use crate::sriov::sysfs::Roots;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Extended capabilities begin behind the 256 bytes of plain PCI.
const EXTENDED: usize = 0x100;
/// Number of the SR-IOV capability.
const SRIOV: u16 = 0x10;
/// Length of the configuration space: a chain of capabilities that is longer runs in a circle.
const CAPABILITIES_MAX: usize = 4096 / 8;

/// The SR-IOV capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Capability {
    /// TotalVFs: what the firmware offers.
    vfs: u16,
    /// ARI Capable Hierarchy: VFs may have function numbers above 7.
    ari: bool,
}

/// What is worth telling of a PF; nothing for one that is no PCI device.
pub(super) fn of_pf(roots: &Roots, runner: &mut impl Runner, pf: &Pf) -> Vec<Finding> {
    let Some(device) = roots.device(&pf.device).filter(|_| pf.device.contains(':')) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    findings.extend(offered(&device, pf));
    findings.extend(link(&device, pf));
    findings.extend(devlink(runner, pf));
    findings
}

fn titled(grade: Grade, pf: &Pf, found: String, fix: &str) -> Finding {
    finding(grade, &format!("PF {}, firmware", pf.device), found, fix)
}

/// Only root reads more of the configuration space than its first 64 bytes; without it nothing is said.
fn offered(device: &Path, pf: &Pf) -> Option<Finding> {
    let capability = capability(&fs::read(device.join("config")).ok()?)?;
    let driver = pf.vfs_max.unwrap_or(0);
    let found = format!(
        "offers {} VFs, of which the driver takes {driver}; ARI {}",
        capability.vfs,
        if capability.ari { "on" } else { "off" }
    );
    let (grade, fix) = match capability {
        Capability { vfs: 0, .. } => (
            Grade::Bad,
            "enable SR-IOV in the NIC's setup (its boot menu, mlxconfig, bootutil)",
        ),
        // Function numbers up to 7 are what is left, and other bus numbers if the bridge above has some.
        Capability { ari: false, .. } if driver > 7 => (
            Grade::Advice,
            "enable ARI in the firmware, or boot with pci=assign-busses: otherwise there may be no numbers for all VFs",
        ),
        Capability { .. } => (Grade::Good, ""),
    };
    Some(titled(grade, pf, found, fix))
}

/// Follows the chain of extended capabilities to the one for SR-IOV.
fn capability(config: &[u8]) -> Option<Capability> {
    let half = |at: usize| Some(u16::from_le_bytes(*config.get(at..)?.first_chunk()?));
    let mut at = EXTENDED;
    for _ in 0..CAPABILITIES_MAX {
        if half(at)? == SRIOV {
            return Some(Capability {
                vfs: half(at + 0x0e)?,
                ari: half(at + 0x08)? & 0x10 != 0,
            });
        }
        at = usize::from(half(at + 2)? >> 4);
        if at < EXTENDED {
            return None;
        }
    }
    None
}

/// A NIC in a slot that is too narrow never reaches its rate.
fn link(device: &Path, pf: &Pf) -> Option<Finding> {
    let text = |file: &str| {
        fs::read_to_string(device.join(file))
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let lanes = |file: &str| {
        text(file)?
            .parse::<u32>()
            .ok()
            .filter(|lanes| (1..=32).contains(lanes))
    };
    let rate = |file: &str| text(file)?.split(' ').next()?.parse::<f64>().ok();
    let (lanes, lanes_max) = (lanes("current_link_width")?, lanes("max_link_width")?);
    let (rate, rate_max) = (rate("current_link_speed")?, rate("max_link_speed")?);
    if lanes >= lanes_max && rate >= rate_max {
        return None;
    }
    let found = format!("PCIe {rate} GT/s x{lanes}, of {rate_max} GT/s x{lanes_max}");
    Some(titled(
        Grade::Advice,
        pf,
        found,
        "another slot, or a firmware setting of this one, would give it all of its lanes and speed",
    ))
}

/// Where the driver speaks devlink: the firmware's version, and whether it has SR-IOV off.
fn devlink(runner: &mut impl Runner, pf: &Pf) -> Option<Finding> {
    let handle = format!("pci/{}", pf.device);
    let mut ask = |what: &[&str]| {
        let mut command = vec!["devlink", "-j", "dev"];
        command.extend(what);
        command.push(&handle);
        let said = runner.run(&command, None).ok()?;
        serde_json::from_str::<Value>(&said).ok()
    };
    let info = ask(&["info"]);
    let parameters = ask(&["param", "show"]);
    let version = info.as_ref().and_then(|info| {
        let running = &info["info"][&handle]["versions"]["running"];
        ["fw", "fw.version", "fw.mgmt"]
            .iter()
            .find_map(|name| running[*name].as_str())
    });
    let permanent = |name: &str| {
        let list = parameters.as_ref()?["param"][&handle].as_array()?;
        let values = list.iter().find(|parameter| parameter["name"] == name)?["values"].as_array()?;
        Some(values.iter().find(|value| value["cmode"] == "permanent")?["value"].clone())
    };
    let enabled = permanent("enable_sriov").and_then(|value| value.as_bool());
    let total = permanent("total_vfs").and_then(|value| value.as_u64());
    if version.is_none() && enabled.is_none() && total.is_none() {
        return None;
    }
    let mut found = format!("version {}", version.unwrap_or("unknown"));
    if let Some(total) = total {
        found += &format!(", set to {total} VFs");
    }
    if let Some(on) = enabled {
        found += if on { ", SR-IOV on" } else { ", SR-IOV off" };
    }
    let off = enabled == Some(false) || total == Some(0);
    let fix = format!(
        "devlink dev param set {handle} name enable_sriov value true cmode permanent (or total_vfs), then a cold start"
    );
    Some(titled(
        if off { Grade::Bad } else { Grade::Good },
        pf,
        found,
        &fix,
    ))
}

#[cfg(test)]
mod tests;
