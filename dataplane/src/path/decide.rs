//! Stage 4: packets without a flow. Whose are they, which service do they ask for, which server gets them?

use core::net::IpAddr;
use std::sync::Arc;

use weir_rings::message::Protocol;

use super::remote::Notes;
use crate::answer;
use crate::burst::{Context, Fate, Lane, Stop, check_vlan};
use crate::family::{Family, Key};
use crate::forward::relay;
use crate::ip::Ip;
use crate::packet::Packet;
use crate::parse::tcp_flag::{RST, SYN};
use crate::tables::Service;
use crate::verdict::{DropReason, PuntReason, Verdict};

/// What an address and port of ours is.
pub(crate) enum Destination<'a> {
    /// A service.
    Service(&'a Arc<Service>),
    /// For the host.
    Host,
}

impl<F: Ip + Notes> Lane<F> {
    pub(super) fn decide_misses<P: Packet>(
        &mut self,
        packets: &mut [P],
        verdicts: &mut [Verdict],
        context: &mut Context<'_>,
    ) {
        let mut asked = Asked::default();
        for at in 0..self.pending.len() {
            if self.pending[at].fate != Fate::Miss {
                continue;
            }
            if let Err(stop) = self.decide(at, &mut asked, context) {
                let index = usize::from(self.pending[at].index);
                self.pending[at].fate = Fate::Done;
                verdicts[index] = answer::refused(
                    &mut packets[index],
                    &self.pending[at],
                    &self.clients[at],
                    stop,
                    context,
                );
            }
        }
    }

    /// One packet without a flow: finds or makes one.
    pub(super) fn decide<'a>(
        &mut self,
        at: usize,
        asked: &mut Asked<'a, F>,
        context: &mut Context<'a>,
    ) -> Result<(), Stop> {
        // A packet before it in this burst may have made the flow.
        let (key, hash) = (self.pending[at].key, self.pending[at].hash);
        if !self.table.is_absent(hash)
            && let Some((index, direction)) = self.table.find(&key, hash, &context.servers())
            && self.hit(at, index, direction, context)
        {
            return Ok(());
        }
        self.check_owner(at, context)?;
        let vlan = self.pending[at].vlan_tci.map(|tci| tci & 0x0fff);
        let service = match asked.service(&key, vlan, context) {
            Ok(service) => service,
            Err(stop) => return relay::reply(stop, &key, context),
        };
        check_source::<F>(&key.src(), context)?;
        self.create(at, service, context)
    }
}

/// The service that was asked for last. Packets of one burst mostly ask for the same.
pub(super) struct Asked<'a, F: Family>(Option<(Question<F>, &'a Arc<Service>)>);

/// Address, port, protocol, VLAN id.
type Question<F> = (<F as Family>::Addr, u16, u8, Option<u16>);

impl<F: Family> Default for Asked<'_, F> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'a, F: Family> Asked<'a, F> {
    /// The service a packet with this tuple and tag asks for.
    #[inline]
    pub(super) fn service(
        &mut self,
        key: &Key<F>,
        vlan: Option<u16>,
        context: &Context<'a>,
    ) -> Result<&'a Arc<Service>, Stop> {
        let question = (key.dst(), key.dst_port(), key.protocol, vlan);
        if let Some((before, service)) = self.0
            && before == question
        {
            return Ok(service);
        }
        match destination::<F>(&key.dst(), key.dst_port(), key.protocol, Tag::Of(vlan), context)? {
            Destination::Service(service) => {
                self.0 = Some((question, service));
                Ok(service)
            }
            Destination::Host => Err(Stop::Punt(PuntReason::Host)),
        }
    }
}

/// The tag of a packet whose destination is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The one it carries, if any.
    Of(Option<u16>),
    /// Whatever is right: somebody asks what would become of a packet.
    Right,
}

/// What a packet to this address and port is for.
pub(crate) fn destination<'a, F: Family>(
    address: &F::Addr,
    port: u16,
    protocol: u8,
    tag: Tag,
    context: &Context<'a>,
) -> Result<Destination<'a>, Stop> {
    let ip = F::to_ip(*address);
    let Some(use_of) = context.tables.address(ip) else {
        let multicast = ip.is_multicast() || ip == IpAddr::V4(core::net::Ipv4Addr::BROADCAST);
        return Err(if multicast {
            Stop::Punt(PuntReason::Multicast)
        } else {
            Stop::Drop(DropReason::NotOurs)
        });
    };
    if !use_of.is_held(context.port) {
        return Err(Stop::Drop(if use_of.vip.is_some() {
            DropReason::VipNotOwned
        } else {
            DropReason::NotOurs
        }));
    }
    let service =
        Protocol::from_code(protocol).and_then(|protocol| context.tables.service_for(protocol, ip, port));
    if let Tag::Of(found) = tag {
        match service.and_then(|service| service.spec.vlan) {
            Some(vlan) => check_vlan(found, Some(vlan.get()))?,
            None => answer::check_tag(found, use_of, context)?,
        }
    }
    match service {
        Some(service) => Ok(Destination::Service(service)),
        None if use_of.own.contains(&context.port) => Ok(Destination::Host),
        None if use_of.vip.is_some() => Err(Stop::Drop(DropReason::NoService)),
        None => Err(Stop::Drop(DropReason::NoFlow)),
    }
}

/// Addresses nobody can send from make no flows.
pub(super) fn check_source<F: Family>(source: &F::Addr, context: &Context<'_>) -> Result<(), Stop> {
    let ip = F::to_ip(*source);
    let unusable = ip.is_multicast()
        || ip.is_loopback()
        || ip.is_unspecified()
        || ip == IpAddr::V4(core::net::Ipv4Addr::BROADCAST);
    let ours = context
        .tables
        .address(ip)
        .is_some_and(|use_of| use_of.is_held(context.port));
    if unusable || ours {
        Err(Stop::Drop(DropReason::BadSource))
    } else {
        Ok(())
    }
}

/// Whether a TCP packet may start a flow: a SYN, or with `sloppy_tcp` anything but a reset.
pub(crate) const fn may_start(tcp_flags: u8, sloppy: bool) -> bool {
    tcp_flags & RST == 0 && (sloppy || tcp_flags & SYN != 0)
}
