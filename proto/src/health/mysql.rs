//! The first packet of a MySQL or MariaDB server: protocol 10 and its version, or an error such as "too many connections".
//!
//! A packet is a length (3 bytes, little-endian), a number, and a payload.

use super::failure::Failure;
use super::reader::Found;

const HEAD: usize = 4;
const PROTOCOL_10: u8 = 10;
const ERROR: u8 = 0xff;
/// The greeting is under two hundred bytes, an error has at most 512 of text.
const PAYLOAD_MAX: usize = 2_048;
const NOT_MYSQL: Found = Found::Never(Failure::NotProtocol("MySQL"));

/// Looks for the greeting.
pub(super) fn greeting(bytes: &[u8]) -> Found {
    let Some(&[a, b, c, number]) = bytes.first_chunk::<HEAD>() else {
        return Found::More;
    };
    let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
    if number != 0 || length == 0 || length > PAYLOAD_MAX {
        return NOT_MYSQL;
    }
    let Some(payload) = bytes.get(HEAD..HEAD + length) else {
        return Found::More;
    };
    match payload {
        [PROTOCOL_10, rest @ ..] if rest.iter().take(64).any(|&byte| byte == 0) => Found::Met(HEAD + length),
        [ERROR, low, high, ..] => Found::Never(Failure::Code(
            "MySQL error",
            u32::from(u16::from_le_bytes([*low, *high])),
        )),
        _ => NOT_MYSQL,
    }
}
