//! Receive and transmit queues: the packet path.

use std::sync::Arc;

use weir_dpdk_sys as c;

use crate::burst::Burst;
use crate::port::PortInner;

/// A receive queue of a started port. Polled by one thread: the one that owns it.
#[derive(Debug)]
pub struct RxQueue {
    port: Arc<PortInner>,
    id: u16,
}

/// A transmit queue of a started port. Used by one thread: the one that owns it.
#[derive(Debug)]
pub struct TxQueue {
    port: Arc<PortInner>,
    id: u16,
}

impl RxQueue {
    pub(crate) fn new(port: Arc<PortInner>, id: u16) -> Self {
        Self { port, id }
    }

    /// Number of its port; see [`crate::Port::id`].
    pub fn port(&self) -> u16 {
        self.port.id()
    }

    /// Number within its port.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Receives what is waiting, as far as it fits behind the packets in `into`. Returns how many came.
    #[inline]
    pub fn burst(&mut self, into: &mut Burst) -> usize {
        self.burst_up_to(into, Burst::CAPACITY)
    }

    /// Receives at most `most` packets. A driver's vector path may round this down to a multiple of 4, and some
    /// receive nothing for less.
    #[inline]
    pub fn burst_up_to(&mut self, into: &mut Burst, most: usize) -> usize {
        let spare = into.spare();
        let room = spare.len().min(most) as u16;
        if room == 0 {
            return 0;
        }
        let slots = spare.as_mut_ptr().cast::<*mut c::rte_mbuf>();
        // SAFETY: this handle exists only while the port is started with this queue, &mut makes it the only caller,
        // and `slots` has room for `room` pointers.
        let count = unsafe { c::weir_rx_burst(self.port.id(), self.id, slots, room) };
        // SAFETY: the driver filled the first `count <= room` slots and gave the packets away.
        unsafe { into.grow(usize::from(count)) };
        usize::from(count)
    }
}

impl TxQueue {
    pub(crate) fn new(port: Arc<PortInner>, id: u16) -> Self {
        Self { port, id }
    }

    /// Number of its port; see [`crate::Port::id`].
    pub fn port(&self) -> u16 {
        self.port.id()
    }

    /// Number within its port.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Sends from the front of `from`. Returns how many the driver took; the others stay in `from`, in order.
    #[inline]
    pub fn burst(&mut self, from: &mut Burst) -> usize {
        let count = from.len() as u16;
        // SAFETY: this handle exists only while the port is started with this queue, &mut makes it the only caller,
        // and the first `count` slots are packets.
        let taken = unsafe { c::weir_tx_burst(self.port.id(), self.id, from.as_raw(), count) };
        let taken = usize::from(taken.min(count));
        // SAFETY: the driver owns the first `taken` packets now.
        unsafe { from.forget_front(taken) };
        taken
    }

    /// Asks the driver to free packets it has finished sending. Returns how many, or nothing where the driver
    /// cannot tell.
    pub fn reclaim(&mut self) -> Option<usize> {
        // SAFETY: as in `burst`; 0 means as many as possible.
        let rc = unsafe { c::rte_eth_tx_done_cleanup(self.port.id(), self.id, 0) };
        usize::try_from(rc).ok()
    }
}
