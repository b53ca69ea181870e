//! From bytes to [`Advert`] with every check of RFC 9568 §7.1, and back. What is refused has a [`Reject`], and each of
//! them a counter.

use core::net::IpAddr;

use weir_wire::vrrp::{self, Packet, Repr, TTL, Version, ah, hmac};
use weir_wire::{IpProtocol, checksum};

use super::auth::{BadTrailer, HeaderState, Mode, TrailerState, UnixTime};
use super::config::{Auth, Config, OtherAddresses};
use crate::time::Duration;

/// An IPv4 or IPv6 packet as the driver got it.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// From.
    pub src: IpAddr,
    /// To.
    pub dst: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The IPv4 header, 20 bytes at least; empty for IPv6, where the kernel does not give it.
    pub ip_header: &'a [u8],
    /// What follows the IP header, without padding.
    pub payload: &'a [u8],
}

/// An advertisement that has passed every check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advert {
    /// Its sender.
    pub src: IpAddr,
    /// The sender's priority; 0 when it stops.
    pub priority: u8,
    /// The sender's interval.
    pub interval: Duration,
    /// It lists other addresses than ours, and the rules let that pass.
    pub other_addresses: bool,
}

/// Why an advertisement was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reject {
    /// Too short, or a length that contradicts the count of addresses.
    Length,
    /// TTL or hop limit below what it must be: it came over a router.
    Ttl,
    /// Another version than ours.
    Version,
    /// Not an advertisement.
    Type,
    /// Another VRID: not for us.
    Vrid,
    /// The checksum does not add up.
    Checksum,
    /// Version 2 with another interval than ours, or an interval of zero.
    Interval,
    /// Other addresses than ours.
    Addresses,
    /// An authentication type that does not exist.
    AuthTypeUnknown,
    /// Another authentication type than ours.
    AuthType,
    /// A wrong password, a wrong HMAC, an unknown key, or no trailer where there must be one.
    Authentication,
    /// An authenticated advertisement heard before.
    Replay,
    /// An authenticated advertisement too old, or from the future.
    Stale,
    /// Not from a unicast peer of ours.
    Stranger,
    /// Our own packet came back.
    Own,
}

impl Reject {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::Length,
        Self::Ttl,
        Self::Version,
        Self::Type,
        Self::Vrid,
        Self::Checksum,
        Self::Interval,
        Self::Addresses,
        Self::AuthTypeUnknown,
        Self::AuthType,
        Self::Authentication,
        Self::Replay,
        Self::Stale,
        Self::Stranger,
        Self::Own,
    ];

    /// Stable name for counters: keepalived's where it has one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Length => "packet_len_err",
            Self::Ttl => "ip_ttl_err",
            Self::Version => "vers_err",
            Self::Type => "invalid_type_rcvd",
            Self::Vrid => "vrid_err",
            Self::Checksum => "chk_err",
            Self::Interval => "advert_interval_err",
            Self::Addresses => "addr_list_err",
            Self::AuthTypeUnknown => "invalid_authtype",
            Self::AuthType => "authtype_mismatch",
            Self::Authentication => "auth_failure",
            Self::Replay => "auth_replay",
            Self::Stale => "auth_stale",
            Self::Stranger => "unicast_stranger",
            Self::Own => "own_packet",
        }
    }
}

impl From<weir_wire::Error> for Reject {
    fn from(error: weir_wire::Error) -> Self {
        use weir_wire::Error;
        match error {
            Error::BadVersion => Self::Version,
            Error::BadType => Self::Type,
            Error::BadChecksum => Self::Checksum,
            Error::Truncated
            | Error::BadHeaderLength
            | Error::BadTotalLength
            | Error::BadOption
            | Error::BadField
            | Error::BadAddress
            | Error::BadHopLimit
            | Error::TooManyExtensions
            | Error::BadExtensionOrder => Self::Length,
        }
    }
}

impl From<BadTrailer> for Reject {
    fn from(bad: BadTrailer) -> Self {
        match bad {
            BadTrailer::Malformed | BadTrailer::UnknownKey | BadTrailer::BadHmac => Self::Authentication,
            BadTrailer::Stale => Self::Stale,
            BadTrailer::Replayed => Self::Replay,
        }
    }
}

