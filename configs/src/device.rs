//! `device = "…"` of a port: which NIC or virtual device, and what EAL calls it.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::reader::Problem;
use crate::sriov::PfName;
use crate::suggest;
use crate::text::{interface_name, pci_address};

/// What a port sits on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Device {
    /// A NIC or VF bound to vfio-pci: `pci:0000:41:00.0`, with devargs after a comma.
    Pci {
        /// `domain:bus:device.function`.
        address: String,
        /// Driver arguments, `key=value` with commas; empty for none.
        arguments: String,
    },
    /// Virtual function number `vf` of a NIC port; the keys `pf` and `vf` of a port. It is bound to vfio-pci by control.
    Vf {
        /// The NIC port.
        pf: PfName,
        /// The number of the function on it.
        vf: u16,
    },
    /// A kernel interface through an XDP socket: `af_xdp:veth1`, with driver arguments after a comma.
    AfXdp {
        /// The kernel interface.
        interface: String,
        /// Driver arguments such as `queue_count=2`; empty for none.
        arguments: String,
    },
    /// A kernel interface through a packet socket: `af_packet:veth1`.
    AfPacket {
        /// The kernel interface.
        interface: String,
        /// Driver arguments such as `qpairs=2`; empty for none.
        arguments: String,
    },
    /// A TAP interface that is made by this port: `tap:name`.
    Tap {
        /// The kernel interface to make.
        interface: String,
    },
    /// Shared memory with another process: `memif:role=client,id=0,socket=/run/memif.sock`.
    Memif {
        /// Driver arguments.
        arguments: String,
    },
    /// Packets from and to files: `pcap:in=a.pcap,out=b.pcap`.
    Pcap {
        /// File that is read; `None`: nothing arrives.
        input: Option<String>,
        /// File that is written; `None`: what is sent is dropped.
        output: Option<String>,
    },
    /// Empty packets without end, and a hole for what is sent: `null`.
    Null,
    /// What is sent comes back: `ring`.
    Ring,
    /// Any other EAL virtual device, as EAL writes it: `vdev:net_bonding0,mode=1`.
    Vdev {
        /// The text for `--vdev`.
        text: String,
    },
}

const KINDS: &[&str] = &[
    "pci",
    "af_xdp",
    "af_packet",
    "tap",
    "memif",
    "pcap",
    "null",
    "ring",
    "vdev",
];

impl Device {
    /// What EAL calls the device of port number `index`, and the driver arguments (empty for none). The first is the name to open the
    /// port by; joined by a comma they are the text for `--vdev`, or for `-a` in the case of [`Device::Pci`].
    pub fn eal(&self, index: usize) -> (String, String) {
        match self {
            Self::Pci { address, arguments } => (address.clone(), arguments.clone()),
            // Only sysfs knows the address: who starts EAL looks it up first, and has a `Pci` then.
            Self::Vf { .. } => (self.to_string(), String::new()),
            Self::AfXdp { interface, arguments } => (
                format!("net_af_xdp{index}"),
                join(&format!("iface={interface}"), arguments),
            ),
            Self::AfPacket { interface, arguments } => (
                format!("net_af_packet{index}"),
                join(&format!("iface={interface}"), arguments),
            ),
            Self::Tap { interface } => (format!("net_tap{index}"), format!("iface={interface}")),
            Self::Memif { arguments } => (format!("net_memif{index}"), arguments.clone()),
            Self::Pcap { input, output } => (
                format!("net_pcap{index}"),
                pcap_arguments(input.as_deref(), output.as_deref()),
            ),
            Self::Null => (format!("net_null{index}"), String::new()),
            Self::Ring => (format!("net_ring{index}"), String::new()),
            Self::Vdev { text } => match text.split_once(',') {
                Some((name, arguments)) => (name.to_owned(), arguments.to_owned()),
                None => (text.clone(), String::new()),
            },
        }
    }

    /// The kernel interface below the port, if there is one.
    pub fn kernel_interface(&self) -> Option<&str> {
        match self {
            Self::AfXdp { interface, .. } | Self::AfPacket { interface, .. } | Self::Tap { interface } => {
                Some(interface)
            }
            Self::Pci { .. }
            | Self::Vf { .. }
            | Self::Memif { .. }
            | Self::Pcap { .. }
            | Self::Null
            | Self::Ring
            | Self::Vdev { .. } => None,
        }
    }
}

fn pcap_arguments(input: Option<&str>, output: Option<&str>) -> String {
    let input = input.map(|file| format!("rx_pcap={file}"));
    let output = output.map(|file| format!("tx_pcap={file}"));
    join(&input.unwrap_or_default(), &output.unwrap_or_default())
}

