//! Fragments carry no ports, so they cannot be looked up as flows. They pass in DR and tunnel mode where a service takes
//! every port of its address and its scheduler looks at addresses alone: then every fragment finds the same server as
//! the flow's whole packets. Everything else is dropped under its own name.

use weir_rings::message::{Protocol, SchedulerKind};

use super::create::{client_of, pick_input, template_is_valid};
use crate::burst::check_link;
use crate::burst::{Context, Pending, Stop};
use crate::family::Key;
use crate::forward::{self, tunnel};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::parse::Meta;
use crate::tables::Service;
use crate::verdict::{DropReason, PuntReason, Verdict};

pub(super) fn handle<F: Ip, P: Packet>(
    packet: &mut P,
    meta: &Meta,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    let l3 = usize::from(meta.l3);
    let pair = F::read_pair(packet.data(), l3);
    let destination = F::to_ip(F::dst(&pair));
    let address = context.tables.address(destination).ok_or(DropReason::NotOurs)?;
    if address.own.contains(&context.port) {
        return Err(Stop::Punt(PuntReason::Host));
    }
    if !address.is_held(context.port) {
        return Err(if address.vip.is_some() {
            DropReason::VipNotOwned
        } else {
            DropReason::NotOurs
        }
        .into());
    }
    let service = Protocol::from_code(meta.protocol)
        .and_then(|protocol| context.tables.service_for(protocol, destination, 0))
        .ok_or(DropReason::Fragment)?;
    let key = Key {
        pair,
        ports: [0; 4],
        protocol: meta.protocol,
    };
    let backend = choose::<F>(service, &key, context)?;
    let link = context.shared.egress.link(backend);
    check_link(&link)?;
    let mode = context.shared.egress.mode(backend);
    if mode.is_nat() {
        return Err(DropReason::Fragment.into());
    }
    let pending = Pending {
        backend,
        ..Pending::new(key.hash(&context.shared.seed), key, 0, meta)
    };
    if mode.is_tunnel() {
        let target = context.shared.egress.target(backend);
        tunnel::send::<F, P>(packet, &pending, &link, &target, context.own.random())?;
    } else {
        F::decrement_ttl(packet.data_mut(), l3)?;
        forward::set_l2(packet, meta.vlan_tci, &link)?;
    }
    if let Some(line) = context.counters.backend(backend) {
        line.packets_in().add(1);
        line.bytes_in().add(pending.ip_len());
    }
    Ok(Verdict::Tx(link.port_id()))
}

/// The server of every packet from this client: its template's, or the one the scheduler computes from addresses.
fn choose<F: Ip>(service: &Service, key: &Key<F>, context: &mut Context<'_>) -> Result<u32, Stop> {
    if let Some(persistence) = &service.spec.persistence {
        let client = client_of::<F>(service, persistence, key.src());
        let found = context.shared.templates.find(&client, context.tick);
        if let Some(found) = found.filter(|found| template_is_valid(service, found.backend)) {
            return Ok(found.backend);
        }
    }
    if !hashes_addresses(service) {
        return Err(DropReason::Fragment.into());
    }
    let input = pick_input(key, context.now_s(), 0);
    let index = service
        .scheduler
        .peek(&input, |slot| super::create::load_of(context, slot))
        .ok_or(DropReason::NoServer)?;
    Ok(service.scheduler.servers()[index].slot)
}

fn hashes_addresses(service: &Service) -> bool {
    match service.spec.scheduler.kind {
        SchedulerKind::Dh => true,
        SchedulerKind::Sh | SchedulerKind::Mh => !service.spec.scheduler.port,
        SchedulerKind::Maglev => service.scheduler.flags().address_only,
        SchedulerKind::Rr
        | SchedulerKind::Wrr
        | SchedulerKind::Lc
        | SchedulerKind::Wlc
        | SchedulerKind::Sed
        | SchedulerKind::Nq
        | SchedulerKind::Lblc
        | SchedulerKind::Lblcr
        | SchedulerKind::Fo
        | SchedulerKind::Ovf
        | SchedulerKind::Twos => false,
    }
}
