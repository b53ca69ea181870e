//! What is shared with other directors: virtual routers, and the BFD sessions they may depend on.

use super::{Sample, counters, gauges};
use crate::{bfd, vrrp};
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

/// As they are at the scrape.
#[derive(Debug, Default)]
pub(in crate::api) struct Shared {
    pub(in crate::api) vrrps: Vec<vrrp::status::Status>,
    pub(in crate::api) sessions: Vec<bfd::status::Status>,
}

impl Shared {
    pub(super) fn encode(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of_vrrps = |value: fn(&vrrp::status::Status) -> u64| -> Vec<Sample> {
            let one = |vrrp: &vrrp::status::Status| (vec![("vrrp", vrrp.name.clone())], value(vrrp));
            self.vrrps.iter().map(one).collect()
        };
        gauges(
            to,
            "vrrp_state",
            "0 stopped, 1 backup, 2 active, 3 fault",
            &of_vrrps(|vrrp| vrrp::dump::keepalived_state(&vrrp.state)),
        )?;
        gauges(
            to,
            "vrrp_effective_priority",
            "Priority after tracking",
            &of_vrrps(|vrrp| vrrp.effective_priority.into()),
        )?;
        gauges(
            to,
            "vrrp_rival",
            "Whether another router is active beside this one",
            &of_vrrps(|vrrp| vrrp.rival.is_some().into()),
        )?;
        let events = self.vrrps.iter().flat_map(|vrrp| {
            let labels = |name: &str| vec![("vrrp", vrrp.name.clone()), ("event", name.to_owned())];
            vrrp.stats.iter().map(move |(name, count)| (labels(name), *count))
        });
        counters(
            to,
            "vrrp_events",
            "Advertisements and changes, and what was wrong with what was received, under keepalived's names",
            &events.collect::<Vec<Sample>>(),
        )?;
        let sessions = self.sessions.iter().map(|session| {
            let up = u64::from(session.state == "up");
            (vec![("session", session.name.clone())], up)
        });
        gauges(
            to,
            "bfd_up",
            "Whether the session is up",
            &sessions.collect::<Vec<Sample>>(),
        )
    }
}
