//! Counters of a port, since it was started.

/// The basic counters every driver has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets the device dropped because no descriptor was free: the worker was too slow.
    pub rx_missed: u64,
    /// Broken packets received.
    pub rx_errors: u64,
    /// Packets dropped because the mempool was empty.
    pub rx_no_mbuf: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that failed to be sent.
    pub tx_errors: u64,
}

/// One extended counter, named by the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XStat {
    /// For instance `rx_good_packets`.
    pub name: String,
    /// Its value.
    pub value: u64,
}
