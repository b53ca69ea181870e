//! Control killed with SIGKILL at random moments while it commits.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::time::Instant;

use rand::Rng;

use super::{Bench, ControlEnd, Input, SECOND};
use crate::message::{
    Backend, BackendKey, Command, Forward, ForwardMode, Protocol, SchedulerKind, Service, ServiceKey,
};
use crate::testing::seeded;
use crate::transaction::Transaction;

const KILLS: u32 = 200;
const SOCKET: &str = "WEIR_TEST_COMMIT_TO";
const TEST: &str = "link::tests::kill::a_control_killed_at_any_moment_leaves_a_committed_table";

const SERVICE: ServiceKey = ServiceKey {
    protocol: Protocol::Tcp,
    address: core::net::IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1)),
    port: 80,
};

/// The state of a generation: this many backends, all of this weight.
fn state(generation: u64) -> (u8, u16) {
    ((generation * 7 % 150 + 50) as u8, (generation % 60_000) as u16)
}

fn key(n: u8) -> BackendKey {
    BackendKey {
        address: [198, 18, 0, n].into(),
        port: 80,
    }
}

fn upserts(generation: u64) -> impl Iterator<Item = Command> {
    let (backends, weight) = state(generation);
    let backend = move |n| Backend {
        weight,
        ..Backend::new(SERVICE, key(n), Forward::Dr)
    };
    (0..backends).map(move |n| Command::UpsertBackend(backend(n)))
}

/// The child: one generation after the other, whole or as a difference, until it is killed.
fn commit_for_ever(path: &Path) {
    let mut control = ControlEnd::connect(path, 10 * SECOND).expect("connects");
    let mut before = None;
    loop {
        let generation = control.next_generation();
        let service = Service::new(SERVICE, SchedulerKind::Rr, ForwardMode::Dr);
        let outcome = if let Some(before) = before.filter(|_| !generation.is_multiple_of(3)) {
            let gone =
                (state(generation).0..state(before).0).map(|n| Command::DeleteBackend(SERVICE, key(n)));
            control.commit_and_wait(generation, false, upserts(generation).chain(gone), 10 * SECOND)
        } else {
            let whole = [Command::UpsertService(service)]
                .into_iter()
                .chain(upserts(generation));
            control.commit_and_wait(generation, true, whole, 10 * SECOND)
        };
        outcome.expect("published");
        before = Some(generation);
    }
}

fn spawn(path: &Path) -> Child {
    Process::new(std::env::current_exe().expect("this test"))
        .args(["--exact", TEST, "--nocapture"])
        .env(SOCKET, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts")
}

/// The dataplane's table, changed by whole transactions only.
#[derive(Default)]
struct Table {
    weights: BTreeMap<BackendKey, u16>,
    generation: u64,
}

impl Table {
    fn apply(&mut self, transaction: Transaction) {
        if transaction.full {
            self.weights.clear();
        }
        for command in transaction.commands {
            match command {
                Command::UpsertBackend(backend) => drop(self.weights.insert(backend.key, backend.weight)),
                Command::DeleteBackend(_, key) => drop(self.weights.remove(&key)),
                Command::UpsertService(_) => {}
                other => panic!("{other:?}"),
            }
        }
        self.generation = transaction.generation;
    }

    fn check(&self) {
        let (backends, weight) = state(self.generation);
        assert!(
            self.weights.values().all(|&w| w == weight),
            "generation {} is mixed",
            self.generation
        );
        assert_eq!(
            self.weights.len(),
            usize::from(backends),
            "generation {}",
            self.generation
        );
    }
}

/// Serves until `until`; true if a control is connected then.
fn serve(bench: &mut Bench, table: &mut Table, half: &mut u32, until: impl Fn(&Bench) -> bool) {
    let deadline = Instant::now() + 20 * SECOND;
    while !until(bench) {
        assert!(
            Instant::now() < deadline,
            "stuck at generation {}",
            table.generation
        );
        let open = bench.end.half_committed() > 0;
        bench.poll();
        while let Some(input) = bench.end.next_input() {
            match input {
                Input::Transaction(transaction) => {
                    let (generation, commands) = (transaction.generation, transaction.commands.len() as u32);
                    table.apply(transaction);
                    table.check();
                    bench
                        .end
                        .published(generation, commands, 1, table.weights.len() as u32);
                }
                Input::Disconnected(_) => *half += u32::from(open),
                Input::Connected(_) => {}
                other => panic!("{other:?}"),
            }
        }
        bench.end.wait(Duration::from_millis(2));
    }
}

#[test]
fn a_control_killed_at_any_moment_leaves_a_committed_table() {
    if let Some(path) = std::env::var_os(SOCKET) {
        return commit_for_ever(Path::new(&path));
    }
    let mut rng = seeded("a_control_killed_at_any_moment_leaves_a_committed_table");
    let (mut bench, mut table, mut half) = (Bench::new(), Table::default(), 0);
    let mut next = spawn(&bench.path);
    for _ in 0..KILLS {
        let mut child = next;
        serve(&mut bench, &mut table, &mut half, |bench| bench.end.connected());
        let moment = Instant::now() + Duration::from_micros(rng.random_range(0..15_000));
        serve(&mut bench, &mut table, &mut half, |_| Instant::now() >= moment);
        child.kill().expect("kill -9");
        child.wait().expect("reaped");
        serve(&mut bench, &mut table, &mut half, |bench| !bench.end.connected());
        next = spawn(&bench.path);
    }
    next.kill().expect("kill -9");
    next.wait().expect("reaped");
    table.check();
    println!("{} generations, {half} transactions cut off", table.generation);
    assert!(
        table.generation > u64::from(KILLS) && half > 0,
        "{} generations, {half} cut off",
        table.generation
    );
}
