//! How a virtual router is configured, and where its behaviour may be chosen.

use core::net::IpAddr;

use weir_wire::vrrp::{ChecksumV3, Family, Interval, PRIORITY_OWNER, Version};

use super::auth::{Hmac, Password};
use crate::time::Duration;

/// Most addresses of one virtual router: the count field has eight bits.
pub const ADDRESSES_MAX: usize = 255;

/// Whether a backup takes over from an active router of lower priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preempt {
    /// Yes, as soon as its timer runs out (Preempt_Mode true).
    #[default]
    Yes,
    /// No: only from one that has gone silent (Preempt_Mode false; keepalived: `nopreempt`).
    No,
    /// Yes, but only this long after it first heard the lower priority (keepalived: `preempt_delay`).
    After(Duration),
}

/// What an active router does when it hears a lower priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LowerPriority {
    /// Asserts itself with an advertisement at once (RFC 9568 §6.4.3; keepalived's default).
    Advertise,
    /// Nothing (RFC 5798 and RFC 3768; keepalived: `lower_prio_no_advert`).
    Discard,
}

/// Whose "I stop" (priority 0) shortens a backup's wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriorityZero {
    /// Only that of the router known to be active, and it never makes the wait longer. A stranger who repeats it can
    /// then neither start an election nor hold one off.
    FromActive,
    /// Anybody's, and it sets the wait to the skew each time (RFC 9568 §6.4.2 to the letter; keepalived).
    FromAnyone,
}

/// What becomes of an advertisement that lists other addresses than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherAddresses {
    /// It is refused (RFC 3768 §7.1; keepalived).
    Refuse,
    /// It is counted and taken (RFC 9568 §7.1: log it; keepalived: `skip_check_adv_addr`).
    Take,
}

/// Where the RFCs and keepalived part ways. Start from one of the two constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// An active router hears a lower priority.
    pub lower_priority: LowerPriority,
    /// An active router sends one more advertisement before it yields to a higher priority (keepalived:
    /// `higher_prio_send_advert`).
    pub advertise_before_yielding: bool,
    /// Whose priority 0 counts.
    pub priority_zero: PriorityZero,
    /// Other addresses than ours.
    pub other_addresses: OtherAddresses,
    /// Two routers both claim to own the addresses: ours goes down to 254 (keepalived) instead of comparing source
    /// addresses (RFC 9568).
    pub owner_clash_lowers: bool,
}

impl Rules {
    /// RFC 9568 to the letter.
    pub const RFC_9568: Self = Self {
        lower_priority: LowerPriority::Advertise,
        advertise_before_yielding: false,
        priority_zero: PriorityZero::FromAnyone,
        other_addresses: OtherAddresses::Take,
        owner_clash_lowers: false,
    };

    /// What keepalived does without further options.
    pub const KEEPALIVED: Self = Self {
        lower_priority: LowerPriority::Advertise,
        advertise_before_yielding: false,
        priority_zero: PriorityZero::FromAnyone,
        other_addresses: OtherAddresses::Refuse,
        owner_clash_lowers: true,
    };

    /// keepalived's, except that a priority 0 counts only from the active router. The default.
    pub const WEIR: Self = Self {
        priority_zero: PriorityZero::FromActive,
        ..Self::KEEPALIVED
    };
}

impl Default for Rules {
    fn default() -> Self {
        Self::WEIR
    }
}

/// When the addresses are announced by gratuitous ARP and unsolicited neighbour advertisements. Zero is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcing {
    /// Rounds on becoming active (keepalived: `garp_master_repeat`).
    pub repeat: u8,
    /// As many rounds again this long after (`garp_master_delay`).
    pub delay: Duration,
    /// And then again and again at this interval (`garp_master_refresh`).
    pub refresh: Duration,
    /// Rounds at each of these (`garp_master_refresh_repeat`).
    pub refresh_repeat: u8,
    /// Rounds when a lower priority was heard (`garp_lower_prio_repeat`).
    pub lower_priority_repeat: u8,
    /// As many rounds again this long after (`garp_lower_prio_delay`).
    pub lower_priority_delay: Duration,
}

impl Default for Announcing {
    /// keepalived's defaults.
    fn default() -> Self {
        let delay = Duration::from_secs(5);
        Self {
            repeat: 5,
            delay,
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_priority_repeat: 5,
            lower_priority_delay: delay,
        }
    }
}

/// How advertisements are authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// A password in clear (version 2; keepalived: `auth_type PASS`).
    Password(Password),
    /// An authentication header (version 2; keepalived: `auth_type AH`).
    Header(Password),
    /// A signed trailer (keepalived 2.4: `auth_hmac`).
    Hmac(Hmac),
}

