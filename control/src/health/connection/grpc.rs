//! One gRPC call over HTTP/2, by h2: statuses and bytes as they come; what they mean is the dialogue's.

use super::super::Target;
use super::stream::{self, Wire};
use super::task::{Event, Line, Task};
use super::tls;
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use weir_proto::health::grpc::PATH;
use weir_proto::health::probe::Fault;

const HTTP2: tls::Protocol = b"h2";
/// Bytes of header fields taken from a server, as HTTP/2 counts them (RFC 9113 §6.5.2).
const FIELDS_BYTES_MAX: u32 = 16 * 1_024;
/// What gRPC says of an answer without a status: UNKNOWN.
const STATUS_UNKNOWN: u32 = 2;

/// Begins the call.
pub(super) fn start(target: &Target) -> Task {
    let opening = stream::open(target, HTTP2);
    let scheme = if target.tls.is_some() { "https" } else { "http" };
    let name = target.tls.as_ref().and_then(|tls| tls.name.as_ref());
    let authority = match name {
        Some(name) => format!("{name}:{}", target.address.port()),
        None => target.address.to_string(),
    };
    let uri = format!("{scheme}://{authority}{PATH}");
    Task::start(move |mut line| async move {
        let called = match opening.await.map(stream::Stream::into_wire) {
            Ok(Wire::Plain(wire)) => call(&mut line, wire, &uri).await,
            Ok(Wire::Tls(wire)) => call(&mut line, *wire, &uri).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = called {
            line.tell(Event::Broken(fault)).await;
        }
    })
}

async fn call<S: AsyncRead + AsyncWrite + Unpin>(line: &mut Line, wire: S, uri: &str) -> Result<(), Fault> {
    let mut builder = h2::client::Builder::new();
    builder.max_header_list_size(FIELDS_BYTES_MAX).enable_push(false);
    let (requests, connection) = builder.handshake::<_, Bytes>(wire).await.map_err(fault)?;
    tokio::pin!(connection);
    let conversation = converse(line, requests, uri);
    tokio::pin!(conversation);
    tokio::select! {
        said = &mut conversation => said,
        ended = &mut connection => match ended {
            // Closed in good order: what came before it may be a whole answer.
            Ok(()) => conversation.await,
            Err(error) => Err(fault(error)),
        },
    }
}

async fn converse(line: &mut Line, requests: SendRequest<Bytes>, uri: &str) -> Result<(), Fault> {
    line.tell(Event::Connected).await;
    let Some(message) = line.writes.recv().await else {
        return Ok(());
    };
    let request = Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(|_| Fault::Local)?;
    let mut requests = requests.ready().await.map_err(fault)?;
    let (answer, mut sending) = requests.send_request(request, false).map_err(fault)?;
    sending.send_data(message.into(), true).map_err(fault)?;
    let (head, mut body) = answer.await.map_err(fault)?.into_parts();
    line.tell(Event::Code(head.status.as_u16().into())).await;
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(fault)?;
        // It was just taken, so it is there to be given back.
        let _ = body.flow_control().release_capacity(piece.len());
        line.tell(Event::Read(piece.to_vec())).await;
    }
    let trailer = body.trailers().await.map_err(fault)?;
    let status = trailer
        .as_ref()
        .and_then(status)
        .or_else(|| status(&head.headers));
    line.tell(Event::Code(status.unwrap_or(STATUS_UNKNOWN))).await;
    Ok(())
}

fn status(fields: &HeaderMap) -> Option<u32> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn fault(error: h2::Error) -> Fault {
    match error.get_io() {
        Some(error) => super::fault(error),
        None => Fault::Protocol,
    }
}
