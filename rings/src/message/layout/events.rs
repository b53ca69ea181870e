//! Bodies of the event ring.

use core::net::IpAddr;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::{
    BackendKey, Event, Mac, NeighborKey, NeighborState, PassiveSign, PortId, RecordError, RefuseReason,
    ServiceKey, TEXT_LEN_MAX, Text, VlanId,
};
use super::backends::BackendKeyBody;
use super::network::NeighborKeyBody;
use super::{
    Body, Ip, Key, decode_bits, decode_mac, decode_vlan, encode_bits, encode_mac, encode_vlan, station,
};

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(in super::super) struct TextField {
    len: u8,
    bytes: [u8; TEXT_LEN_MAX],
}

impl TextField {
    fn encode(text: &Text) -> Self {
        let mut bytes = [0; TEXT_LEN_MAX];
        let text = text.as_str().as_bytes();
        bytes[..text.len()].copy_from_slice(text);
        // A `Text` is never longer than TEXT_LEN_MAX, which fits a byte.
        Self {
            len: u8::try_from(text.len()).unwrap_or(u8::MAX),
            bytes,
        }
    }

    fn decode(&self) -> Result<Text, RecordError> {
        let Some((text, rest)) = self.bytes.split_at_checked(self.len.into()) else {
            return Err(RecordError::OutOfRange {
                field: "text length",
                value: self.len.into(),
            });
        };
        if rest.iter().any(|&b| b != 0) {
            return Err(RecordError::ReservedNotZero);
        }
        core::str::from_utf8(text)
            .map(Text::new)
            .map_err(|_| RecordError::BadText)
    }
}

body!(PublishedBody {
    commands: U32,
    services: U32,
    backends: U32,
});

impl PublishedBody {
    pub(in super::super) fn encode(commands: u32, services: u32, backends: u32) -> Self {
        Self {
            commands: commands.into(),
            services: services.into(),
            backends: backends.into(),
        }
    }
}

impl Body for PublishedBody {
    type Value = [u32; 3];

    fn decode(&self) -> Result<[u32; 3], RecordError> {
        Ok([self.commands.get(), self.services.get(), self.backends.get()])
    }
}

pub(in super::super) fn published(generation: u64, [commands, services, backends]: [u32; 3]) -> Event {
    Event::Published {
        generation,
        commands,
        services,
        backends,
    }
}

body!(RefusedBody {
    has_index: u8,
    index: U32,
    reason: u8,
    detail: TextField,
});

impl RefusedBody {
    pub(in super::super) fn encode(index: Option<u32>, reason: RefuseReason, detail: &Text) -> Self {
        Self {
            has_index: index.is_some().into(),
            index: index.unwrap_or(0).into(),
            reason: reason.code(),
            detail: TextField::encode(detail),
        }
    }
}

impl Body for RefusedBody {
    type Value = (Option<u32>, RefuseReason, Text);

    fn decode(&self) -> Result<Self::Value, RecordError> {
        let [has_index] = decode_bits(self.has_index)?;
        let index = self.index.get();
        if !has_index && index != 0 {
            return Err(RecordError::ReservedNotZero);
        }
        let reason = code!(RefuseReason, "refusal", self.reason)?;
        Ok((has_index.then_some(index), reason, self.detail.decode()?))
    }
}

pub(in super::super) fn refused(
    generation: u64,
    (record_index, reason, detail): (Option<u32>, RefuseReason, Text),
) -> Event {
    Event::Refused {
        generation,
        record_index,
        reason,
        detail,
    }
}

body!(NeighborEventBody {
    neighbor: NeighborKeyBody,
    state: u8,
    mac: [u8; 6],
});

impl NeighborEventBody {
    pub(in super::super) fn encode(neighbor: &NeighborKey, state: NeighborState, mac: Option<Mac>) -> Self {
        Self {
            neighbor: NeighborKeyBody::encode(neighbor),
            state: state.code(),
            mac: encode_mac(mac),
        }
    }
}

impl Body for NeighborEventBody {
    type Value = Event;

    fn decode(&self) -> Result<Event, RecordError> {
        Ok(Event::NeighborChanged {
            neighbor: self.neighbor.decode()?,
            state: code!(NeighborState, "neighbour state", self.state)?,
            mac: decode_mac(self.mac)?,
        })
    }
}

body!(WorkerPanickedBody {
    worker: U16,
    message: TextField,
});

impl WorkerPanickedBody {
    pub(in super::super) fn encode(worker: u16, message: &Text) -> Self {
        Self {
            worker: worker.into(),
            message: TextField::encode(message),
        }
    }
}

