//! New flows in the fast lane: plain packets that may begin one, for services behind DR or a tunnel, without persistence and
//! without MSS clamping. A flood of SYNs comes this way, also where the table is full and they leave without an entry.
//!
//! Everything happens in the order the general stages would do it in. The first packet that wants more than this, and all
//! new ones behind it, go to the general stages.
//!
//! There is no bound on the flows that a burst may make: a new flow costs half as much again as a packet of a known one, and
//! whoever is refused an entry while there is room could not be told from a packet that has no flow.

use core::net::Ipv4Addr;

use weir_rings::message::MssClamp;

use super::create::{AFTER_SYN, draw, pick_input, schedule, without_entry};
use super::decide::{Asked, check_source};
use super::fast::{Kind, Out, Place, rewrite};
use super::{Context, Fate, Lane, Pending, Stop};
use crate::family::V4;
use crate::flow::{Entry, Flags, Vacancy};
use crate::packet::Packet;
use crate::parse::Plain4;
use crate::parse::tcp_flag::{ACK, FIN, RST, SYN};
use crate::tables::Service;
use crate::verdict::Verdict;

/// How far a packet came that is not sent on yet.
enum Left {
    /// Nothing was done.
    AsItCame,
    /// A server was chosen for it.
    WithServer(u32),
    /// This server gets it, and nothing but the rewrite is left to do.
    ToServer(u32),
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
    let mut open = lane.pending.is_empty();
    let mut opener = Opener::new(context);
    let mut handled = 0;
    for (index, ((place, packet), verdict)) in places.iter().zip(packets).zip(verdicts).enumerate() {
        if place.kind() != Kind::Plain {
            continue;
        }
        let (hash, plain) = place.plain();
        let left = if open {
            match opener.open(hash, &plain, packet, lane, context) {
                Ok(given) => {
                    *verdict = given;
                    handled += 1;
                    continue;
                }
                Err(left) => left,
            }
        } else {
            Left::AsItCame
        };
        open = false;
        pass_on(&left, Pending::plain(hash, &plain, index), lane);
    }
    opener.settle(context);
    handled
}

/// Gives a packet to the general stages.
#[inline(never)]
fn pass_on(left: &Left, mut pending: Pending<V4>, lane: &mut Lane<V4>) {
    match *left {
        Left::AsItCame => {}
        Left::WithServer(backend) => pending.chosen = Some(backend),
        Left::ToServer(backend) => {
            pending.fate = Fate::ToServer;
            pending.backend = backend;
            pending.keeps_mss = true;
        }
    }
    lane.pending.push(pending);
}

/// What stays the same from one new flow of a burst to the next, and what is counted for all of them at once.
struct Opener<'a> {
    out: Out<'a>,
    asked: Asked<'a, V4>,
    /// Destination of the packet before.
    target: u64,
    /// Its service, if new flows of it are for this lane.
    service: Option<&'a Service>,
    /// There is no other worker.
    alone: bool,
    /// Flows of the service that are not counted yet.
    opened: u64,
    /// Packets that left without an entry and are not counted yet.
    refused: u64,
}

impl<'a> Opener<'a> {
    #[inline(always)]
    fn new(context: &Context<'a>) -> Self {
        Self {
            out: Out::new(context),
            asked: Asked::default(),
            // No destination: they are shorter.
            target: u64::MAX,
            service: None,
            alone: context.shared.steering.workers() == 1,
            opened: 0,
            refused: 0,
        }
    }

    #[inline(always)]
    fn open<P: Packet>(
        &mut self,
        hash: u64,
        plain: &Plain4,
        packet: &mut P,
        lane: &mut Lane<V4>,
        context: &mut Context<'a>,
    ) -> Result<Verdict, Left> {
        if plain.tcp_flags & (SYN | FIN | RST | ACK) != SYN {
            return Err(Left::AsItCame);
        }
        let vacancy = lane.table.vacancy(hash);
        if vacancy.is_none() && is_known(hash, plain, lane, context) {
            return Err(Left::AsItCame);
        }
        if !self.alone
            && let Err(stop) = super::check_owner(&plain.key(), hash, context)
        {
            return match stop {
                Stop::Steer(_) => Ok(stop.into()),
                Stop::Drop(_) | Stop::Punt(_) => Err(Left::AsItCame),
            };
        }
        let service = self.service(plain, context).ok_or(Left::AsItCame)?;
        if !is_usual_source(plain, context) {
            check_source::<V4>(&plain.key().src(), context).map_err(|_| Left::AsItCame)?;
        }
        let backend = if lane.table.is_full() {
            let backend = without_entry(service, &plain.key(), context).ok_or(Left::AsItCame)?;
            lane.table.refuse();
            self.refused += 1;
            backend
        } else {
            self.make_flow(hash, plain, service, vacancy, lane, context)?
        };
        let port = rewrite(&self.out, backend, (plain.ip_len, hash), packet, context);
        port.map(Verdict::Tx).ok_or(Left::ToServer(backend))
    }

