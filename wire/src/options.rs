//! The kind-length-value option list shared by IPv4 (RFC 791 §3.1) and TCP (RFC 9293 §3.1).

use crate::{Error, Result};

const KIND_END: u8 = 0;
const KIND_NOP: u8 = 1;

/// One option: its kind, its value, and where its kind byte lies in the option space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawOption<'a> {
    /// Option kind (TCP) or type byte with the copied flag (IPv4).
    pub kind: u8,
    /// Offset of the kind byte from the start of the option space.
    pub offset: usize,
    /// The value, without kind and length.
    pub value: &'a [u8],
}

/// Iterates over an option space; end-of-list and no-operation are skipped. After an error it yields nothing more.
#[derive(Debug, Clone)]
pub struct RawOptions<'a> {
    space: &'a [u8],
    offset: usize,
}

impl<'a> RawOptions<'a> {
    /// Iterates over `space`, the bytes between the fixed header and the payload.
    #[inline]
    pub const fn new(space: &'a [u8]) -> Self {
        Self { space, offset: 0 }
    }

    fn stop(&mut self) {
        self.offset = self.space.len();
    }
}

impl<'a> Iterator for RawOptions<'a> {
    type Item = Result<RawOption<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let offset = self.offset;
            let rest = self.space.get(offset..)?;
            match *rest.first()? {
                KIND_END => {
                    self.stop();
                    return None;
                }
                KIND_NOP => self.offset += 1,
                kind => {
                    let len = rest.get(1).copied().map_or(0, usize::from);
                    if len < 2 || len > rest.len() {
                        self.stop();
                        return Some(Err(Error::BadOption));
                    }
                    self.offset += len;
                    return Some(Ok(RawOption {
                        kind,
                        offset,
                        value: &rest[2..len],
                    }));
                }
            }
        }
    }
}
