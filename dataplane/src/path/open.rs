//! New flows in the fast lane: plain SYNs and datagrams without a flow, for services behind DR, a tunnel or NAT, without persistence
//! and without MSS clamping. A flood of SYNs comes this way, also where the table is full and they leave without an entry.
//!
//! Loops of few registers each, as in [`super::fast`]: packets that ask for one service and may begin flows are found, then
//! servers are chosen and flows made for them, then all packets are made ready. Everything happens in the order the general
//! stages would do it in. The first packet that wants more than this, and all new ones behind it, go to the general stages.
//!
//! There is no bound on the flows that a burst may make: packets of known flows of the same burst are sent first, and
//! whoever is refused an entry while there is room could not be told from a packet that has no flow.

use core::net::Ipv4Addr;

use weir_rings::counters::BackendLines;
use weir_rings::message::MssClamp;

use super::create::{AFTER_SYN, draw, pick_input, schedule};
use super::decide::{Asked, check_source};
use super::fast::{Kind, Place};
use super::lookup::starts_anew;
use crate::burst::{BURST_MAX, Context, Fate, Lane, Pending, Stop, check_owner};
use crate::family::V4;
use crate::flow::{Direction, Entry, Flags, Full, Occupied, Tick};
use crate::forward::plain::{Out, rewrite};
use crate::packet::Packet;
use crate::parse::Plain4;
use crate::parse::tcp_flag::{ACK, FIN, RST, SYN};
use crate::tables::{Ours, Service, Ways};
use crate::tcp_state::State;
use crate::verdict::{DropReason, Verdict};

/// No egress slot: there are fewer of them.
const NOBODY: u32 = u32::MAX;

/// In place of a vacancy: the home bucket has none.
const ELSEWHERE: u8 = u8::MAX;

/// A packet that may begin a flow.
#[derive(Clone, Copy, Default)]
struct Opening {
    /// Place in the burst.
    index: u8,
    /// Place in its home bucket, or [`ELSEWHERE`].
    vacancy: u8,
}

/// Why a run of packets that ask for one service is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The burst is.
    Burst,
    /// The home bucket does not tell whether an entry has the next packet's tuple.
    Look,
    /// The next packet asks for another service.
    Run,
    /// The next packet is for the general stages, perhaps with a server that was chosen.
    Lane(Option<u32>),
}

/// Handles the plain packets that are not quiet. Gives the number of those that got their verdict and need not be settled;
/// the others that are not dropped wait in the lane.
#[inline]
pub(super) fn run<P: Packet>(
    places: &[Place],
    packets: &mut [P],
    verdicts: &mut [Verdict],
    lane: &mut Lane<V4>,
    context: &mut Context<'_>,
) -> usize {
    let mut servers = [NOBODY; BURST_MAX];
    let servers = &mut servers[..places.len()];
    let (served, steered) = choose_all(places, verdicts, servers, lane, context);
    // Mostly every packet is here, and nobody has to ask.
    let sent = if served == places.len() {
        send_all::<true, P>(places, servers, packets, verdicts, lane, context)
    } else {
        send_all::<false, P>(places, servers, packets, verdicts, lane, context)
    };
    steered + sent
}

/// Servers and flows. Gives how many packets have a server, and how many are for other workers.
#[inline(never)]
fn choose_all(
    places: &[Place],
    verdicts: &mut [Verdict],
    servers: &mut [u32],
    lane: &mut Lane<V4>,
    context: &mut Context<'_>,
) -> (usize, usize) {
    if !lane.pending.is_empty() {
        leave(places, 0, None, lane);
        return (0, 0);
    }
    let mut opener = Opener::new(context);
    let mut openings = [Opening::default(); BURST_MAX];
    let (mut next, mut served) = (0, 0);
    let (mut found, mut absent) = (0, usize::MAX);
    loop {
        let (begun, mut end_at, mut end) = opener.examine(
            places,
            (next, absent),
            (&mut openings, found),
            verdicts,
            lane,
            context,
        );
        found = begun;
        if end == End::Look {
            if !is_going_on(&places[end_at], lane, context) {
                (next, absent) = (end_at, end_at);
                continue;
            }
            end = End::Lane(None);
        }
        let mut run = Run {
            places,
            openings: &openings[..found],
            servers: &mut *servers,
        };
        let opened = opener.open(&mut run, verdicts, lane, context);
        served += opened.served;
        if let Some((at, chosen)) = opened.trouble {
            (end_at, end) = (at, End::Lane(chosen));
        }
        match end {
            End::Burst | End::Look => break,
            End::Run => (next, found) = (end_at, 0),
            End::Lane(chosen) => {
                leave(places, end_at, chosen, lane);
                break;
            }
        }
    }
    opener.settle(context);
    (served, opener.steered)
}

