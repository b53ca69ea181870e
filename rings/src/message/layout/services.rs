//! Bodies that describe services.

use core::net::IpAddr;
use core::num::NonZeroU32;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::{
    ConnReuse, FlowPolicy, ForwardMode, MaglevSize, MssClamp, NoServerReply, Persistence, Protocol,
    RecordError, Scheduler, SchedulerKind, Service, ServiceKey, TIMEOUT_S_MAX, Timeouts, address_bits,
};
use super::{Body, Key, decode_bits, decode_vlan, encode_bits, encode_vlan};

body!(ServiceKeyBody { key: Key });

impl ServiceKeyBody {
    pub(in super::super) fn encode(key: &ServiceKey) -> Self {
        Self {
            key: Key::encode(key),
        }
    }
}

impl Body for ServiceKeyBody {
    type Value = ServiceKey;

    fn decode(&self) -> Result<ServiceKey, RecordError> {
        self.key.decode()
    }
}

body!(ServiceBody {
    key: Key,
    scheduler: u8,
    scheduler_flags: u8,
    maglev_size: u8,
    persistence_s: U32,
    persistence_len: u8,
    flags: u8,
    forward: u8,
    conn_reuse: u8,
    group: U32,
    mss_clamp: U16,
    no_server: u8,
    vlan: U16,
    own_timeouts: u8,
    timeouts_s: [U32; 14],
});

/// Codes of an MSS clamp; what is above is the MSS itself.
const MSS_OFF: u16 = 0;
const MSS_AUTO: u16 = 1;
/// RFC 879's lower bound in practice: 68 bytes of MTU less 40 of headers.
const MSS_MIN: u16 = 28;

impl ServiceBody {
    pub(in super::super) fn encode(service: &Service) -> Self {
        let policy = service.policy;
        let flags = [
            service.one_packet,
            policy.expire_nodest,
            policy.expire_quiescent_template,
            policy.sloppy_tcp,
            service.passive_check,
        ];
        Self {
            key: Key::encode(&service.key),
            scheduler: service.scheduler.kind.code(),
            scheduler_flags: encode_bits([service.scheduler.fallback, service.scheduler.port]),
            maglev_size: service.scheduler.maglev_size.code(),
            persistence_s: service.persistence.map_or(0, |p| p.timeout_s).into(),
            persistence_len: service.persistence.map_or(0, |p| p.prefix_len),
            flags: encode_bits(flags),
            forward: service.forward.code(),
            conn_reuse: policy.conn_reuse.code(),
            group: service.group.map_or(0, NonZeroU32::get).into(),
            mss_clamp: match service.mss_clamp {
                MssClamp::Off => MSS_OFF,
                MssClamp::Auto => MSS_AUTO,
                MssClamp::Fixed(mss) => mss,
            }
            .into(),
            no_server: service.no_server.code(),
            vlan: encode_vlan(service.vlan),
            own_timeouts: service.timeouts.is_some().into(),
            timeouts_s: service.timeouts.map_or([0; 14], Timeouts::to_array).map(U32::new),
        }
    }

    fn persistence(&self, address: IpAddr) -> Result<Option<Persistence>, RecordError> {
        let (timeout_s, prefix_len) = (self.persistence_s.get(), self.persistence_len);
        if timeout_s == 0 && prefix_len == 0 {
            return Ok(None);
        }
        if timeout_s == 0 || timeout_s > TIMEOUT_S_MAX {
            return Err(RecordError::OutOfRange {
                field: "persistence in seconds",
                value: timeout_s.into(),
            });
        }
        if prefix_len > address_bits(address) {
            return Err(RecordError::OutOfRange {
                field: "persistence prefix",
                value: prefix_len.into(),
            });
        }
        Ok(Some(Persistence {
            timeout_s,
            prefix_len,
        }))
    }

    fn mss_clamp(&self) -> Result<MssClamp, RecordError> {
        match self.mss_clamp.get() {
            MSS_OFF => Ok(MssClamp::Off),
            MSS_AUTO => Ok(MssClamp::Auto),
            mss if mss >= MSS_MIN => Ok(MssClamp::Fixed(mss)),
            mss => Err(RecordError::OutOfRange {
                field: "MSS",
                value: mss.into(),
            }),
        }
    }

    fn timeouts(&self) -> Result<Option<Timeouts>, RecordError> {
        let [own] = decode_bits(self.own_timeouts)?;
        let timeouts_s = self.timeouts_s.map(U32::get);
        match (own, timeouts_s == [0; 14]) {
            (true, _) => Timeouts::checked(timeouts_s).map(Some),
            (false, true) => Ok(None),
            (false, false) => Err(RecordError::ReservedNotZero),
        }
    }

    fn scheduler(&self) -> Result<Scheduler, RecordError> {
        let [fallback, port] = decode_bits(self.scheduler_flags)?;
        Ok(Scheduler {
            kind: code!(SchedulerKind, "scheduler", self.scheduler)?,
            fallback,
            port,
            maglev_size: code!(MaglevSize, "maglev table size", self.maglev_size)?,
        })
    }
}

impl Body for ServiceBody {
    type Value = Service;

    fn decode(&self) -> Result<Service, RecordError> {
        let key = self.key.decode()?;
        let [
            one_packet,
            expire_nodest,
            expire_quiescent_template,
            sloppy_tcp,
            passive_check,
        ] = decode_bits(self.flags)?;
        if one_packet && key.protocol != Protocol::Udp {
            return Err(RecordError::Inconsistent {
                what: "one-packet scheduling is for UDP only",
            });
        }
        Ok(Service {
            key,
            scheduler: self.scheduler()?,
            persistence: self.persistence(key.address)?,
            one_packet,
            forward: code!(ForwardMode, "forward mode", self.forward)?,
            group: NonZeroU32::new(self.group.get()),
            mss_clamp: self.mss_clamp()?,
            no_server: code!(NoServerReply, "no-server reply", self.no_server)?,
            timeouts: self.timeouts()?,
            policy: FlowPolicy {
                expire_nodest,
                expire_quiescent_template,
                conn_reuse: code!(ConnReuse, "connection reuse", self.conn_reuse)?,
                sloppy_tcp,
            },
            vlan: decode_vlan(self.vlan)?,
            passive_check,
        })
    }
}
