//! TCP, and TLS over it.

use super::super::Target;
use super::{fault, socket, tls};
use socket2::{Protocol, Type};
use std::future::Future;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use weir_proto::health::probe::Fault;

/// An open byte stream and what is still to be sent over it.
pub(in crate::health) struct Stream {
    wire: Wire,
    unsent: Vec<u8>,
    /// TLS must end with its closing alert.
    close_notify: bool,
}

pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens a connection to `target`, with TLS where it says so, offering `protocol` (ALPN).
pub(super) fn open(
    target: &Target,
    protocol: tls::Protocol,
) -> impl Future<Output = Result<Stream, Fault>> + Send + use<> {
    let connecting = connect(target);
    let tls = target.tls.clone();
    async move {
        let close_notify = tls.as_ref().is_some_and(|tls| tls.close_notify);
        let stream = connecting.await.map_err(|error| fault(&error))?;
        let wire = match tls {
            None => Wire::Plain(stream),
            Some(tls) => Wire::Tls(Box::new(tls::handshake(&tls, protocol, stream).await?)),
        };
        Ok(Stream {
            wire,
            unsent: Vec::new(),
            close_notify,
        })
    }
}

fn connect(target: &Target) -> impl Future<Output = io::Result<TcpStream>> + Send + use<> {
    let address = target.address;
    let socket = socket::bound(address.ip(), Type::STREAM, Some(Protocol::TCP), &target.source);
    async move { TcpSocket::from_std_stream(socket?.into()).connect(address).await }
}

impl Stream {
    /// The bare stream, for a protocol that drives it itself.
    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }

    /// Sends at once what the socket takes, so that a farewell is on its way before the close; queues the rest.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if let (Wire::Plain(stream), true) = (&self.wire, self.unsent.is_empty()) {
            rest = &bytes[stream.try_write(bytes).unwrap_or(0)..];
        }
        self.unsent.extend_from_slice(rest);
    }

    /// Sends what is unsent, then reads once; `None` at the end.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Fault> {
        let read = match &mut self.wire {
            Wire::Plain(stream) => exchange(stream, &mut self.unsent, buffer).await,
            Wire::Tls(stream) => exchange(stream, &mut self.unsent, buffer).await,
        };
        match read {
            Ok(0) => Ok(None),
            Ok(count) => Ok(Some(count)),
            // Many servers close TCP without TLS's closing alert.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !self.close_notify => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Fault::TlsTruncated),
            Err(error) => Err(fault(&error)),
        }
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    unsent: &mut Vec<u8>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    while !unsent.is_empty() {
        let sent = stream.write(unsent).await?;
        unsent.drain(..sent);
    }
    stream.flush().await?;
    stream.read(buffer).await
}
