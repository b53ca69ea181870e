//! The frame of a record: 16 bytes of header, 240 of body, and which kind has which body.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

use super::layout::{
    self, AddressBody, AddressConflictBody, BackendBody, BackendEventBody, BackendKeyBody, BeginBody, Body,
    CommitBody, ExhaustedBody, FlowTableBody, LinkBody, LocalAddressBody, LocalAddressKeyBody, LostBody,
    NeighborBody, NeighborEventBody, NeighborKeyBody, PassiveBody, PrefixBody, PublishedBody, RefusedBody,
    RouteBody, ServiceBody, ServiceKeyBody, TimeoutsBody, VipBody, WorkerPanickedBody,
};
use super::{Command, Event, Message, Record, RecordError};

/// Length of a record in bytes.
pub const RECORD_LEN: usize = 256;

/// Length of a record in the words it is copied by.
pub const RECORD_WORDS: usize = RECORD_LEN / 8;

/// A private copy of a record.
pub type RawRecord = [u64; RECORD_WORDS];

/// Bytes of a record behind its header.
pub(super) const BODY_LEN: usize = RECORD_LEN - 16;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
struct Frame {
    kind: U16,
    reserved: U16,
    index: U32,
    generation: U64,
    body: [u8; BODY_LEN],
}

/// Kinds of record. Command and event rings share one numbering, so a mix-up is seen.
mod kind {
    pub(super) const BEGIN: u16 = 1;
    pub(super) const COMMIT: u16 = 2;
    pub(super) const UPSERT_VIP: u16 = 3;
    pub(super) const DELETE_VIP: u16 = 4;
    pub(super) const UPSERT_SERVICE: u16 = 5;
    pub(super) const DELETE_SERVICE: u16 = 6;
    pub(super) const UPSERT_BACKEND: u16 = 7;
    pub(super) const DELETE_BACKEND: u16 = 8;
    pub(super) const UPSERT_LOCAL_ADDRESS: u16 = 9;
    pub(super) const DELETE_LOCAL_ADDRESS: u16 = 10;
    pub(super) const UPSERT_ROUTE: u16 = 11;
    pub(super) const DELETE_ROUTE: u16 = 12;
    pub(super) const UPSERT_NEIGHBOR: u16 = 13;
    pub(super) const DELETE_NEIGHBOR: u16 = 14;
    pub(super) const TIMEOUTS: u16 = 15;
    pub(super) const ANNOUNCE: u16 = 16;
    pub(super) const PUBLISHED: u16 = 129;
    pub(super) const REFUSED: u16 = 130;
    pub(super) const NEIGHBOR_CHANGED: u16 = 131;
    pub(super) const WORKER_PANICKED: u16 = 132;
    pub(super) const ADDRESS_CONFLICT: u16 = 133;
    pub(super) const BACKEND_PASSIVE: u16 = 134;
    pub(super) const BACKEND_DRAINED: u16 = 135;
    pub(super) const LINK_CHANGED: u16 = 136;
    pub(super) const LOCAL_PORTS_EXHAUSTED: u16 = 137;
    pub(super) const FLOW_TABLE_FULL: u16 = 138;
    pub(super) const LOST: u16 = 139;
}

impl Frame {
    fn new<B: Body>(kind: u16, generation: u64, index: u32, body: B) -> Self {
        const { assert!(size_of::<B>() <= BODY_LEN) };
        let mut bytes = [0; BODY_LEN];
        bytes[..size_of::<B>()].copy_from_slice(body.as_bytes());
        Self {
            kind: kind.into(),
            reserved: U16::ZERO,
            index: index.into(),
            generation: generation.into(),
            body: bytes,
        }
    }

    fn from_raw(raw: &RawRecord) -> Result<Self, RecordError> {
        let frame: Self = transmute!(*raw);
        if frame.reserved == U16::ZERO {
            Ok(frame)
        } else {
            Err(RecordError::ReservedNotZero)
        }
    }

    fn into_raw(self) -> RawRecord {
        transmute!(self)
    }

    /// The body read as `B`; every byte behind it must be zero.
    fn body<B: Body>(&self) -> Result<B::Value, RecordError> {
        const { assert!(size_of::<B>() <= BODY_LEN) };
        let Ok((body, rest)) = B::read_from_prefix(&self.body) else {
            return Err(RecordError::ReservedNotZero);
        };
        if rest.iter().any(|&b| b != 0) {
            return Err(RecordError::ReservedNotZero);
        }
        body.decode()
    }

    /// Fails unless `decoded` is what was to be encoded: nothing is sent that would not arrive as it was meant.
    fn proven<T: PartialEq>(
        self,
        wanted: &T,
        decoded: Result<T, RecordError>,
    ) -> Result<RawRecord, RecordError> {
        if decoded? == *wanted {
            return Ok(self.into_raw());
        }
        Err(RecordError::Inconsistent {
            what: "a value means \"none\" in a record; give none instead",
        })
    }
}

