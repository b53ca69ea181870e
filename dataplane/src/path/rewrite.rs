//! Stage 5: packets whose fate is known become what leaves.

use weir_rings::message::{MssClamp, Protocol};

use super::decide::Asked;
use super::decide::may_start;
use super::lookup::track;
use super::remote::Notes;
use crate::answer;
use crate::burst::{Context, Fate, Lane, Pending, Stop, check_link};
use crate::egress::{Link, Mode};
use crate::family::Key;
use crate::flow::Direction;
use crate::forward::{self, plain, tunnel};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::parse::tcp_flag::{RST, SYN};
use crate::verdict::{DropReason, Verdict};

impl<F: Ip + Notes> Lane<F> {
    pub(super) fn rewrite_all<P: Packet>(
        &mut self,
        packets: &mut [P],
        verdicts: &mut [Verdict],
        context: &mut Context<'_>,
    ) {
        for at in 0..self.pending.len() {
            let pending = &self.pending[at];
            let index = usize::from(pending.index);
            let (Some(packet), Some(verdict)) = (packets.get_mut(index), verdicts.get_mut(index)) else {
                continue;
            };
            if pending.fate == Fate::ToServer
                && (pending.tcp_flags & SYN == 0 || pending.keeps_mss)
                && let Some(port) = F::rewrite_plain(pending, packet, context)
            {
                *verdict = Verdict::Tx(port);
                continue;
            }
            let result = match pending.fate {
                Fate::ToServer => self.serve(at, packet, context),
                Fate::ToClient => to_client(pending, &self.clients[at], packet, context),
                Fate::Miss | Fate::Known | Fate::Done => continue,
            };
            *verdict = match result {
                Ok(verdict) => verdict,
                Err(stop) => answer::refused(packet, &self.pending[at], &self.clients[at], stop, context),
            };
        }
    }

    fn serve<P: Packet>(
        &mut self,
        at: usize,
        packet: &mut P,
        context: &mut Context<'_>,
    ) -> Result<Verdict, Stop> {
        let mut link = context.shared.egress.link(self.pending[at].backend);
        if !(link.present && link.resolved) {
            if !link.present {
                self.leave_gone_server(at, context)?;
                link = context.shared.egress.link(self.pending[at].backend);
            }
            check_link(&link)?;
        }
        let pending = &self.pending[at];
        send_to_server(pending, packet, &link, context)?;
        count_in(pending.backend, pending.ip_len(), context);
        Ok(Verdict::Tx(link.port_id()))
    }

    /// The flow's server was removed. `expire_nodest_conn`: the flow ends, and the packet may start it anew; one that may
    /// not is answered with a reset, as the director's own TCP would in IPVS.
    fn leave_gone_server(&mut self, at: usize, context: &mut Context<'_>) -> Result<(), Stop> {
        let key = self.pending[at].key;
        let service = Protocol::from_code(key.protocol).and_then(|protocol| {
            context
                .tables
                .service_for(protocol, F::to_ip(key.dst()), key.dst_port())
        });
        let policy = service.map(|service| service.spec.policy);
        let Some(policy) = policy.filter(|policy| policy.expire_nodest) else {
            return Err(DropReason::ServerGone.into());
        };
        let starts = key.protocol != 6 || may_start(self.pending[at].tcp_flags, policy.sloppy_tcp);
        if let Some((index, Direction::Forward)) =
            self.table.find(&key, self.pending[at].hash, &context.servers())
        {
            if !starts {
                // It stays for as long as its client sends, so that each packet is answered.
                track(self.table.entry_mut(index), Direction::Forward, RST, context);
                return Err(DropReason::ServerGone.into());
            }
            self.forget(index, context);
        }
        self.pending[at].fate = Fate::Miss;
        self.decide(at, &mut Asked::default(), context)
    }
}

/// Counts a packet that goes to a server.
#[inline(always)]
pub(super) fn count_in(backend: u32, ip_len: u64, context: &Context<'_>) {
    if let Some(line) = context.counters.backend(backend) {
        line.packets_in().add(1);
        line.bytes_in().add(ip_len);
    }
}

