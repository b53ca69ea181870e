//! Shares by weight, and what is kept when the servers of a service change.

use super::*;

fn tally(state: &State, picks: u32, rng: &mut Rng) -> Vec<u32> {
    let mut tally = vec![0; state.servers().len()];
    for _ in 0..picks {
        if let Some(index) = state.pick(&input(rng), idle) {
            tally[index] += 1;
        }
    }
    tally
}

fn next_of(state: &State, picks: u32) -> Vec<u32> {
    let (mut rng, _) = Rng::seeded();
    (0..picks)
        .map(|_| state.servers()[state.pick(&input(&mut rng), idle).unwrap()].slot)
        .collect()
}

fn changed(before: &State, servers: Vec<Server>) -> State {
    State::new(
        before.kind(),
        before.flags(),
        servers,
        Some(before),
        &mut maglev_tables(),
    )
    .unwrap()
}

#[test]
fn wrr_gives_each_its_weight_in_every_cycle() {
    let (mut rng, _) = Rng::seeded();
    for weights in [&[1, 2, 3][..], &[3, 1], &[10, 20, 30, 0, 40], &[5], &[1, 100]] {
        let state = state(SchedulerKind::Wrr, Flags::default(), servers(weights));
        let divisor = weights.iter().fold(0, |a, &b| gcd(a, b));
        let cycle: u32 = weights.iter().sum::<u32>() / divisor;
        for _ in 0..5 {
            let expected: Vec<u32> = weights.iter().map(|weight| weight / divisor).collect();
            assert_eq!(tally(&state, cycle, &mut rng), expected);
        }
    }
}

/// The order of the kernel's walk for weights 4, 3, 2: AABABCABC.
#[test]
fn wrr_spreads_a_cycle_as_the_kernel_does() {
    let state = state(SchedulerKind::Wrr, Flags::default(), servers(&[4, 3, 2]));
    assert_eq!(next_of(&state, 9), [0, 0, 1, 0, 1, 2, 0, 1, 2]);
}

/// 65535 passes lie between the two; a pick that walked them would take some 100 µs.
#[test]
fn wrr_skips_empty_passes() {
    let mut pool = servers(&[65535, 1]);
    pool[0].upper_threshold = 1;
    let state = state(SchedulerKind::Wrr, Flags::default(), pool);
    let (mut rng, _) = Rng::seeded();
    for _ in 0..200_000 {
        let full = |slot| Load {
            active: u32::from(slot == 0),
            inactive: 0,
        };
        assert_eq!(state.pick(&input(&mut rng), full), Some(1));
    }
}

#[test]
fn sh_and_mh_and_maglev_share_by_weight() {
    let (mut rng, seed) = Rng::seeded();
    let weights = [1, 2, 3, 4];
    for kind in [SchedulerKind::Sh, SchedulerKind::Mh, SchedulerKind::Maglev] {
        let state = state(
            kind,
            Flags {
                fallback: true,
                ..Flags::default()
            },
            servers(&weights),
        );
        let picks = 100_000;
        for (index, count) in tally(&state, picks, &mut rng).into_iter().enumerate() {
            let fair = f64::from(picks * weights[index]) / 10.0;
            let off = (f64::from(count) - fair).abs() / f64::from(picks);
            // 256 buckets leave sh about 2 % off.
            assert!(
                off < 0.025,
                "{kind:?} gives server {index} {count} of {picks}, seed {seed}"
            );
        }
    }
}

/// A draw is uniform in 0..=total, and 0 goes to the first server like 1 does.
#[test]
fn twos_draws_by_weight_with_one_draw_more_for_the_first() {
    let (mut rng, seed) = Rng::seeded();
    let state = state(SchedulerKind::Twos, Flags::default(), servers(&[1, 2, 3, 4]));
    let counts = tally(&state, 110_000, &mut rng);
    for (count, fair) in counts.iter().zip([20_000, 20_000, 30_000, 40_000]) {
        assert!(count.abs_diff(fair) < 1000, "{counts:?}, seed {seed}");
    }
}

/// Of two servers drawn the less loaded is taken: a loaded one is left with the draws it wins against itself.
#[test]
fn twos_takes_the_less_loaded_of_two() {
    let (mut rng, seed) = Rng::seeded();
    let state = state(SchedulerKind::Twos, Flags::default(), servers(&[1; 4]));
    let mut counts = [0u32; 4];
    for _ in 0..50_000 {
        let load = |slot| Load {
            active: u32::from(slot == 2),
            inactive: 0,
        };
        counts[state.pick(&input(&mut rng), load).unwrap()] += 1;
    }
    assert!(counts[2].abs_diff(50_000 / 25) < 300, "{counts:?}, seed {seed}");
}

/// The short way gives what the long one gives, and moves the same cursor; it says so where it cannot.
#[test]
fn the_next_in_turn_is_the_one_that_would_be_picked() {
    let (mut rng, _) = Rng::seeded();
    for alone in [true, false] {
        let [short, long] = [(); 2].map(|()| state(SchedulerKind::Rr, Flags::default(), servers(&[1, 5, 2])));
        for _ in 0..20 {
            let picked = long.pick(&input(&mut rng), idle).unwrap();
            assert_eq!(
                short.turns(alone).unwrap().next(),
                Some(long.servers()[picked].slot)
            );
        }
        let fewer = [short, long].map(|state| changed(&state, servers(&[1, 1])));
        let picked = fewer[1].pick(&input(&mut rng), idle).unwrap();
        assert_eq!(
            fewer[0].turns(alone).unwrap().next(),
            Some(fewer[1].servers()[picked].slot)
        );
    }
    let mut limited = servers(&[1, 1]);
    limited[0].upper_threshold = 9;
    for (kind, pool) in [
        (SchedulerKind::Rr, servers(&[1, 0])),
        (SchedulerKind::Rr, limited),
        (SchedulerKind::Rr, servers(&[])),
        (SchedulerKind::Wrr, servers(&[1, 1])),
    ] {
        assert!(state(kind, Flags::default(), pool).turns(true).is_none());
    }
}

