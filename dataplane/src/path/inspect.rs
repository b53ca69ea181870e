//! The walk behind [`crate::explain`]: every decision of the path, looked at and not taken.

use weir_proto::time::Instant;
use weir_rings::query::Explanation;

use super::Path;
use super::create::{client_of, draw, load_of, pick_input, template_is_valid};
use super::decide::{Destination, Tag, destination};
use super::remote::Notes;
use super::reply::WayBack;
use crate::burst::{Context, Lane, Stop};
use crate::burst::{check_link, check_owner};
use crate::egress::{Link, Mode};
use crate::explain::{Question, Story, detail};
use crate::family::{Family, Key, V4, V6};
use crate::flow::{Direction, Entry, Flags};
use crate::forward::{fullnat, relay};
use crate::ip::Ip;
use crate::parse::tcp_flag::SYN;
use crate::persist::Found;
use crate::scheduler::Load;
use crate::tables::{Service, Snapshot};
use crate::tcp_state::State;
use crate::verdict::{DropReason, PortId, PuntReason, Verdict};

const TCP: u8 = 6;

impl Path {
    /// Tells what would happen to a packet that arrives at this worker now.
    pub fn explain(&mut self, now: Instant, question: &Question) -> Explanation {
        let Self {
            v4,
            v6,
            tables,
            shared,
            counters,
            own,
            worker,
            ..
        } = self;
        let tables: &Snapshot = tables;
        let mut story = Story::default();
        let port = question
            .port
            .or_else(|| arrival(question, tables))
            .unwrap_or(PortId(0));
        let Some(spec) = tables.port(port) else {
            return story.end(Verdict::Drop(DropReason::UnknownPort));
        };
        let base = super::expire::context(*worker, now, tables, shared, counters, own);
        let mut context = Context { port, spec, ..base };
        let choices = context.own.choices();
        let (source, destination) = (question.source, question.destination);
        let protocol = question.protocol.code();
        let (src, dst) = (source.ip(), destination.ip());
        let result = if let Some(key) = Key::<V4>::new(src, source.port(), dst, destination.port(), protocol)
        {
            let found = v4.explain(&key, &mut story, &mut context);
            or_answer(found, &key, &mut story, &context)
        } else if let Some(key) = Key::<V6>::new(src, source.port(), dst, destination.port(), protocol) {
            let found = v6.explain(&key, &mut story, &mut context);
            or_answer(found, &key, &mut story, &context)
        } else {
            story.say("vip", "source and destination are of different families");
            Err(DropReason::BadIpHeader.into())
        };
        // What was asked for must leave no trace.
        context.own.wanted.clear();
        context.own.set_choices(choices);
        story.end(result.unwrap_or_else(Verdict::from))
    }
}

/// What becomes of a packet that nobody is left to serve: the sender hears of it where the service says so.
fn or_answer<F: Ip>(
    found: Result<Verdict, Stop>,
    key: &Key<F>,
    story: &mut Story,
    context: &Context<'_>,
) -> Result<Verdict, Stop> {
    let rejected =
        matches!(found, Err(Stop::Drop(reason)) if crate::answer::is_rejected(reason, key, context));
    if !rejected {
        return found;
    }
    let answer = if key.protocol == TCP {
        "a TCP reset"
    } else {
        "an ICMP port unreachable"
    };
    story.say("answer", format!("there is no server; the sender gets {answer}"));
    Ok(Verdict::Tx(context.port))
}

/// The port an address lives on.
fn arrival(question: &Question, tables: &Snapshot) -> Option<PortId> {
    let address = tables.address(question.destination.ip())?;
    address
        .vip
        .and_then(|vip| vip.port)
        .or_else(|| address.own.first().copied())
}

