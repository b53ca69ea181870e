use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_slot_is_spread_over_the_interval() {
    let start = Instant::from_secs(5);
    let first = |draw| Schedule::new(start, SECOND, SECOND, draw).next();
    assert_eq!(first(0), start);
    assert_eq!(first(1 << 63), start + SECOND / 2);
    assert_eq!(first(u64::MAX), start + SECOND - Duration::from_nanos(1));
}

#[test]
fn late_calls_do_not_move_the_grid() {
    let mut schedule = Schedule::new(Instant::from_secs(1), SECOND, Duration::ZERO, 0);
    for n in 1..1_000_u64 {
        let slot = Instant::from_secs(n);
        assert_eq!(schedule.next(), slot);
        assert_eq!(
            schedule.take(slot - Duration::from_nanos(1)),
            None,
            "early calls are harmless"
        );
        assert_eq!(schedule.take(slot + Duration::from_millis(n % 999)), Some(slot));
    }
    assert_eq!(schedule.skipped(), 0);
}

#[test]
fn slots_that_passed_are_skipped_and_counted() {
    let mut schedule = Schedule::new(Instant::ZERO, SECOND, Duration::ZERO, 0);
    assert_eq!(schedule.take(Instant::from_millis(3_500)), Some(Instant::ZERO));
    assert_eq!((schedule.next(), schedule.skipped()), (Instant::from_secs(4), 3));
    schedule.skip_to_after(Instant::from_secs(4));
    assert_eq!((schedule.next(), schedule.skipped()), (Instant::from_secs(5), 4));
    schedule.skip_to_after(Instant::from_secs(4));
    assert_eq!((schedule.next(), schedule.skipped()), (Instant::from_secs(5), 4));
}

#[test]
fn absurd_intervals_neither_spin_nor_overflow() {
    let mut schedule = Schedule::new(Instant::ZERO, Duration::ZERO, Duration::ZERO, u64::MAX);
    assert!(schedule.take(Instant::ZERO).is_some());
    assert_eq!(schedule.next(), Instant::ZERO + INTERVAL_MIN);
    let mut schedule = Schedule::new(Instant::ZERO, Duration::MAX, Duration::MAX, u64::MAX);
    assert_eq!(schedule.take(Instant::from_secs(1)), None);
    schedule.skip_to_after(Instant::MAX);
    assert_eq!(schedule.next(), Instant::MAX);
}
