//! The tables once more, as text, and walks through them that a person would recognise.

use super::*;

const COLUMNS: &str = "NO ES SS SR FW TW CL CW LA LI SA";

const TABLES: &[(Policy, Direction, Event, &str)] = &[
    (
        Policy::Normal,
        Direction::Input,
        Event::Syn,
        "SR ES ES SR SR SR SR SR SR SR SR",
    ),
    (
        Policy::Normal,
        Direction::Input,
        Event::Fin,
        "CL CW SS TW TW TW CL CW LA LI TW",
    ),
    (
        Policy::Normal,
        Direction::Input,
        Event::Ack,
        "CL ES SS ES FW TW CL CW CL LI ES",
    ),
    (
        Policy::Normal,
        Direction::Input,
        Event::Rst,
        "CL CL CL SR CL CL CL CL LA LI SR",
    ),
    (
        Policy::Normal,
        Direction::Output,
        Event::Syn,
        "SS ES SS SR SS SS SS SS SS LI SR",
    ),
    (
        Policy::Normal,
        Direction::Output,
        Event::Fin,
        "TW FW SS TW FW TW CL TW LA LI TW",
    ),
    (
        Policy::Normal,
        Direction::Output,
        Event::Ack,
        "ES ES SS ES FW TW CL CW LA ES ES",
    ),
    (
        Policy::Normal,
        Direction::Output,
        Event::Rst,
        "CL CL SS CL CL TW CL CL CL CL CL",
    ),
    (
        Policy::Normal,
        Direction::InputOnly,
        Event::Syn,
        "SR ES ES SR SR SR SR SR SR SR SR",
    ),
    (
        Policy::Normal,
        Direction::InputOnly,
        Event::Fin,
        "CL FW SS TW FW TW CL CW LA LI TW",
    ),
    (
        Policy::Normal,
        Direction::InputOnly,
        Event::Ack,
        "CL ES SS ES FW TW CL CW CL LI ES",
    ),
    (
        Policy::Normal,
        Direction::InputOnly,
        Event::Rst,
        "CL CL CL SR CL CL CL CL LA LI CL",
    ),
    (
        Policy::Secure,
        Direction::Input,
        Event::Syn,
        "SR ES ES SR SR SR SR SR SR SR SA",
    ),
    (
        Policy::Secure,
        Direction::Input,
        Event::Fin,
        "CL CW SS TW TW TW CL CW LA LI SA",
    ),
    (
        Policy::Secure,
        Direction::Input,
        Event::Ack,
        "CL ES SS SR FW TW CL CW CL LI SA",
    ),
    (
        Policy::Secure,
        Direction::Input,
        Event::Rst,
        "CL CL CL SR CL CL CL CL LA LI CL",
    ),
    (
        Policy::Secure,
        Direction::Output,
        Event::Syn,
        "SS ES SS SA SS SS SS SS SS LI SA",
    ),
    (
        Policy::Secure,
        Direction::Output,
        Event::Fin,
        "TW FW SS TW FW TW CL TW LA LI TW",
    ),
    (
        Policy::Secure,
        Direction::Output,
        Event::Ack,
        "ES ES SS ES FW TW CL CW LA ES ES",
    ),
    (
        Policy::Secure,
        Direction::Output,
        Event::Rst,
        "CL CL SS CL CL TW CL CL CL CL CL",
    ),
    (
        Policy::Secure,
        Direction::InputOnly,
        Event::Syn,
        "SA ES ES SR SA SA SA SA SA SA SA",
    ),
    (
        Policy::Secure,
        Direction::InputOnly,
        Event::Fin,
        "CL FW SS TW FW TW CL CW LA LI TW",
    ),
    (
        Policy::Secure,
        Direction::InputOnly,
        Event::Ack,
        "CL ES SS ES FW TW CL CW CL LI ES",
    ),
    (
        Policy::Secure,
        Direction::InputOnly,
        Event::Rst,
        "CL CL CL SR CL CL CL CL LA LI CL",
    ),
];

fn short(state: State) -> &'static str {
    match state {
        State::None => "NO",
        State::Established => "ES",
        State::SynSent => "SS",
        State::SynRecv => "SR",
        State::FinWait => "FW",
        State::TimeWait => "TW",
        State::Close => "CL",
        State::CloseWait => "CW",
        State::LastAck => "LA",
        State::Listen => "LI",
        State::SynAck => "SA",
    }
}

