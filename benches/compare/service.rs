//! What the measured dataplane is told: one virtual address, a hundred servers, everything resolved.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;
use weir_rings::message::{
    Backend, BackendKey, Command, Forward, Gateway, Mac, Neighbor, NeighborKey, Prefix, Protocol, Route,
    SchedulerKind, Service, ServiceKey, Timeouts, Tunnel, Vip,
};

use super::capture::{SERVICE_PORT, VIP};

/// Servers of a service: as many as in the XDP paper's measurement of Katran.
pub(crate) const SERVERS: u8 = 100;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The modes that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Direct routing.
    Dr,
    /// IP in IP.
    Ipip,
    /// Destination NAT.
    Nat,
}

impl Mode {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Dr, Self::Ipip, Self::Nat];

    /// For tables.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Dr => "DR",
            Self::Ipip => "IPIP",
            Self::Nat => "NAT",
        }
    }

    /// For the rings.
    pub(crate) const fn forward(self) -> Forward {
        match self {
            Self::Dr => Forward::Dr,
            Self::Ipip => Forward::Tunnel(Tunnel::Ipip),
            Self::Nat => Forward::Nat,
        }
    }
}

/// Networks of the ports that bring traffic.
pub(crate) const NETWORKS: [&str; 2] = ["192.0.2", "198.51.100"];

/// Server `number` of [`SERVERS`]: 192.0.2.101 and on.
pub(crate) const fn server(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 101 + number)
}

/// The same behind the second port: 198.51.100.101 and on.
const fn second_server(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 101 + number)
}

/// The service on `port` of the virtual address.
pub(crate) const fn key(port: u16) -> ServiceKey {
    ServiceKey {
        protocol: Protocol::Tcp,
        address: IpAddr::V4(VIP),
        port,
    }
}

/// No flow ends during a run by itself.
const fn long_timeouts() -> Timeouts {
    const HOUR_S: u32 = 3600;
    Timeouts {
        none_s: HOUR_S,
        established_s: HOUR_S,
        syn_sent_s: HOUR_S,
        syn_recv_s: HOUR_S,
        fin_wait_s: HOUR_S,
        time_wait_s: HOUR_S,
        close_s: HOUR_S,
        close_wait_s: HOUR_S,
        last_ack_s: HOUR_S,
        listen_s: HOUR_S,
        synack_s: HOUR_S,
        last_s: HOUR_S,
        udp_s: HOUR_S,
        new_s: HOUR_S,
    }
}

/// The service on `port`, and its servers: those of these numbers.
pub(crate) fn service(port: u16, mode: Mode, servers: impl Iterator<Item = u8>) -> Vec<Command> {
    service_of(port, mode, servers.map(server))
}

fn service_of(port: u16, mode: Mode, servers: impl Iterator<Item = Ipv4Addr>) -> Vec<Command> {
    let mut service = Service::new(key(port), SchedulerKind::Rr, mode.forward().mode());
    service.timeouts = Some(long_timeouts());
    let backend = |server: Ipv4Addr| {
        let key_of = BackendKey {
            address: server.into(),
            port,
        };
        Command::UpsertBackend(Backend::new(key(port), key_of, mode.forward()))
    };
    core::iter::once(Command::UpsertService(service))
        .chain(servers.map(backend))
        .collect()
}

/// The address, the way to clients, and the MAC of everybody.
pub(crate) fn network() -> Vec<Command> {
    let mut commands = vec![
        Command::UpsertVip(Vip::owned(VIP.into())),
        Command::UpsertRoute(Route {
            to: Prefix::new(Ipv4Addr::UNSPECIFIED.into(), 0).expect("a prefix of no bits"),
            gateways: vec![Gateway {
                via: Some(GATEWAY.into()),
                port: None,
                vlan: None,
                weight: 1,
            }],
            mtu: None,
        }),
        neighbor(GATEWAY, [2, 0, 0, 0, 0, 1]),
    ];
    commands.extend((0..SERVERS).map(|number| neighbor(server(number), [2, 0, 0, 0, 1, number])));
    commands
}

fn neighbor(address: Ipv4Addr, mac: Mac) -> Command {
    let key = NeighborKey {
        address: address.into(),
        port: None,
        vlan: None,
    };
    Command::UpsertNeighbor(Neighbor { key, mac })
}

/// Everything for one mode.
pub(crate) fn commands(mode: Mode) -> Vec<Command> {
    let mut commands = network();
    commands.extend(service(SERVICE_PORT, mode, 0..SERVERS));
    commands
}

/// Everything for DR by two ports, each with a service of its own.
pub(crate) fn commands_by_two_ports() -> Vec<Command> {
    let mut commands = commands(Mode::Dr);
    commands.extend((0..SERVERS).map(|number| neighbor(second_server(number), [2, 0, 0, 0, 2, number])));
    let servers = (0..SERVERS).map(second_server);
    commands.extend(service_of(SERVICE_PORT + 1, Mode::Dr, servers));
    commands
}
