use super::*;

/// (rise, fall, start, outcomes, verdict after each outcome); `+` passes and `-` fails, `U` up and `D` down.
const TABLE: &[(u32, u32, Health, &str, &str)] = &[
    (1, 1, Health::Up, "+-+-", "UDUD"),
    (2, 3, Health::Up, "---++", "UUDDU"),
    (2, 3, Health::Up, "--+--+---", "UUUUUUUUD"),
    (2, 3, Health::Down, "+-+-++", "DDDDDU"),
    (3, 1, Health::Up, "-++-+++", "DDDDDDU"),
    (0, 0, Health::Up, "-+", "DU"),
    (1, 2, Health::Up, "-+-+-+", "UUUUUU"),
    (2, 1, Health::Down, "++-++-", "DUDDUD"),
    (1, u32::MAX, Health::Up, "------", "UUUUUU"),
];

/// The same with `first`: (first, fall, proved before, outcomes, verdicts), from up, with rise 1.
const FIRST: &[(Option<u32>, u32, bool, &str, &str)] = &[
    (None, 2, false, "--+", "UDU"),
    (Some(1), 3, false, "-+---", "DUUUD"),
    (Some(1), 3, false, "+---", "UUUD"),
    (Some(1), 3, true, "---", "UUD"),
    (Some(4), 2, false, "---+--", "UUUUUD"),
    (Some(0), 3, false, "-", "D"),
];

#[test]
fn fewer_failures_are_enough_until_a_run_has_passed() {
    for &(first, fall, proved, outcomes, verdicts) in FIRST {
        let mut judge = Judge::new(Health::Up, 1, fall).with_first(first);
        if proved {
            judge = judge.with_proof();
        }
        let seen: String = outcomes
            .chars()
            .map(|outcome| {
                judge.observe(Instant::ZERO, outcome == '+');
                match judge.health() {
                    Health::Up => 'U',
                    Health::Down => 'D',
                }
            })
            .collect();
        assert_eq!(seen, verdicts, "first {first:?}, fall {fall}, {outcomes}");
    }
}

#[test]
fn verdicts_follow_the_table() {
    for &(rise, fall, start, outcomes, verdicts) in TABLE {
        let mut judge = Judge::new(start, rise, fall);
        let seen: String = outcomes
            .chars()
            .map(|outcome| {
                let before = judge.health();
                let change = judge.observe(Instant::ZERO, outcome == '+');
                assert_eq!(
                    change.is_some(),
                    judge.health() != before,
                    "a change is told exactly once"
                );
                match judge.health() {
                    Health::Up => 'U',
                    Health::Down => 'D',
                }
            })
            .collect();
        assert_eq!(
            seen, verdicts,
            "rise {rise}, fall {fall}, from {start}, outcomes {outcomes}"
        );
    }
}

#[test]
fn an_agreeing_outcome_forgets_what_spoke_against() {
    let mut judge = Judge::new(Health::Up, 2, 3);
    judge.observe(Instant::ZERO, false);
    judge.observe(Instant::ZERO, false);
    assert_eq!((judge.against(), judge.needed()), (2, 3));
    judge.observe(Instant::ZERO, true);
    assert_eq!(judge.against(), 0);
}

/// The rule said another way: down exactly when the last `fall` outcomes since the last change all failed.
#[test]
fn verdicts_equal_the_rule_over_the_whole_row() {
    for bits in 0_u32..1 << 12 {
        let (rise, fall) = (1 + bits % 3, 1 + bits % 4);
        let mut judge = Judge::new(Health::Up, rise, fall);
        let mut verdict = Health::Up;
        let mut row: Vec<bool> = Vec::new();
        for bit in 0..12 {
            let passed = bits >> bit & 1 == 1;
            row.push(passed);
            let (need, wanted) = match verdict {
                Health::Up => (fall as usize, false),
                Health::Down => (rise as usize, true),
            };
            if row.len() >= need && row[row.len() - need..].iter().all(|&outcome| outcome == wanted) {
                verdict = if wanted { Health::Up } else { Health::Down };
                row.clear();
            }
            judge.observe(Instant::ZERO, passed);
            assert_eq!(judge.health(), verdict, "outcomes {bits:012b} at {bit}");
        }
    }
}

/// One outcome a second; `!` is a suspicion without an outcome.
fn verdicts(judge: &mut Judge, outcomes: &str) -> String {
    let mut seen = String::new();
    let mut second = 0;
    for outcome in outcomes.chars() {
        if outcome == '!' {
            judge.suspect();
            continue;
        }
        judge.observe(Instant::from_secs(second), outcome == '+');
        second += 1;
        seen.push(match judge.health() {
            Health::Up => 'U',
            Health::Down => 'D',
        });
    }
    seen
}

#[test]
fn a_server_that_flaps_is_held_back() {
    let flap = |falls, window, hold| Flap {
        falls,
        window: Duration::from_secs(window),
        hold: Duration::from_secs(hold),
    };
    let table = [
        (
            flap(2, 10, 4),
            "-+-+++++",
            "DUDDDDUU",
            "the second fall within ten seconds",
        ),
        (flap(2, 1, 4), "-++-++++", "DUUDUUUU", "two falls too far apart"),
        (
            flap(2, 10, 4),
            "-+-++-+++++",
            "DUDDDDDDDUU",
            "a failure starts the hold anew",
        ),
        (flap(1, 10, 2), "-++", "DDU", "each fall"),
        (flap(3, 10, 9), "-+-+++", "DUDUUU", "one too few"),
        (flap(2, 10, 2), "-+-+++-+++", "DUDDUUDDUU", "held back again"),
    ];
    for (flap, outcomes, expected, what) in table {
        let mut judge = Judge::new(Health::Up, 1, 1).with_flap(Some(flap));
        assert_eq!(verdicts(&mut judge, outcomes), expected, "{what}: {outcomes}");
    }
}

#[test]
fn a_suspicion_makes_the_next_failure_enough_and_nothing_else() {
    let table = [
        ("+!-++", "UDDU", "one failure instead of three"),
        ("+!+--+", "UUUUU", "a pass clears it"),
        ("-!-++", "UDDU", "with a failure before"),
        ("!+++", "UUU", "alone it does nothing"),
        ("---!++", "UUDDU", "of one that is down it says nothing"),
        ("---!++-", "UUDDUU", "nor later"),
    ];
    for (outcomes, expected, what) in table {
        let mut judge = Judge::new(Health::Up, 2, 3);
        assert_eq!(verdicts(&mut judge, outcomes), expected, "{what}: {outcomes}");
    }
}
