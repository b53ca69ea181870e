//! LDAP's bind: the request, and the result code of the answer (RFC 4511 §4.2; BER as of §5.1: definite lengths).

use super::failure::Failure;
use super::reader::Found;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const ENUMERATED: u8 = 0x0a;
const OCTET_STRING: u8 = 0x04;
const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const SIMPLE: u8 = 0x80;
const MESSAGE_ID: u8 = 1;
/// A bind's answer is a few dozen bytes; lengths beyond this are no answer to it.
const LENGTH_MAX: usize = 0xffff;
const NOT_LDAP: Found = Found::Never(Failure::NotProtocol("LDAP"));

/// A simple bind as `name` with `password`; both empty: anonymous.
pub fn bind_request(name: &str, password: &str) -> Vec<u8> {
    let mut bind = vec![INTEGER, 1, 3];
    element(&mut bind, OCTET_STRING, name.as_bytes());
    element(&mut bind, SIMPLE, password.as_bytes());
    let mut message = vec![INTEGER, 1, MESSAGE_ID];
    element(&mut message, BIND_REQUEST, &bind);
    let mut request = Vec::with_capacity(message.len() + 4);
    element(&mut request, SEQUENCE, &message);
    request
}

/// An unbind, which ends the connection in good manners.
pub fn unbind_request() -> Vec<u8> {
    vec![SEQUENCE, 5, INTEGER, 1, MESSAGE_ID + 1, 0x42, 0]
}

fn element(to: &mut Vec<u8>, tag: u8, content: &[u8]) {
    to.push(tag);
    match content.len() {
        // BER's short form.
        short @ 0..=0x7f => to.push(short as u8),
        long => to.extend_from_slice(&[0x82, (long >> 8) as u8, long as u8]),
    }
    to.extend_from_slice(content);
}

/// One element: its content and the bytes it takes in all; `None` when more bytes are needed.
fn read(bytes: &[u8], tag: u8) -> Result<Option<(&[u8], usize)>, Found> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    if first != tag {
        return Err(NOT_LDAP);
    }
    let Some(&short) = bytes.get(1) else {
        return Ok(None);
    };
    let (head, length) = match short {
        0..=0x7f => (2, usize::from(short)),
        0x81..=0x84 => {
            let count = usize::from(short & 0x7f);
            let Some(digits) = bytes.get(2..2 + count) else {
                return Ok(None);
            };
            let length = digits
                .iter()
                .fold(0_usize, |length, &digit| length << 8 | usize::from(digit));
            (2 + count, length)
        }
        _ => return Err(NOT_LDAP),
    };
    if length > LENGTH_MAX {
        return Err(NOT_LDAP);
    }
    Ok(bytes
        .get(head..head + length)
        .map(|content| (content, head + length)))
}

/// Looks for the bind's answer: result code 0 meets it, any other is told.
pub(super) fn bind_response(bytes: &[u8]) -> Found {
    let (message, used) = match read(bytes, SEQUENCE) {
        Ok(Some(found)) => found,
        Ok(None) => return Found::More,
        Err(found) => return found,
    };
    match result_code(message) {
        Some(0) => Found::Met(used),
        Some(code) => Found::Never(Failure::Code("LDAP result", code)),
        None => NOT_LDAP,
    }
}

/// All of the message is there: what is missing now is missing for good.
fn result_code(message: &[u8]) -> Option<u32> {
    let whole = |bytes, tag| read(bytes, tag).ok().flatten();
    let (id, used) = whole(message, INTEGER)?;
    if id != [MESSAGE_ID] {
        return None;
    }
    let (response, _) = whole(&message[used..], BIND_RESPONSE)?;
    match whole(response, ENUMERATED)?.0 {
        [code] => Some(u32::from(*code)),
        [high, low] => Some(u32::from(*high) << 8 | u32::from(*low)),
        _ => None,
    }
}
