//! New flows in the fast lane: plain SYNs for services behind DR or a tunnel, without persistence and without MSS clamping,
//! where there is one worker. A flood of SYNs comes this way.
//!
//! Everything happens in the order the general stages would do it in. The first packet that wants more than this, and all
//! new ones behind it, go to the general stages.

use weir_rings::message::MssClamp;

use super::create::{AFTER_SYN, count_connection, pick_input, schedule};
use super::decide::{Asked, check_source};
use super::fast::{Kind, Out, Place, rewrite};
use super::{Context, Fate, Lane, Pending};
use crate::family::V4;
use crate::flow::{Entry, Flags};
use crate::packet::Packet;
use crate::parse::Plain4;
use crate::parse::tcp_flag::{ACK, FIN, RST, SYN};
use crate::verdict::{PortId, Verdict};

/// How far a packet came that is not sent on yet.
enum Left {
    /// Nothing was done.
    AsItCame,
    /// A server was chosen for it.
    WithServer(u32),
    /// Its flow was made, with this server.
    WithFlow(u32),
}

/// Handles the plain packets that are not quiet. Gives the number of those that got their verdict; the others wait in the
/// lane.
#[inline(never)]
pub(super) fn run<P: Packet>(
    places: &[Place],
    packets: &mut [P],
    verdicts: &mut [Verdict],
    lane: &mut Lane<V4>,
    context: &mut Context<'_>,
) -> usize {
    let mut open = lane.pending.is_empty() && context.shared.steering.workers() == 1;
    let (mut asked, out) = (Asked::default(), Out::new(context));
    let mut sent = 0;
    for (index, ((place, packet), verdict)) in places.iter().zip(packets).zip(verdicts).enumerate() {
        if place.kind() != Kind::Plain {
            continue;
        }
        let (hash, plain) = place.plain();
        let left = if open {
            match lane.open(hash, &plain, packet, &out, &mut asked, context) {
                Ok(port) => {
                    *verdict = Verdict::Tx(port);
                    sent += 1;
                    continue;
                }
                Err(left) => left,
            }
        } else {
            Left::AsItCame
        };
        open = false;
        let mut pending = Pending::plain(hash, &plain, index);
        match left {
            Left::AsItCame => {}
            Left::WithServer(backend) => pending.chosen = Some(backend),
            Left::WithFlow(backend) => {
                pending.fate = Fate::ToServer;
                pending.backend = backend;
                pending.keeps_mss = true;
            }
        }
        lane.pending.push(pending);
    }
    sent
}

impl Lane<V4> {
    #[inline(always)]
    fn open<'a, P: Packet>(
        &mut self,
        hash: u64,
        plain: &Plain4,
        packet: &mut P,
        out: &Out<'_>,
        asked: &mut Asked<'a, V4>,
        context: &mut Context<'a>,
    ) -> Result<PortId, Left> {
        let starts = plain.tcp_flags & (SYN | FIN | RST | ACK) == SYN;
        if !starts || !self.table.is_absent(hash) {
            return Err(Left::AsItCame);
        }
        let key = plain.key();
        let service = asked.service(&key, None, context).map_err(|_| Left::AsItCame)?;
        if service.spec.persistence.is_some() || service.spec.mss_clamp != MssClamp::Off {
            return Err(Left::AsItCame);
        }
        check_source::<V4>(&key.src(), context).map_err(|_| Left::AsItCame)?;
        let input = pick_input(&key, context.now_s(), context.own.random());
        // Without a server the general stages find none either: nothing was moved.
        let backend = schedule(service, &input, context).map_err(|_| Left::AsItCame)?;
        let mode = context.shared.egress.mode(backend);
        let mut entry = Entry::new(&key, backend, context.tick);
        entry.state = AFTER_SYN as u8;
        entry.flags = entry.flags.with(Flags::NO_OUTPUT);
        let (seed, servers) = (&context.shared.seed, context.servers());
        if mode.is_nat() || self.table.insert_hashed(entry, hash, seed, &servers).is_err() {
            return Err(Left::WithServer(backend));
        }
        if let Some(line) = context.counters.backend(backend) {
            line.active().add(1);
        }
        count_connection(service, backend, context);
        context.counters.row().flows_created().add(1);
        rewrite(out, backend, (plain.ip_len, hash), packet, context).ok_or(Left::WithFlow(backend))
    }
}