impl<F: Ip + Notes> Lane<F> {
    fn explain(&self, key: &Key<F>, story: &mut Story, context: &mut Context<'_>) -> Result<Verdict, Stop> {
        let hash = key.hash(&context.shared.seed);
        let mut old = None;
        if let Some((index, direction)) = self.table.find(key, hash, &context.servers()) {
            let entry = *self.table.entry(index);
            let ends = direction == Direction::Forward && gives_way(&entry, key, context);
            say_known(&entry, direction, ends, story, context);
            if !ends {
                return known_flow(&entry, direction, key, hash, story, context);
            }
            old = Some(entry);
        }
        if let Err(stop) = check_owner::<F>(key, hash, context) {
            let to = if let Stop::Steer(worker) = stop {
                worker.0.to_string()
            } else {
                "?".to_owned()
            };
            story.tell(
                "flow",
                format!("belongs to worker {to}"),
                vec![detail("worker", to)],
            );
            return Err(stop);
        }
        let address = F::to_ip(key.dst());
        let service = match destination::<F>(&key.dst(), key.dst_port(), key.protocol, Tag::Right, context) {
            Ok(Destination::Service(service)) => service,
            Ok(Destination::Host) => {
                story.say("vip", format!("{address} is the port's own address"));
                return Err(Stop::Punt(PuntReason::Host));
            }
            Err(stop) => {
                let stop = relay::reply(stop, key, context).err().unwrap_or(stop);
                if let Stop::Relay(slot) = stop {
                    story.say("relay", "a NAT server's reply whose connection is unknown here");
                    return leave(context.shared.egress.link(slot), slot, story, context);
                }
                story.say(
                    "vip",
                    format!("{address} on port {} has no service to offer", context.port.0),
                );
                return Err(stop);
            }
        };
        let keys = service.keys.iter().map(|key| detail("key", key));
        story.tell(
            "vip",
            format!("{address} is held; service {}", service.spec.key),
            keys.collect(),
        );
        say_relay::<F>(key, service, story, context);
        New {
            lane: self,
            key,
            hash,
            service,
            old,
        }
        .tell(story, context)
    }
}

/// What becomes of packets in the middle of connections that are unknown here.
fn say_relay<F: Ip>(key: &Key<F>, service: &Service, story: &mut Story, context: &Context<'_>) {
    if let Err(Stop::Relay(slot)) = relay::client_segment(key, service, context) {
        let (link, target) = (
            context.shared.egress.link(slot),
            context.shared.egress.target(slot),
        );
        story.tell(
            "relay",
            format!(
                "packets in the middle of connections unknown here go to {}",
                target.address
            ),
            vec![
                detail("mac", weir_wire::MacAddr(link.dst_mac)),
                detail("slot", slot),
            ],
        );
    }
}

/// Whether a SYN or datagram of a known flow starts it anew: `conn_reuse_mode`, `expire_nodest_conn`.
fn gives_way<F: Ip>(entry: &Entry<F>, key: &Key<F>, context: &Context<'_>) -> bool {
    if key.protocol == TCP && super::lookup::starts_anew(entry, SYN, context) {
        return true;
    }
    let protocol = weir_rings::message::Protocol::from_code(key.protocol);
    let service = protocol.and_then(|protocol| {
        context
            .tables
            .service_for(protocol, F::to_ip(key.dst()), key.dst_port())
    });
    let gone = !context.shared.egress.link(entry.backend).present;
    gone && service.is_some_and(|service| service.spec.policy.expire_nodest)
}

fn say_known<F: Ip>(
    entry: &Entry<F>,
    direction: Direction,
    ends: bool,
    story: &mut Story,
    context: &Context<'_>,
) {
    let state = if entry.protocol == TCP {
        State::from_number(entry.state).unwrap_or_default().name()
    } else {
        "UDP"
    };
    let idle_s = crate::flow::Tick::to_secs(context.tick.since(entry.seen));
    let way = match (ends, direction) {
        (true, _) => "started anew by this packet",
        (false, Direction::Forward) => "to the server",
        (false, Direction::Reverse) => "to the client",
    };
    let details = vec![
        detail("worker", context.worker.0),
        detail("state", state),
        detail("idle_s", idle_s),
    ];
    story.tell("flow", format!("known, {state}, {way}"), details);
}

fn known_flow<F: Ip>(
    entry: &Entry<F>,
    direction: Direction,
    key: &Key<F>,
    hash: u64,
    story: &mut Story,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    match direction {
        Direction::Forward => {
            let local = (entry.local_port != 0)
                .then(|| (context.servers().local::<F>(entry.local_index), entry.local_port));
            to_server(entry.backend, key, local, story, context)
        }
        Direction::Reverse => {
            let client = entry.key();
            story.say(
                "rewrite",
                format!("source becomes {}", socket::<F>(client.dst(), client.dst_port())),
            );
            let slot = context.hop_to_client::<F>(client.src(), hash, entry.backend)?;
            leave(context.shared.egress.link(slot), slot, story, context)
        }
    }
}

/// A packet that would make a flow.
struct New<'a, F: Ip> {
    lane: &'a Lane<F>,
    key: &'a Key<F>,
    hash: u64,
    service: &'a Service,
    /// The flow it would replace.
    old: Option<Entry<F>>,
}

