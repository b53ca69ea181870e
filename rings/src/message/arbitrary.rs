//! Random valid messages, for tests.

use core::net::IpAddr;
use core::num::NonZeroU32;

use rand::Rng;
use rand::rngs::SmallRng;

use super::*;

fn pick<T: Copy>(rng: &mut SmallRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

fn some<T>(rng: &mut SmallRng, f: impl FnOnce(&mut SmallRng) -> T) -> Option<T> {
    rng.random::<bool>().then(|| f(rng))
}

pub(crate) fn address(rng: &mut SmallRng) -> IpAddr {
    let v4 = rng.random();
    address_of(rng, v4)
}

fn address_of(rng: &mut SmallRng, v4: bool) -> IpAddr {
    if v4 {
        IpAddr::from(rng.random::<[u8; 4]>())
    } else {
        IpAddr::from(rng.random::<[u8; 16]>())
    }
}

fn mac(rng: &mut SmallRng) -> Mac {
    let mut mac: Mac = rng.random();
    mac[0] = mac[0] & !1 | 2;
    mac
}

fn port(rng: &mut SmallRng) -> PortId {
    PortId(rng.random_range(0..=PORT_ID_MAX))
}

fn vlan(rng: &mut SmallRng) -> VlanId {
    VlanId::new(rng.random_range(1..=4094)).expect("in range")
}

pub(crate) fn service_key(rng: &mut SmallRng) -> ServiceKey {
    ServiceKey {
        protocol: pick(rng, Protocol::ALL),
        address: address(rng),
        port: rng.random(),
    }
}

fn timeouts(rng: &mut SmallRng) -> Timeouts {
    let seconds = core::array::from_fn(|_| rng.random_range(1..=TIMEOUT_S_MAX));
    Timeouts::checked(seconds).expect("in range")
}

fn service(rng: &mut SmallRng) -> Service {
    let key = service_key(rng);
    Service {
        key,
        scheduler: Scheduler {
            kind: pick(rng, SchedulerKind::ALL),
            fallback: rng.random(),
            port: rng.random(),
            maglev_size: pick(rng, MaglevSize::ALL),
        },
        persistence: some(rng, |rng| Persistence {
            timeout_s: rng.random_range(1..=TIMEOUT_S_MAX),
            prefix_len: rng.random_range(0..=address_bits(key.address)),
        }),
        one_packet: key.protocol == Protocol::Udp && rng.random(),
        forward: pick(rng, ForwardMode::ALL),
        group: some(rng, |rng| rng.random::<NonZeroU32>()),
        mss_clamp: match rng.random_range(0..3) {
            0 => MssClamp::Off,
            1 => MssClamp::Auto,
            _ => MssClamp::Fixed(rng.random_range(28..=u16::MAX)),
        },
        no_server: pick(rng, NoServerReply::ALL),
        timeouts: some(rng, timeouts),
        policy: FlowPolicy {
            expire_nodest: rng.random(),
            expire_quiescent_template: rng.random(),
            conn_reuse: pick(rng, ConnReuse::ALL),
            sloppy_tcp: rng.random(),
        },
        vlan: some(rng, vlan),
        passive_check: rng.random(),
    }
}

fn tunnel(rng: &mut SmallRng) -> Tunnel {
    match pick(rng, TunnelKind::ALL) {
        TunnelKind::Ipip => Tunnel::Ipip,
        TunnelKind::Gre => Tunnel::Gre {
            checksum: pick(rng, &[TunnelChecksum::None, TunnelChecksum::Full]),
        },
        TunnelKind::Gue => Tunnel::Gue {
            port: rng.random_range(1..=u16::MAX),
            checksum: pick(rng, TunnelChecksum::ALL),
        },
        TunnelKind::Vxlan => Tunnel::Vxlan {
            port: rng.random_range(1..=u16::MAX),
            vni: rng.random_range(0..1 << 24),
            inner_mac: mac(rng),
        },
    }
}

fn backend(rng: &mut SmallRng) -> Backend {
    let service = service_key(rng);
    let v4 = service.address.is_ipv4();
    let (forward, v4, same_port) = match pick(rng, ForwardMode::ALL) {
        ForwardMode::Dr => (Forward::Dr, v4, true),
        ForwardMode::Nat => (Forward::Nat, v4, false),
        ForwardMode::FullNat => (Forward::FullNat, rng.random(), false),
        ForwardMode::Tunnel => (Forward::Tunnel(tunnel(rng)), rng.random(), true),
    };
    let port = if same_port { service.port } else { rng.random() };
    let tunneled = forward.mode() == ForwardMode::Tunnel;
    Backend {
        service,
        key: BackendKey {
            address: address_of(rng, v4),
            port,
        },
        weight: rng.random(),
        forward,
        upper_threshold: rng.random(),
        lower_threshold: rng.random(),
        drain: rng.random(),
        vlan: some(rng, vlan),
        tunnel_source: some(rng, |rng| address_of(rng, v4)).filter(|_| tunneled),
        path_mtu: some(rng, |rng| rng.random_range(68..=u16::MAX)),
    }
}

fn local_address_key(rng: &mut SmallRng) -> LocalAddressKey {
    LocalAddressKey {
        address: address(rng),
        service: some(rng, service_key),
    }
}

fn prefix(rng: &mut SmallRng) -> Prefix {
    let address = address(rng);
    let len = rng.random_range(0..=address_bits(address));
    Prefix::containing(address, len).expect("in range")
}

fn gateway(rng: &mut SmallRng, v4: bool) -> Gateway {
    let via = some(rng, |rng| address_of(rng, v4));
    let port = if via.is_none() {
        Some(port(rng))
    } else {
        some(rng, port)
    };
    Gateway {
        via,
        port,
        vlan: some(rng, vlan),
        weight: rng.random_range(1..=u8::MAX),
    }
}

fn neighbor_key(rng: &mut SmallRng) -> NeighborKey {
    NeighborKey {
        address: address(rng),
        port: some(rng, port),
        vlan: some(rng, vlan),
    }
}

fn text(rng: &mut SmallRng) -> Text {
    let len = rng.random_range(0..100);
    let text: String = (0..len)
        .map(|_| pick(rng, &['a', 'ß', '中', '\n', '"', ' ', '🦀']))
        .collect();
    text.into()
}

/// Any command.
pub(crate) fn command(rng: &mut SmallRng) -> Command {
    match rng.random_range(0..14) {
        0 => Command::UpsertVip(Vip {
            address: address(rng),
            port: some(rng, port),
            vlan: some(rng, vlan),
            owned: rng.random(),
            echo: rng.random(),
            shared: rng.random(),
            keep: rng.random(),
            mac: some(rng, mac),
            peer: some(rng, address),
            relay_ms: rng.random(),
        }),
        1 => Command::DeleteVip(address(rng)),
        2 => Command::UpsertService(service(rng)),
        3 => Command::DeleteService(service_key(rng)),
        4 => Command::UpsertBackend(backend(rng)),
        5 => Command::DeleteBackend(
            service_key(rng),
            BackendKey {
                address: address(rng),
                port: rng.random(),
            },
        ),
        6 => {
            let (a, b) = (rng.random_range(1..=u16::MAX), rng.random_range(1..=u16::MAX));
            Command::UpsertLocalAddress(LocalAddress {
                key: local_address_key(rng),
                port: some(rng, port),
                vlan: some(rng, vlan),
                source_port_min: a.min(b),
                source_port_max: a.max(b),
            })
        }
        7 => Command::DeleteLocalAddress(local_address_key(rng)),
        8 => {
            let to = prefix(rng);
            let count = rng.random_range(1..=GATEWAYS_MAX);
            Command::UpsertRoute(Route {
                to,
                gateways: (0..count).map(|_| gateway(rng, to.address().is_ipv4())).collect(),
                mtu: some(rng, |rng| rng.random_range(68..=u16::MAX)),
            })
        }
        9 => Command::DeleteRoute(prefix(rng)),
        10 => Command::UpsertNeighbor(Neighbor {
            key: neighbor_key(rng),
            mac: mac(rng),
        }),
        11 => Command::DeleteNeighbor(neighbor_key(rng)),
        12 => Command::Timeouts(timeouts(rng)),
        _ => Command::Announce(address(rng)),
    }
}

/// Any message of the command ring.
pub(crate) fn message(rng: &mut SmallRng) -> Message {
    let record = match rng.random_range(0..10) {
        0 => Record::Begin { full: rng.random() },
        1 => Record::Commit {
            commands: rng.random(),
        },
        _ => Record::Command(command(rng)),
    };
    Message {
        generation: rng.random(),
        index: rng.random(),
        record,
    }
}

/// Any event.
pub(crate) fn event(rng: &mut SmallRng) -> Event {
    let backend = BackendKey {
        address: address(rng),
        port: rng.random(),
    };
    match rng.random_range(0..11) {
        0 => Event::Published {
            generation: rng.random(),
            commands: rng.random(),
            services: rng.random(),
            backends: rng.random(),
        },
        1 => Event::Refused {
            generation: rng.random(),
            record_index: some(rng, Rng::random),
            reason: pick(rng, RefuseReason::ALL),
            detail: text(rng),
        },
        2 => Event::NeighborChanged {
            neighbor: neighbor_key(rng),
            state: pick(rng, NeighborState::ALL),
            mac: some(rng, mac),
        },
        3 => Event::WorkerPanicked {
            worker: rng.random(),
            message: text(rng),
        },
        4 => Event::AddressConflict {
            address: address(rng),
            mac: mac(rng),
            port: port(rng),
            vlan: some(rng, vlan),
        },
        5 => Event::BackendPassive {
            service: service_key(rng),
            backend,
            sign: pick(rng, PassiveSign::ALL),
        },
        6 => Event::BackendDrained {
            service: service_key(rng),
            backend,
        },
        7 => Event::LinkChanged {
            port: port(rng),
            up: rng.random(),
            speed_mbps: rng.random(),
            full_duplex: rng.random(),
        },
        8 => Event::LocalPortsExhausted {
            service: service_key(rng),
            refused: rng.random(),
        },
        9 => Event::FlowTableFull {
            worker: rng.random(),
            flows_max: rng.random(),
        },
        _ => Event::Lost { events: rng.random() },
    }
}
