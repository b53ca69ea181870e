//! A peer that holds the descriptors and does as it likes.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rand::Rng;

use super::super::handover;
use super::{Bench, ControlEnd, Disconnect, Input, LIMITS, SECOND};
use crate::memory::Lines;
use crate::message::{Event, PortId};
use crate::testing::seeded;

/// Takes the hello's descriptors and maps the rings for writing, as a hostile control would.
fn connect_raw(bench: &mut Bench) -> (UnixStream, Lines, Vec<OwnedFd>) {
    let stream = handover::connect_nonblocking(&bench.path).expect("connects");
    assert!(matches!(
        bench.input(),
        Input::Connected(_) | Input::Disconnected(_)
    ));
    while bench.end.next_input().is_some() {}
    let (mut bytes, mut fds) = (vec![0; 1 << 16], Vec::new());
    handover::receive_with_fds(&stream, &mut bytes, &mut fds).expect("a hello");
    assert_eq!(fds.len(), 3);
    let segment = crate::segment::map(&fds[0]).expect("the rings");
    (stream, segment, fds)
}

/// Random words all over the segment, header and counters of both rings included, while the dataplane serves and
/// sends: it never faults, never hangs, and drops the peer as soon as a counter is impossible.
#[test]
fn a_peer_that_scribbles_over_the_whole_segment_is_dropped() {
    let mut bench = Bench::new();
    let mut rng = seeded("a_peer_that_scribbles_over_the_whole_segment_is_dropped");
    let event = Event::LinkChanged {
        port: PortId(0),
        up: true,
        speed_mbps: 0,
        full_duplex: true,
    };
    let (mut dropped, mut refused) = (0, 0);
    for _ in 0..40 {
        let (_stream, segment, _fds) = connect_raw(&mut bench);
        let done = Arc::new(AtomicBool::new(false));
        let scribbler = {
            let (done, mut rng) = (done.clone(), rng.clone());
            thread::spawn(move || {
                // At first only small counters, so that garbage records are read too.
                for n in 0_u64.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let counters = n % 8 == 0;
                    let line = if counters {
                        rng.random_range(0..8)
                    } else {
                        rng.random_range(0..segment.len())
                    };
                    let value = if n < 20_000 {
                        rng.random_range(0..64)
                    } else {
                        rng.random()
                    };
                    segment[line].0[rng.random_range(0..8)].set(value);
                }
            })
        };
        rng.random::<u64>();
        let start = Instant::now();
        while bench.end.connected() && start.elapsed() < 5 * SECOND {
            let before = Instant::now();
            bench.poll();
            let _ = bench.end.send(&event);
            assert!(before.elapsed() < 2 * SECOND, "a poll hung");
            while let Some(input) = bench.end.next_input() {
                match input {
                    Input::Disconnected(Disconnect::Ring(_) | Disconnect::Stuck) => dropped += 1,
                    Input::Refused(_) => refused += 1,
                    Input::Transaction(_) | Input::Connected(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        scribbler.join().expect("scribbler");
    }
    assert_eq!(dropped, 40, "{refused} refusals");
    assert!(refused > 0);
    // And the next honest one is served.
    let mut control = bench.connect();
    control.commit(1, true, []).expect("starts");
    assert!(matches!(bench.input(), Input::Transaction(_)));
}

#[test]
fn a_peer_that_sends_no_json_is_dropped() {
    for bytes in [&b"{\"id\":1}\n"[..], b"\xff\n", b"[[[[\n", &[b'x'; 70_000]] {
        let mut bench = Bench::new();
        let (mut stream, _, _fds) = connect_raw(&mut bench);
        stream.write_all(bytes).expect("sent");
        let Input::Disconnected(why) = bench.input() else {
            panic!("still connected")
        };
        assert!(matches!(why, Disconnect::BadFrame(_)), "{why}");
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        assert!(said.contains("bad frame"), "{said}");
    }
}

#[test]
fn a_peer_that_does_not_read_is_dropped_in_time() {
    let mut bench = Bench::new();
    let (_stream, _, _fds) = connect_raw(&mut bench);
    let answer = Err("x".repeat(1 << 20));
    bench.end.answer(1, answer).expect("queued");
    let start = Instant::now();
    let Input::Disconnected(why) = bench.input() else {
        panic!("still connected")
    };
    assert_eq!(why, Disconnect::Stuck);
    assert!(start.elapsed() >= LIMITS.patience && start.elapsed() < 5 * SECOND);
}

#[test]
fn a_peer_that_asks_without_end_is_served_in_bounded_steps() {
    let mut bench = Bench::new();
    let (mut stream, _, _fds) = connect_raw(&mut bench);
    let line = b"{\"id\":1,\"request\":\"workers\"}\n".repeat(5000);
    stream.write_all(&line).expect("sent");
    let mut asked = 0;
    while asked < 5000 {
        bench.poll();
        let mut at_once = 0;
        while let Some(input) = bench.end.next_input() {
            assert!(matches!(input, Input::Query { .. }), "{input:?}");
            at_once += 1;
        }
        assert!(at_once <= 64, "{at_once} at once");
        asked += at_once;
    }
}

#[test]
fn a_dataplane_that_says_no_hello_times_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("silent.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&path).expect("listens");
    let start = Instant::now();
    let error = ControlEnd::connect(&path, SECOND / 5)
        .err()
        .expect("no hello")
        .to_string();
    assert!(error.contains("does not answer"), "{error}");
    assert!(start.elapsed() < 5 * SECOND);
}
