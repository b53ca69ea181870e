//! Transactions: whole, in order, or refused with the record and the reason.

use super::{Assembler, GENERATION_STEP_MAX, Refusal, Transaction};
use crate::message::{Command, Message, RECORD_WORDS, RawRecord, Record, RefuseReason, arbitrary};
use crate::testing::seeded;
use rand::Rng;

fn raw(generation: u64, index: u32, record: Record) -> RawRecord {
    Message {
        generation,
        index,
        record,
    }
    .encode()
    .expect("a valid record")
}

fn begin(generation: u64, full: bool) -> RawRecord {
    raw(generation, 0, Record::Begin { full })
}

fn announce(generation: u64, index: u32) -> RawRecord {
    raw(
        generation,
        index,
        Record::Command(Command::Announce([192, 0, 2, 1].into())),
    )
}

fn commit(generation: u64, commands: u32) -> RawRecord {
    raw(generation, commands + 1, Record::Commit { commands })
}

/// Feeds all; the last record must be the one that decides.
fn feed(assembler: &mut Assembler, records: &[RawRecord]) -> Option<Result<Transaction, Refusal>> {
    let (last, rest) = records.split_last().expect("records");
    rest.iter()
        .for_each(|record| assert_eq!(assembler.feed(record), None));
    assembler.feed(last)
}

#[track_caller]
fn refused(outcome: Option<Result<Transaction, Refusal>>, index: Option<u32>, reason: RefuseReason) {
    let refusal = outcome.expect("an outcome").expect_err("a refusal");
    assert_eq!((refusal.record_index, refusal.reason), (index, reason));
    assert!(!refusal.detail.as_str().is_empty());
}

#[test]
fn a_transaction_comes_out_whole() {
    let mut assembler = Assembler::new(10, 6);
    let outcome = feed(
        &mut assembler,
        &[begin(7, true), announce(7, 1), announce(7, 2), commit(7, 2)],
    );
    let transaction = outcome.expect("an outcome").expect("a transaction");
    assert_eq!(
        (
            transaction.generation,
            transaction.full,
            transaction.commands.len()
        ),
        (7, true, 2)
    );
    let outcome = feed(&mut assembler, &[begin(8, false), commit(8, 0)]);
    assert!(matches!(
        outcome,
        Some(Ok(Transaction {
            generation: 8,
            full: false,
            ..
        }))
    ));
}

#[test]
fn a_new_begin_drops_what_was_open() {
    let mut assembler = Assembler::new(10, 0);
    let outcome = feed(
        &mut assembler,
        &[
            begin(1, true),
            announce(1, 1),
            begin(2, true),
            announce(2, 1),
            commit(2, 1),
        ],
    );
    assert!(
        matches!(outcome, Some(Ok(Transaction { generation: 2, ref commands, .. })) if commands.len() == 1)
    );
}

#[test]
fn bad_transactions_are_refused_by_record_and_reason() {
    let bad = [u64::MAX; RECORD_WORDS];
    let new = || Assembler::new(2, 5);
    refused(
        feed(&mut new(), &[announce(6, 1)]),
        Some(1),
        RefuseReason::OutsideTransaction,
    );
    refused(
        feed(&mut new(), &[commit(6, 0)]),
        Some(1),
        RefuseReason::OutsideTransaction,
    );
    refused(
        feed(&mut new(), &[begin(5, true)]),
        Some(0),
        RefuseReason::BadGeneration,
    );
    refused(
        feed(&mut new(), &[begin(4, true)]),
        Some(0),
        RefuseReason::BadGeneration,
    );
    refused(
        feed(&mut new(), &[begin(6 + GENERATION_STEP_MAX, true)]),
        Some(0),
        RefuseReason::BadGeneration,
    );
    refused(
        feed(&mut new(), &[begin(6, false)]),
        Some(0),
        RefuseReason::FirstNotFull,
    );
    refused(
        feed(&mut new(), &[raw(6, 3, Record::Begin { full: true })]),
        Some(3),
        RefuseReason::OutOfOrder,
    );
    refused(
        feed(&mut new(), &[begin(6, true), announce(6, 2)]),
        Some(1),
        RefuseReason::OutOfOrder,
    );
    refused(
        feed(&mut new(), &[begin(6, true), announce(7, 1)]),
        Some(1),
        RefuseReason::OutOfOrder,
    );
    refused(
        feed(&mut new(), &[begin(6, true), announce(6, 1), bad]),
        Some(2),
        RefuseReason::BadRecord,
    );
    refused(feed(&mut new(), &[bad]), None, RefuseReason::BadRecord);
    let short = raw(6, 1, Record::Commit { commands: 1 });
    refused(
        feed(&mut new(), &[begin(6, true), short]),
        None,
        RefuseReason::WrongCount,
    );
    let long = [begin(6, true), announce(6, 1), announce(6, 2), announce(6, 3)];
    refused(feed(&mut new(), &long), Some(3), RefuseReason::TooManyRecords);
}

#[test]
fn one_refusal_a_transaction_and_the_next_one_is_taken() {
    let mut assembler = Assembler::new(10, 0);
    refused(
        feed(&mut assembler, &[begin(1, true), announce(1, 5)]),
        Some(1),
        RefuseReason::OutOfOrder,
    );
    for record in [announce(1, 6), [7; RECORD_WORDS], commit(1, 1)] {
        assert_eq!(assembler.feed(&record), None);
    }
    let outcome = feed(&mut assembler, &[begin(1, true), commit(1, 0)]);
    assert!(
        matches!(outcome, Some(Ok(_))),
        "a refused generation may come again"
    );
}

/// Whatever comes, what comes out was sent in one piece: random records, repeated, lost, mixed up.
#[test]
fn random_streams_yield_only_whole_transactions() {
    let mut rng = seeded("random_streams_yield_only_whole_transactions");
    let mut assembler = Assembler::new(8, 0);
    let (mut last, mut taken, mut refusals) = (0, 0, 0);
    for _ in 0..50_000 {
        let generation = last + rng.random_range(0..3);
        let count = rng.random_range(0..10);
        let mut records = vec![begin(generation, taken == 0 || rng.random())];
        let commands: Vec<_> = (0..count).map(|_| arbitrary::command(&mut rng)).collect();
        for (n, command) in (1..).zip(&commands) {
            records.push(raw(generation, n, Record::Command(command.clone())));
        }
        records.push(commit(generation, count));
        let broken = rng.random_ratio(1, 2);
        if broken {
            let (a, b) = (
                rng.random_range(0..records.len()),
                rng.random_range(0..records.len()),
            );
            match rng.random_range(0..3) {
                0 => drop(records.remove(a)),
                1 => records.swap(a, b),
                _ => records[a][rng.random_range(0..RECORD_WORDS)] ^= 1 << rng.random_range(0..64),
            }
        }
        for record in &records {
            match assembler.feed(record) {
                Some(Ok(transaction)) => {
                    assert!(transaction.generation > last);
                    if !broken {
                        assert_eq!(transaction.commands, commands);
                    }
                    (last, taken) = (transaction.generation, taken + 1);
                }
                Some(Err(_)) => refusals += 1,
                None => {}
            }
        }
        // A bit flipped in a generation may leap far; keep within reach.
        if last > 1 << 40 {
            assembler = Assembler::new(8, 0);
            (last, taken) = (0, 0);
        }
    }
    assert!(refusals > 1000, "{refusals} refusals");
}
