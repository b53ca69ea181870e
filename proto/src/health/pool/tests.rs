use super::*;

const PLAIN: Policy = Policy {
    quorum: 1,
    hysteresis: 0,
    inhibit: true,
    sorry: None,
    all_failed: AllFailed::Remove,
    removals: None,
};
const SORRY: Policy = Policy {
    sorry: Some(Sorry { inhibit: false }),
    ..PLAIN
};
const NOW: Instant = Instant::from_secs(1_000);

/// `3` lives with weight 3, `3-5` failed 5 s ago, `3-` long ago, `3?` never was up, `3=` is drained.
fn members(text: &str) -> Vec<Member> {
    text.split_whitespace().map(member).collect()
}

fn member(word: &str) -> Member {
    let digits = word.chars().take_while(char::is_ascii_digit).count();
    let (number, rest) = word.split_at(digits);
    let mut member = Member {
        health: Health::Up,
        since: Instant::ZERO,
        was_up: true,
        weight: number.parse().unwrap(),
        drain: false,
        inhibit: None,
    };
    match rest.split_at_checked(1) {
        None => {}
        Some(("=", _)) => member.drain = true,
        Some(("?", _)) => (member.health, member.was_up) = (Health::Down, false),
        Some((_, ago)) => {
            member.health = Health::Down;
            let ago = ago.parse().unwrap_or(1_000);
            member.since = Instant::from_secs(1_000 - ago);
        }
    }
    member
}

