//! What is counted of a server's answers: by mode and protocol, only what says something.

use crate::support::frame::{ACK, FIN, Frame, RST, SYN, Transport, icmp};
use crate::support::*;
use weir_rings::message::{Forward, Protocol, Tunnel};

/// Client, virtual address, server of both families.
const ENDS: [[&str; 3]; 2] = [
    ["203.0.113.7:40000", "192.0.2.100:80", "198.51.100.11:80"],
    [
        "[2001:db8:9::7]:40000",
        "[2001:db8:1::100]:80",
        "[2001:db8:2::11]:80",
    ],
];

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A segment from the client, with these flags.
    Client(u8),
    /// One from the server.
    Server(u8),
    /// A datagram from the client, and one from the server.
    Ask,
    Reply,
    /// An ICMP error from the server, quoting the last packet it was sent; or from a router before it.
    Unreachable,
    RouterUnreachable,
}
use Step::{Ask, Client, Reply, RouterUnreachable, Server, Unreachable};

fn world(forward: Forward) -> World {
    let mut world = World::new(Setup::default());
    let mut commands = Vec::new();
    for [_, virt, server] in ENDS {
        let (virt, server): (std::net::SocketAddr, std::net::SocketAddr) =
            (virt.parse().unwrap(), server.parse().unwrap());
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let service = service(protocol, &virt.ip().to_string(), 80);
            commands.extend(with_backends(
                &service,
                &[(&server.ip().to_string(), 80)],
                forward,
            ));
        }
    }
    world.commit(&commands).unwrap();
    world
}

/// Plays the steps; gives what was counted: answered, refused.
fn played(forward: Forward, [client, virt, server]: [&str; 3], steps: &[Step]) -> (u64, u64) {
    let mut world = world(forward);
    let server_ip = server.parse::<std::net::SocketAddr>().unwrap().ip();
    let tunnel = matches!(forward, Forward::Tunnel(_));
    let (router, own) = match server_ip.is_ipv4() {
        true => ("198.51.100.254", "198.51.100.2"),
        false => ("2001:db8:2::fe", "2001:db8:2::2"),
    };
    let mut sent = Vec::new();
    for step in steps {
        let out = match step {
            Client(flags) => world.send(LAN, &Frame::tcp(client, virt, *flags).bytes()),
            Ask => {
                let frame = Frame::tcp(client, virt, 0).with(|f| f.transport = Transport::Udp);
                world.send(LAN, &frame.bytes())
            }
            Server(flags) => {
                let frame = Frame::tcp(server, client, *flags).macs(BACK_MAC, mac_of(server_ip));
                world.send(BACK, &frame.bytes())
            }
            Reply => {
                let frame = Frame::tcp(server, client, 0).with(|f| f.transport = Transport::Udp);
                world.send(BACK, &frame.macs(BACK_MAC, mac_of(server_ip)).bytes())
            }
            Unreachable | RouterUnreachable => {
                let from = match step {
                    RouterUnreachable => ip(router),
                    _ => server_ip,
                };
                // To whom the packet's source was: the client, or our end of the tunnel.
                let to = match tunnel {
                    true => ip(own),
                    false => client.parse::<std::net::SocketAddr>().unwrap().ip(),
                };
                let (kind, code) = match (server_ip.is_ipv4(), tunnel) {
                    (true, true) => (3, 2),
                    (true, false) => (3, 3),
                    (false, true) => (4, 1),
                    (false, false) => (1, 4),
                };
                world.send(BACK, &icmp(BACK_MAC, from, to, 60, kind, code, [0; 4], &sent))
            }
        };
        if matches!(step, Client(_) | Ask) {
            sent = out.frame[14..].to_vec();
        }
    }
    world.assert_conserved();
    let counters = world.counters();
    let sum = |name: &str| {
        let named = counters.iter().filter(|(key, _)| key.ends_with(name));
        named.map(|(_, value)| value).sum::<u64>()
    };
    (sum(".answered"), sum(".refused"))
}

#[test]
fn only_what_says_something_is_counted() {
    let tunnel = Forward::Tunnel(Tunnel::Ipip);
    let table: &[(Forward, &[Step], (u64, u64), &str)] = &[
        (Forward::Nat, &[Client(SYN)], (0, 0), "nothing came"),
        (
            Forward::Nat,
            &[Client(SYN), Server(SYN | ACK), Client(ACK), Server(ACK)],
            (1, 0),
            "a handshake",
        ),
        (
            Forward::Nat,
            &[Client(SYN), Client(ACK)],
            (0, 0),
            "a client that pretends",
        ),
        (Forward::Nat, &[Client(SYN), Server(RST | ACK)], (0, 1), "refused"),
        (
            Forward::Nat,
            &[Client(SYN), Server(SYN | ACK), Client(ACK), Server(RST)],
            (1, 0),
            "reset later",
        ),
        (
            Forward::Nat,
            &[Client(SYN), Unreachable],
            (0, 1),
            "rejected by ICMP",
        ),
        (
            Forward::Nat,
            &[Client(SYN), RouterUnreachable],
            (0, 0),
            "a router is not the server",
        ),
        (Forward::Nat, &[Ask, Ask], (0, 0), "datagrams without a reply"),
        (Forward::Nat, &[Ask, Reply, Reply, Ask, Reply], (1, 0), "one flow"),
        (Forward::Nat, &[Ask, Unreachable], (0, 1), "port unreachable"),
        (
            Forward::Dr,
            &[Client(SYN), Client(SYN)],
            (0, 0),
            "a client that waits",
        ),
        (
            Forward::Dr,
            &[Client(SYN), Client(ACK), Client(ACK), Client(FIN | ACK)],
            (1, 0),
            "a client that goes on",
        ),
        (
            Forward::Dr,
            &[Client(SYN), Client(RST)],
            (1, 0),
            "somebody got a SYN-ACK he had not asked for",
        ),
        (Forward::Dr, &[Ask, Ask], (0, 0), "nothing is seen of UDP"),
        (tunnel, &[Client(SYN), Client(ACK)], (1, 0), "as with DR"),
        (
            tunnel,
            &[Client(SYN), Unreachable],
            (0, 1),
            "it has no such tunnel",
        ),
        (
            tunnel,
            &[Client(SYN), RouterUnreachable],
            (0, 0),
            "a router has none, and need not",
        ),
        (tunnel, &[Ask, Unreachable], (0, 1), "nor for datagrams"),
    ];
    for (forward, steps, expected, what) in table {
        for ends in ENDS {
            assert_eq!(
                played(*forward, ends, steps),
                *expected,
                "{forward:?} {what}: {ends:?}"
            );
        }
    }
}
