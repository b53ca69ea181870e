//! `[[sriov]]`: the virtual functions (VFs) of one physical function (PF), and what each of them shall be.
//!
//! What stands in `[[sriov]]` is for all VFs; `[[sriov.vf]]` overrides it for one. A key that is left out is not managed: whatever the
//! driver says stays. Ranges that depend on the NIC (how many VFs, which rates) are the control daemon's to check, with the driver's
//! rules at hand; here stand the ranges of the kernel's interface.
//!
//! Units: Mbit/s (decimal), as in `ip link set … vf … max_tx_rate`.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::reader::{Fields, Problem};
use crate::section::{Key, Section};
use crate::text::{self, MacAddress};

/// Which PF.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PfName {
    /// Its PCI address in full: `0000:41:00.0`.
    Pci(String),
    /// Its kernel interface: `enp65s0f0`.
    Interface(String),
    /// Its MAC address.
    Mac(MacAddress),
}

impl fmt::Display for PfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(name) | Self::Interface(name) => f.write_str(name),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

impl Serialize for PfName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the MAC address of a VF shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VfMac {
    /// Not managed.
    Any,
    /// Made from the PF's MAC address and the VF's number: the same after every boot.
    Derived,
    /// This one.
    Fixed(MacAddress),
}

impl Serialize for VfMac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::Derived => serializer.serialize_str("derived"),
            Self::Fixed(mac) => serializer.collect_str(mac),
        }
    }
}

/// Which driver a VF shall have on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VfDriver {
    /// Not managed.
    Any,
    /// vfio-pci: for guests and for DPDK.
    VfioPci,
    /// The kernel's own driver for the VF, such as ixgbevf.
    Kernel,
    /// No driver.
    None,
}

/// What the link of a VF shall say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VfLink {
    /// As the PF's.
    Auto,
    /// Always up: guests of one PF reach each other while the cable is out.
    Enable,
    /// Always down.
    Disable,
}

/// The outer protocol of a VF's VLAN tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum VlanProtocol {
    /// The customer's tag, ethertype 0x8100.
    #[serde(rename = "802.1q")]
    Dot1Q,
    /// The provider's tag, ethertype 0x88a8.
    #[serde(rename = "802.1ad")]
    Dot1Ad,
}

/// Settings of a VF; `None`: not managed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VfSettings {
    /// MAC address.
    pub mac: VfMac,
    /// VLAN that the NIC puts on and takes off; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Priority bits of that tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<u8>,
    /// Ethertype of that tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan_protocol: Option<VlanProtocol>,
    /// Most that the VF sends; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tx_rate_mbps: Option<u32>,
    /// What the VF may send when the link is full; 0: no promise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tx_rate_mbps: Option<u32>,
    /// Whether frames with a foreign source MAC are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spoofchk: Option<bool>,
    /// Whether the VF may take further MAC addresses and be promiscuous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<bool>,
    /// Link state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<VfLink>,
    /// Driver on this host.
    pub driver: VfDriver,
}

impl Default for VfSettings {
    fn default() -> Self {
        Self {
            mac: VfMac::Any,
            vlan: None,
            qos: None,
            vlan_protocol: None,
            max_tx_rate_mbps: None,
            min_tx_rate_mbps: None,
            spoofchk: None,
            trust: None,
            link: None,
            driver: VfDriver::Any,
        }
    }
}

/// One VF that differs from the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vf {
    /// Its number on the PF, from 0.
    pub index: u16,
    /// The guest it is kept for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// Its settings, those of the template filled in.
    #[serde(flatten)]
    pub settings: VfSettings,
}

/// The VFs of one PF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sriov {
    /// Which PF.
    pub pf: PfName,
    /// How many VFs it shall have.
    pub vfs: u16,
    /// Settings of every VF that has no entry of its own.
    #[serde(flatten)]
    pub settings: VfSettings,
    /// VFs that differ.
    #[serde(rename = "vf")]
    pub exceptions: Vec<Vf>,
}

impl Sriov {
    /// The settings of VF number `index`, and the guest it is kept for.
    pub fn vf(&self, index: u16) -> (&VfSettings, Option<&str>) {
        match self.exceptions.iter().find(|vf| vf.index == index) {
            Some(vf) => (&vf.settings, vf.guest.as_deref()),
            None => (&self.settings, None),
        }
    }
}

/// The kernel's `pci_num_vf` is 16 bits wide and PCI Express allows 256 functions behind one bus number; two bus numbers are the most seen.
const VFS_MAX: u64 = 512;

const RATE_KIND: &str = "a whole number of Mbit/s from 0 to 400000";