/// Leaves the plain packets from this one on to the general stages.
#[inline(never)]
fn leave(places: &[Place], first: usize, mut chosen: Option<u32>, lane: &mut Lane<V4>) {
    for (index, place) in places.iter().enumerate().skip(first) {
        if place.kind() == Kind::Plain {
            let (hash, plain) = place.plain();
            let mut pending = Pending::plain(hash, &plain, index);
            pending.chosen = chosen.take();
            lane.pending.push(pending);
        }
    }
}

/// Makes the packets ready whose servers are known.
#[inline(never)]
fn send_all<const ALL: bool, P: Packet>(
    places: &[Place],
    servers: &[u32],
    packets: &mut [P],
    verdicts: &mut [Verdict],
    lane: &mut Lane<V4>,
    context: &Context<'_>,
) -> usize {
    let out = Out::new(context);
    let mut sent = 0;
    let all = places.iter().zip(servers).zip(packets).zip(verdicts);
    for (index, (((place, &backend), packet), verdict)) in all.enumerate() {
        if !ALL && backend == NOBODY {
            continue;
        }
        match rewrite(&out, backend, place.route(), packet) {
            Some(port) => {
                *verdict = Verdict::Tx(port);
                sent += 1;
            }
            None => pass_on(index, place, backend, lane),
        }
    }
    sent
}

/// Gives a packet whose server is known to the general stages.
#[cold]
#[inline(never)]
fn pass_on(index: usize, place: &Place, backend: u32, lane: &mut Lane<V4>) {
    let (hash, plain) = place.plain();
    let mut pending = Pending::plain(hash, &plain, index);
    pending.fate = Fate::ToServer;
    pending.backend = backend;
    pending.keeps_mss = true;
    lane.pending.push(pending);
}

/// Packets that ask for one service and may begin flows.
struct Run<'a> {
    places: &'a [Place],
    openings: &'a [Opening],
    /// To be filled in.
    servers: &'a mut [u32],
}

/// What became of a run.
#[derive(Default)]
struct Opened {
    /// Packets that have a server now.
    served: usize,
    /// The packet that is for the general stages, perhaps with a server that was chosen.
    trouble: Option<(usize, Option<u32>)>,
}

impl Opened {
    fn until(self, at: u8, chosen: Option<u32>) -> Self {
        Self {
            trouble: Some((at.into(), chosen)),
            ..self
        }
    }
}

/// What stays the same from one new flow of a burst to the next, and what is counted for all of them at once.
struct Opener<'a> {
    counts: BackendLines<'a>,
    asked: Asked<'a, V4>,
    /// Destination of the packet before.
    target: u64,
    /// Its service, if new flows of it are for this lane.
    service: Option<&'a Service>,
    /// There is no other worker.
    alone: bool,
    /// Flows of the service that are not counted yet.
    opened: u64,
    /// Packets that found the table full and are not counted yet.
    refused: u64,
    /// Packets for other workers.
    steered: usize,
}

impl<'a> Opener<'a> {
    #[inline(always)]
    fn new(context: &Context<'a>) -> Self {
        Self {
            counts: context.counters.backends(),
            asked: Asked::default(),
            // No destination: they are shorter.
            target: u64::MAX,
            service: None,
            alone: context.shared.steering.workers() == 1,
            opened: 0,
            refused: 0,
            steered: 0,
        }
    }

