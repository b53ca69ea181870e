//! Bodies of records, byte by byte. Little-endian and unaligned, so a layout has no padding and no surprise.
//!
//! "None" is zero, but for ports (0xffff). Decoding refuses every other pattern that has no meaning.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BackendKey, Mac, PORT_ID_MAX, PortId, Protocol, RecordError, ServiceKey, VlanId};

/// Decodes a one-byte code, naming the field when it stands for nothing.
macro_rules! code {
    ($type:ident, $field:literal, $value:expr) => {{
        let value = $value;
        $type::from_code(value).ok_or(RecordError::UnknownCode { field: $field, value })
    }};
}

/// Declares a body: a plain unaligned struct.
macro_rules! body {
    ($name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
        #[repr(C)]
        pub(in super::super) struct $name { $($field: $type,)+ }
    };
}

mod backends;
mod commands;
mod events;
mod network;
mod services;

pub(super) use backends::{BackendBody, BackendKeyBody};
pub(super) use commands::{AddressBody, BeginBody, CommitBody, TimeoutsBody};
pub(super) use events::{
    AddressConflictBody, BackendEventBody, ExhaustedBody, FlowTableBody, LinkBody, LostBody,
    NeighborEventBody, PassiveBody, PublishedBody, RefusedBody, WorkerPanickedBody, published, refused,
};
pub(super) use network::{
    LocalAddressBody, LocalAddressKeyBody, NeighborBody, NeighborKeyBody, PrefixBody, RouteBody, VipBody,
};
pub(super) use services::{ServiceBody, ServiceKeyBody};

/// A body and the value it decodes to.
pub(super) trait Body: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned + Copy {
    type Value;

    fn decode(&self) -> Result<Self::Value, RecordError>;
}

/// An address with its family: 4, 6, or 0 for none.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(super) struct Ip {
    family: u8,
    bytes: [u8; 16],
}

impl Ip {
    const NONE: Self = Self {
        family: 0,
        bytes: [0; 16],
    };

    fn encode(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&a.octets());
                Self { family: 4, bytes }
            }
            IpAddr::V6(a) => Self {
                family: 6,
                bytes: a.octets(),
            },
        }
    }

    fn encode_option(address: Option<IpAddr>) -> Self {
        address.map_or(Self::NONE, Self::encode)
    }

    fn decode(self) -> Result<IpAddr, RecordError> {
        let [a, b, c, d, rest @ ..] = self.bytes;
        match self.family {
            4 if rest == [0; 12] => Ok(Ipv4Addr::new(a, b, c, d).into()),
            4 => Err(RecordError::ReservedNotZero),
            6 => Ok(Ipv6Addr::from(self.bytes).into()),
            value => Err(RecordError::UnknownCode {
                field: "address family",
                value,
            }),
        }
    }

    fn decode_option(self) -> Result<Option<IpAddr>, RecordError> {
        if self.family != 0 {
            return self.decode().map(Some);
        }
        if self.bytes == [0; 16] {
            Ok(None)
        } else {
            Err(RecordError::ReservedNotZero)
        }
    }
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(super) struct Key {
    protocol: u8,
    port: U16,
    address: Ip,
}

impl Key {
    const NONE: Self = Self {
        protocol: 0,
        port: U16::ZERO,
        address: Ip::NONE,
    };

    fn encode(key: &ServiceKey) -> Self {
        Self {
            protocol: key.protocol.code(),
            port: key.port.into(),
            address: Ip::encode(key.address),
        }
    }

    fn decode(self) -> Result<ServiceKey, RecordError> {
        let value = self.protocol;
        let protocol = Protocol::from_code(value).ok_or(RecordError::UnknownCode {
            field: "protocol",
            value,
        })?;
        Ok(ServiceKey {
            protocol,
            address: self.address.decode()?,
            port: self.port.get(),
        })
    }

    fn decode_option(self) -> Result<Option<ServiceKey>, RecordError> {
        if self.as_bytes() == Self::NONE.as_bytes() {
            Ok(None)
        } else {
            self.decode().map(Some)
        }
    }
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(super) struct Server {
    port: U16,
    address: Ip,
}

impl Server {
    fn encode(key: &BackendKey) -> Self {
        Self {
            port: key.port.into(),
            address: Ip::encode(key.address),
        }
    }

    fn decode(self) -> Result<BackendKey, RecordError> {
        Ok(BackendKey {
            address: self.address.decode()?,
            port: self.port.get(),
        })
    }
}

const PORT_NONE: u16 = PORT_ID_MAX + 1;

fn encode_port(port: Option<PortId>) -> U16 {
    port.map_or(PORT_NONE, |p| p.0).into()
}

fn decode_port(port: U16) -> Option<PortId> {
    (port.get() != PORT_NONE).then_some(PortId(port.get()))
}

fn encode_vlan(vlan: Option<VlanId>) -> U16 {
    vlan.map_or(0, VlanId::get).into()
}

fn decode_vlan(vlan: U16) -> Result<Option<VlanId>, RecordError> {
    match vlan.get() {
        0 => Ok(None),
        id => {
            let vlan = VlanId::new(id);
            vlan.map(Some).ok_or(RecordError::OutOfRange {
                field: "VLAN id",
                value: id.into(),
            })
        }
    }
}

/// A MAC a station may own: not zero, not a group address.
fn station(mac: Mac) -> Result<Mac, RecordError> {
    if mac == [0; 6] || mac[0] & 1 != 0 {
        return Err(RecordError::Inconsistent {
            what: "a MAC is zero or a group address; give a station's",
        });
    }
    Ok(mac)
}

fn encode_mac(mac: Option<Mac>) -> Mac {
    mac.unwrap_or_default()
}

fn decode_mac(mac: Mac) -> Result<Option<Mac>, RecordError> {
    if mac == [0; 6] {
        Ok(None)
    } else {
        station(mac).map(Some)
    }
}

/// Flags, lowest bit first.
fn encode_bits<const N: usize>(flags: [bool; N]) -> u8 {
    flags
        .iter()
        .rev()
        .fold(0, |bits, &flag| bits << 1 | u8::from(flag))
}

/// `N` flags; every bit above them must be clear.
fn decode_bits<const N: usize>(bits: u8) -> Result<[bool; N], RecordError> {
    const { assert!(N < 8) };
    if bits >> N != 0 {
        return Err(RecordError::ReservedNotZero);
    }
    Ok(core::array::from_fn(|i| bits >> i & 1 == 1))
}

/// RFC 791: every link carries 68 bytes.
const MTU_MIN: u16 = 68;

fn decode_mtu(mtu: U16) -> Result<Option<u16>, RecordError> {
    match mtu.get() {
        0 => Ok(None),
        mtu if mtu >= MTU_MIN => Ok(Some(mtu)),
        mtu => Err(RecordError::OutOfRange {
            field: "MTU",
            value: mtu.into(),
        }),
    }
}
