//! New flows: persistence, scheduler, local port, entry. Behaviour is that of `ip_vs_schedule` and `ip_vs_sched_persist`.

use weir_rings::message::{MssClamp, Persistence};

use super::decide::may_start;
use super::lookup::track;
use super::remote::Notes;
use crate::burst::{Context, Fate, Lane, Stop};
use crate::egress::Mode;
use crate::family::{Family, Key};
use crate::flow::{Direction, Entry, Flags, Tick};
use crate::forward::{fullnat, relay};
use crate::parse::tcp_flag::{RST, SYN};
use crate::persist::{Client, Found, Noted};
use crate::scheduler::{Load, PickInput};
use crate::tables::Service;
use crate::tcp_state::{Policy, State, Tracker};
use crate::verdict::{DropReason, WorkerId};

const TCP: u8 = 6;

/// State of a fresh flow after the client's SYN, whether or not replies pass here: an active one.
pub(super) const AFTER_SYN: State = after_syn(false);
const _: () = assert!(AFTER_SYN as u8 == after_syn(true) as u8 && AFTER_SYN.is_active());

const fn after_syn(no_output: bool) -> State {
    let fresh = Tracker {
        state: State::None,
        no_output,
    };
    fresh.after(Policy::Normal, false, SYN).state
}

/// Addresses and ports of a packet as the schedulers want them.
pub(crate) fn pick_input<F: Family>(key: &Key<F>, now_s: u32, random: u64) -> PickInput {
    PickInput {
        client: F::to_ip(key.src()),
        client_port: key.src_port(),
        destination: F::to_ip(key.dst()),
        destination_port: key.dst_port(),
        now_s,
        random,
    }
}

/// Connections of a server over all workers.
pub(crate) fn load_of(context: &Context<'_>, slot: u32) -> Load {
    let total = context.shared.counters.backend_total(slot);
    // Another worker's counts may be read between its two steps; a sum below zero means just that.
    let count = |n: u64| u32::try_from(i64::max(n as i64, 0)).unwrap_or(u32::MAX);
    Load {
        active: count(total.active),
        inactive: count(total.inactive),
    }
}

/// Random bits for the choice of a server, where the scheduler wants any.
pub(super) fn draw(service: &Service, context: &mut Context<'_>) -> u64 {
    if service.scheduler.draws() {
        context.own.random()
    } else {
        0
    }
}

/// The server of a packet that gets no entry: by hash alone, the same for every packet of the flow as long as the servers
/// stay.
fn stateless_server<F: Family>(service: &Service, key: &Key<F>) -> Result<u32, DropReason> {
    let input = pick_input(key, 0, 0);
    let index = service
        .scheduler
        .pick_stateless(&input)
        .ok_or(DropReason::NoServer)?;
    Ok(service.scheduler.servers()[index].slot)
}

/// The server of a packet that would begin a flow while every entry holds one, where nothing but the entry stands against
/// forwarding it by hash: the scheduler is not asked then. `None`: the usual way tells what becomes of it.
pub(super) fn without_entry<F: Family>(
    service: &Service,
    key: &Key<F>,
    context: &Context<'_>,
) -> Option<u32> {
    if service.spec.persistence.is_some() || service.scheduler.has_thresholds() {
        return None;
    }
    let backend = stateless_server(service, key).ok()?;
    (!context.shared.egress.mode(backend).is_nat()).then_some(backend)
}

impl<F: Notes> Lane<F> {
    /// Makes a flow for a packet that asks for `service`.
    pub(super) fn create(
        &mut self,
        at: usize,
        service: &Service,
        context: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let (key, tcp_flags) = (self.pending[at].key, self.pending[at].tcp_flags);
        if key.protocol == TCP && tcp_flags & (SYN | RST) != SYN {
            if tcp_flags & SYN == 0 {
                relay::client_segment(&key, service, context)?;
            }
            if !may_start(tcp_flags, service.spec.policy.sloppy_tcp) {
                // While the table is crowded flows are forwarded without state, and this may be one of them.
                return if self.table.is_crowded() {
                    self.stateless(at, service, context)
                } else {
                    Err(DropReason::NoFlow.into())
                };
            }
        }
        let one_packet = service.spec.one_packet && key.protocol != TCP;
        if self.table.is_full()
            && !one_packet
            && let Some(backend) = without_entry(service, &key, context)
        {
            self.table.refuse();
            context.counters.row().flows_refused().add(1);
            self.send_to(at, backend, (0, 0));
            return Ok(());
        }
        let (backend, template) = match self.pending[at].chosen {
            Some(backend) => (backend, None),
            None => self.choose_server(at, service, context)?,
        };
        let mode = context.shared.egress.mode(backend);
        if one_packet {
            return self.one_packet(at, backend, service, context);
        }
        let mut entry = Entry::new(&key, backend, context.tick);
        if key.protocol == TCP && tcp_flags & (SYN | RST) == SYN {
            entry.state = AFTER_SYN as u8;
        }
        entry.link = template.map_or(0, |index| index + 1);
        entry.flags = entry.flags.set(Flags::NO_OUTPUT, !mode.is_nat());
        let remote = if mode == Mode::FullNat {
            (entry.local_index, entry.local_port) =
                fullnat::choose_local(service, &entry, &self.table, context)?;
            entry.flags = entry.flags.with(Flags::LOCAL);
            self.lead_back(&mut entry, context)?
        } else if mode == Mode::Nat {
            self.lead_back(&mut entry, context)?
        } else {
            None
        };
        let hash = self.pending[at].hash;
        let (seed, servers) = (&context.shared.seed, context.servers());
        let Ok(index) = self.table.insert_hashed(entry, hash, seed, &servers) else {
            context.counters.row().flows_refused().add(1);
            return if mode.is_nat() {
                Err(DropReason::FlowTableFull.into())
            } else {
                self.stateless(at, service, context)
            };
        };
        self.pending[at].keeps_mss = service.spec.mss_clamp == MssClamp::Off;
        self.book(at, index, &entry, service, context);
        super::remote::announce(&entry, remote, context);
        Ok(())
    }

