//! Two hosts without a kernel: 192.0.2.97 answers an echo when the check has given up, 192.0.2.98 with what nobody asked.
//!
//! RFC 792 (echo), RFC 826 (ARP).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use weir_tests::lab::{Injector, Lab, LabError};

use super::servers::Thread;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x97];
const SLOW: [u8; 4] = [192, 0, 2, 97];
const OTHER: [u8; 4] = [192, 0, 2, 98];
/// The checks wait 0.9 s.
const DELAY: Duration = Duration::from_millis(1_500);
/// More echoes than are asked within the delay.
const HELD_MAX: usize = 64;

/// They answer for as long as it lives.
pub(super) struct Stranger {
    _thread: Thread,
}

impl Stranger {
    pub(super) fn start(lab: &mut Lab) -> Result<Self, LabError> {
        let node = lab.add_node("stranger", "eth0")?;
        let mut wire = Injector::open(&node, "eth0")?;
        let thread = Thread::start(move |stop| {
            let mut held: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let asked = |frame: &[u8]| arp(frame).is_some() || echo(frame).is_some();
                let seen = wire.receive(Duration::from_millis(50), asked).unwrap_or_default();
                let mut now = Vec::new();
                now.extend(arp(&seen));
                match echo(&seen) {
                    Some((SLOW, answer)) if held.len() < HELD_MAX => {
                        held.push_back((Instant::now() + DELAY, answer));
                    }
                    Some((OTHER, answer)) => now.push(answer),
                    Some(_) | None => {}
                }
                while held.front().is_some_and(|(due, _)| *due <= Instant::now()) {
                    now.extend(held.pop_front().map(|(_, answer)| answer));
                }
                // What cannot be sent is an answer that does not come.
                now.iter().for_each(|frame| drop(wire.send(frame)));
            }
        });
        Ok(Self { _thread: thread })
    }
}

/// The reply to a request for one of the two addresses.
fn arp(frame: &[u8]) -> Option<Vec<u8>> {
    let asked = frame.get(38..42)?;
    if frame[12..14] != [8, 6] || frame[20..22] != [0, 1] || (asked != SLOW && asked != OTHER) {
        return None;
    }
    let mut reply = frame[..42].to_vec();
    reply[..6].copy_from_slice(&frame[6..12]);
    reply[6..12].copy_from_slice(&MAC);
    reply[21] = 2;
    reply[22..28].copy_from_slice(&MAC);
    reply[28..32].copy_from_slice(asked);
    reply[32..42].copy_from_slice(&frame[22..32]);
    Some(reply)
}

/// Who is asked, and the answer: the right one late, another at once.
fn echo(frame: &[u8]) -> Option<([u8; 4], Vec<u8>)> {
    let asked: [u8; 4] = frame.get(30..34)?.try_into().ok()?;
    // IPv4 without options, ICMP, echo request, with a payload.
    if frame[12..15] != [8, 0, 0x45] || frame[23] != 1 || frame.get(34) != Some(&8) || frame.len() < 50 {
        return None;
    }
    let length = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let mut reply = frame.get(..length)?.to_vec();
    reply[..6].copy_from_slice(&frame[6..12]);
    reply[6..12].copy_from_slice(&MAC);
    reply[26..30].copy_from_slice(&asked);
    reply[30..34].copy_from_slice(&frame[26..30]);
    reply[34] = 0;
    if asked == OTHER {
        reply[42..50].fill(0xff);
    }
    reply[36..38].fill(0);
    let sum: u32 = reply[34..]
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default()))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    reply[36..38].copy_from_slice(&(!folded as u16).to_be_bytes());
    Some((asked, reply))
}
