//! What leaves the running process, frame by frame: tags, NAT both ways, ICMP; and a flow table that is full.

use std::collections::BTreeSet;

use weir_dataplane::DropReason;
use weir_rings::message::VlanId;

use super::*;

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const CLIENT: [u8; 4] = [192, 0, 2, 10];
const VIRTUAL: [u8; 4] = [192, 0, 2, 100];
const SERVER: [u8; 4] = [192, 0, 2, 11];
/// The clients' VLAN and the server's; the port itself is untagged.
const OUTSIDE: u16 = 7;
const INSIDE: u16 = 30;

fn tcp(src: ([u8; 4], u16), dst: ([u8; 4], u16), ack: bool) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, PORT_MAC)
        .ipv4(src.0, dst.0, 64)
        .tcp(src.1, dst.1, 1, 1024)
        .syn();
    let mut frame = Vec::new();
    let builder = if ack { builder.ack(1) } else { builder };
    builder.write(&mut frame, &[]).unwrap();
    frame
}

/// Who has `target`?
fn arp(target: [u8; 4]) -> Vec<u8> {
    [
        &[0xff; 6][..],
        &CLIENT_MAC,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &CLIENT_MAC,
        &CLIENT,
        &[0; 6],
        &target,
    ]
    .concat()
}

/// The server's ICMP port unreachable about a packet it got.
fn unreachable(about: &[u8]) -> Vec<u8> {
    let quoted = &about[14..14 + 28];
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, PORT_MAC)
        .ipv4(SERVER, CLIENT, 64)
        .icmpv4_raw(3, 3, [0; 4]);
    let mut frame = Vec::new();
    builder.write(&mut frame, quoted).unwrap();
    frame
}

fn tagged(mut frame: Vec<u8>, vlan: u16) -> Vec<u8> {
    let [high, low] = vlan.to_be_bytes();
    frame.splice(12..12, [0x81, 0, high, low]);
    frame
}

/// Tag, and the frame without it.
fn untagged(mut frame: Vec<u8>) -> (Option<u16>, Vec<u8>) {
    if frame[12..14] != [0x81, 0] {
        return (None, frame);
    }
    let vlan = u16::from_be_bytes([frame[14], frame[15]]) & 0xfff;
    frame.drain(12..16);
    (Some(vlan), frame)
}

fn nat_between_vlans() -> Vec<message::Command> {
    let key = ServiceKey {
        protocol: Protocol::Tcp,
        address: VIRTUAL.into(),
        port: 80,
    };
    let vip = Vip {
        vlan: VlanId::new(OUTSIDE),
        ..Vip::owned(key.address)
    };
    let service = Service {
        vlan: VlanId::new(OUTSIDE),
        ..Service::new(key, SchedulerKind::Rr, ForwardMode::Nat)
    };
    let server = BackendKey {
        address: SERVER.into(),
        port: 8080,
    };
    let backend = Backend {
        vlan: VlanId::new(INSIDE),
        ..Backend::new(key, server, Forward::Nat)
    };
    let neighbor = |address: [u8; 4], mac| {
        let key = NeighborKey {
            address: address.into(),
            port: None,
            vlan: None,
        };
        message::Command::UpsertNeighbor(Neighbor { key, mac })
    };
    vec![
        message::Command::UpsertVip(vip),
        message::Command::UpsertService(service),
        message::Command::UpsertBackend(backend),
        neighbor(SERVER, [2, 0, 0, 0, 1, 1]),
        neighbor(CLIENT, CLIENT_MAC),
    ]
}

