//! What is on this host, and what should be: the values that the reader fills, the plan compares and the view shows.
//!
//! Terms: a PF (physical function) is a port of a NIC; its VFs (virtual functions) are numbered from 0 and are PCI functions of their
//! own. Rates are in Mbit/s. Read first: the kernel's Documentation/PCI/pci-iov-howto.rst and Documentation/ABI/testing/sysfs-bus-pci.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use weir_configs::{MacAddress, PfName, VfLink, VlanProtocol};

fn mac_text<S: Serializer>(mac: &Option<MacAddress>, serializer: S) -> Result<S::Ok, S::Error> {
    match mac {
        Some(mac) => serializer.collect_str(mac),
        None => serializer.serialize_none(),
    }
}

/// One setting of a VF, in one netlink message: a driver that refuses one then leaves the others alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// MAC address; all zero: as if never set.
    Mac(MacAddress),
    /// VLAN tag; id 0: none.
    Vlan {
        /// VLAN.
        id: u16,
        /// Priority bits.
        qos: u8,
        /// Ethertype.
        protocol: VlanProtocol,
    },
    /// Transmit rates; 0: no promise, no limit.
    Rate {
        /// What the VF may send when the link is full.
        min_mbps: u32,
        /// Most that it sends.
        max_mbps: u32,
    },
    /// Whether frames with a foreign source are dropped.
    SpoofCheck(bool),
    /// Whether the VF may take further MAC addresses.
    Trust(bool),
    /// Link state.
    Link(VfLink),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switch = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Self::Mac(mac) => write!(f, "mac {mac}"),
            Self::Vlan { id: 0, .. } => f.write_str("vlan 0 (none)"),
            Self::Vlan { id, qos, protocol } => {
                write!(f, "vlan {id} qos {qos}")?;
                if *protocol == VlanProtocol::Dot1Ad {
                    f.write_str(" proto 802.1ad")
                } else {
                    Ok(())
                }
            }
            Self::Rate {
                min_mbps: 0,
                max_mbps,
            } => write!(f, "max_tx_rate {max_mbps}"),
            Self::Rate { min_mbps, max_mbps } => write!(f, "min_tx_rate {min_mbps} max_tx_rate {max_mbps}"),
            Self::SpoofCheck(on) => write!(f, "spoofchk {}", switch(on)),
            Self::Trust(on) => write!(f, "trust {}", switch(on)),
            Self::Link(VfLink::Auto) => f.write_str("state auto"),
            Self::Link(VfLink::Enable) => f.write_str("state enable"),
            Self::Link(VfLink::Disable) => f.write_str("state disable"),
        }
    }
}

/// Settings of a VF as the PF's driver tells them; `None`: the driver does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// MAC address; all zero: never set.
    #[serde(serialize_with = "mac_text")]
    pub mac: Option<MacAddress>,
    /// VLAN, priority, ethertype.
    pub vlan: Option<(u16, u8, VlanProtocol)>,
    /// Least and most, in Mbit/s.
    pub rate_mbps: Option<(u32, u32)>,
    /// Spoof check.
    pub spoofchk: Option<bool>,
    /// Trust.
    pub trust: Option<bool>,
    /// Link state.
    pub link: Option<VfLink>,
}

impl Settings {
    /// What is known, in the order in which it is set: the rate last, because it needs the link.
    pub fn list(&self) -> Vec<Setting> {
        [
            self.mac.map(Setting::Mac),
            self.vlan
                .map(|(id, qos, protocol)| Setting::Vlan { id, qos, protocol }),
            self.spoofchk.map(Setting::SpoofCheck),
            self.trust.map(Setting::Trust),
            self.link.map(Setting::Link),
            self.rate_mbps
                .map(|(min_mbps, max_mbps)| Setting::Rate { min_mbps, max_mbps }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Takes over one setting.
    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Mac(mac) => self.mac = Some(mac),
            Setting::Vlan { id, qos, protocol } => self.vlan = Some((id, qos, protocol)),
            Setting::Rate { min_mbps, max_mbps } => self.rate_mbps = Some((min_mbps, max_mbps)),
            Setting::SpoofCheck(on) => self.spoofchk = Some(on),
            Setting::Trust(on) => self.trust = Some(on),
            Setting::Link(link) => self.link = Some(link),
        }
    }

    /// Whether `setting` is what is set. What the driver does not say cannot be told apart and counts as set.
    pub fn has(&self, setting: Setting) -> bool {
        let same = |known: Option<bool>| known.unwrap_or(true);
        match setting {
            Setting::Mac(mac) => same(self.mac.map(|known| known == mac)),
            Setting::Vlan { id, qos, protocol } => same(
                self.vlan
                    .map(|known| (known.0, known.1) == (id, qos) && (id == 0 || known.2 == protocol)),
            ),
            Setting::Rate { min_mbps, max_mbps } => {
                same(self.rate_mbps.map(|known| known == (min_mbps, max_mbps)))
            }
            Setting::SpoofCheck(on) => same(self.spoofchk.map(|known| known == on)),
            Setting::Trust(on) => same(self.trust.map(|known| known == on)),
            Setting::Link(link) => same(self.link.map(|known| known == link)),
        }
    }
}

/// Counters of a VF, where the PF's driver keeps them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets the VF received.
    pub rx_packets: u64,
    /// Packets the VF sent.
    pub tx_packets: u64,
    /// Bytes the VF received.
    pub rx_bytes: u64,
    /// Bytes the VF sent.
    pub tx_bytes: u64,
}