/// The seats in short: `3` in, `3k` kept, `3h` held, `q` quiet, `o` out; then the sorry server.
fn short(decision: &Decision) -> String {
    let seats = decision.seats.iter().chain([&decision.sorry]);
    let words = seats.map(|seat| match seat {
        Seat::In(weight) => weight.to_string(),
        Seat::Kept(weight) => format!("{weight}k"),
        Seat::Held(weight) => format!("{weight}h"),
        Seat::Quiet(Why::Down) => "q".into(),
        Seat::Quiet(Why::Drain) => "qd".into(),
        Seat::Quiet(Why::NoQuorum) => "qs".into(),
        Seat::Out(Why::Down) => "o".into(),
        Seat::Out(Why::Drain) => "-".into(),
        Seat::Out(Why::NoQuorum) => "os".into(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn seats_follow_the_table() {
    let keep = AllFailed::Keep(Duration::from_secs(10));
    let limit = |most| {
        Some(Removals {
            most,
            per: Duration::from_secs(60),
        })
    };
    let half = Policy {
        removals: limit(Most::Percent(50)),
        ..PLAIN
    };
    let one = Policy {
        removals: limit(Most::Servers(1)),
        ..PLAIN
    };
    let kept = Policy {
        all_failed: keep,
        ..PLAIN
    };
    let table = [
        ("a failed server keeps its place", PLAIN, "3 2-5 1", "3 q 1 -"),
        (
            "or goes",
            Policy {
                inhibit: false,
                ..PLAIN
            },
            "3 2-5 1",
            "3 o 1 -",
        ),
        ("drained, weight 0", PLAIN, "3= 0 1", "qd 0 1 -"),
        ("drained and failed", PLAIN, "3 3=", "3 qd -"),
        ("not up yet", PLAIN, "3? 1", "q 1 -"),
        ("the sorry server waits outside", SORRY, "3 2-5", "3 q -"),
        ("and stands in", SORRY, "3-9 2-5", "q q 1"),
        (
            "instead of those that live too few",
            Policy { quorum: 4, ..SORRY },
            "3 2-5",
            "qs q 1",
        ),
        (
            "without one they serve on without a quorum",
            Policy { quorum: 4, ..PLAIN },
            "3 2-5",
            "3 q -",
        ),
        (
            "removed with it",
            Policy {
                quorum: 4,
                inhibit: false,
                ..SORRY
            },
            "3 2-5",
            "os o 1",
        ),
        (
            "it waits inside when inhibited",
            Policy {
                sorry: Some(Sorry { inhibit: true }),
                ..PLAIN
            },
            "3 2-5",
            "3 q qd",
        ),
        ("a sorry server for a drained pool", SORRY, "3= 2=", "qd qd 1"),
        ("all failed: all stay", kept, "3-2 2-5 1-9", "3k 2k 1k -"),
        (
            "who was long dead does not come back",
            kept,
            "3-2 2-13 1-",
            "3k q q -",
        ),
        (
            "the last one of a slow death stays alone",
            kept,
            "3-2 2-20",
            "3k q -",
        ),
        ("one that lives is enough", kept, "3-2 2-5 1", "q q 1 -"),
        ("one of weight 0 is not", kept, "3-2 0", "3k 0 -"),
        ("who never was up cannot be kept", kept, "3? 2?", "q q -"),
        (
            "kept before sorry, where that is asked for",
            Policy {
                all_failed: keep,
                ..SORRY
            },
            "3-2 2-5",
            "3k 2k -",
        ),
        (
            "else sorry",
            Policy {
                all_failed: keep,
                ..SORRY
            },
            "3? 2?",
            "q q 1",
        ),
        ("half may go", half, "1-30 1-20 1-10 1", "q q 1h 1 -"),
        (
            "the order is that of failing",
            half,
            "1-10 1-20 1-30 1",
            "1h q q 1 -",
        ),
        ("later the next", half, "1-90 1-80 1-10 1", "q q q 1 -"),
        ("at least one", half, "1-30", "q -"),
        ("each its minute", one, "1-100 1-50 1-40 1", "q q 1h 1 -"),
        ("each its minute, later", one, "1-121 1-120 1-119 1", "q q q 1 -"),
        (
            "those without weight do not count",
            half,
            "0-30 1-20 1-10 1",
            "q q 1h 1 -",
        ),
    ];
    for (what, policy, members_text, expected) in table {
        let decision = decide(&policy, &members(members_text), None, NOW);
        assert_eq!(short(&decision), expected, "{what}: {members_text}");
        let again = decide(&policy, &members(members_text), Some(decision.quorum_up), NOW);
        assert_eq!(again.seats, decision.seats, "{what}: asked twice");
    }
}

/// keepalived's example: quorum 10, hysteresis 2.
#[test]
fn the_quorum_follows_keepalived() {
    let policy = Policy {
        quorum: 10,
        hysteresis: 2,
        ..PLAIN
    };
    let table = [
        (None, 11, false),
        (None, 12, true),
        (Some(false), 11, false),
        (Some(false), 12, true),
        (Some(true), 11, true),
        (Some(true), 8, true),
        (Some(true), 7, false),
        (Some(true), 0, false),
    ];
    for (was, weight, expected) in table {
        let members = [Member {
            weight,
            ..member("1")
        }];
        let decision = decide(&policy, &members, was, NOW);
        assert_eq!(decision.quorum_up, expected, "{was:?} with {weight}");
        assert_eq!(decision.live_weight, u64::from(weight));
        let again = decide(&policy, &members, Some(expected), NOW).quorum_up;
        assert_eq!(
            again, expected,
            "{was:?} with {weight}: a state once reached is kept"
        );
    }
    let zero = Policy {
        quorum: 1,
        hysteresis: 1,
        ..PLAIN
    };
    assert!(
        !decide(&zero, &members("1-5"), Some(true), NOW).quorum_up,
        "nothing lives: no quorum, whatever the threshold"
    );
}

#[test]
fn a_removal_that_was_put_off_says_when_to_ask_again() {
    let policy = Policy {
        removals: Some(Removals {
            most: Most::Servers(1),
            per: Duration::from_secs(60),
        }),
        ..PLAIN
    };
    let pool = members("1-30 1-20 1-10 1");
    let mut now = NOW;
    let mut inside = Vec::new();
    loop {
        let decision = decide(&policy, &pool, Some(true), now);
        inside.push((now - NOW, decision.held()));
        match decision.next {
            Some(next) => {
                assert!(next > now, "it moves on");
                now = next;
            }
            None => break,
        }
    }
    let seconds = Duration::from_secs;
    assert_eq!(inside, [(seconds(0), 2), (seconds(30), 1), (seconds(90), 0)]);
}

/// Over any history of failures and recoveries no more servers are out than the limit allows since the oldest failure,
/// and no server that went comes back without having recovered.
#[test]
fn the_limit_holds_over_random_histories() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or(0x5eed);
    let mut rng = crate::sim::Rng::new(seed);
    let per = Duration::from_secs(20);
    let policy = Policy {
        removals: Some(Removals {
            most: Most::Servers(2),
            per,
        }),
        ..PLAIN
    };
    let mut pool = members("1 1 1 1 1 1 1 1");
    let mut out = [false; 8];
    let (mut went, mut waited) = (0, 0);
    for second in 1..5_000 {
        let now = Instant::from_secs(second);
        if rng.below(4) == 0 {
            let member = &mut pool[usize::try_from(rng.below(8)).unwrap()];
            let other = match member.health {
                Health::Up => Health::Down,
                Health::Down => Health::Up,
            };
            (member.health, member.since) = (other, now);
        }
        let decision = decide(&policy, &pool, Some(true), now);
        for (index, seat) in decision.seats.iter().enumerate() {
            let is_out = seat.weight() == 0;
            went += usize::from(is_out && !out[index]);
            waited += usize::from(matches!(seat, Seat::Held(_)));
            assert!(
                is_out || !out[index] || pool[index].health == Health::Up,
                "WEIR_SEED={seed}, second {second}: {index} came back dead"
            );
            out[index] = is_out;
        }
        let lost = pool.iter().filter(|member| member.health == Health::Down);
        let Some(oldest) = lost.map(|member| member.since).min() else {
            continue;
        };
        let spans = (now - oldest).as_secs() / per.as_secs() + 1;
        let gone = out.iter().filter(|out| **out).count();
        assert!(
            gone as u64 <= 2 * spans,
            "WEIR_SEED={seed}, second {second}: {gone} are out after {spans} spans"
        );
    }
    assert!(went > 100 && waited > 100, "{went} went, {waited} waited");
}

#[test]
fn a_server_may_differ_from_its_pool_about_keeping_its_place() {
    let mut failed = members("3 2- 1-");
    failed[1].inhibit = Some(false);
    failed[2].inhibit = Some(true);
    let inhibited = decide(&PLAIN, &failed, None, NOW);
    assert_eq!(short(&inhibited), "3 o q -");
    let policy = Policy {
        inhibit: false,
        ..PLAIN
    };
    failed[1].inhibit = None;
    assert_eq!(short(&decide(&policy, &failed, None, NOW)), "3 o q -");
    let mut standing_by = members("1 1");
    standing_by[0].inhibit = Some(true);
    let sorry = Policy { quorum: 5, ..SORRY };
    let sorry = Policy {
        inhibit: false,
        ..sorry
    };
    assert_eq!(short(&decide(&sorry, &standing_by, None, NOW)), "qs os 1");
}