/// A virtual router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Virtual router identifier; never 0.
    pub vrid: u8,
    /// Protocol version.
    pub version: Version,
    /// Family of the advertisements.
    pub family: Family,
    /// Priority before tracking; 255 owns the addresses.
    pub priority: u8,
    /// Advertisement interval while we are active.
    pub interval: Duration,
    /// The addresses that are advertised. Others may be held without being advertised; the machine need not know.
    pub addresses: Vec<IpAddr>,
    /// Our primary address: where advertisements come from, and who wins between equal priorities.
    pub source: IpAddr,
    /// Peers to send to instead of the group, and the only ones to be believed then.
    pub unicast_peers: Vec<IpAddr>,
    /// Least TTL of a unicast packet; multicast ones have 255, always.
    pub unicast_ttl_min: u8,
    /// Whether to take over from lower priorities.
    pub preempt: Preempt,
    /// How long to wait after the start before listening for others (keepalived: `vrrp_startup_delay`).
    pub startup_delay: Duration,
    /// How many intervals of silence mean that the active router is gone (keepalived: `down_timer_adverts`).
    pub down_timer_adverts: u8,
    /// When addresses are announced.
    pub announcing: Announcing,
    /// Authentication.
    pub auth: Auth,
    /// Checksum of version 3 over IPv4.
    pub checksum: ChecksumV3,
    /// RFC or keepalived.
    pub rules: Rules,
    /// Member of a [`Group`](super::Group): it asks before it becomes active.
    pub grouped: bool,
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// VRID 0.
    Vrid,
    /// Priority 0 is the message "I stop" and nobody's priority.
    Priority,
    /// Not a whole number of seconds (version 2) or of 10 ms (version 3), zero, or more than 255 s or 40.95 s.
    Interval,
    /// Version 2 has no IPv6.
    Version,
    /// More than [`ADDRESSES_MAX`], or none.
    AddressCount,
    /// Addresses, source or peers are not all of the family.
    Family,
    /// Passwords and authentication headers are for version 2 only.
    Auth,
    /// An HMAC key of the wrong length, no key, or no active one.
    Key,
    /// At least one interval of silence is needed.
    DownTimer,
    /// The owner of the addresses always takes over.
    OwnerPreempt,
}

impl core::fmt::Display for Invalid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Vrid => "the virtual router identifier must be 1 to 255",
            Self::Priority => "the priority must be 1 to 255",
            Self::Interval => {
                "the interval must be whole seconds up to 255 s in version 2, tens of milliseconds up to 40.95 s in version 3"
            }
            Self::Version => "version 2 has no IPv6: use version 3",
            Self::AddressCount => "there must be 1 to 255 addresses: advertise fewer of them",
            Self::Family => "addresses, source and peers must be of one family: use one virtual router for each",
            Self::Auth => "passwords and authentication headers are of version 2 only: use an HMAC",
            Self::Key => "an HMAC needs keys of 32 to 64 bytes, and the active one among them",
            Self::DownTimer => "at least one interval of silence is needed",
            Self::OwnerPreempt => "priority 255 always takes over: lower the priority or leave preempt on",
        })
    }
}

impl core::error::Error for Invalid {}

impl Config {
    /// A virtual router with keepalived's defaults: version 2 for IPv4 and 3 for IPv6, priority 100, 1 s.
    pub fn new(vrid: u8, source: IpAddr, addresses: Vec<IpAddr>) -> Self {
        let family = Family::of(source);
        Self {
            vrid,
            version: match family {
                Family::V4 => Version::V2,
                Family::V6 => Version::V3,
            },
            family,
            priority: 100,
            interval: Duration::from_secs(1),
            addresses,
            source,
            unicast_peers: Vec::new(),
            unicast_ttl_min: weir_wire::vrrp::TTL,
            preempt: Preempt::Yes,
            startup_delay: Duration::ZERO,
            down_timer_adverts: 3,
            announcing: Announcing::default(),
            auth: Auth::None,
            checksum: ChecksumV3::PseudoHeader,
            rules: Rules::default(),
            grouped: false,
        }
    }

    /// Checks what a machine relies on.
    pub fn check(&self) -> Result<(), Invalid> {
        let same_family = |address: &IpAddr| Family::of(*address) == self.family;
        let mut all = self.addresses.iter().chain(&self.unicast_peers);
        let v2_auth = matches!(self.auth, Auth::Password(_) | Auth::Header(_));
        let key_is_bad = matches!(&self.auth, Auth::Hmac(hmac) if !hmac.is_usable());
        let checks = [
            (self.vrid != 0, Invalid::Vrid),
            (self.priority != 0, Invalid::Priority),
            (self.wire_interval().is_some(), Invalid::Interval),
            (
                self.version == Version::V3 || self.family == Family::V4,
                Invalid::Version,
            ),
            (
                (1..=ADDRESSES_MAX).contains(&self.addresses.len()),
                Invalid::AddressCount,
            ),
            (same_family(&self.source) && all.all(same_family), Invalid::Family),
            (!v2_auth || self.version == Version::V2, Invalid::Auth),
            (!key_is_bad, Invalid::Key),
            (self.down_timer_adverts != 0, Invalid::DownTimer),
            (
                !self.is_owner() || self.preempt == Preempt::Yes,
                Invalid::OwnerPreempt,
            ),
        ];
        match checks.iter().find(|(passed, _)| !passed) {
            Some((_, invalid)) => Err(*invalid),
            None => Ok(()),
        }
    }

    /// Whether it is configured as the owner of the addresses.
    pub const fn is_owner(&self) -> bool {
        self.priority == PRIORITY_OWNER
    }

    /// The interval as it is written in advertisements.
    pub const fn wire_interval(&self) -> Option<Interval> {
        Interval::from_duration(self.version, self.interval)
    }

    /// Where advertisements are sent to.
    pub fn destinations(&self) -> Vec<IpAddr> {
        if self.unicast_peers.is_empty() {
            vec![self.family.group()]
        } else {
            self.unicast_peers.clone()
        }
    }
}