impl<F: Ip + Notes> New<'_, F> {
    fn tell(&self, story: &mut Story, context: &mut Context<'_>) -> Result<Verdict, Stop> {
        super::decide::check_source::<F>(&self.key.src(), context)?;
        self.tell_policy(story);
        let mut backend = self.choose(story, context)?;
        let mode = context.shared.egress.mode(backend);
        let one_packet = self.service.spec.one_packet && self.key.protocol != TCP;
        let keeps_nothing = one_packet && !mode.is_nat();
        let local = self.way_back(backend, one_packet, story, context)?;
        let full = self.old.is_none() && self.lane.table.len() == self.lane.table.capacity();
        let found = if keeps_nothing {
            "none is made"
        } else if full && mode.is_nat() {
            story.say("flow", "the table is full, and NAT cannot do without an entry");
            return Err(DropReason::FlowTableFull.into());
        } else if full {
            backend = self.choose_stateless(context)?;
            "the table is full: forwarded by hash, without an entry"
        } else if one_packet {
            "none; only the way back is kept"
        } else {
            "none yet; this packet makes one"
        };
        let mut details = vec![
            detail("worker", context.worker.0),
            detail("hash", format!("{:016x}", self.hash)),
        ];
        if full && !keeps_nothing {
            details.push(detail("server", name(self.service, backend)));
        }
        story.tell("flow", found, details);
        to_server(backend, self.key, local, story, context)
    }

    fn tell_policy(&self, story: &mut Story) {
        let (spec, policy) = (&self.service.spec, &self.service.spec.policy);
        let details = vec![
            detail("scheduler", spec.scheduler.kind),
            detail("sloppy_tcp", policy.sloppy_tcp),
            detail("expire_nodest", policy.expire_nodest),
            detail("no_server", spec.no_server),
        ];
        let found = if spec.one_packet {
            "each datagram is scheduled anew"
        } else {
            "a new flow may start"
        };
        story.tell("policy", found, details);
    }

    /// As `Lane::stateless`.
    fn choose_stateless(&self, context: &Context<'_>) -> Result<u32, Stop> {
        let input = pick_input(self.key, context.now_s(), 0);
        let index = self.service.scheduler.pick_stateless(&input);
        let backend = self.service.scheduler.servers()[index.ok_or(DropReason::NoServer)?].slot;
        if context.shared.egress.mode(backend).is_nat() {
            return Err(DropReason::FlowTableFull.into());
        }
        Ok(backend)
    }

    /// Where replies will be looked for: FULLNAT's address and port, or NAT's tuple if it is free.
    fn way_back(
        &self,
        backend: u32,
        one_packet: bool,
        story: &mut Story,
        context: &mut Context<'_>,
    ) -> Result<Option<(F::Addr, u16)>, Stop> {
        let entry = Entry::new(self.key, backend, context.tick);
        match context.shared.egress.mode(backend) {
            Mode::FullNat => {
                let chosen = fullnat::choose_local(self.service, &entry, &self.lane.table, context);
                let (index, port) =
                    chosen.inspect_err(|_| story.say("rewrite", "no local address and port is free"))?;
                Ok(Some((context.servers().local::<F>(index), port)))
            }
            // What is replaced makes way.
            Mode::Nat if self.old.is_none_or(|old| old.backend != backend) => {
                let free = match self.lane.way_back(&entry, context) {
                    WayBack::Free | WayBack::Over(_) => true,
                    WayBack::Own(_) => one_packet,
                    WayBack::Taken => false,
                };
                if free {
                    return Ok(None);
                }
                story.say(
                    "flow",
                    "the client's port has a flow to this server by another virtual address",
                );
                Err(DropReason::ReplyAmbiguous.into())
            }
            Mode::Nat
            | Mode::Dr
            | Mode::Ipip
            | Mode::Gre
            | Mode::GreChecksum
            | Mode::Gue
            | Mode::GueChecksum
            | Mode::Vxlan
            | Mode::Hop => Ok(None),
        }
    }

    /// A server's connections, without the flow that is replaced.
    fn load(&self, slot: u32, context: &Context<'_>) -> Load {
        let mut load = load_of(context, slot);
        if let Some(old) = self.old.filter(|old| old.backend == slot) {
            let count = if old.flags.has(Flags::INACTIVE) {
                &mut load.inactive
            } else {
                &mut load.active
            };
            *count = count.saturating_sub(1);
        }
        load
    }

    fn choose(&self, story: &mut Story, context: &mut Context<'_>) -> Result<u32, Stop> {
        let (service, key) = (self.service, self.key);
        // The very random bits the packet would draw.
        let random = draw(service, context);
        let input = pick_input(key, context.now_s(), random);
        if let Some(persistence) = &service.spec.persistence {
            let client = client_of::<F>(service, persistence, key.src());
            match context.shared.templates.find(&client, context.tick) {
                Some(Found { backend, .. }) if template_is_valid(service, backend) => {
                    story.say(
                        "persistence",
                        format!("the client has {}", name(service, backend)),
                    );
                    return Ok(backend);
                }
                Some(Found { .. }) => {
                    story.say("persistence", "the client's server may not be used any more");
                }
                None => story.say("persistence", "the client is new"),
            }
        }
        let kind = service.spec.scheduler.kind;
        let chosen = service.scheduler.peek(&input, |slot| self.load(slot, context));
        let details = service.backends.iter().map(|(slot, backend)| {
            let (load, weight) = (self.load(*slot, context), backend.weight);
            detail(
                &backend.key.to_string(),
                format!(
                    "weight {weight}, {} active, {} inactive",
                    load.active, load.inactive
                ),
            )
        });
        let details: Vec<_> = details.collect();
        let Some(index) = chosen else {
            story.tell("scheduler", format!("{kind} finds no usable server"), details);
            return Err(DropReason::NoServer.into());
        };
        let slot = service.scheduler.servers()[index].slot;
        let found = format!("{kind} chooses {}", name(service, slot));
        story.tell("scheduler", found, details);
        Ok(slot)
    }
}

