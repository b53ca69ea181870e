//! One packet: a chain of segments, usually one. Every accessor is a few plain loads and stores.

use core::marker::PhantomData;
use core::ptr::NonNull;

use weir_dpdk_sys::{self as c, rte_mbuf};

/// An owned packet. Dropping it gives its buffers back to their pool.
///
/// `data`, `prepend` and `trim_front` work on the first segment, `append` and `trim_back` on the last; all are
/// checked, and one that does not fit changes nothing.
#[repr(transparent)]
pub struct Mbuf {
    raw: NonNull<rte_mbuf>,
}

// SAFETY: the value is the only owner of its chain, and pools take buffers back from any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes ownership.
    ///
    /// # Safety
    /// `raw` is the first segment of a valid chain with a reference count of one that nobody else will use or free.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<rte_mbuf>) -> Self {
        Self { raw }
    }

    #[inline]
    fn header(&self) -> &rte_mbuf {
        // SAFETY: valid while owned, and only this value's methods write to it.
        unsafe { self.raw.as_ref() }
    }

    #[inline]
    fn header_mut(&mut self) -> &mut rte_mbuf {
        // SAFETY: as in `header`, and the exclusive borrow makes this the only reference.
        unsafe { self.raw.as_mut() }
    }

    /// Bytes of the first segment.
    #[inline]
    pub fn data(&self) -> &[u8] {
        segment_data(self.header())
    }

    /// Bytes of the first segment, to change.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        let header = self.header_mut();
        let start = header
            .buf_addr
            .cast::<u8>()
            .wrapping_add(usize::from(header.data_off));
        // SAFETY: DPDK keeps data_off + data_len <= buf_len, as do all methods here; the buffer is not shared.
        unsafe { core::slice::from_raw_parts_mut(start, usize::from(header.data_len)) }
    }

    /// Length of all segments.
    #[inline]
    pub fn total_len(&self) -> usize {
        self.header().pkt_len as usize
    }

    /// Number of segments; 1 for all but frames larger than a buffer.
    #[inline]
    pub fn segments(&self) -> usize {
        usize::from(self.header().nb_segs)
    }

    /// The data of each segment, in order.
    pub fn chunks(&self) -> Segments<'_> {
        Segments {
            next: self.raw.as_ptr(),
            packet: PhantomData,
        }
    }

    /// Free bytes before the data.
    #[inline]
    pub fn headroom(&self) -> usize {
        usize::from(self.header().data_off)
    }

    /// Free bytes behind the data of the last segment.
    #[inline]
    pub fn tailroom(&self) -> usize {
        tailroom(self.last())
    }

    /// Grows the packet by `n` bytes at its front and returns them; their content is whatever was there.
    #[inline]
    pub fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        let header = self.header_mut();
        let count = u16::try_from(n).ok()?;
        let data_len = header.data_len.checked_add(count)?;
        header.data_off = header.data_off.checked_sub(count)?;
        header.data_len = data_len;
        header.pkt_len += u32::from(count);
        self.data_mut().get_mut(..n)
    }

    /// Puts `FRONT` bytes in front, whatever was there, returns the first `HEAD` bytes of what is there then, and ends the packet
    /// after `len` bytes. `None`, and nothing changed, without the headroom, or if there is less or the packet has more segments.
    #[inline(always)]
    pub fn reframe<const FRONT: usize, const HEAD: usize>(&mut self, len: u16) -> Option<&mut [u8; HEAD]> {
        const { assert!(FRONT <= HEAD && HEAD <= u16::MAX as usize) };
        let header = self.header_mut();
        let data_off = header.data_off.checked_sub(FRONT as u16)?;
        let longest = u32::from(header.data_len) + FRONT as u32;
        if header.nb_segs != 1 || header.data_len < (HEAD - FRONT) as u16 || u32::from(len) > longest {
            return None;
        }
        header.data_off = data_off;
        header.data_len = len;
        header.pkt_len = u32::from(len);
        let start = header.buf_addr.cast::<u8>().wrapping_add(usize::from(data_off));
        // SAFETY: the data reached from data_off + FRONT to data_off + longest before, within the buffer, and `HEAD` is no more
        // than `longest`. The buffer is not shared, and arrays of bytes have no alignment.
        Some(unsafe { &mut *start.cast::<[u8; HEAD]>() })
    }

    /// Removes `n` bytes from the front; `false`, and nothing changed, if the first segment has not that many.
    #[inline]
    #[must_use]
    pub fn trim_front(&mut self, n: usize) -> bool {
        let header = self.header_mut();
        let Ok(count) = u16::try_from(n) else { return false };
        let Some(data_len) = header.data_len.checked_sub(count) else {
            return false;
        };
        header.data_len = data_len;
        header.data_off += count;
        header.pkt_len -= u32::from(count);
        true
    }

    /// Grows the packet by `n` bytes at its end and returns them; their content is whatever was there.
    #[inline]
    pub fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let count = u16::try_from(n).ok()?;
        let last = self.last_mut();
        if n > tailroom(last) {
            return None;
        }
        let old_len = last.data_len;
        last.data_len += count;
        let start = last
            .buf_addr
            .cast::<u8>()
            .wrapping_add(usize::from(last.data_off) + usize::from(old_len));
        self.header_mut().pkt_len += u32::from(count);
        // SAFETY: `n` bytes of tailroom were there, checked above; the borrow of self keeps them exclusive.
        Some(unsafe { core::slice::from_raw_parts_mut(start, n) })
    }

    /// Removes `n` bytes from the end; `false`, and nothing changed, if the last segment has not that many.
    #[inline]
    #[must_use]
    pub fn trim_back(&mut self, n: usize) -> bool {
        let Ok(count) = u16::try_from(n) else { return false };
        let last = self.last_mut();
        let Some(data_len) = last.data_len.checked_sub(count) else {
            return false;
        };
        last.data_len = data_len;
        self.header_mut().pkt_len -= u32::from(count);
        true
    }

    /// Cuts the packet to its first `len` bytes and frees further segments; `false`, and nothing changed, if the first
    /// segment has not that many.
    #[inline]
    #[must_use]
    pub fn truncate(&mut self, len: usize) -> bool {
        let header = self.header_mut();
        let Ok(count) = u16::try_from(len) else {
            return false;
        };
        if count > header.data_len {
            return false;
        }
        header.data_len = count;
        header.pkt_len = u32::from(count);
        if header.nb_segs > 1 {
            header.nb_segs = 1;
            // SAFETY: the first segment of a chain this value owns alone.
            let rest = unsafe { rte_mbuf::take_next(self.raw.as_ptr()) };
            // SAFETY: the rest of that chain, which nothing points to any more.
            unsafe { c::weir_mbuf_free(rest) };
        }
        true
    }

    /// The receiving port's RSS hash, if it gave one.
    #[inline]
    pub fn rss_hash(&self) -> Option<u32> {
        let header = self.header();
        (header.ol_flags & c::WEIR_RX_RSS_HASH != 0).then_some(header.rss)
    }

    /// The VLAN tag the port stripped, if it did, in host byte order.
    #[inline]
    pub fn vlan_tci(&self) -> Option<u16> {
        let header = self.header();
        (header.ol_flags & c::WEIR_RX_VLAN_STRIPPED != 0).then_some(header.vlan_tci)
    }

    /// Number of the port that received it; see [`crate::Port::id`].
    #[inline]
    pub fn port(&self) -> u16 {
        self.header().port
    }

    /// Asks the cache for the first line of the data; needs the mbuf itself, so call it one stage ahead.
    #[inline]
    pub fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let header = self.header();
            let start = header
                .buf_addr
                .cast::<i8>()
                .wrapping_add(usize::from(header.data_off));
            // SAFETY: a prefetch reads nothing and cannot fault.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start) };
        }
    }

    #[inline]
    fn last(&self) -> &rte_mbuf {
        let mut at = self.raw.as_ptr().cast_const();
        if self.segments() > 1 {
            at = last_of(at);
        }
        // SAFETY: the chain is valid while owned.
        unsafe { &*at }
    }

    #[inline]
    fn last_mut(&mut self) -> &mut rte_mbuf {
        let mut at = self.raw.as_ptr();
        if self.segments() > 1 {
            at = last_of(at).cast_mut();
        }
        // SAFETY: the chain is valid while owned, and self is borrowed exclusively.
        unsafe { &mut *at }
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the only owner gives the whole chain back.
        unsafe { c::weir_mbuf_free(self.raw.as_ptr()) };
    }
}

