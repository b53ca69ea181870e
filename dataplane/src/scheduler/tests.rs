//! Every scheduler against a naive one, shares by weight, Maglev against the paper's loop, and two workers at once.

mod concurrency;
mod maglev;
mod oracle;
mod random;
mod shares;
mod world;

use core::net::{IpAddr, Ipv4Addr};

use super::*;

/// SplitMix64: enough for tests, and a seed is one number. `WEIR_SEED` replays a failure.
struct Rng(u64);

impl Rng {
    fn seeded() -> (Self, u64) {
        let from_clock = || {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            now.as_nanos() as u64
        };
        let seed = std::env::var("WEIR_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(from_clock);
        (Self(seed), seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }
}

fn server(slot: u32, weight: u32) -> Server {
    let [_, _, high, low] = slot.to_be_bytes();
    Server {
        address: IpAddr::V4(Ipv4Addr::new(198, 18, high, low)),
        port: 80,
        slot,
        weight,
        upper_threshold: 0,
        lower_threshold: 0,
    }
}

fn servers(weights: &[u32]) -> Vec<Server> {
    (0..)
        .zip(weights)
        .map(|(slot, &weight)| server(slot, weight))
        .collect()
}

fn state(kind: SchedulerKind, flags: Flags, servers: Vec<Server>) -> State {
    State::new(kind, flags, servers, None, &mut maglev_tables()).unwrap()
}

fn maglev_tables() -> super::maglev::Tables {
    super::maglev::Tables::default()
}

fn input(rng: &mut Rng) -> PickInput {
    PickInput {
        client: IpAddr::V4(Ipv4Addr::from(rng.next() as u32)),
        client_port: rng.next() as u16,
        destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100)),
        destination_port: 80,
        now_s: 0,
        random: rng.next(),
    }
}

fn idle(_slot: u32) -> Load {
    Load::default()
}

#[test]
fn without_servers_nobody_is_picked() {
    let (mut rng, _) = Rng::seeded();
    for &kind in SchedulerKind::ALL {
        let state = state(
            kind,
            Flags {
                fallback: true,
                ..Flags::default()
            },
            Vec::new(),
        );
        let input = input(&mut rng);
        assert_eq!(state.pick(&input, idle), None, "{kind:?}");
        assert_eq!(state.pick_stateless(&input), None, "{kind:?}");
    }
}

#[test]
fn a_quiesced_or_overloaded_server_is_never_picked() {
    let (mut rng, seed) = Rng::seeded();
    for &kind in SchedulerKind::ALL {
        // lblc sends a destination on to its server over the threshold, as IPVS does, but no new one.
        let mut pool = servers(&[0, 1, 0, 3]);
        pool[3].upper_threshold = 5;
        let full = |slot| Load {
            active: if slot == 3 { 5 } else { 0 },
            inactive: 0,
        };
        let state = state(
            kind,
            Flags {
                fallback: true,
                ..Flags::default()
            },
            pool,
        );
        let picked: Vec<_> = (0..100)
            .filter_map(|_| state.pick(&input(&mut rng), full))
            .collect();
        assert!(
            picked.iter().all(|&index| index == 1),
            "{kind:?} picked {picked:?}, seed {seed}"
        );
        assert!(
            kind == SchedulerKind::Dh || !picked.is_empty(),
            "{kind:?}, seed {seed}"
        );
    }
}

#[test]
fn too_many_servers_are_refused_with_the_limit() {
    let many: Vec<_> = (0..4094).map(|slot| server(slot, 1)).collect();
    let refused = State::new(
        SchedulerKind::Mh,
        Flags::default(),
        many.clone(),
        None,
        &mut maglev_tables(),
    )
    .unwrap_err();
    assert_eq!(
        refused,
        BuildError::TooManyServers {
            kind: SchedulerKind::Mh,
            servers: 4094,
            limit: 4093
        }
    );
    assert!(
        State::new(
            SchedulerKind::Wrr,
            Flags::default(),
            many,
            None,
            &mut maglev_tables()
        )
        .is_ok()
    );
}

/// Overload follows the thresholds: on at the upper one, off below the lower one or three quarters.
#[test]
fn thresholds_have_hysteresis() {
    for (lower, clears_at) in [(3, 2), (0, 7), (10, 9)] {
        let mut pool = servers(&[1]);
        pool[0].upper_threshold = 10;
        pool[0].lower_threshold = lower;
        let state = state(SchedulerKind::Rr, Flags::default(), pool);
        let (mut rng, _) = Rng::seeded();
        let mut pick_at = |total| {
            state.pick(&input(&mut rng), |_| Load {
                active: 0,
                inactive: total,
            })
        };
        assert_eq!(pick_at(8), Some(0));
        assert_eq!(pick_at(9), Some(0), "the tenth");
        assert_eq!(pick_at(10), None);
        for total in clears_at + 1..10 {
            assert_eq!(pick_at(total), None, "lower {lower}: still over with {total}");
        }
        assert_eq!(pick_at(clears_at), Some(0), "lower {lower}");
    }
}
