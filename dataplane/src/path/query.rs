//! What a worker can tell about its flows, for listings.

use core::net::IpAddr;

use serde::Serialize;
use weir_proto::time::Instant;

use super::Path;
use crate::burst::Servers;
use crate::family::Family;
use crate::flow::{Entry, Flags, Tick};
use crate::tables::Snapshot;
use crate::tcp_state::State;

/// One flow as `weirctl flow` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowInfo {
    /// IP protocol number.
    pub protocol: u8,
    /// Address of the client.
    pub client: IpAddr,
    /// Port of the client.
    pub client_port: u16,
    /// Address asked for.
    pub virtual_address: IpAddr,
    /// Port asked for.
    pub virtual_port: u16,
    /// Address of the server.
    pub server: IpAddr,
    /// Port of the server.
    pub server_port: u16,
    /// FULLNAT source, if the flow has one.
    pub local: Option<(IpAddr, u16)>,
    /// Slot of the server.
    pub backend: u32,
    /// TCP state by IPVS's name, `UDP` otherwise.
    pub state: &'static str,
    /// Seconds since the last packet.
    pub idle_s: u32,
    /// Seconds until it expires if no packet comes.
    pub expires_s: u32,
    /// Belongs to a persistent client.
    pub persistent: bool,
}

impl Path {
    /// Shows the flows this worker owns among the next `entries` of its tables from `cursor` on, and moves the cursor
    /// behind them. `false` at the end of the tables.
    pub fn flows_from(
        &self,
        now: Instant,
        cursor: &mut u32,
        entries: u32,
        mut show: impl FnMut(FlowInfo),
    ) -> bool {
        let tick = Tick::at(now);
        let servers = Servers {
            shared: &self.shared,
            tables: &self.tables,
        };
        let tables: &Snapshot = &self.tables;
        let (end_v4, end_v6) = (self.v4.table.touched(), self.v6.table.touched());
        let (from, to) = (*cursor, cursor.saturating_add(entries).min(end_v4 + end_v6));
        for (_, entry) in self.v4.table.range(from.min(end_v4)..to.min(end_v4)) {
            if !entry.flags.has(Flags::REMOTE) {
                show(info(entry, tick, &servers, tables));
            }
        }
        for (_, entry) in self
            .v6
            .table
            .range(from.saturating_sub(end_v4)..to.saturating_sub(end_v4))
        {
            if !entry.flags.has(Flags::REMOTE) {
                show(info(entry, tick, &servers, tables));
            }
        }
        *cursor = to;
        to < end_v4 + end_v6
    }

    /// Every flow this worker owns, in no order.
    pub fn flows(&self, now: Instant) -> impl Iterator<Item = FlowInfo> + '_ {
        let tick = Tick::at(now);
        let servers = Servers {
            shared: &self.shared,
            tables: &self.tables,
        };
        let tables: &Snapshot = &self.tables;
        let v4 = self.v4.table.iter().map(|(_, entry)| entry);
        let v6 = self.v6.table.iter().map(|(_, entry)| entry);
        let v4 = v4
            .filter(|entry| !entry.flags.has(Flags::REMOTE))
            .map(move |entry| info(entry, tick, &servers, tables));
        let v6 = v6
            .filter(|entry| !entry.flags.has(Flags::REMOTE))
            .map(move |entry| info(entry, tick, &servers, tables));
        v4.chain(v6)
    }
}

fn info<F: Family>(entry: &Entry<F>, now: Tick, servers: &Servers<'_>, tables: &Snapshot) -> FlowInfo {
    let key = entry.key();
    let (server, server_port) = servers.server::<F>(entry.backend, key.dst_port());
    let local = entry.flags.has(Flags::LOCAL);
    let idle = now.since(entry.seen);
    FlowInfo {
        protocol: key.protocol,
        client: F::to_ip(key.src()),
        client_port: key.src_port(),
        virtual_address: F::to_ip(key.dst()),
        virtual_port: key.dst_port(),
        server: F::to_ip(server),
        server_port,
        local: local.then(|| (F::to_ip(servers.local::<F>(entry.local_index)), entry.local_port)),
        backend: entry.backend,
        state: if key.protocol == 6 {
            State::from_number(entry.state).unwrap_or_default().name()
        } else {
            "UDP"
        },
        idle_s: Tick::to_secs(idle),
        expires_s: Tick::to_secs(super::expire::limit(entry, tables).saturating_sub(idle)),
        persistent: entry.link != 0,
    }
}