impl Message {
    /// The record that says this, or why there is none.
    pub fn encode(&self) -> Result<RawRecord, RecordError> {
        let frame = self.frame();
        frame.proven(&self.record, decode_record(&frame))
    }

    /// What a record of the command ring says.
    pub fn decode(raw: &RawRecord) -> Result<Self, RecordError> {
        let frame = Frame::from_raw(raw)?;
        Ok(Self {
            generation: frame.generation.get(),
            index: frame.index.get(),
            record: decode_record(&frame)?,
        })
    }

    fn frame(&self) -> Frame {
        match &self.record {
            Record::Begin { full } => {
                Frame::new(kind::BEGIN, self.generation, self.index, BeginBody::encode(*full))
            }
            Record::Command(command) => command_frame(self.generation, self.index, command),
            Record::Commit { commands } => Frame::new(
                kind::COMMIT,
                self.generation,
                self.index,
                CommitBody::encode(*commands),
            ),
        }
    }
}

fn command_frame(generation: u64, index: u32, command: &Command) -> Frame {
    macro_rules! frame {
        ($kind:ident, $body:expr) => {
            Frame::new(kind::$kind, generation, index, $body)
        };
    }
    match command {
        Command::UpsertVip(vip) => frame!(UPSERT_VIP, VipBody::encode(vip)),
        Command::DeleteVip(address) => frame!(DELETE_VIP, AddressBody::encode(*address)),
        Command::UpsertService(service) => frame!(UPSERT_SERVICE, ServiceBody::encode(service)),
        Command::DeleteService(key) => frame!(DELETE_SERVICE, ServiceKeyBody::encode(key)),
        Command::UpsertBackend(backend) => frame!(UPSERT_BACKEND, BackendBody::encode(backend)),
        Command::DeleteBackend(service, key) => frame!(DELETE_BACKEND, BackendKeyBody::encode(service, key)),
        Command::UpsertLocalAddress(local) => frame!(UPSERT_LOCAL_ADDRESS, LocalAddressBody::encode(local)),
        Command::DeleteLocalAddress(key) => frame!(DELETE_LOCAL_ADDRESS, LocalAddressKeyBody::encode(key)),
        Command::UpsertRoute(route) => frame!(UPSERT_ROUTE, RouteBody::encode(route)),
        Command::DeleteRoute(prefix) => frame!(DELETE_ROUTE, PrefixBody::encode(*prefix)),
        Command::UpsertNeighbor(neighbor) => frame!(UPSERT_NEIGHBOR, NeighborBody::encode(neighbor)),
        Command::DeleteNeighbor(key) => frame!(DELETE_NEIGHBOR, NeighborKeyBody::encode(key)),
        Command::Timeouts(timeouts) => frame!(TIMEOUTS, TimeoutsBody::encode(timeouts)),
        Command::Announce(address) => frame!(ANNOUNCE, AddressBody::encode(*address)),
    }
}

fn decode_record(frame: &Frame) -> Result<Record, RecordError> {
    let command = match frame.kind.get() {
        kind::BEGIN => {
            return Ok(Record::Begin {
                full: frame.body::<BeginBody>()?,
            });
        }
        kind::COMMIT => {
            return Ok(Record::Commit {
                commands: frame.body::<CommitBody>()?,
            });
        }
        kind::UPSERT_VIP => Command::UpsertVip(frame.body::<VipBody>()?),
        kind::DELETE_VIP => Command::DeleteVip(frame.body::<AddressBody>()?),
        kind::UPSERT_SERVICE => Command::UpsertService(frame.body::<ServiceBody>()?),
        kind::DELETE_SERVICE => Command::DeleteService(frame.body::<ServiceKeyBody>()?),
        kind::UPSERT_BACKEND => Command::UpsertBackend(frame.body::<BackendBody>()?),
        kind::DELETE_BACKEND => {
            let (service, key) = frame.body::<BackendKeyBody>()?;
            Command::DeleteBackend(service, key)
        }
        kind::UPSERT_LOCAL_ADDRESS => Command::UpsertLocalAddress(frame.body::<LocalAddressBody>()?),
        kind::DELETE_LOCAL_ADDRESS => Command::DeleteLocalAddress(frame.body::<LocalAddressKeyBody>()?),
        kind::UPSERT_ROUTE => Command::UpsertRoute(frame.body::<RouteBody>()?),
        kind::DELETE_ROUTE => Command::DeleteRoute(frame.body::<PrefixBody>()?),
        kind::UPSERT_NEIGHBOR => Command::UpsertNeighbor(frame.body::<NeighborBody>()?),
        kind::DELETE_NEIGHBOR => Command::DeleteNeighbor(frame.body::<NeighborKeyBody>()?),
        kind::TIMEOUTS => Command::Timeouts(frame.body::<TimeoutsBody>()?),
        kind::ANNOUNCE => Command::Announce(frame.body::<AddressBody>()?),
        kind => return Err(RecordError::UnknownKind { kind }),
    };
    Ok(Record::Command(command))
}