impl Body for WorkerPanickedBody {
    type Value = Event;

    fn decode(&self) -> Result<Event, RecordError> {
        Ok(Event::WorkerPanicked {
            worker: self.worker.get(),
            message: self.message.decode()?,
        })
    }
}

body!(AddressConflictBody {
    address: Ip,
    mac: [u8; 6],
    port: U16,
    vlan: U16,
});

impl AddressConflictBody {
    pub(in super::super) fn encode(address: IpAddr, mac: Mac, port: PortId, vlan: Option<VlanId>) -> Self {
        Self {
            address: Ip::encode(address),
            mac,
            port: port.0.into(),
            vlan: encode_vlan(vlan),
        }
    }
}

impl Body for AddressConflictBody {
    type Value = Event;

    fn decode(&self) -> Result<Event, RecordError> {
        Ok(Event::AddressConflict {
            address: self.address.decode()?,
            mac: station(self.mac)?,
            port: PortId(self.port.get()),
            vlan: decode_vlan(self.vlan)?,
        })
    }
}

body!(PassiveBody {
    backend: BackendKeyBody,
    sign: u8,
});

impl PassiveBody {
    pub(in super::super) fn encode(service: &ServiceKey, backend: &BackendKey, sign: PassiveSign) -> Self {
        Self {
            backend: BackendKeyBody::encode(service, backend),
            sign: sign.code(),
        }
    }
}

impl Body for PassiveBody {
    type Value = Event;

    fn decode(&self) -> Result<Event, RecordError> {
        let (service, backend) = self.backend.decode()?;
        Ok(Event::BackendPassive {
            service,
            backend,
            sign: code!(PassiveSign, "passive sign", self.sign)?,
        })
    }
}

body!(BackendEventBody {
    backend: BackendKeyBody,
});

impl BackendEventBody {
    pub(in super::super) fn encode(service: &ServiceKey, backend: &BackendKey) -> Self {
        Self {
            backend: BackendKeyBody::encode(service, backend),
        }
    }
}

impl Body for BackendEventBody {
    type Value = Event;

    fn decode(&self) -> Result<Event, RecordError> {
        let (service, backend) = self.backend.decode()?;
        Ok(Event::BackendDrained { service, backend })
    }
}

body!(LinkBody {
    port: U16,
    flags: u8,
    speed_mbps: U32,
});

impl LinkBody {
    pub(in super::super) fn encode(port: PortId, up: bool, speed_mbps: u32, full_duplex: bool) -> Self {
        Self {
            port: port.0.into(),
            flags: encode_bits([up, full_duplex]),
            speed_mbps: speed_mbps.into(),
        }
    }
}

impl Body for LinkBody {
    type Value = Event;

    fn decode(&self) -> Result<Event, RecordError> {
        let [up, full_duplex] = decode_bits(self.flags)?;
        let (port, speed_mbps) = (PortId(self.port.get()), self.speed_mbps.get());
        Ok(Event::LinkChanged {
            port,
            up,
            speed_mbps,
            full_duplex,
        })
    }
}

body!(ExhaustedBody {
    service: Key,
    refused: U64,
});

impl ExhaustedBody {
    pub(in super::super) fn encode(service: &ServiceKey, refused: u64) -> Self {
        Self {
            service: Key::encode(service),
            refused: refused.into(),
        }
    }
}

impl Body for ExhaustedBody {
    type Value = Event;

    fn decode(&self) -> Result<Event, RecordError> {
        Ok(Event::LocalPortsExhausted {
            service: self.service.decode()?,
            refused: self.refused.get(),
        })
    }
}

body!(FlowTableBody {
    worker: U16,
    flows_max: U64,
});

impl FlowTableBody {
    pub(in super::super) fn encode(worker: u16, flows_max: u64) -> Self {
        Self {
            worker: worker.into(),
            flows_max: flows_max.into(),
        }
    }
}

impl Body for FlowTableBody {
    type Value = Event;

    fn decode(&self) -> Result<Event, RecordError> {
        Ok(Event::FlowTableFull {
            worker: self.worker.get(),
            flows_max: self.flows_max.get(),
        })
    }
}

body!(LostBody { events: U64 });

impl LostBody {
    pub(in super::super) fn encode(events: u64) -> Self {
        Self {
            events: events.into(),
        }
    }
}

impl Body for LostBody {
    type Value = Event;

    fn decode(&self) -> Result<Event, RecordError> {
        Ok(Event::Lost {
            events: self.events.get(),
        })
    }
}
