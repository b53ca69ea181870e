//! Ports: open, ask, set. `start` is in `port/start.rs`.

use core::cell::Cell;
use core::ffi::{CStr, c_char, c_int};
use core::marker::PhantomData;
use std::sync::Arc;

use weir_dpdk_sys as c;

use crate::eal::{Eal, EalInner, c_string};
use crate::error::{Errno, Error, Result, string_at};
use crate::rss::{RssFunctions, RssState};
use crate::stats::{Stats, XStat};

mod start;

pub use start::{PortConfig, Started};

const UNSUPPORTED: &str = "the driver may not offer this";

/// The one owner of a DPDK port. Dropping it and its queues stops and closes the port.
///
/// Control calls are not thread-safe in DPDK, so this can be sent to a thread but not shared between threads.
#[derive(Debug)]
pub struct Port {
    inner: Arc<PortInner>,
    started: Option<Started>,
    not_sync: PhantomData<Cell<()>>,
}

/// What queues keep alive.
#[derive(Debug)]
pub(crate) struct PortInner {
    id: u16,
    name: String,
    running: bool,
    /// The device goes back to the kernel with the port.
    give_back: bool,
    eal: Arc<EalInner>,
}

/// What the device and its driver offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortInfo {
    /// For instance `net_ixgbe`.
    pub driver: String,
    /// Receive queues at most.
    pub max_rx_queues: u16,
    /// Transmit queues at most.
    pub max_tx_queues: u16,
    /// Smallest MTU in bytes.
    pub min_mtu: u16,
    /// Largest MTU in bytes.
    pub max_mtu: u16,
    /// Unicast MAC addresses the device can filter on.
    pub max_mac_addresses: u32,
    /// Hash functions on offer; empty where the device has no RSS.
    pub rss_functions: RssFunctions,
    /// Length of the RSS key in bytes; 0 where unknown.
    pub rss_key_bytes: u16,
    /// Entries of the redirection table; 0 where there is none.
    pub reta_size: u16,
    /// `RTE_ETH_RX_OFFLOAD_*` on offer.
    pub rx_offloads: u64,
    /// `RTE_ETH_TX_OFFLOAD_*` on offer.
    pub tx_offloads: u64,
    /// The kernel interface behind the port, where there is one.
    pub if_index: Option<u32>,
    /// NUMA node, where known.
    pub socket: Option<u32>,
}

/// State of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whether the link is up.
    pub up: bool,
    /// Speed in Mbit/s, where known.
    pub speed_mbps: Option<u32>,
    /// Whether both directions work at once.
    pub full_duplex: bool,
    /// Whether the speed was negotiated.
    pub autonegotiated: bool,
}

impl Port {
    /// Takes the port of that name: a PCI address such as `0000:41:00.0`, or the name of a `--vdev`.
    pub fn open(eal: &Eal, name: &str) -> Result<Self> {
        let c_name = c_string("port name", name)?;
        let mut id = 0;
        // SAFETY: a terminated string that is only read, and a place for the number.
        let rc = unsafe { c::rte_eth_dev_get_port_by_name(c_name.as_ptr(), &raw mut id) };
        if rc != 0 {
            return Err(Error::NoPort {
                name: name.to_owned(),
                known: names(),
            });
        }
        if !eal.inner().state().open_ports.insert(id) {
            return Err(Error::PortOpen(name.to_owned()));
        }
        let inner = PortInner {
            id,
            name: name.to_owned(),
            running: false,
            give_back: false,
            eal: Arc::clone(eal.inner()),
        };
        Ok(Self {
            inner: Arc::new(inner),
            started: None,
            not_sync: PhantomData,
        })
    }

    /// DPDK's number for the port; [`crate::Mbuf::port`] says the same.
    pub fn id(&self) -> u16 {
        self.inner.id
    }

    /// The name it was opened with.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// What the device offers.
    pub fn info(&self) -> Result<PortInfo> {
        let info = self.raw_info()?;
        // SAFETY: DPDK checks the port number.
        let socket = unsafe { c::rte_eth_dev_socket_id(self.id()) };
        Ok(PortInfo {
            driver: text(&info.driver),
            max_rx_queues: info.max_rx_queues,
            max_tx_queues: info.max_tx_queues,
            min_mtu: info.min_mtu,
            max_mtu: info.max_mtu,
            max_mac_addresses: info.max_mac_addresses,
            rss_functions: RssFunctions(info.rss_functions),
            rss_key_bytes: info.rss_key_bytes,
            reta_size: info.reta_size,
            rx_offloads: info.rx_offloads,
            tx_offloads: info.tx_offloads,
            if_index: (info.if_index != 0).then_some(info.if_index),
            socket: u32::try_from(socket).ok(),
        })
    }