    /// Finds a run of packets that may begin flows of one service, or goes on with one. Gives how many, and where and why it
    /// ends. No entry has the tuple of the packet at `absent`.
    #[inline(never)]
    fn examine(
        &mut self,
        places: &[Place],
        (next, absent): (usize, usize),
        (openings, mut found): (&mut [Opening], usize),
        verdicts: &mut [Verdict],
        lane: &Lane<V4>,
        context: &Context<'a>,
    ) -> (usize, usize, End) {
        let (table, ours, alone) = (&lane.table, context.tables.ours(), self.alone);
        let mut target = self.target;
        for index in next..places.len() {
            let place = &places[index];
            if place.kind() != Kind::Plain {
                continue;
            }
            let (hash, plain) = place.plain();
            if plain.tcp_flags & (SYN | FIN | RST | ACK) != SYN && !is_udp(&plain) {
                return (found, index, End::Lane(None));
            }
            let vacancy = match table.vacancy(hash) {
                Some(vacancy) => vacancy,
                None if index == absent => ELSEWHERE,
                None => return (found, index, End::Look),
            };
            if !alone && let Some(stop) = not_ours(place, context) {
                let Stop::Steer(worker) = stop else {
                    return (found, index, End::Lane(None));
                };
                verdicts[index] = Verdict::Steer(worker);
                self.steered += 1;
                continue;
            }
            let asked = destination_of(&plain);
            if asked != target {
                if found != 0 {
                    return (found, index, End::Run);
                }
                target = asked;
                if !self.turn_to(target, place, context) {
                    return (0, index, End::Lane(None));
                }
            }
            if !is_usual_source(&plain, ours) && !is_good_source(place, context) {
                return (found, index, End::Lane(None));
            }
            let Some(opening) = openings.get_mut(found) else {
                return (found, index, End::Run);
            };
            *opening = Opening {
                index: index as u8,
                vacancy,
            };
            found += 1;
        }
        (found, places.len(), End::Burst)
    }

    /// Makes the flows of a run, or does without.
    #[inline(always)]
    fn open(
        &mut self,
        run: &mut Run<'_>,
        verdicts: &mut [Verdict],
        lane: &mut Lane<V4>,
        context: &mut Context<'a>,
    ) -> Opened {
        let Some(service) = self.service else {
            return Opened::default();
        };
        if service.ways == Ways::Nat {
            return self.open_nat(run, service, verdicts, lane, context);
        }
        if lane.table.is_full() {
            self.refuse(run, service, lane)
        } else {
            self.open_direct(run, service, lane, context)
        }
    }

    /// Flows whose replies do not pass here.
    #[inline(always)]
    fn open_direct(
        &mut self,
        run: &mut Run<'_>,
        service: &Service,
        lane: &mut Lane<V4>,
        context: &mut Context<'a>,
    ) -> Opened {
        match service.scheduler.turns(self.alone) {
            Some(turns) => self.open_by(|_, _| turns.next(), run, lane, context),
            None => self.open_by(
                |place, context| choose(place, service, context),
                run,
                lane,
                context,
            ),
        }
    }

