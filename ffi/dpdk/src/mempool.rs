//! A pool of packet buffers.

use core::ptr::NonNull;
use std::sync::Arc;

use weir_dpdk_sys as c;

use crate::burst::Burst;
use crate::eal::{Eal, EalInner, Pool, available, c_string};
use crate::error::{Errno, Error, Result};
use crate::mbuf::Mbuf;

/// Bytes a fresh mbuf keeps free before its data.
pub const HEADROOM: u16 = c::WEIR_HEADROOM;

/// Size and place of a [`Mempool`].
#[derive(Debug, Clone)]
pub struct MempoolConfig {
    /// Buffers. Memory use is best at a power of two minus one.
    pub mbufs: u32,
    /// Buffers each lcore may hold back for itself; at most 512 and at most two thirds of `mbufs`.
    pub cache: u32,
    /// Bytes of a buffer behind the mbuf itself, [`HEADROOM`] included. AF_XDP without copy needs 2048 + 128.
    pub buffer_bytes: u16,
    /// NUMA node, or any.
    pub socket: Option<u32>,
}

impl Default for MempoolConfig {
    fn default() -> Self {
        Self {
            mbufs: 8191,
            cache: 256,
            buffer_bytes: 2048 + HEADROOM,
            socket: None,
        }
    }
}

/// A pool of packet buffers, usable from any thread.
///
/// Dropping the handle does not free the pool: mbufs and ports may still need it. Its memory goes with the EAL.
#[derive(Debug)]
pub struct Mempool {
    raw: NonNull<c::rte_mempool>,
    name: String,
    config: MempoolConfig,
    _eal: Arc<EalInner>,
}

// SAFETY: the pool's default ring is multi-producer and multi-consumer, its caches are one per lcore, and a pool is
// not freed while this handle holds the EAL.
unsafe impl Send for Mempool {}
// SAFETY: as above; every operation DPDK offers on a shared pool is thread-safe.
unsafe impl Sync for Mempool {}

impl Mempool {
    /// Makes a pool. The name must be new in this process.
    pub fn new(eal: &Eal, name: &str, config: MempoolConfig) -> Result<Self> {
        let c_name = c_string("mempool name", name)?;
        let mut state = eal.inner().state();
        if let Some(port) = &state.fast_free_port {
            return Err(Error::FastFree {
                name: name.to_owned(),
                port: port.clone(),
            });
        }
        // Also the C value of SOCKET_ID_ANY.
        let socket = config
            .socket
            .and_then(|socket| i32::try_from(socket).ok())
            .unwrap_or(-1);
        // SAFETY: the name is a terminated string that DPDK copies; DPDK checks the numbers.
        let raw = unsafe {
            c::rte_pktmbuf_pool_create(
                c_name.as_ptr(),
                config.mbufs,
                config.cache,
                0,
                config.buffer_bytes,
                socket,
            )
        };
        let raw = NonNull::new(raw).ok_or_else(|| refused(name, &config))?;
        state.pools.push(Pool {
            raw,
            mbufs: config.mbufs,
        });
        drop(state);
        Ok(Self {
            raw,
            name: name.to_owned(),
            config,
            _eal: Arc::clone(eal.inner()),
        })
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Buffers it has in all.
    pub fn size(&self) -> u32 {
        self.config.mbufs
    }

    /// Buffers free now, those in per-lcore caches included. Walks the caches: not for the packet path.
    pub fn available(&self) -> u32 {
        available(self.raw)
    }

    /// Bytes of a buffer, headroom included.
    pub fn buffer_bytes(&self) -> u16 {
        self.config.buffer_bytes
    }

    /// An empty packet with [`HEADROOM`] before it, or nothing if the pool is empty.
    #[inline]
    pub fn alloc(&self) -> Option<Mbuf> {
        let mut raw = core::ptr::null_mut();
        // SAFETY: room for the one pointer asked for.
        let rc = unsafe { c::weir_mbuf_alloc_bulk(self.raw.as_ptr(), &raw mut raw, 1) };
        if rc != 0 {
            return None;
        }
        // SAFETY: fresh from the pool, reset, and owned by nobody else.
        NonNull::new(raw).map(|raw| unsafe { Mbuf::from_raw(raw) })
    }

    /// Puts `count` empty packets behind those in the burst: all of them, or none and `false` if the pool or the
    /// burst has not that many.
    #[inline]
    pub fn alloc_into(&self, burst: &mut Burst, count: usize) -> bool {
        let spare = burst.spare();
        if count > spare.len() {
            return false;
        }
        let into = spare.as_mut_ptr().cast::<*mut c::rte_mbuf>();
        // SAFETY: `into` has room for `count` pointers, checked above; count <= Burst::CAPACITY.
        let rc = unsafe { c::weir_mbuf_alloc_bulk(self.raw.as_ptr(), into, count as u32) };
        if rc != 0 {
            return false;
        }
        // SAFETY: the call filled exactly `count` slots with packets nobody else owns.
        unsafe { burst.grow(count) };
        true
    }

    pub(crate) fn as_ptr(&self) -> *mut c::rte_mempool {
        self.raw.as_ptr()
    }
}

fn refused(name: &str, config: &MempoolConfig) -> Error {
    const EXISTS: Errno = Errno(17);
    let errno = Errno::last();
    let hint = match errno {
        EXISTS => "choose a name that is not taken",
        Errno::INVALID => {
            "cache must be at most 512 and at most two thirds of the mbufs, the name under 26 bytes"
        }
        _ => {
            "give the EAL more memory (-m <MiB>, or more hugepages: sysctl vm.nr_hugepages) or ask for fewer mbufs"
        }
    };
    let bytes = u64::from(config.mbufs) * u64::from(config.buffer_bytes);
    Error::Mempool {
        name: name.to_owned(),
        mbufs: config.mbufs,
        bytes,
        errno,
        hint,
    }
}
