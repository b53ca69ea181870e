//! What explain says is what the next packet experiences, under the same names.

use weir_dataplane::explain::Question;
use weir_dataplane::{DropReason, PuntReason, Verdict};
use weir_proto::time::Duration;
use weir_rings::message::{Command, Forward, NoServerReply, Protocol, SchedulerKind, Service, Tunnel, Vip};

use crate::support::frame::{ACK, FIN, Frame, SYN, Transport};
use crate::support::*;

fn ask(world: &mut World, source: &str, destination: &str) -> weir_rings::query::Explanation {
    ask_about(world, Protocol::Tcp, source, destination)
}

fn ask_about(
    world: &mut World,
    protocol: Protocol,
    source: &str,
    destination: &str,
) -> weir_rings::query::Explanation {
    let question = Question {
        protocol,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        port: Some(LAN),
    };
    let now = world.now;
    world.paths[0].explain(now, &question)
}

#[test]
fn the_answer_is_what_the_next_packet_gets() {
    let mut world = World::new(Setup::default());
    let mut away = Vip::owned(ip("192.0.2.101"));
    away.owned = false;
    let mut commands = vec![Command::UpsertVip(away), local("198.51.100.200", 1024, 65535)];
    let servers = [("198.51.100.11", 80), ("198.51.100.12", 80)];
    for (port, forward) in [
        (80, Forward::Dr),
        (81, Forward::Nat),
        (82, Forward::FullNat),
        (83, Forward::Tunnel(Tunnel::Ipip)),
    ] {
        commands.extend(with_backends(
            &service(Protocol::Tcp, "192.0.2.100", port),
            &servers,
            forward,
        ));
    }
    commands.push(Command::UpsertService(service(Protocol::Tcp, "192.0.2.100", 84)));
    commands.extend(with_backends(
        &service(Protocol::Tcp, "192.0.2.101", 80),
        &servers,
        Forward::Dr,
    ));
    commands.extend(with_backends(
        &service(Protocol::Tcp, "192.0.2.100", 85),
        &[("203.0.113.50", 80)],
        Forward::Dr,
    ));
    world.commit(&commands).unwrap();
    for round in 0..3 {
        for to in [
            "192.0.2.100:80",
            "192.0.2.100:81",
            "192.0.2.100:82",
            "192.0.2.100:83",
            "192.0.2.100:84",
            "192.0.2.100:85",
            "192.0.2.100:99",
            "192.0.2.101:80",
            "192.0.2.2:22",
            "203.0.113.80:80",
        ] {
            let from = format!("203.0.113.7:{}", 1000 + round);
            for again in 0..2 {
                let before = world.counters();
                let said = ask(&mut world, &from, to);
                assert!(world.moved(&before).is_empty(), "asking leaves no trace");
                let out = world.send(LAN, &Frame::tcp(&from, to, SYN).bytes());
                let (kind, reason) = match out.verdict {
                    Verdict::Tx(_) => ("tx", None),
                    Verdict::Punt(reason) => ("punt", Some(reason.name())),
                    Verdict::Drop(reason) => ("drop", Some(reason.name())),
                    Verdict::Steer(_) => ("steer", None),
                };
                assert_eq!(
                    (said.verdict.as_str(), said.reason.as_deref()),
                    (kind, reason),
                    "{to} {said:?}"
                );
                if kind == "tx" {
                    let hop = said.steps.iter().find(|step| step.stage == "next-hop").unwrap();
                    let mac = weir_wire::MacAddr(out.frame[..6].try_into().unwrap());
                    assert_eq!(hop.found, mac.to_string(), "{to}, known flow: {again}");
                }
            }
        }
    }
    let json = serde_json::to_value(ask(&mut world, "203.0.113.7:1", "192.0.2.100:84")).unwrap();
    assert_eq!(json["reason"], DropReason::NoServer.name());
    assert_eq!(json["hint"], DropReason::NoServer.hint());
    assert_eq!(
        ask(&mut world, "203.0.113.7:1", "192.0.2.2:1").reason.as_deref(),
        Some(PuntReason::Host.name())
    );
}