/// A packet to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// To: the group or a peer.
    pub to: IpAddr,
    /// With this protocol number: VRRP, or AH in front of it.
    pub protocol: IpProtocol,
    /// The IPv4 header the payload was authenticated with; it must be sent as it is. `None`: the kernel's will do.
    pub ip_header: Option<[u8; ah::IP_HEADER_LEN]>,
    /// What follows the IP header.
    pub payload: Vec<u8>,
}

/// Reads and writes the advertisements of one virtual router.
#[derive(Debug, Clone, Default)]
pub struct Codec {
    trailer: TrailerState,
    header: HeaderState,
    /// Identification of the IPv4 header we build ourselves; never 0, which the kernel would replace.
    ip_id: u16,
}

impl Codec {
    /// Nothing sent, nothing heard.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks a packet. `unix` is the wall clock, for trailers.
    pub fn read(
        &mut self,
        config: &Config,
        unix: UnixTime,
        received: &Received<'_>,
    ) -> Result<Advert, Reject> {
        check_path(config, received)?;
        let (header, body) = split_header(config, received.payload)?;
        // The order is that of the RFC, but whose packet it is comes before everything that may be said about it.
        if body.get(1).is_some_and(|vrid| *vrid != config.vrid) {
            return Err(Reject::Vrid);
        }
        let packet = Packet::new_checked(body, config.family)?;
        if packet.version() != config.version {
            return Err(Reject::Version);
        }
        if !packet.checksum_is_valid(received.src, received.dst, config.checksum) {
            return Err(Reject::Checksum);
        }
        self.check_auth(config, unix, received, &packet, header, body)?;
        let interval = packet.interval().duration();
        if interval.is_zero() || (config.version == Version::V2 && interval != config.interval) {
            return Err(Reject::Interval);
        }
        let other_addresses = !lists_the_same(&packet, &config.addresses);
        if other_addresses && config.rules.other_addresses == OtherAddresses::Refuse {
            return Err(Reject::Addresses);
        }
        Ok(Advert {
            src: received.src,
            priority: packet.priority(),
            interval,
            other_addresses,
        })
    }

    fn check_auth(
        &mut self,
        config: &Config,
        unix: UnixTime,
        received: &Received<'_>,
        packet: &Packet<&[u8]>,
        header: Option<ah::Header>,
        body: &[u8],
    ) -> Result<(), Reject> {
        if config.version == Version::V2 {
            check_auth_type(&config.auth, packet.auth_type())?;
        }
        let identity = (config.version, config.vrid, received.src);
        match (&config.auth, packet.trailer()) {
            (Auth::None, None) => Ok(()),
            (Auth::None | Auth::Password(_) | Auth::Header(_), Some(_)) => Err(Reject::Length),
            (Auth::Password(password), None) => {
                let same = packet.auth_data() == Some(password.bytes());
                same.then_some(()).ok_or(Reject::Authentication)
            }
            (Auth::Header(password), None) => {
                let ip_header = received
                    .ip_header
                    .get(..ah::IP_HEADER_LEN)
                    .and_then(|bytes| bytes.try_into().ok())
                    .ok_or(Reject::Length)?;
                let header = header.ok_or(Reject::AuthType)?;
                let unicast = !config.unicast_peers.is_empty();
                Ok(self.header.check(*password, ip_header, unicast, &header, body)?)
            }
            (Auth::Hmac(hmac), Some(trailer)) => {
                Ok(self.trailer.check(hmac, identity, unix, body, &trailer)?)
            }
            (Auth::Hmac(hmac), None) => match hmac.mode {
                Mode::Enforce => Err(Reject::Authentication),
                Mode::Permissive | Mode::ReceiveOnly => Ok(()),
            },
        }
    }

    /// The packets of one advertisement: one to the group, or one to each peer. A trailer is signed once for all.
    pub fn write(&mut self, config: &Config, unix: UnixTime, priority: u8) -> Vec<Outgoing> {
        let Some(mut body) = body(config, priority) else {
            return Vec::new();
        };
        if let Auth::Hmac(hmac) = &config.auth
            && hmac.mode != Mode::ReceiveOnly
        {
            body.resize(body.len() + hmac::TRAILER_LEN, 0);
            let identity = (config.version, config.vrid, config.source);
            self.trailer.sign(hmac, identity, unix, &mut body);
        }
        let to = config.destinations();
        to.into_iter()
            .map(|to| self.address(config, to, body.clone()))
            .collect()
    }

