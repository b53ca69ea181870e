use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn steady(first: Instant) -> Schedule {
    Schedule::new(first, SECOND, Duration::ZERO, Duration::ZERO, 0)
}

#[test]
fn the_first_slot_is_spread_over_the_interval() {
    let start = Instant::from_secs(5);
    let first = |seed| Schedule::new(start, SECOND, SECOND / 10, SECOND, seed).next();
    assert_eq!(first(0), start);
    assert_eq!(first(1 << 63), start + SECOND / 2);
    assert_eq!(first(u64::MAX), start + SECOND - Duration::from_nanos(1));
}

#[test]
fn late_calls_do_not_move_the_grid() {
    let mut schedule = steady(Instant::from_secs(1));
    for n in 1..1_000_u64 {
        let slot = Instant::from_secs(n);
        assert_eq!(schedule.next(), slot);
        assert!(
            !schedule.take(slot - Duration::from_nanos(1)),
            "early calls are harmless"
        );
        assert!(schedule.take(slot + Duration::from_millis(n % 999)));
    }
    assert_eq!(schedule.skipped(), 0);
}

#[test]
fn slots_that_passed_are_skipped_and_counted() {
    let mut schedule = steady(Instant::ZERO);
    assert!(schedule.take(Instant::from_millis(3_500)));
    assert_eq!((schedule.next(), schedule.skipped()), (Instant::from_secs(4), 3));
    assert!(schedule.take(Instant::from_secs(5)));
    assert_eq!((schedule.next(), schedule.skipped()), (Instant::from_secs(6), 4));
}

#[test]
fn jitter_stays_within_its_bound_and_off_the_grid_but_never_drifts() {
    let jitter = Duration::from_millis(200);
    for seed in 0..50_u64 {
        let seed = seed.wrapping_mul(0x1234_5678_9abc_def1);
        let mut schedule = Schedule::new(Instant::from_secs(10), SECOND, jitter, Duration::ZERO, seed);
        let (mut earlier, mut later) = (0, 0);
        let mut last = schedule.next();
        for n in 0..1_000_u64 {
            let (due, slot) = (schedule.next(), Instant::from_secs(10 + n));
            assert!(
                due >= slot - jitter / 2 && due <= slot + jitter / 2,
                "seed {seed}, run {n}: {due:?}"
            );
            assert!(
                n == 0 || (due - last >= SECOND - jitter && due - last <= SECOND + jitter),
                "seed {seed}"
            );
            if due < slot {
                earlier += 1;
            } else {
                later += 1;
            }
            last = due;
            assert!(schedule.take(due));
        }
        assert!(
            earlier > 400 && later > 400,
            "seed {seed}: {earlier} early, {later} late"
        );
        assert_eq!(schedule.skipped(), 0);
    }
}

#[test]
fn absurd_intervals_neither_spin_nor_overflow() {
    let mut schedule = Schedule::new(Instant::ZERO, Duration::ZERO, SECOND, Duration::ZERO, u64::MAX);
    assert!(schedule.take(Instant::ZERO));
    assert!(schedule.next() >= Instant::ZERO + INTERVAL_MIN / 2);
    let mut schedule = Schedule::new(
        Instant::ZERO,
        Duration::MAX,
        Duration::MAX,
        Duration::MAX,
        u64::MAX,
    );
    assert!(!schedule.take(Instant::from_secs(1)));
    assert!(schedule.take(Instant::MAX));
    assert!(!schedule.take(Instant::ZERO));
}

#[test]
fn a_run_wanted_sooner_leaves_the_grid_alone() {
    let mut schedule = steady(Instant::from_secs(10));
    schedule.hasten(Instant::from_secs(11));
    assert_eq!(schedule.next(), Instant::from_secs(10), "one is due sooner");
    assert!(schedule.take(Instant::from_secs(10)));
    schedule.hasten(Instant::from_millis(10_700));
    schedule.hasten(Instant::from_millis(10_300));
    schedule.hasten(Instant::from_millis(10_500));
    assert_eq!(
        schedule.next(),
        Instant::from_millis(10_300),
        "the soonest counts"
    );
    assert!(schedule.take(Instant::from_millis(10_310)));
    assert!(!schedule.take(Instant::from_millis(10_320)), "once");
    assert_eq!(schedule.next(), Instant::from_secs(11));
    assert!(schedule.take(Instant::from_secs(11)));
    assert_eq!((schedule.next(), schedule.skipped()), (Instant::from_secs(12), 0));
    schedule.hasten(Instant::from_millis(11_900));
    assert!(schedule.take(Instant::from_millis(12_100)));
    assert_eq!(
        schedule.next(),
        Instant::from_secs(13),
        "late, it is the grid's own run"
    );
}

#[test]
fn a_run_that_is_set_comes_then_and_the_grid_stays() {
    let at = Instant::from_millis;
    // Sooner than its slot, later than it by less than an interval, and by several.
    for (set, later) in [
        (1_400, [2_000, 3_000]),
        (2_000, [3_000, 4_000]),
        (2_300, [3_000, 4_000]),
        (5_999, [6_000, 7_000]),
    ] {
        let mut schedule = steady(Instant::from_secs(1));
        assert!(schedule.take(at(1_000)));
        schedule.set(at(set));
        assert_eq!(schedule.next(), at(set));
        assert!(!schedule.take(at(set - 1)) && schedule.take(at(set)), "{set}");
        for slot in later {
            assert_eq!(schedule.next(), at(slot), "{set}");
            assert!(schedule.take(at(slot)));
        }
        assert_eq!(schedule.skipped(), 0, "left out on purpose");
    }
    let mut schedule = steady(Instant::from_secs(1));
    schedule.hasten(at(500));
    schedule.set(at(700));
    assert_eq!(schedule.next(), at(700), "what was wanted sooner is not any more");
}
