//! The fast lane: plain packets (untagged TCP and UDP over IPv4, no options) of flows that exist and to which they change
//! nothing but the time they were last seen, on their way to a server behind DR, IPIP or NAT.
//!
//! It does what the general stages do, in fewer instructions; a test sends the same traffic both ways and compares every
//! byte and counter. Whatever is out of the ordinary goes to the general stages before anything of it was changed. What is done to
//! a packet is in [`plain`].

use weir_wire::MacAddr;

use crate::burst::{BURST_MAX, Context, Fate, Lane, Pending};
use crate::cpu::{self, Modern, Tags, Work};
use crate::egress::{Exit, Way};
use crate::family::V4;
use crate::flow::{BUCKET_SLOTS, Candidate, Direction, Entries, Entry, Finder, Halves, Settled, Table, Tick};
use crate::forward::plain::{self, Out};
use crate::hash::Seed;
use crate::packet::Packet;
use crate::parse::{self, Front, PLAIN4_LEN, Plain4};
use crate::shared::Variant;
use crate::tables::Snapshot;
use crate::tcp_state::State;
use crate::verdict::{PortId, Verdict};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Bursts that are not expected to leave all alike after one that did not.
const UNEVEN_BURSTS: u8 = 16;

/// Places in a plain frame.
const PROTOCOL_AT: usize = 23;
const PAIR_AT: usize = 26;
const PORTS_AT: usize = 34;

/// One packet of the burst.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    settled: Settled,
    /// In memory order: of its two halves each is loaded by itself.
    hash: [u8; 8],
    candidate: Candidate,
    ip_len: u16,
    tcp_flags: u8,
    /// Both addresses of a plain packet that is not quiet.
    pair: u64,
}

/// What a packet is to the fast lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything.
    Other,
    /// Plain, but it may change more than the time its flow was seen.
    Plain,
    /// To be handled here.
    Quiet,
}

impl Place {
    #[inline(always)]
    pub(super) fn kind(&self) -> Kind {
        if self.settled.is_possible() {
            Kind::Quiet
        } else if self.settled.is_none() {
            Kind::Other
        } else {
            Kind::Plain
        }
    }

    #[inline(always)]
    const fn hash(&self) -> u64 {
        u64::from_ne_bytes(self.hash)
    }

    /// Length and hash, as [`plain::rewrite`] wants them.
    #[inline(always)]
    pub(super) const fn route(&self) -> (u16, u64) {
        (self.ip_len, self.hash())
    }

    /// Hash and content of a plain packet that is not quiet.
    #[inline(always)]
    pub(super) const fn plain(&self) -> (u64, Plain4) {
        let plain = Plain4 {
            pair: self.pair,
            tail: self.settled.tail(),
            tcp_flags: self.tcp_flags,
            ip_len: self.ip_len,
            quiet: false,
        };
        (self.hash(), plain)
    }
}

/// A place for each packet of a burst, and what is computed once.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) places: Box<[Place; BURST_MAX]>,
    /// For the tuples of one protocol, by the ports alone.
    seed_tcp: Seed,
    seed_udp: Seed,
    /// The station of the burst before, and what its frames begin with. Made anew only for another one: who loads as one vector what was
    /// just stored in parts waits for every store before.
    station: [u8; 6],
    front: Front,
    modern: Option<Modern>,
}

impl Scratch {
    /// No packet anywhere.
    pub(super) fn new(seed: &Seed, variant: Variant) -> Self {
        Self {
            modern: match variant {
                Variant::Fast => Modern::detect(),
                Variant::Baseline | Variant::Portable | Variant::General => None,
            },
            places: Box::new([Place::default(); BURST_MAX]),
            seed_tcp: seed.implying(u64::from(TCP) << 32),
            seed_udp: seed.implying(u64::from(UDP) << 32),
            station: [0; 6],
            front: Front::of([0; 6]),
        }
    }
}

