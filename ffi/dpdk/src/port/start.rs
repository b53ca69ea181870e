//! Configuring and starting a port.

use std::sync::Arc;

use weir_dpdk_sys as c;

use super::{Port, PortInfo};
use crate::error::{Error, Result};
use crate::mempool::{HEADROOM, Mempool};
use crate::queue::{RxQueue, TxQueue};
use crate::rss::{RssConfig, RssFunctions, RssState};

/// How to start a port.
#[derive(Debug, Clone)]
pub struct PortConfig {
    /// Receive queues, one a worker.
    pub rx_queues: u16,
    /// Transmit queues, one a worker.
    pub tx_queues: u16,
    /// Descriptors of a receive queue; the driver may round them.
    pub rx_descriptors: u16,
    /// Descriptors of a transmit queue; the driver may round them.
    pub tx_descriptors: u16,
    /// MTU in bytes, without the Ethernet header; the driver's default if absent.
    pub mtu: Option<u16>,
    /// Receive every frame.
    pub promiscuous: bool,
    /// Receive every multicast frame.
    pub all_multicast: bool,
    /// Spread over the receive queues by hash.
    pub rss: Option<RssConfig>,
    /// Let the driver free sent mbufs in bulk, where it offers that and there is one mempool in the process.
    /// No second one can be made after that.
    pub fast_free: bool,
    /// Receive and send frames larger than a buffer as several segments. Costs the vector path on many NICs.
    pub multi_segment: bool,
}

impl Default for PortConfig {
    fn default() -> Self {
        Self {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: None,
            promiscuous: false,
            all_multicast: false,
            rss: None,
            fast_free: true,
            multi_segment: false,
        }
    }
}

/// What a start made of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// Descriptors of a receive queue, as rounded by the driver.
    pub rx_descriptors: u16,
    /// Descriptors of a transmit queue, as rounded by the driver.
    pub tx_descriptors: u16,
    /// MTU in bytes.
    pub mtu: u16,
    /// Whether the driver took the MTU to the device; if not, the device keeps its own.
    pub mtu_applied: bool,
    /// Whether promiscuous mode is on.
    pub promiscuous: bool,
    /// Whether all multicast is received.
    pub all_multicast: bool,
    /// RSS as read back.
    pub rss: RssState,
    /// Whether the driver frees sent mbufs in bulk.
    pub fast_free: bool,
    /// Whether frames of several segments are received.
    pub scatter: bool,
    /// Whether frames of several segments can be sent.
    pub multi_segment: bool,
}

/// What is asked of `rte_eth_dev_configure`.
struct Plan {
    rx_offloads: u64,
    tx_offloads: u64,
    functions: RssFunctions,
    key: Option<Vec<u8>>,
}

impl Port {
    /// Configures and starts the port and gives out its queues. What the device does not offer is left out where
    /// forwarding still works, and [`Port::started`] says so; everything else is an error.
    pub fn start(&mut self, config: &PortConfig, pool: &Mempool) -> Result<(Vec<RxQueue>, Vec<TxQueue>)> {
        if self.started.is_some() {
            return Err(Error::Started(self.name().to_owned()));
        }
        let info = self.info()?;
        self.check_ranges(config, &info, pool)?;
        let plan = self.plan(config, &info);
        self.configure(config, &plan)?;
        let mtu_applied = self.apply_mtu(config.mtu)?;
        let (rx_descriptors, tx_descriptors) = self.set_up_queues(config, &plan, pool)?;
        self.run()?;
        match self.settle(config, &plan, mtu_applied, rx_descriptors, tx_descriptors) {
            Ok(started) => self.started = Some(started),
            Err(error) => {
                self.stop()?;
                return Err(error);
            }
        }
        let rx = (0..config.rx_queues).map(|id| RxQueue::new(Arc::clone(&self.inner), id));
        let tx = (0..config.tx_queues).map(|id| TxQueue::new(Arc::clone(&self.inner), id));
        Ok((rx.collect(), tx.collect()))
    }