#[test]
fn a_refusal_is_foretold() {
    let mut world = World::new(Setup::default());
    let mut empty = service(Protocol::Tcp, "192.0.2.100", 84);
    empty.no_server = NoServerReply::Reject;
    world.commit(&[Command::UpsertService(empty)]).unwrap();
    let (from, to) = ("203.0.113.7:1000", "192.0.2.100:84");
    let said = ask(&mut world, from, to);
    let out = world.send(LAN, &Frame::tcp(from, to, SYN).bytes());
    assert!(matches!(out.verdict, Verdict::Tx(_)), "{out:?}");
    assert_eq!((said.verdict.as_str(), said.reason), ("tx", None));
    let last = said.steps.last().unwrap();
    assert_eq!(
        (last.stage.as_str(), last.found.contains("TCP reset")),
        ("answer", true),
        "{last:?}"
    );
}

const CLIENT: &str = "203.0.113.7:1000";
const SERVERS: [(&str, u16); 3] = [
    ("198.51.100.11", 80),
    ("198.51.100.12", 80),
    ("198.51.100.13", 80),
];

/// Asks, sends, and compares: verdict, reason, and the server; of FULLNAT the local address and port too. What was said.
fn holds(world: &mut World, frame: &Frame) -> weir_rings::query::Explanation {
    let protocol = if matches!(frame.transport, Transport::Tcp(_)) {
        Protocol::Tcp
    } else {
        Protocol::Udp
    };
    let before = world.counters();
    let said = ask_about(world, protocol, &frame.src.to_string(), &frame.dst.to_string());
    assert!(world.moved(&before).is_empty(), "asking leaves no trace");
    let out = world.send(LAN, &frame.bytes());
    let (kind, reason) = match out.verdict {
        Verdict::Tx(_) => ("tx", None),
        Verdict::Punt(reason) => ("punt", Some(reason.name())),
        Verdict::Drop(reason) => ("drop", Some(reason.name())),
        Verdict::Steer(_) => ("steer", None),
    };
    assert_eq!(
        (said.verdict.as_str(), said.reason.as_deref()),
        (kind, reason),
        "{said:?}"
    );
    let step = |stage: &str| said.steps.iter().find(|step| step.stage == stage);
    if let (Some(hop), Verdict::Tx(_), None) = (step("next-hop"), out.verdict, step("answer")) {
        let mac = weir_wire::MacAddr(out.frame[..6].try_into().unwrap());
        assert_eq!(hop.found, mac.to_string(), "{said:?}");
        let rewrite = step("rewrite").unwrap();
        if let Some((local, _)) = rewrite
            .found
            .split_once(" to ")
            .filter(|(l, _)| l.starts_with("198.51.100.200"))
        {
            let port = u16::from_be_bytes([out.frame[34], out.frame[35]]);
            assert_eq!(local, format!("198.51.100.200:{port}"));
        }
    }
    said
}

fn small_world(flows_max: usize) -> World {
    let mut setup = Setup::default();
    setup.settings.flows_max_v4 = flows_max;
    let mut world = World::new(setup);
    world.commit(&[local("198.51.100.200", 1024, 65535)]).unwrap();
    world
}

fn add(world: &mut World, service: &Service, forward: Forward) {
    world.commit(&with_backends(service, &SERVERS, forward)).unwrap();
}

fn without_first(service: &Service) -> Command {
    let key = backend(service, SERVERS[0].0, SERVERS[0].1, Forward::Dr).key;
    Command::DeleteBackend(service.key, key)
}

#[test]
fn choices_by_chance_and_local_ports_are_foretold() {
    let mut world = small_world(4096);
    let (mut random, full) = (
        service(Protocol::Tcp, "192.0.2.100", 92),
        service(Protocol::Tcp, "192.0.2.100", 91),
    );
    random.scheduler.kind = SchedulerKind::Twos;
    add(&mut world, &random, Forward::Nat);
    add(&mut world, &full, Forward::FullNat);
    for port in 1000..1100 {
        for to in ["192.0.2.100:92", "192.0.2.100:91"] {
            holds(&mut world, &Frame::tcp(&format!("203.0.113.7:{port}"), to, SYN));
        }
    }
}

