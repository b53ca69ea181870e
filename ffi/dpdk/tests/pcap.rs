//! net_pcap: frames from a file, out to a file, also such as need several segments.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs;
use std::path::Path;

use weir_dpdk::{Burst, Mbuf, Port, PortConfig};

/// A classic pcap file: little endian, microseconds, Ethernet.
fn write_pcap(path: &Path, frames: &[Vec<u8>]) {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (second, frame) in (0u32..).zip(frames) {
        let len = frame.len() as u32;
        for word in [second, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    fs::write(path, file).unwrap();
}

fn read_pcap(path: &Path) -> Vec<Vec<u8>> {
    let file = fs::read(path).unwrap();
    let mut rest = &file[24..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        frames.push(rest[16..16 + len].to_vec());
        rest = &rest[16 + len..];
    }
    frames
}

fn frames(lengths: &[usize]) -> Vec<Vec<u8>> {
    lengths
        .iter()
        .map(|len| (0..*len).map(|at| (at * 7 + len) as u8).collect())
        .collect()
}

/// Runs every frame of a file through a port, and returns what arrived at the other file.
fn forward(frames: &[Vec<u8>], config: &PortConfig, mut edit: impl FnMut(&mut Mbuf, &[u8])) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.pcap"), folder.path().join("out.pcap"));
    write_pcap(&input, frames);
    let vdev = format!(
        "net_pcap0,rx_pcap={},tx_pcap={}",
        input.display(),
        output.display()
    );
    let stage = support::stage(&[&vdev]);
    let pool = support::pool(&stage.eal);
    let mut port = Port::open(&stage.eal, "net_pcap0").unwrap();
    let (mut rx, mut tx) = support::start(&mut port, config, &pool);
    let mut burst = Burst::new();
    let mut seen = 0;
    while rx.burst(&mut burst) > 0 {
        for packet in burst.iter_mut() {
            edit(packet, &frames[seen]);
            seen += 1;
        }
        let count = burst.len();
        assert_eq!(tx.burst(&mut burst), count);
    }
    assert_eq!(seen, frames.len());
    drop((rx, tx));
    port.stop().unwrap();
    assert_eq!(pool.available(), pool.size());
    drop(port);
    read_pcap(&output)
}

#[test]
fn frames_pass_byte_for_byte() {
    let frames = frames(&(14..214).map(|n| n * 7).collect::<Vec<_>>());
    let arrived = forward(&frames, &PortConfig::default(), |packet, frame| {
        assert_eq!(packet.data(), frame)
    });
    assert_eq!(arrived, frames);
}

#[test]
fn a_header_can_be_added_and_the_end_cut() {
    let frames = frames(&[60, 61, 1514]);
    let arrived = forward(&frames, &PortConfig::default(), |packet, _| {
        packet.prepend(20).unwrap().fill(0xee);
        assert!(packet.trim_back(8));
    });
    for (arrived, frame) in arrived.iter().zip(&frames) {
        assert_eq!(arrived[..20], [0xee; 20]);
        assert_eq!(arrived[20..], frame[..frame.len() - 8]);
    }
    assert_eq!(arrived.len(), 3);
}

#[test]
fn a_jumbo_frame_is_a_chain() {
    let frames = frames(&[9000, 64, 5000]);
    let config = PortConfig {
        multi_segment: true,
        ..PortConfig::default()
    };
    let arrived = forward(&frames, &config, |packet, frame| {
        assert_eq!(packet.total_len(), frame.len());
        assert_eq!(packet.segments(), packet.chunks().count());
        assert_eq!(packet.segments() > 1, frame.len() > 2048);
        assert_eq!(packet.chunks().collect::<Vec<_>>().concat(), frame);
        assert_eq!(packet.chunks().next(), Some(packet.data()));
        // The ends of a chain are the ends of the packet.
        packet.append(3).unwrap().copy_from_slice(b"end");
        assert!(packet.trim_front(10));
        assert!(!packet.trim_front(usize::from(u16::MAX)));
        assert_eq!(packet.total_len(), frame.len() - 7);
    });
    let expected: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| [&frame[10..], b"end"].concat())
        .collect();
    assert_eq!(arrived, expected);
}

#[test]
fn a_chain_can_be_cut_to_its_beginning() {
    let frames = frames(&[9000, 64, 5000]);
    let config = PortConfig {
        multi_segment: true,
        ..PortConfig::default()
    };
    let arrived = forward(&frames, &config, |packet, frame| {
        assert!(!packet.truncate(frame.len()) || packet.segments() == 1);
        assert!(packet.truncate(40));
        assert_eq!((packet.segments(), packet.total_len()), (1, 40));
    });
    let expected: Vec<&[u8]> = frames.iter().map(|frame| &frame[..40]).collect();
    assert_eq!(arrived, expected);
}
