//! `[[route]]`: where packets for other subnets go; and `[[neighbor]]`: MAC addresses that are not asked for.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::reader::{At, Fields};
use crate::section::{Key, Section};
use crate::text;
use crate::text::MacAddress;

/// Where packets for a network go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The network.
    pub to: IpNet,
    /// The next hops; several share the traffic. Never empty.
    pub next_hops: Vec<NextHop>,
}

/// One way out of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHop {
    /// The gateway; `None`: the network is on the link itself.
    pub via: Option<IpAddr>,
    /// Name of the port.
    pub port: String,
}

/// As it is written in the file: `via` a list, `port` only where it is said. (Gateways find their port by subnet.)
impl Serialize for Route {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let via: Vec<_> = self.next_hops.iter().filter_map(|hop| hop.via).collect();
        let mut out = serializer.serialize_struct("Route", 3)?;
        out.serialize_field("to", &self.to)?;
        if !via.is_empty() {
            out.serialize_field("via", &via)?;
        }
        let mut ports = self.next_hops.iter().map(|hop| &hop.port);
        if let Some(first) = ports.next().filter(|first| ports.all(|other| other == *first)) {
            out.serialize_field("port", first)?;
        }
        out.end()
    }
}

/// A neighbour whose MAC address is not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Neighbor {
    /// Its IP address.
    pub address: IpAddr,
    /// Its MAC address.
    pub mac: MacAddress,
    /// Name of the port.
    pub port: String,
}

/// A route as read: ports of the gateways are found once all ports are known.
pub(crate) struct RawRoute {
    pub(crate) to: At<IpNet>,
    pub(crate) via: Vec<At<IpAddr>>,
    pub(crate) port: Option<At<String>>,
}

/// A static neighbour as read.
pub(crate) struct RawNeighbor {
    pub(crate) address: At<IpAddr>,
    pub(crate) mac: MacAddress,
    pub(crate) port: Option<At<String>>,
}

pub(crate) static SECTION: Section = Section {
    header: "[[route]]",
    meaning: "Where packets for other subnets go. The longest prefix wins.",
    keys: &[
        Key {
            name: "to",
            kind: "a text",
            default: None,
            meaning: "required: the network, such as \"0.0.0.0/0\" or \"2001:db8:1::/48\"",
        },
        Key {
            name: "via",
            kind: "a text or a list of texts",
            default: None,
            meaning: "gateway address, or several that share the traffic; left out: the network is on the link of `port`",
        },
        Key {
            name: "port",
            kind: "a text",
            default: None,
            meaning: "name of a [[port]]; left out: the port in whose subnet the gateway is",
        },
    ],
};

pub(crate) static NEIGHBOR_SECTION: Section = Section {
    header: "[[neighbor]]",
    meaning: "A neighbour whose MAC address is not asked for by ARP or ND.",
    keys: &[
        Key {
            name: "address",
            kind: "a text",
            default: None,
            meaning: "required: its IP address",
        },
        Key {
            name: "mac",
            kind: "a text",
            default: None,
            meaning: "required: its MAC address, such as \"02:00:00:00:00:01\"",
        },
        Key {
            name: "port",
            kind: "a text",
            default: None,
            meaning: "name of a [[port]]; left out: the port in whose subnet the address is",
        },
    ],
};

pub(crate) fn read(fields: &Fields<'_, '_>) -> Option<RawRoute> {
    let via = fields.one_or_many("via", text::address);
    let port = fields.parsed("port", text::name);
    let to = fields.required("to", text::network)?;
    let stated = via.as_ref().map(Vec::len);
    if !fields.has("port") && (!fields.has("via") || stated == Some(0)) {
        let message = format!("the route to {} has neither `via` nor `port`", to.value);
        fields.context.error(
            to.span.clone(),
            message,
            "add via = \"GATEWAY\", or port = \"NAME\" when the network is on that link itself",
        );
        return None;
    }
    let via = via.unwrap_or_default();
    for gateway in &via {
        if gateway.value.is_ipv4() != matches!(to.value, IpNet::V4(_)) {
            let message = format!(
                "the route to {} is via {}, which is of the other family",
                to.value, gateway.value
            );
            fields.context.error(
                gateway.span.clone(),
                message,
                "name a gateway of the same family as `to`",
            );
        }
    }
    repeated(fields, &via);
    Some(RawRoute { to, via, port })
}

fn repeated(fields: &Fields<'_, '_>, via: &[At<IpAddr>]) {
    for (index, gateway) in via.iter().enumerate() {
        if via[..index].iter().any(|earlier| earlier.value == gateway.value) {
            fields.context.error(
                gateway.span.clone(),
                format!("gateway {} is named twice", gateway.value),
                "name each gateway once",
            );
        }
    }
}

pub(crate) fn read_neighbor(fields: &Fields<'_, '_>) -> Option<RawNeighbor> {
    let address = fields.required("address", text::address);
    let mac = fields.required("mac", text::mac);
    let port = fields.parsed("port", text::name);
    Some(RawNeighbor {
        address: address?,
        mac: mac?.value,
        port,
    })
}
