//! What must hold between sections: names are unique, references exist, and every address can be reached.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use crate::backend::Backend;
use crate::dataplane::Dataplane;
use crate::device::Device;
use crate::forward::Forward;
use crate::port::Port;
use crate::reader::{At, Fields, Read};
use crate::route::{Neighbor, NextHop, RawNeighbor, RawRoute, Route};
use crate::service::Service;
use crate::sriov::{Sriov, VfDriver};
use crate::suggest;

type Entry<'r, 'a, 's, T> = (&'r Fields<'a, 's>, &'r T);

fn good<'r, 'a, 's, T>(read: &'r [Read<'a, 's, T>]) -> impl Iterator<Item = Entry<'r, 'a, 's, T>> {
    read.iter()
        .filter_map(|entry| Some((&entry.fields, entry.value.as_ref()?)))
}

/// Reports the second and later of values that must be unique.
struct Unique<K> {
    seen: HashMap<K, Range<usize>>,
    what: &'static str,
    help: &'static str,
}

impl<K: Eq + Hash> Unique<K> {
    fn new(what: &'static str, help: &'static str) -> Self {
        Self {
            seen: HashMap::new(),
            what,
            help,
        }
    }

    /// Whether `value` is new.
    fn add(&mut self, fields: &Fields<'_, '_>, key: &str, value: K, shown: &str) -> bool {
        let span = fields.span_of(key);
        if let Some(first) = self.seen.get(&value) {
            let first = fields.context.line_of(first);
            let message = format!("{} {shown} is already used at line {first}", self.what);
            fields.context.error(span, message, self.help);
            return false;
        }
        self.seen.insert(value, span);
        true
    }
}

/// DPDK's `RTE_MAX_ETHPORTS` as distributions build it; each host interface takes one too.
const DEVICES_MAX: usize = 32;

pub(crate) fn check_ports(ports: &[Read<'_, '_, Port>]) {
    let mut names = Unique::new("the port name", "give each port a name of its own");
    let mut devices = Unique::new("the device", "a device can be one port only");
    let mut interfaces = Unique::new("the interface", "an interface can be used once: name another");
    let mut addresses = Unique::new("the address", "an address can be on one port only");
    let mut subnets = Unique::new(
        "the subnet",
        "a subnet can be on one port only: what is in it must be found behind one port",
    );
    let mut devices_count = 0;
    for (fields, port) in good(ports) {
        names.add(fields, "name", &port.name, &format!("\"{}\"", port.name));
        devices_count += 1 + usize::from(port.host_interface.is_some());
        let shareable = matches!(port.device, Device::Null | Device::Ring);
        let own_device =
            shareable || devices.add(fields, "device", &port.device, &format!("\"{}\"", port.device));
        let below = port.device.kernel_interface();
        if let Some(below) = below.filter(|_| own_device) {
            interfaces.add(fields, "device", below, &format!("\"{below}\""));
        }
        if let Some(host) = port.host_interface.as_deref().filter(|host| Some(*host) != below) {
            interfaces.add(fields, "host_interface", host, &format!("\"{host}\""));
        }
        let mut own = Vec::new();
        for net in port.all_addresses() {
            addresses.add(fields, "addresses", net.addr(), &net.addr().to_string());
            if !own.contains(&net.trunc()) {
                own.push(net.trunc());
                subnets.add(fields, "addresses", net.trunc(), &net.trunc().to_string());
            }
        }
        if devices_count > DEVICES_MAX {
            let message = format!("ports and host interfaces together are {devices_count} devices");
            fields.context.error(
                fields.span.clone(),
                message,
                format!("DPDK takes {DEVICES_MAX}: leave some out"),
            );
        }
    }
}

