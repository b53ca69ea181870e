//! gRPC's health service (grpc.health.v1): the message asked with, and the one that answers.
//!
//! HTTP/2 is the driver's; it hands in the HTTP status as the first code, the body's bytes, and the grpc-status as the
//! second code. A message is a flag (compressed or not), a length of four bytes, and protobuf.

use super::failure::Failure;
use super::reader::Progress;

/// Method asked.
pub const PATH: &str = "/grpc.health.v1.Health/Check";
/// An answer is two bytes and five before them; unknown fields may make it longer.
const BODY_BYTES_MAX: usize = 1_024;
const PREFIX_BYTES: usize = 5;
const SERVING: u64 = 1;
const NOT_GRPC: Progress = Progress::Fail(Failure::NotProtocol("gRPC"));

/// `HealthCheckRequest { service }` with its prefix.
pub fn request(service: &str) -> Vec<u8> {
    let service = service.as_bytes();
    let mut message = Vec::with_capacity(service.len() + 4);
    if !service.is_empty() {
        message.push(0x0a);
        varint(&mut message, service.len() as u64);
        message.extend_from_slice(service);
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), &message].concat()
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Reads one answer.
#[derive(Debug, Clone, Default)]
pub struct GrpcReader {
    accepted: bool,
    body: Vec<u8>,
}

impl GrpcReader {
    /// Takes a piece of the body.
    pub fn read(&mut self, piece: &[u8]) -> Progress {
        if self.body.len() + piece.len() > BODY_BYTES_MAX {
            return Progress::Fail(Failure::ReplyTooLong);
        }
        self.body.extend_from_slice(piece);
        Progress::More
    }

    /// Takes the HTTP status, then the grpc-status.
    pub fn code(&mut self, code: u32) -> Progress {
        match (self.accepted, code) {
            (false, 200) => {
                self.accepted = true;
                Progress::More
            }
            (false, status) => Progress::Fail(Failure::Code("HTTP status", status)),
            (true, 0) => self.judge(),
            (true, status) => Progress::Fail(Failure::Code("gRPC status", status)),
        }
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.body.len()
    }

    fn judge(&self) -> Progress {
        let Some(&[0, a, b, c, d]) = self.body.first_chunk::<PREFIX_BYTES>() else {
            return NOT_GRPC;
        };
        let message = &self.body[PREFIX_BYTES..];
        if u32::from_be_bytes([a, b, c, d]) as usize != message.len() {
            return NOT_GRPC;
        }
        match status(message) {
            Some(SERVING) => Progress::Pass,
            Some(other) => Progress::Fail(Failure::Code(
                "gRPC health status",
                u32::try_from(other).unwrap_or(u32::MAX),
            )),
            None => NOT_GRPC,
        }
    }
}

/// Field 1 of `HealthCheckResponse`; 0 (UNKNOWN) when it is left out. `None` for what is no protobuf.
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        let skip = match tag & 7 {
            0 => {
                let value = take_varint(&mut message)?;
                if tag >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(take_varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(skip..)?;
    }
    Some(status)
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for at in 0..10 {
        let byte = *message.get(at)?;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *message = &message[at + 1..];
            return Some(value);
        }
    }
    None
}
