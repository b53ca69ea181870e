//! Big-endian reads and writes at named ranges. The ranges are constants, so each compiles to one load or store
//! behind one bound check.

use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::Range;

/// Where a header field lies in its header.
pub(crate) type Field = Range<usize>;

#[inline(always)]
fn array<const N: usize>(data: &[u8], field: Field) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&data[field]);
    out
}

#[inline(always)]
pub(crate) fn get_u16(data: &[u8], field: Field) -> u16 {
    u16::from_be_bytes(array(data, field))
}

#[inline(always)]
pub(crate) fn get_u32(data: &[u8], field: Field) -> u32 {
    u32::from_be_bytes(array(data, field))
}

#[inline(always)]
pub(crate) fn get_mac(data: &[u8], field: Field) -> crate::MacAddr {
    crate::MacAddr(array(data, field))
}

#[inline(always)]
pub(crate) fn get_ipv4(data: &[u8], field: Field) -> Ipv4Addr {
    Ipv4Addr::from(array::<4>(data, field))
}

#[inline(always)]
pub(crate) fn get_ipv6(data: &[u8], field: Field) -> Ipv6Addr {
    Ipv6Addr::from(array::<16>(data, field))
}

#[inline(always)]
pub(crate) fn put_u16(data: &mut [u8], field: Field, value: u16) {
    data[field].copy_from_slice(&value.to_be_bytes());
}

#[inline(always)]
pub(crate) fn put_u32(data: &mut [u8], field: Field, value: u32) {
    data[field].copy_from_slice(&value.to_be_bytes());
}

#[inline(always)]
pub(crate) fn put_bytes(data: &mut [u8], field: Field, value: &[u8]) {
    data[field].copy_from_slice(value);
}