/// A virtual function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Vf {
    /// Its number.
    pub index: u16,
    /// Its PCI address; `None` where the PF is no PCI device, or the link to it is broken.
    pub address: Option<String>,
    /// The driver it is bound to.
    pub driver: Option<String>,
    /// The only driver it may be bound to.
    pub driver_override: Option<String>,
    /// Its IOMMU group.
    pub iommu_group: Option<u32>,
    /// Its kernel interface, if it has one in this network namespace.
    pub interface: Option<String>,
    /// Somebody has its vfio group open: a guest, or a DPDK process.
    pub held: bool,
    /// Its settings.
    pub settings: Settings,
    /// Its counters.
    pub counters: Option<Counters>,
}

/// A physical function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pf {
    /// Name of its device: a PCI address such as `0000:41:00.0`, or what another bus calls it.
    pub device: String,
    /// Its kernel interface.
    pub interface: Option<String>,
    /// Its MAC address.
    #[serde(serialize_with = "mac_text")]
    pub mac: Option<MacAddress>,
    /// Its driver.
    pub driver: Option<String>,
    /// NUMA node; `None` where the machine has one only.
    pub numa_node: Option<u16>,
    /// How many VFs the device can have; `None` where it does not say.
    pub vfs_max: Option<u16>,
    /// Whether the kernel binds new VFs to their driver by itself; `None` where it does not say.
    pub autoprobe: Option<bool>,
    /// The interface is up by the administrator's word.
    pub up: bool,
    /// The interface has a link.
    pub carrier: bool,
    /// Its VFs, in order.
    pub vfs: Vec<Vf>,
    /// What of it could not be read.
    pub faults: Vec<String>,
}

impl Pf {
    /// Whether `name` means this PF.
    pub fn is(&self, name: &PfName) -> bool {
        match name {
            PfName::Pci(address) => self.device == *address,
            PfName::Interface(interface) => self.interface.as_ref() == Some(interface),
            PfName::Mac(mac) => self.mac == Some(*mac),
        }
    }

    /// How many VFs it has.
    pub fn vf_count(&self) -> u16 {
        u16::try_from(self.vfs.len()).unwrap_or(u16::MAX)
    }

    /// VF number `index`.
    pub fn vf(&self, index: u16) -> Option<&Vf> {
        self.vfs.iter().find(|vf| vf.index == index)
    }

    /// Its name for a person.
    pub fn title(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{} ({interface})", self.device),
            None => self.device.clone(),
        }
    }
}

/// Driver of a VF on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// This one and no other.
    Named(String),
    /// The one that the kernel has for the device.
    Kernel,
    /// None.
    None,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Kernel => f.write_str("the kernel's own"),
            Self::None => f.write_str("none"),
        }
    }
}

/// Who a VF is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Owner {
    /// Nobody yet.
    #[default]
    Free,
    /// A guest of this name.
    Guest(String),
    /// A `[[port]]` of this name.
    Port(String),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => f.write_str("free"),
            Self::Guest(name) => write!(f, "guest {name}"),
            Self::Port(name) => write!(f, "port {name}"),
        }
    }
}

/// What one VF should be. What is `None` is not managed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VfWish {
    /// Its settings.
    pub settings: Settings,
    /// Its driver.
    pub driver: Option<Driver>,
    /// Who it is for.
    pub owner: Owner,
}

/// What one PF should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PfWish {
    /// For every VF that it should have, in order.
    pub vfs: Vec<VfWish>,
    /// Whether the kernel binds new VFs by itself; `None`: not managed.
    pub autoprobe: Option<bool>,
}

/// The MAC address of VF number `index` behind the PF with address `pf`: the same on every boot and every host, locally administered,
/// unicast. FNV-1a over both, its bits mixed as MurmurHash3 ends; 40 of them are used, so that two of a thousand VFs meet with a chance
/// below one in a million.
pub fn derived_mac(pf: MacAddress, index: u16) -> MacAddress {
    let bytes = pf.0.into_iter().chain(index.to_be_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    let [_, _, _, a, b, c, d, e] = (mixed ^ (mixed >> 33)).to_be_bytes();
    MacAddress([0x02, a, b, c, d, e])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn derived_addresses_are_stable_local_unicast_and_differ() {
        let pf = MacAddress([0x90, 0xe2, 0xba, 0, 0, 1]);
        let neighbour = MacAddress([0x90, 0xe2, 0xba, 0, 0, 2]);
        let all: HashSet<_> = (0..256)
            .flat_map(|vf| [derived_mac(pf, vf), derived_mac(neighbour, vf)])
            .collect();
        assert_eq!(all.len(), 512);
        assert!(all.iter().all(|mac| mac.0[0] == 2));
        assert_eq!(derived_mac(pf, 7), derived_mac(pf, 7));
    }
}