#[test]
fn nat_between_vlans_changes_tags_addresses_and_quoted_packets() {
    let device = "vdev:net_pcap0,rx_pcap={dir}/in.pcap,infinite_rx=1,tx_pcap={dir}/out.pcap";
    let (client, server) = ((CLIENT, 40_000), (SERVER, 8080));
    let dataplane = Dataplane::start(device, "[0]", |directory| {
        let frames = [
            tagged(arp(VIRTUAL), OUTSIDE),
            arp(VIRTUAL),
            tagged(tcp(client, (VIRTUAL, 80), false), OUTSIDE),
            tcp((CLIENT, 40_001), (VIRTUAL, 80), false),
            tagged(tcp(server, client, true), INSIDE),
            tagged(unreachable(&tcp(client, server, false)), INSIDE),
        ];
        write_frames(&directory.join("in.pcap"), frames.into_iter());
    });
    let mut end = dataplane.connect();
    end.commit_and_wait(end.next_generation(), true, nat_between_vlans(), PATIENCE)
        .unwrap();
    let counters = end.counters().clone();
    wait_for("both ways of the flow", &counters, || {
        let slot = counters.backend_slots().next();
        let total = slot.map(|(slot, _)| counters.backend_total(slot));
        total.is_some_and(|total| total.packets_in > 0 && total.packets_out > 0)
    });
    let sent = counters.worker_total().tx_packets;
    wait_for("some more of everything", &counters, || {
        counters.worker_total().tx_packets > sent + 500
    });
    // All of it: the client's MAC address may have been asked for while requests already passed.
    let capture = fs::read(dataplane.directory.path().join("out.pcap")).unwrap();
    let mut seen = BTreeSet::new();
    for frame in frames_of(&capture) {
        let (vlan, frame) = untagged(frame.to_vec());
        match (&frame[12..14], frame[23]) {
            ([8, 0], protocol) => {
                let (src, dst) = (&frame[26..30], &frame[30..34]);
                seen.insert((protocol, vlan, src.to_vec(), dst.to_vec()));
                if protocol == 1 {
                    // The quoted packet is what the client sent.
                    assert_eq!((&frame[54..58], &frame[58..62]), (&CLIENT[..], &VIRTUAL[..]));
                    assert_eq!(
                        frame[62..66],
                        [40_000u16.to_be_bytes(), 80u16.to_be_bytes()].concat()
                    );
                }
            }
            // Answers to the client; announcements go to everybody.
            ([8, 6], _) if frame[..6] == CLIENT_MAC => {
                seen.insert((0, vlan, frame[28..32].to_vec(), frame[38..42].to_vec()));
            }
            _ => {}
        }
    }
    let row = |protocol, vlan, src: [u8; 4], dst: [u8; 4]| (protocol, Some(vlan), src.to_vec(), dst.to_vec());
    let expected = BTreeSet::from([
        row(0, OUTSIDE, VIRTUAL, CLIENT),
        row(6, INSIDE, CLIENT, SERVER),
        row(6, OUTSIDE, VIRTUAL, CLIENT),
        row(1, OUTSIDE, VIRTUAL, CLIENT),
    ]);
    assert_eq!(seen, expected, "protocol (0: ARP), tag, from, to");
    let other = counters.reason_total(DropReason::OtherVlan.index());
    assert!(
        other > 0,
        "untagged packets for a tagged service are dropped by name"
    );
    assert!(dataplane.stop().status.success());
    assert_conserved(&counters);
}

#[test]
fn a_full_table_forwards_by_hash_refuses_what_needs_state_and_says_so() {
    const FLOWS_MAX: u32 = 1024;
    let device = "vdev:net_pcap0,rx_pcap={dir}/in.pcap,infinite_rx=1,tx_pcap=/dev/null";
    let dataplane = Dataplane::start_for(FLOWS_MAX, device, "[0]", |directory| {
        let direct = (0..1500).map(|client| (10_000 + client, 80));
        let translated = (0..20).map(|client| (30_000 + client, 81));
        write_syns(&directory.join("in.pcap"), direct.chain(translated));
    });
    let mut end = dataplane.connect();
    // First the flows that can do without an entry: they fill the table and keep it full.
    end.commit_and_wait(end.next_generation(), true, commands(), PATIENCE)
        .unwrap();
    let counters = end.counters().clone();
    wait_for("a full table", &counters, || {
        counters.worker_total().flows_refused > 0
    });
    let key = ServiceKey {
        protocol: Protocol::Tcp,
        address: ip(VIP),
        port: 81,
    };
    let server = BackendKey {
        address: ip(SERVERS[0]),
        port: 81,
    };
    let translated = vec![
        message::Command::UpsertService(Service::new(key, SchedulerKind::Rr, ForwardMode::Nat)),
        message::Command::UpsertBackend(Backend::new(key, server, Forward::Nat)),
    ];
    end.commit_and_wait(end.next_generation(), false, translated, PATIENCE)
        .unwrap();
    let refused = || counters.reason_total(DropReason::FlowTableFull.index());
    wait_for("refused flows", &counters, || refused() > 100);

    let start = Instant::now();
    let mut said = false;
    while !said {
        end.poll();
        while let Some(told) = end.next_output() {
            said |= matches!(
                told,
                Told::Event(Event::FlowTableFull { worker: 0, flows_max }) if flows_max >= u64::from(FLOWS_MAX)
            );
        }
        assert!(start.elapsed() < PATIENCE, "nobody says so");
        end.wait(Duration::from_millis(50));
    }
    let sent = counters.worker_total().tx_packets;
    wait_for("packets to the servers", &counters, || {
        counters.worker_total().tx_packets > sent + 10_000
    });
    let total = counters.worker_total();
    // A bucket may be full a little before the table is.
    assert!(
        (u64::from(FLOWS_MAX) * 9 / 10..=u64::from(FLOWS_MAX)).contains(&total.flows),
        "{total:?}"
    );
    assert!(dataplane.stop().status.success());
    assert_conserved(&counters);
    let unknown = [
        DropReason::NotOurs,
        DropReason::NoService,
        DropReason::UnknownPort,
    ];
    let before: u64 = unknown
        .iter()
        .map(|reason| counters.reason_total(reason.index()))
        .sum();
    assert_eq!(
        counters.worker_total().dropped,
        refused() + before,
        "nothing else is dropped once the tables are in"
    );
}