    /// Sets what wants a running port, and reads back what has become of it all.
    fn settle(
        &mut self,
        config: &PortConfig,
        plan: &Plan,
        mtu_applied: bool,
        rx_descriptors: u16,
        tx_descriptors: u16,
    ) -> Result<Started> {
        Ok(Started {
            rx_queues: config.rx_queues,
            tx_queues: config.tx_queues,
            rx_descriptors,
            tx_descriptors,
            mtu: self.mtu()?,
            mtu_applied,
            promiscuous: unless_unsupported(config.promiscuous, || self.set_promiscuous(true))?,
            all_multicast: unless_unsupported(config.all_multicast, || self.set_all_multicast(true))?,
            rss: self.settle_rss(
                plan.functions,
                plan.key.as_deref(),
                plan.rx_offloads & c::WEIR_RX_OFFLOAD_RSS_HASH != 0,
            )?,
            fast_free: plan.tx_offloads & c::WEIR_TX_OFFLOAD_FAST_FREE != 0,
            scatter: plan.rx_offloads & c::WEIR_RX_OFFLOAD_SCATTER != 0,
            multi_segment: plan.tx_offloads & c::WEIR_TX_OFFLOAD_MULTI_SEGS != 0,
        })
    }

    fn check_ranges(&self, config: &PortConfig, info: &PortInfo, pool: &Mempool) -> Result<()> {
        const QUEUES: &str = "use fewer workers on this port, or a device with more queues";
        self.in_range("receive queues", config.rx_queues, 1, info.max_rx_queues, QUEUES)?;
        self.in_range("transmit queues", config.tx_queues, 1, info.max_tx_queues, QUEUES)?;
        let Some(mtu) = config.mtu else { return Ok(()) };
        self.in_range(
            "MTU",
            mtu,
            info.min_mtu,
            info.max_mtu,
            "choose one the device can do",
        )?;
        if config.multi_segment {
            return Ok(());
        }
        // Ethernet header and two VLAN tags; the frame check sequence is not delivered.
        const LINK_BYTES: u16 = 14 + 2 * 4;
        let most = pool.buffer_bytes().saturating_sub(HEADROOM + LINK_BYTES);
        self.in_range(
            "MTU",
            mtu,
            0,
            most,
            "make the mempool's buffers larger, or set multi_segment: true",
        )
    }

    fn in_range(
        &self,
        what: &'static str,
        wanted: u16,
        min: u16,
        max: u16,
        hint: &'static str,
    ) -> Result<()> {
        if (min..=max).contains(&wanted) {
            return Ok(());
        }
        let (wanted, min, max) = (u64::from(wanted), u64::from(min), u64::from(max));
        Err(Error::Range {
            port: self.name().to_owned(),
            what,
            wanted,
            min,
            max,
            hint,
        })
    }

    fn plan(&self, config: &PortConfig, info: &PortInfo) -> Plan {
        let mut rx_offloads = 0;
        let mut tx_offloads = 0;
        if config.multi_segment {
            rx_offloads |= c::WEIR_RX_OFFLOAD_SCATTER;
            tx_offloads |= c::WEIR_TX_OFFLOAD_MULTI_SEGS;
        }
        let wanted = config
            .rss
            .as_ref()
            .map_or(RssFunctions::NONE, |rss| rss.functions);
        let functions = wanted & info.rss_functions;
        if !functions.is_empty() {
            rx_offloads |= c::WEIR_RX_OFFLOAD_RSS_HASH;
        }
        if config.fast_free
            && info.tx_offloads & c::WEIR_TX_OFFLOAD_FAST_FREE != 0
            && self.reserve_fast_free()
        {
            tx_offloads |= c::WEIR_TX_OFFLOAD_FAST_FREE;
        }
        let key = config.rss.as_ref().and_then(|rss| rss.key.clone());
        Plan {
            rx_offloads: rx_offloads & info.rx_offloads,
            tx_offloads: tx_offloads & info.tx_offloads,
            functions,
            key: key.filter(|key| key.len() == usize::from(info.rss_key_bytes)),
        }
    }

