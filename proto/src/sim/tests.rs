use super::*;

const MS: Duration = Duration::from_millis(1);

fn drain(net: &mut Net<u32>) -> Vec<Arrival<u32>> {
    core::iter::from_fn(|| net.arrivals(Instant::MAX)).collect()
}

fn run(seed: u64) -> Vec<Arrival<u32>> {
    let weather = Weather {
        loss_permille: 300,
        duplicate_permille: 200,
        delay_min: MS,
        delay_max: 9 * MS,
    };
    let mut net = Net::new(3, weather, seed);
    for message in 0..1000 {
        net.multicast(Instant::from_millis(u64::from(message)), 0, &message);
    }
    drain(&mut net)
}

#[test]
fn one_seed_gives_one_run() {
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn loss_and_duplication_are_as_asked() {
    // 2000 sent: 1400 get through, 280 of them twice.
    let arrived = run(7).len();
    assert!((1580..1780).contains(&arrived), "{arrived}");
}

#[test]
fn nothing_arrives_early_late_or_out_of_order() {
    let arrivals = run(7);
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
    for arrival in arrivals {
        let delay = arrival.at - Instant::from_millis(u64::from(arrival.message));
        assert!((MS..=9 * MS).contains(&delay), "{delay:?}");
    }
}

#[test]
fn a_cut_is_one_way() {
    let mut net = Net::new(2, Weather::calm(Duration::ZERO), 1);
    net.set_cut(0, 1, true);
    net.send(Instant::ZERO, 0, 1, 1);
    net.send(Instant::ZERO, 1, 0, 2);
    net.heal();
    net.send(Instant::ZERO, 0, 1, 3);
    let messages: Vec<u32> = drain(&mut net)
        .into_iter()
        .map(|arrival| arrival.message)
        .collect();
    assert_eq!(messages, [2, 3]);
}

#[test]
fn bounds_are_kept() {
    let mut rng = Rng::new(3);
    assert_eq!(rng.below(0), 0);
    assert!((0..1000).all(|_| rng.below(7) < 7));
    assert_eq!(rng.between(MS, MS), MS);
    assert_eq!(rng.between(2 * MS, MS), 2 * MS);
}
