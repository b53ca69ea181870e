//! Bodies that describe VIPs, local addresses, routes and neighbours.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::{
    GATEWAYS_MAX, Gateway, LocalAddress, LocalAddressKey, Neighbor, NeighborKey, Prefix, RecordError, Route,
    Vip,
};
use super::{
    Body, Ip, Key, decode_bits, decode_mac, decode_mtu, decode_port, decode_vlan, encode_bits, encode_mac,
    encode_port, encode_vlan, station,
};

body!(VipBody {
    address: Ip,
    port: U16,
    vlan: U16,
    flags: u8,
    mac: [u8; 6],
    peer: Ip,
    relay_ms: U32,
});

impl VipBody {
    pub(in super::super) fn encode(vip: &Vip) -> Self {
        Self {
            address: Ip::encode(vip.address),
            port: encode_port(vip.port),
            vlan: encode_vlan(vip.vlan),
            flags: encode_bits([vip.owned, vip.echo, vip.shared, vip.keep]),
            mac: encode_mac(vip.mac),
            peer: Ip::encode_option(vip.peer),
            relay_ms: vip.relay_ms.into(),
        }
    }
}

impl Body for VipBody {
    type Value = Vip;

    fn decode(&self) -> Result<Vip, RecordError> {
        let [owned, echo, shared, keep] = decode_bits(self.flags)?;
        Ok(Vip {
            address: self.address.decode()?,
            port: decode_port(self.port),
            vlan: decode_vlan(self.vlan)?,
            owned,
            echo,
            shared,
            keep,
            mac: decode_mac(self.mac)?,
            peer: self.peer.decode_option()?,
            relay_ms: self.relay_ms.get(),
        })
    }
}

body!(LocalAddressKeyBody {
    address: Ip,
    service: Key,
});

impl LocalAddressKeyBody {
    pub(in super::super) fn encode(key: &LocalAddressKey) -> Self {
        let service = key.service.as_ref().map_or(Key::NONE, Key::encode);
        Self {
            address: Ip::encode(key.address),
            service,
        }
    }
}

impl Body for LocalAddressKeyBody {
    type Value = LocalAddressKey;

    fn decode(&self) -> Result<LocalAddressKey, RecordError> {
        Ok(LocalAddressKey {
            address: self.address.decode()?,
            service: self.service.decode_option()?,
        })
    }
}

body!(LocalAddressBody {
    key: LocalAddressKeyBody,
    port: U16,
    vlan: U16,
    min: U16,
    max: U16,
});

impl LocalAddressBody {
    pub(in super::super) fn encode(local: &LocalAddress) -> Self {
        Self {
            key: LocalAddressKeyBody::encode(&local.key),
            port: encode_port(local.port),
            vlan: encode_vlan(local.vlan),
            min: local.source_port_min.into(),
            max: local.source_port_max.into(),
        }
    }
}

impl Body for LocalAddressBody {
    type Value = LocalAddress;

    fn decode(&self) -> Result<LocalAddress, RecordError> {
        let (source_port_min, source_port_max) = (self.min.get(), self.max.get());
        if source_port_min == 0 || source_port_min > source_port_max {
            return Err(RecordError::Inconsistent {
                what: "source ports must start above 0 and end where they start or later",
            });
        }
        Ok(LocalAddress {
            key: self.key.decode()?,
            port: decode_port(self.port),
            vlan: decode_vlan(self.vlan)?,
            source_port_min,
            source_port_max,
        })
    }
}

body!(PrefixBody { address: Ip, len: u8 });

impl PrefixBody {
    pub(in super::super) fn encode(prefix: Prefix) -> Self {
        Self {
            address: Ip::encode(prefix.address()),
            len: prefix.len(),
        }
    }
}

impl Body for PrefixBody {
    type Value = Prefix;

    fn decode(&self) -> Result<Prefix, RecordError> {
        Prefix::new(self.address.decode()?, self.len)
    }
}

body!(GatewayBody {
    via: Ip,
    port: U16,
    vlan: U16,
    weight: u8,
});

