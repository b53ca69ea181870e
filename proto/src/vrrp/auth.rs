//! Authentication of advertisements: passwords, keepalived's authentication header (HMAC-MD5-96) and its HMAC-SHA256
//! trailer with protection from replay. Layouts are in `weir_wire::vrrp`; this is the arithmetic and the memory.
//!
//! Sequence numbers of the trailer are readings of the wall clock, so that a router that restarts needs no memory of
//! its own. The reading is an argument ([`UnixTime`]) like every other time.

use core::fmt;
use core::net::IpAddr;

use ::hmac::{Hmac as HmacHash, Mac};
use md5::Md5;
use sha2::Sha256;
use weir_wire::vrrp::hmac::{
    HMAC_LEN, KEY_LEN_MAX, KEY_LEN_MIN, SCHEME_SHA256, TRAILER_LEN, Trailer, pseudo_header, signed_pieces,
};
use weir_wire::vrrp::{AUTH_LEN, Version, ah};

use crate::time::Duration;

/// Multicast senders whose sequence is remembered; more than a few at a time exist only while routers contend.
pub const SENDERS_MAX: usize = 4;

/// Time since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct UnixTime(pub Duration);

impl UnixTime {
    /// As a sequence number with its counter at zero: seconds, 2^-16 seconds, counter.
    const fn sequence(self) -> u64 {
        let fraction = ((self.0.subsec_nanos() as u64) << 16) / 1_000_000_000;
        (self.seconds() as u64) << 32 | fraction << 16
    }

    /// Seconds, wrapping in 2106 as the field does.
    const fn seconds(self) -> u32 {
        self.0.as_secs() as u32
    }
}

/// A password of up to eight characters, padded with zeros. It is never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password([u8; AUTH_LEN]);

impl Password {
    /// The first eight bytes of `text`, as keepalived takes them.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; AUTH_LEN];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(bytes)
    }

    pub(super) const fn bytes(self) -> [u8; AUTH_LEN] {
        self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(masked)")
    }
}

/// A key of the trailer. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Its number, 1 to 255.
    pub id: u8,
    /// 32 to 64 bytes.
    pub secret: Vec<u8>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, masked)", self.id)
    }
}

/// Who must sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// We sign, and advertisements without trailer are refused.
    #[default]
    Enforce,
    /// We sign, and advertisements without trailer are taken: while peers change over.
    Permissive,
    /// We check what is signed but do not sign: before peers change over.
    ReceiveOnly,
}

/// How replay is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AntiReplay {
    /// Sequences must grow, and be within this many seconds of our clock.
    Time {
        /// 1 to 300.
        window_s: u16,
    },
    /// Sequences must grow.
    Monotonic,
}

/// The trailer's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hmac {
    /// Keys that are accepted.
    pub keys: Vec<Key>,
    /// The one we sign with.
    pub active_key: u8,
    /// Who must sign.
    pub mode: Mode,
    /// How replay is told.
    pub anti_replay: AntiReplay,
}

impl Hmac {
    /// keepalived's window for an advertisement interval: three of them, 5 s at least.
    pub fn default_window_s(interval: Duration) -> u16 {
        let window = interval.saturating_mul(3).as_secs().clamp(5, 300);
        u16::try_from(window).unwrap_or(300)
    }

    pub(super) fn is_usable(&self) -> bool {
        let fits = |key: &Key| key.id != 0 && (KEY_LEN_MIN..=KEY_LEN_MAX).contains(&key.secret.len());
        self.keys.iter().all(fits) && self.key(self.active_key).is_some()
    }

    fn key(&self, id: u8) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }
}

/// Why a trailer was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadTrailer {
    Malformed,
    UnknownKey,
    BadHmac,
    Stale,
    Replayed,
}

/// Whether `a` comes after `b` in the circle of 64-bit numbers (RFC 1982).
const fn is_after(a: u64, b: u64) -> bool {
    let ahead = a.wrapping_sub(b);
    ahead != 0 && ahead < 1 << 63
}

/// Seconds from `then` to `now` in the circle of 32-bit numbers; the distance, whichever is later.
const fn distance_s(now: u32, then: u32) -> u32 {
    let ahead = now.wrapping_sub(then);
    if ahead < 1 << 31 {
        ahead
    } else {
        then.wrapping_sub(now)
    }
}

/// What must be remembered to sign and to check trailers.
#[derive(Debug, Clone, Default)]
pub(super) struct TrailerState {
    sent: Option<u64>,
    /// Most recently heard last.
    senders: Vec<(IpAddr, u64)>,
}

impl TrailerState {
    /// The larger of the clock and the last sequence plus one. After a clock set back by more than the window the
    /// clock wins, because receivers would refuse anything else.
    fn next_sequence(&mut self, config: &Hmac, now: UnixTime) -> u64 {
        let clock = now.sequence();
        let next = match self.sent {
            None => clock,
            Some(sent) if is_after(clock, sent) => clock,
            Some(sent) => match config.anti_replay {
                AntiReplay::Time { window_s }
                    if distance_s((sent >> 32) as u32, now.seconds()) > u32::from(window_s) =>
                {
                    clock
                }
                AntiReplay::Time { .. } | AntiReplay::Monotonic => sent.wrapping_add(1),
            },
        };
        self.sent = Some(next);
        next
    }