    /// Name of the driver, for instance `net_ixgbe`.
    pub fn driver_name(&self) -> Result<String> {
        Ok(text(&self.raw_info()?.driver))
    }

    /// Receive and transmit queues the device has at most.
    pub fn max_queues(&self) -> Result<(u16, u16)> {
        let info = self.raw_info()?;
        Ok((info.max_rx_queues, info.max_tx_queues))
    }

    /// What the last start made of its configuration; nothing while stopped.
    pub fn started(&self) -> Option<&Started> {
        self.started.as_ref()
    }

    /// Stops the port. Every queue of it must have been dropped before: a queue being polled cannot be taken away.
    pub fn stop(&mut self) -> Result<()> {
        let name = self.inner.name.clone();
        let inner = Arc::get_mut(&mut self.inner).ok_or(Error::QueuesInUse(name))?;
        if inner.running {
            // SAFETY: no queue handle is left, so nobody is inside a burst call.
            let rc = unsafe { c::rte_eth_dev_stop(inner.id) };
            inner.check("stop it", rc, "see the driver's message on stderr")?;
            inner.running = false;
        }
        self.started = None;
        Ok(())
    }

    /// Stops and closes the port, and gives its device back to the kernel: what is plugged out, or may come back by [`Eal::probe`].
    ///
    /// # Errors
    /// The port itself, while a queue of it exists.
    pub fn remove(mut self) -> core::result::Result<(), Self> {
        let Some(inner) = Arc::get_mut(&mut self.inner) else {
            return Err(self);
        };
        inner.give_back = true;
        Ok(())
    }

    /// The port's own MAC address.
    pub fn mac(&self) -> Result<[u8; 6]> {
        let mut mac = c::rte_ether_addr::default();
        // SAFETY: a place for the address.
        let rc = unsafe { c::rte_eth_macaddr_get(self.id(), &raw mut mac) };
        self.inner
            .check("read its MAC address", rc, "the device may be gone")?;
        Ok(mac.addr_bytes)
    }

    /// Changes the port's own MAC address.
    pub fn set_mac(&mut self, mac: [u8; 6]) -> Result<()> {
        let mut mac = c::rte_ether_addr { addr_bytes: mac };
        // SAFETY: DPDK copies the address.
        let rc = unsafe { c::rte_eth_dev_default_mac_addr_set(self.id(), &raw mut mac) };
        self.inner.check(
            "set its MAC address",
            rc,
            "a VF needs the host's leave (trust on), and unicast only",
        )
    }

    /// Lets the device also receive frames for this unicast address, for instance a VRRP virtual MAC.
    pub fn add_mac(&mut self, mac: [u8; 6]) -> Result<()> {
        let mut mac = c::rte_ether_addr { addr_bytes: mac };
        // SAFETY: DPDK copies the address; pool 0 is the default.
        let rc = unsafe { c::rte_eth_dev_mac_addr_add(self.id(), &raw mut mac, 0) };
        self.inner
            .check("add a MAC address", rc, "start it with promiscuous: true instead")
    }

    /// Takes back [`Port::add_mac`].
    pub fn remove_mac(&mut self, mac: [u8; 6]) -> Result<()> {
        let mut mac = c::rte_ether_addr { addr_bytes: mac };
        // SAFETY: DPDK only reads the address.
        let rc = unsafe { c::rte_eth_dev_mac_addr_remove(self.id(), &raw mut mac) };
        self.inner
            .check("remove a MAC address", rc, "its own address cannot be removed")
    }

    /// Replaces the list of multicast MAC addresses the device receives.
    pub fn set_multicast_macs(&mut self, macs: &[[u8; 6]]) -> Result<()> {
        let mut list: Vec<_> = macs
            .iter()
            .map(|mac| c::rte_ether_addr { addr_bytes: *mac })
            .collect();
        let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
        // SAFETY: `list` has `count` addresses; DPDK copies them.
        let rc = unsafe { c::rte_eth_dev_set_mc_addr_list(self.id(), list.as_mut_ptr(), count) };
        self.inner
            .check("set its multicast addresses", rc, "use set_all_multicast instead")
    }

    /// Receives every multicast frame, or only those asked for.
    pub fn set_all_multicast(&mut self, on: bool) -> Result<()> {
        let call = if on {
            c::rte_eth_allmulticast_enable
        } else {
            c::rte_eth_allmulticast_disable
        };
        // SAFETY: DPDK checks the port number.
        let rc = unsafe { call(self.id()) };
        self.inner
            .check("change all-multicast", rc, "use set_promiscuous instead")
    }

    /// Receives every frame, or only those for this port.
    pub fn set_promiscuous(&mut self, on: bool) -> Result<()> {
        let call = if on {
            c::rte_eth_promiscuous_enable
        } else {
            c::rte_eth_promiscuous_disable
        };
        // SAFETY: DPDK checks the port number.
        let rc = unsafe { call(self.id()) };
        self.inner.check("change promiscuous mode", rc, UNSUPPORTED)
    }