fn send_to_server<F: Ip, P: Packet>(
    pending: &Pending<F>,
    packet: &mut P,
    link: &Link,
    context: &mut Context<'_>,
) -> Result<(), Stop> {
    let egress = &context.shared.egress;
    let mode = egress.mode(pending.backend);
    if pending.tcp_flags & SYN != 0 {
        clamp_mss::<F, P>(pending, pending.backend, packet, context);
    }
    if mode.is_tunnel() {
        let target = egress.target(pending.backend);
        let inner = F::identification(packet.data(), usize::from(pending.l3));
        let ident = plain::ident(inner, pending.hash);
        return Ok(tunnel::send::<F, P>(
            packet,
            pending,
            link,
            &target,
            ident.into(),
        )?);
    }
    if pending.ip_len() > u64::from(egress.mtu(pending.backend)) {
        return Err(DropReason::TooBig.into());
    }
    let l3 = usize::from(pending.l3);
    F::decrement_ttl(packet.data_mut(), l3)?;
    if mode.is_nat() {
        let new = to_server_key(pending, context);
        crate::ip::translate(
            packet.data_mut(),
            l3,
            usize::from(pending.l4),
            pending.end as usize,
            &pending.key,
            &new,
        );
    }
    Ok(forward::set_l2(packet, pending.vlan_tci, link)?)
}

/// The tuple a packet to the server leaves with.
fn to_server_key<F: Ip>(pending: &Pending<F>, context: &Context<'_>) -> Key<F> {
    let servers = context.servers();
    let key = &pending.key;
    let (server, server_port) = servers.server::<F>(pending.backend, key.dst_port());
    let (source, source_port) = match pending.local {
        (_, 0) => (key.src(), key.src_port()),
        (index, port) => (servers.local::<F>(index), port),
    };
    Key::of(source, source_port, server, server_port, key.protocol)
}

/// A server's reply: it leaves with the virtual address as its source.
fn to_client<F: Ip, P: Packet>(
    pending: &Pending<F>,
    client: &Key<F>,
    packet: &mut P,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    let new = client.reversed();
    let hop = context.hop_to_client::<F>(new.dst(), pending.hash, pending.backend)?;
    let link = context.shared.egress.link(hop);
    check_link(&link)?;
    if pending.ip_len() > u64::from(context.shared.egress.mtu(hop)) {
        return Err(DropReason::TooBig.into());
    }
    if pending.tcp_flags & SYN != 0 {
        clamp_mss::<F, P>(pending, pending.backend, packet, context);
    }
    let l3 = usize::from(pending.l3);
    F::decrement_ttl(packet.data_mut(), l3)?;
    crate::ip::translate(
        packet.data_mut(),
        l3,
        usize::from(pending.l4),
        pending.end as usize,
        &pending.key,
        &new,
    );
    forward::set_l2(packet, pending.vlan_tci, &link)?;
    if let Some(line) = context.counters.backend(pending.backend) {
        line.packets_out().add(1);
        line.bytes_out().add(pending.ip_len());
    }
    Ok(Verdict::Tx(link.port_id()))
}

/// Lowers the MSS of a SYN where the service asks for it. What a SYN-ACK says limits the client, what a SYN says limits
/// the server; in DR and tunnel mode only the SYN passes here.
fn clamp_mss<F: Ip, P: Packet>(pending: &Pending<F>, backend: u32, packet: &mut P, context: &Context<'_>) {
    let Some(service) = context.tables.service_of_backend(backend) else {
        return;
    };
    let max = match service.spec.mss_clamp {
        MssClamp::Off => return,
        MssClamp::Fixed(max) => max,
        MssClamp::Auto => {
            let target = context.shared.egress.target(backend);
            let outer = if target.mode == Mode::Dr {
                0
            } else {
                tunnel::overhead(&target)
            };
            let headers = F::HEADER_LEN + 20;
            target.mtu.saturating_sub((outer + headers) as u16)
        }
    };
    let segment = packet.data_mut().get_mut(usize::from(pending.l4)..);
    if let Some(Ok(mut tcp)) = segment.map(weir_wire::tcp::Packet::new_checked) {
        tcp.clamp_mss(max);
    }
}
