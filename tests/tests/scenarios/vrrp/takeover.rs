//! How long a take-over takes: keepalived's and weir's, by turns in the same namespace, after the same event.
//!
//! The director that goes is a keepalived, the owner of the address. The one that takes over has priority 100. A client
//! on the segment notes when it hears each advertisement, announcement and answer; time begins with the last
//! advertisement of the one that goes (which says "I stop", or is followed by silence).
//!
//! Times are compared with those of keepalived on the same machine in the same minute, never with a figure: a
//! scenario compares the shortest times and repeats as long as a busy machine hides them, `make bench-takeover` (with
//! `WEIR_TAKEOVERS`) the medians of many.

mod record;
mod scene;

use std::time::Duration;

use super::keepalived_is_here;
use scene::{Event, Program, Scene, Times};
use weir_tests::lab::{Lab, LabError};
use weir_tests::scenario::scenario;

/// weir may take this much longer than keepalived.
const MARGIN: Duration = Duration::from_millis(5);
/// A scenario tries as often as this to see the shortest times of both.
const TRIES: usize = 8;

/// One of the five.
struct Case {
    name: &'static str,
    weir: &'static str,
    keepalived: &'static str,
    interval: Duration,
    event: Event,
    /// What the protocol itself waits for.
    theory: Duration,
}

const V2: (&str, &str, Duration) = ("", "advert_int 1\n", Duration::from_secs(1));
const V3: (&str, &str, Duration) = (
    "version = 3\nadvert_interval_ms = 100\n",
    "version 3\nadvert_int 0.1\n",
    Duration::from_millis(100),
);
const V3_FAST: (&str, &str, Duration) = (
    "version = 3\nadvert_interval_ms = 10\n",
    "version 3\nadvert_int 0.01\n",
    Duration::from_millis(10),
);

const fn case(
    name: &'static str,
    (weir, keepalived, interval): (&'static str, &'static str, Duration),
    event: Event,
    theory_us: u64,
) -> Case {
    Case {
        name,
        weir,
        keepalived,
        interval,
        event,
        theory: Duration::from_micros(theory_us),
    }
}

/// Three intervals and the skew of priority 100, or the skew alone.
const CASES: &[Case] = &[
    case("v2, 1 s, silent", V2, Event::Silence, 3_609_375),
    case("v2, 1 s, priority 0", V2, Event::PriorityZero, 609_375),
    case("v3, 100 ms, silent", V3, Event::Silence, 360_937),
    case("v3, 100 ms, priority 0", V3, Event::PriorityZero, 60_937),
    case("v3, 10 ms, silent", V3_FAST, Event::Silence, 36_093),
];

/// What was measured in one case: keepalived's and weir's times.
type Measured = [Vec<Times>; 2];

const PROGRAMS: [Program; 2] = [Program::Keepalived, Program::Weir];

/// Takes turns, until `enough` says so.
fn measure(
    lab: &mut Lab,
    case: &Case,
    mut enough: impl FnMut(&Measured) -> bool,
) -> Result<Measured, LabError> {
    let mut scene = Scene::set(lab, case)?;
    let mut measured = Measured::default();
    while !enough(&measured) {
        for (times, program) in measured.iter_mut().zip(PROGRAMS) {
            times.push(scene.take_over(lab, program)?);
        }
    }
    Ok(measured)
}

fn shortest(times: &[Times], what: fn(&Times) -> Duration) -> Duration {
    times.iter().map(what).min().unwrap_or(Duration::MAX)
}

/// The middle one; of two the longer.
fn median(times: &[Times], what: fn(&Times) -> Duration) -> Duration {
    let mut all: Vec<Duration> = times.iter().map(what).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(Duration::MAX)
}

/// What is compared, in the order in which it happens.
const FIGURES: [(&str, fn(&Times) -> Duration); 3] = [
    ("advertisement", |times| times.advert),
    ("announcement", |times| times.announcement),
    ("answer", |times| times.answer),
];