    /// Gives the server.
    #[inline(always)]
    fn make_flow(
        &mut self,
        hash: u64,
        plain: &Plain4,
        service: &Service,
        vacancy: Option<Vacancy>,
        lane: &mut Lane<V4>,
        context: &mut Context<'a>,
    ) -> Result<u32, Left> {
        let backend = match service.scheduler.pick_next(self.alone) {
            Some(backend) => backend,
            None => choose(plain, service, context)?,
        };
        if context.shared.egress.mode(backend).is_nat() {
            return Err(Left::WithServer(backend));
        }
        let mut entry = Entry::new(&plain.key(), backend, context.tick);
        entry.state = AFTER_SYN as u8;
        entry.flags = entry.flags.with(Flags::NO_OUTPUT);
        let made = match vacancy {
            Some(vacancy) => lane.table.occupy(vacancy, hash, entry),
            None => lane
                .table
                .insert_hashed(entry, hash, &context.shared.seed, &context.servers()),
        };
        made.map_err(|_| Left::WithServer(backend))?;
        if !self.alone {
            context.shared.owners.insert(hash, context.worker);
        }
        if let Some(line) = context.counters.backend(backend) {
            line.active().add(1);
            line.connections().add(1);
        }
        self.opened += 1;
        Ok(backend)
    }

    /// The service a packet asks for, if its new flows are for this lane.
    #[inline(always)]
    fn service(&mut self, plain: &Plain4, context: &Context<'a>) -> Option<&'a Service> {
        let target = target(plain);
        if target != self.target {
            self.turn_to(target, plain, context);
        }
        self.service
    }

    #[inline(never)]
    fn turn_to(&mut self, target: u64, plain: &Plain4, context: &Context<'a>) {
        self.settle(context);
        let asked = self.asked.service(&plain.key(), None, context).ok();
        self.service = asked
            .map(|service| &**service)
            .filter(|service| service.spec.persistence.is_none() && service.spec.mss_clamp == MssClamp::Off);
        self.target = target;
    }

    /// Counts what was not counted yet.
    #[inline(always)]
    fn settle(&mut self, context: &Context<'_>) {
        let row = context.counters.row();
        if self.opened != 0 {
            row.flows_created().add(self.opened);
            if let Some(line) = self
                .service
                .and_then(|service| context.counters.service(service.slot))
            {
                line.connections().add(self.opened);
            }
            self.opened = 0;
        }
        if self.refused != 0 {
            row.flows_refused().add(self.refused);
            self.refused = 0;
        }
    }
}

/// The home bucket does not tell: whether an entry has the tuple.
#[inline(never)]
fn is_known(hash: u64, plain: &Plain4, lane: &Lane<V4>, context: &Context<'_>) -> bool {
    lane.table.find(&plain.key(), hash, &context.servers()).is_some()
}

/// As the general stages choose.
#[inline(never)]
fn choose(plain: &Plain4, service: &Service, context: &mut Context<'_>) -> Result<u32, Left> {
    let random = draw(service, context);
    let input = pick_input(&plain.key(), context.now_s(), random);
    // Without a server the general stages find none either: nothing was moved.
    schedule(service, &input, context).map_err(|_| Left::AsItCame)
}

/// Destination address, port and protocol in one word.
#[inline(always)]
const fn target(plain: &Plain4) -> u64 {
    let port = (plain.tail as u32).to_le() >> 16;
    plain.pair.to_le() >> 32 | (port as u64) << 32 | (plain.tail >> 32) << 48
}

/// Whether the source is certainly one that new flows may come from.
#[inline(always)]
fn is_usual_source(plain: &Plain4, context: &Context<'_>) -> bool {
    let loaded = plain.pair.to_le() as u32;
    let first = loaded as u8;
    // "This network", and multicast and what is above.
    first.wrapping_sub(1) < MULTICAST - 1 && first != LOOPBACK && !context.tables.may_be_ours(loaded)
}

const MULTICAST: u8 = 224;
const LOOPBACK: u8 = Ipv4Addr::LOCALHOST.octets()[0];
