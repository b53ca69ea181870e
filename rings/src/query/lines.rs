//! Lines over a byte stream: collected with a bound on one side, queued with a bound on the other.

use std::collections::VecDeque;

/// Collects bytes into lines.
pub(crate) struct LineReader {
    bytes: Vec<u8>,
    /// Bytes already searched for a line's end.
    searched: usize,
    len_max: usize,
}

/// A line is longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl LineReader {
    pub(crate) const fn new(len_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            searched: 0,
            len_max,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line without its end.
    pub(crate) fn next_line(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let end = self.bytes[self.searched..]
            .iter()
            .position(|&b| b == b'\n')
            .map(|at| at + self.searched);
        let Some(end) = end else {
            self.searched = self.bytes.len();
            return if self.bytes.len() > self.len_max {
                Err(TooLong)
            } else {
                Ok(None)
            };
        };
        if end > self.len_max {
            return Err(TooLong);
        }
        let rest = self.bytes.split_off(end + 1);
        let mut line = core::mem::replace(&mut self.bytes, rest);
        line.pop();
        self.searched = 0;
        Ok(Some(line))
    }
}

/// Bytes waiting to be written.
pub(crate) struct WriteQueue {
    bytes: VecDeque<u8>,
    len_max: usize,
}

impl WriteQueue {
    pub(crate) const fn new(len_max: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            len_max,
        }
    }

    /// Queues a line; its end is added.
    pub(crate) fn push_line(&mut self, line: &[u8]) -> Result<(), TooLong> {
        if self.bytes.len() + line.len() >= self.len_max {
            return Err(TooLong);
        }
        self.bytes.extend(line);
        self.bytes.push_back(b'\n');
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes to write next.
    pub(crate) fn front(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    /// Forgets bytes that were written.
    pub(crate) fn consume(&mut self, n: usize) {
        self.bytes.drain(..n.min(self.bytes.len()));
    }
}
