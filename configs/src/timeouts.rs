//! `[timeouts]`: how long an idle flow is remembered in each state, in seconds.
//!
//! Two presets: `ipvs` (the Linux kernel's `ip_vs_proto_tcp.c`) and `dpvs`; each state can be overridden, for all services or for one.

use serde::Serialize;

use crate::reader::Fields;
use crate::section::{Key, Section};

/// Seconds an idle flow is remembered, by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// The set the others start from.
    pub preset: TimeoutPreset,
    /// TCP NONE.
    pub tcp_none_s: u32,
    /// TCP ESTABLISHED.
    pub tcp_established_s: u32,
    /// TCP SYN_SENT.
    pub tcp_syn_sent_s: u32,
    /// TCP SYN_RECV.
    pub tcp_syn_recv_s: u32,
    /// TCP FIN_WAIT.
    pub tcp_fin_wait_s: u32,
    /// TCP TIME_WAIT.
    pub tcp_time_wait_s: u32,
    /// TCP CLOSE.
    pub tcp_close_s: u32,
    /// TCP CLOSE_WAIT.
    pub tcp_close_wait_s: u32,
    /// TCP LAST_ACK.
    pub tcp_last_ack_s: u32,
    /// TCP LISTEN.
    pub tcp_listen_s: u32,
    /// TCP SYNACK.
    pub tcp_synack_s: u32,
    /// UDP.
    pub udp_s: u32,
}

/// A known set of timeouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeoutPreset {
    /// The Linux kernel's.
    Ipvs,
    /// DPVS's, shorter.
    Dpvs,
}

impl Timeouts {
    /// The Linux kernel's values.
    pub const IPVS: Self = Self {
        preset: TimeoutPreset::Ipvs,
        tcp_none_s: 2,
        tcp_established_s: 900,
        tcp_syn_sent_s: 120,
        tcp_syn_recv_s: 60,
        tcp_fin_wait_s: 120,
        tcp_time_wait_s: 120,
        tcp_close_s: 10,
        tcp_close_wait_s: 60,
        tcp_last_ack_s: 30,
        tcp_listen_s: 120,
        tcp_synack_s: 120,
        udp_s: 300,
    };

    /// DPVS's values.
    pub const DPVS: Self = Self {
        preset: TimeoutPreset::Dpvs,
        tcp_none_s: 2,
        tcp_established_s: 90,
        tcp_syn_sent_s: 3,
        tcp_syn_recv_s: 30,
        tcp_fin_wait_s: 7,
        tcp_time_wait_s: 7,
        tcp_close_s: 3,
        tcp_close_wait_s: 7,
        tcp_last_ack_s: 7,
        tcp_listen_s: 120,
        tcp_synack_s: 30,
        udp_s: 300,
    };
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::IPVS
    }
}

const SECONDS: &str = "a whole number of seconds from 1 to 2678400";

pub(crate) static SECTION: Section = Section {
    header: "[timeouts]",
    meaning: "How long an idle flow is remembered in each state. The defaults shown are those of preset \"ipvs\". The same keys in a service's `timeouts = { … }` hold for that service alone.",
    keys: &[
        Key {
            name: "preset",
            kind: "\"ipvs\" or \"dpvs\"",
            default: Some("\"ipvs\""),
            meaning: "the set the other keys start from: the Linux kernel's, or DPVS's shorter one",
        },
        Key {
            name: "tcp_none_s",
            kind: SECONDS,
            default: Some("2"),
            meaning: "TCP NONE",
        },
        Key {
            name: "tcp_established_s",
            kind: SECONDS,
            default: Some("900"),
            meaning: "TCP ESTABLISHED (dpvs: 90)",
        },
        Key {
            name: "tcp_syn_sent_s",
            kind: SECONDS,
            default: Some("120"),
            meaning: "TCP SYN_SENT (dpvs: 3)",
        },
        Key {
            name: "tcp_syn_recv_s",
            kind: SECONDS,
            default: Some("60"),
            meaning: "TCP SYN_RECV (dpvs: 30)",
        },
        Key {
            name: "tcp_fin_wait_s",
            kind: SECONDS,
            default: Some("120"),
            meaning: "TCP FIN_WAIT (dpvs: 7)",
        },
        Key {
            name: "tcp_time_wait_s",
            kind: SECONDS,
            default: Some("120"),
            meaning: "TCP TIME_WAIT (dpvs: 7)",
        },
        Key {
            name: "tcp_close_s",
            kind: SECONDS,
            default: Some("10"),
            meaning: "TCP CLOSE (dpvs: 3)",
        },
        Key {
            name: "tcp_close_wait_s",
            kind: SECONDS,
            default: Some("60"),
            meaning: "TCP CLOSE_WAIT (dpvs: 7)",
        },
        Key {
            name: "tcp_last_ack_s",
            kind: SECONDS,
            default: Some("30"),
            meaning: "TCP LAST_ACK (dpvs: 7)",
        },
        Key {
            name: "tcp_listen_s",
            kind: SECONDS,
            default: Some("120"),
            meaning: "TCP LISTEN",
        },
        Key {
            name: "tcp_synack_s",
            kind: SECONDS,
            default: Some("120"),
            meaning: "TCP SYNACK (dpvs: 30)",
        },
        Key {
            name: "udp_s",
            kind: SECONDS,
            default: Some("300"),
            meaning: "UDP",
        },
    ],
};

/// Reads overrides on top of `base`, or on top of the preset if one is named.
pub(crate) fn read(fields: &Fields<'_, '_>, base: Timeouts) -> Timeouts {
    let presets = [("ipvs", Timeouts::IPVS), ("dpvs", Timeouts::DPVS)];
    let base = fields.word("preset", &presets).unwrap_or(base);
    let seconds = |name, default| fields.integer(name, 1..=2_678_400).unwrap_or(default);
    Timeouts {
        preset: base.preset,
        tcp_none_s: seconds("tcp_none_s", base.tcp_none_s),
        tcp_established_s: seconds("tcp_established_s", base.tcp_established_s),
        tcp_syn_sent_s: seconds("tcp_syn_sent_s", base.tcp_syn_sent_s),
        tcp_syn_recv_s: seconds("tcp_syn_recv_s", base.tcp_syn_recv_s),
        tcp_fin_wait_s: seconds("tcp_fin_wait_s", base.tcp_fin_wait_s),
        tcp_time_wait_s: seconds("tcp_time_wait_s", base.tcp_time_wait_s),
        tcp_close_s: seconds("tcp_close_s", base.tcp_close_s),
        tcp_close_wait_s: seconds("tcp_close_wait_s", base.tcp_close_wait_s),
        tcp_last_ack_s: seconds("tcp_last_ack_s", base.tcp_last_ack_s),
        tcp_listen_s: seconds("tcp_listen_s", base.tcp_listen_s),
        tcp_synack_s: seconds("tcp_synack_s", base.tcp_synack_s),
        udp_s: seconds("udp_s", base.udp_s),
    }
}
