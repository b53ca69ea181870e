//! Frames of 64 bytes on the wire, and captures of them.
//!
//! net_pcap with `infinite_rx` copies every packet of the capture into a buffer at start and then hands out copies for
//! ever, in the order of the capture. Flows are not made by that capture: their first packets come once, in another order,
//! through a pipe (see `dataplane.rs`). Otherwise the flow table would be walked in the order it was filled, which
//! the hardware foresees and no network does.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use weir_wire::tcp::Flags;
use weir_wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, tcp};

use super::trouble::{Outcome, Trouble};

/// A frame of 64 bytes, the four of the check sequence left out.
pub(crate) const FRAME_BYTES: usize = 60;
/// The virtual address.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
/// The port of the first service.
pub(crate) const SERVICE_PORT: u16 = 80;

const CLIENT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
/// First address of 198.18.0.0/15, the network for benchmarks (RFC 2544).
const CLIENTS: u32 = 0xc612_0000;
const ETHERNET: usize = 14;
const IPV4: usize = 20;

/// One end of a connection.
pub(crate) type End = (Ipv4Addr, u16);

/// The client of flow `number`: 65,536 addresses, and then the next port of each.
pub(crate) const fn client(number: u32) -> End {
    let address = Ipv4Addr::from_bits(CLIENTS + (number & 0xffff));
    (address, 1024 + (number >> 16) as u16)
}

/// The MAC that net_pcap gives to its port `index`.
const fn port_mac(index: u8) -> MacAddr {
    MacAddr([0x02, 0x70, 0x63, 0x61, 0x70, index])
}

/// A TCP segment with six bytes of data for port `port` of the device.
pub(crate) fn frame(port: u8, from: End, to: End, flags: Flags) -> [u8; FRAME_BYTES] {
    let mut bytes = [0; FRAME_BYTES];
    let link = ethernet::Repr {
        dst_addr: port_mac(port),
        src_addr: CLIENT_MAC,
        ethertype: EtherType::IPV4,
    };
    link.emit(&mut ethernet::Frame::new_unchecked(&mut bytes[..]));
    let network = ipv4::Repr {
        src_addr: from.0,
        dst_addr: to.0,
        protocol: IpProtocol::TCP,
        payload_len: (FRAME_BYTES - ETHERNET - IPV4) as u16,
        ttl: 64,
        tos: 0,
        ident: 0,
        dont_frag: true,
    };
    network.emit(&mut ipv4::Packet::new_unchecked(&mut bytes[ETHERNET..]));
    let transport = tcp::Repr {
        src_port: from.1,
        dst_port: to.1,
        seq_number: 1,
        ack_number: 1,
        flags,
        window_len: 1024,
    };
    let mut segment = tcp::Packet::new_unchecked(&mut bytes[ETHERNET + IPV4..]);
    transport.emit(&mut segment);
    segment.fill_checksum(from.0.into(), to.0.into());
    bytes
}

/// Writes a capture.
#[derive(Debug)]
pub(crate) struct Capture<W: Write> {
    file: W,
    packets: u32,
}

impl<W: Write> Capture<W> {
    /// Writes the file header: microseconds, Ethernet, in the machine's byte order.
    pub(crate) fn new(mut file: W) -> io::Result<Self> {
        const HEADER: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1];
        for word in HEADER {
            file.write_all(&word.to_ne_bytes())?;
        }
        file.flush()?;
        Ok(Self { file, packets: 0 })
    }

    /// One more packet, at time 0.
    pub(crate) fn push(&mut self, frame: &[u8; FRAME_BYTES]) -> io::Result<()> {
        const LEN: u32 = FRAME_BYTES as u32;
        for word in [0, 0, LEN, LEN] {
            self.file.write_all(&word.to_ne_bytes())?;
        }
        self.packets += 1;
        self.file.write_all(frame)
    }

    /// Packets written.
    pub(crate) fn end(mut self) -> io::Result<u32> {
        self.file.flush()?;
        Ok(self.packets)
    }
}

/// A capture of these frames; how many they are.
pub(crate) fn write_file(path: &Path, frames: impl IntoIterator<Item = [u8; FRAME_BYTES]>) -> Outcome<u32> {
    let write = || {
        let mut capture = Capture::new(BufWriter::with_capacity(1 << 20, File::create(path)?))?;
        frames.into_iter().try_for_each(|frame| capture.push(&frame))?;
        capture.end()
    };
    write().map_err(Trouble::system(format!("writing {}", path.display())))
}

/// The flows of queue `queue` of `queues`, in the order they are made.
pub(crate) fn flows_of_queue(
    flows: u32,
    queue: u32,
    queues: u32,
) -> impl Iterator<Item = u32> + Send + 'static {
    (queue..flows).step_by(queues as usize)
}

/// The same flows in the order of the capture. A given seed, so that every run sees the same.
pub(crate) fn shuffled(flows: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut order: Vec<u32> = flows.collect();
    order.shuffle(&mut SmallRng::seed_from_u64(0x7765_6972));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_what_a_network_would_send() {
        let bytes = frame(1, client(70_000), (VIP, SERVICE_PORT), Flags::ACK);
        let link = ethernet::Frame::new_checked(&bytes[..]).expect("a frame");
        assert_eq!(link.dst_addr(), port_mac(1));
        let network = ipv4::Packet::new_checked(&bytes[ETHERNET..]).expect("a packet");
        assert!(network.verify_checksum());
        assert_eq!(network.total_len(), 46);
        let segment = tcp::Packet::new_checked(network.payload()).expect("a segment");
        assert!(segment.verify_checksum(client(70_000).0.into(), VIP.into()));
        assert_eq!(segment.src_port(), 1025, "the second port of the client");
    }

    #[test]
    fn a_capture_has_a_header_and_a_record_a_packet() {
        let mut bytes = Vec::new();
        let mut capture = Capture::new(&mut bytes).expect("memory");
        let one = frame(0, client(0), (VIP, 80), Flags::SYN);
        capture.push(&one).expect("memory");
        assert_eq!(capture.end().ok(), Some(1));
        assert_eq!(bytes.len(), 24 + 16 + FRAME_BYTES);
        assert_eq!(bytes[24 + 16..], one);
    }

    #[test]
    fn queues_share_the_flows_and_the_capture_has_each_once() {
        let mut all: Vec<u32> = (0..2)
            .flat_map(|queue| shuffled(flows_of_queue(1001, queue, 2)))
            .collect();
        assert_ne!(
            all[..500],
            (0..1000).step_by(2).collect::<Vec<_>>()[..],
            "in another order"
        );
        all.sort_unstable();
        assert_eq!(all, (0..1001).collect::<Vec<_>>());
        let mut clients: Vec<End> = (0..200_000).map(client).collect();
        clients.sort_unstable();
        clients.dedup();
        assert_eq!(clients.len(), 200_000);
    }
}
