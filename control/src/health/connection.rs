//! The connection of one run: opening, sending, reading, each step as an [`Input`] for the check.
//!
//! Three shapes cover every kind: a byte stream (TCP, TLS), a connected datagram socket (UDP, ICMP echo), and a small
//! task that tells its steps (gRPC's HTTP/2, programs, files, raw packets). None decides anything.

mod complaint;
mod datagram;
mod grpc;
mod local;
mod raw;
mod socket;
mod stream;
mod task;
pub(super) mod tls;

use super::{Sessions, Target};
use datagram::Datagrams;
use std::future::Future;
use std::io;
use std::pin::Pin;
use stream::Stream;
use task::{Event, Task};
use weir_proto::health::probe::{Fault, Input};
use weir_proto::health::{Dialogue, talk};

/// Bytes read from a server at once; a datagram that is too long shows as such.
const READ_BYTES: usize = talk::REPLY_BYTES_MAX + 1;

type Opening = Pin<Box<dyn Future<Output = Result<Open, Fault>> + Send>>;

/// The connection of the present run, if one is under way.
pub(super) enum Connection {
    Closed,
    Opening(Opening),
    Open { open: Open, buffer: Vec<u8> },
    Task { task: Task, buffer: Vec<u8> },
}

/// What bytes go over.
pub(super) enum Open {
    Stream(Stream),
    Datagrams(Datagrams),
}

impl Connection {
    /// Begins to open what `target` is asked over.
    pub(super) fn open(target: &Target, sessions: &Sessions) -> Self {
        let task = |task| Self::Task {
            task,
            buffer: Vec::new(),
        };
        match &target.dialogue {
            Dialogue::Tcp | Dialogue::Http(_) | Dialogue::Talk(_) => {
                let opening = stream::open(target, tls::NO_PROTOCOL);
                Self::Opening(Box::pin(async { opening.await.map(Open::Stream) }))
            }
            Dialogue::Udp(_) | Dialogue::Dns(_) => Self::datagrams(datagram::udp(target)),
            Dialogue::Ping(echo) => Self::datagrams(datagram::echo(target, *echo)),
            Dialogue::Grpc(_) => task(grpc::start(target)),
            Dialogue::Script(script) => task(local::script(script.clone(), target.pace.timeout)),
            Dialogue::File(file) => task(local::file(file.path.clone())),
            Dialogue::Bfd(name) => task(local::session(sessions.clone(), name.clone())),
            Dialogue::Through(through) => task(raw::start(target, *through)),
        }
    }

    fn datagrams(opened: io::Result<Datagrams>) -> Self {
        let opened = opened.map(Open::Datagrams).map_err(|error| fault(&error));
        Self::Opening(Box::pin(std::future::ready(opened)))
    }

    /// Queues bytes to send; without a connection there is nobody to send them to.
    pub(super) fn write(&mut self, bytes: Vec<u8>) {
        match self {
            Self::Open {
                open: Open::Stream(stream),
                ..
            } => stream.write(&bytes),
            Self::Open {
                open: Open::Datagrams(socket),
                ..
            } => socket.write(bytes),
            Self::Task { task, .. } => task.write(bytes),
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
            Self::Open { open, buffer } => match open.read(buffer).await {
                Ok(Some(count)) => Input::Read(&buffer[..count]),
                Ok(None) => Input::Eof,
                Err(fault) => Input::Broken(fault),
            },
            Self::Task { task, buffer } => match task.next().await {
                Event::Bound(near) => Input::Bound(near),
                Event::Connected => Input::Connected,
                Event::Read(bytes) => {
                    *buffer = bytes;
                    Input::Read(buffer)
                }
                Event::Code(code) => Input::Code(code),
                Event::Eof => Input::Eof,
                Event::Broken(fault) => Input::Broken(fault),
            },
        }
    }

    fn opened(&mut self, opened: Result<Open, Fault>) -> Input<'static> {
        match opened {
            Ok(open) => {
                *self = Self::Open {
                    open,
                    buffer: vec![0; READ_BYTES],
                };
                Input::Connected
            }
            Err(fault) => {
                *self = Self::Closed;
                Input::Broken(fault)
            }
        }
    }
}

impl Open {
    /// Sends what is unsent, then reads once; `None` at the stream's end.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Fault> {
        match self {
            Self::Stream(stream) => stream.read(buffer).await,
            Self::Datagrams(socket) => match socket.read(buffer).await {
                Ok(count) => Ok(Some(count)),
                Err(error) => Err(fault(&error)),
            },
        }
    }
}

/// The host's error as a fault. What is not known to come from the network is held to be this side's, so that a lack
/// of file descriptors, say, condemns no server.
fn fault(error: &io::Error) -> Fault {
    use io::ErrorKind;
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => return Fault::Certificate,
        Some(_) => return Fault::Tls,
        None => {}
    }
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

#[cfg(test)]
mod tests;
