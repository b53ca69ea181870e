//! PostgreSQL before any login (protocol 3.0, "Message Flow" in its manual): SSLRequest, or a start-up message.
//!
//! A server that answers a start-up with a demand for a password, or that does not know the user, is at work; one that
//! says it is starting, stopping or out of connections is not (the rule of `pg_isready`, and class 53).

use super::failure::Failure;
use super::reader::Found;

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const PROTOCOL_3_0: [u8; 4] = [0, 3, 0, 0];
const MESSAGE_MAX: usize = 2_048;
const NOT_POSTGRES: Found = Found::Never(Failure::NotProtocol("PostgreSQL"));

/// Asks whether the server would speak TLS.
pub fn ssl_request() -> Vec<u8> {
    SSL_REQUEST.to_vec()
}

/// Asks for a session as `user` in `database`.
pub fn start_request(user: &str, database: &str) -> Vec<u8> {
    let mut fields = PROTOCOL_3_0.to_vec();
    for text in ["user", user, "database", database] {
        fields.extend(text.bytes().filter(|&byte| byte != 0));
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &fields].concat()
}

/// Ends a session.
pub fn terminate() -> Vec<u8> {
    vec![b'X', 0, 0, 0, 4]
}

/// Yes, no, or (from servers before 2000) an error.
pub(super) fn ssl_answer(bytes: &[u8]) -> Found {
    match bytes.first() {
        None => Found::More,
        Some(b'S' | b'N') => Found::Met(1),
        Some(_) => NOT_POSTGRES,
    }
}

/// An authentication request, or an error of somebody who is at work.
pub(super) fn start_answer(bytes: &[u8]) -> Found {
    if !matches!(bytes.first(), None | Some(b'R' | b'E')) {
        return NOT_POSTGRES;
    }
    let Some(&[kind, a, b, c, d]) = bytes.first_chunk::<5>() else {
        return Found::More;
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !(5..=MESSAGE_MAX).contains(&length) {
        return NOT_POSTGRES;
    }
    let Some(body) = bytes.get(5..1 + length) else {
        return Found::More;
    };
    if kind == b'R' {
        return Found::Met(1 + length);
    }
    match sql_state(body) {
        // 57: operator intervention, 53: insufficient resources, 58 and XX: errors of the system or its own.
        Some(state) if matches!(&state[..2], b"57" | b"53" | b"58" | b"XX") => {
            Found::Never(Failure::SqlState(state))
        }
        Some(_) => Found::Met(1 + length),
        None => NOT_POSTGRES,
    }
}

/// Fields are a letter and a text that ends with 0; `C` is the SQLSTATE.
fn sql_state(body: &[u8]) -> Option<[u8; 5]> {
    body.split(|&byte| byte == 0)
        .find_map(|field| field.strip_prefix(b"C"))
        .and_then(|state| state.try_into().ok())
}