macro_rules! settings_keys {
    ($first:expr, $($more:expr),* $(,)?) => {
        &[
            $first,
            $($more,)*
            Key {
                name: "mac",
                kind: "a MAC address, \"derived\" or \"any\"",
                default: Some("\"any\""),
                meaning: "derived: from the PF's address and the VF's number, the same after every boot; any: left to the driver; an address stands in [[sriov.vf]] only",
            },
            Key {
                name: "vlan",
                kind: "a whole number from 0 to 4094",
                default: None,
                meaning: "VLAN that the NIC puts on and takes off; 0: none; left out: not managed",
            },
            Key {
                name: "qos",
                kind: "a whole number from 0 to 7",
                default: None,
                meaning: "priority bits of that tag",
            },
            Key {
                name: "vlan_protocol",
                kind: "\"802.1q\" or \"802.1ad\"",
                default: None,
                meaning: "ethertype of that tag; few NICs have 802.1ad",
            },
            Key {
                name: "max_tx_rate_mbps",
                kind: RATE_KIND,
                default: None,
                meaning: "most that the VF sends; 0: no limit; left out: not managed. X520: 11 to 10000, X710: 50 to 10000",
            },
            Key {
                name: "min_tx_rate_mbps",
                kind: RATE_KIND,
                default: None,
                meaning: "what the VF may send when the link is full; few NICs have it",
            },
            Key {
                name: "spoofchk",
                kind: "true or false",
                default: None,
                meaning: "whether frames with a foreign source MAC are dropped; left out: not managed",
            },
            Key {
                name: "trust",
                kind: "true or false",
                default: None,
                meaning: "whether the VF may take further MAC addresses and be promiscuous; left out: not managed",
            },
            Key {
                name: "link",
                kind: "\"auto\", \"enable\" or \"disable\"",
                default: None,
                meaning: "link of the VF: as the PF's, always up, always down; left out: not managed",
            },
            Key {
                name: "driver",
                kind: "\"any\", \"vfio-pci\", \"kernel\" or \"none\"",
                default: Some("\"any\""),
                meaning: "driver of the VF on this host; any: not managed",
            },
        ]
    };
}

pub(crate) static SECTION: Section = Section {
    header: "[[sriov]]",
    meaning: "The virtual functions of one NIC port, made and kept so by weir-control. Settings here are for all of them.",
    keys: settings_keys![
        Key {
            name: "pf",
            kind: "a text",
            default: None,
            meaning: "required: the NIC port by PCI address (0000:41:00.0), interface name or MAC address",
        },
        Key {
            name: "vfs",
            kind: "a whole number from 0 to 512",
            default: None,
            meaning: "required: how many VFs it shall have. X520: up to 63",
        },
        Key {
            name: "vf",
            kind: "an array of tables",
            default: None,
            meaning: "VFs that differ, as [[sriov.vf]]",
        },
    ],
};

pub(crate) static VF_SECTION: Section = Section {
    header: "[[sriov.vf]]",
    meaning: "One VF that differs from the others of its [[sriov]]. What is left out is as there.",
    keys: settings_keys![
        Key {
            name: "index",
            kind: "a whole number from 0 to 511",
            default: None,
            meaning: "required: the VF's number on its PF",
        },
        Key {
            name: "guest",
            kind: "a text of 1 to 63 characters a-z A-Z 0-9 - _ .",
            default: None,
            meaning: "the guest this VF is kept for: `weirctl sriov attach` gives it to no other",
        },
    ],
};

pub(crate) fn read(fields: &Fields<'_, '_>) -> Option<Sriov> {
    let settings = read_settings(fields, &VfSettings::default());
    if matches!(settings.mac, VfMac::Fixed(_)) {
        fields.context.error(
            fields.span_of("mac"),
            "one MAC address for all VFs",
            "write mac = \"derived\" here, or the address in a [[sriov.vf]]",
        );
    }
    let vfs = fields.integer("vfs", 0..=VFS_MAX);
    if !fields.has("vfs") {
        fields.missing("vfs");
    }
    let pf = fields.required("pf", pf_name)?.value;
    let exceptions = fields.tables("vf", &VF_SECTION);
    let exceptions = exceptions
        .iter()
        .filter_map(|fields| read_vf(fields, &settings, vfs?));
    let sriov = Sriov {
        pf,
        exceptions: exceptions.collect(),
        vfs: vfs?,
        settings: settings.clone(),
    };
    check_unique(fields, &sriov);
    Some(sriov)
}

fn read_vf(fields: &Fields<'_, '_>, template: &VfSettings, vfs: u16) -> Option<Vf> {
    if !fields.has("index") {
        fields.missing("index");
    }
    let index: u16 = fields.integer("index", 0..=VFS_MAX - 1)?;
    if index >= vfs {
        fields.context.error(
            fields.span_of("index"),
            format!("there is no VF {index}: `vfs` is {vfs}, and they are numbered from 0"),
            format!("raise `vfs` to at least {}, or name another VF", index + 1),
        );
    }
    Some(Vf {
        index,
        guest: fields.parsed("guest", text::name).map(|at| at.value),
        settings: read_settings(fields, template),
    })
}

