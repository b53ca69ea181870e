//! Framing with its bounds, and frames that survive JSON.

use rand::Rng;

use super::lines::{LineReader, TooLong, WriteQueue};
use super::{FlowFilter, FlowRow, Frame, NeighborRow, Request, RequestFrame, Response, RouteRow};
use crate::hello::mac_text;
use crate::message::{ForwardMode, NeighborState, PortId, Protocol, RouteOrigin, VlanId, arbitrary};
use crate::testing::seeded;

#[test]
fn lines_come_out_as_they_went_in_however_they_are_cut() {
    let mut rng = seeded("lines_come_out_as_they_went_in_however_they_are_cut");
    for _ in 0..200 {
        let lines: Vec<Vec<u8>> = (0..20).map(|_| vec![b'x'; rng.random_range(0..50)]).collect();
        let mut queue = WriteQueue::new(10_000);
        lines.iter().for_each(|line| queue.push_line(line).expect("room"));
        let mut reader = LineReader::new(50);
        let mut got = Vec::new();
        while !queue.is_empty() {
            let n = rng.random_range(1..=queue.front().len().min(60));
            reader.push(&queue.front()[..n]);
            queue.consume(n);
            while let Some(line) = reader.next_line().expect("short lines") {
                got.push(line);
            }
        }
        assert_eq!(got, lines);
    }
}

#[test]
fn lines_and_queues_have_bounds() {
    let mut reader = LineReader::new(4);
    reader.push(b"1234\n");
    assert_eq!(reader.next_line(), Ok(Some(b"1234".to_vec())));
    reader.push(b"12345\n");
    assert_eq!(reader.next_line(), Err(TooLong));
    let mut reader = LineReader::new(4);
    reader.push(b"12345");
    assert_eq!(reader.next_line(), Err(TooLong));
    let mut queue = WriteQueue::new(6);
    assert_eq!(queue.push_line(b"12345"), Ok(()));
    assert_eq!(queue.push_line(b""), Err(TooLong));
}

#[test]
fn frames_survive_json() {
    let mut rng = seeded("frames_survive_json");
    let socket = "192.0.2.1:80".parse().expect("an address");
    for _ in 0..1000 {
        let filter = FlowFilter {
            service: Some(arbitrary::service_key(&mut rng)),
            client: Some(arbitrary::address(&mut rng)),
            ..FlowFilter::default()
        };
        let request = RequestFrame {
            id: rng.random(),
            request: Request::Flows {
                filter,
                limit: rng.random(),
            },
        };
        let json = serde_json::to_string(&request).expect("JSON");
        assert_eq!(
            serde_json::from_str::<RequestFrame>(&json).expect("parses"),
            request
        );
    }
    let flow = FlowRow {
        worker: 1,
        protocol: Protocol::Tcp,
        client: socket,
        vip: socket,
        local: None,
        backend: "[2001:db8::1]:80".parse().expect("an address"),
        forward: ForwardMode::FullNat,
        state: "ESTABLISHED".into(),
        expires_s: 900,
        template: false,
    };
    let neighbor = NeighborRow {
        address: socket.ip(),
        port: PortId(0),
        vlan: VlanId::new(7),
        mac: Some([2, 0, 0, 0, 0, 0xab]),
        state: NeighborState::Reachable,
        confirmed_s: Some(1),
        used_by: "web".into(),
    };
    let to = "0.0.0.0/0".parse().expect("a prefix");
    let route = RouteRow {
        to,
        gateways: vec![],
        mtu: Some(1500),
        origin: RouteOrigin::Static,
    };
    for response in [
        Response::Flows {
            rows: vec![flow],
            more: true,
        },
        Response::Neighbors(vec![neighbor]),
        Response::Routes(vec![route]),
    ] {
        let frame = Frame::Answer { id: 7, response };
        let json = serde_json::to_string(&frame).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Frame>(&json).expect("parses"),
            frame,
            "{json}"
        );
    }
    assert!(serde_json::from_str::<VlanId>("4095").is_err());
}

#[test]
fn macs_are_text() {
    assert_eq!(mac_text::format([2, 0, 0, 0, 0xa, 0xbc]), "02:00:00:00:0a:bc");
    assert_eq!(
        mac_text::parse("02:00:00:00:0A:bc"),
        Some([2, 0, 0, 0, 0xa, 0xbc])
    );
    for bad in [
        "",
        "02:00:00:00:0a",
        "02:00:00:00:0a:bc:de",
        "2:0:0:0:0:1",
        "+2:00:00:00:00:01",
    ] {
        assert_eq!(mac_text::parse(bad), None, "{bad}");
    }
}
