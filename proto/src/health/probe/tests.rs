use super::super::http::Get;
use super::*;

use Action::{Close, Connect, Done};
use Input::{Broken, Connected, Eof, Read, Start};

const TIMEOUT: Duration = Duration::from_millis(500);

fn tcp() -> Probe {
    Probe::new(Arc::new(Dialogue::Tcp), TIMEOUT)
}

fn get() -> Get {
    Get {
        path: "/".into(),
        host: "192.0.2.11:80".into(),
        status: vec![200..=200],
        ..Get::default()
    }
}

fn http() -> Probe {
    Probe::new(Arc::new(Dialogue::Http(vec![get()])), TIMEOUT)
}

/// Feeds `inputs` one millisecond apart and returns every action.
fn run(mut probe: Probe, inputs: &[Input<'_>]) -> Vec<Action> {
    let mut actions = Vec::new();
    for (n, input) in inputs.iter().enumerate() {
        probe.handle(Instant::from_millis(n as u64), *input);
        actions.extend(core::iter::from_fn(|| probe.poll_action()));
    }
    actions
}

fn fail(failure: Failure) -> Vec<Action> {
    vec![Close, Done(Outcome::Fail(failure))]
}

fn pass() -> Vec<Action> {
    vec![Close, Done(Outcome::Pass)]
}

#[test]
fn tcp_dialogues() {
    let table: &[(&[Input<'_>], Vec<Action>)] = &[
        (&[Connected], pass()),
        (
            &[Broken(Fault::Refused)],
            fail(Failure::Connection(Fault::Refused)),
        ),
        (
            &[Broken(Fault::Unreachable)],
            fail(Failure::Connection(Fault::Unreachable)),
        ),
        (&[Read(b"early"), Eof, Start, Connected], pass()),
        (
            &[Connected, Connected, Read(b"late"), Eof, Broken(Fault::Reset)],
            pass(),
        ),
    ];
    for (inputs, end) in table {
        let inputs: Vec<_> = [Start].iter().chain(*inputs).copied().collect();
        let expected: Vec<_> = [Connect].iter().chain(end).cloned().collect();
        assert_eq!(run(tcp(), &inputs), expected, "{inputs:?}");
    }
}

#[test]
fn http_dialogues() {
    let table: &[(&[Input<'_>], Vec<Action>)] = &[
        (&[Read(b"HTTP/1.1 200 OK\r\n\r\n")], pass()),
        (
            &[Read(b"HTTP/1.1 20"), Read(b"0 OK\r\n"), Read(b"\r\nbody"), Eof],
            pass(),
        ),
        (&[Read(b"HTTP/1.1 500 Oh\r\n\r\n")], fail(Failure::Status(500))),
        (&[Read(b"HTTP/1.1 200 OK\r\n"), Eof], fail(Failure::Truncated)),
        (&[Eof], fail(Failure::Truncated)),
        (&[Read(b"220 mail ESMTP\r\n")], fail(Failure::NotHttp)),
        (&[Broken(Fault::Reset)], fail(Failure::Connection(Fault::Reset))),
        (&[Read(b"H")], vec![]),
    ];
    for (inputs, end) in table {
        let inputs: Vec<_> = [Start, Connected].iter().chain(*inputs).copied().collect();
        let expected: Vec<_> = [Connect, Action::Write(get().request())]
            .into_iter()
            .chain(end.clone())
            .collect();
        assert_eq!(run(http(), &inputs), expected, "{inputs:?}");
    }
}

#[test]
fn one_deadline_covers_the_run() {
    for (inputs, failure) in [
        (&[Start][..], Failure::ConnectTimeout),
        (&[Start, Connected], Failure::AnswerTimeout),
        (
            &[Start, Connected, Read(b"HTTP/1.1 200 OK\r\n")],
            Failure::AnswerTimeout,
        ),
    ] {
        let mut probe = http();
        for (n, input) in inputs.iter().enumerate() {
            probe.handle(Instant::from_millis(100 * n as u64), *input);
        }
        while probe.poll_action().is_some() {}
        let deadline = Instant::ZERO + TIMEOUT;
        assert_eq!(probe.poll_timeout(), Some(deadline));
        probe.handle_timeout(deadline - Duration::from_nanos(1));
        assert_eq!(probe.poll_action(), None, "early time-outs are harmless");
        probe.handle_timeout(deadline);
        probe.handle_timeout(deadline);
        let actions: Vec<_> = core::iter::from_fn(|| probe.poll_action()).collect();
        assert_eq!(actions, fail(failure));
        assert_eq!((probe.poll_timeout(), probe.is_running()), (None, false));
    }
}

#[test]
fn a_probe_runs_again_after_its_end() {
    let actions = run(tcp(), &[Start, Connected, Start, Broken(Fault::Refused), Start]);
    let expected = [
        vec![Connect],
        pass(),
        vec![Connect],
        fail(Failure::Connection(Fault::Refused)),
        vec![Connect],
    ];
    assert_eq!(actions, expected.concat());
}