fn read_settings(fields: &Fields<'_, '_>, template: &VfSettings) -> VfSettings {
    let drivers = [
        ("any", VfDriver::Any),
        ("vfio-pci", VfDriver::VfioPci),
        ("kernel", VfDriver::Kernel),
        ("none", VfDriver::None),
    ];
    let links = [
        ("auto", VfLink::Auto),
        ("enable", VfLink::Enable),
        ("disable", VfLink::Disable),
    ];
    let protocols = [("802.1q", VlanProtocol::Dot1Q), ("802.1ad", VlanProtocol::Dot1Ad)];
    let settings = VfSettings {
        mac: fields.parsed("mac", vf_mac).map_or(template.mac, |at| at.value),
        vlan: fields.integer("vlan", 0..=4094).or(template.vlan),
        qos: fields.integer("qos", 0..=7).or(template.qos),
        vlan_protocol: fields
            .word("vlan_protocol", &protocols)
            .or(template.vlan_protocol),
        max_tx_rate_mbps: fields
            .integer("max_tx_rate_mbps", 0..=400_000)
            .or(template.max_tx_rate_mbps),
        min_tx_rate_mbps: fields
            .integer("min_tx_rate_mbps", 0..=400_000)
            .or(template.min_tx_rate_mbps),
        spoofchk: fields.boolean("spoofchk").or(template.spoofchk),
        trust: fields.boolean("trust").or(template.trust),
        link: fields.word("link", &links).or(template.link),
        driver: fields.word("driver", &drivers).unwrap_or(template.driver),
    };
    check_settings(fields, &settings);
    settings
}

fn check_settings(fields: &Fields<'_, '_>, settings: &VfSettings) {
    let tagged = settings.vlan.is_some_and(|vlan| vlan > 0);
    if (settings.qos.is_some_and(|qos| qos > 0) || settings.vlan_protocol == Some(VlanProtocol::Dot1Ad))
        && !tagged
    {
        fields.context.error(
            fields.span_of("qos"),
            "`qos` and `vlan_protocol` without a `vlan`",
            "add `vlan = …` from 1 to 4094, or leave them out",
        );
    }
    if let (Some(low), Some(high)) = (settings.min_tx_rate_mbps, settings.max_tx_rate_mbps)
        && high > 0
        && low > high
    {
        fields.context.error(
            fields.span_of("min_tx_rate_mbps"),
            format!("`min_tx_rate_mbps` {low} is above `max_tx_rate_mbps` {high}"),
            "make it smaller, or the other 0 for no limit",
        );
    }
}

/// No VF twice, no MAC address twice.
fn check_unique(fields: &Fields<'_, '_>, sriov: &Sriov) {
    for (number, vf) in sriov.exceptions.iter().enumerate() {
        let before = &sriov.exceptions[..number];
        if before.iter().any(|other| other.index == vf.index) {
            fields.context.error(
                fields.span_in("vf", number, "index"),
                format!("VF {} has two entries", vf.index),
                "join them into one",
            );
        }
        let same_mac =
            |other: &Vf| matches!(vf.settings.mac, VfMac::Fixed(_)) && other.settings.mac == vf.settings.mac;
        if before.iter().any(same_mac) {
            fields.context.error(
                fields.span_in("vf", number, "mac"),
                "two VFs have this MAC address",
                "give each its own",
            );
        }
    }
}

/// A PF by PCI address, MAC address or interface name: told apart by shape.
pub(crate) fn pf_name(text: &str) -> Result<PfName, Problem> {
    if let Ok(mac) = text.parse::<MacAddress>() {
        return text::mac(&mac.to_string()).map(PfName::Mac);
    }
    let full = if text.matches(':').count() == 1 && text.contains('.') {
        format!("0000:{text}")
    } else {
        text.to_owned()
    };
    if text::pci_address(&full) {
        return Ok(PfName::Pci(full.to_ascii_lowercase()));
    }
    text::interface_name(text).map(PfName::Interface).map_err(|_| {
        Problem::new(
            format!("\"{}\" is no NIC port", text.escape_debug()),
            "write its PCI address (\"0000:41:00.0\", see lspci -D), its interface name (\"enp65s0f0\") or its MAC address",
        )
    })
}

fn vf_mac(text: &str) -> Result<VfMac, Problem> {
    match text {
        "any" => Ok(VfMac::Any),
        "derived" => Ok(VfMac::Derived),
        address => text::mac(address).map(VfMac::Fixed),
    }
}