fn join(first: &str, second: &str) -> String {
    [first, second]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(",")
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci { address, arguments } => write!(f, "pci:{}", join(address, arguments)),
            Self::Vf { pf, vf } => write!(f, "vf:{pf}/{vf}"),
            Self::AfXdp { interface, arguments } => write!(f, "af_xdp:{}", join(interface, arguments)),
            Self::AfPacket { interface, arguments } => write!(f, "af_packet:{}", join(interface, arguments)),
            Self::Tap { interface } => write!(f, "tap:{interface}"),
            Self::Memif { arguments } => write!(f, "memif:{arguments}"),
            Self::Pcap { input, output } => {
                let input = input
                    .as_ref()
                    .map(|file| format!("in={file}"))
                    .unwrap_or_default();
                let output = output
                    .as_ref()
                    .map(|file| format!("out={file}"))
                    .unwrap_or_default();
                write!(f, "pcap:{}", join(&input, &output))
            }
            Self::Null => f.write_str("null"),
            Self::Ring => f.write_str("ring"),
            Self::Vdev { text } => write!(f, "vdev:{text}"),
        }
    }
}

/// As the keys of a port: `pf` and `vf`, or `device`.
impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = serializer.serialize_map(None)?;
        if let Self::Vf { pf, vf } = self {
            keys.serialize_entry("pf", pf)?;
            keys.serialize_entry("vf", vf)?;
        } else {
            keys.serialize_entry("device", &self.to_string())?;
        }
        keys.end()
    }
}

pub(crate) fn parse(text: &str) -> Result<Device, Problem> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Problem::new(
            format!("\"{}\" cannot be a device", text.escape_debug()),
            "leave out spaces and control characters",
        ));
    }
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "pci" => pci(rest),
        "af_xdp" => with_interface(rest).map(|(interface, arguments)| Device::AfXdp { interface, arguments }),
        "af_packet" => {
            with_interface(rest).map(|(interface, arguments)| Device::AfPacket { interface, arguments })
        }
        "tap" => Ok(Device::Tap {
            interface: interface_name(rest)?,
        }),
        "memif" => needs(rest, "memif:role=client,id=0,socket=/run/memif.sock")
            .map(|arguments| Device::Memif { arguments }),
        "pcap" => pcap(rest),
        "null" if rest.is_empty() => Ok(Device::Null),
        "ring" if rest.is_empty() => Ok(Device::Ring),
        "null" | "ring" => Err(Problem::new(
            format!("\"{kind}\" takes no arguments"),
            format!("write device = \"{kind}\""),
        )),
        "vdev" => needs(rest, "vdev:net_null7,size=64").map(|text| Device::Vdev { text }),
        _ => Err(unknown(text, kind)),
    }
}

fn unknown(text: &str, kind: &str) -> Problem {
    let help = if pci_address(text) {
        format!("write \"pci:{text}\"")
    } else if let Some(near) = suggest::nearest(kind, KINDS.iter().copied()) {
        format!(
            "did you mean \"{near}:…\"? a device begins with one of {}",
            KINDS.join(", ")
        )
    } else {
        format!(
            "a device begins with one of {}; for a kernel interface write \"af_xdp:{text}\"",
            KINDS.join(", ")
        )
    };
    Problem::new(format!("\"{text}\" is not a device"), help)
}

fn needs(rest: &str, example: &str) -> Result<String, Problem> {
    if rest.is_empty() {
        return Err(Problem::new(
            "the device has no arguments",
            format!("write for example \"{example}\""),
        ));
    }
    Ok(rest.to_owned())
}

fn with_interface(rest: &str) -> Result<(String, String), Problem> {
    let (interface, arguments) = rest.split_once(',').unwrap_or((rest, ""));
    Ok((interface_name(interface)?, arguments.to_owned()))
}

fn pci(rest: &str) -> Result<Device, Problem> {
    let (address, arguments) = rest.split_once(',').unwrap_or((rest, ""));
    let full = if address.matches(':').count() == 1 {
        format!("0000:{address}")
    } else {
        address.to_owned()
    };
    if !pci_address(&full) {
        let message = format!("\"{address}\" is not a PCI address");
        return Err(Problem::new(
            message,
            "write domain:bus:device.function in hex, as lspci -D shows it: \"pci:0000:41:00.0\"",
        ));
    }
    Ok(Device::Pci {
        address: full.to_ascii_lowercase(),
        arguments: arguments.to_owned(),
    })
}

fn pcap(rest: &str) -> Result<Device, Problem> {
    let help = "write \"pcap:in=FILE,out=FILE\", one of the two may be left out";
    let (mut input, mut output) = (None, None);
    for part in rest.split(',') {
        match part.split_once('=') {
            Some(("in", file)) if !file.is_empty() && input.is_none() => input = Some(file.to_owned()),
            Some(("out", file)) if !file.is_empty() && output.is_none() => output = Some(file.to_owned()),
            _ => {
                return Err(Problem::new(
                    format!("\"pcap:{rest}\" does not say which files"),
                    help,
                ));
            }
        }
    }
    Ok(Device::Pcap { input, output })
}