/// Each PF once, and every port on a VF has the `[[sriov]]` that makes it.
pub(crate) fn check_sriov(sriov: &[Read<'_, '_, Sriov>], ports: &[Read<'_, '_, Port>]) {
    let mut pfs = Unique::new("the PF", "write one [[sriov]] for it");
    for (fields, entry) in good(sriov) {
        pfs.add(fields, "pf", &entry.pf, &format!("\"{}\"", entry.pf));
    }
    for (fields, port) in good(ports) {
        let Device::Vf { pf, vf } = &port.device else {
            continue;
        };
        let fault = match good(sriov).find(|(_, entry)| entry.pf == *pf) {
            None => Some((
                "pf",
                format!("no [[sriov]] has pf = \"{pf}\""),
                "add one with the number of VFs, and write `pf` the same way in both".to_owned(),
            )),
            Some((_, entry)) if *vf >= entry.vfs => Some((
                "vf",
                format!("there is no VF {vf}: `vfs` of {pf} is {}", entry.vfs),
                "raise `vfs`; the first VF is 0".to_owned(),
            )),
            Some((_, entry)) => match entry.vf(*vf) {
                (_, Some(guest)) => Some((
                    "vf",
                    format!("VF {vf} of {pf} is kept for the guest \"{guest}\""),
                    "take another VF".to_owned(),
                )),
                (settings, None) if !matches!(settings.driver, VfDriver::Any | VfDriver::VfioPci) => Some((
                    "vf",
                    format!("VF {vf} of {pf} shall have another driver than vfio-pci"),
                    "the data plane needs driver = \"vfio-pci\": give this VF a [[sriov.vf]] with it"
                        .to_owned(),
                )),
                _ => None,
            },
        };
        if let Some((key, message, help)) = fault {
            fields.context.error(fields.span_of(key), message, help);
        }
    }
}

/// Says that a port name is not known.
fn unknown_port(fields: &Fields<'_, '_>, port: &At<String>, ports: &[Read<'_, '_, Port>]) {
    let names = || good(ports).map(|(_, port)| port.name.as_str());
    let help = match suggest::nearest(&port.value, names()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if names().next().is_none() => "add a [[port]] of that name".to_owned(),
        None => format!("the ports are {}", names().collect::<Vec<_>>().join(", ")),
    };
    fields.context.error(
        port.span.clone(),
        format!("there is no port \"{}\"", port.value),
        help,
    );
}

/// Ports that could not be read may be the very ones that are meant: then nothing is said about reaching addresses.
fn complete(ports: &[Read<'_, '_, Port>]) -> bool {
    ports.iter().all(|port| port.value.is_some())
}

/// The port that has `address` in one of its subnets, the longest prefix first.
fn port_of<'r>(ports: &'r [Read<'_, '_, Port>], address: IpAddr) -> Option<&'r Port> {
    let prefix = |port: &Port| {
        port.all_addresses()
            .filter(|net| net.contains(&address))
            .map(IpNet::prefix_len)
            .max()
    };
    let reaching = good(ports).filter_map(|(_, port)| Some((prefix(port)?, port)));
    reaching.max_by_key(|(length, _)| *length).map(|(_, port)| port)
}

/// The port of a gateway or static neighbour: as named, or by subnet. Reports why there is none.
fn find_port(
    fields: &Fields<'_, '_>,
    ports: &[Read<'_, '_, Port>],
    what: &str,
    address: &At<IpAddr>,
    named: Option<&At<String>>,
) -> Option<String> {
    if let Some(name) = named {
        let found = good(ports).find(|(_, port)| port.name == name.value);
        let (_, port) = found?;
        if !port.reaches(address.value) && !is_link_local(address.value) {
            let message = format!(
                "{what} {} is in no subnet of port \"{}\"",
                address.value, port.name
            );
            let help = format!(
                "the port has {}; name an address in one of those, or another port",
                shown(port)
            );
            fields.context.error(address.span.clone(), message, help);
        }
        return Some(port.name.clone());
    }
    if let Some(port) = port_of(ports, address.value) {
        return Some(port.name.clone());
    }
    if complete(ports) {
        let message = format!("{what} {} is in no port's subnet", address.value);
        fields.context.error(
            address.span.clone(),
            message,
            "add an address of that subnet to a [[port]], or correct this one",
        );
    }
    None
}

/// RFC 4291 section 2.5.6: fe80::/10 is on every link.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(six) if six.segments()[0] & 0xffc0 == 0xfe80)
}

fn shown(port: &Port) -> String {
    let addresses: Vec<String> = port.all_addresses().map(ToString::to_string).collect();
    if addresses.is_empty() {
        return "no addresses".to_owned();
    }
    addresses.join(", ")
}

/// Says so when the named port does not exist.
fn port_exists(fields: &Fields<'_, '_>, ports: &[Read<'_, '_, Port>], named: Option<&At<String>>) {
    if let Some(name) = named
        && complete(ports)
        && !good(ports).any(|(_, port)| port.name == name.value)
    {
        unknown_port(fields, name, ports);
    }
}