#[test]
fn one_packet_scheduling_is_foretold() {
    for forward in [Forward::Dr, Forward::Nat, Forward::FullNat] {
        let mut world = small_world(4096);
        let mut dns = service(Protocol::Udp, "192.0.2.100", 53);
        dns.one_packet = true;
        add(&mut world, &dns, forward);
        for _ in 0..7 {
            let said = holds(&mut world, &Frame::udp(CLIENT, "192.0.2.100:53"));
            let flow = said.steps.iter().find(|step| step.stage == "flow").unwrap();
            assert!(flow.found.starts_with("none"), "{flow:?}");
        }
    }
}

#[test]
fn what_becomes_of_a_removed_servers_flow_is_foretold() {
    for (expire, reject, ends) in [
        (false, false, "server_gone"),
        (false, true, "answered"),
        (true, false, "anew"),
        (true, true, "anew"),
    ] {
        let mut world = small_world(4096);
        let mut web = service(Protocol::Tcp, "192.0.2.100", 80);
        web.policy.expire_nodest = expire;
        if reject {
            web.no_server = NoServerReply::Reject;
        }
        add(&mut world, &web, Forward::Dr);
        let syn = Frame::tcp(CLIENT, "192.0.2.100:80", SYN);
        holds(&mut world, &syn);
        world.commit(&[without_first(&web)]).unwrap();
        let said = holds(&mut world, &syn);
        let last = said.steps.last().unwrap();
        let seen = match (said.reason.as_deref(), last.stage.as_str()) {
            (Some(reason), _) => reason,
            (None, "answer") => "answered",
            (None, _) => "anew",
        };
        assert_eq!(seen, ends, "expire {expire}, reject {reject}: {said:?}");
    }
}

#[test]
fn a_flow_that_is_started_anew_is_foretold() {
    let mut world = small_world(4096);
    let mut web = service(Protocol::Tcp, "192.0.2.100", 80);
    web.scheduler.kind = SchedulerKind::Lc;
    add(&mut world, &web, Forward::Nat);
    let client = |flags| Frame::tcp(CLIENT, "192.0.2.100:80", flags);
    holds(&mut world, &client(SYN));
    let server = |flags| Frame::tcp("198.51.100.11:80", CLIENT, flags).macs(BACK_MAC, CLIENT_MAC);
    world.send(BACK, &server(SYN | ACK).bytes());
    world.send(LAN, &client(ACK).bytes());
    world.send(BACK, &server(FIN | ACK).bytes());
    world.send(LAN, &client(FIN | ACK).bytes());
    let said = holds(&mut world, &client(SYN));
    let flow = said.steps.iter().find(|step| step.stage == "flow").unwrap();
    assert!(flow.found.contains("TIME_WAIT, started anew"), "{flow:?}");
}

#[test]
fn a_full_table_is_foretold() {
    let mut world = small_world(64);
    let mut maglev = service(Protocol::Tcp, "192.0.2.100", 81);
    maglev.scheduler.kind = SchedulerKind::Maglev;
    add(
        &mut world,
        &service(Protocol::Tcp, "192.0.2.100", 80),
        Forward::Nat,
    );
    add(&mut world, &maglev, Forward::Dr);
    for port in 0..64 {
        world.send(
            LAN,
            &Frame::tcp(&format!("203.0.113.7:{}", 1000 + port), "192.0.2.100:81", SYN).bytes(),
        );
    }
    let refused = holds(&mut world, &Frame::tcp("203.0.113.7:5000", "192.0.2.100:80", SYN));
    assert_eq!(refused.reason.as_deref(), Some("flow_table_full"));
    for port in 5000..5020 {
        let said = holds(
            &mut world,
            &Frame::tcp(&format!("203.0.113.7:{port}"), "192.0.2.100:81", SYN),
        );
        assert!(
            said.steps.iter().any(|step| step.found.contains("by hash")),
            "{said:?}"
        );
    }
    world.advance(Duration::from_secs(1000));
    let said = holds(&mut world, &Frame::tcp("203.0.113.7:5000", "192.0.2.100:80", SYN));
    assert_eq!(said.verdict, "tx");
}
