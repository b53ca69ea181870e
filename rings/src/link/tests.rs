//! Both ends over a real socket, with honest, dead and hostile peers.

use core::time::Duration;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Instant;

use super::{
    Access, CommitError, ConnectError, ControlEnd, Credentials, DataplaneEnd, Disconnect, Input, Limits,
    ListenError, Output,
};
use crate::counters::{Counters, Shape};
use crate::hello::About;
use crate::message::{Command, Event, PortId, RefuseReason};
use crate::query::{Request, Response};

mod hostile;
mod kill;

const SECOND: Duration = Duration::from_secs(1);

/// A small ring, so that a transaction is longer than it.
const LIMITS: Limits = Limits {
    command_records: 64,
    event_records: 16,
    transaction_commands_max: 10_000,
    patience: Duration::from_millis(300),
};

fn about(shape: Shape) -> About {
    About {
        version: "test".into(),
        pid: std::process::id(),
        started_unix_s: 0,
        dpdk: None,
        flows_max: 0,
        shape,
        workers: vec![],
        ports: vec![],
        reasons: vec![],
    }
}

/// A dataplane's end in a directory of its own.
struct Bench {
    end: DataplaneEnd,
    counters: Counters,
    path: PathBuf,
    start: Instant,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(LIMITS)
    }

    fn with(limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("dataplane.sock");
        let shape = Shape {
            workers: 1,
            ports: 1,
            reasons: 4,
            services: 4,
            backends: 4,
        };
        let counters = Counters::shared(shape).expect("a page");
        let end =
            DataplaneEnd::bind(&path, Access::default(), limits, about(shape), &counters).expect("listens");
        Self {
            end,
            counters,
            path,
            start: Instant::now(),
            _directory: directory,
        }
    }

    fn poll(&mut self) {
        self.end.poll(self.start.elapsed());
    }

    /// Polls until an input comes.
    fn input(&mut self) -> Input {
        let deadline = Instant::now() + 10 * SECOND;
        loop {
            self.poll();
            if let Some(input) = self.end.next_input() {
                return input;
            }
            assert!(Instant::now() < deadline, "no input in 10 s");
            self.end.wait(Duration::from_millis(20));
        }
    }

    /// Connects while this side serves.
    fn connect(&mut self) -> ControlEnd {
        let path = self.path.clone();
        let thread = std::thread::spawn(move || ControlEnd::connect(&path, 10 * SECOND));
        loop {
            match self.input() {
                Input::Connected(who) => {
                    assert_eq!(who.pid.unsigned_abs(), std::process::id());
                    return thread.join().expect("connects").expect("a connection");
                }
                Input::Disconnected(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// What comes next, within some seconds, while the dataplane serves.
fn output(bench: &mut Bench, control: &mut ControlEnd) -> Output {
    let deadline = Instant::now() + 10 * SECOND;
    loop {
        bench.poll();
        control.poll();
        if let Some(output) = control.next_output() {
            return output;
        }
        assert!(Instant::now() < deadline, "no output in 10 s");
        control.wait(Duration::from_millis(1));
    }
}

fn announcements(n: u32) -> impl Iterator<Item = Command> {
    (0..n).map(|n| Command::Announce(std::net::Ipv4Addr::from_bits(n).into()))
}

/// Serves until a transaction is whole, while control pushes.
fn transaction(bench: &mut Bench, control: &mut ControlEnd) -> crate::transaction::Transaction {
    let deadline = Instant::now() + 10 * SECOND;
    loop {
        bench.poll();
        control.poll();
        match bench.end.next_input() {
            Some(Input::Transaction(transaction)) => return transaction,
            Some(other) => panic!("{other:?}"),
            None => assert!(Instant::now() < deadline, "no transaction in 10 s"),
        }
    }
}

#[test]
fn a_transaction_longer_than_the_ring_is_published() {
    let mut bench = Bench::new();
    let mut control = bench.connect();
    assert_eq!((control.hello().generation, control.next_generation()), (0, 1));
    control.commit(1, true, announcements(1000)).expect("starts");
    assert_eq!(
        control.commit(2, true, []),
        Err(CommitError::Busy { generation: 1 })
    );
    let got = transaction(&mut bench, &mut control);
    assert_eq!((got.generation, got.full), (1, true));
    assert!(got.commands.iter().cloned().eq(announcements(1000)));
    bench.end.published(1, 1000, 2, 3);
    let published = Event::Published {
        generation: 1,
        commands: 1000,
        services: 2,
        backends: 3,
    };
    assert_eq!(output(&mut bench, &mut control), Output::Event(published));
    assert_eq!((control.in_flight(), control.next_generation()), (None, 2));

    control.commit(2, false, announcements(2)).expect("starts");
    assert_eq!(transaction(&mut bench, &mut control).commands.len(), 2);
    bench
        .end
        .refused(2, Some(1), RefuseReason::UnknownVip, "no such VIP");
    let Output::Event(Event::Refused {
        generation: 2,
        record_index: Some(2),
        ..
    }) = output(&mut bench, &mut control)
    else {
        panic!("not refused");
    };
    assert_eq!(bench.end.generation(), 1);
}

#[test]
fn a_blocking_commit_returns_the_answer_or_times_out() {
    let mut bench = Bench::new();
    let mut control = bench.connect();
    let late = control.commit_and_wait(1, true, announcements(500), Duration::from_millis(100));
    assert_eq!(late, Err(CommitError::Timeout));
    let thread = std::thread::spawn(move || {
        let deadline = Instant::now() + 10 * SECOND;
        while control.in_flight().is_some() && Instant::now() < deadline {
            control.poll();
            control.wait(SECOND);
        }
        control.commit_and_wait(2, false, announcements(500), 10 * SECOND)
    });
    for generation in 1..=2 {
        let Input::Transaction(got) = bench.input() else {
            panic!("no transaction")
        };
        assert_eq!(got.generation, generation);
        bench.end.published(generation, 500, 0, 0);
    }
    let answer = thread.join().expect("control");
    assert!(
        matches!(
            answer,
            Ok(Event::Published {
                generation: 2,
                commands: 500,
                ..
            })
        ),
        "{answer:?}"
    );
}

#[test]
fn a_bad_or_too_long_transaction_sends_nothing() {
    let mut bench = Bench::new();
    let mut control = bench.connect();
    let bad = Command::UpsertRoute(crate::message::Route {
        to: "0.0.0.0/0".parse().expect("a prefix"),
        gateways: vec![],
        mtu: None,
    });
    let error = control
        .commit(1, true, announcements(2).chain([bad]))
        .expect_err("refused");
    assert!(
        matches!(error, CommitError::BadCommand { index: 2, .. }),
        "{error}"
    );
    assert_eq!(
        control.commit(1, true, announcements(10_001)),
        Err(CommitError::TooMany { max: 10_000 })
    );
    bench.poll();
    assert!(bench.end.next_input().is_none() && control.in_flight().is_none());
}

#[test]
fn the_first_transaction_of_a_connection_must_be_full() {
    let mut bench = Bench::new();
    let mut control = bench.connect();
    control.commit(1, false, announcements(1)).expect("starts");
    let Output::Event(Event::Refused { reason, .. }) = output(&mut bench, &mut control) else {
        panic!()
    };
    assert_eq!(reason, RefuseReason::FirstNotFull);
}

#[test]
fn queries_are_answered_on_the_same_socket() {
    let mut bench = Bench::new();
    let mut control = bench.connect();
    let first = control.query(Request::Neighbors).expect("asked");
    let second = control.query(Request::Ports).expect("asked");
    for wanted in [first, second] {
        let Input::Query { id, .. } = bench.input() else {
            panic!("no query")
        };
        assert_eq!(id, wanted);
    }
    bench
        .end
        .answer(second, Err("no ports".into()))
        .expect("connected");
    bench
        .end
        .answer(first, Ok(Response::Neighbors(vec![])))
        .expect("connected");
    let answer = Err("no ports".to_owned());
    assert_eq!(
        output(&mut bench, &mut control),
        Output::Answer { id: second, answer }
    );
    let answer = Ok(Response::Neighbors(vec![]));
    assert_eq!(
        output(&mut bench, &mut control),
        Output::Answer { id: first, answer }
    );
}

#[test]
fn a_new_control_replaces_the_old_one_and_what_it_left() {
    let mut bench = Bench::new();
    let mut old = bench.connect();
    old.commit(1, true, announcements(5000)).expect("starts");
    bench.poll();
    assert!(bench.end.half_committed() > 0);
    let mut new = bench.connect();
    assert_eq!(new.hello().session, old.hello().session + 1);
    // The old one is told, and whatever it still writes goes nowhere.
    let Output::Closed(Disconnect::Bye(why)) = output(&mut bench, &mut old) else {
        panic!("not told")
    };
    assert!(why.contains("another control"), "{why}");
    assert!(matches!(old.commit(2, true, []), Err(CommitError::Closed(_))));
    new.commit(1, true, announcements(3)).expect("starts");
    let got = transaction(&mut bench, &mut new);
    assert_eq!((got.generation, got.commands.len()), (1, 3));
}

/// A transaction that was whole when its sender went is not mistaken for the next control's.
#[test]
fn an_answer_goes_only_to_who_asked() {
    let mut bench = Bench::new();
    let mut old = bench.connect();
    old.commit(1, true, announcements(1)).expect("starts");
    transaction(&mut bench, &mut old);
    drop(old);
    let mut new = bench.connect();
    bench.end.published(1, 1, 0, 0);
    new.commit(2, true, []).expect("starts");
    transaction(&mut bench, &mut new);
    bench.end.published(2, 0, 0, 0);
    let Output::Event(Event::Published { generation, .. }) = output(&mut bench, &mut new) else {
        panic!()
    };
    assert_eq!(generation, 2);
}

#[test]
fn either_side_notices_that_the_other_is_gone() {
    let mut bench = Bench::new();
    drop(bench.connect());
    assert!(matches!(bench.input(), Input::Disconnected(Disconnect::Closed)));
    assert!(!bench.end.connected());
    assert!(bench.end.send(&Event::Lost { events: 1 }).is_err());

    let mut control = bench.connect();
    let path = bench.path.clone();
    drop(bench);
    let deadline = Instant::now() + 10 * SECOND;
    while control.closed().is_none() {
        assert!(Instant::now() < deadline);
        control.poll();
        control.wait(Duration::from_millis(20));
    }
    assert_eq!(control.next_output(), Some(Output::Closed(Disconnect::Closed)));
    assert!(!path.exists(), "the socket file goes with its listener");
    assert!(matches!(
        ControlEnd::connect(&path, SECOND),
        Err(ConnectError::Connect { .. })
    ));
}

#[test]
fn events_that_find_the_ring_full_are_counted_and_told() {
    let mut bench = Bench::new();
    let mut control = bench.connect();
    let event = Event::LinkChanged {
        port: PortId(0),
        up: true,
        speed_mbps: 10_000,
        full_duplex: true,
    };
    for _ in 0..50 {
        bench.end.send(&event).expect("connected");
    }
    assert_eq!(bench.end.events_lost(), 50 - 16);
    for _ in 0..16 {
        assert_eq!(output(&mut bench, &mut control), Output::Event(event.clone()));
    }
    assert_eq!(
        output(&mut bench, &mut control),
        Output::Event(Event::Lost { events: 34 })
    );
    bench.end.send(&event).expect("connected");
    assert_eq!(output(&mut bench, &mut control), Output::Event(event));
}

#[test]
fn counters_are_read_in_place() {
    let mut bench = Bench::new();
    let control = bench.connect();
    let worker = bench.counters.worker(0).expect("a worker");
    worker.reason(3).add(7);
    assert_eq!(control.counters().reason_total(3), 7);
    worker.reason(3).add(1);
    assert_eq!(control.counters().reason_total(3), 8);
}

#[test]
fn only_root_the_own_user_and_the_group_may_connect() {
    let who = |uid, gid| Credentials { pid: 1, uid, gid };
    let cases = [
        (who(0, 0), None, true),
        (who(1000, 5), None, true),
        (who(1001, 5), None, false),
        (who(1001, 5), Some(5), true),
        (who(1001, 6), Some(5), false),
        (who(1001, 0), None, false),
    ];
    for (who, gid, allowed) in cases {
        assert_eq!(
            Access { gid }.allows(who, 1000),
            allowed,
            "{who:?} with group {gid:?}"
        );
    }
}

/// A table of 100,000 backends crosses in one transaction, through a ring of 8192 records.
#[test]
fn a_large_table_is_committed_in_seconds() {
    let mut bench = Bench::with(Limits::default());
    let mut control = bench.connect();
    let start = Instant::now();
    control.commit(1, true, announcements(100_000)).expect("starts");
    assert_eq!(transaction(&mut bench, &mut control).commands.len(), 100_000);
    let elapsed = start.elapsed();
    println!("100,000 commands in {elapsed:?}");
    assert!(elapsed < 10 * SECOND, "{elapsed:?}");
}

#[test]
fn one_dataplane_a_path_and_a_stale_socket_is_no_obstacle() {
    let bench = Bench::new();
    let shape = bench.counters.shape();
    let bind = || {
        DataplaneEnd::bind(
            &bench.path,
            Access::default(),
            LIMITS,
            about(shape),
            &bench.counters,
        )
    };
    assert!(matches!(bind(), Err(ListenError::InUse { .. })));
    let mode = std::fs::metadata(&bench.path)
        .expect("a socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);

    let stale = bench.path.with_file_name("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("bound"));
    let end = DataplaneEnd::bind(&stale, Access::default(), LIMITS, about(shape), &bench.counters);
    assert!(end.is_ok());

    let heap = Counters::heap(shape).expect("a page");
    let other = bench.path.with_file_name("other.sock");
    let end = DataplaneEnd::bind(&other, Access::default(), LIMITS, about(shape), &heap);
    assert!(matches!(end, Err(ListenError::CountersNotShared)));
    let limits = Limits {
        command_records: 100,
        ..LIMITS
    };
    let end = DataplaneEnd::bind(&other, Access::default(), limits, about(shape), &bench.counters);
    assert!(matches!(end, Err(ListenError::BadCapacity)));
}