    /// Fills in the trailer at the end of `packet`, whose last bytes are room for it.
    pub(super) fn sign(
        &mut self,
        config: &Hmac,
        (version, vrid, source): (Version, u8, IpAddr),
        now: UnixTime,
        packet: &mut [u8],
    ) {
        let Some(start) = packet.len().checked_sub(TRAILER_LEN) else {
            return;
        };
        let mut trailer = Trailer {
            scheme: SCHEME_SHA256,
            key_id: config.active_key,
            reserved: 0,
            sequence: self.next_sequence(config, now),
            hmac: [0; HMAC_LEN],
        };
        packet[start..].copy_from_slice(&trailer.to_bytes());
        let key = config.key(config.active_key);
        if let Some(hash) = key.and_then(|key| trailer_hash(key, version, vrid, source, packet)) {
            trailer
                .hmac
                .copy_from_slice(&hash.finalize().into_bytes()[..HMAC_LEN]);
            packet[start..].copy_from_slice(&trailer.to_bytes());
        }
    }

    /// Checks the trailer at the end of `packet`. What is cheap comes first, and memory changes last, so that forged
    /// packets cost little and change nothing.
    pub(super) fn check(
        &mut self,
        config: &Hmac,
        (version, vrid, source): (Version, u8, IpAddr),
        now: UnixTime,
        packet: &[u8],
        trailer: &Trailer,
    ) -> Result<(), BadTrailer> {
        if trailer.scheme != SCHEME_SHA256 || trailer.reserved != 0 {
            return Err(BadTrailer::Malformed);
        }
        if self.is_stale(config, now, trailer.sequence) {
            return Err(BadTrailer::Stale);
        }
        let key = config.key(trailer.key_id).ok_or(BadTrailer::UnknownKey)?;
        let hash = trailer_hash(key, version, vrid, source, packet).ok_or(BadTrailer::Malformed)?;
        hash.verify_truncated_left(&trailer.hmac)
            .map_err(|_| BadTrailer::BadHmac)?;
        self.raise(config, now, source, trailer.sequence)
    }

    fn is_stale(&self, config: &Hmac, now: UnixTime, sequence: u64) -> bool {
        match config.anti_replay {
            AntiReplay::Time { window_s } => {
                distance_s(now.seconds(), (sequence >> 32) as u32) > u32::from(window_s)
            }
            AntiReplay::Monotonic => false,
        }
    }

    /// Raises the mark of `source` to `sequence`. A mark outside the window is forgotten: what it orders is refused
    /// as stale anyway, and a sender whose clock was corrected must get through.
    fn raise(
        &mut self,
        config: &Hmac,
        now: UnixTime,
        source: IpAddr,
        sequence: u64,
    ) -> Result<(), BadTrailer> {
        let known = self.senders.iter().position(|(sender, _)| *sender == source);
        if let Some(at) = known {
            let mark = self.senders[at].1;
            if !self.is_stale(config, now, mark) && !is_after(sequence, mark) {
                return Err(BadTrailer::Replayed);
            }
            self.senders.remove(at);
        } else if self.senders.len() == SENDERS_MAX {
            self.senders.remove(0);
        }
        self.senders.push((source, sequence));
        Ok(())
    }
}

/// The keyed hash over everything the trailer covers.
fn trailer_hash(
    key: &Key,
    version: Version,
    vrid: u8,
    source: IpAddr,
    packet: &[u8],
) -> Option<HmacHash<Sha256>> {
    let mut hash = <HmacHash<Sha256> as Mac>::new_from_slice(&key.secret).ok()?;
    hash.update(&pseudo_header(version, vrid, source));
    for piece in signed_pieces(packet)? {
        hash.update(piece);
    }
    Some(hash)
}

/// The keyed hash of an authentication header: over the IP header as it arrives everywhere, the authentication
/// header with its hash read as zero, and the advertisement.
fn header_hash(
    password: Password,
    ip_header: [u8; ah::IP_HEADER_LEN],
    header: &ah::Header,
    advert: &[u8],
) -> Option<HmacHash<Md5>> {
    let blank = ah::Header {
        hmac: [0; ah::HMAC_LEN],
        ..*header
    };
    let mut hash = <HmacHash<Md5> as Mac>::new_from_slice(&password.0).ok()?;
    hash.update(&ip_header);
    hash.update(&blank.to_bytes());
    hash.update(advert);
    Some(hash)
}

/// The authentication header's sequence number: one counter for all routers of the VRID, raised by whoever sends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HeaderState {
    sequence: u32,
}

impl HeaderState {
    /// The header for `advert`, to be sent behind `ip_header`.
    pub(super) fn sign(
        &mut self,
        password: Password,
        ip_header: [u8; ah::IP_HEADER_LEN],
        unicast: bool,
        advert: &[u8],
    ) -> ah::Header {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = ah::Header {
            spi: [ip_header[12], ip_header[13], ip_header[14], ip_header[15]].into(),
            sequence: self.sequence,
            hmac: [0; ah::HMAC_LEN],
        };
        let ip_header = ah::immutable_header(ip_header, unicast);
        if let Some(hash) = header_hash(password, ip_header, &header, advert) {
            header
                .hmac
                .copy_from_slice(&hash.finalize().into_bytes()[..ah::HMAC_LEN]);
        }
        header
    }

    /// Whether the header is genuine, from the address it claims, and not seen before.
    pub(super) fn check(
        &mut self,
        password: Password,
        ip_header: [u8; ah::IP_HEADER_LEN],
        unicast: bool,
        header: &ah::Header,
        advert: &[u8],
    ) -> Result<(), BadTrailer> {
        let source = [ip_header[12], ip_header[13], ip_header[14], ip_header[15]];
        let ip_header = ah::immutable_header(ip_header, unicast);
        let genuine = header_hash(password, ip_header, header, advert)
            .is_some_and(|hash| hash.verify_truncated_left(&header.hmac).is_ok());
        if !genuine || header.spi.octets() != source {
            return Err(BadTrailer::BadHmac);
        }
        if header.sequence <= self.sequence {
            return Err(BadTrailer::Replayed);
        }
        self.sequence = header.sequence;
        Ok(())
    }
}
