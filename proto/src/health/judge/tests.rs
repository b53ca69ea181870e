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

#[test]
fn verdicts_follow_the_table() {
    for &(rise, fall, start, outcomes, verdicts) in TABLE {
        let mut judge = Judge::new(start, rise, fall);
        let seen: String = outcomes
            .chars()
            .map(|outcome| {
                let before = judge.health();
                let change = judge.observe(outcome == '+');
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
    judge.observe(false);
    judge.observe(false);
    assert_eq!((judge.against(), judge.needed()), (2, 3));
    judge.observe(true);
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
            judge.observe(passed);
            assert_eq!(judge.health(), verdict, "outcomes {bits:012b} at {bit}");
        }
    }
}
