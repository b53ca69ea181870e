use super::*;

fn get(status: Vec<RangeInclusive<u16>>) -> Get {
    Get {
        path: "/ready".into(),
        host: "www.example.net".into(),
        status,
        ..Get::default()
    }
}

#[test]
fn the_request_is_one_complete_http_1_1_request() {
    let bytes = get(vec![]).request();
    let mut fields = [httparse::EMPTY_HEADER; 8];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(
        request.parse(&bytes).unwrap(),
        httparse::Status::Complete(bytes.len())
    );
    assert_eq!(
        (request.method, request.path, request.version),
        (Some("GET"), Some("/ready"), Some(1))
    );
    let field = |name: &str| request.headers.iter().find(|f| f.name == name).map(|f| f.value);
    assert_eq!(field("Host"), Some(&b"www.example.net"[..]));
    assert_eq!(field("Connection"), Some(&b"close"[..]));
}

#[test]
fn a_path_cannot_smuggle_a_second_line() {
    let request = Get {
        path: "/a b\r\nX: y".into(),
        host: "h\r\nEvil: 1".into(),
        status: vec![],
        ..Get::default()
    };
    let text = String::from_utf8(request.request()).unwrap();
    assert!(
        text.starts_with("GET /a_b__X:_y HTTP/1.1\r\nHost: h__Evil:_1\r\n"),
        "{text}"
    );
}

#[test]
fn accepted_statuses() {
    let table: &[(Vec<RangeInclusive<u16>>, &[u16], &[u16])] = &[
        (vec![], &[200, 204, 299], &[0, 100, 199, 300, 404, 500, u16::MAX]),
        (vec![200..=200], &[200], &[201, 204, 404]),
        (
            vec![200..=399, 404..=404],
            &[200, 301, 399, 404],
            &[400, 403, 405, 503],
        ),
    ];
    for (ranges, pass, fail) in table {
        let get = get(ranges.clone());
        assert!(
            pass.iter().all(|&status| get.accepts(status)),
            "{ranges:?} passes {pass:?}"
        );
        assert!(
            !fail.iter().any(|&status| get.accepts(status)),
            "{ranges:?} refuses {fail:?}"
        );
    }
}

/// (reply, what reading all of it gives); read whole, then in pieces of every small size.
fn replies() -> Vec<(Vec<u8>, Result<Option<u16>, HeadError>)> {
    let many_fields = |n: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(n)).into_bytes();
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    vec![
        (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Ok(Some(200))),
        (b"HTTP/1.0 503 No\r\nA: b\r\n\r\nbody".to_vec(), Ok(Some(503))),
        (b"HTTP/1.1 204\r\n\r\n".to_vec(), Ok(Some(204))),
        (b"HTTP/1.1 200 OK\n\n".to_vec(), Ok(Some(200))),
        (b"HTTP/1.1 200 OK\nA: b\n\r\nbody\r\n\r\n".to_vec(), Ok(Some(200))),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\nbody".to_vec(), Ok(Some(200))),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n".to_vec(),
            Ok(Some(404)),
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), Ok(None)),
        (b"HTTP/1.1 101 Switching\r\n\r\n".to_vec(), Ok(Some(101))),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n".to_vec(), Ok(None)),
        (b"".to_vec(), Ok(None)),
        (b"HTT".to_vec(), Ok(None)),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Err(HeadError::NotHttp)),
        (b"HTTP/2 200\r\n\r\n".to_vec(), Err(HeadError::NotHttp)),
        (b"HTTP/1.1 2x0 OK\r\n\r\n".to_vec(), Err(HeadError::NotHttp)),
        (b"HTTP/1.1 99999 OK\r\n\r\n".to_vec(), Err(HeadError::NotHttp)),
        (b"HTTP/1.1 200 OK\r\n\0\r\n\r\n".to_vec(), Err(HeadError::NotHttp)),
        (vec![0; 4096], Err(HeadError::NotHttp)),
        (many_fields(HEADERS_MAX), Ok(Some(200))),
        (many_fields(HEADERS_MAX + 1), Err(HeadError::TooLong)),
        (
            [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'x'; HEAD_BYTES_MAX]].concat(),
            Err(HeadError::TooLong),
        ),
        (interim.repeat(10_000).into_bytes(), Err(HeadError::TooLong)),
    ]
}

fn read_in_pieces(reply: &[u8], size: usize) -> Result<Option<u16>, HeadError> {
    let mut reader = HeadReader::default();
    for piece in reply.chunks(size.max(1)) {
        let status = reader.read(piece)?;
        assert!(reader.bytes.len() <= HEAD_BYTES_MAX);
        if status.is_some() {
            return Ok(status.map(|head| head.status));
        }
    }
    Ok(None)
}

#[test]
fn replies_read_alike_however_they_are_cut() {
    for (reply, expected) in replies() {
        for size in [usize::MAX, 1, 2, 3, 5, 7, 64, 1_000] {
            let text = String::from_utf8_lossy(&reply[..reply.len().min(60)]).into_owned();
            assert_eq!(
                read_in_pieces(&reply, size),
                expected,
                "{text:?} in pieces of {size}"
            );
        }
    }
}

/// A plain generator for tests (xorshift); the seed is in every failure message.
fn draws(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap_or(0) % below.max(1)
    }
}

fn mutate(reply: &mut Vec<u8>, draw: &mut impl FnMut(usize) -> usize) {
    let (at, other) = (draw(reply.len() + 1), draw(reply.len() + 1));
    match draw(5) {
        0 => reply.truncate(at),
        1 => reply.insert(at, (draw(256)) as u8),
        2 if at < reply.len() => reply[at] ^= 1 << draw(8),
        3 => reply.extend_from_within(at.min(other)..at.max(other)),
        _ => {
            let line = [
                &b"\r\n\r\n"[..],
                b"\n",
                b"HTTP/1.1 200 OK\r\n",
                b"\0",
                b": ",
                b"100",
            ][draw(6)];
            reply.splice(at..at, line.iter().copied());
        }
    }
}

/// A million replies that no server should send: none panics, none is held beyond the bound, and how the network cuts
/// a reply never changes what it means.
#[test]
fn a_million_mutated_replies() {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0x5eed);
    let mut draw = draws(seed);
    let originals: Vec<_> = replies()
        .into_iter()
        .filter(|(reply, _)| reply.len() < 200)
        .collect();
    for round in 0..1_000_000 {
        let mut reply = originals[draw(originals.len())].0.clone();
        for _ in 0..=draw(4) {
            mutate(&mut reply, &mut draw);
        }
        let whole = read_in_pieces(&reply, usize::MAX);
        let size = 1 + draw(40);
        assert_eq!(
            read_in_pieces(&reply, size),
            whole,
            "WEIR_SEED={seed}, round {round}, pieces of {size}"
        );
    }
}
