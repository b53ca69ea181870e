//! Does a gateway answer echo requests? One request, one wait.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use weir_wire::checksum;

const ECHO_LEN: usize = 16;
/// One number for each request of this process, so that no answer is taken for another's.
static NEXT: AtomicU16 = AtomicU16::new(1);

/// Whether `address` answers within `limit`.
pub(super) async fn answers(address: IpAddr, limit: Duration) -> io::Result<bool> {
    let asked = tokio::task::spawn_blocking(move || ask(address, limit)).await;
    asked.map_err(io::Error::other)?
}

fn ask(address: IpAddr, limit: Duration) -> io::Result<bool> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let mut socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    // Only what this address sends is for us. Without a way to it there is no answer.
    if socket
        .connect(&SockAddr::from(SocketAddr::new(address, 0)))
        .is_err()
    {
        return Ok(false);
    }
    let id = u16::try_from(std::process::id() & 0xffff).unwrap_or_default();
    let sequence = NEXT.fetch_add(1, Ordering::Relaxed);
    if socket.send(&request(address.is_ipv6(), id, sequence)).is_err() {
        return Ok(false);
    }
    let deadline = Instant::now() + limit;
    let mut buffer = [0; 256];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.read(&mut buffer) {
            Ok(len) if is_reply(address.is_ipv6(), &buffer[..len], id, sequence) => return Ok(true),
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            // The network says that it cannot be reached.
            Err(_) => return Ok(false),
        }
    }
}

/// An echo request (RFC 792, RFC 4443 §4.1). The kernel fills in the checksum of ICMPv6.
fn request(v6: bool, id: u16, sequence: u16) -> [u8; ECHO_LEN] {
    let mut message = [0; ECHO_LEN];
    message[0] = if v6 { 128 } else { 8 };
    message[4..6].copy_from_slice(&id.to_be_bytes());
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    if !v6 {
        let sum = checksum::checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// A raw IPv4 socket gives the IP header too.
fn is_reply(v6: bool, packet: &[u8], id: u16, sequence: u16) -> bool {
    let header = match (v6, packet.first()) {
        (true, _) => 0,
        (false, Some(first)) => usize::from(first & 0x0f) * 4,
        (false, None) => return false,
    };
    let wanted = [
        &[if v6 { 129 } else { 0 }, 0][..],
        &id.to_be_bytes(),
        &sequence.to_be_bytes(),
    ]
    .concat();
    packet
        .get(header..header + 8)
        .is_some_and(|message| [&message[..2], &message[4..8]].concat() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_others() {
        let header = [0x45; 20];
        let reply = |kind: u8, id: u16| {
            let mut message = request(false, id, 7);
            message[0] = kind;
            [&header[..], &message].concat()
        };
        assert!(is_reply(false, &reply(0, 9), 9, 7));
        assert!(
            !is_reply(false, &reply(8, 9), 9, 7),
            "our own request, seen again"
        );
        assert!(!is_reply(false, &reply(0, 8), 9, 7));
        assert!(!is_reply(false, &reply(0, 9)[..24], 9, 7));
        assert!(!is_reply(true, &[], 9, 7));
        assert_eq!(checksum::checksum(&request(false, 3, 4)), 0);
    }
}
