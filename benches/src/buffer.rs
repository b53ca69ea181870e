//! A frame in a buffer that costs what an mbuf costs: start and length are fields, and no access needs a comparison.

use weir_dataplane::Packet;

/// Free bytes in front of a fresh frame, as DPDK leaves.
const HEADROOM: u8 = 128;

/// What may be put in front.
const GROWTH_MAX: usize = 64;

/// A short frame.
#[derive(Debug, Clone)]
pub struct Buffer {
    /// Longer than start and length can ever say.
    bytes: [u8; 512],
    start: u8,
    len: u8,
}

impl Buffer {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            bytes: [0; 512],
            start: HEADROOM,
            len: 0,
        }
    }

    /// Puts a frame in.
    pub fn fill<const N: usize>(&mut self, frame: &[u8; N]) {
        const { assert!(N + GROWTH_MAX <= u8::MAX as usize) };
        let at = usize::from(HEADROOM);
        self.bytes[at..at + N].copy_from_slice(frame);
        (self.start, self.len) = (HEADROOM, N as u8);
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Packet for Buffer {
    #[inline(always)]
    fn data(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..][..usize::from(self.len)]
    }

    #[inline(always)]
    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[usize::from(self.start)..][..usize::from(self.len)]
    }

    #[inline]
    fn prepend(&mut self, len: usize) -> bool {
        let fits = len <= usize::from(self.start) && len + usize::from(self.len) <= usize::from(u8::MAX);
        if fits {
            self.start -= len as u8;
            self.len += len as u8;
        }
        fits
    }

    #[inline(always)]
    fn reframe<const FRONT: usize, const HEAD: usize>(&mut self, len: u16) -> Option<&mut [u8; HEAD]> {
        const { assert!(FRONT <= GROWTH_MAX) };
        let start = self.start.checked_sub(FRONT as u8)?;
        if self.len < (HEAD - FRONT) as u8 || len > u16::from(self.len) + FRONT as u16 {
            return None;
        }
        (self.start, self.len) = (start, len as u8);
        self.bytes[usize::from(start)..].first_chunk_mut()
    }

    #[inline]
    fn trim_front(&mut self, len: usize) -> bool {
        let fits = len <= usize::from(self.len);
        if fits {
            self.start += len as u8;
            self.len -= len as u8;
        }
        fits
    }

    #[inline]
    fn append(&mut self, len: usize) -> bool {
        let fits = len + usize::from(self.len) <= usize::from(u8::MAX);
        if fits {
            self.len += len as u8;
        }
        fits
    }

    #[inline]
    fn truncate(&mut self, len: usize) -> bool {
        let fits = len <= usize::from(self.len);
        if fits {
            self.len = len as u8;
        }
        fits
    }

    #[inline]
    fn rss_hash(&self) -> Option<u32> {
        None
    }

    #[inline]
    fn segments(&self) -> usize {
        1
    }

    #[inline(always)]
    fn total_len(&self) -> usize {
        usize::from(self.len)
    }

    #[inline(always)]
    fn prefetch(&self) {}

    fn visit_tail(&self, _: &mut dyn FnMut(&[u8])) {}
}
