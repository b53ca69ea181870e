//! Bodies in every framing, cut anywhere.

use super::super::super::http::{Get, Reader};
use super::*;

const MD5_OF_HELLO: [u8; 16] = [
    0x5d, 0x41, 0x40, 0x2a, 0xbc, 0x4b, 0x2a, 0x76, 0xb9, 0x71, 0x9d, 0x91, 0x10, 0x17, 0xc5, 0x92,
];

fn with(change: impl FnOnce(&mut Body)) -> Body {
    let mut body = Body {
        bytes_max: 64,
        ..Body::default()
    };
    change(&mut body);
    body
}

/// The end, by the server's closing if by nothing else.
fn end(body: &Body, reply: &[u8], size: usize) -> Progress {
    let get = Get {
        body: body.clone(),
        ..Get::default()
    };
    let mut reader = Reader::default();
    for piece in reply.chunks(size) {
        match reader.read(&get, piece) {
            Progress::More => assert!(reader.held() <= super::super::HEAD_BYTES_MAX),
            end => return end,
        }
    }
    reader.eof(&get)
}

#[test]
fn bodies_are_judged_alike_in_every_framing() {
    let hello = || with(|body| body.regex = Some(Pattern::new("^hello$")));
    let absent = || with(|body| body.regex_absent = Some(Pattern::new("ell")));
    let md5 = || with(|body| body.digest = Some(Digest::Md5(MD5_OF_HELLO)));
    let sha = |text: &str| {
        let digest = sha2::Sha256::digest(text.as_bytes()).into();
        with(|body| body.digest = Some(Digest::Sha256(digest)))
    };
    let fail = Progress::Fail;
    let table: &[(Body, &str, Progress)] = &[
        (
            hello(),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            Progress::Pass,
        ),
        (
            hello(),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, more",
            Progress::Pass,
        ),
        (hello(), "HTTP/1.0 200 OK\r\n\r\nhello", Progress::Pass),
        (
            hello(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: v\r\n\r\n",
            Progress::Pass,
        ),
        (
            hello(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            Progress::Pass,
        ),
        (
            hello(),
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
            fail(Failure::Truncated),
        ),
        (
            hello(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            fail(Failure::Truncated),
        ),
        (
            hello(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n",
            fail(Failure::NotHttp),
        ),
        (
            hello(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
            fail(Failure::NotHttp),
        ),
        (
            hello(),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            fail(Failure::NotHttp),
        ),
        (
            hello(),
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
            fail(Failure::NotHttp),
        ),
        (
            hello(),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHELLO",
            fail(Failure::Body),
        ),
        (
            hello(),
            "HTTP/1.1 204 OK\r\nContent-Length: 5\r\n\r\nhello",
            fail(Failure::Body),
        ),
        (
            hello(),
            "HTTP/1.1 500 OK\r\nContent-Length: 5\r\n\r\nhello",
            fail(Failure::Status(500)),
        ),
        (absent(), "HTTP/1.0 200 OK\r\n\r\nhello", fail(Failure::Body)),
        (absent(), "HTTP/1.0 200 OK\r\n\r\nhallo", Progress::Pass),
        (md5(), "HTTP/1.0 200 OK\r\n\r\nhello", Progress::Pass),
        (md5(), "HTTP/1.0 200 OK\r\n\r\nhello ", fail(Failure::Digest)),
        (
            sha("hello"),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            Progress::Pass,
        ),
        (
            sha(""),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Progress::Pass,
        ),
        (
            sha("hallo"),
            "HTTP/1.0 200 OK\r\n\r\nhello",
            fail(Failure::Digest),
        ),
    ];
    for (body, reply, expected) in table {
        for size in [usize::MAX, 1, 2, 3, 7] {
            assert_eq!(
                end(body, reply.as_bytes(), size),
                *expected,
                "{reply:?} in pieces of {size}"
            );
        }
    }
}

#[test]
fn endless_bodies_end() {
    let body = with(|body| body.regex = Some(Pattern::new("never")));
    let digest = with(|body| body.digest = Some(Digest::Md5([0; 16])));
    let endless = |head: &str, rest: &str| [head.as_bytes(), &rest.as_bytes().repeat(4_096)].concat();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let table = [
        (endless("HTTP/1.0 200 OK\r\n\r\n", "x"), Failure::ReplyTooLong),
        (
            endless("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "x"),
            Failure::ReplyTooLong,
        ),
        (endless(chunked, "1\r\nx\r\n"), Failure::ReplyTooLong),
        (endless(chunked, "1"), Failure::NotHttp),
        (
            endless(&format!("{chunked}0\r\n"), "field: value\r\n"),
            Failure::HeadTooLong,
        ),
    ];
    for (reply, failure) in table {
        for body in [&body, &digest] {
            assert_eq!(end(body, &reply, 1_000), Progress::Fail(failure));
        }
    }
}

#[test]
fn a_match_begins_within_the_offsets() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello hello";
    let table = [
        ("hello", 0..=0, true),
        ("hello", 1..=5, false),
        ("hello", 1..=6, true),
        ("hello", 6..=6, true),
        ("hello", 7..=usize::MAX, false),
        ("^hello", 6..=6, false),
        ("$", 11..=11, true),
        ("", 12..=usize::MAX, false),
    ];
    for (text, places, matches) in table {
        let present = with(|body| {
            body.regex = Some(Pattern::new(text));
            body.match_at = places.clone();
        });
        let absent = with(|body| {
            body.regex_absent = Some(Pattern::new(text));
            body.match_at = places.clone();
        });
        let ends = [present, absent].map(|body| end(&body, reply.as_bytes(), 7) == Progress::Pass);
        assert_eq!(ends, [matches, !matches], "{text} in {places:?}");
    }
}