    /// Sees to the replies of a flow that is to be made, which pass here: nobody else's look like them, and they find their
    /// entry. Gives the other worker that they will arrive at.
    pub(super) fn lead_back(
        &mut self,
        entry: &mut Entry<F>,
        context: &mut Context<'_>,
    ) -> Result<Option<WorkerId>, Stop> {
        self.clear_way_back(entry, context)?;
        let remote = super::remote::replies_elsewhere(entry, context);
        entry.flags = entry.flags.set(Flags::REVERSE, remote.is_none());
        entry.flags = entry.flags.set(Flags::HAS_REMOTE, remote.is_some());
        Ok(remote)
    }

    /// Everything that follows from a flow having been inserted.
    fn book(
        &mut self,
        at: usize,
        index: u32,
        entry: &Entry<F>,
        service: &Service,
        context: &mut Context<'_>,
    ) {
        let pending = &self.pending[at];
        if let Some(line) = context.counters.backend(entry.backend) {
            line.active().add(1);
        }
        count_connection(service, entry.backend, context);
        context.counters.row().flows_created().add(1);
        if entry.protocol == TCP && entry.state != AFTER_SYN as u8 {
            track(
                self.table.entry_mut(index),
                Direction::Forward,
                pending.tcp_flags,
                context,
            );
        }
        if let Some(template) = entry.link.checked_sub(1) {
            context.shared.templates.hold(template, context.tick);
        }
        context.shared.owners.insert(pending.hash, context.worker);
        self.send_to(at, entry.backend, (entry.local_index, entry.local_port));
    }

    /// Forwards without an entry.
    pub(super) fn stateless(
        &mut self,
        at: usize,
        service: &Service,
        context: &Context<'_>,
    ) -> Result<(), Stop> {
        let backend = stateless_server(service, &self.pending[at].key)?;
        if context.shared.egress.mode(backend).is_nat() {
            return Err(DropReason::FlowTableFull.into());
        }
        self.send_to(at, backend, (0, 0));
        Ok(())
    }

    pub(super) fn send_to(&mut self, at: usize, backend: u32, local: (u16, u16)) {
        let pending = &mut self.pending[at];
        pending.backend = backend;
        pending.local = local;
        pending.fate = Fate::ToServer;
    }

    /// The server for a new flow, and the template it came from or made.
    fn choose_server(
        &self,
        at: usize,
        service: &Service,
        context: &mut Context<'_>,
    ) -> Result<(u32, Option<u32>), Stop> {
        let key = &self.pending[at].key;
        let random = draw(service, context);
        let input = pick_input(key, context.now_s(), random);
        let Some(persistence) = service.spec.persistence else {
            return Ok((schedule(service, &input, context)?, None));
        };
        let client = client_of::<F>(service, &persistence, key.src());
        let found = context.shared.templates.find(&client, context.tick);
        if let Some(Found { index, backend }) =
            found.filter(|found| template_is_valid(service, found.backend))
        {
            return Ok((backend, Some(index)));
        }
        let backend = schedule(service, &input, context)?;
        let ticks = Tick::from_secs(persistence.timeout_s);
        match context
            .shared
            .templates
            .note(&client, backend, ticks, context.tick, found.is_some())
        {
            // Another worker was faster, and its server is as good as ours was.
            Noted::As(noted) => Ok((noted.backend, Some(noted.index))),
            Noted::NoRoom => Ok((backend, None)),
        }
    }
}

pub(super) fn schedule(service: &Service, input: &PickInput, context: &Context<'_>) -> Result<u32, Stop> {
    let index = service
        .scheduler
        .pick(input, |slot| load_of(context, slot))
        .ok_or(DropReason::NoServer)?;
    Ok(service.scheduler.servers()[index].slot)
}

pub(super) fn count_connection(service: &Service, backend: u32, context: &Context<'_>) {
    if let Some(line) = context.counters.backend(backend) {
        line.connections().add(1);
    }
    if let Some(line) = context.counters.service(service.slot) {
        line.connections().add(1);
    }
}

/// The persistent client an address belongs to.
pub(crate) fn client_of<F: Family>(service: &Service, persistence: &Persistence, address: F::Addr) -> Client {
    let bits = if F::V6 { 128 } else { 32 };
    let host_bits = u32::from(bits - persistence.prefix_len.min(bits));
    let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
    Client {
        service: service.slot,
        address: F::bits(address) & mask,
    }
}

/// `ip_vs_check_template`: the server is still there, and not one that persistent clients are told to leave.
pub(crate) fn template_is_valid(service: &Service, backend: u32) -> bool {
    service.backend(backend).is_some_and(|spec| {
        let quiescent = spec.weight == 0 && service.spec.policy.expire_quiescent_template;
        !spec.drain && !quiescent
    })
}