    fn address(&mut self, config: &Config, to: IpAddr, mut body: Vec<u8>) -> Outgoing {
        Packet::new_unchecked(&mut body, config.family).fill_checksum(config.source, to, config.checksum);
        let (Auth::Header(password), IpAddr::V4(src), IpAddr::V4(dst)) = (&config.auth, config.source, to)
        else {
            return Outgoing {
                to,
                protocol: IpProtocol::VRRP,
                ip_header: None,
                payload: body,
            };
        };
        self.ip_id = self.ip_id.wrapping_add(1).max(1);
        let total_len = ah::IP_HEADER_LEN + ah::HEADER_LEN + body.len();
        let ip_header = ip_header(src.octets(), dst.octets(), self.ip_id, total_len);
        let unicast = !config.unicast_peers.is_empty();
        let header = self.header.sign(*password, ip_header, unicast, &body);
        Outgoing {
            to,
            protocol: IpProtocol::AH,
            ip_header: Some(ip_header),
            payload: [&header.to_bytes()[..], &body].concat(),
        }
    }
}

/// The IPv4 header in front of an authentication header: no options, internetwork control, TTL 255.
fn ip_header(src: [u8; 4], dst: [u8; 4], id: u16, total_len: usize) -> [u8; ah::IP_HEADER_LEN] {
    let mut header = [0; ah::IP_HEADER_LEN];
    header[0] = 0x45;
    header[1] = 0xc0;
    header[2..4].copy_from_slice(&u16::try_from(total_len).unwrap_or(u16::MAX).to_be_bytes());
    header[4..6].copy_from_slice(&id.to_be_bytes());
    header[8] = TTL;
    header[9] = IpProtocol::AH.0;
    header[12..16].copy_from_slice(&src);
    header[16..20].copy_from_slice(&dst);
    let sum = checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

/// The advertisement itself; `None` only for a configuration that [`Config::check`] refuses.
fn body(config: &Config, priority: u8) -> Option<Vec<u8>> {
    let repr = Repr {
        vrid: config.vrid,
        priority,
        interval: config.wire_interval()?,
        auth: match &config.auth {
            Auth::Password(password) => vrrp::Auth::Password(password.bytes()),
            Auth::Header(_) => vrrp::Auth::Header,
            Auth::None | Auth::Hmac(_) => vrrp::Auth::None,
        },
        addresses: &config.addresses,
        family: config.family,
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut bytes).ok()?;
    Some(bytes)
}

/// TTL, and whose packet it is.
fn check_path(config: &Config, received: &Received<'_>) -> Result<(), Reject> {
    if received.src == config.source {
        return Err(Reject::Own);
    }
    let (ttl_min, known) = if config.unicast_peers.is_empty() {
        (TTL, true)
    } else {
        let known = config.unicast_peers.contains(&received.src);
        (config.unicast_ttl_min, known)
    };
    if received.ttl < ttl_min {
        return Err(Reject::Ttl);
    }
    known.then_some(()).ok_or(Reject::Stranger)
}

/// The authentication header, if there must be one, and what follows it.
fn split_header<'a>(config: &Config, payload: &'a [u8]) -> Result<(Option<ah::Header>, &'a [u8]), Reject> {
    if !matches!(config.auth, Auth::Header(_)) {
        return Ok((None, payload));
    }
    let header = ah::Header::parse(payload).map_err(|error| match error {
        weir_wire::Error::Truncated => Reject::Length,
        _ => Reject::AuthType,
    })?;
    Ok((Some(header), &payload[ah::HEADER_LEN..]))
}

fn check_auth_type(auth: &Auth, number: u8) -> Result<(), Reject> {
    let ours = match auth {
        Auth::None | Auth::Hmac(_) => 0,
        Auth::Password(_) => 1,
        Auth::Header(_) => 2,
    };
    match number {
        number if number == ours => Ok(()),
        0..=2 => Err(Reject::AuthType),
        _ => Err(Reject::AuthTypeUnknown),
    }
}

/// Whether the packet lists our addresses, in whatever order; mostly it is the same.
fn lists_the_same(packet: &Packet<&[u8]>, ours: &[IpAddr]) -> bool {
    if packet.addresses().eq(ours.iter().copied()) {
        return true;
    }
    packet.addresses().len() == ours.len()
        && packet.addresses().all(|address| ours.contains(&address))
        && ours
            .iter()
            .all(|address| packet.addresses().any(|listed| listed == *address))
}