fn row(cells: impl Iterator<Item = State>) -> String {
    cells.map(short).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_row_is_the_kernels() {
    assert_eq!(row(State::ALL.into_iter()), COLUMNS);
    assert_eq!(TABLES.len(), 2 * 3 * 4);
    for &(policy, direction, event, expected) in TABLES {
        let got = row(State::ALL
            .into_iter()
            .map(|state| next(policy, direction, event, state)));
        assert_eq!(got, expected, "{policy:?} {direction:?} {event:?}");
    }
}

#[test]
fn a_segment_without_any_known_flag_closes() {
    for policy in [Policy::Normal, Policy::Secure] {
        for direction in [Direction::Input, Direction::Output, Direction::InputOnly] {
            for state in State::ALL {
                assert_eq!(next(policy, direction, Event::Other, state), State::Close);
            }
        }
    }
}

#[test]
fn of_several_flags_the_strongest_counts() {
    for flags in 0..=u8::MAX {
        let expected = if flags & RST != 0 {
            Event::Rst
        } else if flags & SYN != 0 {
            Event::Syn
        } else if flags & FIN != 0 {
            Event::Fin
        } else if flags & ACK != 0 {
            Event::Ack
        } else {
            Event::Other
        };
        assert_eq!(Event::from_flags(flags), expected, "{flags:#04x}");
    }
    assert_eq!(Event::from_flags(RST | SYN | FIN | ACK), Event::Rst);
    assert_eq!(Event::from_flags(SYN | FIN | ACK), Event::Syn);
    assert_eq!(Event::from_flags(FIN | ACK), Event::Fin);
    assert_eq!(Event::from_flags(0x08 | ACK), Event::Ack);
    assert_eq!(Event::from_flags(0x08 | 0x20), Event::Other);
}

#[test]
fn numbers_and_states_are_the_same_thing() {
    for (number, state) in (0..).zip(State::ALL) {
        assert_eq!(state as u8, number);
        assert_eq!(State::from_number(number), Some(state));
    }
    assert_eq!(State::from_number(11), None);
}

#[test]
fn active_are_the_four_states_that_serve() {
    let active = State::ALL.into_iter().filter(|state| state.is_active());
    assert_eq!(row(active), "ES SS SR SA");
}

/// (from the server?, flags) → state
fn walk(no_output: bool, steps: &[(bool, u8, State)]) {
    let mut flow = Tracker::new(no_output);
    for (at, &(is_reply, flags, expected)) in steps.iter().enumerate() {
        flow = flow.after(Policy::Normal, is_reply, flags);
        assert_eq!(flow.state, expected, "step {at}");
    }
}

#[test]
fn a_whole_connection_through_nat() {
    walk(
        false,
        &[
            (false, SYN, SR),
            (true, SYN | ACK, SR),
            (false, ACK, ES),
            (true, ACK, ES),
            (false, FIN | ACK, CW),
            (true, ACK, CW),
            (true, FIN | ACK, TW),
            (false, ACK, TW),
        ],
    );
}

#[test]
fn a_whole_connection_through_dr() {
    walk(
        true,
        &[
            (false, SYN, SR),
            (false, ACK, ES),
            (false, FIN | ACK, FW),
            (false, ACK, FW),
            (false, RST, CL),
        ],
    );
}

#[test]
fn a_reply_seen_ends_input_only_for_good() {
    let flow = Tracker {
        state: ES,
        no_output: true,
    };
    assert_eq!(flow.after(Policy::Normal, false, FIN).state, FW);
    let seen = flow.after(Policy::Normal, true, ACK);
    assert_eq!(
        seen,
        Tracker {
            state: ES,
            no_output: false
        }
    );
    assert_eq!(seen.after(Policy::Normal, false, FIN).state, CW);
}

#[test]
fn timeouts_are_the_documented_ones() {
    let in_words = |timeouts: Timeouts| {
        State::ALL
            .map(|state| format!("{} {}", state.name(), timeouts.tcp_s(state)))
            .join(", ")
    };
    assert_eq!(
        in_words(Timeouts::IPVS),
        "NONE 2, ESTABLISHED 900, SYN_SENT 120, SYN_RECV 60, FIN_WAIT 120, TIME_WAIT 120, CLOSE 10, \
         CLOSE_WAIT 60, LAST_ACK 30, LISTEN 120, SYNACK 120"
    );
    assert_eq!(
        in_words(Timeouts::DPVS),
        "NONE 2, ESTABLISHED 90, SYN_SENT 3, SYN_RECV 30, FIN_WAIT 7, TIME_WAIT 7, CLOSE 3, CLOSE_WAIT 7, \
         LAST_ACK 7, LISTEN 120, SYNACK 30"
    );
    assert_eq!((Timeouts::IPVS.udp_s, Timeouts::IPVS.new_s), (300, 3));
    assert_eq!((Timeouts::DPVS.udp_s, Timeouts::DPVS.new_s), (300, 3));
    assert_eq!(Timeouts::default(), Timeouts::IPVS);
    assert_eq!(Timeouts::IPVS.with_tcp_s(State::Close, 5).tcp_s(State::Close), 5);
}
