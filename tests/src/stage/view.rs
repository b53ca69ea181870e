//! What weir says about itself, as `weirctl --json` prints it: the one place that knows those shapes.

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

/// Every packet a dataplane has taken in, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Packets received by all workers.
    pub rx: u64,
    /// Packets sent by all workers.
    pub tx: u64,
    /// Packets given to the host.
    pub punted: u64,
    /// Packets dropped, by reason, without the reasons that never happened.
    pub drops: Vec<(String, u64)>,
}

impl Balance {
    pub(super) fn read(director: &Director) -> Result<Self, LabError> {
        let drops = director.ctl_json("drops")?;
        let number = |name: &str| drops[name].as_u64().unwrap_or_default();
        let rows = drops["drops"].as_array().into_iter().flatten();
        let row = |row: &Value| Some((row["reason"].as_str()?.to_owned(), row["packets"].as_u64()?));
        let drops = rows.filter_map(row).filter(|(_, count)| *count > 0).collect();
        Ok(Self {
            rx: number("rx"),
            tx: number("tx"),
            punted: number("punted"),
            drops,
        })
    }

    /// All drops together.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.drops.iter().map(|(_, count)| count).sum()
    }

    /// Whether every packet that came in is accounted for.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.rx == self.tx + self.punted + self.dropped()
    }
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
        self.status["published"].as_bool() == Some(true)
    }

    /// Addresses of the backends that get new connections.
    #[must_use]
    pub fn backends_in_service(&self) -> Vec<String> {
        let rows = self.backends.as_array().into_iter().flatten();
        rows.filter(|row| row["in_service"] == true)
            .filter_map(|row| row["address"].as_str().map(str::to_owned))
            .collect()
    }
}