impl Event {
    /// The record that says this, or why there is none.
    pub fn encode(&self) -> Result<RawRecord, RecordError> {
        let frame = self.frame();
        frame.proven(self, decode_event(&frame))
    }

    /// What a record of the event ring says.
    pub fn decode(raw: &RawRecord) -> Result<Self, RecordError> {
        let frame = Frame::from_raw(raw)?;
        if frame.index != U32::ZERO {
            return Err(RecordError::ReservedNotZero);
        }
        decode_event(&frame)
    }

    fn frame(&self) -> Frame {
        match self {
            Self::Published {
                generation,
                commands,
                services,
                backends,
            } => {
                let body = PublishedBody::encode(*commands, *services, *backends);
                Frame::new(kind::PUBLISHED, *generation, 0, body)
            }
            Self::Refused {
                generation,
                record_index,
                reason,
                detail,
            } => {
                let body = RefusedBody::encode(*record_index, *reason, detail);
                Frame::new(kind::REFUSED, *generation, 0, body)
            }
            Self::NeighborChanged { neighbor, state, mac } => Frame::new(
                kind::NEIGHBOR_CHANGED,
                0,
                0,
                NeighborEventBody::encode(neighbor, *state, *mac),
            ),
            Self::WorkerPanicked { worker, message } => Frame::new(
                kind::WORKER_PANICKED,
                0,
                0,
                WorkerPanickedBody::encode(*worker, message),
            ),
            Self::AddressConflict {
                address,
                mac,
                port,
                vlan,
            } => {
                let body = AddressConflictBody::encode(*address, *mac, *port, *vlan);
                Frame::new(kind::ADDRESS_CONFLICT, 0, 0, body)
            }
            Self::BackendPassive {
                service,
                backend,
                sign,
            } => Frame::new(
                kind::BACKEND_PASSIVE,
                0,
                0,
                PassiveBody::encode(service, backend, *sign),
            ),
            Self::BackendDrained { service, backend } => Frame::new(
                kind::BACKEND_DRAINED,
                0,
                0,
                BackendEventBody::encode(service, backend),
            ),
            Self::LinkChanged {
                port,
                up,
                speed_mbps,
                full_duplex,
            } => Frame::new(
                kind::LINK_CHANGED,
                0,
                0,
                LinkBody::encode(*port, *up, *speed_mbps, *full_duplex),
            ),
            Self::LocalPortsExhausted { service, refused } => Frame::new(
                kind::LOCAL_PORTS_EXHAUSTED,
                0,
                0,
                ExhaustedBody::encode(service, *refused),
            ),
            Self::FlowTableFull { worker, flows_max } => Frame::new(
                kind::FLOW_TABLE_FULL,
                0,
                0,
                FlowTableBody::encode(*worker, *flows_max),
            ),
            Self::Lost { events } => Frame::new(kind::LOST, 0, 0, LostBody::encode(*events)),
        }
    }
}

fn decode_event(frame: &Frame) -> Result<Event, RecordError> {
    let generation = frame.generation.get();
    let kind = frame.kind.get();
    if generation != 0 && kind != kind::PUBLISHED && kind != kind::REFUSED {
        return Err(RecordError::ReservedNotZero);
    }
    Ok(match kind {
        kind::PUBLISHED => layout::published(generation, frame.body::<PublishedBody>()?),
        kind::REFUSED => layout::refused(generation, frame.body::<RefusedBody>()?),
        kind::NEIGHBOR_CHANGED => frame.body::<NeighborEventBody>()?,
        kind::WORKER_PANICKED => frame.body::<WorkerPanickedBody>()?,
        kind::ADDRESS_CONFLICT => frame.body::<AddressConflictBody>()?,
        kind::BACKEND_PASSIVE => frame.body::<PassiveBody>()?,
        kind::BACKEND_DRAINED => frame.body::<BackendEventBody>()?,
        kind::LINK_CHANGED => frame.body::<LinkBody>()?,
        kind::LOCAL_PORTS_EXHAUSTED => frame.body::<ExhaustedBody>()?,
        kind::FLOW_TABLE_FULL => frame.body::<FlowTableBody>()?,
        kind::LOST => frame.body::<LostBody>()?,
        kind => return Err(RecordError::UnknownKind { kind }),
    })
}