/// Stage 1: parse, hash, ask for the buckets. Gives the number of packets to be handled here, and the bytes of all.
#[inline]
pub(super) fn take_in<P: Packet>(
    scratch: &mut Scratch,
    packets: &[P],
    table: &Table<V4>,
    tables: &Snapshot,
    (own, seed): (&MacAddr, &Seed),
) -> (usize, u64) {
    let entrance = Entrance {
        table,
        tables,
        own,
        seed,
    };
    // Packets that come together mostly go to one station: to the port, or to one that is shared with another director. And
    // mostly they are of one protocol.
    let first = packets
        .first()
        .and_then(|packet| packet.data().first_chunk::<PLAIN4_LEN>());
    let (station, protocol) = match first {
        Some(head) => (head.first_chunk(), head[PROTOCOL_AT]),
        None => (None, TCP),
    };
    let station = station.filter(|mac| entrance.is_ours(mac)).unwrap_or(&own.0);
    if *station != scratch.station {
        (scratch.station, scratch.front) = (*station, Front::of(*station));
    }
    let places = &mut scratch.places[..packets.len()];
    let (front, finder, modern) = (scratch.front, table.finder(), scratch.modern);
    let (mut elsewhere, bytes) = if protocol == UDP {
        let seed = &scratch.seed_udp;
        cpu::with_best(modern, Take::<UDP, P>::new(places, packets, finder, front, seed))
    } else {
        let seed = &scratch.seed_tcp;
        cpu::with_best(modern, Take::<TCP, P>::new(places, packets, finder, front, seed))
    };
    if elsewhere >= UNKNOWN {
        elsewhere = elsewhere % (1 << 16) - entrance.look_closer(places, packets);
    }
    (packets.len() - elsewhere, bytes)
}

/// Two counts in one: a packet that is elsewhere, and one to look at closer.
const UNKNOWN: usize = 1 << 16 | 1;

/// Takes packets of one protocol to one station: nearly every packet. Those that are something else, or not plain, are marked.
struct Take<'a, const PROTOCOL: u8, P> {
    places: &'a mut [Place],
    packets: &'a [P],
    finder: Finder<'a, V4>,
    front: Front,
    seed: &'a Seed,
}

impl<'a, const PROTOCOL: u8, P: Packet> Take<'a, PROTOCOL, P> {
    #[inline(always)]
    fn new(
        places: &'a mut [Place],
        packets: &'a [P],
        finder: Finder<'a, V4>,
        front: Front,
        seed: &'a Seed,
    ) -> Self {
        Self {
            places,
            packets,
            finder,
            front,
            seed,
        }
    }
}

impl<const PROTOCOL: u8, P: Packet> Work for Take<'_, PROTOCOL, P> {
    /// Packets that are not to be handled here, with [`UNKNOWN`] for each that was not looked at closely; bytes of all.
    type Out = (usize, u64);

    #[inline(always)]
    fn work(self) -> (usize, u64) {
        let Self {
            finder,
            front,
            seed: &seed,
            ..
        } = self;
        let (mut elsewhere, mut bytes) = (0, 0);
        for (place, packet) in self.places.iter_mut().zip(self.packets) {
            let (data, total_len) = (packet.data(), packet.total_len());
            bytes += total_len as u64;
            if let Some(head) = data.first_chunk()
                && front.is_of(head)
                && let Some(ip_len) = parse::plain_of::<PROTOCOL>(head, total_len)
            {
                let ports = parse::word4(head, PORTS_AT);
                place.settled = quiet(ports, PROTOCOL);
                place.ip_len = ip_len;
                let pair = parse::word8(head, PAIR_AT);
                let hash = seed.short(pair, ports.into());
                finder.prefetch_bucket(hash);
                place.hash = hash.to_ne_bytes();
                if PROTOCOL == TCP
                    && let (tcp_flags, false) = parse::flags_of(head)
                {
                    place.settled = place.settled.or_never();
                    place.tcp_flags = tcp_flags;
                    place.pair = pair;
                    elsewhere += 1;
                }
            } else {
                place.settled = Settled::default();
                elsewhere += UNKNOWN;
            }
        }
        (elsewhere, bytes)
    }
}

/// What stage 1 knows packets by.
struct Entrance<'a> {
    table: &'a Table<V4>,
    tables: &'a Snapshot,
    own: &'a MacAddr,
    seed: &'a Seed,
}

