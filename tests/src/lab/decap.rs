//! The far end of a tunnel in user space: outer packets are read from a packet socket, what is inside goes to the kernel
//! over a veth pair of the same namespace (`decap0` to `decap1`). For kernels without ipip, GRE and FOU devices.
//!
//! Formats: RFC 2003, 2473, 4213 (IP in IP), RFC 2784 (GRE), Linux's `fou` with GUE variant 0. VXLAN is left to the kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use super::node::Node;
use super::{Injector, LabError};

const ETHERNET_LEN: usize = 14;
/// Where GUE is expected.
const GUE_PORT: u16 = 6080;

/// Takes packets out of their tunnels for as long as it lives.
#[derive(Debug)]
pub struct Decapsulator {
    stop: Arc<AtomicBool>,
    taken_out: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Decapsulator {
    /// Begins in `node`, for everything tunnelled to it over `interface`.
    pub fn start(node: &Node, interface: &str) -> Result<Self, LabError> {
        node.ip("link add decap0 type veth peer name decap1")?;
        for end in ["decap0", "decap1"] {
            node.sysctl(&format!("net.ipv4.conf.{end}.rp_filter"), "0")?;
            node.ip(&format!("link set {end} up"))?;
        }
        let (own, inner) = (node.mac(interface)?, node.mac("decap1")?);
        let mut outside = Injector::open(node, interface)?;
        let mut inside = Injector::open(node, "decap0")?;
        let (stop, taken_out) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (stop.clone(), taken_out.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Relaxed) {
                let tunnelled = |frame: &[u8]| frame.starts_with(&own) && payload(frame).is_some();
                let Some(frame) = outside.receive(Duration::from_millis(100), tunnelled) else {
                    continue;
                };
                if let Some((ethertype, packet)) = payload(&frame) {
                    let whole = [&inner[..], &own, &ethertype, packet].concat();
                    // What the kernel does not take is lost, as on any wire.
                    if inside.send(&whole).is_ok() {
                        count.fetch_add(1, Relaxed);
                    }
                }
            }
        });
        Ok(Self {
            stop,
            taken_out,
            thread: Some(thread),
        })
    }

    /// How many packets came out of tunnels.
    #[must_use]
    pub fn taken_out(&self) -> u64 {
        self.taken_out.load(Relaxed)
    }
}

impl Drop for Decapsulator {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // A panic of the thread has been printed, and the scenario fails without its packets.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The packet inside, and the EtherType of its family; nothing when the frame is no tunnel packet.
fn payload(frame: &[u8]) -> Option<([u8; 2], &[u8])> {
    let (protocol, rest) = outer(frame)?;
    match protocol {
        4 => Some(([8, 0], rest)),
        41 => Some(([0x86, 0xdd], rest)),
        47 => gre(rest),
        17 => gue(rest),
        _ => None,
    }
}

/// Protocol and payload of the outer IP header, its padding cut off.
fn outer(frame: &[u8]) -> Option<(u8, &[u8])> {
    let ip = frame.get(ETHERNET_LEN..)?;
    let be = |at: usize| Some(usize::from(u16::from_be_bytes([*ip.get(at)?, *ip.get(at + 1)?])));
    match frame.get(12..14)? {
        [8, 0] => Some((*ip.get(9)?, ip.get(usize::from(ip[0] & 15) * 4..be(2)?)?)),
        [0x86, 0xdd] => Some((*ip.get(6)?, ip.get(40..40 + be(4)?)?)),
        _ => None,
    }
}

fn gre(header: &[u8]) -> Option<([u8; 2], &[u8])> {
    let with_checksum = header.first()? & 0x80 != 0;
    let ethertype = [*header.get(2)?, *header.get(3)?];
    Some((ethertype, header.get(if with_checksum { 8 } else { 4 }..)?))
}

fn gue(udp: &[u8]) -> Option<([u8; 2], &[u8])> {
    if udp.get(2..4)? != GUE_PORT.to_be_bytes() {
        return None;
    }
    let header = udp.get(8..)?;
    // Variant 0, a data message, `hlen` words of options.
    let options_len = usize::from(*header.first()? & 0x1f) * 4;
    let packet = header.get(4 + options_len..)?;
    match header.get(1)? {
        4 => Some(([8, 0], packet)),
        41 => Some(([0x86, 0xdd], packet)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::payload;

    fn v4(protocol: u8, inside: &[u8]) -> Vec<u8> {
        let mut frame = [0; 14 + 20];
        frame[12] = 8;
        frame[14] = 0x45;
        frame[17] = 20 + inside.len() as u8;
        frame[14 + 9] = protocol;
        [&frame[..], inside, &[0; 7]].concat()
    }

    #[test]
    fn each_tunnel_is_taken_off_without_the_padding() {
        let gue = [0x12, 0x34, 0x17, 0xc0, 0, 0, 0, 0, 0, 41, 0, 0, 9, 9];
        let cases: [(u8, &[u8], [u8; 2]); 5] = [
            (4, &[9, 9], [8, 0]),
            (41, &[9, 9], [0x86, 0xdd]),
            (47, &[0, 0, 8, 0, 9, 9], [8, 0]),
            (47, &[0x80, 0, 0x86, 0xdd, 1, 2, 0, 0, 9, 9], [0x86, 0xdd]),
            (17, &gue, [0x86, 0xdd]),
        ];
        for (protocol, inside, ethertype) in cases {
            assert_eq!(
                payload(&v4(protocol, inside)),
                Some((ethertype, &[9, 9][..])),
                "{protocol}"
            );
        }
        for other in [v4(6, &[9, 9]), v4(17, &[0; 12]), v4(47, &[0]), vec![0; 20]] {
            assert_eq!(payload(&other), None);
        }
    }
}