    /// Whether the port receives every frame.
    pub fn is_promiscuous(&self) -> bool {
        // SAFETY: DPDK checks the port number.
        let rc = unsafe { c::rte_eth_promiscuous_get(self.id()) };
        rc == 1
    }

    /// Largest packet in bytes, without the Ethernet header.
    pub fn mtu(&self) -> Result<u16> {
        let mut mtu = 0;
        // SAFETY: a place for the number.
        let rc = unsafe { c::rte_eth_dev_get_mtu(self.id(), &raw mut mtu) };
        self.inner.check("read its MTU", rc, "the device may be gone")?;
        Ok(mtu)
    }

    /// Changes the MTU.
    pub fn set_mtu(&mut self, mtu: u16) -> Result<()> {
        // SAFETY: DPDK checks both numbers.
        let rc = unsafe { c::rte_eth_dev_set_mtu(self.id(), mtu) };
        self.inner.check(
            "set its MTU",
            rc,
            "info() says what is possible; some drivers want the port stopped",
        )
    }

    /// State of the link, without waiting for a negotiation to end.
    pub fn link(&self) -> Result<Link> {
        const NONE: u32 = 0;
        const UNKNOWN: u32 = u32::MAX;
        let mut link = c::weir_link::default();
        // SAFETY: a place for the answer.
        let rc = unsafe { c::weir_link_get(self.id(), &raw mut link) };
        self.inner.check("read its link", rc, "the device may be gone")?;
        Ok(Link {
            up: link.up != 0,
            speed_mbps: Some(link.speed_mbps).filter(|speed| *speed != NONE && *speed != UNKNOWN),
            full_duplex: link.full_duplex != 0,
            autonegotiated: link.autonegotiated != 0,
        })
    }

    /// The basic counters.
    pub fn stats(&self) -> Result<Stats> {
        let mut raw = c::rte_eth_stats::default();
        // SAFETY: a place for the counters.
        let rc = unsafe { c::rte_eth_stats_get(self.id(), &raw mut raw) };
        self.inner
            .check("read its counters", rc, "the device may be gone")?;
        Ok(Stats {
            rx_packets: raw.ipackets,
            rx_bytes: raw.ibytes,
            rx_missed: raw.imissed,
            rx_errors: raw.ierrors,
            rx_no_mbuf: raw.rx_nombuf,
            tx_packets: raw.opackets,
            tx_bytes: raw.obytes,
            tx_errors: raw.oerrors,
        })
    }

    /// Every counter the driver has.
    pub fn xstats(&self) -> Result<Vec<XStat>> {
        const ACTION: &str = "read its extended counters";
        // SAFETY: with no place and no room DPDK only answers how many there are.
        let rc = unsafe { c::rte_eth_xstats_get_names(self.id(), core::ptr::null_mut(), 0) };
        let count = self.inner.count(ACTION, rc)?;
        let mut names = vec![c::rte_eth_xstat_name::default(); count as usize];
        // SAFETY: room for `count` names.
        let rc = unsafe { c::rte_eth_xstats_get_names(self.id(), names.as_mut_ptr(), count) };
        self.inner.count(ACTION, rc)?;
        let mut values = vec![c::rte_eth_xstat::default(); count as usize];
        // SAFETY: room for `count` values.
        let rc = unsafe { c::rte_eth_xstats_get(self.id(), values.as_mut_ptr(), count) };
        let filled = self.inner.count(ACTION, rc)?.min(count) as usize;
        let named = |value: &c::rte_eth_xstat| {
            let name = names.get(usize::try_from(value.id).ok()?)?;
            Some(XStat {
                name: text(&name.name),
                value: value.value,
            })
        };
        Ok(values[..filled].iter().filter_map(named).collect())
    }

    /// The RSS key in use, if the driver tells.
    pub fn rss_key(&self) -> Result<Option<Vec<u8>>> {
        let bytes = self.raw_info()?.rss_key_bytes;
        if bytes == 0 {
            return Ok(None);
        }
        let mut key = vec![0; c::WEIR_RSS_KEY_MAX as usize];
        // SAFETY: room for the longest key, whatever length the driver believes in.
        let rc = unsafe { c::weir_rss_get(self.id(), key.as_mut_ptr(), bytes) };
        key.truncate(usize::from(bytes));
        self.known("read its RSS key", rc, key)
    }

    /// The redirection table, if the driver tells: the queue for each value of the hash's low bits.
    pub fn reta(&self) -> Result<Option<Vec<u16>>> {
        let size = self.raw_info()?.reta_size;
        if size == 0 {
            return Ok(None);
        }
        let mut queues = vec![0; usize::from(size)];
        // SAFETY: room for `size` entries.
        let rc = unsafe { c::weir_reta_get(self.id(), queues.as_mut_ptr(), size) };
        self.known("read its redirection table", rc, queues)
    }