impl Entrance<'_> {
    #[inline]
    fn is_ours(&self, mac: &[u8; 6]) -> bool {
        *mac == self.own.0 || self.tables.is_virtual_mac(*mac)
    }

    /// Looks at the packets that are not what most are. Gives the number of those that are to be handled
    /// here after all.
    #[inline(never)]
    fn look_closer<P: Packet>(&self, places: &mut [Place], packets: &[P]) -> usize {
        let mut quiet = 0;
        for (place, packet) in places.iter_mut().zip(packets) {
            if place.settled.is_none()
                && let Some(head) = packet.data().first_chunk::<PLAIN4_LEN>()
                && head.first_chunk().is_some_and(|mac| self.is_ours(mac))
                && let Some(plain) = parse::plain4(head, packet.total_len())
            {
                *place = self.plain(&plain);
                quiet += usize::from(plain.quiet);
            }
        }
        quiet
    }

    #[inline(always)]
    fn plain(&self, plain: &Plain4) -> Place {
        let hash = self.seed.short(plain.pair, plain.tail);
        self.table.prefetch_bucket(hash);
        Place {
            settled: if plain.quiet {
                quiet(plain.tail as u32, (plain.tail >> 32) as u8)
            } else {
                Settled::never(plain.tail)
            },
            hash: hash.to_ne_bytes(),
            candidate: Candidate::default(),
            ip_len: plain.ip_len,
            tcp_flags: plain.tcp_flags,
            pair: plain.pair,
        }
    }
}

/// Of TCP in the middle of an established connection; of UDP always.
#[inline(always)]
const fn quiet(ports: u32, protocol: u8) -> Settled {
    let state = if protocol == TCP {
        State::Established
    } else {
        State::None
    };
    Settled::new(ports, protocol, state as u8)
}

/// The same where the fast lane is closed.
pub(super) fn take_none<P: Packet>(scratch: &mut Scratch, packets: &[P]) -> (usize, u64) {
    scratch.places[..packets.len()].fill(Place::default());
    (0, packets.iter().map(|packet| packet.total_len() as u64).sum())
}

/// What became of the quiet packets.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// Packets that got their verdict.
    pub(super) sent: usize,
    /// Datagrams without a flow, which are plain but not quiet from now on.
    pub(super) new: usize,
    /// All packets of the burst leave by this port.
    pub(super) whole: Option<PortId>,
}

/// Takes the quiet packets, `quiet` of them, through the other stages. Those that do not get their verdict here and are no new
/// datagrams are with the general stages then.
#[inline(always)]
pub(super) fn run<P: Packet>(
    scratch: &mut Scratch,
    quiet: usize,
    packets: &mut [P],
    verdicts: &mut [Verdict],
    lane: &mut Lane<V4>,
    context: &Context<'_>,
) -> Done {
    let others = lane.pending.len();
    // Mostly every packet is here and leaves as the ones before did, and nobody has to ask.
    let has_loop = !matches!(lane.exit.way(), Way::General | Way::NatAny);
    let even = quiet == packets.len() && lane.uneven == 0 && has_loop;
    let left = if even {
        let left = run_by_way::<true, P>(scratch, packets, verdicts, lane, context);
        verdicts.fill(Verdict::Tx(lane.exit.port_id()));
        left
    } else {
        let left = run_by_way::<false, P>(scratch, packets, verdicts, lane, context);
        match lane.uneven.checked_sub(1) {
            Some(uneven) => lane.uneven = uneven,
            None => lane.exit = exit_of_first(scratch, lane, context).unwrap_or(lane.exit),
        }
        left
    };
    let places = &mut scratch.places[..packets.len()];
    let new = match left {
        0 => 0,
        left => finish_left(left, places, packets, verdicts, lane, context),
    };
    let sent = quiet - new - (lane.pending.len() - others);
    // Those that were left may have left by the same exit after all.
    let whole = even && sent == packets.len() && lane.uneven == 0;
    Done {
        sent,
        new,
        whole: whole.then(|| lane.exit.port_id()),
    }
}

/// Where and how the first packet of the burst leaves, if its flow is known.
#[inline]
fn exit_of_first(scratch: &Scratch, lane: &mut Lane<V4>, context: &Context<'_>) -> Option<Exit> {
    let [place, ..] = &*scratch.places;
    let backend = lane.table.entries().backend(place.candidate)?;
    Some(Out::new(context).find(backend)?.0.exit())
}