fn name(service: &Service, slot: u32) -> String {
    service
        .backend(slot)
        .map_or_else(|| format!("slot {slot}"), |backend| backend.key.to_string())
}

fn to_server<F: Ip>(
    backend: u32,
    key: &Key<F>,
    local: Option<(F::Addr, u16)>,
    story: &mut Story,
    context: &Context<'_>,
) -> Result<Verdict, Stop> {
    let target = context.shared.egress.target(backend);
    let (server, server_port) = context.servers().server::<F>(backend, key.dst_port());
    let what = match target.mode {
        Mode::Dr => "MAC addresses change, nothing else".to_owned(),
        Mode::Nat => format!("destination becomes {}", socket::<F>(server, server_port)),
        Mode::FullNat => match local {
            Some((address, port)) => {
                format!(
                    "{} to {}",
                    socket::<F>(address, port),
                    socket::<F>(server, server_port)
                )
            }
            None => format!("a local address and port to {}", socket::<F>(server, server_port)),
        },
        Mode::Ipip | Mode::Gre | Mode::GreChecksum | Mode::Gue | Mode::GueChecksum | Mode::Vxlan => {
            let source = target
                .source
                .map_or_else(|| "no address".to_owned(), |source| source.to_string());
            format!("put into {:?} from {source} to {}", target.mode, target.address)
        }
        Mode::Hop => "nothing".to_owned(),
    };
    story.tell("rewrite", what, vec![detail("mtu", target.mtu)]);
    leave(context.shared.egress.link(backend), backend, story, context)
}

fn leave(link: Link, slot: u32, story: &mut Story, context: &Context<'_>) -> Result<Verdict, Stop> {
    let mac = weir_wire::MacAddr(link.dst_mac);
    let found = if !link.present {
        "the server is no longer configured".to_owned()
    } else if !link.routed {
        "no route".to_owned()
    } else if !link.resolved {
        "MAC not known yet".to_owned()
    } else {
        format!("{mac}")
    };
    story.tell("next-hop", found, vec![detail("slot", slot)]);
    check_link(&link)?;
    let vlan = if link.vlan == 0 {
        "untagged".to_owned()
    } else {
        format!("VLAN {}", link.vlan)
    };
    story.tell(
        "egress",
        format!("port {}, {vlan}", link.port),
        vec![
            detail("source_mac", weir_wire::MacAddr(link.src_mac)),
            detail("port", link.port),
            detail("worker", context.worker.0),
        ],
    );
    Ok(Verdict::Tx(link.port_id()))
}

fn socket<F: Family>(address: F::Addr, port: u16) -> core::net::SocketAddr {
    core::net::SocketAddr::new(F::to_ip(address), port)
}
