//! A worker's own counters: the only handle that writes them.

use crate::memory::{Cell64, LINE_WORDS, Line, Lines};
use crate::message::PortId;
use crate::sync::{Arc, AtomicBool, Ordering};

use super::shape::{Layout, Shape};

/// Declares the names of cells, as methods over the lines and as a struct of copied values.
macro_rules! cells {
    ($(#[$meta:meta])* $view:ident, $(#[$vmeta:meta])* $values:ident { $($(#[$fmeta:meta])* $field:ident = $at:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy)]
        pub struct $view<'a>(pub(super) &'a [Line]);

        impl<'a> $view<'a> {
            $(
                $(#[$fmeta])*
                #[inline]
                pub fn $field(self) -> &'a Cell64 {
                    &self.0[$at / LINE_WORDS].0[$at % LINE_WORDS]
                }
            )+

            /// A copy of every value.
            pub fn values(self) -> $values {
                $values { $($field: self.$field().get(),)+ }
            }
        }

        $(#[$vmeta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
        pub struct $values {
            $($(#[$fmeta])* pub $field: u64,)+
        }

        impl $values {
            /// The sum, field by field, wrapping: a flow may be counted in by one worker and out by another.
            #[must_use]
            pub fn plus(self, other: Self) -> Self {
                Self { $($field: self.$field.wrapping_add(other.$field),)+ }
            }
        }
    };
}

cells! {
    /// A worker's row.
    WorkerRow,
    /// A worker's numbers. `rx_packets == tx_packets + punted + dropped` once it is idle and nothing waits in a hand-over ring.
    WorkerCounts {
        /// Packets received from ports.
        rx_packets = 0,
        /// Packets given to ports.
        tx_packets = 1,
        /// Packets given to the host.
        punted = 2,
        /// Packets dropped, all reasons together.
        dropped = 3,
        /// Packets handed to other workers.
        steered_out = 4,
        /// Packets taken from other workers.
        steered_in = 5,
        /// Bursts that held a packet.
        bursts = 6,
        /// Polls that found nothing.
        polls_empty = 7,
        /// Times it slept.
        sleeps = 8,
        /// Time spent on bursts that held a packet, in ns.
        busy_ns = 9,
        /// Clock of its last burst, in ns since the dataplane's start.
        heartbeat_ns = 10,
        /// Flows in its table.
        flows = 11,
        /// Flows made.
        flows_created = 12,
        /// Flows aged out.
        flows_expired = 13,
        /// Flows forwarded without state because the table was full.
        flows_refused = 14,
        /// Increments that named something beyond the page's shape.
        out_of_shape = 15,
    }
}

cells! {
    /// A worker's line for one port.
    PortLine,
    /// A port's numbers.
    PortCounts {
        /// Packets received.
        rx_packets = 0,
        /// Bytes received, from the Ethernet header on.
        rx_bytes = 1,
        /// Packets sent.
        tx_packets = 2,
        /// Bytes sent.
        tx_bytes = 3,
        /// Packets the device did not take.
        tx_dropped = 4,
        /// Packets given to the host.
        punt_packets = 5,
        /// Packets taken from the host and sent.
        host_tx_packets = 6,
        /// Of the packets received, those handed to another worker.
        steered_packets = 7,
    }
}

cells! {
    /// A worker's line for one service or backend.
    LoadLine,
    /// The numbers of a service or backend. `active` and `inactive` of one worker may wrap below zero; their sums do not.
    LoadCounts {
        /// Flows in an active state.
        active = 0,
        /// Flows in another state.
        inactive = 1,
        /// Connections scheduled so far.
        connections = 2,
        /// Packets from clients.
        packets_in = 3,
        /// Bytes from clients.
        bytes_in = 4,
        /// Packets from servers.
        packets_out = 5,
        /// Bytes from servers.
        bytes_out = 6,
        /// Persistence templates.
        persistent = 7,
    }
}

cells! {
    /// A worker's line for what packets show of a backend's health.
    SignLine,
    /// What packets show of a backend's health. Each flow counts at most once in each.
    SignCounts {
        /// Flows known to be answered: the server's SYN-ACK or first datagram has passed; where replies take another way,
        /// the client has completed the handshake.
        answered = 0,
        /// Flows whose client repeated its SYN.
        repeated = 1,
        /// Flows the server refused: a reset for a SYN, an ICMP error from its own address.
        refused = 2,
    }
}

/// Sets every cell to zero.
pub(super) fn clear(lines: &[Line]) {
    lines.iter().flat_map(|line| &line.0).for_each(|cell| cell.set(0));
}

/// A worker's lines of all backend slots.
#[derive(Clone, Copy)]
pub struct BackendLines<'a>(&'a [Line]);

impl<'a> BackendLines<'a> {
    /// How many there are.
    #[inline(always)]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Only the first `len` of them.
    #[inline(always)]
    #[must_use]
    pub fn first(self, len: usize) -> Self {
        Self(self.0.get(..len).unwrap_or_default())
    }

    /// The line of a backend slot, if the page has it.
    #[inline(always)]
    pub fn get(self, slot: u32) -> Option<LoadLine<'a>> {
        self.0
            .get(slot as usize)
            .map(|line| LoadLine(core::slice::from_ref(line)))
    }
}

/// Where a worker counts. There is one for each worker: it is the single writer of its cells.
pub struct WorkerCounters {
    pub(super) lines: Lines,
    pub(super) layout: Layout,
    pub(super) shape: Shape,
    pub(super) claimed: Arc<Vec<AtomicBool>>,
    pub(super) worker: usize,
}

impl Drop for WorkerCounters {
    fn drop(&mut self) {
        self.claimed[self.worker].store(false, Ordering::Release);
    }
}

impl WorkerCounters {
    /// The worker's row.
    #[inline]
    pub fn row(&self) -> WorkerRow<'_> {
        WorkerRow(&self.lines)
    }

    /// The counter of a verdict or reason. One beyond the shape counts as `out_of_shape`.
    #[inline]
    pub fn reason(&self, reason: usize) -> &Cell64 {
        if reason >= self.shape.reasons as usize {
            return self.row().out_of_shape();
        }
        &self.lines[self.layout.reasons + reason / LINE_WORDS].0[reason % LINE_WORDS]
    }

    /// The line of a port, if the page has it.
    #[inline]
    pub fn port(&self, port: PortId) -> Option<PortLine<'_>> {
        self.line(self.layout.ports, port.0.into(), self.shape.ports)
            .map(PortLine)
    }

    /// The line of a service slot, if the page has it.
    #[inline]
    pub fn service(&self, slot: u32) -> Option<LoadLine<'_>> {
        self.line(self.layout.services, slot, self.shape.services)
            .map(LoadLine)
    }

    /// The line of a backend slot, if the page has it.
    #[inline]
    pub fn backend(&self, slot: u32) -> Option<LoadLine<'_>> {
        let line = self.backends().get(slot);
        if line.is_none() {
            self.row().out_of_shape().add(1);
        }
        line
    }

    /// The line for the signs of a backend slot, if the page has it.
    #[inline]
    pub fn signs(&self, slot: u32) -> Option<SignLine<'_>> {
        self.line(self.layout.signs, slot, self.shape.backends)
            .map(SignLine)
    }

    /// The lines of all backend slots, at hand for a whole burst. They are the last of a worker's lines.
    #[inline]
    pub fn backends(&self) -> BackendLines<'_> {
        BackendLines(self.lines.get(self.layout.backends..).unwrap_or_default())
    }

    #[inline]
    fn line(&self, first: usize, n: u32, bound: u32) -> Option<&[Line]> {
        if n >= bound {
            self.row().out_of_shape().add(1);
            return None;
        }
        self.lines.get(first + n as usize..=first + n as usize)
    }
}
