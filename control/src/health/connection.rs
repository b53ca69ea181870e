//! One check's TCP connection: opening, sending, reading, each step as an [`Input`] for the check.

use super::Target;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use weir_proto::health::probe::{Fault, Input};

/// Bytes read from a server at once.
const READ_BYTES: usize = 4 * 1_024;

type Opening = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The connection of the present run, if one is under way.
pub(super) enum Connection {
    Closed,
    Opening(Opening),
    Open {
        stream: TcpStream,
        unsent: Vec<u8>,
        buffer: Box<[u8]>,
    },
}

impl Connection {
    /// Begins to open a connection to `target`.
    pub(super) fn open(target: &Target) -> Self {
        match socket(target) {
            Ok(socket) => Self::Opening(Box::pin(socket.connect(target.address))),
            Err(error) => Self::Opening(Box::pin(std::future::ready(Err(error)))),
        }
    }

    /// Queues bytes to send; without a connection there is nobody to send them to.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Open { unsent, .. } => unsent.extend_from_slice(bytes),
            Self::Closed | Self::Opening(_) => {}
        }
    }

    /// What happens next; never, while closed. Cancel-safe.
    pub(super) async fn next(&mut self) -> Input<'_> {
        if let Self::Opening(opening) = self {
            let opened = opening.await;
            return self.opened(opened);
        }
        match self {
            Self::Closed | Self::Opening(_) => std::future::pending().await,
            Self::Open {
                stream,
                unsent,
                buffer,
            } => match exchange(stream, unsent, buffer).await {
                Ok(0) => Input::Eof,
                Ok(count) => Input::Read(&buffer[..count]),
                Err(error) => Input::Broken(fault(&error)),
            },
        }
    }

    fn opened(&mut self, opened: io::Result<TcpStream>) -> Input<'static> {
        match opened {
            Ok(stream) => {
                *self = Self::Open {
                    stream,
                    unsent: Vec::new(),
                    buffer: vec![0; READ_BYTES].into_boxed_slice(),
                };
                Input::Connected
            }
            Err(error) => {
                *self = Self::Closed;
                Input::Broken(fault(&error))
            }
        }
    }
}

/// Sends what is unsent, then reads once.
async fn exchange(stream: &mut TcpStream, unsent: &mut Vec<u8>, buffer: &mut [u8]) -> io::Result<usize> {
    while !unsent.is_empty() {
        let sent = stream.write(unsent).await?;
        unsent.drain(..sent);
    }
    stream.read(buffer).await
}

/// A socket bound as the target's source says.
fn socket(target: &Target) -> io::Result<TcpSocket> {
    let (socket, any) = match target.address {
        SocketAddr::V4(_) => (TcpSocket::new_v4()?, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        SocketAddr::V6(_) => (TcpSocket::new_v6()?, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    if let Some(interface) = &target.source.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if let Some(address) = target.source.address.filter(|address| *address != any) {
        socket.bind(SocketAddr::new(address, 0))?;
    }
    Ok(socket)
}

/// The host's error as a fault. What is not known to come from the network is held to be this side's, so that a lack
/// of file descriptors, say, condemns no server.
fn fault(error: &io::Error) -> Fault {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => Fault::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Fault::Reset,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::TimedOut
        | ErrorKind::NotConnected => Fault::Unreachable,
        _ => Fault::Local,
    }
}