/// Most packets go the way the ones before went: there is a loop for each, which has the registers for itself. Gives a bit for each
/// packet that is left.
#[inline(always)]
fn run_by_way<const EVEN: bool, P: Packet>(
    scratch: &mut Scratch,
    packets: &mut [P],
    verdicts: &mut [Verdict],
    lane: &mut Lane<V4>,
    context: &Context<'_>,
) -> u64 {
    const DR: u8 = Way::Dr as u8;
    const NAT: u8 = Way::Nat as u8;
    const IPIP4: u8 = Way::Ipip4 as u8;
    let (modern, places) = (scratch.modern, &mut scratch.places[..packets.len()]);
    let (table, exit) = (&mut lane.table, lane.exit);
    match exit.way() {
        Way::General | Way::Dr | Way::NatAny => {
            let work = Finish::<EVEN, DR, P>::new(places, packets, verdicts, table, exit, context);
            cpu::with_best(modern, work)
        }
        Way::Nat => {
            let work = Finish::<EVEN, NAT, P>::new(places, packets, verdicts, table, exit, context);
            cpu::with_best(modern, work)
        }
        Way::Ipip4 => {
            let work = Finish::<EVEN, IPIP4, P>::new(places, packets, verdicts, table, exit, context);
            cpu::with_best(modern, work)
        }
    }
}

/// Stage 2: the buckets are here, ask for the entries.
struct LookUp<'a, const EVEN: bool> {
    places: &'a mut [Place],
    table: &'a Table<V4>,
}

impl<const EVEN: bool> LookUp<'_, EVEN> {
    #[inline(always)]
    fn run(self) {
        if self.table.is_portable() {
            self.by(cpu::first_portable);
        } else {
            self.by(cpu::first);
        }
    }

    #[inline(always)]
    fn by(self, search: impl Fn(&Tags, u16, &[u32; BUCKET_SLOTS + 1]) -> u32 + Copy) {
        let finder = self.table.finder();
        let look_up = |place: &mut Place| {
            if EVEN || place.settled.is_possible() {
                place.candidate = finder.candidate_by(search, Halves::of(place.hash));
            }
        };
        // By fours: counting is a tenth of the work.
        let (fours, rest) = self.places.as_chunks_mut::<4>();
        for [a, b, c, d] in fours {
            look_up(a);
            look_up(b);
            look_up(c);
            look_up(d);
        }
        rest.iter_mut().for_each(look_up);
    }
}

/// Stages 2, and 3 and 5: the entries are here. The record of a server is shared by its flows and mostly near.
///
/// `EVEN`: every packet of the burst is quiet, and all are expected to leave by one exit; their verdicts are written by the caller.
/// What goes another way is left, and gets a bit in what this gives.
struct Finish<'a, const EVEN: bool, const WAY: u8, P> {
    places: &'a mut [Place],
    packets: &'a mut [P],
    verdicts: &'a mut [Verdict],
    table: &'a mut Table<V4>,
    out: Out<'a>,
    exit: Exit,
    tick: Tick,
}

impl<'a, const EVEN: bool, const WAY: u8, P: Packet> Finish<'a, EVEN, WAY, P> {
    #[inline(always)]
    fn new(
        places: &'a mut [Place],
        packets: &'a mut [P],
        verdicts: &'a mut [Verdict],
        table: &'a mut Table<V4>,
        exit: Exit,
        context: &Context<'a>,
    ) -> Self {
        Self {
            places,
            packets,
            verdicts,
            table,
            out: Out::new(context),
            exit,
            tick: context.tick,
        }
    }
}

impl<const EVEN: bool, const WAY: u8, P: Packet> Work for Finish<'_, EVEN, WAY, P> {
    /// A bit for each packet that is left.
    type Out = u64;

    #[inline(always)]
    fn work(self) -> u64 {
        let Self {
            places,
            table,
            exit,
            tick,
            ..
        } = self;
        LookUp::<EVEN> {
            places: &mut *places,
            table,
        }
        .run();
        let (out, mut entries) = (self.out.even(), table.entries());
        let mut left = 0;
        if EVEN {
            for (index, (place, packet)) in places.iter().zip(self.packets).enumerate() {
                if finish_one::<true, WAY, P>(place, packet, &mut entries, &out, exit, tick).is_none() {
                    leave(index, &mut left);
                }
            }
            return left;
        }
        let all = places.iter().zip(self.packets).zip(self.verdicts);
        for (index, ((place, packet), verdict)) in all.enumerate() {
            if !place.settled.is_possible() {
                continue;
            }
            match finish_one::<false, WAY, P>(place, packet, &mut entries, &out, exit, tick) {
                Some(port) => *verdict = Verdict::Tx(port),
                None => leave(index, &mut left),
            }
        }
        left
    }
}

const _: () = assert!(BURST_MAX <= u64::BITS as usize);

#[cold]
#[inline(never)]
fn leave(index: usize, left: &mut u64) {
    *left |= 1 << index;
}

