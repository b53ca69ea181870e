use super::*;

const REPR: Repr = Repr {
    diagnostic: Diagnostic::TIME_EXPIRED,
    state: State::Up,
    poll: true,
    final_: false,
    control_plane_independent: false,
    demand: false,
    detect_mult: 3,
    my_discriminator: 0x0102_0304,
    your_discriminator: 0x0506_0708,
    desired_min_tx: Micros(10_000),
    required_min_rx: Micros(20_000),
    required_min_echo_rx: Micros(0),
};

#[test]
fn layout_is_that_of_rfc_5880() {
    let bytes = REPR.to_bytes();
    assert_eq!(
        bytes,
        [
            0x21, 0xe0, 3, 24, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x27, 0x10, 0, 0, 0x4e, 0x20, 0, 0, 0, 0
        ]
    );
    assert_eq!(Repr::parse(&bytes), Ok(REPR));
}

#[test]
fn every_state_and_flag_round_trips() {
    for state in [State::AdminDown, State::Down, State::Init, State::Up] {
        for flags in 0..16u8 {
            let repr = Repr {
                state,
                poll: flags & 1 != 0,
                final_: flags & 2 != 0,
                control_plane_independent: flags & 4 != 0,
                demand: flags & 8 != 0,
                ..REPR
            };
            assert_eq!(Repr::parse(&repr.to_bytes()), Ok(repr));
        }
    }
}

#[test]
fn what_the_rfc_discards_is_refused_by_name() {
    let change = |at: usize, value: u8| {
        let mut bytes = REPR.to_bytes().to_vec();
        bytes[at] = value;
        bytes
    };
    let zero = |range: core::ops::Range<usize>, state: u8| {
        let mut bytes = REPR.to_bytes().to_vec();
        bytes[range].fill(0);
        bytes[1] = state << 6;
        bytes
    };
    let good = REPR.to_bytes();
    for (bytes, invalid) in [
        (vec![], Invalid::Truncated),
        (good[..23].to_vec(), Invalid::Truncated),
        (change(0, 0x41), Invalid::Version),
        (change(3, 23), Invalid::Length),
        (change(3, 25), Invalid::Truncated),
        (change(2, 0), Invalid::DetectMult),
        (change(1, 0xc1), Invalid::Multipoint),
        (change(1, 0xc4), Invalid::Authentication),
        (zero(4..8, 3), Invalid::MyDiscriminator),
        (zero(8..12, 3), Invalid::YourDiscriminator),
        (zero(8..12, 2), Invalid::YourDiscriminator),
    ] {
        assert_eq!(Repr::parse(&bytes), Err(invalid), "{invalid:?}");
    }
    for state in [0, 1] {
        assert!(
            Repr::parse(&zero(8..12, state)).is_ok(),
            "state {state} needs no receiver"
        );
    }
}

#[test]
fn intervals_saturate() {
    assert_eq!(Micros::from_duration(Duration::from_millis(10)), Micros(10_000));
    assert_eq!(Micros::from_duration(Duration::MAX), Micros(u32::MAX));
    assert_eq!(Micros(10_000).duration(), Duration::from_millis(10));
}
