//! An mbuf as the packet path sees it.

use weir_dpdk::Mbuf;

use crate::packet::Packet;

impl Packet for Mbuf {
    #[inline(always)]
    fn data(&self) -> &[u8] {
        Self::data(self)
    }

    #[inline(always)]
    fn data_mut(&mut self) -> &mut [u8] {
        Self::data_mut(self)
    }

    #[inline]
    fn prepend(&mut self, len: usize) -> bool {
        Self::prepend(self, len).is_some()
    }

    #[inline(always)]
    fn reframe<const FRONT: usize, const HEAD: usize>(&mut self, len: u16) -> Option<&mut [u8; HEAD]> {
        Self::reframe::<FRONT, HEAD>(self, len)
    }

    #[inline]
    fn trim_front(&mut self, len: usize) -> bool {
        Self::trim_front(self, len)
    }

    #[inline]
    fn append(&mut self, len: usize) -> bool {
        self.segments() == 1 && Self::append(self, len).is_some()
    }

    #[inline]
    fn truncate(&mut self, len: usize) -> bool {
        Self::truncate(self, len)
    }

    #[inline]
    fn rss_hash(&self) -> Option<u32> {
        Self::rss_hash(self)
    }

    #[inline]
    fn segments(&self) -> usize {
        Self::segments(self)
    }

    #[inline(always)]
    fn total_len(&self) -> usize {
        Self::total_len(self)
    }

    #[inline(always)]
    fn prefetch(&self) {
        Self::prefetch(self);
    }

    fn visit_tail(&self, visit: &mut dyn FnMut(&[u8])) {
        self.chunks().skip(1).for_each(visit);
    }
}
