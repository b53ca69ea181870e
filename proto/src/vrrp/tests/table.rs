//! RFC 9568 §6.4 row by row, with the numbers of its lines.

use super::*;

#[derive(Debug, Clone, Copy)]
enum Cause {
    Startup,
    Shutdown,
    /// The next timer, whichever it is: Adver_Timer or Active_Down_Timer.
    Timer,
    Advert {
        src: IpAddr,
        priority: u8,
    },
}

/// What runs afterwards, and for how long.
const SKEW: Option<(u64, Timer)> = Some((609_375, Timer::ActiveDown));
const DOWN: Option<(u64, Timer)> = Some((3_609_375, Timer::ActiveDown));
const ADVER: Option<(u64, Timer)> = Some((1_000_000, Timer::Adver));

struct Row {
    line: &'static str,
    priority: u8,
    preempt: Preempt,
    from: State,
    cause: Cause,
    does: &'static [&'static str],
    to: State,
    /// Microseconds to the next deadline, one second after the timer of `from` was set.
    then: Option<(u64, Timer)>,
}

const fn row(
    line: &'static str,
    from: State,
    cause: Cause,
    does: &'static [&'static str],
    to: State,
    then: Option<(u64, Timer)>,
) -> Row {
    Row {
        line,
        priority: 100,
        preempt: Preempt::Yes,
        from,
        cause,
        does,
        to,
        then,
    }
}

const fn hear(src: IpAddr, priority: u8) -> Cause {
    Cause::Advert { src, priority }
}

use State::{Active, Backup, Initialize};

/// 500 ms after the state was entered. What is left of a running timer is its length less that.
const RUNNING_DOWN: Option<(u64, Timer)> = Some((3_109_375, Timer::ActiveDown));
const RUNNING_ADVER: Option<(u64, Timer)> = Some((500_000, Timer::Adver));

const ROWS: &[Row] = &[
    Row {
        priority: 255,
        ..row(
            "105-145",
            Initialize,
            Cause::Startup,
            &["advert", "claim", "announce", "active"],
            Active,
            ADVER,
        )
    },
    row("150-165", Initialize, Cause::Startup, &["backup"], Backup, DOWN),
    row("§6.4.1", Initialize, Cause::Shutdown, &[], Initialize, None),
    row("§6.4.1", Initialize, hear(HIGHER, 200), &[], Initialize, None),
    row("§6.4.1", Initialize, hear(HIGHER, 0), &[], Initialize, None),
    row(
        "340-355",
        Backup,
        Cause::Shutdown,
        &["initialize"],
        Initialize,
        None,
    ),
    row(
        "360-410",
        Backup,
        Cause::Timer,
        &["advert", "claim", "announce", "active"],
        Active,
        ADVER,
    ),
    row("425-430", Backup, hear(HIGHER, 0), &[], Backup, SKEW),
    row("445-465", Backup, hear(HIGHER, 200), &[], Backup, DOWN),
    row("445-465", Backup, hear(HIGHER, 100), &[], Backup, DOWN),
    row("445-465", Backup, hear(LOWER, 100), &[], Backup, DOWN),
    row("475", Backup, hear(HIGHER, 99), &[], Backup, RUNNING_DOWN),
    Row {
        preempt: Preempt::No,
        ..row("445-465", Backup, hear(HIGHER, 99), &[], Backup, DOWN)
    },
    row("§6.4.2", Backup, Cause::Startup, &[], Backup, RUNNING_DOWN),
    row(
        "655-670",
        Active,
        Cause::Shutdown,
        &["stop", "release", "initialize"],
        Initialize,
        None,
    ),
    row("670-690", Active, Cause::Timer, &["advert"], Active, ADVER),
    row("695-705", Active, hear(HIGHER, 0), &["advert"], Active, ADVER),
    row(
        "715-750",
        Active,
        hear(LOWER, 101),
        &["release", "backup"],
        Backup,
        DOWN,
    ),
    row(
        "715-750",
        Active,
        hear(HIGHER, 100),
        &["release", "backup"],
        Backup,
        DOWN,
    ),
    row(
        "755-760",
        Active,
        hear(LOWER, 100),
        &["advert", "lower"],
        Active,
        RUNNING_ADVER,
    ),
    row(
        "755-760",
        Active,
        hear(HIGHER, 99),
        &["advert", "lower"],
        Active,
        RUNNING_ADVER,
    ),
    row("§6.4.3", Active, Cause::Startup, &[], Active, RUNNING_ADVER),
];

#[test]
fn every_row_of_the_rfc_holds() {
    for row in ROWS {
        let config = Config {
            priority: row.priority,
            preempt: row.preempt,
            rules: Rules::RFC_9568,
            ..config()
        };
        let mut bench = match row.from {
            Initialize => Bench::new(config),
            Backup => Bench::backup(config),
            Active => Bench::active(config),
        };
        bench.now += 500 * MS;
        let name = format!("line {}: {:?} {:?}", row.line, row.from, row.cause);
        let actions = match row.cause {
            Cause::Startup => bench.input(Input::Startup),
            Cause::Shutdown => bench.input(Input::Shutdown),
            Cause::Timer => bench.fire(),
            Cause::Advert { src, priority } => bench.input(advert(src, priority)),
        };
        assert_eq!(short(&actions), row.does, "{name}");
        assert_eq!(bench.machine.state(), row.to, "{name}");
        let then = row
            .then
            .map(|(micros, timer)| (Duration::from_micros(micros), timer));
        assert_eq!(bench.next(), then, "{name}");
    }
}

#[test]
fn the_interval_of_the_active_router_is_learnt() {
    let mut bench = Bench::backup(config());
    let other = Advert {
        src: HIGHER,
        priority: 200,
        interval: 100 * MS,
        other_addresses: false,
    };
    bench.input(Input::Advert(other));
    assert_eq!(bench.machine.active_interval(), 100 * MS);
    // 3 intervals and 156/256 of one.
    assert_eq!(
        bench.next(),
        Some((360_937 * US + Duration::from_nanos(500), Timer::ActiveDown))
    );
    bench.fire();
    assert_eq!(
        bench.next(),
        Some((SECOND, Timer::Adver)),
        "our own interval counts when we are active"
    );
}

#[test]
fn version_2_keeps_its_own_interval_and_a_skew_of_seconds() {
    let mut bench = Bench::backup(Config {
        version: Version::V2,
        interval: 2 * SECOND,
        ..config()
    });
    assert_eq!(bench.next(), Some((6_609_375 * US, Timer::ActiveDown)));
    bench.input(advert(HIGHER, 0));
    assert_eq!(bench.next(), Some((609_375 * US, Timer::ActiveDown)));
}