    /// What the driver calls its receive function, for instance `Vector SSE`, if it says.
    pub fn rx_burst_mode(&self) -> Option<String> {
        self.burst_mode(c::weir_rx_burst_mode)
    }

    /// What the driver calls its transmit function, if it says.
    pub fn tx_burst_mode(&self) -> Option<String> {
        self.burst_mode(c::weir_tx_burst_mode)
    }

    fn burst_mode(&self, call: unsafe extern "C" fn(u16, *mut c_char) -> c_int) -> Option<String> {
        let mut mode = [0; c::WEIR_BURST_MODE_SIZE];
        // SAFETY: room for the longest name DPDK has.
        let rc = unsafe { call(self.id(), mode.as_mut_ptr()) };
        (rc == 0).then(|| text(&mode))
    }

    /// RSS as the device does it now. Some drivers take a key only after start.
    fn settle_rss(
        &mut self,
        functions: RssFunctions,
        key: Option<&[u8]>,
        hash_delivered: bool,
    ) -> Result<RssState> {
        if functions.is_empty() {
            return Ok(RssState::default());
        }
        let mut in_use = self.rss_key()?;
        if let Some(wanted) = key.filter(|wanted| in_use.as_deref() != Some(*wanted)) {
            let bytes = u16::try_from(wanted.len()).unwrap_or(u16::MAX);
            // SAFETY: the shim copies `bytes` bytes of the key, or refuses.
            let rc = unsafe { c::weir_rss_set(self.id(), wanted.as_ptr(), bytes, functions.0) };
            self.known("set its RSS key", rc, ())?;
            in_use = self.rss_key()?;
        }
        Ok(RssState {
            functions,
            key: in_use,
            reta: self.reta()?,
            hash_delivered,
        })
    }

    /// The value, unless the call behind `rc` is one the driver does not have.
    fn known<T>(&self, action: &'static str, rc: c_int, value: T) -> Result<Option<T>> {
        match self.inner.check(action, rc, UNSUPPORTED) {
            Ok(()) => Ok(Some(value)),
            Err(error) if error.is_unsupported() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn raw_info(&self) -> Result<c::weir_port_info> {
        // SAFETY: the all-zero value is valid, it has numbers and bytes only.
        let mut info: c::weir_port_info = unsafe { core::mem::zeroed() };
        // SAFETY: a place for the answer.
        let rc = unsafe { c::weir_port_info_get(self.id(), &raw mut info) };
        self.inner
            .check("read what it offers", rc, "the device may be gone")?;
        Ok(info)
    }
}

impl PortInner {
    #[inline]
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    fn check(&self, action: &'static str, rc: c_int, hint: &'static str) -> Result<()> {
        match Errno::check(rc) {
            Ok(_) => Ok(()),
            Err(errno) => Err(Error::Port {
                port: self.name.clone(),
                action,
                errno,
                hint,
            }),
        }
    }

    fn count(&self, action: &'static str, rc: c_int) -> Result<u32> {
        self.check(action, rc, UNSUPPORTED)?;
        Ok(rc.unsigned_abs())
    }
}

impl Drop for PortInner {
    fn drop(&mut self) {
        if self.running {
            // SAFETY: the last of the port and its queues is going, so nobody is inside a burst call.
            unsafe { c::rte_eth_dev_stop(self.id) };
        }
        let close = if self.give_back {
            c::weir_port_remove
        } else {
            c::rte_eth_dev_close
        };
        // SAFETY: stopped, and nobody has a handle to it. A driver that fails here says so on stderr.
        unsafe { close(self.id) };
        self.eal.state().open_ports.remove(&self.id);
    }
}

impl Eal {
    /// Names of all ports, open or not, as [`Port::open`] takes them.
    pub fn port_names(&self) -> Vec<String> {
        names()
    }
}

fn names() -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        // SAFETY: any number may be asked for.
        at = unsafe { c::rte_eth_find_next(at) };
        if at >= c::WEIR_PORTS_MAX {
            return found;
        }
        let mut name = [0; c::WEIR_PORT_NAME_SIZE];
        // SAFETY: room for the longest name DPDK allows.
        let rc = unsafe { c::rte_eth_dev_get_name_by_port(at, name.as_mut_ptr()) };
        if rc == 0 {
            found.push(string_at(name.as_ptr()));
        }
        at += 1;
    }
}

/// A C string inside a fixed array; all of it where no end is marked.
fn text(array: &[c_char]) -> String {
    let bytes: Vec<u8> = array.iter().map(|byte| byte.cast_unsigned()).collect();
    match CStr::from_bytes_until_nul(&bytes) {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}
