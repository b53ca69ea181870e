//! `struct rte_mbuf`, written by hand: its unnamed unions move with the DPDK release, the fields used here do not.
//!
//! Every field is checked against the installed headers at compile time. Lengths are in bytes.

use core::ffi::c_void;
use core::mem::{offset_of, size_of};

use crate::generated as c;

/// One segment of a packet. Made, owned and freed by a mempool; never built in Rust.
#[repr(C, align(64))]
pub struct rte_mbuf {
    /// Start of the segment's buffer; the headroom is first.
    pub buf_addr: *mut c_void,
    _iova_or_next: u64,
    /// Where the data begins, from `buf_addr`.
    pub data_off: u16,
    /// 1 where this segment has one owner.
    pub refcnt: u16,
    /// Segments of the packet; valid in the first.
    pub nb_segs: u16,
    /// The port that received it.
    pub port: u16,
    /// `RTE_MBUF_F_*`.
    pub ol_flags: u64,
    /// `RTE_PTYPE_*`.
    pub packet_type: u32,
    /// Length of all segments; valid in the first.
    pub pkt_len: u32,
    /// Length of the data in this segment.
    pub data_len: u16,
    /// Host byte order; valid if `ol_flags` says so.
    pub vlan_tci: u16,
    /// The port's RSS hash; valid if `ol_flags` says so.
    pub rss: u32,
    _hash_high: u32,
    _vlan_tci_outer: u16,
    /// Length of the buffer, headroom included.
    pub buf_len: u16,
    _pool: *mut c_void,
    _second_line: [u64; 8],
}

impl rte_mbuf {
    /// The next segment, or null. Its place depends on how DPDK was built (`RTE_IOVA_AS_PA`).
    ///
    /// # Safety
    /// `segment` points to a valid mbuf.
    #[inline]
    pub unsafe fn next(segment: *const Self) -> *mut Self {
        let field = segment.wrapping_byte_add(c::WEIR_MBUF_NEXT).cast::<*mut Self>();
        // SAFETY: the offset is the C compiler's own for this field, and the caller vouches for the mbuf.
        unsafe { field.read() }
    }

    /// Cuts the chain behind this segment and returns what was there, or null.
    ///
    /// # Safety
    /// `segment` points to a valid mbuf that nobody else uses.
    #[inline]
    pub unsafe fn take_next(segment: *mut Self) -> *mut Self {
        let field = segment.wrapping_byte_add(c::WEIR_MBUF_NEXT).cast::<*mut Self>();
        // SAFETY: the offset is the C compiler's own for this field, and the caller vouches for the mbuf.
        unsafe { field.replace(core::ptr::null_mut()) }
    }
}

const _: () = {
    assert!(size_of::<rte_mbuf>() == c::WEIR_MBUF_SIZE);
    assert!(offset_of!(rte_mbuf, buf_addr) == c::WEIR_MBUF_BUF_ADDR);
    assert!(offset_of!(rte_mbuf, data_off) == c::WEIR_MBUF_DATA_OFF);
    assert!(offset_of!(rte_mbuf, refcnt) == c::WEIR_MBUF_REFCNT);
    assert!(offset_of!(rte_mbuf, nb_segs) == c::WEIR_MBUF_NB_SEGS);
    assert!(offset_of!(rte_mbuf, port) == c::WEIR_MBUF_PORT);
    assert!(offset_of!(rte_mbuf, ol_flags) == c::WEIR_MBUF_OL_FLAGS);
    assert!(offset_of!(rte_mbuf, packet_type) == c::WEIR_MBUF_PACKET_TYPE);
    assert!(offset_of!(rte_mbuf, pkt_len) == c::WEIR_MBUF_PKT_LEN);
    assert!(offset_of!(rte_mbuf, data_len) == c::WEIR_MBUF_DATA_LEN);
    assert!(offset_of!(rte_mbuf, vlan_tci) == c::WEIR_MBUF_VLAN_TCI);
    assert!(offset_of!(rte_mbuf, rss) == c::WEIR_MBUF_RSS);
    assert!(offset_of!(rte_mbuf, buf_len) == c::WEIR_MBUF_BUF_LEN);
};
