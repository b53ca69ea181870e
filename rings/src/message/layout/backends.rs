//! Bodies that describe backends.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::{
    Backend, BackendKey, Forward, ForwardMode, RecordError, ServiceKey, Tunnel, TunnelChecksum, TunnelKind,
};
use super::{Body, Ip, Key, Server, decode_bits, decode_mtu, decode_vlan, encode_bits, encode_vlan, station};

body!(BackendKeyBody {
    service: Key,
    server: Server,
});

impl BackendKeyBody {
    pub(in super::super) fn encode(service: &ServiceKey, key: &BackendKey) -> Self {
        Self {
            service: Key::encode(service),
            server: Server::encode(key),
        }
    }
}

impl Body for BackendKeyBody {
    type Value = (ServiceKey, BackendKey);

    fn decode(&self) -> Result<Self::Value, RecordError> {
        Ok((self.service.decode()?, self.server.decode()?))
    }
}

body!(BackendBody {
    service: Key,
    server: Server,
    weight: U16,
    mode: u8,
    tunnel_kind: u8,
    tunnel_port: U16,
    tunnel_checksum: u8,
    tunnel_vni: U32,
    tunnel_inner_mac: [u8; 6],
    tunnel_source: Ip,
    upper_threshold: U32,
    lower_threshold: U32,
    flags: u8,
    vlan: U16,
    path_mtu: U16,
});

const VNI_MAX: u32 = 0xff_ffff;

impl BackendBody {
    pub(in super::super) fn encode(backend: &Backend) -> Self {
        let (kind, port, checksum, vni, inner_mac) = match backend.forward {
            Forward::Dr | Forward::Nat | Forward::FullNat => (0, 0, TunnelChecksum::None, 0, [0; 6]),
            Forward::Tunnel(tunnel) => {
                let kind = tunnel.kind().code();
                match tunnel {
                    Tunnel::Ipip => (kind, 0, TunnelChecksum::None, 0, [0; 6]),
                    Tunnel::Gre { checksum } => (kind, 0, checksum, 0, [0; 6]),
                    Tunnel::Gue { port, checksum } => (kind, port, checksum, 0, [0; 6]),
                    Tunnel::Vxlan { port, vni, inner_mac } => {
                        (kind, port, TunnelChecksum::None, vni, inner_mac)
                    }
                }
            }
        };
        Self {
            service: Key::encode(&backend.service),
            server: Server::encode(&backend.key),
            weight: backend.weight.into(),
            mode: backend.forward.mode().code(),
            tunnel_kind: kind,
            tunnel_port: port.into(),
            tunnel_checksum: checksum.code(),
            tunnel_vni: vni.into(),
            tunnel_inner_mac: inner_mac,
            tunnel_source: Ip::encode_option(backend.tunnel_source),
            upper_threshold: backend.upper_threshold.into(),
            lower_threshold: backend.lower_threshold.into(),
            flags: encode_bits([backend.drain]),
            vlan: encode_vlan(backend.vlan),
            path_mtu: backend.path_mtu.unwrap_or(0).into(),
        }
    }

    fn forward(&self) -> Result<Forward, RecordError> {
        let mode = code!(ForwardMode, "forward mode", self.mode)?;
        let forward = match mode {
            ForwardMode::Dr => Forward::Dr,
            ForwardMode::Nat => Forward::Nat,
            ForwardMode::FullNat => Forward::FullNat,
            ForwardMode::Tunnel => return self.tunnel().map(Forward::Tunnel),
        };
        if self.tunnel_kind != 0 || self.tunnel_source.family != 0 {
            return Err(RecordError::Inconsistent {
                what: "only the tunnel mode has tunnel parameters",
            });
        }
        self.unused(true, true, true, true)?;
        Ok(forward)
    }

    /// Fails when a parameter that the encapsulation does not have is set.
    fn unused(&self, port: bool, checksum: bool, vni: bool, mac: bool) -> Result<(), RecordError> {
        let set = port && self.tunnel_port != U16::ZERO
            || checksum && self.tunnel_checksum != 0
            || vni && self.tunnel_vni != U32::ZERO
            || mac && self.tunnel_inner_mac != [0; 6];
        if set {
            Err(RecordError::ReservedNotZero)
        } else {
            Ok(())
        }
    }

    fn tunnel(&self) -> Result<Tunnel, RecordError> {
        let checksum = code!(TunnelChecksum, "tunnel checksum", self.tunnel_checksum)?;
        match code!(TunnelKind, "tunnel kind", self.tunnel_kind)? {
            TunnelKind::Ipip => self.unused(true, true, true, true).map(|()| Tunnel::Ipip),
            TunnelKind::Gre => {
                self.unused(true, false, true, true)?;
                if checksum == TunnelChecksum::Remote {
                    return Err(RecordError::Inconsistent {
                        what: "GRE has no remote checksum; write full",
                    });
                }
                Ok(Tunnel::Gre { checksum })
            }
            TunnelKind::Gue => {
                self.unused(false, false, true, true)?;
                Ok(Tunnel::Gue {
                    port: self.udp_port()?,
                    checksum,
                })
            }
            TunnelKind::Vxlan => {
                self.unused(false, true, false, false)?;
                let vni = self.tunnel_vni.get();
                if vni > VNI_MAX {
                    return Err(RecordError::OutOfRange {
                        field: "VXLAN identifier",
                        value: vni.into(),
                    });
                }
                Ok(Tunnel::Vxlan {
                    port: self.udp_port()?,
                    vni,
                    inner_mac: station(self.tunnel_inner_mac)?,
                })
            }
        }
    }

    fn udp_port(&self) -> Result<u16, RecordError> {
        match self.tunnel_port.get() {
            0 => Err(RecordError::OutOfRange {
                field: "tunnel port",
                value: 0,
            }),
            port => Ok(port),
        }
    }
}

/// What a mode asks of the two keys. IPVS has the same rules (ipvsadm refuses the rest).
fn check_keys(service: &ServiceKey, server: &BackendKey, forward: Forward) -> Result<(), RecordError> {
    let same_family = service.address.is_ipv4() == server.address.is_ipv4();
    let same_port = service.port == server.port;
    let what = match forward {
        Forward::Dr if !same_family => "dr needs a server of the VIP's address family; use a tunnel",
        Forward::Nat if !same_family => "nat needs a server of the VIP's address family; use fullnat",
        Forward::Dr | Forward::Tunnel(_) if !same_port => {
            "dr and tunnel keep the port; give the server the service's port"
        }
        Forward::Dr | Forward::Tunnel(_) | Forward::Nat | Forward::FullNat => return Ok(()),
    };
    Err(RecordError::Inconsistent { what })
}

impl Body for BackendBody {
    type Value = Backend;

    fn decode(&self) -> Result<Backend, RecordError> {
        let (service, key, forward) = (self.service.decode()?, self.server.decode()?, self.forward()?);
        check_keys(&service, &key, forward)?;
        let tunnel_source = self.tunnel_source.decode_option()?;
        if tunnel_source.is_some_and(|source| source.is_ipv4() != key.address.is_ipv4()) {
            return Err(RecordError::Inconsistent {
                what: "a tunnel's source must be of the server's address family",
            });
        }
        let [drain] = decode_bits(self.flags)?;
        Ok(Backend {
            service,
            key,
            weight: self.weight.get(),
            forward,
            upper_threshold: self.upper_threshold.get(),
            lower_threshold: self.lower_threshold.get(),
            drain,
            vlan: decode_vlan(self.vlan)?,
            tunnel_source,
            path_mtu: decode_mtu(self.path_mtu)?,
        })
    }
}
