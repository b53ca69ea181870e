//! IPVS's switches: expire_nodest_conn, conn_reuse_mode, sloppy_tcp, weight 0, thresholds, revival.

use crate::support::frame::{ACK, FIN, Frame, RST, SYN};
use crate::support::*;
use weir_dataplane::shared::{Settings, Variant};
use weir_dataplane::{DropReason, FrameBuf, Packet, Verdict};
use weir_rings::message::{BackendKey, Command, ConnReuse, Forward, NoServerReply, Protocol, Service};

fn web() -> Service {
    service(Protocol::Tcp, "192.0.2.100", 80)
}

const SERVERS: [(&str, u16); 2] = [("192.0.2.11", 80), ("192.0.2.12", 80)];

fn send(world: &mut World, port: u16, flags: u8) -> (Verdict, [u8; 6]) {
    let out = world.send(
        LAN,
        &Frame::tcp(&format!("203.0.113.7:{port}"), "192.0.2.100:80", flags).bytes(),
    );
    (out.verdict, out.frame[..6].try_into().unwrap())
}

fn delete(address: &str) -> Command {
    Command::DeleteBackend(
        web().key,
        BackendKey {
            address: ip(address),
            port: 80,
        },
    )
}

#[test]
fn a_removed_servers_flows_are_dropped_or_rescheduled() {
    let mut world = World::new(Setup::default());
    world
        .commit(&with_backends(&web(), &SERVERS, Forward::Dr))
        .unwrap();
    assert_eq!(send(&mut world, 1, SYN).1, mac_of(ip("192.0.2.11")));
    world.commit(&[delete("192.0.2.11")]).unwrap();
    assert_eq!(send(&mut world, 1, ACK).0, Verdict::Drop(DropReason::ServerGone));
    // It comes back, and with it the flow.
    world
        .commit(&[Command::UpsertBackend(backend(
            &web(),
            "192.0.2.11",
            80,
            Forward::Dr,
        ))])
        .unwrap();
    assert_eq!(
        send(&mut world, 1, ACK),
        (Verdict::Tx(LAN), mac_of(ip("192.0.2.11")))
    );
    assert_eq!(
        world.counters().get("192.0.2.11:80.active"),
        Some(&1),
        "revived with its connections"
    );
    // expire_nodest_conn with sloppy_tcp: the next packet goes to a live server.
    let mut service = web();
    service.policy.expire_nodest = true;
    service.policy.sloppy_tcp = true;
    world
        .commit(&[Command::UpsertService(service), delete("192.0.2.11")])
        .unwrap();
    assert_eq!(
        send(&mut world, 1, ACK),
        (Verdict::Tx(LAN), mac_of(ip("192.0.2.12")))
    );
    // Without sloppy_tcp only a SYN starts anew.
    send(&mut world, 5, SYN);
    service.policy.sloppy_tcp = false;
    let again = Command::UpsertBackend(backend(&web(), "192.0.2.13", 80, Forward::Dr));
    world
        .commit(&[Command::UpsertService(service), again, delete("192.0.2.12")])
        .unwrap();
    for _ in 0..3 {
        // As the director's own TCP would in IPVS, and not only once: a reset can be lost.
        let out = world.send(LAN, &Frame::tcp("203.0.113.7:5", "192.0.2.100:80", ACK).bytes());
        assert_eq!((out.verdict, out.frame[47]), (Verdict::Tx(LAN), RST));
    }
    assert_eq!(
        send(&mut world, 5, RST).0,
        Verdict::Drop(DropReason::ServerGone),
        "no reset in answer to one"
    );
    assert_eq!(
        world.counters().get("192.0.2.12:80.active"),
        None,
        "such a flow is over"
    );
    assert_eq!(
        send(&mut world, 5, SYN),
        (Verdict::Tx(LAN), mac_of(ip("192.0.2.13")))
    );
    world.assert_conserved();
}

#[test]
fn a_removed_servers_flows_are_reset_where_the_service_says_so() {
    let mut world = World::new(Setup::default());
    let mut service = web();
    service.no_server = NoServerReply::Reject;
    world
        .commit(&with_backends(&service, &SERVERS, Forward::Dr))
        .unwrap();
    assert_eq!(send(&mut world, 1, SYN).1, mac_of(ip("192.0.2.11")));
    world.commit(&[delete("192.0.2.11")]).unwrap();
    let mut hears = |flags| {
        let out = world.send(LAN, &Frame::tcp("203.0.113.7:1", "192.0.2.100:80", flags).bytes());
        (out.verdict, out.frame)
    };
    let (verdict, reset) = hears(ACK);
    assert_eq!(verdict, Verdict::Tx(LAN));
    assert_eq!(
        (&reset[34..38], reset[47]),
        (&[0, 80, 0, 1][..], RST),
        "from the service to the client"
    );
    assert_eq!(
        hears(RST).0,
        Verdict::Drop(DropReason::ServerGone),
        "no reset in answer to one"
    );
    world.assert_conserved();
}