pub(crate) fn resolve_routes<'a, 's>(
    ports: &[Read<'_, '_, Port>],
    routes: &[Read<'a, 's, RawRoute>],
) -> Vec<Read<'a, 's, Route>> {
    let mut destinations = Unique::new(
        "the destination",
        "list all gateways in one route: via = [\"…\", \"…\"]",
    );
    let mut resolved = Vec::new();
    for entry in routes {
        let fields = entry.fields.clone();
        let value = entry.value.as_ref().map(|raw| {
            destinations.add(&fields, "to", raw.to.value, &raw.to.value.to_string());
            port_exists(&fields, ports, raw.port.as_ref());
            Route {
                to: raw.to.value,
                next_hops: next_hops(&fields, ports, raw),
            }
        });
        resolved.push(Read { fields, value });
    }
    resolved
}

fn next_hops(fields: &Fields<'_, '_>, ports: &[Read<'_, '_, Port>], raw: &RawRoute) -> Vec<NextHop> {
    match &raw.port {
        Some(port) if raw.via.is_empty() => vec![NextHop {
            via: None,
            port: port.value.clone(),
        }],
        named => {
            let hop = |gateway: &At<IpAddr>| {
                let port = find_port(fields, ports, "gateway", gateway, named.as_ref())?;
                Some(NextHop {
                    via: Some(gateway.value),
                    port,
                })
            };
            raw.via.iter().filter_map(hop).collect()
        }
    }
}

pub(crate) fn resolve_neighbors(
    ports: &[Read<'_, '_, Port>],
    neighbors: &[Read<'_, '_, RawNeighbor>],
) -> Vec<Neighbor> {
    let mut addresses = Unique::new("the neighbor", "an address has one MAC: remove one of the two");
    let mut resolved = Vec::new();
    for (fields, raw) in good(neighbors) {
        addresses.add(
            fields,
            "address",
            raw.address.value,
            &raw.address.value.to_string(),
        );
        port_exists(fields, ports, raw.port.as_ref());
        if let Some(port) = find_port(fields, ports, "neighbor", &raw.address, raw.port.as_ref()) {
            resolved.push(Neighbor {
                address: raw.address.value,
                mac: raw.mac,
                port,
            });
        }
    }
    resolved
}

pub(crate) fn check_services(
    ports: &[Read<'_, '_, Port>],
    routes: &[Read<'_, '_, Route>],
    services: &[Read<'_, '_, Service>],
    dataplane: &Dataplane,
) {
    let mut names = Unique::new("the service name", "give each service a name of its own");
    let mut keys = Unique::new(
        "the service address",
        "put the backends into one service, or change address, port or protocol",
    );
    let routes_complete = routes.iter().all(|route| route.value.is_some());
    let (mut services_count, mut backends_count) = (0_usize, 0_usize);
    for (fields, service) in good(services) {
        names.add(fields, "name", &service.name, &format!("\"{}\"", service.name));
        for address in &service.addresses {
            let key = if fields.has("addresses") {
                "addresses"
            } else {
                "address"
            };
            keys.add(
                fields,
                key,
                (service.protocol, *address),
                &format!("{address} {}", service.protocol.as_str()),
            );
        }
        check_vlan(fields, service, services);
        services_count += service.addresses.len();
        backends_count += service.addresses.len() * service.backends.len();
        check_room(fields, "services_max", services_count, dataplane.services_max);
        check_room(fields, "backends_max", backends_count, dataplane.backends_max);
        if ports.is_empty() && services_count == service.addresses.len() {
            fields.context.error(
                fields.span.clone(),
                "there is a service but no [[port]]",
                "add a [[port]] with device and addresses",
            );
        }
        if complete(ports) && !ports.is_empty() && routes_complete {
            check_reach(fields, service, ports, routes);
        }
        check_local_addresses(fields, service, ports, services);
    }
}

