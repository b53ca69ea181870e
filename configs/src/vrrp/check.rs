//! What virtual routers say, alone or together, that cannot be.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Tracked, Vrrp, VrrpAuth};
use crate::port::Port;
use crate::reader::{At, Fields, Read};

/// What one virtual router says that cannot be.
pub(super) fn check(fields: &Fields<'_, '_>, vrrp: &Vrrp, addresses: &[At<IpNet>]) {
    let fault =
        |key: &str, message: String, help: &str| fields.context.error(fields.span_of(key), message, help);
    let v6 = addresses
        .first()
        .is_some_and(|first| first.value.addr().is_ipv6());
    if let Some(other) = addresses.iter().find(|at| at.value.addr().is_ipv6() != v6) {
        let message = format!("{} is not of the family of the first address", other.value);
        let help = "move it to `excluded_addresses`, or make a [[vrrp]] for each family";
        fields.context.error(other.span.clone(), message, help);
    }
    if !(1..=255).contains(&addresses.len()) {
        let message = format!("`addresses` has {} entries", addresses.len());
        fault(
            "addresses",
            message,
            "advertise 1 to 255, and hold the others as `excluded_addresses`",
        );
    }
    match (&vrrp.port, &vrrp.interface) {
        (Some(_), None) | (None, Some(_)) => {}
        (None, None) if vrrp.nodes.iter().all(|node| node.interface.is_some()) && !vrrp.nodes.is_empty() => {}
        (None, None) => fault(
            "name",
            format!("[[vrrp]] {} has neither `port` nor `interface`", vrrp.name),
            "add port = \"NAME\" when the data plane holds the addresses, interface = \"NAME\" when the kernel does",
        ),
        (Some(_), Some(_)) => fault(
            "interface",
            format!("[[vrrp]] {} has both `port` and `interface`", vrrp.name),
            "leave one of the two out",
        ),
    }
    let (unit, max) = if vrrp.version == 2 {
        (1000, 255_000)
    } else {
        (10, 40_950)
    };
    if !vrrp.advert_interval_ms.is_multiple_of(unit) || vrrp.advert_interval_ms > max {
        let message = format!(
            "version {} cannot have an interval of {} ms",
            vrrp.version, vrrp.advert_interval_ms
        );
        fault(
            "advert_interval_ms",
            message,
            "version 2 has whole seconds, version 3 tens of ms up to 40950: set version = 3 for less than a second",
        );
    }
    if vrrp.version == 2 && v6 {
        fault("version", "version 2 has no IPv6".to_owned(), "use version = 3");
    }
    let other_family = |address: &IpAddr| address.is_ipv6() != v6;
    if vrrp.source.as_ref().is_some_and(other_family) {
        fault(
            "source",
            "`source` is not of the family of the addresses".to_owned(),
            "give an address of the same family",
        );
    }
    if vrrp.unicast_peers.iter().any(other_family) {
        fault(
            "unicast_peers",
            "a peer is not of the family of the addresses".to_owned(),
            "give addresses of the same family",
        );
    }
    if vrrp.version == 3 && matches!(vrrp.auth, VrrpAuth::Password | VrrpAuth::Header) {
        fault(
            "auth",
            "version 3 has no passwords and no authentication headers".to_owned(),
            "use auth = \"hmac\", or version = 2",
        );
    }
    if (vrrp.auth == VrrpAuth::None) != vrrp.auth_file.is_none() {
        fault(
            "auth",
            "`auth` and `auth_file` go together".to_owned(),
            "give both, or neither",
        );
    }
    if vrrp.priority == 255 && (!vrrp.preempt || vrrp.preempt_delay_ms != 0) {
        fault(
            "priority",
            "the owner of the addresses (255) always takes over at once".to_owned(),
            "lower the priority, or leave `preempt` and `preempt_delay_ms` out",
        );
    }
    if !vrrp.preempt && vrrp.preempt_delay_ms != 0 {
        fault(
            "preempt_delay_ms",
            "there is no delay without preemption".to_owned(),
            "leave `preempt_delay_ms` or `preempt = false` out",
        );
    }
}

/// What several sections say together that cannot be.
pub(crate) fn check_all(vrrps: &[Read<'_, '_, Vrrp>], ports: &[Port], services: &[String]) {
    let mut seen: Vec<&Vrrp> = Vec::new();
    for read in vrrps {
        let (Some(vrrp), fields) = (&read.value, &read.fields) else {
            continue;
        };
        let fault =
            |key: &str, message: String, help: &str| fields.context.error(fields.span_of(key), message, help);
        if let Some(name) = &vrrp.port {
            match ports.iter().find(|port| &port.name == name) {
                None => fault(
                    "port",
                    format!("there is no [[port]] \"{name}\""),
                    "name one of the ports of this file",
                ),
                Some(port) if port.host_interface.is_none() => fault(
                    "port",
                    format!("port \"{name}\" has no host_interface to speak VRRP on"),
                    "add host_interface = \"NAME\" to the port",
                ),
                Some(_) => {}
            }
        }
        for track in &vrrp.tracks {
            match &track.what {
                Tracked::Port(name) if !ports.iter().any(|port| &port.name == name) => {
                    fault(
                        "track",
                        format!("there is no [[port]] \"{name}\" to track"),
                        "name one of the ports of this file",
                    );
                }
                Tracked::Service(name) if !services.contains(name) => {
                    fault(
                        "track",
                        format!("there is no [[service]] \"{name}\" to track"),
                        "name one of the services of this file",
                    );
                }
                Tracked::Interface(_)
                | Tracked::Port(_)
                | Tracked::Script(_)
                | Tracked::Process(_)
                | Tracked::File(_)
                | Tracked::Service(_)
                | Tracked::Gateway(_)
                | Tracked::Bfd(_) => {}
            }
        }
        check_pair(fields, vrrp, &seen);
        seen.push(vrrp);
    }
}

fn check_pair(fields: &Fields<'_, '_>, vrrp: &Vrrp, seen: &[&Vrrp]) {
    let family = |vrrp: &Vrrp| vrrp.addresses.first().is_some_and(|first| first.addr().is_ipv6());
    for other in seen {
        if other.name == vrrp.name {
            let message = format!("there are two [[vrrp]] \"{}\"", vrrp.name);
            fields
                .context
                .error(fields.span_of("name"), message, "give each a name of its own");
        }
        let same_link = (&other.port, &other.interface) == (&vrrp.port, &vrrp.interface);
        if same_link && other.virtual_router_id == vrrp.virtual_router_id && family(other) == family(vrrp) {
            let message = format!(
                "[[vrrp]] \"{}\" has this virtual_router_id on the same link",
                other.name
            );
            fields.context.error(
                fields.span_of("virtual_router_id"),
                message,
                "use another number from 1 to 255",
            );
        }
        if let Some(shared) = vrrp.addresses.iter().find(|address| other.holds(address.addr())) {
            let message = format!("[[vrrp]] \"{}\" holds {} too", other.name, shared.addr());
            fields.context.error(
                fields.span_of("addresses"),
                message,
                "an address belongs to one virtual router",
            );
        }
    }
}