    /// The same by a given way of choosing.
    #[inline(never)]
    fn open_by(
        &mut self,
        pick: impl Fn(&Place, &mut Context<'a>) -> Option<u32>,
        run: &mut Run<'_>,
        lane: &mut Lane<V4>,
        context: &mut Context<'a>,
    ) -> Opened {
        let (counts, alone, tick) = (self.counts, self.alone, context.tick);
        let (mut served, mut trouble) = (0, None);
        for &Opening { index, vacancy } in run.openings {
            let at = usize::from(index);
            let (Some(place), Some(server)) = (run.places.get(at), run.servers.get_mut(at)) else {
                continue;
            };
            let hash = place.route().1;
            let make = || pick(place, context).map(|backend| fresh(place, backend, tick));
            let backend = match lane.table.occupy(vacancy, hash, make) {
                Occupied::By(backend) => backend,
                Occupied::NotMade => {
                    trouble = Some((at, None));
                    break;
                }
                // An earlier packet of the run may have had this place, or its flow.
                Occupied::NoPlace => match open_elsewhere(place, &pick, lane, context) {
                    Ok(backend) => backend,
                    Err(chosen) => {
                        trouble = Some((at, chosen));
                        break;
                    }
                },
            };
            *server = backend;
            served += 1;
            if !alone {
                context.shared.owners.insert(hash, context.worker);
            }
            if let Some(line) = counts.get(backend) {
                line.active().add(1);
                line.connections().add(1);
            }
        }
        self.opened += served as u64;
        Opened { served, trouble }
    }

    /// The table is full: what needs no entry is forwarded by hash. The scheduler is not asked, see
    /// [`super::create::without_entry`].
    #[inline(never)]
    fn refuse(&mut self, run: &mut Run<'_>, service: &Service, lane: &mut Lane<V4>) -> Opened {
        let mut refused = Opened::default();
        let by_hash = !service.scheduler.has_thresholds();
        for &Opening { index, .. } in run.openings {
            let at = usize::from(index);
            let (Some(place), Some(server)) = (run.places.get(at), run.servers.get_mut(at)) else {
                continue;
            };
            let (_, plain) = place.plain();
            match service.scheduler.pick_stateless_v4(plain.pair, plain.tail) {
                Some(backend) if by_hash => *server = backend,
                Some(_) | None => {
                    refused = refused.until(index, None);
                    break;
                }
            }
            refused.served += 1;
        }
        if refused.served != 0 {
            lane.table.refuse();
            self.refused += refused.served as u64;
        }
        refused
    }

    /// Flows whose replies pass here: their tuple must be free, and stands in the table too.
    #[inline(never)]
    fn open_nat(
        &mut self,
        run: &mut Run<'_>,
        service: &Service,
        verdicts: &mut [Verdict],
        lane: &mut Lane<V4>,
        context: &mut Context<'a>,
    ) -> Opened {
        let turns = service.scheduler.turns(self.alone);
        let mut opened = Opened::default();
        for &Opening { index, vacancy } in run.openings {
            let at = usize::from(index);
            let (place, server) = (&run.places[at], &mut run.servers[at]);
            let (hash, plain) = place.plain();
            if !lane.table.is_vacant(vacancy, hash) && is_known(place, lane, context) {
                return opened.until(index, None);
            }
            let chosen = match &turns {
                Some(turns) => turns.next(),
                None => choose(place, service, context),
            };
            let Some(backend) = chosen else {
                return opened.until(index, None);
            };
            match self.make_nat(hash, &plain, backend, lane, context) {
                Ok(()) => {
                    *server = backend;
                    opened.served += 1;
                }
                Err(stop) => verdicts[at] = stop.into(),
            }
        }
        opened
    }

    fn make_nat(
        &mut self,
        hash: u64,
        plain: &Plain4,
        backend: u32,
        lane: &mut Lane<V4>,
        context: &mut Context<'a>,
    ) -> Result<(), Stop> {
        let mut entry = Entry::new(&plain.key(), backend, context.tick);
        entry.state = opening_state(plain) as u8;
        let remote = lane.lead_back(&mut entry, context)?;
        let (seed, servers) = (&context.shared.seed, context.servers());
        if lane.table.insert_hashed(entry, hash, seed, &servers).is_err() {
            self.refused += 1;
            return Err(DropReason::FlowTableFull.into());
        }
        context.shared.owners.insert(hash, context.worker);
        if let Some(line) = self.counts.get(backend) {
            line.active().add(1);
            line.connections().add(1);
        }
        self.opened += 1;
        super::remote::announce(&entry, remote, context);
        Ok(())
    }

    /// Another destination: finds its service. `false`: its new flows are not for this lane.
    #[cold]
    #[inline(never)]
    fn turn_to(&mut self, target: u64, place: &Place, context: &Context<'a>) -> bool {
        self.settle(context);
        let (_, plain) = place.plain();
        let asked = self.asked.service(&plain.key(), None, context).ok();
        self.service = asked.map(|service| &**service).filter(|service| {
            service.spec.persistence.is_none()
                && service.spec.mss_clamp == MssClamp::Off
                && service.ways != Ways::Other
                && !(service.spec.one_packet && is_udp(&plain))
        });
        self.target = target;
        self.service.is_some()
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

/// The entry of a flow whose replies do not pass here.
#[inline(always)]
fn fresh(place: &Place, backend: u32, tick: Tick) -> Entry<V4> {
    let (_, plain) = place.plain();
    let mut entry = Entry::new(&plain.key(), backend, tick);
    entry.state = opening_state(&plain) as u8;
    entry.flags = entry.flags.with(Flags::NO_OUTPUT);
    entry
}

/// The state of a flow after the packet that begins it.
#[inline(always)]
const fn opening_state(plain: &Plain4) -> State {
    if is_udp(plain) { State::None } else { AFTER_SYN }
}

/// Makes a flow that has no place in its home bucket; else the server that was chosen, if it was unknown so far.
#[cold]
#[inline(never)]
fn open_elsewhere<'a>(
    place: &Place,
    pick: &impl Fn(&Place, &mut Context<'a>) -> Option<u32>,
    lane: &mut Lane<V4>,
    context: &mut Context<'a>,
) -> Result<u32, Option<u32>> {
    if lane.table.is_full() || is_known(place, lane, context) {
        return Err(None);
    }
    let backend = pick(place, context).ok_or(None)?;
    let entry = fresh(place, backend, context.tick);
    let (hash, seed, servers) = (place.route().1, &context.shared.seed, context.servers());
    match lane.table.insert_hashed(entry, hash, seed, &servers) {
        Ok(_) => Ok(backend),
        Err(Full) => Err(Some(backend)),
    }
}

/// The home bucket does not tell: whether an entry has the tuple and stays. One that the packet begins anew goes first, as in
/// [`Lane::hit`].
#[cold]
#[inline(never)]
fn is_going_on(place: &Place, lane: &mut Lane<V4>, context: &mut Context<'_>) -> bool {
    let (hash, plain) = place.plain();
    let Some((index, direction)) = lane.table.find(&plain.key(), hash, &context.servers()) else {
        return false;
    };
    let entry = lane.table.entry(index);
    let over = direction == Direction::Forward
        && !entry.flags.has(Flags::REMOTE)
        && starts_anew(entry, plain.tcp_flags, context);
    if over {
        lane.forget(index, context);
    }
    !over
}

/// Whether an entry has the tuple.
#[cold]
#[inline(never)]
fn is_known(place: &Place, lane: &Lane<V4>, context: &Context<'_>) -> bool {
    let (hash, plain) = place.plain();
    lane.table.find(&plain.key(), hash, &context.servers()).is_some()
}

/// Where a packet goes that is for another worker.
#[cold]
#[inline(never)]
fn not_ours(place: &Place, context: &Context<'_>) -> Option<Stop> {
    let (hash, plain) = place.plain();
    check_owner(&plain.key(), hash, context).err()
}

/// As the general stages choose. Without a server they find none either: nothing was moved.
#[inline(never)]
fn choose(place: &Place, service: &Service, context: &mut Context<'_>) -> Option<u32> {
    let (_, plain) = place.plain();
    let random = draw(service, context);
    let input = pick_input(&plain.key(), context.now_s(), random);
    schedule(service, &input, context).ok()
}

/// Destination address, port and protocol in one word.
#[inline(always)]
const fn destination_of(plain: &Plain4) -> u64 {
    let port = (plain.tail as u32).to_le() >> 16;
    plain.pair.to_le() >> 32 | (port as u64) << 32 | (plain.tail >> 32) << 48
}

/// The protocol that needs no opening.
#[inline(always)]
const fn is_udp(plain: &Plain4) -> bool {
    const UDP: u64 = 17;
    plain.tail >> 32 == UDP
}

/// Whether the source is certainly one that new flows may come from.
#[inline(always)]
fn is_usual_source(plain: &Plain4, ours: Ours<'_>) -> bool {
    let loaded = plain.pair.to_le() as u32;
    let first = loaded as u8;
    // "This network", and multicast and what is above.
    first.wrapping_sub(1) < MULTICAST - 1 && first != LOOPBACK && !ours.may_have(loaded)
}

const MULTICAST: u8 = 224;
const LOOPBACK: u8 = Ipv4Addr::LOCALHOST.octets()[0];

/// The same, by a closer look.
#[cold]
#[inline(never)]
fn is_good_source(place: &Place, context: &Context<'_>) -> bool {
    let (_, plain) = place.plain();
    check_source::<V4>(&plain.key().src(), context).is_ok()
}
