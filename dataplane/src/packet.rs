//! What the packet path needs of a buffer, and a plain buffer for tests, fuzzers and instruction counts.
//!
//! Lengths are bytes. `data` is the first (usually only) segment: every header the path reads or writes must lie in it;
//! the payload may lie in further segments, which the path never touches.

/// One received frame that can be rewritten in place.
pub trait Packet {
    /// The first segment, from the Ethernet header on.
    fn data(&self) -> &[u8];
    /// The first segment for writing.
    fn data_mut(&mut self) -> &mut [u8];
    /// Puts `len` bytes of unspecified content in front. `false`, and nothing changed, without the headroom.
    #[must_use]
    fn prepend(&mut self, len: usize) -> bool;
    /// Puts `FRONT` bytes of unspecified content in front, gives the first `HEAD` bytes of what is there then, and ends the packet
    /// after `len` bytes. `None`, and nothing changed, without the headroom, with more segments, or when there is less.
    #[must_use]
    fn reframe<const FRONT: usize, const HEAD: usize>(&mut self, len: u16) -> Option<&mut [u8; HEAD]>;
    /// Cuts `len` bytes off the front. `false`, and nothing changed, when the segment is shorter.
    #[must_use]
    fn trim_front(&mut self, len: usize) -> bool;
    /// Puts `len` bytes of unspecified content behind the first segment. `false` without the tailroom, or with more segments.
    #[must_use]
    fn append(&mut self, len: usize) -> bool;
    /// Cuts the packet to its first `len` bytes, dropping further segments. `false` when the first segment is shorter.
    #[must_use]
    fn truncate(&mut self, len: usize) -> bool;
    /// The hash the device computed, if it did.
    fn rss_hash(&self) -> Option<u32>;
    /// Number of segments.
    fn segments(&self) -> usize;
    /// Bytes in all segments.
    fn total_len(&self) -> usize;
    /// Asks for the line the data begins in.
    fn prefetch(&self);
    /// Shows the data of each segment behind the first, in order.
    fn visit_tail(&self, visit: &mut dyn FnMut(&[u8]));
}

/// Headroom of a fresh [`FrameBuf`]: what DPDK gives by default.
pub const HEADROOM: usize = 128;

/// A frame in a plain vector with headroom and a fixed capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameBuf {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// A second segment.
    tail: Vec<u8>,
    rss: Option<u32>,
}

impl FrameBuf {
    /// A copy of `frame` with the default headroom and as much tailroom.
    pub fn new(frame: &[u8]) -> Self {
        let mut bytes = vec![0; HEADROOM + frame.len() + HEADROOM];
        bytes[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
        Self {
            bytes,
            start: HEADROOM,
            end: HEADROOM + frame.len(),
            tail: Vec::new(),
            rss: None,
        }
    }

    /// The same frame with only `headroom` bytes free in front.
    #[must_use]
    pub fn with_headroom(mut self, headroom: usize) -> Self {
        let len = self.end - self.start;
        let mut bytes = vec![0; headroom + len + HEADROOM];
        bytes[headroom..headroom + len].copy_from_slice(&self.bytes[self.start..self.end]);
        self.bytes = bytes;
        self.start = headroom;
        self.end = headroom + len;
        self
    }

    /// The same frame with more bytes in a second segment.
    #[must_use]
    pub fn with_second_segment(mut self, tail: &[u8]) -> Self {
        self.tail = tail.to_vec();
        self
    }

    /// The same frame as if the device had hashed it.
    #[must_use]
    pub fn with_rss(mut self, hash: u32) -> Self {
        self.rss = Some(hash);
        self
    }

    /// Overwrites the frame (same or smaller size than the buffer) and restores the default headroom: for benches that
    /// send the same frame again and again.
    ///
    /// # Panics
    /// When the frame does not fit the buffer.
    pub fn refill(&mut self, frame: &[u8]) {
        self.start = HEADROOM.min(self.bytes.len() - frame.len());
        self.end = self.start + frame.len();
        self.bytes[self.start..self.end].copy_from_slice(frame);
    }
}

impl Packet for FrameBuf {
    #[inline]
    fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    #[inline]
    fn prepend(&mut self, len: usize) -> bool {
        match self.start.checked_sub(len) {
            Some(start) => {
                self.start = start;
                true
            }
            None => false,
        }
    }

    #[inline]
    fn reframe<const FRONT: usize, const HEAD: usize>(&mut self, len: u16) -> Option<&mut [u8; HEAD]> {
        let (start, len) = (self.start.checked_sub(FRONT)?, usize::from(len));
        if !self.tail.is_empty() || start + HEAD.max(len) > self.end {
            return None;
        }
        (self.start, self.end) = (start, start + len);
        self.bytes[start..].first_chunk_mut()
    }

    #[inline]
    fn trim_front(&mut self, len: usize) -> bool {
        let fits = len <= self.end - self.start;
        if fits {
            self.start += len;
        }
        fits
    }

    #[inline]
    fn append(&mut self, len: usize) -> bool {
        let fits = self.tail.is_empty() && len <= self.bytes.len() - self.end;
        if fits {
            self.end += len;
        }
        fits
    }

    #[inline]
    fn truncate(&mut self, len: usize) -> bool {
        let fits = len <= self.end - self.start;
        if fits {
            self.end = self.start + len;
            self.tail.clear();
        }
        fits
    }

    #[inline]
    fn rss_hash(&self) -> Option<u32> {
        self.rss
    }

    #[inline]
    fn segments(&self) -> usize {
        if self.tail.is_empty() { 1 } else { 2 }
    }

    #[inline]
    fn total_len(&self) -> usize {
        self.end - self.start + self.tail.len()
    }

    fn prefetch(&self) {}

    fn visit_tail(&self, visit: &mut dyn FnMut(&[u8])) {
        visit(&self.tail);
    }
}
