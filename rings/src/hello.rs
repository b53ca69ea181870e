//! What the dataplane says about itself when control connects: the names behind every number in shared memory.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::counters::Shape;
use crate::message::{Mac, VlanId};

/// The first line on the socket; it carries the descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Must be the reader's own [`ABI`](crate::ABI).
    pub abi: u64,
    /// Number of this connection; the segment's header has the same.
    pub session: u64,
    /// The transaction in force, 0 for none. The next one must have a higher generation.
    pub generation: u64,
    /// Commands the command ring holds, and events the event ring.
    pub command_records: u32,
    /// Events the event ring holds.
    pub event_records: u32,
    /// Commands one transaction may have.
    pub transaction_commands_max: u32,
    /// The process.
    pub about: About,
}

/// The part of a hello that the daemon fills in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// When it started, in seconds since 1970.
    pub started_unix_s: u64,
    /// DPDK's version, if there is one.
    pub dpdk: Option<String>,
    /// Flows each worker's table holds.
    pub flows_max: u64,
    /// Size of the counters page.
    pub shape: Shape,
    /// Workers, by number.
    pub workers: Vec<WorkerInfo>,
    /// Ports, by [`PortId`](crate::message::PortId).
    pub ports: Vec<PortInfo>,
    /// Verdicts and reasons, by the number of their counter.
    pub reasons: Vec<ReasonInfo>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// The CPU it is pinned to.
    pub cpu: u32,
    /// `busy` or `adaptive`.
    pub idle: String,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortInfo {
    /// Its name in the configuration.
    pub name: String,
    /// The device as configured.
    pub device: String,
    /// Its driver.
    pub driver: String,
    /// Its address.
    #[serde(with = "mac_text")]
    pub mac: Mac,
    /// Its MTU.
    pub mtu: u16,
    /// Its VLAN, if it has one.
    pub vlan: Option<VlanId>,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The kernel interface for what is not ours.
    pub host_interface: Option<String>,
}

/// What a counter counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonInfo {
    /// `tx`, `punt`, `drop` or `steer`.
    pub verdict: String,
    /// The reason's name.
    pub name: String,
    /// What a person can do about it.
    pub hint: String,
}

/// MAC addresses in JSON: `"02:00:00:00:00:01"`.
pub mod mac_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::message::Mac;

    /// Six pairs of hexadecimal digits with colons between.
    pub fn format(mac: Mac) -> String {
        let [a, b, c, d, e, f] = mac;
        format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }

    /// Reads what [`format()`] writes, in either case.
    pub fn parse(text: &str) -> Option<Mac> {
        let mut pairs = text.split(':');
        let mut mac = [0; 6];
        for byte in &mut mac {
            let pair = pairs
                .next()
                .filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        pairs.next().is_none().then_some(mac)
    }

    /// For serde.
    pub fn serialize<S: Serializer>(mac: &Mac, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format(*mac))
    }

    /// For serde.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Mac, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| Error::custom("not a MAC address"))
    }

    /// The same for a MAC that may be missing.
    pub mod option {
        use serde::{Deserialize, Deserializer, Serializer, de::Error};

        use crate::message::Mac;

        /// For serde.
        pub fn serialize<S: Serializer>(mac: &Option<Mac>, to: S) -> Result<S::Ok, S::Error> {
            match mac {
                Some(mac) => super::serialize(mac, to),
                None => to.serialize_none(),
            }
        }

        /// For serde.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Mac>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            let parse = |t: String| super::parse(&t).ok_or_else(|| Error::custom("not a MAC address"));
            text.map(parse).transpose()
        }
    }
}