/// Which of weir's figures are later than keepalived's by more than the margin.
fn late(measured: &Measured, of: fn(&[Times], fn(&Times) -> Duration) -> Duration) -> Vec<String> {
    let [keepalived, weir] = measured;
    let late = FIGURES.iter().filter_map(|(name, what)| {
        let (theirs, ours) = (of(keepalived, *what), of(weir, *what));
        (ours > theirs + MARGIN).then(|| format!("{name}: weir {ours:?}, keepalived {theirs:?}"))
    });
    late.collect()
}

#[test]
fn weir_takes_over_as_soon_as_keepalived_does() {
    if !keepalived_is_here() || asked_for().is_some() {
        return;
    }
    // Each in a laboratory of its own; most of the time is waiting for version 2's seconds.
    std::thread::scope(|threads| {
        for case in CASES {
            threads.spawn(move || {
                scenario(&format!("vrrp: take-over, {}", case.name), |lab| quick(lab, case));
            });
        }
    });
}

/// The shortest of a few: what keeps a process from running makes times longer, never shorter, so the shortest are
/// compared as soon as they are comparable.
fn quick(lab: &mut Lab, case: &Case) -> Result<(), LabError> {
    let measured = measure(lab, case, |measured| {
        let turns = measured[0].len();
        turns == TRIES || (turns > 0 && late(measured, shortest).is_empty())
    })?;
    let late = late(&measured, shortest);
    for (program, times) in PROGRAMS.iter().zip(&measured) {
        eprintln!("{}: {program:?} {times:?}", case.name);
        // Sooner than the protocol allows is wrong, whatever the machine does.
        let soonest = shortest(times, |times| times.advert);
        assert!(
            soonest + scene::EARLY_MAX > case.theory,
            "{}: {program:?} advertised after {soonest:?}, before {:?}",
            case.name,
            case.theory
        );
    }
    if late.is_empty() {
        return Ok(());
    }
    // On a machine on which keepalived never kept time either, nothing can be said.
    let theirs = shortest(&measured[0], |times| times.answer);
    if theirs > case.theory + 2 * MARGIN {
        eprintln!(
            "{}: NOT MEASURABLE: keepalived itself needed {theirs:?} where the protocol asks for {:?}",
            case.name, case.theory
        );
        return Ok(());
    }
    panic!("{}: {TRIES} times later than keepalived: {late:?}", case.name);
}

/// How many turns a measurement takes, if one was asked for.
fn asked_for() -> Option<usize> {
    let asked = std::env::var("WEIR_TAKEOVERS").ok()?;
    asked.parse().ok().filter(|turns| *turns > 0)
}

#[test]
fn take_over_times_beside_keepalived() {
    let Some(turns) = asked_for() else {
        eprintln!("NOT RUN: a measurement; `make bench-takeover` makes it");
        return;
    };
    assert!(keepalived_is_here(), "there is nothing to compare with");
    let circumstances = record::circumstances(turns);
    let measure_one = |case: &'static Case| {
        let mut measured = Measured::default();
        scenario(&format!("vrrp: {turns} take-overs, {}", case.name), |lab| {
            measured = measure(lab, case, |measured| measured[0].len() == turns)?;
            Ok(())
        });
        measured
    };
    let (slow, fast) = CASES.split_at(2);
    // Of version 2's seconds nearly all is waiting: these two at once, the others alone.
    let mut all: Vec<Measured> = std::thread::scope(|threads| {
        let measuring: Vec<_> = slow
            .iter()
            .map(|case| threads.spawn(move || measure_one(case)))
            .collect();
        let done = measuring.into_iter().map(|measured| measured.join());
        done.map(|measured| measured.expect("a measurement")).collect()
    });
    all.extend(fast.iter().map(measure_one));
    let (text, missed) = record::table(&all);
    let text = format!("{circumstances}\n\n{text}");
    eprintln!("{text}");
    if let Some(file) = std::env::var_os("WEIR_RECORD") {
        record::write(file.as_ref(), &text);
    }
    assert!(
        missed.is_empty(),
        "later than keepalived by more than {MARGIN:?}: {missed:#?}"
    );
}