/// An address is in one VLAN: every service at it must say the same.
fn check_vlan(fields: &Fields<'_, '_>, service: &Service, services: &[Read<'_, '_, Service>]) {
    let earlier = good(services).take_while(|(_, other)| !std::ptr::eq(*other, service));
    let shares = |other: &Service, address: &IpAddr| other.addresses.iter().any(|own| own.ip() == *address);
    for (_, other) in earlier.filter(|(_, other)| other.vlan != service.vlan) {
        let shared = service.addresses.iter().map(std::net::SocketAddr::ip);
        if let Some(address) = shared.into_iter().find(|address| shares(other, address)) {
            let said = other
                .vlan
                .map_or_else(|| "no `vlan`".to_owned(), |vlan| format!("vlan = {vlan}"));
            let key = if fields.has("vlan") { "vlan" } else { "name" };
            let message = format!(
                "{address} is in another VLAN for service \"{}\", which has {said}",
                other.name
            );
            fields.context.error(
                fields.span_of(key),
                message,
                "give all services of an address the same `vlan`, or this one another address",
            );
            return;
        }
    }
}

fn check_room(fields: &Fields<'_, '_>, key: &str, count: usize, max: u32) {
    // Said once, at the service that goes over: the count only grows.
    if count > max as usize && !fields.context.mentions(key) {
        let message = format!("with this service there are {count}, but [dataplane] `{key}` is {max}");
        fields.context.error(
            fields.span.clone(),
            message,
            format!("set {key} = {} or more", count.next_power_of_two()),
        );
    }
}

fn check_reach(
    fields: &Fields<'_, '_>,
    service: &Service,
    ports: &[Read<'_, '_, Port>],
    routes: &[Read<'_, '_, Route>],
) {
    for (index, backend) in service.backends.iter().enumerate() {
        let address = backend.address.ip();
        let span = fields.span_in("backend", index, "address");
        if let Some((message, help)) = cannot_reach(address, backend, service, ports, routes) {
            fields.context.error(span, message, help);
        }
    }
}

fn cannot_reach(
    address: IpAddr,
    backend: &Backend,
    service: &Service,
    ports: &[Read<'_, '_, Port>],
    routes: &[Read<'_, '_, Route>],
) -> Option<(String, String)> {
    if let Some(owner) = good(ports)
        .map(|(_, port)| port)
        .find(|port| port.all_addresses().any(|net| net.addr() == address))
    {
        let message = format!(
            "backend {address} is the box's own address on port \"{}\"",
            owner.name
        );
        return Some((message, "name the address of a server".to_owned()));
    }
    if service.addresses.iter().any(|vip| vip.ip() == address) {
        let message = format!("backend {address} is the service's own virtual address");
        return Some((message, "name the server's own address".to_owned()));
    }
    if port_of(ports, address).is_some() {
        return None;
    }
    let route = good(routes)
        .filter(|(_, route)| route.to.contains(&address))
        .max_by_key(|(_, route)| route.to.prefix_len());
    match route {
        None => {
            let message = format!("backend {address} is in no port's subnet and no route covers it");
            Some((
                message,
                "add an address of its subnet to a [[port]], or a [[route]] to it".to_owned(),
            ))
        }
        Some((_, route))
            if backend.forward == Forward::Dr && route.next_hops.iter().any(|hop| hop.via.is_some()) =>
        {
            let message = format!("backend {address} is behind a gateway, which forward \"dr\" cannot cross");
            Some((
                message,
                "use forward = \"tunnel\", \"nat\" or \"fullnat\", or put the backend into a port's subnet"
                    .to_owned(),
            ))
        }
        Some(_) => None,
    }
}

fn check_local_addresses(
    fields: &Fields<'_, '_>,
    service: &Service,
    ports: &[Read<'_, '_, Port>],
    services: &[Read<'_, '_, Service>],
) {
    for (index, local) in service.local_addresses.iter().enumerate() {
        let error = |message: String, help: &str| {
            fields
                .context
                .error(fields.span_at("local_addresses", index), message, help)
        };
        if let Some((_, port)) =
            good(ports).find(|(_, port)| port.all_addresses().any(|net| net.addr() == *local))
        {
            error(
                format!("local address {local} is the box's own on port \"{}\"", port.name),
                "use an address that nothing else uses: replies to it go to the data plane, not to the host",
            );
        } else if let Some((_, other)) =
            good(services).find(|(_, other)| other.addresses.iter().any(|vip| vip.ip() == *local))
        {
            error(
                format!(
                    "local address {local} is the virtual address of service \"{}\"",
                    other.name
                ),
                "use an address that nothing else uses",
            );
        }
    }
}
