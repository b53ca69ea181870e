//! `[ipvs]`: switches under the names of the kernel's IPVS sysctls (Documentation/networking/ipvs-sysctl.rst), with its defaults.

use serde::Serialize;

use crate::reader::Fields;
use crate::section::{Key, Section};

/// Switches with the meaning they have in IPVS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Ipvs {
    /// A flow whose backend was removed is ended at its next packet and scheduled anew where possible, not silently dropped.
    pub expire_nodest_conn: bool,
    /// A persistent client whose backend has weight 0 is scheduled anew.
    pub expire_quiescent_template: bool,
    /// When a SYN on a known flow is scheduled anew.
    pub conn_reuse_mode: ConnReuseMode,
    /// A flow may begin with any TCP packet but RST, not only with SYN.
    pub sloppy_tcp: bool,
}

/// When a SYN that meets a known flow is scheduled anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum ConnReuseMode {
    /// 0: never.
    Never = 0,
    /// 1: when the flow is in TIME_WAIT.
    #[default]
    TimeWait = 1,
    /// 2: when the flow is in TIME_WAIT or FIN_WAIT, the last state DR and tunnels see.
    FinWait = 2,
}

impl Serialize for ConnReuseMode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

pub(crate) static SECTION: Section = Section {
    header: "[ipvs]",
    meaning: "Switches under the names of the kernel's IPVS sysctls. The same keys in a service's `ipvs = { … }` hold for that service alone.",
    keys: &[
        Key {
            name: "expire_nodest_conn",
            kind: "true or false",
            default: Some("false"),
            meaning: "flows end with their backend: one that fails is removed, and so is one that leaves the configuration, unless `pool` says otherwise; either way a flow whose backend is gone does not fall silent as in IPVS: its next packet is scheduled anew where that is possible (a SYN, a datagram; with `sloppy_tcp` anything but a reset), any other is answered by a TCP reset",
        },
        Key {
            name: "expire_quiescent_template",
            kind: "true or false",
            default: Some("false"),
            meaning: "a persistent client whose backend has weight 0 is scheduled anew",
        },
        Key {
            name: "conn_reuse_mode",
            kind: "a whole number from 0 to 2",
            default: Some("1"),
            meaning: "a SYN on a known flow is scheduled anew: 0 never, 1 in TIME_WAIT, 2 in TIME_WAIT and FIN_WAIT",
        },
        Key {
            name: "sloppy_tcp",
            kind: "true or false",
            default: Some("false"),
            meaning: "a flow may begin with any TCP packet but RST, not only with SYN",
        },
    ],
};

/// Reads switches on top of `base`.
pub(crate) fn read(fields: &Fields<'_, '_>, base: Ipvs) -> Ipvs {
    let reuse = match fields.integer::<u8>("conn_reuse_mode", 0..=2) {
        None => base.conn_reuse_mode,
        Some(0) => ConnReuseMode::Never,
        Some(1) => ConnReuseMode::TimeWait,
        Some(_) => ConnReuseMode::FinWait,
    };
    Ipvs {
        expire_nodest_conn: fields
            .boolean("expire_nodest_conn")
            .unwrap_or(base.expire_nodest_conn),
        expire_quiescent_template: fields
            .boolean("expire_quiescent_template")
            .unwrap_or(base.expire_quiescent_template),
        conn_reuse_mode: reuse,
        sloppy_tcp: fields.boolean("sloppy_tcp").unwrap_or(base.sloppy_tcp),
    }
}
