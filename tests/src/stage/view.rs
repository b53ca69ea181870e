//! What weir says about itself, as `weirctl --json` prints it: the one place here that knows those shapes.

use serde_json::Value;

use super::Director;
use crate::lab::LabError;

/// One reading of a load balancer.
#[derive(Debug, Clone)]
pub struct View {
    /// `weirctl status`.
    pub status: Value,
    backends: Value,
}

impl View {
    pub(super) fn read(director: &Director) -> Result<Self, LabError> {
        Ok(Self {
            status: director.ctl_json("status")?,
            backends: director.ctl_json("backend")?,
        })
    }

    /// Whether the dataplane has what control last published.
    #[must_use]
    pub fn is_published(&self) -> bool {
        let dataplane = &self.status["dataplane"];
        let wanted = self.status["config"]["generation"].as_u64();
        dataplane["connected"] == true
            && wanted.is_some()
            && dataplane["published_generation"].as_u64() == wanted
    }

    /// Addresses of the backends that get new connections.
    #[must_use]
    pub fn backends_in_service(&self) -> Vec<String> {
        let rows = self.backends["backends"].as_array().into_iter().flatten();
        rows.filter(|row| row["state"] == "up")
            .filter_map(|row| row["address"].as_str().map(str::to_owned))
            .collect()
    }
}

/// Every packet a dataplane has handled, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Packets received by all workers.
    pub rx: u64,
    /// Packets sent.
    pub tx: u64,
    /// Packets given to the host.
    pub punted: u64,
    /// Packets dropped, as the total says.
    pub dropped: u64,
    /// Packets by reason for a drop, without the reasons that never occurred.
    pub drops: Vec<(String, u64)>,
    /// Packets by reason for giving them to the host, likewise.
    pub punts: Vec<(String, u64)>,
}

impl Balance {
    pub(super) fn read(director: &Director) -> Result<Self, LabError> {
        let answer = director.ctl_json("drops")?;
        let total = |name: &str| {
            let value = answer["packets"][name].as_u64();
            value.ok_or_else(|| {
                LabError::unexpected(format!("weirctl drops --json has no packets.{name}: {answer}"))
            })
        };
        Ok(Self {
            rx: total("rx")?,
            tx: total("tx")?,
            punted: total("punted")?,
            dropped: total("dropped")?,
            drops: reasons(&answer, "drop"),
            punts: reasons(&answer, "punt"),
        })
    }

    /// Whether every packet is accounted for, in total and reason by reason.
    #[must_use]
    pub fn is_even(&self) -> bool {
        let sum = |reasons: &[(String, u64)]| reasons.iter().map(|(_, packets)| packets).sum::<u64>();
        self.rx == self.tx + self.punted + self.dropped
            && sum(&self.drops) == self.dropped
            && sum(&self.punts) == self.punted
    }
}

fn reasons(answer: &Value, verdict: &str) -> Vec<(String, u64)> {
    let rows = answer["reasons"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|row| row["verdict"] == verdict);
    let row = |row: &Value| Some((row["name"].as_str()?.to_owned(), row["packets"].as_u64()?));
    rows.filter_map(row).filter(|(_, packets)| *packets > 0).collect()
}
