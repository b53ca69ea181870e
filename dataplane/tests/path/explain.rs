//! What explain says is what the next packet experiences, under the same names.

use weir_dataplane::explain::Question;
use weir_dataplane::{DropReason, PuntReason, Verdict};
use weir_rings::message::{Command, Forward, NoServerReply, Protocol, Tunnel, Vip};

use crate::support::frame::{Frame, SYN};
use crate::support::*;

fn ask(world: &mut World, source: &str, destination: &str) -> weir_rings::query::Explanation {
    let question = Question {
        protocol: Protocol::Tcp,
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