impl GatewayBody {
    const NONE: Self = Self {
        via: Ip::NONE,
        port: U16::ZERO,
        vlan: U16::ZERO,
        weight: 0,
    };

    fn encode(gateway: &Gateway) -> Self {
        Self {
            via: Ip::encode_option(gateway.via),
            port: encode_port(gateway.port),
            vlan: encode_vlan(gateway.vlan),
            weight: gateway.weight,
        }
    }

    fn decode(self, to: Prefix) -> Result<Gateway, RecordError> {
        let via = self.via.decode_option()?;
        let port = decode_port(self.port);
        if via.is_none() && port.is_none() {
            return Err(RecordError::Inconsistent {
                what: "a gateway needs an address or a port",
            });
        }
        if via.is_some_and(|via| via.is_ipv4() != to.address().is_ipv4()) {
            return Err(RecordError::Inconsistent {
                what: "a gateway must be of the route's address family",
            });
        }
        if self.weight == 0 {
            return Err(RecordError::OutOfRange {
                field: "gateway weight",
                value: 0,
            });
        }
        Ok(Gateway {
            via,
            port,
            vlan: decode_vlan(self.vlan)?,
            weight: self.weight,
        })
    }
}

body!(RouteBody {
    to: PrefixBody,
    mtu: U16,
    count: u8,
    gateways: [GatewayBody; GATEWAYS_MAX],
});

impl RouteBody {
    pub(in super::super) fn encode(route: &Route) -> Self {
        let mut gateways = [GatewayBody::NONE; GATEWAYS_MAX];
        for (to, from) in gateways.iter_mut().zip(&route.gateways) {
            *to = GatewayBody::encode(from);
        }
        Self {
            to: PrefixBody::encode(route.to),
            mtu: route.mtu.unwrap_or(0).into(),
            // Too many for a byte are too many for a record, and decoding says so.
            count: u8::try_from(route.gateways.len()).unwrap_or(u8::MAX),
            gateways,
        }
    }
}

impl Body for RouteBody {
    type Value = Route;

    fn decode(&self) -> Result<Route, RecordError> {
        let count = usize::from(self.count);
        if count == 0 || count > GATEWAYS_MAX {
            return Err(RecordError::OutOfRange {
                field: "number of gateways",
                value: self.count.into(),
            });
        }
        let (used, unused) = self.gateways.split_at(count);
        if unused.as_bytes().iter().any(|&b| b != 0) {
            return Err(RecordError::ReservedNotZero);
        }
        let to = self.to.decode()?;
        let gateways = used.iter().map(|g| g.decode(to)).collect::<Result<_, _>>()?;
        Ok(Route {
            to,
            gateways,
            mtu: decode_mtu(self.mtu)?,
        })
    }
}

body!(NeighborKeyBody {
    address: Ip,
    port: U16,
    vlan: U16,
});

impl NeighborKeyBody {
    pub(in super::super) fn encode(key: &NeighborKey) -> Self {
        Self {
            address: Ip::encode(key.address),
            port: encode_port(key.port),
            vlan: encode_vlan(key.vlan),
        }
    }
}

impl Body for NeighborKeyBody {
    type Value = NeighborKey;

    fn decode(&self) -> Result<NeighborKey, RecordError> {
        Ok(NeighborKey {
            address: self.address.decode()?,
            port: decode_port(self.port),
            vlan: decode_vlan(self.vlan)?,
        })
    }
}

body!(NeighborBody {
    key: NeighborKeyBody,
    mac: [u8; 6],
});

impl NeighborBody {
    pub(in super::super) fn encode(neighbor: &Neighbor) -> Self {
        Self {
            key: NeighborKeyBody::encode(&neighbor.key),
            mac: neighbor.mac,
        }
    }
}

impl Body for NeighborBody {
    type Value = Neighbor;

    fn decode(&self) -> Result<Neighbor, RecordError> {
        Ok(Neighbor {
            key: self.key.decode()?,
            mac: station(self.mac)?,
        })
    }
}