impl core::fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mbuf")
            .field("total_len", &self.total_len())
            .field("segments", &self.segments())
            .field("port", &self.port())
            .finish()
    }
}

/// Iterates over the data of a packet's segments.
#[derive(Debug)]
pub struct Segments<'a> {
    next: *const rte_mbuf,
    packet: PhantomData<&'a Mbuf>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: a segment of a chain that stays borrowed for 'a.
        let segment = unsafe { &*self.next };
        // SAFETY: as above.
        self.next = unsafe { rte_mbuf::next(segment) };
        Some(segment_data(segment))
    }
}

#[inline]
fn segment_data(segment: &rte_mbuf) -> &[u8] {
    let start = segment
        .buf_addr
        .cast::<u8>()
        .wrapping_add(usize::from(segment.data_off));
    // SAFETY: DPDK keeps data_off + data_len <= buf_len, as do all methods here.
    unsafe { core::slice::from_raw_parts(start, usize::from(segment.data_len)) }
}

#[inline]
fn tailroom(segment: &rte_mbuf) -> usize {
    let used = usize::from(segment.data_off) + usize::from(segment.data_len);
    usize::from(segment.buf_len).saturating_sub(used)
}

fn last_of(first: *const rte_mbuf) -> *const rte_mbuf {
    let mut at = first;
    loop {
        // SAFETY: `at` is a segment of a valid chain.
        let next = unsafe { rte_mbuf::next(at) };
        if next.is_null() {
            return at;
        }
        at = next;
    }
}