#[test]
fn equal_weights_are_found_without_a_search() {
    let (mut rng, _) = Rng::seeded();
    // The same shares: a server of weight 0 behind them makes the search necessary.
    let even = state(SchedulerKind::Wlc, Flags::default(), servers(&[7; 5]));
    let searched = state(SchedulerKind::Wlc, Flags::default(), servers(&[7, 7, 7, 7, 7, 0]));
    for _ in 0..1_000 {
        let input = input(&mut rng);
        assert_eq!(even.pick_stateless(&input), searched.pick_stateless(&input));
    }
}

#[test]
fn stateless_picks_share_by_weight_and_stay() {
    let (mut rng, seed) = Rng::seeded();
    let weights = [1, 2, 3, 0, 4];
    for &kind in SchedulerKind::ALL {
        let state = state(kind, Flags::default(), servers(&weights));
        let mut counts = [0u32; 5];
        for _ in 0..20_000 {
            let input = input(&mut rng);
            let picked = state.pick_stateless(&input).unwrap();
            assert_eq!(state.pick_stateless(&input), Some(picked));
            counts[picked] += 1;
        }
        for (&count, weight) in counts.iter().zip(weights) {
            let fair = f64::from(weight) * 2000.0;
            assert!(
                (f64::from(count) - fair).abs() < 400.0,
                "{kind:?}: {counts:?}, seed {seed}"
            );
        }
    }
}

#[test]
fn the_rr_cursor_stays_where_it_was() {
    let rr = state(SchedulerKind::Rr, Flags::default(), servers(&[1; 5]));
    assert_eq!(next_of(&rr, 3), [0, 1, 2]);
    let reweighted = changed(&rr, servers(&[1, 1, 2, 1, 1]));
    assert_eq!(next_of(&reweighted, 2), [3, 4]);
    // The server picked last goes: the one before it takes its place.
    let mut fewer = servers(&[1; 5]);
    fewer.remove(2);
    assert_eq!(next_of(&changed(&rr, fewer), 4), [3, 4, 0, 1]);
    // A server put in front is not skipped to.
    let mut more = servers(&[1; 5]);
    more.insert(0, server(9, 1));
    assert_eq!(next_of(&changed(&rr, more), 4), [3, 4, 9, 0]);
    let to_another = State::new(
        SchedulerKind::Wrr,
        rr.flags(),
        servers(&[1; 5]),
        Some(&rr),
        &mut maglev_tables(),
    );
    assert_eq!(
        next_of(&to_another.unwrap(), 2),
        [0, 1],
        "another scheduler starts afresh"
    );
}

#[test]
fn mh_keeps_the_places_of_a_quiesced_server() {
    let (mut rng, seed) = Rng::seeded();
    let before = state(SchedulerKind::Mh, Flags::default(), servers(&[1, 2, 3]));
    let after = changed(&before, servers(&[1, 0, 3]));
    for _ in 0..2000 {
        let input = input(&mut rng);
        let owner = before.pick(&input, idle).unwrap();
        let expected = (owner != 1).then_some(owner);
        assert_eq!(after.pick(&input, idle), expected, "{input:?}, seed {seed}");
    }
}

#[test]
fn lblc_keeps_a_destination_over_changes_and_forgets_it_after_a_day() {
    let (mut rng, _) = Rng::seeded();
    let lblc = state(SchedulerKind::Lblc, Flags::default(), servers(&[1, 1]));
    let at = |now_s, state: &State, busy: u32, rng: &mut Rng| {
        let load = |slot| Load {
            active: u32::from(slot == busy),
            inactive: 0,
        };
        state
            .pick(&PickInput { now_s, ..input(rng) }, load)
            .map(|index| state.servers()[index].slot)
    };
    assert_eq!(at(0, &lblc, 0, &mut rng), Some(1));
    assert_eq!(
        at(60, &lblc, 1, &mut rng),
        Some(1),
        "kept though the other is less loaded"
    );
    let more = changed(&lblc, servers(&[1, 1, 1]));
    assert_eq!(
        at(86_459, &more, 1, &mut rng),
        Some(1),
        "kept over a change, a day less a second later"
    );
    assert_eq!(at(86_459 + 86_400, &more, 1, &mut rng), Some(0), "a day idle");
    let without = changed(&more, vec![server(1, 1)]);
    assert_eq!(at(200_000, &without, 1, &mut rng), Some(1));
}

#[test]
fn a_full_locality_cache_forgets_the_longest_idle() {
    let cache = locality::Cache::<1>::new(8);
    let address = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(number));
    for number in 0..8 {
        cache.change(address(number), number, |set| set.replace(number, number));
    }
    assert!(cache.get(address(0), 100, true).is_some());
    cache.change(address(8), 101, |set| set.replace(8, 101));
    let kept: Vec<u32> = (0..9)
        .filter(|&number| cache.get(address(number), 102, false).is_some())
        .collect();
    assert_eq!(kept, [0, 2, 3, 4, 5, 6, 7, 8]);
}
