//! Tables under change: transactions whole or not at all, slots that stay, flows that do not move.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use weir_dataplane::Verdict;
use weir_dataplane::tables::Limits;
use weir_rings::message::{
    BackendKey, Command, Forward, Protocol, RefuseReason, SchedulerKind, Service, Tunnel,
};

use crate::support::frame::{ACK, Frame, SYN};
use crate::support::*;

fn slots(world: &World) -> BTreeMap<String, u32> {
    world
        .reader
        .backend_slots()
        .map(|(slot, owner)| (format!("{} {}", owner.service_slot, owner.key), slot))
        .collect()
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let mut world = World::new(Setup::default());
    let web = service(Protocol::Tcp, "192.0.2.100", 80);
    world
        .commit(&with_backends(&web, &[("192.0.2.11", 80)], Forward::Dr))
        .unwrap();
    let before = slots(&world);
    let added = backend(&web, "192.0.2.12", 80, Forward::Dr);
    let stranger = service(Protocol::Tcp, "192.0.2.100", 99);
    let wrong_family = backend(&web, "2001:db8:1::11", 80, Forward::Nat);
    let cases = [
        (
            Command::UpsertBackend(backend(&stranger, "192.0.2.12", 80, Forward::Dr)),
            RefuseReason::UnknownService,
        ),
        (Command::DeleteService(stranger.key), RefuseReason::UnknownService),
        (
            Command::DeleteBackend(
                web.key,
                BackendKey {
                    address: ip("192.0.2.99"),
                    port: 80,
                },
            ),
            RefuseReason::UnknownBackend,
        ),
        (Command::DeleteVip(ip("192.0.2.55")), RefuseReason::UnknownVip),
        (Command::UpsertBackend(wrong_family), RefuseReason::Conflict),
    ];
    for full in [false, true] {
        for (bad, reason) in &cases {
            let mut commands = if full {
                with_backends(&web, &[("192.0.2.13", 80)], Forward::Dr)
            } else {
                Vec::new()
            };
            commands.extend([Command::UpsertBackend(added), bad.clone()]);
            let refusal = world.transact(full, &commands).unwrap_err();
            assert_eq!(refusal.reason, *reason, "{refusal}");
            assert_eq!(slots(&world), before);
        }
    }
    let out = world.send(LAN, &Frame::tcp("203.0.113.7:1", "192.0.2.100:80", SYN).bytes());
    assert_eq!(out.frame[..6], mac_of(ip("192.0.2.11")));
    world.commit(&[Command::UpsertBackend(added)]).unwrap();
    assert_eq!(slots(&world).len(), 2);
}

#[test]
fn tables_that_are_full_refuse_with_the_setting_to_raise() {
    let mut world = World::new(Setup {
        limits: Limits {
            services: 2,
            backends: 3,
            hops: 16,
        },
        ..Setup::default()
    });
    let web = |port| service(Protocol::Tcp, "192.0.2.100", port);
    world
        .commit(&with_backends(
            &web(80),
            &[("192.0.2.11", 80), ("192.0.2.12", 80)],
            Forward::Dr,
        ))
        .unwrap();
    let refusal = world
        .commit(&with_backends(
            &web(81),
            &[("192.0.2.11", 80), ("192.0.2.12", 80)],
            Forward::Dr,
        ))
        .unwrap_err();
    assert_eq!(refusal.reason, RefuseReason::TableFull);
    assert!(refusal.detail.contains("backends_max"), "{refusal}");
    world
        .commit(&with_backends(&web(81), &[("192.0.2.11", 80)], Forward::Dr))
        .unwrap();
    let refusal = world.commit(&[Command::UpsertService(web(82))]).unwrap_err();
    assert!(refusal.detail.contains("services_max"), "{refusal}");
    // A slot whose flow lives is not given to another server; once idle it is.
    world.send(LAN, &Frame::tcp("203.0.113.7:1", "192.0.2.100:81", SYN).bytes());
    world
        .commit(&[Command::DeleteBackend(
            web(81).key,
            BackendKey {
                address: ip("192.0.2.11"),
                port: 80,
            },
        )])
        .unwrap();
    let other = Command::UpsertBackend(backend(&web(81), "192.0.2.13", 80, Forward::Dr));
    assert_eq!(
        world.commit(std::slice::from_ref(&other)).unwrap_err().reason,
        RefuseReason::TableFull
    );
    world.advance(weir_proto::time::Duration::from_secs(1_000));
    world.commit(&[other]).unwrap();
    assert_eq!(
        world.counters().get("192.0.2.13:80.connections"),
        None,
        "the new owner starts from zero"
    );
}

