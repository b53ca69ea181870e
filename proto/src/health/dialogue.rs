//! Every kind of check, and the reading of its answer.

use super::datagram::Datagram;
use super::dns::Query;
use super::failure::Failure;
use super::grpc::{self, GrpcReader};
use super::http::{self, Get};
use super::local::{self, NumberFile, Script};
use super::ping::Echo;
use super::reader::Progress;
use super::talk::{Talk, TalkReader};
use super::through::{Through, ThroughReader};
use crate::time::Instant;
use std::net::SocketAddr;

/// What a run says to the server and wants to hear.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dialogue {
    /// A TCP connection is accepted; nothing is sent.
    Tcp,
    /// HTTP GETs, each on a connection of its own, are all answered as wished.
    Http(Vec<Get>),
    /// Steps of saying and hearing on one connection.
    Talk(Talk),
    /// A datagram.
    Udp(Datagram),
    /// A question to a name server.
    Dns(Query),
    /// An ICMP echo.
    Ping(Echo),
    /// gRPC's health service, asked about this service; empty: the server as a whole.
    Grpc(String),
    /// A program of this host.
    Script(Script),
    /// A number in a file of this host.
    File(NumberFile),
    /// The BFD session of this name.
    Bfd(String),
    /// A connection to the virtual address, sent to the server the way clients' packets are.
    Through(Through),
}

impl Dialogue {
    /// How many connections a run makes, one after the other.
    pub(super) fn parts(&self) -> usize {
        match self {
            Self::Http(gets) => gets.len(),
            Self::Tcp
            | Self::Talk(_)
            | Self::Udp(_)
            | Self::Dns(_)
            | Self::Ping(_)
            | Self::Grpc(_)
            | Self::Script(_)
            | Self::File(_)
            | Self::Bfd(_)
            | Self::Through(_) => 1,
        }
    }
}

/// Where the reading of one answer stands.
#[derive(Debug, Clone)]
pub(super) enum Reader {
    Nothing,
    Http(http::Reader),
    Talk(TalkReader),
    Udp,
    Dns { id: u16 },
    Ping { token: u64 },
    Grpc(GrpcReader),
    Script,
    Bfd,
    File(Vec<u8>),
    Through(ThroughReader),
}

impl Reader {
    /// Begins part number `part` of a run at `now`, which tells this run's answers from an earlier one's.
    pub(super) fn start(
        dialogue: &Dialogue,
        part: usize,
        now: Instant,
        local: Option<SocketAddr>,
    ) -> (Self, Progress) {
        let token = now.as_nanos();
        match dialogue {
            Dialogue::Tcp => (Self::Nothing, Progress::Pass),
            Dialogue::Http(gets) => match gets.get(part) {
                Some(get) => (Self::Http(http::Reader::default()), Progress::Say(get.request())),
                None => (Self::Nothing, Progress::Pass),
            },
            Dialogue::Talk(talk) => {
                let mut reader = TalkReader::new(token);
                let progress = reader.start(talk);
                (Self::Talk(reader), progress)
            }
            Dialogue::Udp(datagram) => (Self::Udp, Progress::Say(datagram.send.bytes(token))),
            Dialogue::Dns(query) => {
                let id = (token ^ (token >> 16) ^ (token >> 32)) as u16;
                (Self::Dns { id }, Progress::Say(query.request(id)))
            }
            Dialogue::Ping(echo) => (Self::Ping { token }, Progress::Say(echo.request(token))),
            Dialogue::Grpc(service) => (
                Self::Grpc(GrpcReader::default()),
                Progress::Say(grpc::request(service)),
            ),
            Dialogue::Script(_) => (Self::Script, Progress::More),
            Dialogue::Bfd(_) => (Self::Bfd, Progress::More),
            Dialogue::File(_) => (Self::File(Vec::new()), Progress::More),
            Dialogue::Through(through) => {
                let (reader, progress) = ThroughReader::start(through, token, local);
                (Self::Through(reader), progress)
            }
        }
    }

    /// Takes bytes; for a datagram socket, one datagram.
    pub(super) fn read(&mut self, dialogue: &Dialogue, part: usize, bytes: &[u8]) -> Progress {
        match (self, dialogue) {
            (Self::Http(reader), Dialogue::Http(gets)) => match gets.get(part) {
                Some(get) => reader.read(get, bytes),
                None => Progress::Pass,
            },
            (Self::Talk(reader), Dialogue::Talk(talk)) => reader.read(talk, bytes),
            (Self::Udp, Dialogue::Udp(datagram)) => datagram.read(bytes),
            (Self::Dns { id }, Dialogue::Dns(query)) => query.read(*id, bytes),
            (Self::Ping { token }, Dialogue::Ping(echo)) => echo.read(*token, bytes),
            (Self::Grpc(reader), _) => reader.read(bytes),
            (Self::Through(reader), Dialogue::Through(through)) => reader.read(through, bytes),
            (Self::File(content), _) => {
                let room = (local::FILE_BYTES_MAX + 1).saturating_sub(content.len());
                content.extend_from_slice(&bytes[..bytes.len().min(room)]);
                Progress::More
            }
            // A reader stands only beside the dialogue that made it.
            _ => Progress::More,
        }
    }

    /// The server has closed its side, or the file has ended.
    pub(super) fn eof(&mut self, dialogue: &Dialogue, part: usize) -> Progress {
        match (self, dialogue) {
            (Self::Http(reader), Dialogue::Http(gets)) => match gets.get(part) {
                Some(get) => reader.eof(get),
                None => Progress::Pass,
            },
            (Self::File(content), Dialogue::File(file)) => file.read(content),
            _ => Progress::Fail(Failure::Truncated),
        }
    }

    /// Takes a code that is no byte of the answer: an exit status, an HTTP/2 status, a grpc-status, a session's state.
    pub(super) fn code(&mut self, dialogue: &Dialogue, code: u32) -> Progress {
        match (self, dialogue) {
            (Self::Script, Dialogue::Script(script)) => script.exit(code),
            (Self::Bfd, _) => local::session(code),
            (Self::Grpc(reader), _) => reader.code(code),
            _ => Progress::More,
        }
    }

    /// The time is up.
    pub(super) fn silence(&self, dialogue: &Dialogue) -> Progress {
        match dialogue {
            Dialogue::Udp(datagram) => datagram.silence(),
            Dialogue::Tcp
            | Dialogue::Http(_)
            | Dialogue::Talk(_)
            | Dialogue::Dns(_)
            | Dialogue::Ping(_)
            | Dialogue::Grpc(_)
            | Dialogue::Script(_)
            | Dialogue::File(_)
            | Dialogue::Bfd(_)
            | Dialogue::Through(_) => Progress::Fail(Failure::AnswerTimeout),
        }
    }

    /// Bytes held of what the server sent.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Http(reader) => reader.held(),
            Self::Talk(reader) => reader.held(),
            Self::Grpc(reader) => reader.held(),
            Self::File(content) => content.len(),
            Self::Nothing
            | Self::Udp
            | Self::Dns { .. }
            | Self::Ping { .. }
            | Self::Script
            | Self::Bfd
            | Self::Through(_) => 0,
        }
    }
}
