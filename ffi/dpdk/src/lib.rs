//! Safe, owned handles over DPDK: EAL, ports, queues, mempools, mbufs.
//!
//! Read first: the DPDK Programmer's Guide, chapters "Environment Abstraction Layer", "Mbuf Library" and
//! "Poll Mode Driver". Lengths are in bytes, MTU without the Ethernet header, MAC addresses in wire order.
//!
//! - A handle is owned and cannot be cloned. Giving an [`Mbuf`] to a [`TxQueue`] is a move; what the queue did not
//!   take stays in the caller's [`Burst`].
//! - Lifetimes are kept by counting, never on the packet path: port, queue, mempool and running lcore each hold the
//!   EAL; a queue holds its port. A mempool's memory stays mapped until the EAL is cleaned up, and that happens only
//!   when no mbuf is out, so an mbuf need not count anything.
//! - One C call per burst. Fields of an mbuf are read and written from Rust, inlined.

mod burst;
mod eal;
mod error;
mod lcore;
mod mbuf;
mod mempool;
mod port;
mod queue;
mod rss;
mod stats;

pub use burst::{Burst, Drain};
pub use eal::{Eal, dpdk_version, tsc, tsc_hz};
pub use error::{Errno, Error, Result};
pub use lcore::{Lcore, LcoreId, Panic};
pub use mbuf::{Mbuf, Segments};
pub use mempool::{HEADROOM, Mempool, MempoolConfig};
pub use port::{Link, Port, PortConfig, PortInfo, Started};
pub use queue::{RxQueue, TxQueue};
pub use rss::{RssConfig, RssFunctions, RssState};
pub use stats::{Stats, XStat};

/// Every handle may move to the thread that will use it.
const _: () = {
    const fn can_be_sent<T: Send>() {}
    can_be_sent::<(Eal, Port, RxQueue, TxQueue, Mempool, Mbuf, Burst, Lcore)>();
};
