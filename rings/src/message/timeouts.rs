//! Connection time-outs in seconds, under the names of IPVS's TCP states (`ip_vs_proto_tcp.c`).

use serde::{Deserialize, Serialize};

use super::RecordError;

/// Longest time-out: 31 days.
pub const TIMEOUT_S_MAX: u32 = 31 * 24 * 3600;

/// One time-out for each TCP state, for UDP, and for a flow that has not changed state yet. All in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is the state it is named after")]
pub struct Timeouts {
    pub none_s: u32,
    pub established_s: u32,
    pub syn_sent_s: u32,
    pub syn_recv_s: u32,
    pub fin_wait_s: u32,
    pub time_wait_s: u32,
    pub close_s: u32,
    pub close_wait_s: u32,
    pub last_ack_s: u32,
    pub listen_s: u32,
    pub synack_s: u32,
    pub last_s: u32,
    pub udp_s: u32,
    /// A new flow, until its first change of state.
    pub new_s: u32,
}

impl Timeouts {
    /// The kernel's defaults.
    pub const IPVS: Self = Self {
        none_s: 2,
        established_s: 900,
        syn_sent_s: 120,
        syn_recv_s: 60,
        fin_wait_s: 120,
        time_wait_s: 120,
        close_s: 10,
        close_wait_s: 60,
        last_ack_s: 30,
        listen_s: 120,
        synack_s: 120,
        last_s: 2,
        udp_s: 300,
        new_s: 3,
    };

    /// DPVS's defaults.
    pub const DPVS: Self = Self {
        none_s: 2,
        established_s: 90,
        syn_sent_s: 3,
        syn_recv_s: 30,
        fin_wait_s: 7,
        time_wait_s: 7,
        close_s: 3,
        close_wait_s: 7,
        last_ack_s: 7,
        listen_s: 120,
        synack_s: 30,
        last_s: 2,
        udp_s: 300,
        new_s: 3,
    };

    /// In the order of a record.
    pub(super) const fn to_array(self) -> [u32; 14] {
        [
            self.none_s,
            self.established_s,
            self.syn_sent_s,
            self.syn_recv_s,
            self.fin_wait_s,
            self.time_wait_s,
            self.close_s,
            self.close_wait_s,
            self.last_ack_s,
            self.listen_s,
            self.synack_s,
            self.last_s,
            self.udp_s,
            self.new_s,
        ]
    }

    const fn from_array(s: [u32; 14]) -> Self {
        Self {
            none_s: s[0],
            established_s: s[1],
            syn_sent_s: s[2],
            syn_recv_s: s[3],
            fin_wait_s: s[4],
            time_wait_s: s[5],
            close_s: s[6],
            close_wait_s: s[7],
            last_ack_s: s[8],
            listen_s: s[9],
            synack_s: s[10],
            last_s: s[11],
            udp_s: s[12],
            new_s: s[13],
        }
    }

    /// From a record's order; each must be within 1 to [`TIMEOUT_S_MAX`].
    pub(super) fn checked(s: [u32; 14]) -> Result<Self, RecordError> {
        match s.iter().find(|&&v| v == 0 || v > TIMEOUT_S_MAX) {
            Some(&v) => Err(RecordError::OutOfRange {
                field: "time-out in seconds",
                value: v.into(),
            }),
            None => Ok(Self::from_array(s)),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::IPVS
    }
}