#[test]
fn a_full_resync_keeps_slots_flows_and_cursors() {
    let mut world = World::new(Setup::default());
    let web = service(Protocol::Tcp, "192.0.2.100", 80);
    let servers = [("192.0.2.11", 80), ("192.0.2.12", 80), ("192.0.2.13", 80)];
    world.commit(&with_backends(&web, &servers, Forward::Dr)).unwrap();
    let vip = Command::UpsertVip(weir_rings::message::Vip::owned(ip("192.0.2.100")));
    let send = |world: &mut World, port: u16, flags| {
        let out = world.send(
            LAN,
            &Frame::tcp(&format!("203.0.113.7:{port}"), "192.0.2.100:80", flags).bytes(),
        );
        (out.verdict, out.frame[..6].to_vec())
    };
    let first: Vec<_> = (0..4).map(|port| send(&mut world, port, SYN)).collect();
    let before = slots(&world);
    let mut commands = vec![vip.clone()];
    commands.extend(with_backends(&web, &servers, Forward::Dr));
    world.transact(true, &commands).unwrap();
    assert_eq!(slots(&world), before);
    for (port, expected) in (0..).zip(&first) {
        assert_eq!(&send(&mut world, port, ACK), expected);
    }
    assert_eq!(
        send(&mut world, 10, SYN).1,
        mac_of(ip("192.0.2.12")),
        "round robin goes on where it was"
    );
    // What is not mentioned goes.
    let mut commands = vec![vip];
    commands.extend(with_backends(&web, &servers[..2], Forward::Dr));
    world.transact(true, &commands).unwrap();
    assert_eq!(slots(&world).len(), 2);
    assert_eq!(send(&mut world, 0, ACK), first[0]);
}

#[derive(Debug, Clone)]
struct Live {
    client: String,
    to: String,
    mac: Vec<u8>,
    service: u16,
    server: String,
}

/// Random changes under traffic: flows whose server stays never move, none goes to a server it should not, and every
/// packet is accounted for.
#[test]
fn ten_thousand_changes_under_traffic() {
    let seed = seed(7);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(Setup {
        workers: 2,
        ..Setup::default()
    });
    let kinds = [
        SchedulerKind::Rr,
        SchedulerKind::Wrr,
        SchedulerKind::Wlc,
        SchedulerKind::Sh,
        SchedulerKind::Maglev,
    ];
    let forwards = [Forward::Dr, Forward::Nat, Forward::Tunnel(Tunnel::Ipip)];
    let mut model: BTreeMap<u16, (Service, BTreeMap<String, Forward>)> = BTreeMap::new();
    let mut flows: Vec<Live> = Vec::new();
    for step in 0..10_000u32 {
        let port = rng.random_range(80..90);
        let server = format!("192.0.2.{}", rng.random_range(11..19));
        let command = match (rng.random_range(0..10), model.get_mut(&port)) {
            (0, Some(_)) => {
                let (service, _) = model.remove(&port).unwrap();
                Command::DeleteService(service.key)
            }
            (1..=3, Some((service, servers))) if servers.contains_key(&server) => {
                servers.remove(&server);
                Command::DeleteBackend(
                    service.key,
                    BackendKey {
                        address: ip(&server),
                        port: 80,
                    },
                )
            }
            (_, Some((service, servers))) => {
                let forward = *servers
                    .entry(server.clone())
                    .or_insert_with(|| *forwards.choose(&mut rng).unwrap());
                let mut backend = backend(service, &server, 80, forward);
                backend.weight = rng.random_range(0..4);
                Command::UpsertBackend(backend)
            }
            (_, None) => {
                let mut service = service(Protocol::Tcp, "192.0.2.100", port);
                service.scheduler.kind = *kinds.choose(&mut rng).unwrap();
                model.insert(port, (service, BTreeMap::new()));
                Command::UpsertService(service)
            }
        };
        world
            .commit(&[command])
            .unwrap_or_else(|error| panic!("seed {seed}, step {step}: {error}"));
        let to = format!("192.0.2.100:{port}");
        let client = format!("203.0.113.{}:{}", step % 250, 1024 + step % 60_000);
        let out = world.send(LAN, &Frame::tcp(&client, &to, SYN).bytes());
        if let Verdict::Tx(_) = out.verdict {
            let mac = out.frame[..6].to_vec();
            let (_, servers) = &model[&port];
            let server = servers.keys().find(|server| mac_of(ip(server))[..] == mac[..]);
            let server = server
                .unwrap_or_else(|| panic!("seed {seed}, step {step}: sent to a server that is not there"))
                .clone();
            flows.push(Live {
                client,
                to,
                mac,
                service: port,
                server,
            });
        }
        for _ in 0..2 {
            let Some(flow) = flows.choose(&mut rng) else {
                continue;
            };
            let out = world.send(LAN, &Frame::tcp(&flow.client, &flow.to, ACK).bytes());
            let alive = model
                .get(&flow.service)
                .is_some_and(|(_, servers)| servers.contains_key(&flow.server));
            if alive {
                assert_eq!(
                    out.verdict,
                    Verdict::Tx(LAN),
                    "seed {seed}, step {step}: {flow:?}"
                );
                assert_eq!(
                    out.frame[..6],
                    flow.mac[..],
                    "seed {seed}, step {step}: the flow moved"
                );
            } else {
                assert!(
                    matches!(out.verdict, Verdict::Drop(_)),
                    "seed {seed}, step {step}: {flow:?}"
                );
            }
        }
        if step % 500 == 0 {
            world.assert_conserved();
            flows.clear();
            world.advance(weir_proto::time::Duration::from_secs(2_000));
        }
    }
    world.assert_conserved();
}