/// Gives the port. `None`: the packet is as it was.
#[inline(always)]
fn finish_one<const EVEN: bool, const WAY: u8, P: Packet>(
    place: &Place,
    packet: &mut P,
    entries: &mut Entries<'_, V4>,
    out: &Out<'_>,
    exit: Exit,
    tick: Tick,
) -> Option<PortId> {
    let head = packet.data_mut().first_chunk_mut::<PLAIN4_LEN>()?;
    let entry = entries.settled(place.candidate, parse::word8(head, PAIR_AT), place.settled)?;
    let (mut record, line) = out.find(entry.backend)?;
    let port = record.port_id();
    if EVEN {
        record = record.through(exit)?;
    } else if !record.goes_by(WAY) {
        return None;
    }
    let ip_len = place.ip_len;
    if WAY == Way::Dr as u8 {
        plain::route(ip_len, head, &record)?;
    } else if WAY == Way::Nat as u8 {
        plain::translate(ip_len, head, &record)?;
    } else {
        plain::encapsulate(ip_len, place.hash(), packet, &record)?;
    }
    entry.seen = tick;
    plain::count(ip_len, line);
    Some(port)
}

/// What is left: packets that leave by another exit, and those for the general stages. Gives the number of datagrams without a flow.
#[cold]
#[inline(never)]
fn finish_left<P: Packet>(
    left: u64,
    places: &mut [Place],
    packets: &mut [P],
    verdicts: &mut [Verdict],
    lane: &mut Lane<V4>,
    context: &Context<'_>,
) -> usize {
    look_elsewhere(left, places, &lane.table);
    let out = Out::new(context);
    let mut new = 0;
    for index in bits(left) {
        let (place, packet) = (&mut places[index], &mut packets[index]);
        // It was parsed before, so neither can fail.
        let Some(head) = packet.data().first_chunk() else {
            continue;
        };
        let Some(plain) = parse::plain4(head, packet.total_len()) else {
            continue;
        };
        if plain.tail >> 32 == u64::from(UDP) && place.candidate == Candidate::default() {
            place.settled = place.settled.or_never();
            (place.tcp_flags, place.pair) = (0, plain.pair);
            new += 1;
            continue;
        }
        let mut pending = Pending::plain(place.hash(), &plain, index);
        if let Some(entry) = settled_anywhere(place, &plain, lane, context) {
            entry.seen = context.tick;
            let backend = entry.backend;
            pending.local = (entry.local_index, entry.local_port);
            if let Some((record, line)) = out.find(backend) {
                if record.exit() != lane.exit {
                    (lane.exit, lane.uneven) = (record.exit(), UNEVEN_BURSTS);
                }
                if let Some(port) = plain::rewrite_any(place.route(), packet, &record, line) {
                    verdicts[index] = Verdict::Tx(port);
                    continue;
                }
            }
            pending.fate = Fate::ToServer;
            pending.backend = backend;
        }
        lane.pending.push(pending);
    }
    new
}

/// The numbers of the bits that are set.
#[inline(always)]
fn bits(mut left: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lowest = left.trailing_zeros() as usize;
        left &= left.wrapping_sub(1);
        (lowest < BURST_MAX).then_some(lowest)
    })
}

/// Packets whose home bucket says nothing: in a full table many stand in their second one. Lines are asked for ahead here too.
#[inline]
fn look_elsewhere(left: u64, places: &mut [Place], table: &Table<V4>) {
    let mut elsewhere = 0;
    for index in bits(left) {
        let place = &places[index];
        if place.candidate == Candidate::default() {
            table.prefetch_second(place.hash());
            elsewhere |= 1 << index;
        }
    }
    for index in bits(elsewhere) {
        let place = &mut places[index];
        place.candidate = table.second_candidate(place.hash());
    }
}

/// The entry of a packet that is left, if it is settled for it: perhaps it stands in the second bucket.
#[inline]
fn settled_anywhere<'a>(
    place: &Place,
    plain: &Plain4,
    lane: &'a mut Lane<V4>,
    context: &Context<'_>,
) -> Option<&'a mut Entry<V4>> {
    let (key, servers) = (plain.key(), context.servers());
    let found = lane.table.confirm(place.candidate, &key, place.hash(), &servers);
    let Some((index, Direction::Forward)) = found else {
        return None;
    };
    let entry = lane.table.entry_mut(index);
    place.settled.is(plain.pair, entry).then_some(entry)
}