#[test]
fn weight_zero_takes_no_new_flows_and_keeps_the_old() {
    let mut world = World::new(Setup::default());
    world
        .commit(&with_backends(&web(), &SERVERS, Forward::Dr))
        .unwrap();
    assert_eq!(send(&mut world, 1, SYN).1, mac_of(ip("192.0.2.11")));
    let mut quiet = backend(&web(), "192.0.2.11", 80, Forward::Dr);
    quiet.weight = 0;
    world.commit(&[Command::UpsertBackend(quiet)]).unwrap();
    for port in 2..10 {
        assert_eq!(send(&mut world, port, SYN).1, mac_of(ip("192.0.2.12")));
    }
    assert_eq!(
        send(&mut world, 1, ACK),
        (Verdict::Tx(LAN), mac_of(ip("192.0.2.11")))
    );
    let mut drained = backend(&web(), "192.0.2.12", 80, Forward::Dr);
    drained.drain = true;
    world.commit(&[Command::UpsertBackend(drained)]).unwrap();
    assert_eq!(send(&mut world, 20, SYN).0, Verdict::Drop(DropReason::NoServer));
}

#[test]
fn with_expire_nodest_a_server_of_weight_zero_gets_no_syn() {
    for (expire, server) in [(false, "192.0.2.11"), (true, "192.0.2.12")] {
        let mut world = World::new(Setup::default());
        let mut service = web();
        service.policy.expire_nodest = expire;
        world
            .commit(&with_backends(&service, &SERVERS, Forward::Dr))
            .unwrap();
        assert_eq!(send(&mut world, 1, SYN).1, mac_of(ip("192.0.2.11")));
        let mut quiet = backend(&service, "192.0.2.11", 80, Forward::Dr);
        quiet.weight = 0;
        world.commit(&[Command::UpsertBackend(quiet)]).unwrap();
        assert_eq!(
            send(&mut world, 1, ACK).1,
            mac_of(ip("192.0.2.11")),
            "its flow goes on"
        );
        assert_eq!(
            send(&mut world, 1, SYN).1,
            mac_of(ip(server)),
            "expire_nodest {expire}"
        );
    }
}

#[test]
fn reuse_of_a_port_follows_the_mode() {
    for (mode, expected) in [
        (ConnReuse::Off, false),
        (ConnReuse::TimeWait, false),
        (ConnReuse::FinWait, true),
    ] {
        let mut world = World::new(Setup::default());
        let mut service = web();
        service.policy.conn_reuse = mode;
        world
            .commit(&with_backends(&service, &SERVERS, Forward::Dr))
            .unwrap();
        for flags in [SYN, ACK, FIN | ACK] {
            assert_eq!(send(&mut world, 1, flags).1, mac_of(ip("192.0.2.11")));
        }
        // FIN_WAIT is the last state direct routing sees.
        let anew = send(&mut world, 1, SYN).1 == mac_of(ip("192.0.2.12"));
        assert_eq!(anew, expected, "{mode:?}");
        assert_eq!(world.counters().get("flows"), Some(&1));
    }
}

#[test]
fn two_syns_of_one_burst_reuse_a_port_once() {
    for variant in [Variant::Fast, Variant::General] {
        let default = Setup::default();
        let mut world = World::new(Setup {
            settings: Settings {
                variant,
                ..default.settings
            },
            ..default
        });
        let mut service = web();
        service.policy.conn_reuse = ConnReuse::FinWait;
        world
            .commit(&with_backends(&service, &SERVERS, Forward::Dr))
            .unwrap();
        for flags in [SYN, ACK, FIN | ACK] {
            send(&mut world, 1, flags);
        }
        let syn = Frame::tcp("203.0.113.7:1", "192.0.2.100:80", SYN).bytes();
        let mut packets = [FrameBuf::new(&syn), FrameBuf::new(&syn)];
        let mut verdicts = [Verdict::Drop(DropReason::WorkerGone); 2];
        world.paths[0].process(world.now, LAN, &mut packets, &mut verdicts);
        assert_eq!(verdicts, [Verdict::Tx(LAN); 2], "{variant:?}");
        let anew = mac_of(ip("192.0.2.12"));
        let macs = packets.each_ref().map(|packet| packet.data()[..6].to_vec());
        assert_eq!(macs, [anew, anew], "{variant:?}");
    }
}

#[test]
fn sloppy_tcp_picks_flows_up_in_the_middle() {
    let mut world = World::new(Setup::default());
    let mut service = web();
    service.policy.sloppy_tcp = true;
    world
        .commit(&with_backends(&service, &SERVERS, Forward::Dr))
        .unwrap();
    let first = send(&mut world, 1, ACK);
    assert_eq!(first.0, Verdict::Tx(LAN));
    assert_eq!(send(&mut world, 1, ACK), first);
    assert_eq!(
        send(&mut world, 2, 4).0,
        Verdict::Drop(DropReason::NoFlow),
        "but never by a reset"
    );
}

#[test]
fn thresholds_limit_connections_over_all_workers() {
    let mut world = World::new(Setup::default());
    let mut commands = vec![Command::UpsertService(web())];
    for (address, _) in SERVERS {
        let mut server = backend(&web(), address, 80, Forward::Dr);
        (server.upper_threshold, server.lower_threshold) = (3, 2);
        commands.push(Command::UpsertBackend(server));
    }
    world.commit(&commands).unwrap();
    for port in 0..6 {
        assert_eq!(send(&mut world, 1 + port, SYN).0, Verdict::Tx(LAN));
    }
    assert_eq!(send(&mut world, 100, SYN).0, Verdict::Drop(DropReason::NoServer));
    assert_eq!(send(&mut world, 1, ACK).0, Verdict::Tx(LAN), "those inside stay");
    world.assert_conserved();
}