    /// Fast free gives every sent mbuf to one pool without looking: right only if there is no other. Mbufs are
    /// never shared here, which is its second condition.
    fn reserve_fast_free(&self) -> bool {
        let mut state = self.inner.eal.state();
        if state.pools.len() != 1 {
            return false;
        }
        state.fast_free_port.get_or_insert_with(|| self.name().to_owned());
        true
    }

    fn configure(&self, config: &PortConfig, plan: &Plan) -> Result<()> {
        let mut key = plan.key.clone();
        let conf = c::weir_port_conf {
            rx_offloads: plan.rx_offloads,
            tx_offloads: plan.tx_offloads,
            rss_functions: plan.functions.0,
            rss_key: key.as_mut().map_or(core::ptr::null_mut(), |key| key.as_mut_ptr()),
            rss_key_bytes: key
                .as_ref()
                .map_or(0, |key| u16::try_from(key.len()).unwrap_or(0)),
            rx_queues: config.rx_queues,
            tx_queues: config.tx_queues,
            mtu: config.mtu.unwrap_or(0),
        };
        // SAFETY: the port is stopped; DPDK copies the configuration, and the key lives until it has.
        let rc = unsafe { c::weir_port_configure(self.id(), &raw const conf) };
        self.inner.check(
            "configure it",
            rc,
            "see the driver's message on stderr; try fewer queues or no RSS",
        )
    }

    fn apply_mtu(&mut self, mtu: Option<u16>) -> Result<bool> {
        unless_unsupported(mtu.is_some(), || self.set_mtu(mtu.unwrap_or_default()))
    }

    fn set_up_queues(&self, config: &PortConfig, plan: &Plan, pool: &Mempool) -> Result<(u16, u16)> {
        const HINT: &str = "the mempool needs more mbufs than all descriptors together, and larger buffers for \
                            AF_XDP; see the driver's message on stderr";
        let (mut rx, mut tx) = (config.rx_descriptors, config.tx_descriptors);
        // SAFETY: places for both numbers.
        let rc = unsafe { c::rte_eth_dev_adjust_nb_rx_tx_desc(self.id(), &raw mut rx, &raw mut tx) };
        self.inner
            .check("choose its descriptors", rc, "ask for another number")?;
        for queue in 0..config.rx_queues {
            // SAFETY: the port is configured and stopped; the pool lives as long as the EAL, which this port holds.
            let rc = unsafe { c::weir_rx_queue_setup(self.id(), queue, rx, plan.rx_offloads, pool.as_ptr()) };
            self.inner.check("set up a receive queue", rc, HINT)?;
        }
        for queue in 0..config.tx_queues {
            // SAFETY: the port is configured and stopped.
            let rc = unsafe { c::weir_tx_queue_setup(self.id(), queue, tx, plan.tx_offloads) };
            self.inner.check("set up a transmit queue", rc, HINT)?;
        }
        Ok((rx, tx))
    }

    fn run(&mut self) -> Result<()> {
        // SAFETY: the port is configured and its queues are set up.
        let rc = unsafe { c::rte_eth_dev_start(self.id()) };
        self.inner
            .check("start it", rc, "see the driver's message on stderr")?;
        let name = self.name().to_owned();
        // No queue handle exists while a port is stopped, so this is the only reference.
        Arc::get_mut(&mut self.inner)
            .ok_or(Error::QueuesInUse(name))?
            .running = true;
        Ok(())
    }
}

/// Does it if it is wanted. Whether it was done; a driver that cannot is no error here.
fn unless_unsupported(wanted: bool, set: impl FnOnce() -> Result<()>) -> Result<bool> {
    if !wanted {
        return Ok(false);
    }
    match set() {
        Ok(()) => Ok(true),
        Err(error) if error.is_unsupported() => Ok(false),
        Err(error) => Err(error),
    }
}
