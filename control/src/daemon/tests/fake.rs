//! A dataplane without packets: the real end of the rings, a table, and a temper.

use crate::publish::Table;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use weir_rings::counters::{Counters, Shape};
use weir_rings::hello::{About, PortInfo, ReasonInfo, WorkerInfo};
use weir_rings::link::{Access, DataplaneEnd, Input, Limits};
use weir_rings::message::{Command, Event, RefuseReason};
use weir_rings::query::{Explanation, Request, Response, Step};
use weir_rings::transaction::Transaction;

/// What the fake has seen, and how it behaves.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What is in force.
    pub(super) table: Table,
    /// Whether each transaction was full, and its commands.
    pub(super) transactions: Vec<(bool, Vec<Command>)>,
    /// The fewest backends that were ever in force after the first transaction.
    pub(super) backends_min: Option<usize>,
    pub(super) sessions: u32,
    /// Refuse every transaction that has this command's kind of object: a VIP of this last octet.
    pub(super) refuse_vip: Option<u8>,
    /// Leave queries without an answer.
    pub(super) silent: bool,
    /// Events to send.
    pub(super) events: Vec<Event>,
}

pub(super) struct Fake {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    pub(super) counters: Counters,
}

const SHAPE: Shape = Shape {
    workers: 1,
    ports: 2,
    reasons: 3,
    services: 16,
    backends: 64,
};

/// What the fake says about itself; `since` tells one start from another.
fn about(started_unix_s: u64) -> About {
    let port = |name: &str| PortInfo {
        name: name.into(),
        device: "null".into(),
        driver: "net_null".into(),
        mac: [2, 0, 0, 0, 0, 1],
        mtu: 1_500,
        vlan: None,
        addresses: vec![],
        host_interface: None,
    };
    let reason = |verdict: &str, name: &str| ReasonInfo {
        verdict: verdict.into(),
        name: name.into(),
        hint: "look".into(),
    };
    About {
        version: "fake".into(),
        pid: 1,
        started_unix_s,
        dpdk: None,
        flows_max: 100,
        shape: SHAPE,
        workers: vec![WorkerInfo {
            cpu: 0,
            idle: "adaptive".into(),
        }],
        ports: vec![port("lan"), port("wan")],
        reasons: vec![
            reason("tx", "tx"),
            reason("punt", "host"),
            reason("drop", "no-service"),
        ],
    }
}

impl Fake {
    /// A dataplane that holds `table` already, as one that outlives control does.
    pub(super) fn start(path: &Path, table: Table) -> Self {
        let counters = Counters::shared(SHAPE).unwrap();
        let limits = Limits {
            command_records: 16,
            event_records: 16,
            ..Limits::default()
        };
        let end = DataplaneEnd::bind(path, Access::default(), limits, about(0), &counters).unwrap();
        let seen = Arc::new(Mutex::new(Seen {
            table,
            ..Seen::default()
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || serve(end, &seen, &stop)
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
            counters,
        }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn table(&self) -> Table {
        self.seen().table.clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(
            matches!(ended, None | Some(Ok(()))) || std::thread::panicking(),
            "the fake dataplane panicked"
        );
    }
}

fn serve(mut end: DataplaneEnd, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        end.poll(start.elapsed());
        while let Some(input) = end.next_input() {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match input {
                Input::Connected(_) => seen.sessions += 1,
                Input::Transaction(transaction) => take(&mut end, &mut seen, transaction),
                Input::Query { id, request } if !seen.silent => {
                    let answer = answer(&request);
                    let _ = end.answer(id, answer);
                }
                Input::Query { .. } | Input::Disconnected(_) | Input::TurnedAway(_) => {}
                Input::Refused(refusal) => panic!("malformed: {refusal:?}"),
            }
        }
        let events: Vec<Event> = seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .events
            .drain(..)
            .collect();
        for event in events {
            let _ = end.send(&event);
        }
        end.wait(Duration::from_millis(10));
    }
}

fn take(end: &mut DataplaneEnd, seen: &mut Seen, transaction: Transaction) {
    let refused = transaction.commands.iter().position(|command| {
        matches!(command, Command::UpsertVip(vip)
            if seen.refuse_vip.is_some_and(|octet| vip.address == std::net::IpAddr::from([192, 0, 2, octet])))
    });
    if let Some(at) = refused {
        let at = u32::try_from(at).unwrap();
        return end.refused(
            transaction.generation,
            Some(at),
            RefuseReason::TableFull,
            "raise services_max",
        );
    }
    let mut table = if transaction.full {
        Table::default()
    } else {
        seen.table.clone()
    };
    for command in &transaction.commands {
        table.apply(command);
    }
    let backends = table.backends.len();
    seen.backends_min = Some(seen.backends_min.map_or(backends, |least| least.min(backends)));
    let commands = u32::try_from(transaction.commands.len()).unwrap();
    end.published(
        transaction.generation,
        commands,
        0,
        u32::try_from(backends).unwrap(),
    );
    seen.table = table;
    seen.transactions.push((transaction.full, transaction.commands));
}

fn answer(request: &Request) -> Result<Response, String> {
    match request {
        Request::Explain { .. } => Ok(Response::Explain(Explanation {
            steps: vec![Step {
                stage: "vip".into(),
                found: "ours".into(),
                detail: vec![],
            }],
            verdict: "drop".into(),
            reason: Some("no-service".into()),
            hint: Some("look".into()),
        })),
        Request::Neighbors => Ok(Response::Neighbors(vec![])),
        Request::Workers => Ok(Response::Workers(vec![])),
        Request::Flows { .. } | Request::Routes | Request::Ports => Err("not in this fake".into()),
    }
}
