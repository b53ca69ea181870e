use super::*;
use weir_rings::message::Vip;

fn table(last_octets: &[u8]) -> Table {
    let mut table = Table::default();
    for octet in last_octets {
        table.apply(&Command::UpsertVip(Vip::owned([192, 0, 2, *octet].into())));
    }
    table
}

fn connected() -> Publisher {
    let mut publisher = Publisher::default();
    publisher.connected(41);
    publisher
}

#[test]
fn the_first_of_a_session_is_full_even_when_there_is_nothing_to_say() {
    let mut publisher = Publisher::default();
    assert_eq!(publisher.next(&table(&[])), None, "nobody to tell");
    publisher.connected(41);
    let first = publisher.next(&table(&[])).unwrap();
    assert_eq!(
        (first.generation, first.full, first.commands.len()),
        (42, true, 0)
    );
    assert!(!publisher.is_in_force());
    assert_eq!(publisher.published(42), Some(Verdict::Published));
    assert!(publisher.is_in_force());
    assert_eq!(publisher.next(&table(&[])), None, "nothing to say");
}

#[test]
fn one_transaction_at_a_time_then_the_difference() {
    let mut publisher = connected();
    publisher.next(&table(&[1])).unwrap();
    assert_eq!(publisher.next(&table(&[1, 2])), None, "one is under way");
    assert_eq!(publisher.published(7), None, "not ours");
    publisher.published(42);
    let second = publisher.next(&table(&[2, 3])).unwrap();
    assert_eq!((second.generation, second.full), (43, false));
    assert_eq!(second.commands, table(&[1]).plan(&table(&[2, 3])));
}

#[test]
fn a_refused_table_is_named_kept_out_and_not_repeated() {
    let mut publisher = connected();
    publisher.next(&table(&[1])).unwrap();
    publisher.published(42);
    publisher.next(&table(&[1, 2])).unwrap();
    let verdict = publisher.refused(43, Some(1), RefuseReason::TableFull, "raise services_max");
    let Some(Verdict::Refused(refusal)) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(
        refusal.command,
        Some(Command::UpsertVip(Vip::owned([192, 0, 2, 2].into())))
    );
    assert_eq!(
        publisher.table(),
        Some(&table(&[1])),
        "what was in force still is"
    );
    assert_eq!(publisher.next(&table(&[1, 2])), None);
    assert!(publisher.refusal().is_some());
    assert!(
        publisher.next(&table(&[1, 3])).is_some(),
        "something else may pass"
    );
    publisher.published(44);
    assert_eq!(publisher.refusal(), None);
}

#[test]
fn going_back_to_what_is_in_force_ends_a_refusal() {
    let mut publisher = connected();
    publisher.next(&table(&[1])).unwrap();
    publisher.published(42);
    publisher.next(&table(&[2])).unwrap();
    publisher.refused(43, None, RefuseReason::Conflict, "no");
    assert_eq!(publisher.next(&table(&[1])), None);
    assert_eq!(publisher.refusal(), None);
}

#[test]
fn a_new_session_starts_over_above_both_generations() {
    let mut publisher = connected();
    publisher.next(&table(&[1])).unwrap();
    publisher.disconnected();
    assert_eq!(publisher.next(&table(&[1])), None);
    publisher.connected(3);
    let again = publisher.next(&table(&[1])).unwrap();
    assert_eq!((again.generation, again.full), (43, true));
    assert_eq!(
        publisher.published(42),
        None,
        "the old session's answer is nobody's"
    );
}

#[test]
fn retrying_sends_a_refused_table_again() {
    let mut publisher = connected();
    publisher.next(&table(&[1])).unwrap();
    publisher.refused(42, None, RefuseReason::TableFull, "full");
    assert_eq!(publisher.next(&table(&[1])), None);
    publisher.retry();
    assert_eq!(
        publisher
            .next(&table(&[1]))
            .map(|sending| (sending.generation, sending.full)),
        Some((43, true))
    );
}

#[test]
fn announcements_go_with_the_next_transaction_or_make_one() {
    let (held, other): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 9].into());
    let mut publisher = connected();
    publisher.announce([held, held, held, other]);
    let first = publisher.next(&table(&[1])).unwrap();
    let announced = |sending: &Sending| {
        let announced = |command: &&Command| **command == Command::Announce(held);
        (
            sending.commands.iter().filter(announced).count(),
            sending.commands.contains(&Command::Announce(other)),
        )
    };
    assert_eq!(
        announced(&first),
        (3, false),
        "one of them by the plan, nothing that is not held"
    );
    publisher.published(42);
    assert_eq!(publisher.next(&table(&[1])), None);
    publisher.announce([held]);
    assert_eq!(
        publisher.next(&table(&[1])).unwrap().commands,
        [Command::Announce(held)]
    );
    publisher.published(43);
    publisher.assert(Vip::owned(held));
    publisher.assert(Vip::owned(other));
    let alive = publisher.next(&table(&[1])).unwrap();
    assert_eq!(
        alive.commands,
        [Command::UpsertVip(Vip::owned(held))],
        "only what still is so"
    );
}
